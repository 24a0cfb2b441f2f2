# Derivatives of all problems: gradients with respect to the arguments, tangents, solutions of dual numbers, and second order. Second
# derivatives differentiate the body of a reverse rule, so it mutates nothing and calls only functions that have rules.

# ---- gradients -------------------------------------------------------------------------------------------------

present(::AbstractZero) = nothing
present(x::AbstractThunk) = present(unthunk(x))
present(x) = x

tangent_or_zero(::Nothing) = ZeroTangent()
tangent_or_zero(x) = x

"""
The pullback of a function of `N` matrices, from `back`, which maps a cotangent of the result to gradients. Its type does not depend on
the policy, which is known only when the call runs, so the code of an AD engine is inferred.
"""
struct InputPullback{N}
    back::Any
end
(pullback::InputPullback{N})(Ω̄) where {N} = (NoTangent(), map(tangent_or_zero, pullback.back(unthunk(Ω̄))[1:N])...)

# Cotangents of a result that was unpacked as a tuple.
const ByPlace = Union{Tuple, Tangent{<:Any, <:Tuple}}

# The cotangent of a real output is real, although an engine may pass a complex one.
real_if(primal, ::Nothing) = nothing
real_if(::AbstractArray{<:Real}, x::AbstractArray{<:Complex}) = real(x)
real_if(primal, x) = x

"""
    solution(p, a, b)

Eigenvalues `n × count`, eigenvectors `n × n × count`, and further data for the rules of the problem.
"""
function solution end

"""
    pullback_at(p, a, b, Ω)

The pullback of [`solution`](@ref) at its value `Ω`: from cotangents of `Ω`, each of which may be `nothing`, to gradients of `a` and `b`.
"""
function pullback_at(p::Eigenproblem, a, b, (w, V, U))
    norms = input_norms(p, a, b)
    return (λ̄, V̄, Ū) -> input_gradients(p, norms, a, b, w, V, U, λ̄, V̄, Ū)
end

# The core computes the gradients where it knows the rule.
function input_gradients(p::Eigenproblem, norms, a, b, w, V, U, λ̄, V̄, Ū)
    is_known_to_core(p, w, V, U, λ̄, V̄, Ū) && return gradients_by_core(p, norms, w, V, U, λ̄, V̄, Ū)
    Ā, B̄ = matrix_gradients(p, norms, rule_matrices(p, a, b)..., w, V, U, λ̄, V̄, Ū)
    return shared_gradient(p, p.a, Ā), shared_gradient(p, p.b, B̄)
end
is_known_to_core(p, w, V, U, cotangents...) = false

"""
    matrix_gradients(p, norms, A, B, w, V, U, λ̄, V̄, Ū)

The gradients with respect to the matrices of all problems of the batch; `nothing` for a missing B. For Hermitian problems, only the
Hermitian parts of the gradients are used. `A` and `B` are the [`rule_matrices`](@ref).
"""
function matrix_gradients end

"""
    rule_matrices(p, a, b)

The matrices, for rules that need them in addition to the solution.
"""
rule_matrices(p::Eigenproblem, a, b) = nothing, nothing

