# A subset of the eigenpairs of a large Hermitian matrix or definite pair A v = λ B v, computed without the others.
#
# The solve reduces the problem to a tridiagonal matrix and finds what is asked there. Derivatives of its vectors have a
# part inside the subset, which follows rule.jl with V of size n × k, and one outside of it, for which the reduction is used
# again. See docs/derivations.md, "Subsets":
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
    type <= 1 && n >= LEAST && !isempty(subset) && MOST * length(subset) <= n && needs_no_others(policy)
needs_no_others(::DegeneracyPolicy) = false
needs_no_others(::Raw) = true
needs_no_others(policy::Check) = !policy.generic_basis

# Array types whose whole spectrum is always computed add a method that returns false.
solved_in_part(a, b) = true

shows_all(::SubsetProblem) = true
first_index(p::SubsetProblem) = first(p.subset)

# ---- the solve -----------------------------------------------------------------------------------------------

"""
What derivatives need besides the eigenpairs of the subset, in the place of a dual basis. `edges`: the eigenvalue below,
the one above, and the size of what rounding errors come from, `3 × count`; `factor` is private to the core. Constants to
every derivative: tangents come from `a` and `b`.
"""
struct Reduction{R, T}
    edges::Matrix{R}
    factor::Matrix{T}
end

matrix(::Reduction, k) = nothing
slice(::Reduction, k) = nothing
number_type(::Reduction) = Bool
varies(::Reduction) = false

function solution_values(p::SubsetProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    w = Matrix{real(T)}(undef, length(p.subset), prod(p.batch))
    native_subset!(w, nothing, nothing, nothing, p, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    explain_arguments(p, a, b, w)
    return w
end

"""
    solution(p::SubsetProblem, a, b)

`(w, V, reduction)`: `k × count`, `n × k × count`, and a [`Reduction`](@ref).
"""
function solution(p::SubsetProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    n, k, count = p.n, length(p.subset), prod(p.batch)
    w, V = Matrix{real(T)}(undef, k, count), Array{T}(undef, n, k, count)
    reduction = Reduction(Matrix{real(T)}(undef, 3, count), Matrix{T}(undef, n * ((1 + p.type) * n + 4), count))
    inputs = core_input(p, p.a, a)..., core_input(p, p.b, b)...
    native_subset!(w, V, reduction.edges, reduction.factor, p, inputs...)
    explain_arguments(p, a, b, w)
    return w, V, reduction
end

known_scale(reduction::Reduction) = reduction.edges[3, :]
known_edges(reduction::Reduction) = reduction.edges[1:2, :]

# ---- first derivatives ---------------------------------------------------------------------------------------

# The matrices whose partials the complement needs. Without partials, the reduction stands for A.
varying_matrices(p, ::Nothing, x) = nothing
varying_matrices(p, input, x) = for_batch(p, input, input_matrices(p, input, x))
subset_matrices(p::SubsetProblem{T}, a, b) where {T} =
    T <: DualNumber ? varying_matrices(p, p.a, a) : nothing, varying_matrices(p, p.b, b)

function pushforward_at(p::SubsetProblem, a, b, (w, V, reduction))
    norms, (A, B) = input_norms(p, a, b), subset_matrices(p, a, b)
    return (Ȧ, Ḃ) -> solution_pushforward(p, norms, reduction, A, B, w, V, Ȧ, Ḃ)
end

"""
    solution_pushforward(p::SubsetProblem, norms, reduction, A, B, w, V, Ȧ, Ḃ)

`(ẇ, V̇, nothing)` along the tangents `Ȧ`, `Ḃ` of the Hermitian matrices, either of which may be `nothing`.
"""
function solution_pushforward(p::SubsetProblem, norms, reduction::Reduction, A, B, w, V, Ȧ, Ḃ)
    right = zeros(number_type(V, Ȧ, Ḃ), size(V))
    for k in axes(w, 2)
        Ȧ === nothing || product!(matrix(right, k), matrix(Ȧ, k), matrix(V, k))
        Ḃ === nothing || product!(matrix(right, k), matrix(Ḃ, k), matrix(V, k) .* transpose(column(w, k)), -1, 1)
    end
    outside = complement(p, reduction, A, B, w, V, right)
    count = size(w, 2)
    norms_of_b = norms === nothing ? ones(real(plain_type(eltype(w))), count) : norms[2]
    sizes = [column_norms(matrix(outside, k)) .* sqrt(norms_of_b[k]) for k in 1:count]
    # A lower bound of the norm of dA in the metric of B; dA has n² entries.
    of_a(k) = Ȧ === nothing ? 0 : norm(plain_array(matrix(Ȧ, k))) / (p.n * norms_of_b[k])
    largest = [max(of_a(k), maximum(column_norms(matrix(right, k)); init = 0) / sqrt(p.n * norms_of_b[k])) for k in 1:count]
    ẇ, V̇, _ = solution_pushforward(p, norms, w, V, reduction, Ȧ, Ḃ; outside = isempty(sizes) ? nothing : stack(sizes), largest)
    return ẇ, V̇ .- outside, nothing
end

# ‖v̄ⱼ‖² ≤ ‖B‖ Σᵢ|K̄ᵢⱼ|², with i in the whole problem.
largest_outside(p::SubsetProblem, norms, V̄) =
    [maximum(column_norms(matrix(V̄, k)); init = 0) / sqrt(p.n * (norms === nothing ? 1 : norms[2][k])) for k in axes(V̄, 3)]
column_norms(X) = [norm(x) for x in eachcol(plain_array(X))]

function pullback_at(p::SubsetProblem, a, b, (w, V, reduction))
    norms = input_norms(p, a, b)
    return (λ̄, V̄, Ū) -> subset_gradients(p, norms, reduction, a, b, w, V, λ̄, V̄)
end

"""
    subset_gradients(p, norms, reduction, a, b, w, V, λ̄, V̄)

The gradients with respect to both arguments (`nothing` for a `b` that is not there). Either cotangent may be `nothing`.
"""
function subset_gradients(p, norms, reduction, a, b, w, V, λ̄, V̄)
    Ā, B̄ = subset_matrix_gradients(p, norms, reduction, subset_matrices(p, a, b)..., w, V, λ̄, V̄)
    return shared_gradient(p, p.a, Ā), shared_gradient(p, p.b, B̄)
end

# The gradients with respect to A and B, n × n × count; only their Hermitian parts count.
function subset_matrix_gradients(p::SubsetProblem, norms, reduction, A, B, w, V, λ̄, V̄)
    M̄, N̄ = hermitian_pullback(p, norms, w, V, reduction, λ̄, V̄, nothing)
    X = V̄ === nothing ? nothing : complement(p, reduction, A, B, w, V, V̄)
    V̄ === nothing || foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄), (M̄, N̄, X)), axes(w, 2))
    return left_times_adjoint(V, M̄, X, nothing), N̄ === nothing ? nothing : left_times_adjoint(V, N̄, X, w)
