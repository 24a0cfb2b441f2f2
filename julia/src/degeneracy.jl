# What replaces 1/(λⱼ − λᵢ) where eigenvalues coincide, and when no number may be given at all.
# The constants are those of docs/derivations.md: every frontend must reach the same verdicts.

"""
    EigenPair.DegeneracyPolicy

What derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref), [`EigenPair.mask`](@ref),
[`EigenPair.broaden`](@ref) or [`EigenPair.raw`](@ref).
"""
abstract type DegeneracyPolicy end

# Numbers that every frontend shares, in units of √n ε: what a cotangent may be off by; what of it is taken for noise.
const ROUNDING_OF_COTANGENT = 64
const NOISE_OF_COTANGENT = 8
# The gaps, relative to the size of the problem, up to which noise is looked for.
const NEAR = 1.0e-3

struct Check <: DegeneracyPolicy
    c::Float64
    generic_basis::Bool
    explain::Bool
    coupled::Symbol
    refused::Symbol
    # Of the call, for who wants an explanation.
    file::Symbol
    line::Int
end

# The same but for some of its fields.
renewed(p::Check; c = p.c, generic_basis = p.generic_basis, file = p.file, line = p.line) =
    Check(c, generic_basis, p.explain, p.coupled, p.refused, file, line)

struct Mask <: DegeneracyPolicy
    tol::Float64
end

struct Broaden <: DegeneracyPolicy
    eps::Float64
end

struct Raw <: DegeneracyPolicy end

"""
    EigenPair.check(; c = 10, generic_basis = false, explain = false, coupled = :nan, refused = :nan)

The default policy: right, or NaN. Eigenvalues closer than `c √n ε s` form a cluster (`ε` the machine epsilon, `s` the
size that rounding errors come from: the largest `|λ|` of a standard problem). Inside a cluster nothing is divided by a
gap, which is right for losses of the cluster's projector and of symmetric functions of its eigenvalues; when the
cotangent shows that the loss is no such function, the gradient of that matrix is NaN. A second derivative through a cluster is NaN, and
one through eigenvectors already at gaps of `√(c √n ε) s`, for it divides by gaps twice.

Forward mode sees no loss, but it sees the perturbation. If that couples two vectors of one cluster (`vᵢᴴ dA vⱼ` is more than
rounding), they turn at once, and their tangents are NaN. All other tangents are right for every loss that has a derivative. The
tangents of eigenvalues are those of symmetric losses; for other losses they belong to the subgradient that reverse mode gives
(`eigh`) or are NaN where the perturbation couples (`eig`).

- `coupled = :mask` makes forward mode leave the turn out. That is right for losses that use the cluster through its invariant
  subspace and symmetric functions of its eigenvalues only, and nothing checks that they do.
- `refused = :zero` makes the gradient of a refused matrix 0, so that a training step goes on with the others. That is not its
  gradient; [`EigenPair.count_refusals`](@ref) counts them. NaN that comes from the loss or the matrix stays NaN, and so do
  tangents and second derivatives.
- `explain = true` warns when something is NaN: which matrix, which eigenvalues, why, and what to call instead. It points at the line
  that called the function.

Limit: in reverse mode two different losses can hand back the same cotangents at a matrix whose eigenvectors LAPACK returns in a special
basis (at the identity, say), so passing the tests is necessary, not sufficient. `generic_basis = true` closes the gap: it
turns the basis of each cluster by a fixed, generic reflection, in the value as well, so that a loss that depends on the
basis is found out with probability one. In return, the eigenvectors of the identity are no longer the identity. For
Hermitian problems.
"""
function check(; c::Real = 10, generic_basis::Bool = false, explain::Bool = false, coupled = :nan, refused = :nan)
    iszero(c) && throw(ArgumentError("`c` must be positive; EigenPair.raw() is the policy without clusters"))
    coupled in (:nan, :mask) || throw(ArgumentError("`coupled` must be :nan or :mask, got $(repr(coupled))"))
    refused in (:nan, :zero) || throw(ArgumentError("`refused` must be :nan or :zero, got $(repr(refused))"))
    return Check(tolerance("c", c), generic_basis, explain, coupled, refused, Symbol(""), 0)