# (X M̄ + Z) Yᴴ of each problem. `M̄` is `n × n × count`, or `n × count` for the diagonals of diagonal ones.
sandwich(X, ::Nothing, Y, Z = nothing) = nothing
function sandwich(X, M̄, Y, Z = nothing)
    S = number_type(X, M̄, Y, Z)
    Ḡ = Array{S}(undef, size(X, 1), size(Y, 1), size(Y, 3))
    for k in axes(Y, 3)
        XM̄ = times!(Matrix{S}(undef, size(X, 1), size(X, 2)), matrix(X, k), slice(M̄, k))
        Z === nothing || (XM̄ .+= matrix(Z, k))
        product!(matrix(Ḡ, k), XM̄, matrix(Y, k)')
    end
    return Ḡ
end

# ---- tangents --------------------------------------------------------------------------------------------------

"""
    pushforward_at(p, a, b, Ω)

The tangent map of [`solution`](@ref) at its value `Ω`: from tangents of the matrices, either of which may be `nothing`, to tangents of `Ω`.
"""
function pushforward_at(p::Eigenproblem, a, b, Ω)
    norms = input_norms(p, a, b)
    return (Ȧ, Ḃ) -> solution_pushforward(p, norms, Ω..., Ȧ, Ḃ)
end

function solution_and_tangent(p::Eigenproblem, tangents, a, b)
    check_tangents(tangents, a, b)
    Ω = solution(p, a, b)
    Ȧ, Ḃ = tangent_matrices(p, p.a, tangents[1]), tangent_matrices(p, p.b, last(tangents))
    return Ω, pushforward_at(p, a, b, Ω)(Ȧ, Ḃ)
end

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

# ---- ChainRules ------------------------------------------------------------------------------------------------

function ChainRulesCore.frule((_, _, ȧ, ḃ)::Tuple, ::typeof(solution), p, a, b)
    Ω = solution(p, a, b)
    return Ω, pushforward_at(p, a, b, Ω)(tangent_matrices(p, p.a, ȧ), tangent_matrices(p, p.b, ḃ))
end

function ChainRulesCore.rrule(::typeof(solution), p, a, b)
    Ω = solution(p, a, b)
    pullback = pullback_at(p, a, b, Ω)
    function solution_pullback(Ω̄)
        λ̄, V̄, Ū = solution_cotangents(p, Ω, Ω̄)
        λ̄ === nothing && V̄ === nothing && Ū === nothing && return NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent()
        return NoTangent(), NoTangent(), map(tangent_or_zero, pullback(λ̄, V̄, Ū))...
    end
    solution_pullback(::AbstractZero) = (NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent())
    return Ω, solution_pullback
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

# ---- second order ----------------------------------------------------------------------------------------------

"""
    lose_undetermined!(p, norms, Ω, vectors, inputs, outputs)

Make the partials of the `outputs` of a rule NaN if its `inputs` vary and the matrix has no second derivatives, through eigenvectors or
(without `vectors`) through eigenvalues alone.
"""
function lose_undetermined!(p, norms, (w, V, U), vectors, inputs, outputs)
    any(varies, inputs) || return nothing
    affected = [any(x -> varies(slice(x, k)), inputs) for k in axes(w, 2)]
    for k in undetermined_matrices(p, norms, w, V, U, vectors, affected)
        foreach(x -> x === nothing || map!(unknown_partials, slice(x, k), slice(x, k)), outputs)
    end
    return nothing
end

"""
    undetermined_matrices(p, norms, w, V, U, vectors, affected)

Which of the `affected` matrices have no second derivatives, because two eigenvalues are too close.
"""
function undetermined_matrices(p, norms, w, V, U, vectors, affected = trues(size(w, 2)))
    decision = decide(p, SECOND_ORDER, norms, w, V, U; options = vectors ? OF_VECTORS : 0)
    found = filter(k -> affected[k] && is_refused(decision, k), axes(w, 2))
    explain_refusals(p, w, U, decision, found)
    return found
end

function ChainRulesCore.rrule(::typeof(input_gradients), p, norms, a, b, w, V, U, λ̄, V̄, Ū)
    function input_gradients_pullback(Δ)
        Ȧ, Ḃ = gradient_cotangent(p, p.a, Δ[1]), gradient_cotangent(p, p.b, Δ[2])
        none, zero = NoTangent(), ZeroTangent()
        Ȧ === nothing && Ḃ === nothing && return ntuple(_ -> none, 11)
        ∂a, ∂b, ∂s... = second_order_pullback(p, norms, a, b, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)
        ∂λ̄, ∂V̄, ∂Ū = map((x̄, ∂) -> x̄ === nothing ? zero : tangent_or_zero(∂), (λ̄, V̄, Ū), ∂s)
        # w, V and U get none, because they are functions of a and b.
        return none, none, none, tangent_or_zero(∂a), tangent_or_zero(∂b), zero, zero, zero, ∂λ̄, ∂V̄, ∂Ū
    end
    return input_gradients(p, norms, a, b, w, V, U, λ̄, V̄, Ū), input_gradients_pullback
end

"""
    second_order_pullback(p, norms, a, b, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)

Cotangents of `(a, b, λ̄, V̄, Ū)` for the cotangents `Ȧ`, `Ḃ` of the matrices' gradients, either of which may be `nothing`. The gradient is
Jᴴ (λ̄, V̄, Ū), with J the tangent map of the solve:

- λ̄, V̄ and Ū get J(Ȧ, Ḃ), because the gradient is linear in them;
- `a` and `b` get the tangent of the gradient along (Ȧ, Ḃ), because second derivatives are symmetric.

NaN where two eigenvalues are too close for a second derivative.
"""
function second_order_pullback(p, norms, a, b, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)
    A, B = rule_matrices(p, a, b)
    ẇ, V̇, U̇ = pushforward_at(p, a, b, (w, V, U))(Ȧ, Ḃ)
    moving = along(A, Ȧ), along(B, Ḃ), along(w, ẇ), along(V, V̇), along(U, U̇)
    Ä, B̈ = map(derivative_along, matrix_gradients(p, norms, moving..., λ̄, V̄, Ū))
    results = Ä, B̈, ẇ, V̇, U̇
    # The gradient of a loss of eigenvalues alone is NaN only where these are too close, not where vectors are.
    affected = [any_nonzero(k, Ȧ, Ḃ) for k in axes(w, 2)]
    undetermined = undetermined_matrices(p, norms, w, V, U, !(V̄ === nothing && Ū === nothing), affected)
    for k in axes(w, 2), x in results
        x === nothing || (affected[k] ? k in undetermined && fill!(slice(x, k), NaN) : fill!(slice(x, k), 0))
    end
    return shared_gradient(p, p.a, Ä), shared_gradient(p, p.b, B̈), ẇ, V̇, U̇
end
