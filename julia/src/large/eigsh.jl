# `eigsh`: a few eigenpairs of a large Hermitian operator or definite pair, with derivatives that never form the matrix.

"""
    EigshResult

What [`eigsh`](@ref) returns; `w, v = eigsh(a, k)` unpacks it.

- `eigenvalues`: real and ascending, `k` of them.
- `eigenvectors`: in the columns of an `n × k` matrix.
- `residuals`: `‖A v − λ B v‖/‖v‖` of each pair.
- `iterations`: restarts of the Krylov method.
- `converged`: which pairs are numbers; the others are NaN.
- `solver`: what computed them.
"""
struct EigshResult{W <: AbstractVector, V <: AbstractMatrix, R <: AbstractVector}
    eigenvalues::W
    eigenvectors::V
    residuals::R
    iterations::Int
    converged::BitVector
    solver::String
end

Base.iterate(r::EigshResult) = (r.eigenvalues, Val(:eigenvectors))
Base.iterate(r::EigshResult, ::Val{:eigenvectors}) = (r.eigenvectors, Val(:done))
Base.iterate(::EigshResult, ::Val{:done}) = nothing
Base.length(::EigshResult) = 2

"""
    eigsh(operator, k; b = nothing, sigma = nothing, which = nothing, v0 = nothing, tol = nothing, max_iterations = nothing,
          preconditioner = nothing, solver = nothing, degeneracy = nothing, progress = false, callback = nothing, n = nothing,
          dtype = nothing)

A few eigenvalues and eigenvectors of a large Hermitian operator, `A v = λ v`, or of a definite pair, `A v = λ B v`, as an
[`EigshResult`](@ref). Neither the matrix nor its gradient is formed.

- `operator`: a matrix (dense, sparse, `Symmetric` or `Hermitian` of these, tridiagonal), a function of a vector, or anything else that has
  `size` and `mul!`. It is differentiated with respect to its own parameters: the entries that a matrix stores, as a function of its
  Hermitian part, and whatever a function captures.
- `k`: how many eigenpairs, less than `n`.
- `b`: Hermitian positive definite, given as `operator` is.
- `sigma`: a number: the eigenvalues next to it, by factorization of `A − σB`. For matrices.
- `which`: `:SA`, the lowest, unless said otherwise; `:LA`, the highest; `:LM`, the largest in modulus; `:BE`, from both ends. Not with
  `sigma`.
- `v0`: where to start: a vector or, better, vectors in the columns of a matrix, such as the eigenvectors of the last step of an
  optimization.
- `tol`: residuals `‖A v − λ B v‖` may be as large as `tol (‖A‖ + |λ|‖B‖)‖v‖`; `ε^0.8` by default, 3e-13 in double precision.
- `max_iterations`: restarts of the Krylov method, 300 by default.
- `preconditioner`: a Hermitian positive definite approximation of `A⁻¹`, given as `operator` is, for the linear systems of derivatives. It
  is not differentiated.
- `solver`: `:krylov`, the only one here.
- `degeneracy`: what derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref) or [`EigenPair.raw`](@ref).
- `progress`, `callback`: a line on the standard error, and a function `(iteration, eigenvalues, residuals)`, in each iteration.
- `n`, `dtype`: the length and the type of the vectors of a function, unless `v0` says them.

A pair that has not converged is NaN, and all are if the search for missed copies of repeated eigenvalues did not end; a warning says why.
Throws `ArgumentError` or `DimensionMismatch` naming the argument, also if the operator is seen not to be Hermitian.

Solved by a thick-restart block Krylov method. The derivatives of eigenvalues need no further solve, those of eigenvectors one linear system
for each, by MINRES, with the factors as preconditioner if there are any. Inside a cluster of eigenvalues the rules are those of
[`eigh`](@ref). A cluster that `k` cuts in two has no derivatives of eigenvectors.

# Examples
```julia
w, v = eigsh(sparse_matrix, 6)
w = eigsh(x -> a * (a' * x), 3; n = 100, dtype = Float64).eigenvalues
Zygote.gradient(a -> eigsh(a, 2; sigma = 0.5).eigenvalues[1], a)
```

Derived in docs/derivations.md, "Large operators".
"""
function eigsh(
        operator, k; b = nothing, sigma = nothing, which = nothing, v0 = nothing, tol = nothing, max_iterations = nothing,
        preconditioner = nothing, solver = nothing, degeneracy = nothing, progress = false, callback = nothing, n = nothing, dtype = nothing
    )
    options = large_options(sigma, which, v0, tol, max_iterations, preconditioner, solver, progress, callback, n, dtype)
    return eigsh_under(as_policy(degeneracy), operator, b, k, options)
