# The policies, and their decisions about every two eigenvalues of a matrix: whether the gap is kept, dropped or refused, and why. The
# core decides, and this file calls it. Decisions are made on plain numbers, also if a rule computes with dual ones.

"""
    EigenPair.DegeneracyPolicy

What derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref), [`EigenPair.mask`](@ref),
[`EigenPair.broaden`](@ref) or [`EigenPair.raw`](@ref).
"""
abstract type DegeneracyPolicy end

struct Check <: DegeneracyPolicy
    c::Float64
    generic_basis::Bool
    explain::Bool
    coupled::Symbol
    refused::Symbol
    # Where the function was called, for explanations.
    file::Symbol
    line::Int
end

# A copy with other values of some fields.
renewed(p::Check; file = p.file, line = p.line) = Check(p.c, p.generic_basis, p.explain, p.coupled, p.refused, file, line)

struct Mask <: DegeneracyPolicy
    tol::Float64
end

struct Broaden <: DegeneracyPolicy
    eps::Float64
end

struct Raw <: DegeneracyPolicy end

"""
    EigenPair.check(; c = 10, generic_basis = false, explain = false, coupled = :nan, refused = :nan)

The default policy: right, or NaN. Eigenvalues closer than `c √n ε s` form a cluster. `ε` is the machine epsilon, and `s` the scale of the
problem (the largest `|λ|` of a standard problem). If the loss does not depend on the basis of a cluster, the gradient leaves out the gaps
inside it. Otherwise the gradient is NaN for that matrix. Second derivatives through a cluster are NaN. Second derivatives through
eigenvectors are NaN even at gaps up to `√(c √n ε) s`, because they divide by gaps twice.

Forward mode does not see the loss, but it sees the perturbation. If the perturbation couples two vectors of one cluster (`vᵢᴴ dA vⱼ` is
larger than a rounding error), their tangents do not exist and are NaN. All other tangents are right for every loss that has a derivative.
The tangents of eigenvalues are those of symmetric losses. For other losses they belong to the subgradient that reverse mode returns
(`eigh`), or are NaN if the perturbation couples (`eig`).

- `coupled = :mask` makes forward mode leave out this rotation. The tangents are then right for losses that use the cluster only through its
  invariant subspace and symmetric functions of its eigenvalues, which is not checked.
- `refused = :zero` makes the gradient of a refused matrix 0, so that a training step continues with the other matrices. Zero is not the true
  gradient, so count the refusals with [`EigenPair.count_refusals`](@ref). NaN that comes from the loss or the matrix stays NaN, and so do
  tangents and second derivatives.
- `explain = true` warns when a result is NaN: which matrix, which eigenvalues, why, and what to call instead. It points at the line
  that called the function.

Limit: in reverse mode the test is necessary, not sufficient. Two different losses may have the same cotangents at a matrix whose
eigenvectors LAPACK returns in a special basis, such as the identity. `generic_basis = true` makes the test distinguish them. It rotates the
basis of each cluster by a fixed, generic reflection, in the value as well, so the test detects, with probability one, every loss that
depends on the basis. But the eigenvectors of the identity are then no longer the identity. For Hermitian problems.
"""
function check(; c::Real = 10, generic_basis::Bool = false, explain::Bool = false, coupled = :nan, refused = :nan)
    iszero(c) && throw(ArgumentError("`c` must be positive; EigenPair.raw() is the policy without clusters"))
    coupled in (:nan, :mask) || throw(ArgumentError("`coupled` must be :nan or :mask, got $(repr(coupled))"))
    refused in (:nan, :zero) || throw(ArgumentError("`refused` must be :nan or :zero, got $(repr(refused))"))
    return Check(tolerance("c", c), generic_basis, explain, coupled, refused, Symbol(""), 0)
end

"""
    EigenPair.mask(tol)

The policy that leaves out every gap of at most `tol` (absolute), for every loss. Right only for losses of the clusters'
projectors and of symmetric functions of their eigenvalues, which is not checked.
"""
mask(tol::Real) = Mask(tolerance("tol", tol))

