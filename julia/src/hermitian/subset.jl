# A few eigenpairs of a large Hermitian matrix or definite pair A v = λ B v, without the rest: forward and backward.
#
# The solve reduces the problem to a tridiagonal matrix and finds what is asked there. Derivatives of its vectors have a
# part inside the subset, which follows rule.jl with V of size n × k, and one in what was left out, for which the
# reduction serves once more (complement.jl). See docs/derivations.md, "Subsets":
#
#     dV = V K − G(dA V − dB V Λ),    Ā = (V M̄ − G(V̄)) Vᴴ,    B̄ = (V N̄ + G(V̄) Λ) Vᴴ.

# For smaller matrices, or more than an eighth of the spectrum, computing the whole spectrum is faster.
const LEAST = 64
const MOST = 8

const SubsetProblem{T} = HermitianProblem{T, :subset}

"""
    worthwhile(n, subset, type, policy)

Whether to compute the subset alone. Policies that leave out gaps unasked would have to know all vectors.
"""
worthwhile(n, subset, type, policy) =
    type <= 1 && n >= LEAST && !isempty(subset) && MOST * length(subset) <= n && is_plain(policy)
is_plain(::DegeneracyPolicy) = false
is_plain(::Raw) = true
is_plain(policy::Check) = !policy.generic_basis

shows_all(::SubsetProblem) = true

# Array types whose whole spectrum is always computed add a method that returns false.
solved_in_part(a, b) = true

# ---- forward -------------------------------------------------------------------------------------------------

"""
What derivatives need of a partial solve besides eigenpairs, in the place of a dual basis. `edges`: the eigenvalue below,
the one above, and the size of what rounding errors come from, `3 × count`; `factor` is private to the core. Constants to
every derivative: how they vary, `a` and `b` know.
"""
struct Reduction{R, T}
    edges::Matrix{R}
    factor::Matrix{T}
end

matrix(::Reduction, k) = nothing