end

# A function barrier, and what engines differentiate: keywords have no derivatives in ChainRules.
function eigsh_under(degeneracy, a, b, k, options)
    p = large_problem("eigsh", a, b, k, degeneracy, options)
    return eigsh_result(p, solution(p, a, b))
end

eigsh_result(p, (w, V, reduction)) = EigshResult(present_values(p, w), present_vectors(p, V), facts(reduction)...)
facts(x::LargeReduction) = x.residuals, x.iterations, x.converged, x.solver

# ---- ChainRules ------------------------------------------------------------------------------------------------

function ChainRulesCore.rrule(config::RuleConfig{>:HasReverseMode}, ::typeof(eigsh_under), degeneracy, a, b, k, options)
    p = large_problem("eigsh", a, b, k, degeneracy, options)
    Ω = solution(p, a, b)
    pullback = large_pullback_at(config, p, a, b, Ω)
    return eigsh_result(p, Ω), LargePullback(Ω̄ -> shaped_gradients(p, Ω, pullback, eigh_cotangents(Ω̄)...))
end

"""
The pullback of `eigsh_under`, from `back`, which takes a cotangent of the result to gradients. Its type says nothing of the problem, so that an
engine compiles little.
"""
struct LargePullback
    back::Any
end
(pullback::LargePullback)(Ω̄) = (none = NoTangent(); (none, none, map(tangent_or_zero, pullback.back(unthunk(Ω̄)))..., none, none))

function shaped_gradients(p, Ω, pullback, w̄, v̄)
    w̄ === nothing && v̄ === nothing && return nothing, nothing
    return pullback(real_if(Ω[1], embed_values(p, w̄)), real_if(Ω[2], embed_vectors(p, v̄)), nothing)
end

# Engines that differentiate twice in reverse differentiate the constructor too.
function ChainRulesCore.rrule(::Type{EigshResult}, w, v, facts...)
    EigshResult_pullback(Ω̄) = (NoTangent(), map(tangent_or_zero, eigh_cotangents(unthunk(Ω̄)))..., map(_ -> NoTangent(), facts)...)
    return EigshResult(w, v, facts...), EigshResult_pullback
end
@non_differentiable facts(::Any)

# With `b`, whose tangent a rule with keywords does not see, engines find the rule of `solution`.
function ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof(eigsh), a, k; b = nothing, degeneracy = nothing, options...)
    b === nothing || return nothing
    Ω, (ẇ, v̇) = eigsh_pushforward((present(ȧ),), a, k; degeneracy, options...)
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = ẇ, eigenvectors = v̇)
end

"""
    EigenPair.eigsh_pullback(operator, k; b = nothing, options...)

`(result, pullback)`: what [`eigsh`](@ref) returns, and its reverse-mode derivative there. `pullback(w̄, v̄)` returns the gradients of
`operator` and `b`, which must be matrices; `nothing` stands for a cotangent that is zero. See [`EigenPair.eigh_pullback`](@ref).
"""
function eigsh_pullback(a, k; b = nothing, degeneracy = nothing, options...)
    p = large_problem("eigsh", a, b, k, as_policy(degeneracy), checked_options(options))
    Ω = solution(p, a, b)
    pullback = pullback_at(p, a, b, Ω)
    return eigsh_result(p, Ω), (w̄, v̄ = nothing) -> shaped_gradients(p, Ω, pullback, w̄, v̄)
end

"""
    EigenPair.eigsh_pushforward((ȧ,), operator, k; options...)
    EigenPair.eigsh_pushforward((ȧ, ḃ), operator, k; b, options...)

`(result, (ẇ, v̇))`: what [`eigsh`](@ref) returns, and its derivative along the tangents of the matrices, either of which may be `nothing`.
"""
function eigsh_pushforward(tangents::Tuple, a, k; b = nothing, degeneracy = nothing, options...)
    p = large_problem("eigsh", a, b, k, as_policy(degeneracy), checked_options(options))
    Ω, (ẇ, V̇) = solution_and_tangent(p, tangents, a, b)
    return eigsh_result(p, Ω), (present_values(p, ẇ), present_vectors(p, V̇))
end