"""
    EigenPair.broaden(eps)

The policy that replaces `1/x` by `x/(x² + eps)`: always finite, never exact. Common in tensor-network codes.
"""
broaden(eps::Real) = Broaden(tolerance("eps", eps))

"""
    EigenPair.raw()

The policy that divides by every gap, however small: Inf or NaN at exact degeneracy, rounding errors close to it.
"""
raw() = Raw()

"""
    EigenPair.with_policy(f, policy)

Call `f()` with `policy` for every call in this task that has no `degeneracy` argument:

```julia
EigenPair.with_policy(EigenPair.mask(1e-6)) do
    Zygote.gradient(loss, a)
end
```

A gradient follows the policy under which its forward pass ran.
"""
with_policy(f, policy) = task_local_storage(f, :EigenPairPolicy, checked_policy(policy))

# The policy itself; for `nothing` that of the enclosing `with_policy`; an error for anything else.
as_policy(policy) = located(checked_policy(policy))
as_policy(::Nothing) = located(get(task_local_storage(), :EigenPairPolicy, DEFAULT_POLICY)::DegeneracyPolicy)

@non_differentiable as_policy(::Any)

checked_policy(policy::DegeneracyPolicy) = policy
checked_policy(policy) = throw(
    ArgumentError(
        "`degeneracy` must be EigenPair.check(), EigenPair.mask(tol), EigenPair.broaden(eps) or EigenPair.raw(), \
        got $(repr(policy))$(meant_policy(policy))"
    )
)

# A hint for an error message: which policy the argument may have meant.
meant_policy(_) = ""
meant_policy(::Function) = "; call it"
meant_policy(policy::Real) = "; EigenPair.mask($policy) leaves out gaps up to that number"

function tolerance(name, x::Real)
    (isfinite(x) && x >= 0) ||
        throw(ArgumentError("`$name` must be a finite number that is not negative, got $x"))
    return Float64(x)
end

const DEFAULT_POLICY = check()

# ---- decisions of the core ------------------------------------------------------------------------------------

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

# The subject of a decision: a tangent, a cotangent, or a second derivative.
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
    decide(p, mode, norms, w, V, U; K, λ̄, V̄, Ū, Ȧ, Ḃ, outside, largest, options, sizes)

