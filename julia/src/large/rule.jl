# The solution of a large problem, and its derivatives. Inside the subspace of the wanted eigenvectors they follow hermitian/rule.jl; outside,
# each vector is the solution of a linear system. See docs/derivations.md, "Large operators":
#
#     dV = V K − G(dA V − dB V Λ),    Ā = (V M̄ − G(V̄)) Vᴴ,    B̄ = (V N̄ + G(V̄) Λ) Vᴴ.

const LargeProblem{T} = HermitianProblem{T, :large}

settings(p::LargeProblem) = p.a.settings
operators(p::LargeProblem{T}, a, b) where {T} = LargeOperator{T}(p.n, a), b === nothing ? nothing : LargeOperator{T}(p.n, b)
rule_matrices(p::LargeProblem, a, b) = operators(p, a, b)
shows_all(::LargeProblem) = true
subject_of(::LargeProblem) = "eigsh"

"""
What derivatives need besides the eigenpairs, and what a result says of how they were found. `scale`: the sizes of A, of B, and of what
rounding errors come from. `factor`: of `A − σB`, or `nothing`.
"""
struct LargeReduction{R}
    edges::Vector{R}
    scale::Vector{R}
    residuals::Vector{R}
    iterations::Int
    converged::BitVector
    factor::Any
    solver::String
end
matrix(::LargeReduction, k) = nothing
slice(::LargeReduction, k) = nothing
number_type(::LargeReduction) = Bool
varies(::LargeReduction) = false

solution(p::LargeProblem{T}, a, b) where {T <: DualNumber} = invoke(solution, Tuple{Eigenproblem{T}, Any, Any}, p, operators(p, a, b)...)

# ---- the solve -------------------------------------------------------------------------------------------------

