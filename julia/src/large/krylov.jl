# A thick-restart block Krylov method with full orthogonalization.
#
# One step multiplies a block of vectors and orthogonalizes the result against the whole basis; a cycle fills the basis with such blocks, and
# keeps the Ritz vectors that are wanted most. Once the wanted ones have converged, another *pass* begins: a random block, orthogonal to what
# was found, is iterated until the next eigenvalue has converged. A missed copy of a repeated eigenvalue converges as well, and takes its
# place. The last pass is the one that changes nothing.
#
# K. Wu and H. Simon, *Thick-restart Lanczos method for large symmetric eigenvalue problems* (2000), in blocks, with the projected matrix
# computed rather than inferred.

# The error of the first eigenvalue that was not asked for must be at most this part of its distance to the wanted ones.
const OF_GAP = 0.05
const PASSES = 8

"""
The map whose eigenvalues θ are sought, self-adjoint in the metric of B: `A`, `B⁻¹A` or `(A − σB)⁻¹B`. `solve(X)` is `B⁻¹X` or `(A − σB)⁻¹X`;
it may fail with NaN.
"""
struct KrylovMap{T, R <: Real}
    a::LargeOperator{T}
    b::Union{Nothing, LargeOperator{T}}
    solve::Any
    sigma::Union{Nothing, R}
    KrylovMap{T}(a, b, solve, sigma) where {T} = new{T, real(T)}(a, b, solve, sigma)
end

times_b(q::KrylovMap{T}, X) where {T} = q.b === nothing ? X : product(q.b, X)::Matrix{T}

# The map applied to X, and B times that.
function applied(q::KrylovMap{T}, X) where {T}
    if q.sigma !== nothing
        Y = q.solve(times_b(q, X))::Matrix{T}
        return Y, times_b(q, Y)
    end
    AX = product(q.a, X)::Matrix{T}
    return q.b === nothing ? (AX, AX) : (q.solve(AX)::Matrix{T}, AX)
end

eigenvalue(q::KrylovMap, θ) = q.sigma === nothing ? θ : q.sigma + inv(θ)
transformed(q::KrylovMap, λ) = q.sigma === nothing ? λ : inv(λ - q.sigma)

struct KrylovPlan
    k::Int
    which::Symbol
    tol::Float64
    cycles::Int
    block::Int
    kept::Int
    capacity::Int
end

"""
    krylov_plan(n, k, which, tol, cycles)

Sizes for `k` pairs of a problem with `n` unknowns; `nothing` where it is so small that the basis would fill half of it.
"""
function krylov_plan(n, k, which, tol, cycles)
    # Small blocks: what counts is the degree that a basis reaches. Two vectors, for a copy of what was found.
    block = k <= 8 ? 2 : min(8, cld(k, 4))
    kept = k + max(4, k ÷ 2)
    steps = cld(max(3 * kept, 28) - kept, block)
    fitting = (n ÷ 2 - 2 * block - kept) ÷ block
    return fitting < 6 ? nothing : KrylovPlan(k, which, tol, cycles, block, kept, kept + min(steps, fitting) * block)
end

"""
Between two cycles: `basis` holds `kept` Ritz vectors with values `θ`, and then a block.
"""
mutable struct KrylovState{T, R <: Real}
    basis::Matrix{T}
    spare::Matrix{T}
    kept::Int
    θ::Vector{R}
    scale::Vector{R}
    residuals::Vector{R}
    edges::Vector{R}
    previous::Vector{R}
    searching::Bool
    passes::Int
    cycle::Int
    done::Bool
    complete::Bool
end

"""
What a solver returns: ascending `values`, `vectors` in columns, orthonormal in the metric of B; `residuals` `‖A v − λ B v‖` and `lengths`
`‖v‖`; the eigenvalues next to them that were left out, `edges`; the `scale`s of A and B; and whether the search for missed copies was
`complete`.
"""
struct Found{T, R}
    values::Vector{R}
    vectors::Matrix{T}
    residuals::Vector{R}
    lengths::Vector{R}
    edges::Vector{R}
    scale::Vector{R}
    iterations::Int
    complete::Bool