end

"""
    EigenPair.mask(tol)

The policy that ignores every gap of at most `tol` (absolute), whatever the loss. Right only for losses of the clusters'
projectors and of symmetric functions of their eigenvalues; unlike [`EigenPair.check`](@ref) it does not look.
"""
mask(tol::Real) = Mask(tolerance("tol", tol))

"""
    EigenPair.broaden(eps)

The policy that replaces `1/x` by `x/(x² + eps)`: finite and biased everywhere, as is usual in tensor-network codes.
"""
broaden(eps::Real) = Broaden(tolerance("eps", eps))

"""
    EigenPair.raw()

The policy that divides by the gap, whatever it is: Inf or NaN at exact degeneracy, noise close to it.
"""
raw() = Raw()

"""
    EigenPair.with_policy(f, policy)

Call `f()` with `policy` for every call in this task that names no `degeneracy` of its own:

```julia
EigenPair.with_policy(EigenPair.mask(1e-6)) do
    Zygote.gradient(loss, a)
end
```

A gradient follows the policy under which its forward pass ran.
"""
with_policy(f, policy) = task_local_storage(f, :EigenPairPolicy, checked_policy(policy))

# The policy itself, the block's for `nothing`, or an error that says what would be one.
as_policy(policy) = located(checked_policy(policy))
as_policy(::Nothing) = located(get(task_local_storage(), :EigenPairPolicy, DEFAULT_POLICY)::DegeneracyPolicy)

checked_policy(policy::DegeneracyPolicy) = policy
checked_policy(policy) = throw(
    ArgumentError(
        "`degeneracy` must be EigenPair.check(), EigenPair.mask(tol), EigenPair.broaden(eps) or EigenPair.raw(), \
        got $(repr(policy))$(meant_policy(policy))"
    )
)

# Which policy somebody may have meant.
meant_policy(_) = ""
meant_policy(::Function) = "; call it"
meant_policy(policy::Real) = "; EigenPair.mask($policy) leaves out gaps up to that number"

function tolerance(name, x::Real)
    (isfinite(x) && x >= 0) ||
        throw(ArgumentError("`$name` must be a finite number that is not negative, got $x"))
    return Float64(x)
end

const DEFAULT_POLICY = check()

# ---- inverse gaps --------------------------------------------------------------------------------------------

inverse_gap(::Union{Raw, Check}, x, clustered) = clustered ? zero(x) : inv(x)
inverse_gap(policy::Mask, x, clustered) = abs(x) <= policy.tol ? zero(x) : inv(x)
# x/(x² + ε), written so that neither square can underflow.
inverse_gap(policy::Broaden, x, clustered) = iszero(x) ? zero(x) : inv(x + oftype(x, policy.eps) / x)

# d(inverse_gap)/dx, for second derivatives.
inverse_gap_slope(::Union{Raw, Check}, x, clustered) = clustered ? zero(x) : -inv(x)^2
inverse_gap_slope(policy::Mask, x, clustered) = abs(x) <= policy.tol ? zero(x) : -inv(x)^2
function inverse_gap_slope(policy::Broaden, x, clustered)
    ε = oftype(x, policy.eps)
    return iszero(x) ? inv(ε) : (ε / x / x - 1) * inverse_gap(policy, x, clustered)^2
end

"""
`F[i, j]` of one matrix under a policy, computed entry by entry. `cluster[i]` numbers the cluster of `λ[i]`; `scale` is the
size of the source of rounding errors, which only `check()` asks for. `beyond` are the eigenvalues next to `λ`, below and
above, where `λ` is not the whole spectrum.
"""
struct InverseGaps{D <: DegeneracyPolicy, L <: AbstractVector, R <: Real}
    policy::D
    λ::L
    scale::R
    cluster::Vector{Int}
    beyond::NTuple{2, Float64}
end

inverse_gaps(policy::DegeneracyPolicy, λ, scale, beyond = (-Inf, Inf)) =
    InverseGaps(policy, λ, scale, collect(1:length(λ)), beyond)
