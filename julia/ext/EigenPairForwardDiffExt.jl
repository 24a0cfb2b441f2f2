# Dual numbers, for ForwardDiff itself and for Hessians that run it over reverse mode: the rules applied by hand to each
# partial derivative. Nothing else in the package needs to know of them, because the other steps are generic.
module EigenPairForwardDiffExt

using EigenPair
using EigenPair: HermitianProblem, Check, SymmetricOrHermitian
using ForwardDiff: ForwardDiff, Dual
using LinearAlgebra

const DualNumber = Union{Dual, Complex{<:Dual}}

EigenPair.working_type(name, ::Type{Dual{Tag, V, N}}) where {Tag, V, N} = Dual{Tag, EigenPair.working_type(name, V), N}

value_type(::Type{T}) where {T} = T
value_type(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = V
value_type(::Type{Complex{T}}) where {T} = Complex{value_type(T)}

dual_type(::Type{T}) where {T <: Dual} = T
dual_type(::Type{Complex{T}}) where {T} = T

# The value of a number, and its i-th partial: numbers that are not dual have none.
value(::Type{<:Dual{Tag}}, x::Dual{Tag}) where {Tag} = ForwardDiff.value(x)
value(D, x::Real) = x
value(D, x::Complex) = complex(value(D, real(x)), value(D, imag(x)))
partial(::Type{<:Dual{Tag}}, x::Dual{Tag}, i) where {Tag} = ForwardDiff.partials(x, i)
partial(D, x::Real, i) = zero(x)
partial(D, x::Complex, i) = complex(partial(D, real(x), i), partial(D, imag(x), i))

# A wrapper must stay one: it says which triangle is meant.
each(f, ::Nothing) = nothing
each(f, x::AbstractArray) = map(f, x)
each(f, x::Symmetric) = Symmetric(map(f, parent(x)), LinearAlgebra.sym_uplo(x.uplo))
each(f, x::Hermitian) = Hermitian(map(f, parent(x)), LinearAlgebra.sym_uplo(x.uplo))
values_of(D, x) = each(y -> value(D, y), x)
partial_of(D, x, i) = each(y -> partial(D, y, i), x)

combine(D, ::Nothing, partials) = nothing
combine(D, x, partials) = map((y, ẏs...) -> dual(D, y, ẏs), x, partials...)
dual(::Type{Dual{Tag, V, N}}, y::Real, ẏs) where {Tag, V, N} = Dual{Tag}(convert(V, y), map(ẏ -> convert(V, ẏ), ẏs))
dual(D, y::Complex, ẏs) = complex(dual(D, real(y), map(real, ẏs)), dual(D, imag(y), map(imag, ẏs)))

combine_all(D::Type{<:Dual{<:Any, <:Any, N}}, Ω, Ω̇s) where {N} =
    ntuple(j -> combine(D, Ω[j], ntuple(i -> Ω̇s[i][j], N)), length(Ω))

function EigenPair.hermitian_solve(p::HermitianProblem{T}, a, b) where {T <: DualNumber}
    D = dual_type(T)
    p₀ = HermitianProblem{value_type(T)}(p)
    a₀, b₀ = values_of(D, a), values_of(D, b)
    Ω = EigenPair.hermitian_solve(p₀, a₀, b₀)
    norms = EigenPair.input_norms(p₀, a₀, b₀)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        Ȧ = EigenPair.hermitian_tangent(p₀, p₀.a, partial_of(D, a, i))
        Ḃ = b === nothing ? nothing : EigenPair.hermitian_tangent(p₀, p₀.b, partial_of(D, b, i))
        Ω̇ = EigenPair.hermitian_pushforward(p₀, norms, Ω..., Ȧ, Ḃ)
        value_type(T) <: DualNumber && undetermined!(p₀, norms, Ω, Ω̇)
        Ω̇
    end
    return combine_all(D, Ω, Ω̇s)
end

# Forward mode over forward mode: a second derivative through a cluster must not come out of the masked first one.
undetermined!(p, norms, (w, V, U), Ω̇) = nothing
function undetermined!(p::HermitianProblem{<:Any, <:Any, Check}, norms, (w, V, U), Ω̇)
    for k in axes(w, 2)
        F, _ = EigenPair.inverse_gaps(p, norms, w, V, U, k)
        EigenPair.has_cluster(F) || continue
        EigenPair.warn_second_order(k, size(w, 2))
        for x in Ω̇
            x === nothing || map!(unknown_partials, selectdim(x, ndims(x), k), selectdim(x, ndims(x), k))
        end
    end
    return nothing
end
unknown_partials(x::Dual{Tag, V, N}) where {Tag, V, N} = Dual{Tag}(ForwardDiff.value(x), ntuple(_ -> V(NaN), N))
unknown_partials(x::Complex) = complex(unknown_partials(real(x)), unknown_partials(imag(x)))

# The rule for the pullback, whichever of its arguments carry the partials.
function EigenPair.hermitian_pullback(::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) where {S <: DualNumber}
    return dual_pullback(dual_type(S), p, norms, w, V, U, λ̄, V̄, Ū)
end
# Where the core's method for losses of eigenvalues alone would apply as well.
function EigenPair.hermitian_pullback(
        ::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄::Nothing, Ū::Nothing
    ) where {S <: DualNumber}
    return dual_pullback(dual_type(S), p, norms, w, V, U, λ̄, V̄, Ū)
end

function dual_pullback(::Type{D}, p::HermitianProblem{T}, norms, w, V, U, λ̄, V̄, Ū) where {D, T}
    p₀ = HermitianProblem{T <: DualNumber && dual_type(T) == D ? value_type(T) : T}(p)
    norms₀ = norms === nothing ? nothing : map(x -> values_of(D, x), norms)
    arguments = (w, V, U, λ̄, V̄, Ū)
    arguments₀ = map(x -> values_of(D, x), arguments)
    Ω = EigenPair.hermitian_pullback(p₀, norms₀, arguments₀...)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        tangents = map(x -> partial_of(D, x, i), arguments)
        EigenPair.second_order_pushforward(p₀, norms₀, arguments₀..., tangents...)
    end
    return combine_all(D, Ω, Ω̇s)
end

end