end

# ---- orthonormal bases -----------------------------------------------------------------------------------------

"""
    random_columns(T, seed, n, m)

Fixed random columns of about unit length.
"""
function random_columns(::Type{T}, seed, n, m) where {T}
    mixed(x) = (x ⊻= x >> 30; x *= 0xbf58476d1ce4e5b9; x ⊻= x >> 27; x *= 0x94d049bb133111eb; x ⊻ (x >> 31))
    uniform(i, j, part) = 2 * (mixed(UInt64(i) + 0x9e3779b97f4a7c15 * (UInt64(j) + 64 * (2 * UInt64(seed) + part))) >> 11) * 2.0^-53 - 1
    number(i, j) = T <: Complex ? complex(uniform(i, j, 0), uniform(i, j, 1)) : uniform(i, j, 0)
    return T[1.7 * number(i, j) / sqrt(n) for i in 1:n, j in 1:m]
end

"""
    orthonormalize!(W, q, basis, seed)

Make the columns of `W` orthonormal, and orthogonal to `basis`, in the metric of B. Directions that are lost in rounding become random ones.

By Gram matrices, as often as needed. A. Stathopoulos and K. Wu, *A block orthogonalization procedure with constant synchronization
requirements* (2002).
"""
function orthonormalize!(W::Matrix{T}, q, basis, seed) where {T}
    n, p = size(W)
    for (j, size) in enumerate(column_norms(W))
        size > 0 && (view(W, :, j) ./= size)
    end
    for attempt in 1:5
        C = basis' * times_b(q, W)
        mul!(W, basis, C, -1, 1)
        G = W' * times_b(q, W)
        all(isfinite, G) || return fill!(W, NaN)
        d, U = eigen(Hermitian(G))
        # What the first projection leaves of a vector of unit length may be rounding errors.
        least = max(100 * eps(real(T)) * d[end], attempt == 1 ? (1000 * eps(real(T)))^2 : 0)
        lost = searchsortedlast(d, least)
        is_done = lost == 0 && d[1] >= d[end] / 100 && norm(C) <= sqrt(d[1]) / 10
        copyto!(W, W * (U ./ sqrt.(max.(d, least))'))
        lost == 0 || (W[:, 1:lost] = random_columns(T, seed + 7919 * attempt, n, lost))
        is_done && break
    end
    return W
end

# ---- the iteration ---------------------------------------------------------------------------------------------

"""
    krylov(q, plan, start, watch)

The eigenpairs that `plan` wants of the [`KrylovMap`](@ref), as [`Found`](@ref). `start`: vectors to start from.
"""
function krylov(q::KrylovMap{T}, plan, scale, start, watch) where {T}
    state = begin_krylov(q, plan, scale, start)
    while !state.done && state.cycle < plan.cycles
        cycle!(state, q, plan)
        watch === nothing || isempty(state.θ) || watch(state.cycle, sort!(eigenvalue.(Ref(q), state.θ[1:plan.k])), copy(state.residuals))
    end
    return conclude(state, q, plan)
end

function begin_krylov(q::KrylovMap{T}, plan, scale, start) where {T}
    R, p, n = real(T), plan.block, size(start, 1)
    basis = zeros(T, n, plan.capacity + p)
    state = KrylovState{T, R}(
        basis, zeros(T, n, plan.kept), 0, R[], collect(R, scale), fill(R(Inf), plan.k), R[-Inf, Inf], fill(R(Inf), plan.k), true, 0, 0, false,
        false
    )
    if size(start, 2) <= p
        block = hcat(start, random_columns(T, 7, n, p - size(start, 2)))
        basis[:, 1:p] = orthonormalize!(block, q, view(basis, :, 1:0), 1)
        return state
    end
    X = hcat(start, random_columns(T, 7, n, max(plan.k - size(start, 2), 0)))[:, 1:plan.k]
    orthonormalize!(X, q, view(basis, :, 1:0), 1)
    H = X' * last(applied(q, X))
    all(isfinite, H) || return give_up!(state)
    θ, U = eigen(Hermitian(H))
    new_pass!(state, q, plan, X * U, θ)
    return state
end

function give_up!(state)
    state.done = true
    fill!(state.residuals, NaN)
    return state
end

# Checks the residuals of X and begins a pass: from these residuals if they are too large, else from random vectors.
function new_pass!(state::KrylovState{T}, q, plan, X, θ) where {T}
    k, p, n = plan.k, plan.block, size(X, 1)
    λ, X, θ = ritz(q, X, θ)
    residuals, lengths, scale = true_residuals(q, X, λ)
    state.scale .= max.(state.scale, scale)
    allowed = plan.tol .* (state.scale[1] .+ abs.(λ) .* (q.b === nothing ? 0 : state.scale[2])) .* lengths
    poor = .!(residuals .<= allowed)
    seed = 100 + state.passes
    if any(poor)
        # Directions in which the poor ones are wrong.
        D = (first(applied(q, X)) .- X .* θ') * Diagonal(poor ./ max.(residuals, floatmin(real(T))))
        block = D * real.(random_columns(T, seed, k, p))
    else
        block = random_columns(T, seed, n, p)
    end
    still = maximum(abs.(sort(λ) .- sort(state.previous))) <= 16 * maximum(allowed ./ lengths)
    is_broken = !all(isfinite, residuals)
    state.basis[:, 1:k] = X
    is_broken || (state.basis[:, (k + 1):(k + p)] = orthonormalize!(block, q, X, seed + 1))
    state.complete = state.passes > 0 && state.searching && still && !any(poor)
    state.kept, state.θ, state.residuals, state.previous = k, θ, residuals, λ
    state.searching = !any(poor)
    state.passes += 1
    state.done = state.complete || is_broken || state.passes >= PASSES
    return state
end

# Eigenvalues and vectors of the pair itself, where the map is one with a factorization, whose errors they are to be free of.
function ritz(q, X, θ)
    q.sigma === nothing && return θ, X, θ
    X = first(applied(q, X))
    X = orthonormalize!(X, q, view(X, :, 1:0), 1)
    H = X' * product(q.a, X)
    all(isfinite, H) || return fill!(similar(θ), NaN), X, θ
    λ, U = eigen(Hermitian(H))
    return λ, X * U, transformed.(Ref(q), λ)
end

function true_residuals(q, X, λ)
    AX, BX, lengths = product(q.a, X), times_b(q, X), column_norms(X)
    scale = [maximum(column_norms(Y) ./ lengths) for Y in (AX, BX)]
    return column_norms(AX .- BX .* λ'), lengths, scale
end

function cycle!(state::KrylovState{T, R}, q, plan) where {T, R}
    p, m, k, V = plan.block, plan.capacity, plan.k, state.basis
    H = zeros(T, m, m)
    foreach(i -> H[i, i] = state.θ[i], 1:state.kept)
    at, gram = state.kept, zeros(T, p, p)
    while at + p <= m
        X, known = V[:, (at + 1):(at + p)], view(V, :, 1:(at + p))
        W, BW = applied(q, X)
        if q.sigma === nothing
            lengths = column_norms(X)
            state.scale[1] = max(state.scale[1], maximum(column_norms(BW) ./ lengths))
            q.b === nothing || (state.scale[2] = max(state.scale[2], maximum(column_norms(times_b(q, X)) ./ lengths)))
        end
        C = known' * BW
        H[1:(at + p), (at + 1):(at + p)] = C
        W = W === BW ? mul!(W, known, C, -1, 1) : W .- known * C
        gram = W' * times_b(q, W)
        all(isfinite, gram) || return give_up!(state)
        V[:, (at + p + 1):(at + 2p)] = orthonormalize!(W, q, known, 1000 + 100 * state.cycle + at)
        at += p
    end
    θ, S = eigen(Hermitian(H[1:at, 1:at], :U))
    order = wanted_order(plan.which, θ)
    tails = S[(at - p + 1):at, :]
    estimates = [sqrt(max(real(dot(s, gram, s)), 0)) for s in eachcol(tails)]
    allowed = allowed_estimates(state, q, plan, θ)
    wanted, free = order[1:k], sort(order[(k + 1):end])
    is_guarded = guard!(state, q, plan, θ, estimates, allowed, order, wanted, free)
    state.cycle += 1
    state.residuals = estimates[wanted]
    has_converged = all(estimates[wanted] .<= allowed[wanted]) && (is_guarded || state.passes == 0 || !state.searching)
    has_converged && return new_pass!(state, q, plan, view(V, :, 1:at) * S[:, wanted], θ[wanted])
    chosen = order[1:plan.kept]
    mul!(state.spare, view(V, :, 1:at), S[:, chosen])
    block = V[:, (at + 1):(at + p)]
    copyto!(V, state.spare)
    V[:, (plan.kept + 1):(plan.kept + p)] = block
    state.kept, state.θ = plan.kept, θ[chosen]
    return state
end

# Half of what is allowed of a pair, in terms of the map.
function allowed_estimates(state, q, plan, θ)
    q.sigma === nothing || return max(plan.tol / 100, 8 * eps(eltype(θ))) .* abs.(θ)
    if q.b === nothing
        state.scale[1] = max(state.scale[1], maximum(abs, θ))
        return fill(eltype(θ)(plan.tol / 2 * state.scale[1]), length(θ))
    end
    return plan.tol / 2 .* (state.scale[1] / state.scale[2] .+ abs.(θ))
end

# Whether the eigenvalues that were left out are known well enough to say that they are not wanted. Also finds the nearest of them, the edges.
function guard!(state, q, plan, θ, estimates, allowed, order, wanted, free)
    is_known(i) = estimates[i] <= max(allowed[i], OF_GAP * minimum(j -> abs(θ[i] - θ[j]), wanted))
    low, high = first(free), last(free)
    if plan.which === :LM
        # The next in modulus bounds all others, on both sides; what the other side shows itself may be a better bound.
        next = order[plan.k + 1]
        reach = abs(θ[next])
        above = θ[next] > 0 ? reach : min(reach, θ[high] + estimates[high])
        below = θ[next] > 0 ? max(-reach, θ[low] - estimates[low]) : -reach
        # Of (λ − σ)⁻¹: what is large in modulus is near σ.
        state.edges .= q.sigma === nothing ? (above, below) :
            (below < 0 ? eigenvalue(q, below) : -Inf, above > 0 ? eigenvalue(q, above) : Inf)
        return is_known(next)
    end
    of_low, of_high = sides(plan.which)
    state.edges .= of_high ? θ[high] : -Inf, of_low ? θ[low] : Inf
    return (is_known(low) || !of_low) && (is_known(high) || !of_high)
end

# Sorted, with the residuals as they are.
function conclude(state::KrylovState{T, R}, q, plan) where {T, R}
    k = plan.k
    state.kept >= k || return nothing_found(T, size(state.basis, 1), k, state.cycle)
    λ = eigenvalue.(Ref(q), state.θ[1:k])
    order = sortperm(λ)
    X, λ = state.basis[:, order], λ[order]
    residuals, lengths, _ = true_residuals(q, X, λ)
    return Found(λ, X, residuals, lengths, copy(state.edges), copy(state.scale), state.cycle, state.complete)
end

nothing_found(::Type{T}, n, k, cycles) where {T} = Found(
    fill(real(T)(NaN), k), fill(T(NaN), n, k), fill(real(T)(NaN), k), ones(real(T), k), real(T)[-Inf, Inf], real(T)[0, 1], cycles, false
)
