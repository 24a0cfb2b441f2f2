# The solution of a problem, its tangent map and the transpose of that. Each problem has methods; here is what they share.

"""
    solution(p, a, b)

Eigenvalues `n × count` and eigenvectors `n × n × count`, and what else the rules of the problem need.
"""
function solution end

"""
    pushforward_at(p, a, b, Ω)
    pullback_at(p, a, b, Ω)

The tangent map of [`solution`](@ref) at its value `Ω`, and its transpose: from tangents of the matrices to tangents of `Ω`, and
from cotangents of `Ω` to gradients of `a` and `b`.
"""
function pushforward_at(p::Eigenproblem, a, b, Ω)
    norms = input_norms(p, a, b)
    return (Ȧ, Ḃ) -> solution_pushforward(p, norms, Ω..., Ȧ, Ḃ)
end
function pullback_at(p::Eigenproblem, a, b, (w, V, U))
    norms = input_norms(p, a, b)
    return (λ̄, V̄, Ū) -> input_gradients(p, norms, w, V, U, λ̄, V̄, Ū)
end

function solution_and_tangent(p::Eigenproblem, tangents, a, b)
    check_tangents(tangents, a, b)
    Ω = solution(p, a, b)
    Ȧ, Ḃ = tangent_matrices(p, p.a, tangents[1]), tangent_matrices(p, p.b, last(tangents))
    return Ω, pushforward_at(p, a, b, Ω)(Ȧ, Ḃ)
end

# The cotangent of a real output is real, although an engine may pass a complex one.
real_if(primal, ::Nothing) = nothing
real_if(::AbstractArray{<:Real}, x::AbstractArray{<:Complex}) = real(x)
real_if(primal, x) = x

function check_tangents(tangents, a, b)
    matrices = b === nothing ? (a,) : (a, b)
    length(tangents) == length(matrices) || throw(
        ArgumentError("the tangents must be a tuple with one entry for each matrix, got $(length(tangents)) for $(length(matrices))")
    )
    for (name, x, ẋ) in zip(("a", "b"), matrices, tangents)
        ẋ isa AbstractArray && size(ẋ) != size(x) &&
            throw(DimensionMismatch("the tangent of `$name` must have its size $(size(x)), got $(size(ẋ))"))
    end
    return nothing
end

# ---- solutions of dual numbers -------------------------------------------------------------------------------

# A problem of dual numbers, or of what they are made of.
is_differentiated_by(D, ::Eigenproblem{T}) where {T} = T <: DualNumber && dual_type(T) == D
without_partials(D, p::Eigenproblem{T}) where {T} = is_differentiated_by(D, p) ? with_type(value_type(T), p) : p

function solution(p::Eigenproblem{T}, a, b) where {T <: DualNumber}
    D = dual_type(T)
    p₀ = without_partials(D, p)
    a₀, b₀ = values_of(D, a), values_of(D, b)
    Ω = solution(p₀, a₀, b₀)
    pushforward = pushforward_at(p₀, a₀, b₀, Ω)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        Ȧ, Ḃ = tangent_matrices(p₀, p₀.a, partial_of(D, a, i)), tangent_matrices(p₀, p₀.b, partial_of(D, b, i))
        Ω̇ = pushforward(Ȧ, Ḃ)
        value_type(T) <: DualNumber && lose_second_tangents!(p₀, a₀, b₀, Ω, Ω̇)
        Ω̇
    end
    return combine_all(D, Ω, Ω̇s)
end

# Forward mode over forward mode: second derivatives through a cluster are NaN, although first ones leave its gaps out.
function lose_second_tangents!(p, a, b, Ω, Ω̇)
    norms = input_norms(p, a, b)
    for (vectors, lost) in ((true, Base.tail(Ω̇)), (false, Ω̇[1:1]))
        for k in undetermined_matrices(p, norms, Ω[1:3]..., vectors), x in lost
            x === nothing || map!(unknown_partials, slice(x, k), slice(x, k))
        end
    end
    return nothing
end
