# What `check()` decides about a cotangent or a perturbation: which entries are noise, and where no number may be given.
# The general problem has its own clusters (general/decision.jl) and shares what is below.

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