function hermitian_values(p::SubsetProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    w = Matrix{real(T)}(undef, length(p.subset), prod(p.batch))
    native_partial!(w, nothing, nothing, nothing, p, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    explain_arguments(p, a, b, w)
    return w
end

"""
    hermitian_solve(p::SubsetProblem, a, b)

`(w, V, reduction)`: `k × count`, `n × k × count`, and a [`Reduction`](@ref).
"""
function hermitian_solve(p::SubsetProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    n, k, count = p.n, length(p.subset), prod(p.batch)
    w, V = Matrix{real(T)}(undef, k, count), Array{T}(undef, n, k, count)
    reduction = Reduction(Matrix{real(T)}(undef, 3, count), Matrix{T}(undef, n * ((1 + p.type) * n + 4), count))
    inputs = core_input(p, p.a, a)..., core_input(p, p.b, b)...
    native_partial!(w, V, reduction.edges, reduction.factor, p, inputs...)
    explain_arguments(p, a, b, w)
    return w, V, reduction
end

# ---- first derivatives ---------------------------------------------------------------------------------------

# Clusters are as wide as in the whole problem.
function inverse_gaps(p::SubsetProblem, norms, w, V, reduction::Reduction, k)
    below, above, scale = view(reduction.edges, :, k)
    return inverse_gaps(of_whole(p.degeneracy, p.n, size(w, 1)), view(w, :, k), scale, (below, above))
end
of_whole(policy::DegeneracyPolicy, n, k) = policy
of_whole(policy::Check, n, k) = renewed(policy; c = policy.c * sqrt(n / k), generic_basis = false)

shown(p::SubsetProblem, i) = first(p.subset) - 1 + i

# Whether λⱼ shares a cluster with an eigenvalue outside the subset.
is_open(F::InverseGaps, j) = false
function is_open(F::InverseGaps{Check}, j)
    low, high = reaches_beyond(F, cluster_width(F))
    return (low && F.cluster[j] == first(F.cluster)) || (high && F.cluster[j] == last(F.cluster))
end

# Explains the clusters that the edges of the subset cut.
function explain_open(F, p, k, count)
    explains(F.policy) || return nothing
    low, high = reaches_beyond(F, cluster_width(F))
    m = length(F.λ)
    say_it(i, λs) = explain(F.policy, subject_of(p), shown(p, i), shown(p, i + 1), map(plain, λs), EDGE, k, count)
    low && say_it(0, (F.beyond[1], first(F.λ)))
    high && say_it(m, (last(F.λ), F.beyond[2]))
    return nothing
end

function pushforward_of(p::SubsetProblem, a, b, (w, V, reduction))
    return (Ȧ, Ḃ) -> subset_pushforward(p, reduction, a, b, w, V, Ȧ, Ḃ)
end

"""
    subset_pushforward(p, reduction, a, b, w, V, Ȧ, Ḃ)

`(ẇ, V̇, nothing)` along the tangents `Ȧ`, `Ḃ` of the Hermitian matrices, either of which may be `nothing`.
"""
function subset_pushforward(p::SubsetProblem, reduction, a, b, w, V, Ȧ, Ḃ)
    right = zeros(number_type(V, Ȧ, Ḃ), size(V))
    for k in axes(w, 2)
        Ȧ === nothing || mul!(matrix(right, k), matrix(Ȧ, k), matrix(V, k))
        Ḃ === nothing || mul!(matrix(right, k), matrix(Ḃ, k), matrix(V, k) .* transpose(column(w, k)), -1, 1)
    end
    outside = complement(p, reduction, a, b, w, V, right)
    norms = input_norms(p, a, b)
    function rest(k)
        of_b = norms === nothing ? 1 : plain(norms[2][k])
        beyond = column_norms(matrix(outside, k)) .* sqrt(of_b)
        # In the metric of B dA has at least this norm, and n² entries.
        of_a = Ȧ === nothing ? 0 : norm(sizes_of(matrix(Ȧ, k))) / (p.n * of_b)
        return (; beyond, largest = max(of_a, maximum(column_norms(matrix(right, k)); init = 0) / sqrt(p.n * of_b)))
    end
    ẇ, V̇, _ = hermitian_pushforward(p, nothing, w, V, reduction, Ȧ, Ḃ, rest)
    V̇ .-= outside
    for k in axes(w, 2)
        F = inverse_gaps(p, nothing, w, V, reduction, k)
        any(j -> is_open(F, j), axes(w, 1)) && explain_open(F, p, k, size(w, 2))
        foreach(j -> is_open(F, j) && map!(unknown, view(V̇, :, j, k), view(V̇, :, j, k)), axes(w, 1))
    end
    return ẇ, V̇, nothing
end

# M̄ and N̄ inside the subset, as rule.jl has them, and G(V̄) outside, `nothing` for a loss of eigenvalues alone.
function subset_rotation(p::SubsetProblem, reduction, a, b, w, V, λ̄, V̄)
    M̄, N̄ = hermitian_pullback(p, input_norms(p, a, b), w, V, reduction, λ̄, V̄, nothing)
    V̄ === nothing && return M̄, N̄, nothing
    for k in axes(w, 2)
        F = inverse_gaps(p, nothing, w, V, reduction, k)
        any(j -> is_open(F, j) && any(!iszero, view(V̄, :, j, k)), axes(w, 1)) || continue
        explain_open(F, p, k, size(w, 2))
        foreach(x -> x === nothing || map!(unknown, matrix(x, k), matrix(x, k)), (M̄, N̄))
    end
    return M̄, N̄, complement(p, reduction, a, b, w, V, V̄)
end

# ‖v̄ⱼ‖² ≤ ‖B‖ Σᵢ|K̄ᵢⱼ|², with i in the whole problem.
least_of_whole(p::SubsetProblem, norms, V̄, k) =
    maximum(norm, eachcol(V̄); init = zero(real(eltype(V̄)))) / sqrt(p.n * (norms === nothing ? 1 : norms[2][k]))

# The left factor R of the gradient R Vᴴ of A, and of B (`nothing` for type 0).
function left_factors(p::SubsetProblem, w, V, M̄, N̄, X)
    of_a, of_b = similar(V, number_type(V, M̄, X)), p.type == 0 ? nothing : similar(V, number_type(V, N̄, X))
    for k in axes(w, 2)
        times!(matrix(of_a, k), matrix(V, k), slice(M̄, k))
        X === nothing || (matrix(of_a, k) .-= matrix(X, k))
        of_b === nothing && continue
        times!(matrix(of_b, k), matrix(V, k), slice(N̄, k))
        X === nothing || (matrix(of_b, k) .+= matrix(X, k) .* transpose(column(w, k)))
    end
    return of_a, of_b
end

"""
    subset_matrix_gradients(p, reduction, a, b, w, V, λ̄, V̄)

The gradients with respect to the matrices A and B (`nothing` for type 0), `n × n × count`, Hermitian once their Hermitian
parts are taken. Either cotangent may be `nothing`.
"""
subset_matrix_gradients(p, reduction, a, b, w, V, λ̄, V̄) =
    subset_matrix_gradients(number_type(a, b, w, V, λ̄, V̄), p, reduction, a, b, w, V, λ̄, V̄)

function subset_matrix_gradients(::Type, p::SubsetProblem, reduction, a, b, w, V, λ̄, V̄)
    rotation = subset_rotation(p, reduction, a, b, w, V, λ̄, V̄)
    V̄ === nothing || foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄), rotation), axes(w, 2))
    return map(R -> R === nothing ? nothing : times_adjoint(R, V), left_factors(p, w, V, rotation...))
