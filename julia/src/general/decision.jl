# Clusters of the general problem, its inverse gaps, and the verdict on a cotangent; docs/derivations.md, "The general
# problem". Eigenvalues stand in homogeneous form α/β: (λ, 1), or (1, 0) where infinite.

homogeneous(λ) = isinf(λ) ? (one(λ), zero(λ)) : (λ, one(λ))

# αⱼβᵢ − βⱼαᵢ: λⱼ − λᵢ for finite ones.
function homogeneous_gap(λᵢ, λⱼ)
    (αᵢ, βᵢ), (αⱼ, βⱼ) = homogeneous(λᵢ), homogeneous(λⱼ)
    return αⱼ * βᵢ - βⱼ * αᵢ
end

"""
`F[i, j]` of one matrix under a policy, entry by entry. `cluster[i]` is the first member of the cluster of `λ[i]`, `reach[i]`
the size of what is rounded there and `tol[i]` how far that reaches, `condition[i]` its condition number, `near` the gap up to which a
cotangent that is rounding noise is dropped.
"""
struct GeneralGaps{D <: DegeneracyPolicy, L <: AbstractVector}
    policy::D
    λ::L
    cluster::Vector{Int}
    reach::Vector{Float64}
    tol::Vector{Float64}
    condition::Vector{Float64}
    near::Float64
end

function general_gaps(policy::DegeneracyPolicy, λ, U, V, normA, normB)
    n = length(λ)
    return GeneralGaps(policy, λ, collect(1:n), zeros(n), zeros(n), ones(n), -1.0)
end
function general_gaps(policy::Check, λ, U, V, normA, normB)
    n = length(λ)
    δ = policy.c * sqrt(n) * eps(real(plain_type(eltype(λ))))
    lengths = Float64[plain(norm(view(U, :, i))) * plain(norm(view(V, :, i))) for i in 1:n]
    # How far rounding reaches: the condition number ‖u‖‖v‖ times the size of what is rounded.
    function reach(i)
        λᵢ = plain(λ[i])
        size = normA + (normB === nothing || isinf(λᵢ) ? zero(normA) : abs(λᵢ) * normB)
        return size * lengths[i]
    end
    reaches = Float64[reach(i) for i in 1:n]
    condition = normB === nothing ? lengths : lengths * normB
    tol = δ * reaches
    cluster = collect(1:n)
    for j in 2:n, i in 1:(j - 1)
        together(plain(λ[i]), plain(λ[j]), max(tol[i], tol[j])) || continue
        low, high = minmax(cluster[i], cluster[j])
        replace!(cluster, high => low)
    end
    return GeneralGaps(policy, λ, cluster, reaches, tol, condition, NEAR * maximum(reaches; init = 0.0))
end

# `!(>)` rather than `<=`, so that NaN counts as a cluster.
together(λᵢ, λⱼ, tol) = isinf(λᵢ) == isinf(λⱼ) && !(abs(homogeneous_gap(λᵢ, λⱼ)) > tol)

clustered(F::GeneralGaps, i, j) = F.cluster[i] == F.cluster[j]
has_cluster(F::GeneralGaps) = any(i -> F.cluster[i] != i, eachindex(F.cluster))

Base.getindex(F::GeneralGaps, i, j) =
    i == j ? zero(eltype(F.λ)) : inverse_gap(F.policy, homogeneous_gap(F.λ[i], F.λ[j]), clustered(F, i, j))

# Whether K̄[i, j] is only rounding error, of a loss that does not couple the two vectors. Divided by a small gap, the error
# would dominate the gradient.
is_noise(F::GeneralGaps, K̄, κ, i, j) = false
function is_noise(F::GeneralGaps{Check}, K̄, κ, i, j)
    abs(plain(homogeneous_gap(F.λ[i], F.λ[j]))) <= F.near || return false
    # Where vectors are nearly parallel, a small coupling can have a large effect.
    max(F.condition[i], F.condition[j]) < 1.0e3 || return false
    noise = NOISE_OF_COTANGENT * sqrt(length(F.λ)) * eps(real(plain_type(eltype(F.λ)))) * κ(i, j)
    return max(abs(plain(K̄[i, j])), abs(plain(K̄[j, i]))) <= noise
end

# `K̄[i, j]`, with the value 0 where it is noise. Its partials stay: at a neighbouring matrix the coupling need not vanish.
significant(F::GeneralGaps, K̄, κ, i, j) = is_noise(F, K̄, κ, i, j) ? K̄[i, j] - plain(K̄[i, j]) : K̄[i, j]

# (∂F/∂g, ∂F/∂ḡ) for the gap g, of finite eigenvalues; only `broaden` is not holomorphic.
slopes(F::GeneralGaps, i, j) =
    i == j ? (zero(eltype(F.λ)), zero(eltype(F.λ))) : inverse_gap_slopes(F.policy, F.λ[j] - F.λ[i], clustered(F, i, j))

