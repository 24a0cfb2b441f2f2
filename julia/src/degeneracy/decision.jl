# What a policy decides about each two eigenvalues of a matrix: whether their gap is kept, dropped or refused, and why. The core
# decides, and this file asks it. Decisions are made on plain numbers, also where a rule computes with dual ones.

# Why a gap is dropped or refused; the codes are the core's, except CUT, which only spectral_projector has.
const NO_REASON = Int32(0)
const BASIS = Int32(1)
const ORDER = Int32(2)
const COUPLED = Int32(3)
const DEFECTIVE = Int32(4)
const SECOND = Int32(5)
const CUT = Int32(6)
const EDGE = Int32(7)
const CLUSTER = Int32(16)
const NOISE = Int32(17)

# What is decided about: a tangent, a cotangent, or a second derivative.
const FORWARD = Int32(0)
const REVERSE = Int32(1)
const SECOND_ORDER = Int32(2)
# Options, as a sum.
const MASK_COUPLED = Int32(1)
const OF_VECTORS = Int32(2)

"""
Decisions about a batch. `reasons[i, j, k]`: why the gap between two eigenvalues of matrix `k` is dropped or refused, `NO_REASON` where it
is kept. `lost[i, k]`: why an eigenvalue or its vector has no derivative, or 0.
"""
struct Decision
    reasons::Array{Int32, 3}
    lost::Matrix{Int32}
end

is_refused(decision::Decision, k) = any(!iszero, view(decision.lost, :, k))
has_cluster(decision::Decision) = any(==(CLUSTER), decision.reasons)
is_refusal(reason) = NO_REASON < reason < CLUSTER
# For noise, the entry of the cotangent is dropped and the gap is kept.
keeps_gap(reason) = reason == NO_REASON || reason == NOISE

core_policy(policy::Check) = Int32(0), policy.c
core_policy(policy::Mask) = Int32(1), policy.tol
core_policy(policy::Broaden) = Int32(2), policy.eps
core_policy(::Raw) = Int32(3), 0.0

"""
    decide(p, mode, norms, w, V, U; K, λ̄, V̄, Ū, Ȧ, Ḃ, outside, largest, options)

The [`Decision`](@ref) of the problem's policy. `K` is what gaps divide. The other arrays are what it was computed from, as in
csrc/include/eigenpair.h: `check()` compares with the size of their rounding errors. What is not there is `nothing`.
"""
function decide(
        p, mode, norms, w, V, U; K = nothing, λ̄ = nothing, V̄ = nothing, Ū = nothing, Ȧ = nothing, Ḃ = nothing, outside = nothing,
        largest = nothing, options = 0, scales = nothing
    )
    n, count = size(w)
    decision = Decision(zeros(Int32, n, n, count), zeros(Int32, n, count))
    T = plain_type(number_type(w, V, U, K, V̄, Ū, Ȧ, Ḃ))
    R, W = real(T), plain_type(eltype(w))
    plain_dense(::Type, ::Any) = nothing
    plain_dense(::Type{S}, x::AbstractArray) where {S} = dense(S, plain_array(x))
    matrices, numbers = map(x -> plain_dense(T, x), (V, U, V̄, Ū, Ȧ, Ḃ)), map(x -> plain_dense(R, x), (outside, largest))
    scale, edges = known_scale(U), known_edges(U)
    arrays = p.degeneracy isa Check ? (
            plain_dense(W, w), plain_dense(T, K), plain_dense(W, λ̄), scale, nothing, nothing, nothing,
            plain_dense(R, norms_by_matrix(norms)), matrices..., numbers..., edges, nothing,
        ) : (plain_dense(W, w), ntuple(_ -> nothing, 17)...)
    native_decision!(
        decision.reasons, decision.lost, dtype_code(T), W <: Complex, core_type(p), mode, core_policy(p.degeneracy), options, p.n, arrays,
        scales
    )
    return decision
end

# The size of each Hermitian problem, which rounding errors come from.
function rounding_scales(p, norms, w, V, U)
    scales = Vector{plain_type(eltype(w))}(undef, size(w, 2))
    decide(p, FORWARD, norms, w, V, U; scales)
    return scales
end

norms_by_matrix(::Nothing) = nothing
norms_by_matrix((norms_a, norms_b)) = permutedims([norms_a (norms_b === nothing ? zero(norms_a) : norms_b)])
# A subset knows them of the whole problem.
known_scale(U) = nothing
known_edges(U) = nothing