end

# (V M̄ − X) Vᴴ, or with eigenvalues (V M̄ + X Λ) Vᴴ.
function left_times_adjoint(V, M̄, X, w)
    S = number_type(V, M̄, X, w)
    G = Array{S}(undef, size(V, 1), size(V, 1), size(V, 3))
    for k in axes(V, 3)
        left = times!(similar(matrix(V, k), S), matrix(V, k), slice(M̄, k))
        X === nothing || (left .+= w === nothing ? .-matrix(X, k) : matrix(X, k) .* transpose(column(w, k)))
        product!(matrix(G, k), left, matrix(V, k)')
    end
    return G
end

# ---- the complement ------------------------------------------------------------------------------------------

"""
    complement(p, reduction, A, B, w, V, Y)

`xⱼ = G(Y)ⱼ = Σ vᵢ vᵢᴴ yⱼ/(λᵢ − λⱼ)` over the eigenpairs that `w` and `V` leave out, in O(n²) for each column. Linear in `Y`
and its own adjoint. The numbers of `A` are in `reduction`; `A` itself is read for its partials only.
"""
complement(p, reduction, A, B, w, V, Y) = complement(number_type(A, w, V, Y), p, reduction, A, B, w, V, Y)

function complement(::Type, p::SubsetProblem{T}, reduction, A, B, w, V, Y) where {T}
    X = similar(V)
    native_complement!(X, p, reduction.factor, w, V, dense(T, Y))
    return X
end

function complement(::Type{S}, p::SubsetProblem, reduction, A, B, w, V, Y) where {S <: DualNumber}
    D = dual_type(S)
    p₀ = without_partials(D, p)
    A₀, B₀, w₀, V₀, Y₀ = map(x -> values_of(D, x), (A, B, w, V, Y))
    X = complement(p₀, reduction, A₀, B₀, w₀, V₀, Y₀)
    Ẋs = ntuple(ForwardDiff.npartials(D)) do i
        tangents = map(x -> partial_of(D, x, i), (A, B, w, V, Y))
        complement_pushforward(p₀, reduction, A₀, B₀, w₀, V₀, Y₀, X, tangents...)
    end
    return combine(D, X, Ẋs)
end

# The tangent of X = G(Y), from (A − λⱼ B) xⱼ = yⱼ − B V Vᴴ yⱼ with Vᴴ B X = 0: on the complement, and along V.
function complement_pushforward(p, reduction, A, B, w, V, Y, X, Ȧ, Ḃ, ẇ, V̇, Ẏ)
    S = number_type(X, Y, V, B, Ȧ, Ḃ, ẇ, V̇, Ẏ)
    right = Ẏ === nothing ? zeros(S, size(X)) : Array{S}(Ẏ)
    inside = zeros(S, size(w, 1), size(w, 1), size(w, 2))
    for k in axes(w, 2)
        Xₖ, Vₖ, rightₖ, insideₖ = matrix(X, k), matrix(V, k), matrix(right, k), matrix(inside, k)
        times_B(Z) = B === nothing ? Z : product(matrix(B, k), Z)
        inner = product(Vₖ', matrix(Y, k))
        Ȧ === nothing || product!(rightₖ, matrix(Ȧ, k), Xₖ, -1, 1)
        ẇ === nothing || (rightₖ .+= times_B(Xₖ .* transpose(column(ẇ, k))))
        if V̇ !== nothing
            rightₖ .-= times_B(product(matrix(V̇, k), inner))
            product!(insideₖ, matrix(V̇, k)', times_B(Xₖ), 1, 1)
        end
        if Ḃ !== nothing
            product!(rightₖ, matrix(Ḃ, k), Xₖ .* transpose(column(w, k)) .- product(Vₖ, inner), 1, 1)
            product!(insideₖ, Vₖ', product(matrix(Ḃ, k), Xₖ), 1, 1)
        end
    end
    Ẋ = complement(p, reduction, A, B, w, V, right)
    foreach(k -> product!(matrix(Ẋ, k), matrix(V, k), matrix(inside, k), -1, 1), axes(w, 2))
    return Ẋ
end

# ---- second derivatives --------------------------------------------------------------------------------------

"""
    subset_second_order(p, norms, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ)

Cotangents of `(a, b, λ̄, V̄)` for the cotangents `Ȧ`, `Ḃ` of the matrices' gradients. `w` and `V` get none, since they are functions
of `a` and `b`. The gradient is Jᴴ (λ̄, V̄), with J the tangent map of the solve:

- λ̄ and V̄ get J(Ȧ, Ḃ), because the gradient is linear in them;
- `a` and `b` get the tangent of the gradient along (Ȧ, Ḃ), because second derivatives are symmetric.
"""
function subset_second_order(p::SubsetProblem, norms, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ)
    A, B = varying_matrices(p, p.a, a), varying_matrices(p, p.b, b)
    ẇ, V̇, _ = solution_pushforward(p, norms, reduction, A, B, w, V, Ȧ, Ḃ)
    moving = along(A, Ȧ), along(B, Ḃ), along(w, ẇ), along(V, V̇)
    Ä, B̈ = map(derivative_along, subset_matrix_gradients(p, norms, reduction, moving..., λ̄, V̄))
    # The gradient of a loss of eigenvalues alone is NaN only where these are too close, not where vectors are.
    affected = [any_nonzero(k, Ȧ, Ḃ) for k in axes(w, 2)]
    for k in undetermined_matrices(p, norms, w, V, reduction, V̄ !== nothing, affected)
        foreach(x -> x === nothing || fill!(slice(x, k), NaN), (Ä, B̈, ẇ, V̇))
    end
    return shared_gradient(p, p.a, Ä), shared_gradient(p, p.b, B̈), ẇ, V̇
end
