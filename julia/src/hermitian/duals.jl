# Hermitian problems of dual numbers: the rules, applied to each partial derivative.

function hermitian_solve(p::HermitianProblem{T}, a, b) where {T <: DualNumber}
    D = dual_type(T)
    p₀ = HermitianProblem{value_type(T)}(p)
    a₀, b₀ = values_of(D, a), values_of(D, b)
    Ω = hermitian_solve(p₀, a₀, b₀)
    norms = input_norms(p₀, a₀, b₀)
    pushforward = pushforward_of(p₀, a₀, b₀, Ω)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        Ȧ = hermitian_tangent(p₀, p₀.a, partial_of(D, a, i))
        Ḃ = b === nothing ? nothing : hermitian_tangent(p₀, p₀.b, partial_of(D, b, i))
        Ω̇ = pushforward(Ȧ, Ḃ)
        value_type(T) <: DualNumber && undetermined!(p₀, norms, Ω, Ω̇)
        Ω̇
    end
    return combine_all(D, Ω, Ω̇s)
end

# Forward mode over forward mode: second derivatives through a cluster are NaN, although first ones leave its gaps out.
undetermined!(p, norms, (w, V, U), Ω̇) = nothing
function undetermined!(p::HermitianProblem{<:Any, <:Any, <:Any, Check}, norms, (w, V, U), Ω̇)
    for k in axes(w, 2)
        F = inverse_gaps(p, norms, w, V, U, k)
        undetermined(F, true) || continue
        explain_second_order(F, p, k, size(w, 2))
        for x in (undetermined(F, false) ? Ω̇ : Base.tail(Ω̇))
            x === nothing || map!(unknown_partials, selectdim(x, ndims(x), k), selectdim(x, ndims(x), k))
        end
    end
    return nothing
end

# The rule for the pullback, whichever of its arguments carry the partials.
function hermitian_pullback(::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) where {S <: DualNumber}
    return dual_pullback(dual_type(S), p, norms, w, V, U, λ̄, V̄, Ū)
end
# Resolves the ambiguity with the method for losses of eigenvalues alone.
function hermitian_pullback(
        ::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄::Nothing, Ū::Nothing
    ) where {S <: DualNumber}
    return dual_pullback(dual_type(S), p, norms, w, V, U, λ̄, V̄, Ū)
end

function dual_pullback(::Type{D}, p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) where {D}
    p₀ = without_partials(D, p)
    norms₀ = norms === nothing ? nothing : map(x -> values_of(D, x), norms)
    arguments = (w, V, U, λ̄, V̄, Ū)
    arguments₀ = map(x -> values_of(D, x), arguments)
    Ω = hermitian_pullback(p₀, norms₀, arguments₀...)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        tangents = map(x -> partial_of(D, x, i), arguments)
        second_order_pushforward(p₀, norms₀, arguments₀..., tangents...)
    end
    return combine_all(D, Ω, Ω̇s)
end

# ---- a subset alone --------------------------------------------------------------------------------------------

each(f, x::Reduction) = x
partial_of(D, ::Reduction, i) = nothing
combine(D, x::Reduction, partials) = x

# The problem whose numbers lack the partials of `D`, if it has them.
without_partials(::Type{D}, p::HermitianProblem{T}) where {D, T} =
    HermitianProblem{T <: DualNumber && dual_type(T) == D ? value_type(T) : T}(p)

varied(p, input, ::Nothing) = nothing
varied(p, input, ẋ) = hermitian_tangent(p, input, ẋ)

function complement(::Type{S}, p::SubsetProblem, reduction, a, b, w, V, Y) where {S <: DualNumber}
    D = dual_type(S)
    p₀ = without_partials(D, p)
    arguments = (a, b, w, V, Y)
    arguments₀ = map(x -> values_of(D, x), arguments)
    X = complement(p₀, reduction, arguments₀...)
    Ẋs = ntuple(ForwardDiff.npartials(D)) do i
        ȧ, ḃ, ẇ, V̇, Ẏ = map(x -> partial_of(D, x, i), arguments)
        Ȧ, Ḃ = varied(p₀, p₀.a, ȧ), varied(p₀, p₀.b, ḃ)
        complement_pushforward(p₀, reduction, arguments₀..., X, Ȧ, Ḃ, ẇ, V̇, Ẏ)
    end
    return combine(D, X, Ẋs)
end

function subset_matrix_gradients(::Type{S}, p::SubsetProblem, reduction, a, b, w, V, λ̄, V̄) where {S <: DualNumber}
    D = dual_type(S)
    p₀ = without_partials(D, p)
    arguments = (a, b, w, V, λ̄, V̄)
    arguments₀ = map(x -> values_of(D, x), arguments)
    Ω = subset_matrix_gradients(p₀, reduction, arguments₀...)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        ȧ, ḃ, tangents... = map(x -> partial_of(D, x, i), arguments)
        Ȧ, Ḃ = varied(p₀, p₀.a, ȧ), varied(p₀, p₀.b, ḃ)
        subset_second_order(p₀, reduction, arguments₀..., Ȧ, Ḃ, tangents...)
    end
    return combine_all(D, Ω, Ω̇s)
end
