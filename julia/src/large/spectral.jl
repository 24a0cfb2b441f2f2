# Docstrings here begin in the line of their quotes: the pages of the reference take those that do not, by name, and the names are taken.
#
# Functions of the invariant subspace of the k lowest eigenvalues of a large operator: degeneracy inside does not matter to their gradients.

"""
    EigenPair.Large

Functions of large operators whose names functions of matrices have: `Large.spectral_projector`, `Large.spectral_sum`.
"""
module Large

using ChainRulesCore
using LinearAlgebra
using ..EigenPair: EigenPair, check, checked_options, cluster_width, large_problem, present_values, present_vectors, solution

"""    Large.SpectralProjector

`P = V Vᴴ` with an orthonormal basis `V` of the subspace (`VᴴBV = I` of a pair), never formed. `P * x` for a vector or a matrix, `diag(P)`,
`Matrix(P)`, `size`, `rank`. Only what does not depend on the basis has a derivative.
"""
struct SpectralProjector{V <: AbstractMatrix}
    frame::V
end
Base.size(P::SpectralProjector) = (size(P.frame, 1), size(P.frame, 1))
Base.size(P::SpectralProjector, d) = d <= 2 ? size(P.frame, 1) : 1
Base.eltype(P::SpectralProjector) = eltype(P.frame)
Base.:*(P::SpectralProjector, x::AbstractVecOrMat) = P.frame * (P.frame' * x)
Base.Matrix(P::SpectralProjector) = P.frame * P.frame'
LinearAlgebra.diag(P::SpectralProjector) = vec(sum(abs2, P.frame; dims = 2))
LinearAlgebra.rank(P::SpectralProjector) = size(P.frame, 2)
Base.show(io::IO, P::SpectralProjector) = print(io, "SpectralProjector of rank $(rank(P)), size $(size(P)), eltype $(eltype(P))")

"""    Large.spectral_projector(operator, k; options...)

The projector on the eigenvectors of the `k` lowest eigenvalues of a Hermitian operator, or of a pair, as a
[`Large.SpectralProjector`](@ref EigenPair.Large.SpectralProjector); with `sigma`, of the `k` next to it.

Only the gap after the `k`-th eigenvalue matters to its gradient; degeneracy on either side does not. Where that gap is no larger than
rounding there is no such projector: all is NaN. Second derivatives are NaN where two of the `k` eigenvalues coincide.

`options`: `b`, `sigma`, `v0`, `tol`, `max_iterations`, `preconditioner`, `solver`, `progress`, `callback`, `n` and `dtype`, as for
[`eigsh`](@ref).
"""
spectral_projector(operator, k; b = nothing, options...) =
    SpectralProjector(last(subspace("spectral_projector", operator, b, k, subspace_options("spectral_projector", options))))

"""    Large.spectral_sum(f, operator, k; options...)

`Σ f(λᵢ)` over the `k` lowest eigenvalues of a Hermitian operator, or of a pair; with `sigma`, over the `k` next to it. NaN where `k` cuts a
group of eigenvalues that coincide. Derivatives and options as for [`Large.spectral_projector`](@ref EigenPair.Large.spectral_projector).
"""
spectral_sum(f, operator, k; b = nothing, options...) =
    sum(f, first(subspace("spectral_sum", operator, b, k, subspace_options("spectral_sum", options))))

# Eigenvalues and vectors; NaN if a pair has not converged, or if `k` cuts a cluster.
function subspace(subject, a, b, k, options)
    p = large_problem(subject, a, b, k, check(), options)
    Ω = solution(p, a, b)
    factor = factor_of_answer(p, Ω)
    return present_values(p, Ω[1]) .* factor, present_vectors(p, Ω[2]) .* factor
end

function subspace_options(subject, options)
    haskey(options, :which) && throw(ArgumentError("$subject has no `which`: it is a function of the `k` lowest, or with `sigma` of the next"))
    return checked_options(options)
end

function factor_of_answer(p, (w, _, reduction))
    λ, R = EigenPair.plain_array(w), eltype(reduction.edges)
    width = cluster_width(p.degeneracy, p.n, R) * reduction.scale[3]
    is_cut = any(abs(x - e) <= width for x in λ, e in reduction.edges)
    return all(reduction.converged) && !is_cut ? one(R) : R(NaN)
end

@non_differentiable subspace_options(::Any, ::Any)
@non_differentiable factor_of_answer(::Any, ::Any)

end
