# What replaces 1/(λⱼ − λᵢ) where eigenvalues coincide, and when no number may be given at all.
# The constants are those of docs/derivations.md: every frontend must reach the same verdicts.

"""
    EigenPair.DegeneracyPolicy

What derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref), [`EigenPair.mask`](@ref),
[`EigenPair.broaden`](@ref) or [`EigenPair.raw`](@ref).
"""
abstract type DegeneracyPolicy end

struct Check <: DegeneracyPolicy
    c::Float64
    generic_basis::Bool
end

struct Mask <: DegeneracyPolicy
    tol::Float64
end

struct Broaden <: DegeneracyPolicy
    eps::Float64
end

struct Raw <: DegeneracyPolicy end

"""
    EigenPair.check(; c = 10, generic_basis = false)

The default policy: right, or NaN. Eigenvalues closer than `c √n ε s` form a cluster (`ε` the machine epsilon, `s` the
size that rounding errors come from: the largest `|λ|` of a standard problem). Inside a cluster nothing is divided by a
gap, which is right for losses of the cluster's projector and of symmetric functions of its eigenvalues; when the
cotangent shows that the loss is no such function, the gradient of that matrix is NaN and a warning says why. Forward
mode, which sees no cotangent, leaves out the same gaps. A second derivative through a cluster is NaN.

Limit: two different losses can hand back the same cotangents at a matrix whose eigenvectors LAPACK returns in a special
basis (at the identity, say), so passing the tests is necessary, not sufficient. `generic_basis = true` closes the gap: it
turns the basis of each cluster by a fixed, generic reflection, in the value as well, so that a loss that depends on the
basis is found out with probability one. In return, the eigenvectors of the identity are no longer the identity.
"""
function check(; c::Real = 10, generic_basis::Bool = false)
    iszero(c) && throw(ArgumentError("`c` must be positive; EigenPair.raw() is the policy without clusters"))
    return Check(tolerance("c", c), generic_basis)
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

function tolerance(name, x::Real)
    (isfinite(x) && x >= 0) ||
        throw(ArgumentError("`$name` must be a finite number that is not negative, got $x"))
    return Float64(x)
end

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
`F[i, j]` of one matrix under a policy, computed entry by entry. `cluster[i]` numbers the cluster of `λ[i]`.
"""
struct InverseGaps{D <: DegeneracyPolicy, L <: AbstractVector}
    policy::D
    λ::L
    cluster::Vector{Int}
end

# A negative tolerance puts each eigenvalue into a cluster of its own, even bit-equal ones.
function InverseGaps(policy::DegeneracyPolicy, λ::AbstractVector, tol)
    cluster = collect(1:length(λ))
    for i in 2:length(λ)
        cluster[i] = cluster[i - 1] + !(λ[i] - λ[i - 1] <= tol)
    end
    return InverseGaps(policy, λ, cluster)
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

# Rounding perturbs λ by about √n ε times this: of the standard problem's own norm, or of A and B as seen by the i-th pair.
cluster_tolerance(::DegeneracyPolicy, λ, X, Y, ::Nothing) = -one(eltype(λ))
cluster_tolerance(::DegeneracyPolicy, λ, X, Y, norms) = -one(eltype(λ))
cluster_tolerance(policy::Check, λ, X, Y, ::Nothing) = rounding(policy, λ) * maximum(abs, λ; init = zero(eltype(λ)))
function cluster_tolerance(policy::Check, λ, X, Y, (normA, normB))
    # The squares in this order: ‖x‖² alone may overflow where the product does not.
    size(i) = normA * norm(view(X, :, i)) * norm(view(X, :, i)) + abs(λ[i]) * normB * norm(view(Y, :, i)) * norm(view(Y, :, i))
    return rounding(policy, λ) * maximum(size, eachindex(λ); init = zero(eltype(λ)))
end
rounding(policy::Check, λ) = policy.c * sqrt(length(λ)) * eps(eltype(λ))

# ---- the verdict on a cotangent ------------------------------------------------------------------------------

struct Violation
    i::Int
    j::Int
    gap::Float64
    tol::Float64
    λ::Tuple{Float64, Float64}
    reason::String
end

"""
    violation(F, tol, K̄, λ̄, κ)

The first pair of a cluster at which the loss has no derivative that the cotangent determines, or `nothing`. `κ` is the
size that the entries of `K̄` are compared with.
"""
violation(::InverseGaps, tol, K̄, λ̄, κ) = nothing
function violation(F::InverseGaps{Check}, tol, K̄, λ̄, κ)
    has_cluster(F) || return nothing
    n = length(F.λ)
    δ = 64 * sqrt(n) * eps(eltype(F.λ))
    largest = λ̄ === nothing ? zero(eltype(F.λ)) : maximum(abs, λ̄)
    for j in 2:n, i in 1:(j - 1)
        clustered(F, i, j) || continue
        rotation = abs(K̄[i, j] - conj(K̄[j, i])) / 2
        mixing = abs(K̄[i, j] + conj(K̄[j, i])) / 2
        splitting = λ̄ === nothing ? zero(largest) : abs(λ̄[i] - λ̄[j])
        reason = if !(rotation <= δ * κ)
            "the loss depends on which eigenvectors represent the cluster"
        elseif !(mixing <= δ * κ || splitting <= δ * largest)
            "the loss treats the cluster's eigenvalues differently and mixes their eigenvectors"
        else
            continue
        end
        return Violation(i, j, F.λ[j] - F.λ[i], tol, (F.λ[i], F.λ[j]), reason)
    end
    return nothing
end

const REMEDY = "If the loss is a function of the matrix, or of its projectors, use one of the functions that say so \
    (spectral_map, spectral_sum, spectral_projector) instead of eigenpairs. If the cluster is an accident, perturb \
    the matrix. EigenPair.mask, broaden and raw give numbers without asking whether they are right."

warn_violation(v::Violation, k, count) = @warn """
eigh: no derivative, so the gradient is NaN$(count > 1 ? " for matrix $k of $count" : "").
Eigenvalues $(v.i) and $(v.j), $(v.λ[1]) and $(v.λ[2]), are $(v.gap) apart, closer than the $(v.tol) that rounding \
resolves, and $(v.reason).
$REMEDY""" maxlog = 5

warn_second_order(k, count) = @warn """
eigh: the second derivative is NaN$(count > 1 ? " for matrix $k of $count" : ""), because some of its eigenvalues are \
closer than rounding resolves, and eigenpairs do not determine a second derivative there.
$REMEDY""" maxlog = 5