function inverse_gaps(policy::Check, λ, scale, beyond = (-Inf, Inf))
    cluster = collect(1:length(λ))
    for i in 2:length(λ)
        cluster[i] = cluster[i - 1] + !(λ[i] - λ[i - 1] <= policy.c * rounding(λ) * scale)
    end
    return InverseGaps(policy, λ, scale, cluster, beyond)
end

rounding(λ) = sqrt(length(λ)) * eps(eltype(λ))
cluster_width(F::InverseGaps{Check}) = F.policy.c * rounding(F.λ) * F.scale

# What `check()` asks for. Of the standard problem, its own size; of a pair, what the i-th eigenvector sees of A and B.
rounding_scale(::DegeneracyPolicy, λ, X, Y, norms) = zero(eltype(λ))
rounding_scale(::Check, λ, X, Y, norms) = rounding_scale(λ, X, Y, norms)
rounding_scale(λ, X, Y, ::Nothing) = maximum(abs, λ; init = zero(eltype(λ)))
function rounding_scale(λ, X, Y, (normA, normB))
    # The squares in this order: ‖x‖² alone may overflow where the product does not.
    seen(norm_of_matrix, x) = norm_of_matrix * norm(x) * norm(x)
    size(i) = seen(normA, view(X, :, i)) + abs(λ[i]) * seen(normB, view(Y, :, i))
    return maximum(size, eachindex(λ); init = zero(eltype(λ)))
end

"""
    undetermined(F, vectors)

Whether two eigenvalues are too close for a second derivative, through eigenvectors or (not `vectors`) eigenvalues alone.
"""
undetermined(::InverseGaps, vectors) = false
function undetermined(F::InverseGaps{Check}, vectors)
    width = second_order_width(F.policy, F.λ, vectors) * F.scale
    return any(i -> !(F.λ[i] - F.λ[i - 1] > width), 2:length(F.λ)) || any(reaches_beyond(F, width))
end

# Below and above. Written so that NaN reaches nothing: such a matrix is NaN anyway.
reaches_beyond(F::InverseGaps, width) = (first(F.λ) - F.beyond[1] <= width, F.beyond[2] - last(F.λ) <= width)

# Through eigenvectors a second derivative divides by gaps twice, so that rounding reaches further.
function second_order_width(policy::Check, λ, vectors)
    width = policy.c * rounding(λ)
    return vectors ? max(width, sqrt(width)) : width
end

clustered(F::InverseGaps, i, j) = F.cluster[i] == F.cluster[j]
has_cluster(F::InverseGaps) = !isempty(F.cluster) && last(F.cluster) < length(F.cluster)

Base.getindex(F::InverseGaps, i, j) =
    i == j ? zero(eltype(F.λ)) : inverse_gap(F.policy, F.λ[j] - F.λ[i], clustered(F, i, j))

slope(F::InverseGaps, i, j) =
    i == j ? zero(eltype(F.λ)) : inverse_gap_slope(F.policy, F.λ[j] - F.λ[i], clustered(F, i, j))

"""
    generic_reflection(T, F)

`H = I − 2 r rᴴ/|r|²` inside each cluster of two or more, with a fixed vector `r` of no symmetry.
"""
function generic_reflection(::Type{T}, F::InverseGaps) where {T}
    n = length(F.λ)
    frac(x) = x - floor(x)
    phase(k) = T <: Complex ? cispi(2 * frac(k * sqrt(2))) : 1
    r = T[(1 + frac(k * (sqrt(5) - 1) / 2)) * phase(k) for k in 1:n]
    size = [sum(abs2(r[k]) for k in 1:n if clustered(F, i, k)) for i in 1:n]
    alone(i) = count(==(F.cluster[i]), F.cluster) == 1
    return T[
        (i == j) - (clustered(F, i, j) && !alone(i) ? 2 * r[i] * conj(r[j]) / size[i] : zero(T)) for i in 1:n, j in 1:n
    ]
end

# ---- the verdict on a cotangent ------------------------------------------------------------------------------

"""
The cotangents `K̄` and `λ̄` of one matrix; `κ(i, j)` is what entries of `K̄` are compared with, of
`check()` alone.
"""
struct Coupling{F, K, L, S, R}
    F::F
    K̄::K
    λ̄::L
    κ::S
    largest_λ̄::R
end

