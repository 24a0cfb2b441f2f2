# The chemical potential for a given number of electrons.

"""
    EigenPair.chemical_potential(a, b = nothing; electrons, beta, type = 1)

`μ` with `Σ fermi_dirac(μ, β)(λᵢ) = electrons`, over the eigenvalues of a Hermitian matrix or of a definite pair; a number, or an array of
size `batch`.

```julia
mu = EigenPair.chemical_potential(a, b; electrons = 5, beta = 20)
density = spectral_map(EigenPair.fermi_dirac(mu, 20), a, b)
```

`a`, `b` and `type` as for [`spectral_sum`](@ref); `electrons`: a number between 0 and n, which need not be an integer, or an array of size
`batch`; `beta`: the inverse temperature, positive.

Twice differentiable with respect to `a`, `b`, `electrons` and `beta`, at any degeneracy, by the implicit function theorem. The derivative
is NaN if the temperature is so low that the number of electrons does not depend on `μ` in working precision.
"""
function chemical_potential(a, b = nothing; electrons, beta, type = 1)
    beta isa Real || throw(ArgumentError("`beta` must be a real number, got $(repr(beta))"))
    0 < beta < Inf || throw(ArgumentError("`beta` must be positive and finite, got $(repr(beta))"))
    batch = potential_batch(a, b, electrons, type)
    batch === () && return potential(a, b, electrons, beta, type)
    at(x, index) = x === nothing || ndims(x) <= 2 ? x : x[:, :, ntuple(d -> min(index[d], size(x, d + 2)), ndims(x) - 2)...]
    number(index) = electrons isa Real ? electrons : electrons[index...]
    found = [potential(at(a, index), at(b, index), number(index), beta, type) for index in indices_of(batch)]
    return reshape(found, batch)
end

function potential_batch(a, b, electrons, type)
    p = hermitian_problem(a, b; type, degeneracy = DEFAULT_POLICY)
    electrons isa Real || electrons isa AbstractArray{<:Real} && size(electrons) == p.batch || throw(
        ArgumentError("`electrons` must be a real number, or an array of them of size $(p.batch), got $(repr(electrons))")
    )
    all(x -> 0 < x < p.n, electrons) || throw(ArgumentError("`electrons` must be between 0 and $(p.n), got $electrons"))
    return p.batch
end
indices_of(batch) = vec(map(Tuple, CartesianIndices(batch)))
@non_differentiable potential_batch(::Any, ::Any, ::Any, ::Any)
@non_differentiable indices_of(::Any)

# The slopes of fermi_dirac(μ, β)(x) with respect to μ and β are `factor(x)` times f (1 − f).
struct FermiSlope{F <: FermiDirac, K}
    f::F
    factor::K
end
(s::FermiSlope)(x) = (y = s.f(x); s.factor(s.f, x) * y * s.f(2 * s.f.mu - x))
by_mu(f, x) = f.beta
by_beta(f, x) = f.mu - x

slope_at(by, f, a, b, type) = spectral_sum(FermiSlope(f, by), a, b; type)
# NaN for a slope of 0.
nonzero(slope) = iszero(slope) ? slope * NaN : slope

potential(a, b, electrons, beta, type) =
    refined(plain_potential(each(plain, a), each(plain, b), plain(electrons), plain(beta), type), a, b, electrons, beta, type)

# Newton's steps give the partials of dual numbers: each doubles the orders that are right.
function refined(mu, a, b, electrons, beta, type)
    types = map(x -> x === nothing ? Bool : real(eltype(x)), (a, b, electrons, beta))
    for _ in 1:maximum(depth, types)
        f = fermi_dirac(mu, beta)
        mu = with_value(mu - (spectral_sum(f, a, b; type) - electrons) / nonzero(slope_at(by_mu, f, a, b, type)), plain(mu))
    end
    return mu
end

# By bisection.
function plain_potential(a, b, electrons, beta, type)
    λ = eigvalsh(a, b; type)
    R = eltype(λ)
    N, β, filled = R(electrons), R(beta), round(Int, electrons)
    # Of equal eigenvalues it would be this much above them.
    above = log(N / (length(λ) - N)) / β
    low, high = first(λ) + above, last(λ) + above
    for _ in 1:(2 * precision(R))
        middle = low + (high - low) / 2
        particles, holes = particles_and_holes(λ, filled, middle, β)
        particles - holes < N - filled ? (low = middle) : (high = middle)
    end
    mu = low + (high - low) / 2
    particles, holes = particles_and_holes(λ, filled, mu, β)
    # If the temperature is so low that both underflow, any μ in the gap would do.
    return abs(particles - holes - (N - filled)) < (particles + holes + abs(N - filled)) / 100 ? mu : R(NaN)
end

# In a gap, both are far below the rounding error of the number of electrons, which could not tell them apart.
function particles_and_holes(λ, filled, mu, beta)
    f = fermi_dirac(mu, beta)
    return sum(f, view(λ, (filled + 1):length(λ)); init = zero(mu)), sum(x -> f(2mu - x), view(λ, 1:filled); init = zero(mu))
end

function ChainRulesCore.rrule(::typeof(potential), a, b, electrons, beta, type)
    mu = potential(a, b, electrons, beta, type)
    f = fermi_dirac(mu, beta)
    function potential_pullback(Δ)
        scaled = unthunk(Δ) / nonzero(slope_at(by_mu, f, a, b, type))
        _, _, ā, b̄ = rrule(spectral_sum, f, a, b; type)[2](-scaled)
        return NoTangent(), ā, b̄, scaled, -scaled * slope_at(by_beta, f, a, b, type), NoTangent()
    end
    potential_pullback(::AbstractZero) = (NoTangent(), ZeroTangent(), ZeroTangent(), ZeroTangent(), ZeroTangent(), NoTangent())
    return mu, potential_pullback
end