# About a tangent, whose P of each matrix are divided by gaps.
function decide_forward(p, norms, w, V, U, Ps, Ȧ, Ḃ; outside = nothing, largest = nothing)
    options = p.degeneracy isa Check && p.degeneracy.coupled === :mask ? MASK_COUPLED : 0
    K = Ȧ === nothing && Ḃ === nothing || isempty(Ps) ? nothing : stack(Ps)
    decision = decide(p, FORWARD, norms, w, V, U; K, Ȧ, Ḃ, outside, largest, options)
    explain_refusals(p, w, U, decision)
    return decision
end

# About a gradient; K̄ is `nothing`, like V̄ and Ū, for a loss of the eigenvalues alone.
decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, K̄) =
    decide(p, REVERSE, norms, w, V, U; K = K̄, λ̄, V̄, Ū, largest = V̄ === nothing ? nothing : largest_outside(p, norms, V̄))

"""
    lose_undetermined!(p, norms, Ω, vectors, inputs, outputs)

Where a matrix has no second derivatives, through eigenvectors or (not `vectors`) eigenvalues alone, and the `inputs` of a rule vary:
make the partials of its `outputs` NaN.
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

# ---- inverse gaps --------------------------------------------------------------------------------------------

"""
`F[i, j]` of one matrix, entry by entry: what replaces `1/(λⱼ − λᵢ)` under the policy.
"""
struct InverseGaps{D <: DegeneracyPolicy, L <: AbstractVector, M <: AbstractMatrix{Int32}}
    policy::D
    λ::L
    reasons::M
end
InverseGaps(p::Eigenproblem, w, decision::Decision, k) = InverseGaps(p.degeneracy, column(w, k), matrix(decision.reasons, k))

Base.getindex(F::InverseGaps, i, j) = i != j && divides(F, i, j) ? inverse_gap(F.policy, gap(F.λ[i], F.λ[j])) : zero(eltype(F.λ))
divides(F::InverseGaps, i, j) = keeps_gap(F.reasons[i, j])
# At a gap of 0 the value is 0, but not the slope.
divides(F::InverseGaps{Broaden}, i, j) = true

gap(λᵢ::Real, λⱼ::Real) = λⱼ - λᵢ

inverse_gap(::DegeneracyPolicy, x) = inv(x)
# conj(x)/(|x|² + ε), written so that no square can underflow.
inverse_gap(policy::Broaden, x) = iszero(plain(x)) ? conj(x) / epsilon(policy, x) : inv(x + epsilon(policy, x) / conj(x))
epsilon(policy::Broaden, x) = real(plain_type(typeof(x)))(policy.eps)

# (∂F/∂x, ∂F/∂x̄) of the gap x; only `broaden` is not holomorphic.
slopes(F::InverseGaps, i, j) = i != j && divides(F, i, j) ? inverse_gap_slopes(F.policy, gap(F.λ[i], F.λ[j])) :
    (zero(eltype(F.λ)), zero(eltype(F.λ)))
inverse_gap_slopes(policy, x) = -inv(x)^2, zero(x)
function inverse_gap_slopes(policy::Broaden, x)
    ε = epsilon(policy, x)
    iszero(plain(x)) && return zero(x), one(x) / ε
    F = inverse_gap(policy, x)
    return -F^2, ε * (F / conj(x))^2
end

# An entry of the cotangent, with the value 0 if it is noise. Its partials are kept, because the coupling need not vanish at a
# neighbouring matrix.
significant(F::InverseGaps, K̄, i, j) = F.reasons[i, j] == NOISE ? K̄ - plain(K̄) : K̄

"""
    generic_reflection(T, reasons)

`H = I − 2 r rᴴ/|r|²` inside each cluster of two or more, with a fixed vector `r` of no symmetry.
"""
function generic_reflection(::Type{T}, reasons) where {T}
    n = size(reasons, 1)
    frac(x) = x - floor(x)
    phase(k) = T <: Complex ? cispi(2 * frac(k * sqrt(2))) : 1
    r = T[(1 + frac(k * (sqrt(5) - 1) / 2)) * phase(k) for k in 1:n]
    together(i, j) = i == j || reasons[i, j] == CLUSTER
    members(i) = filter(j -> together(i, j), 1:n)
    size_of_cluster = [sum(j -> abs2(r[j]), members(i)) for i in 1:n]
    alone(i) = length(members(i)) == 1
    return T[(i == j) - (together(i, j) && !alone(i) ? 2 * r[i] * conj(r[j]) / size_of_cluster[i] : zero(T)) for i in 1:n, j in 1:n]
end