end

"""
    subset_gradients(p, reduction, a, b, w, V, λ̄, V̄)

The gradients with respect to both inputs (`NoTangent()` for a `b` that is not there).
"""
subset_gradients(p, reduction, a, b, w, V, λ̄, V̄) =
    on_inputs(p, subset_matrix_gradients(p, reduction, a, b, w, V, λ̄, V̄)...)

on_inputs(p, Ā, B̄) = shared_gradient(p, p.a, Ā), p.b === nothing ? NoTangent() : shared_gradient(p, p.b, B̄)

pullback_of(p::SubsetProblem, a, b, (w, V, reduction)) =
    (λ̄, V̄, Ū) -> subset_gradients(p, reduction, a, b, w, V, λ̄, V̄)

function times_adjoint(R, V)
    G = similar(R, promote_type(eltype(R), eltype(V)), size(V, 1), size(V, 1), size(V, 3))
    foreach(k -> mul!(matrix(G, k), matrix(R, k), matrix(V, k)'), axes(V, 3))
    return G
end

# ---- second derivatives --------------------------------------------------------------------------------------

"""
    subset_second_order(p, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ, ẇ, V̇, dλ̄, dV̄)

The tangents of what [`subset_matrix_gradients`](@ref) returns. Any tangent may be `nothing`.
"""
function subset_second_order(p::SubsetProblem, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ, ẇ, V̇, dλ̄, dV̄)
    M̄, N̄, X = subset_rotation(p, reduction, a, b, w, V, λ̄, V̄)
    norms = input_norms(p, a, b)
    Ṁ, Ṅ = second_order_pushforward(p, norms, w, V, reduction, λ̄, V̄, nothing, ẇ, V̇, nothing, dλ̄, dV̄, nothing)
    Ẋ = X === nothing ? nothing : complement_pushforward(p, reduction, a, b, w, V, V̄, X, Ȧ, Ḃ, ẇ, V̇, dV̄)
    of_a, of_b = left_factors(p, w, V, Ṁ, Ṅ, Ẋ)
    R_a, R_b = V̇ === nothing ? (nothing, nothing) : left_factors(p, w, V, M̄, N̄, X)
    for k in axes(w, 2)
        V̇ === nothing || add_product!(matrix(of_a, k), matrix(V̇, k), slice(M̄, k))
        of_b === nothing && continue
        V̇ === nothing || add_product!(matrix(of_b, k), matrix(V̇, k), slice(N̄, k))
        X === nothing || ẇ === nothing || (matrix(of_b, k) .+= matrix(X, k) .* transpose(column(ẇ, k)))
    end
    along(R, Ṙ) = R === nothing ? (Ṙ === nothing ? nothing : times_adjoint(Ṙ, V)) : times_adjoint(Ṙ, V) .+ times_adjoint(R, V̇)
    return along(R_a, of_a), along(R_b, of_b)
end

add_product!(out, X, M̄::AbstractMatrix) = mul!(out, X, M̄, 1, 1)
add_product!(out, X, diagonal::AbstractVector) = out .+= X .* transpose(diagonal)