inverse_gap_slopes(policy, g, clustered) = -inverse_gap(policy, g, clustered)^2, zero(g)
# 1/(g + ε/ḡ) = ḡ/(|g|² + ε), likewise written so that no square can underflow.
inverse_gap(policy::Broaden, g::Complex, clustered) = iszero(g) ? zero(g) : inv(g + policy.eps / conj(g))
function inverse_gap_slopes(policy::Broaden, g, clustered)
    iszero(g) && return zero(g), one(g) / policy.eps
    F = inverse_gap(policy, g, clustered)
    return -F^2, F^2 * policy.eps / conj(g)^2
end

# No second derivative: of a pencil with an infinite eigenvalue, or under `check` where two are too close.
undetermined(F::GeneralGaps, vectors) = any(isinf, F.λ)
function undetermined(F::GeneralGaps{Check}, vectors)
    any(isinf, F.λ) && return true
    width(vectors) = second_order_width(F.policy, map(λᵢ -> real(plain(λᵢ)), F.λ), vectors)
    further = width(vectors) / width(false)
    return any(together(plain(F.λ[i]), plain(F.λ[j]), max(F.tol[i], F.tol[j]) * further) for j in 2:length(F.λ) for i in 1:(j - 1))
end

"""
    general_violation(F, K̄, λ̄, κ)

The first pair of a cluster at which the loss has no derivative that the cotangent determines, and why, or `nothing`.
`K̄` and `λ̄` may be `nothing`; `κ(i, j)` is what the entries of `K̄` are compared with.
"""
general_violation(::GeneralGaps, K̄, λ̄, κ) = nothing
function general_violation(F::GeneralGaps{Check}, K̄, λ̄, κ)
    has_cluster(F) || return nothing
    n = length(F.λ)
    δ = ROUNDING_OF_COTANGENT * sqrt(n) * eps(real(plain_type(eltype(F.λ))))
    largest = λ̄ === nothing ? 0 : maximum(x -> abs(plain(x)), λ̄)
    pair(i, j, reason) = (; i = min(i, j), j = max(i, j), reason)
    # `!(<=)`: a NaN in the cotangent fails.
    for j in 1:n, i in 1:n
        (i != j && clustered(F, i, j)) || continue
        K̄ !== nothing && is_defective(F, i, j) && return pair(i, j, DEFECTIVE)
        K̄ !== nothing && !(abs(plain(K̄[i, j])) <= δ * κ(i, j)) && return pair(i, j, BASIS)
        λ̄ !== nothing && !(abs(plain(λ̄[i]) - plain(λ̄[j])) <= δ * largest) &&
            return pair(i, j, is_defective(F, i, j) ? DEFECTIVE : ORDER)
    end
    return nothing
end

# Whether the vectors of a cluster are so close to parallel that its eigenvalue is defective. Then no coupling is small enough
# to be ignored.
is_defective(F::GeneralGaps{Check}, i, j) =
    !(10 * F.policy.c * sqrt(length(F.λ)) * eps(real(plain_type(eltype(F.λ)))) * max(F.condition[i], F.condition[j])^2 < 1)

function coupled(F::GeneralGaps{Check}, S, σ)
    (F.policy.coupled === :nan && has_cluster(F)) || return nothing
    unit = sqrt(length(F.λ)) * eps(real(plain_type(eltype(F.λ))))
    return coupled_pairs((i, j) -> clustered(F, i, j), unit, S, σ())
end

# σ of docs/derivations.md, "Forward mode".
function pushforward_rounding(F::GeneralGaps, S, V, U, Ȧ, Ḃ)
    n = length(F.λ)
    turn = [abs(plain(F[i, j]) * plain(S[i, j])) for i in 1:n, j in 1:n]
    # The effect of errors in the right vectors, plus that of errors in the left vectors.
    σ = [norm(turn[i, :] .* F.reach) + F.reach[i] * norm(turn[:, j]) for i in 1:n, j in 1:n]
    α, β = (map(λ -> abs(plain(homogeneous(λ)[part])), F.λ) for part in 1:2)
    Ȧ === nothing || (σ = σ .+ form_rounding(U, Ȧ, V) .* transpose(β))
    Ḃ === nothing || (σ = σ .+ form_rounding(U, Ḃ, V) .* transpose(α))
    return [is_defective(F, i, j) ? NaN : finite_or_nan(σ[i, j]) for i in 1:n, j in 1:n]
end

explain(F::GeneralGaps, (i, j), reason, k, count) =
    explain(F.policy, "eig", i, j, (plain(F.λ[i]), plain(F.λ[j])), reason, k, count)

function explain_second_order(F::GeneralGaps, k, count)
    n = length(F.λ)
    (explains(F.policy) && n > 1) || return nothing
    distance((i, j)) = (gap = abs(plain(homogeneous_gap(F.λ[i], F.λ[j]))); isnan(gap) ? -1.0 : gap)
    return explain(F, argmin(distance, [(i, j) for j in 2:n for i in 1:(j - 1)]), SECOND, k, count)
end

# Without a dual basis all is NaN, whatever the loss.
function explain_defective(F::GeneralGaps, k, count)
    i = findfirst(isnan, F.condition)
    others = filter(!=(i), eachindex(F.λ))
    (explains(F.policy) && !isempty(others)) || return nothing
    j = argmin(j -> abs(plain(homogeneous_gap(F.λ[i], F.λ[j]))), others)
    return explain(F, minmax(i, j), DEFECTIVE, k, count)
end