function Coupling(F::InverseGaps, K̄, λ̄, κ)
    R = real(eltype(K̄))
    return Coupling(F, K̄, λ̄, κ, λ̄ === nothing ? zero(R) : R(maximum(abs, λ̄; init = zero(R))))
end

# The anti-Hermitian part of K̄ turns two vectors into each other, the Hermitian part mixes them.
turning(C::Coupling, i, j) = (C.K̄[i, j] - conj(C.K̄[j, i])) / 2
mixing(C::Coupling, i, j) = (C.K̄[i, j] + conj(C.K̄[j, i])) / 2

is_below(C::Coupling, x, units, i, j) = abs(x) <= units * rounding(C.F.λ) * C.κ(i, j)
same_λ̄(C::Coupling, i, j) = C.λ̄ === nothing ||
    abs(C.λ̄[i] - C.λ̄[j]) <= ROUNDING_OF_COTANGENT * rounding(C.F.λ) * C.largest_λ̄

"""
    significant_turning(C, i, j)

`S = (K̄ − K̄ᴴ)/2`, without the noise that a loss which is symmetric in two close eigenvalues leaves there. It is `S` that
loses it and not `F`, because the derivative of `S` may be anything.
"""
function significant_turning(C::Coupling{<:InverseGaps{Check}}, i, j)
    S = turning(C, i, j)
    is_noise = abs(C.F.λ[i] - C.F.λ[j]) <= NEAR * C.F.scale && is_below(C, S, NOISE_OF_COTANGENT, i, j) &&
        (same_λ̄(C, i, j) || is_below(C, mixing(C, i, j), NOISE_OF_COTANGENT, i, j))
    return is_noise ? zero(S) : S
end
significant_turning(C::Coupling, i, j) = turning(C, i, j)

"""
    violation(C)

The first pair of a cluster at which the loss has no derivative that the cotangent determines, or `nothing`.
"""
violation(::Coupling) = nothing
function violation(C::Coupling{<:InverseGaps{Check}})
    F = C.F
    has_cluster(F) || return nothing
    for j in eachindex(F.λ), i in 1:(j - 1)
        clustered(F, i, j) || continue
        is_below(C, turning(C, i, j), ROUNDING_OF_COTANGENT, i, j) || return (; i, j, λ = (F.λ[i], F.λ[j]), reason = BASIS)
        same_λ̄(C, i, j) || is_below(C, mixing(C, i, j), ROUNDING_OF_COTANGENT, i, j) ||
            return (; i, j, λ = (F.λ[i], F.λ[j]), reason = ORDER)
    end
    return nothing
end

# ---- the verdict on a perturbation ---------------------------------------------------------------------------

"""
    coupled(F, S, σ)

The first pair of a cluster that a perturbation couples, and which columns have no tangent, or `nothing`. `S` is what is divided
by gaps, and `σ()` the sizes of what is rounded in it, which is asked for only if there is a cluster.
"""
coupled(F, S, σ) = nothing
function coupled(F::InverseGaps{Check}, S, σ)
    (F.policy.coupled === :nan && has_cluster(F)) || return nothing
    return coupled_pairs((i, j) -> clustered(F, i, j), rounding(F.λ), S, σ())
end

function coupled_pairs(clustered, unit, S, sizes)
    first_pair, lost = nothing, falses(size(S, 2))
    for j in axes(S, 2), i in axes(S, 1)
        # `!(<=)`: a NaN in the tangent fails.
        (i != j && clustered(i, j) && !(abs(plain(S[i, j])) <= ROUNDING_OF_COTANGENT * unit * sizes[i, j])) || continue
        first_pair === nothing && (first_pair = minmax(i, j))
        lost[i] = lost[j] = true
    end
    return first_pair === nothing ? nothing : (; pair = first_pair, lost)
end

# ---- refused gradients ---------------------------------------------------------------------------------------

"""
    EigenPair.count_refusals(f)

`(f(), refused)`: what `f()` returns, and of how many matrices `check` refused the gradient meanwhile, in this task.

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

Where a gradient of matrix `k` is NaN, or `lost` otherwise, although its eigenvalues and cotangents, `given`, are not: count it, and
make it 0 if the policy says so. Returns whether it is 0 now.
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