The [`Decision`](@ref) of the problem's policy. `K` is the matrix that gaps divide. The other arrays are those from which `K` was computed, as
in csrc/include/eigenpair.h: `check()` compares `K` with the size of their rounding errors. `nothing` stands for a missing array.
"""
function decide(
        p, mode, norms, w, V, U; K = nothing, λ̄ = nothing, V̄ = nothing, Ū = nothing, Ȧ = nothing, Ḃ = nothing, outside = nothing,
        largest = nothing, options = 0, scales = nothing, sizes = nothing
    )
    n, count = size(w)
    decision = Decision(zeros(Int32, n, n, count), zeros(Int32, n, count))
    # In the precision of the eigenvalues, whose rounding errors decide; cotangents may come in another one.
    W = plain_type(eltype(w))
    R = real(W)
    T = plain_type(number_type(w, V, U, K, V̄, Ū, Ȧ, Ḃ)) <: Complex ? complex(R) : R
    plain_dense(::Type, ::Any) = nothing
    plain_dense(::Type{S}, x::AbstractArray) where {S} = dense(S, plain_array(x))
    matrices, numbers = map(x -> plain_dense(T, x), (V, U, V̄, Ū, Ȧ, Ḃ)), map(x -> plain_dense(R, x), (outside, largest))
    scale, edges = plain_dense(R, known_scale(U)), plain_dense(R, known_edges(U))
    arrays = p.degeneracy isa Check ? (
            plain_dense(W, w), plain_dense(T, K), plain_dense(W, λ̄), scale, nothing, nothing, plain_dense(R, sizes),
            plain_dense(R, norms_by_matrix(norms)), matrices..., numbers..., edges, nothing,
        ) : (plain_dense(W, w), ntuple(_ -> nothing, 17)...)
    native_decision!(
        decision.reasons, decision.lost, dtype_code(T), W <: Complex, core_type(p), mode, core_policy(p.degeneracy), options, p.n, arrays,
        scales
    )
    refuse_hole!(decision, p, mode, w, V̄, U)
    return decision
end

# The scale of the rounding errors of each Hermitian problem.
function rounding_scales(p, norms, w, V, U)
    scales = Vector{plain_type(eltype(w))}(undef, size(w, 2))
    decide(p, FORWARD, norms, w, V, U; scales)
    return scales
end

norms_by_matrix(::Nothing) = nothing
norms_by_matrix((norms_a, norms_b)) = permutedims([norms_a (norms_b === nothing ? zero(norms_a) : norms_b)])
# Eigenvalues that were left out between those that are there; large/rule.jl adds a method.
refuse_hole!(decision, p, mode, w, V̄, U) = nothing
# A subset knows them of the whole problem.
known_scale(U) = nothing
known_edges(U) = nothing

# About a tangent, whose P of each matrix are divided by gaps.
function decide_forward(p, norms, w, V, U, Ps, Ȧ, Ḃ; outside = nothing, largest = nothing)
    K = Ȧ === nothing && Ḃ === nothing || isempty(Ps) ? nothing : stack(Ps)
    Ȧ = tangent_entries(p, norms, w, V, U, Ȧ)
    masks = p.degeneracy isa Check && p.degeneracy.coupled === :mask
    options = masks || Ȧ === nothing && Ḃ === nothing ? MASK_COUPLED : 0
    decision = decide(p, FORWARD, norms, w, V, U; K, Ȧ, Ḃ, outside, largest, options)
    explain_refusals(p, w, U, decision)
    return decision
end

# All entries of the tangents; `nothing` where there is no cluster, which alone needs them, and they are not at hand.
tangent_entries(p, norms, w, V, U, Ȧ) = Ȧ

# About a gradient; K̄ is `nothing`, like V̄ and Ū, for a loss of the eigenvalues alone.
decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, K̄) =
    decide(p, REVERSE, norms, w, V, U; K = K̄, λ̄, V̄, Ū, largest = V̄ === nothing ? nothing : largest_outside(p, norms, V̄))

# ---- inverse gaps --------------------------------------------------------------------------------------------

"""
`F[i, j]` of one matrix, entry by entry: the replacement of `1/(λⱼ − λᵢ)` under the policy.
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

# An entry of the cotangent, with the value 0 if it is noise. Its partials are kept, because the coupling need not vanish at a
# neighbouring matrix.
significant(F::InverseGaps, K̄, i, j) = F.reasons[i, j] == NOISE ? K̄ - plain(K̄) : K̄

# ---- gradients that are refused --------------------------------------------------------------------------------

"""
    EigenPair.count_refusals(f)

`(f(), refused)`: the result of `f()`, and the number of matrices whose gradient `check` refused during this call, in this task.

```julia
(gradient,), refused = EigenPair.count_refusals(() -> Zygote.gradient(loss, model))
```
"""
function count_refusals(f)
    counter = Ref(0)
    result = task_local_storage(f, :EigenPairRefusals, counter)
    return result, counter[]
end

"""
    settle!(policy, k, given, gradients, lost = false)

If a gradient of matrix `k` is NaN or `lost`, although its eigenvalues and cotangents, `given`, are not NaN: count it, and
set it to 0 if the policy says so. Returns whether it was set to 0.
"""
settle!(policy, k, given, gradients, lost = false) = false
function settle!(policy::Check, k, given, gradients, lost = false)
    counter = get(task_local_storage(), :EigenPairRefusals, nothing)
    (counter === nothing && policy.refused === :nan) && return false
    at_k(xs) = (selectdim(x, ndims(x), k) for x in xs if x !== nothing)
    lost || any(x -> any(isnan, x), at_k(gradients)) || return false
    # Numbers with partials belong to a second derivative, which stays NaN.
    all(x -> !(eltype(x) <: Union{Dual, Complex{<:Dual}}) && all(isfinite, x), at_k(given)) || return false
    counter === nothing || (counter[] += 1)
    policy.refused === :zero || return false
    foreach(x -> fill!(x, 0), at_k(gradients))
    return true
end
