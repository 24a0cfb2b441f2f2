# What replaces 1/(λⱼ − λᵢ) under each policy, for Hermitian problems, and which eigenvalues form a cluster.

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

# The size of the problem, for `check()`: max |λ| for the standard problem; for a pair, the largest of ‖A‖‖x‖² + |λ|‖B‖‖y‖².
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

# Below and above the subset. False for NaN: such a matrix is NaN anyway.
reaches_beyond(F::InverseGaps, width) = (first(F.λ) - F.beyond[1] <= width, F.beyond[2] - last(F.λ) <= width)

# A second derivative through eigenvectors divides by gaps twice, so rounding matters at larger gaps.
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