"""
    solution(p::LargeProblem, a, b)

`(w, V, reduction)`: `k × 1`, `n × k × 1`, and a [`LargeReduction`](@ref). NaN for pairs that have not converged, with a warning.
"""
function solution(p::LargeProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    (; which, sigma, tol, max_iterations, start, watch) = settings(p)
    k, (A, B) = length(p.subset), operators(p, a, b)
    plan = krylov_plan(p.n, k, which, tol, max_iterations)
    factor = nothing
    if sigma !== nothing
        matrices = map(x -> x === nothing ? nothing : plain_matrix(x.x), (A, B))
        B === nothing || definite_solve(matrices[2]) === nothing && throw_indefinite()
        factor = shifted_factor(T, matrices..., real(T)(sigma))
    end
    found = plan === nothing ? dense_eigenpairs(p, A, B) : krylov_eigenpairs(p, A, B, plan, factor)
    factor === nothing || !found.complete || inertia_agrees(matrices..., real(T)(sigma), factor, found) || (found = incomplete(found))
    R = real(T)
    sizes = found.scale[1] .+ (B === nothing ? 0 : found.scale[2]) .* abs.(found.values)
    relative = found.residuals ./ found.lengths
    converged = BitVector(found.complete .& (relative .<= tol .* sizes))
    warn_of_solution("eigsh", converged, found, relative, tol .* sizes)
    # Clusters are as wide as the errors from rounding and from residuals.
    scale = maximum(sizes .* found.lengths .^ 2)
    p.degeneracy isa Check && (scale = max(scale, 2 * maximum(found.residuals .* found.lengths) / cluster_width(p.degeneracy, p.n, R)))
    factors = [c ? one(R) : R(NaN) for c in converged]
    name = plan === nothing ? "dense: the problem is small" : sigma === nothing ? "krylov" : "krylov: shift-invert, for sigma"
    reduction = LargeReduction{R}(found.edges, R[found.scale..., scale], R.(relative), found.iterations, converged, factor, name)
    return reshape(R.(found.values .* factors), k, 1), reshape(Matrix{T}(found.vectors .* factors'), p.n, k, 1), reduction
end

cluster_width(policy::Check, n, ::Type{R}) where {R} = R(policy.c * sqrt(n)) * eps(R)
incomplete(x::Found) = Found(x.values, x.vectors, x.residuals, x.lengths, x.edges, x.scale, x.iterations, false)

throw_indefinite() = throw(ArgumentError("`b` must be positive definite, and is not: check its signs, or solve with eigs"))

function krylov_eigenpairs(p::LargeProblem{T}, A, B, plan, factor) where {T}
    (; sigma, start, watch) = settings(p)
    a, b = fast_operator(A), fast_operator(B)
    solve = factor === nothing ? inverse_of(B) : X -> Matrix{T}(factor.solve(X))
    # With factors, the matrix tells its size; otherwise products do.
    scale = factor === nothing ? (0, B === nothing ? 1 : 0) : (opnorm(plain_matrix(A.x), 1), B === nothing ? 1 : opnorm(plain_matrix(B.x), 1))
    q = KrylovMap{T}(a, b, solve, sigma === nothing ? nothing : real(T)(sigma))
    return krylov(q, plan, scale, start, watch)
end
inverse_of(::Nothing) = nothing
function inverse_of(b::LargeOperator{T}) where {T}
    if b.x isa AbstractMatrix
        solve = definite_solve(plain_matrix(b.x))
        solve === nothing && throw_indefinite()
        return X -> Matrix{T}(solve(X))
    end
    ε = eps(real(T))
    return function (Y)
        X, is_solved = conjugate_gradients(x -> product(b, x), Y, 4 * ε, 2000)
        # Rounding may prevent the last digits. A residual that is much larger means that B is indefinite.
        is_close = norm(Y - product(b, X)) <= 1.0e4 * ε * (norm(Y) + norm(X))
        return is_solved || is_close ? X : fill!(X, NaN)
    end
end

# The matrix, formed and diagonalized, where a Krylov basis would fill the space.
function dense_eigenpairs(p::LargeProblem{T}, A, B) where {T}
    n, k, (; which, sigma) = p.n, length(p.subset), settings(p)
    full(x) = (X = product(x, Matrix{T}(I, n, n)); (X + X') / 2)
    F, M = full(A), B === nothing ? nothing : full(B)
    all(isfinite, F) && (M === nothing || all(isfinite, M)) || return nothing_found(T, n, k, 0)
    M === nothing || isposdef(Hermitian(M)) || (B.x isa AbstractMatrix ? throw_indefinite() : return nothing_found(T, n, k, 0))
    θ, X = M === nothing ? eigen(Hermitian(F)) : eigen(Hermitian(F), Hermitian(M))
    order = sigma === nothing ? wanted_order(which, θ) : sortperm(θ; by = x -> abs(x - sigma))
    wanted, free = sort(order[1:k]), sort(order[(k + 1):end])
    λ, X = θ[wanted], X[:, wanted]
    size_of_a = M === nothing ? maximum(abs, θ) : norm(F)
    AX, BX = product(A, X), B === nothing ? X : product(B, X)
    return Found(
        λ, X, column_norms(AX .- BX .* λ'), column_norms(X), dense_edges(which, sigma, θ[free]),
        real(T)[size_of_a, M === nothing ? 1 : norm(M)], 0, true
    )
end
# Those left out lie around the wanted ones with sigma, and otherwise beyond, or between them.
function dense_edges(which, sigma, free)
    sigma === nothing || return eltype(free)[maximum(filter(<(sigma), free); init = -Inf), minimum(filter(>=(sigma), free); init = Inf)]
    of_low, of_high = sides(which)
    return [of_high ? last(free) : eltype(free)(-Inf), of_low ? first(free) : eltype(free)(Inf)]
end

function warn_of_solution(subject, converged, found, relative, allowed)
    all(converged) && return nothing
    if !all(isfinite, relative)
        @warn "$subject: all is NaN, because the operator returned NaN or Inf, or b is not positive definite."
        return nothing
    end
    count_lost = count(.!(relative .<= allowed))
    reason = count_lost > 0 ? "$count_lost of $(length(relative)) eigenpairs did not converge" :
        "the search for copies of repeated eigenvalues did not come to its end"
    shown(x) = join(round.(x; sigdigits = 2), ", ")
    @warn "$subject: NaN, because $reason in $(found.iterations) iterations. Residuals: $(shown(relative)); needed: \
        $(shown(allowed)). Raise max_iterations, raise tol, or start from v0."
    return nothing
end

# ---- what is decided -------------------------------------------------------------------------------------------

known_scale(reduction::LargeReduction) = reduction.scale[3:3]
# Eigenvalues from both ends leave out those between.
leaves_hole(reduction) = reduction.edges[1] >= reduction.edges[2]
known_edges(reduction::LargeReduction) = leaves_hole(reduction) ? [-Inf; Inf;;] : reshape(reduction.edges, 2, 1)
input_norms(p::LargeProblem, a, b) = nothing
largest_outside(p::LargeProblem, norms, V̄) = [maximum(column_norms(matrix(V̄, 1)); init = 0) / sqrt(p.n)]

# About a tangent. An error in the vectors, of the size of what is rounded divided by the gap, changes the entries of the perturbation.
function decide_forward(p::LargeProblem, norms, w, V, reduction::LargeReduction, Ps, Ȧ, Ḃ; outside = nothing, largest = nothing)
    options = p.degeneracy isa Check && p.degeneracy.coupled === :mask ? MASK_COUPLED : 0
    K = isempty(Ps) ? nothing : stack(Ps)
    λ, P = plain_array(column(w, 1)), plain_array(matrix(K, 1))
    top = maximum(abs, P; init = zero(real(eltype(P))))
    turns = map(eachindex(λ)) do j
        gap = minimum(abs.(λ[j] .- reduction.edges))
        inside = [abs(P[i, j]) / abs(λ[i] - λ[j]) for i in eachindex(λ) if i != j && λ[i] != λ[j]]
        norm(inside) + (gap > 0 ? top / gap : zero(top))
    end
    sizes = [top + reduction.scale[3] * (turns[i] + turns[j]) for i in eachindex(λ), j in eachindex(λ), _ in 1:1]
    decision = decide(p, FORWARD, norms, w, V, reduction; K, options, sizes)
    explain_refusals(p, w, reduction, decision)
    return decision
end

# Vectors that share a cluster with an eigenvalue of the hole. The core knows eigenvalues below and above.
function refuse_hole!(decision, p::LargeProblem, mode, w, V̄, reduction::LargeReduction)
    p.degeneracy isa Check && leaves_hole(reduction) || return nothing
    λ, R = plain_array(column(w, 1)), eltype(reduction.edges)
    width = cluster_width(p.degeneracy, p.n, R) * (mode == SECOND_ORDER ? 1 : reduction.scale[3])
    mode == SECOND_ORDER && (width = sqrt(width) * reduction.scale[3])
    for e in reduction.edges, i in eachindex(λ)
        abs(λ[i] - e) > width && continue
        for j in eachindex(λ)
            is_used = mode != REVERSE || V̄ === nothing || any(!iszero, view(plain_array(V̄), :, j, 1))
            (j == i || decision.reasons[i, j, 1] == CLUSTER) && is_used && (decision.lost[j, 1] = mode == SECOND_ORDER ? SECOND : EDGE)
        end
    end
    return nothing
end

# ---- tangents --------------------------------------------------------------------------------------------------

tangent_matrices(p::LargeProblem, input::LargeInput, ::Union{Nothing, AbstractZero}) = nothing
tangent_matrices(p::LargeProblem, input::LargeInput, ẋ::AbstractThunk) = tangent_matrices(p, input, unthunk(ẋ))
tangent_matrices(p::LargeProblem, input::LargeInput, Ȧ::LargeOperator) = Ȧ
tangent_matrices(p::LargeProblem{T}, input::LargeInput, ẋ::AbstractMatrix) where {T} =
    LargeOperator{promote_type(T, eltype(ẋ))}(p.n, HermitianPart(ẋ))
tangent_matrices(p::LargeProblem{T}, input::LargeInput, ẋ::SymmetricOrHermitian) where {T} =
    LargeOperator{promote_type(T, eltype(ẋ))}(p.n, ẋ)
# A structural tangent of a wrapper holds that of its parent.
tangent_matrices(p::LargeProblem, input::LargeInput{<:SymmetricOrHermitian}, ẋ::Tangent) =
    tangent_matrices(p, input, Hermitian(unthunk(ẋ.data), LinearAlgebra.sym_uplo(input.like.uplo)))
tangent_matrices(p::LargeProblem, input::LargeInput, ẋ) = throw(
    ArgumentError("eigsh has a forward rule for matrices and, with ForwardDiff, for functions; got the tangent $(summary(ẋ))")
)

"""
The Hermitian part of a matrix that is not formed.
"""
struct HermitianPart{X}
    x::X
end
function multiply_columns!(Y, H::HermitianPart, X, α, β)
    mul!(Y, H.x, X, α / 2, β)
    return mul!(Y, H.x', X, α / 2, true)
end

function pushforward_at(p::LargeProblem, a, b, (w, V, reduction))
    A, B = operators(p, a, b)
    return (Ȧ, Ḃ) -> solution_pushforward(p, nothing, reduction, A, B, w, V, Ȧ, Ḃ)
end

function solution_pushforward(p::LargeProblem, norms, reduction::LargeReduction, A, B, w, V, Ȧ, Ḃ)
    right = zeros(number_type(V, Ȧ, Ḃ), size(V))
    Ȧ === nothing || product!(matrix(right, 1), Ȧ, matrix(V, 1))
    Ḃ === nothing || product!(matrix(right, 1), Ḃ, matrix(V, 1) .* transpose(column(w, 1)), -1, 1)
    ẇ, V̇, _ = solution_pushforward(p, norms, w, V, reduction, Ȧ, Ḃ)
    # What is refused needs no linear system.
    right .*= map(x -> !any(isnan, x), eachcol(matrix(V̇, 1)))'
    return ẇ, V̇ .- complement(p, reduction, A, B, w, V, right), nothing
end

# ---- gradients -------------------------------------------------------------------------------------------------

function matrix_gradients(p::LargeProblem, norms, A, B, w, V, reduction::LargeReduction, λ̄, V̄, Ū)
    M̄, N̄ = hermitian_pullback(p, norms, w, V, reduction, λ̄, V̄, nothing)
    V̄ === nothing || settle!(p.degeneracy, 1, (w, λ̄, V̄), (M̄, N̄))
    # What is refused needs no linear system.
    X = V̄ === nothing ? nothing : any(isnan, M̄) ? fill(NaN, size(V)) : complement(p, reduction, A, B, w, V, V̄)
    left(::Nothing, Z) = nothing
    function left(M̄, Z)
        L = times!(zeros(number_type(M̄, V, Z), size(V, 1), size(V, 2)), matrix(V, 1), slice(M̄, 1))
        Z === nothing || (L .+= matrix(Z, 1))
        return LowRankGradient(reshape(L, size(V)), V)
    end
    X === nothing && return left(M̄, nothing), left(N̄, nothing)
    return left(M̄, -X), left(N̄, X .* reshape(w, 1, size(w)...))
end

shared_gradient(p::LargeProblem, input::LargeInput{<:AbstractMatrix}, G::LowRankGradient) = gradient_like(input.like, factors(G)..., input.project)
shared_gradient(p::LargeProblem, input::LargeInput, G::LowRankGradient) = throw(
    ArgumentError("the gradient with respect to a function or a map needs a reverse-mode engine, such as Zygote; this rule was called without one")
)

# Of functions and maps, an engine differentiates the products.
function large_pullback_at(config, p, a, b, Ω)
    is_matrix(x) = x === nothing || x isa AbstractMatrix
    is_matrix(a) && is_matrix(b) && return pullback_at(p, a, b, Ω)
    w, V, reduction = Ω
    return function (λ̄, V̄, _)
        Ā, B̄ = matrix_gradients(p, nothing, operators(p, a, b)..., w, V, reduction, λ̄, V̄, nothing)
        return operator_gradient(config, p, p.a, a, Ā), operator_gradient(config, p, p.b, b, B̄)
    end
end

function ChainRulesCore.rrule(config::RuleConfig{>:HasReverseMode}, ::typeof(solution), p::LargeProblem, a, b)
    Ω = solution(p, a, b)
    pullback = large_pullback_at(config, p, a, b, Ω)
    function large_pullback(Ω̄)
        λ̄, V̄, _ = solution_cotangents(p, Ω, Ω̄)
        λ̄ === nothing && V̄ === nothing && return NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent()
        return NoTangent(), NoTangent(), map(tangent_or_zero, pullback(λ̄, V̄, nothing))...
    end
    large_pullback(::AbstractZero) = (NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent())
    return Ω, large_pullback
end

operator_gradient(config, p, ::Nothing, ::Nothing, G) = nothing
operator_gradient(config, p, input::LargeInput, x::AbstractMatrix, G) = shared_gradient(p, input, G)
function operator_gradient(config, p, input::LargeInput, f, G)
    L, R = factors(G)
    return mapreduce(+, axes(R, 2)) do j
        if is_map(f)
            _, pullback = rrule_via_ad(config, *, f, R[:, j])
            return unthunk(pullback(L[:, j])[2])
        end
        _, pullback = rrule_via_ad(config, f, R[:, j])
        return unthunk(pullback(L[:, j])[1])
    end
end

# ---- the complement --------------------------------------------------------------------------------------------

# xⱼ = G(Y)ⱼ: (A − λⱼB) xⱼ = yⱼ − B V Vᴴ yⱼ with VᴴB X = 0. See hermitian/subset.jl.
complement(::Type{S}, p::LargeProblem, reduction, A, B, w, V, Y) where {S <: DualNumber} = complement_of_duals(S, p, reduction, A, B, w, V, Y)

function complement(::Type, p::LargeProblem{T}, reduction, A, B, w, V, Y) where {T}
    X = Array{T}(undef, size(Y))
    matrix(X, 1) .= outside(p, reduction, fast_operator(A), fast_operator(B), column(w, 1), Matrix(matrix(V, 1)), Matrix{T}(matrix(Y, 1)))
    return X
end

function outside(p::LargeProblem{T}, reduction, A, B, w, V, Y) where {T}
    (; sigma, max_iterations, preconditioner) = settings(p)
    all(reduction.converged) && all(isfinite, Y) || return fill!(similar(Y), NaN)
    times_B(X) = B === nothing ? X : product(B, X)
    BV = times_B(V)
    dual(X) = X - BV * (V' * X)
    primal(X) = X - V * (BV' * X)
    shifted(X) = product(A, X) .- times_B(X) .* w'
    # Twice: of what is in the subspace but for rounding, the first leaves rounding errors.
    right = dual(dual(Y))
    ε, sizes = eps(real(T)), reduction.scale[1] .+ (B === nothing ? 0 : reduction.scale[2]) .* abs.(w)
    gaps = [minimum(abs.(λ .- reduction.edges)) for λ in w]
    tol = max.(settings(p).tol, 16 * ε .* sizes ./ ifelse.(gaps .> 0, gaps, sizes))
    most = 200 * max_iterations
    if sigma === nothing
        precondition = preconditioner === nothing ? identity : X -> primal(product(LargeOperator{T}(p.n, preconditioner), dual(X)))
        X, iterations = minres(X -> dual(shifted(primal(X))), right, tol, most; precondition)
        X = primal(X)
    else
        X, iterations = outside_by_factor(reduction.factor, real(T)(sigma), w, right, tol, most, primal, dual, times_B, shifted)
    end
    lost = column_norms(right - dual(shifted(X)))
    # With a preconditioner, residuals were measured in its norm.
    slack = preconditioner === nothing ? 30 : 1000
    good = lost .<= slack .* tol .* (column_norms(right) .+ sizes .* column_norms(X))
    all(good) && return X
    warn_of_derivative("eigsh", lost ./ column_norms(right), iterations)
    return X .* ifelse.(good, one(real(T)), real(T)(NaN))'
end

# (A − σB)⁻¹(A − λB) = I − (λ − σ)(A − σB)⁻¹B is self-adjoint in the metric of B, and close to I far from σ.
function outside_by_factor(factor, σ, w, right, tol, most, primal, dual, times_B, shifted)
    inverse(X) = primal(typeof(X)(factor.solve(X)))
    preconditioned(X) = X .- inverse(dual(times_B(X))) .* (w .- σ)'
    X, left, iterations, size = zero(right), right, 0, column_norms(right)
    # Refined, since the factors have errors of their own.
    for _ in 1:4
        step, steps = minres(preconditioned, inverse(left), max.(tol, 1.0e-13), most; metric = times_B)
        iterations += steps
        X += primal(step)
        left = right - dual(shifted(X))
        all(column_norms(left) .<= tol .* size) && break
    end
    return X, iterations
end

function warn_of_derivative(subject, relative, iterations)
    @warn "a derivative of eigenvectors of $subject is NaN: after $iterations iterations, linear systems have relative residuals \
        $(join(round.(relative; sigdigits = 2), ", ")). Give a preconditioner, raise max_iterations, or raise tol. An eigenvalue that was \
        not asked for may be too close: then ask for one more or one less."
    return nothing
end
