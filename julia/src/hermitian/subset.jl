# A subset of the eigenpairs of a large Hermitian matrix or definite pair A v = λ B v, computed without the others.
#
# The solve reduces the problem to a tridiagonal matrix and computes the subset there. Derivatives of the vectors have two parts. The part
# inside the subset follows rule.jl, with V of size n × k. The part outside uses the reduction again. See docs/derivations.md, "Subsets":
#
#     dV = V K − G(dA V − dB V Λ),    Ā = (V M̄ − G(V̄)) Vᴴ,    B̄ = (V N̄ + G(V̄) Λ) Vᴴ.

# For smaller matrices, or more than an eighth of the spectrum, computing the whole spectrum is faster.
const LEAST = 64
const MOST = 8

const BandProblem{T} = HermitianProblem{T, :band}
const SubsetProblem{T} = Union{HermitianProblem{T, :subset}, BandProblem{T}}

"""
    worthwhile(n, subset, type, policy)

Whether to compute only the subset. Policies that leave out gaps without a test need all vectors.
"""
worthwhile(n, subset, type, policy) =
    type <= 1 && n >= LEAST && !isempty(subset) && MOST * length(subset) <= n && needs_no_others(policy)
needs_no_others(::DegeneracyPolicy) = false
needs_no_others(::Raw) = true
needs_no_others(policy::Check) = !policy.generic_basis

# Array types whose whole spectrum is always computed add a method that returns false.
solved_in_part(a, b) = true

shows_all(p::SubsetProblem) = p.subset == 1:p.n || needs_no_others(p.degeneracy)

# ---- the solve -----------------------------------------------------------------------------------------------

"""
The data that derivatives need besides the eigenpairs of the subset, in the place of a dual basis. `edges`: the eigenvalue below,
the one above, and the scale of rounding errors, `3 × count`; only the core knows the contents of `factor`. Both are constant for
derivatives: tangents come from `a` and `b`.
"""
struct Reduction{E <: Union{Nothing, Matrix}, F <: Union{Nothing, Matrix}}
    edges::E
    factor::F
end

matrix(::Reduction, k) = nothing
slice(::Reduction, k) = nothing
number_type(::Reduction) = Bool
varies(::Reduction) = false

function solution_values(p::SubsetProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    w = Matrix{real(T)}(undef, length(computed(p)), prod(p.batch))
    solve!(w, nothing, Reduction(nothing, nothing), p, a, b)
    return w
end

"""
    solution(p::SubsetProblem, a, b)

`(w, V, reduction)`: `k × count`, `n × k × count`, and a [`Reduction`](@ref).
"""
function solution(p::SubsetProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    k, count = length(computed(p)), prod(p.batch)
    w, V = Matrix{real(T)}(undef, k, count), Array{T}(undef, p.n, k, count)
    reduction = Reduction(Matrix{real(T)}(undef, 3, count), new_factor(p, count))
    solve!(w, V, reduction, p, a, b)
    generic_basis(p.degeneracy) && turn_clusters!(p, nothing, w, V, nothing)
    return w, V, reduction
end
new_factor(p::SubsetProblem{T}, count) where {T} = Matrix{T}(undef, p.n * ((1 + p.type) * p.n + 4), count)

function solve!(w, V, reduction, p::SubsetProblem{T}, a, b) where {T}
    codes = (dtype_code(T), p.triangle, 0, 0, p.n, size(w, 2), first(p.subset) - 1, size(w, 1))
    arrays = core_input(p, p.a, a)..., core_input(p, p.b, b)..., w, reduction.edges, V, reduction.factor, nothing
    isempty(w) || run_native(:subset_job, CSubsetProblem, codes, arrays)
    return explain_arguments(p, a, b, w)
end

known_scale(reduction::Reduction) = reduction.edges[3, :]
known_edges(reduction::Reduction) = reduction.edges[1:2, :]

# ---- first derivatives ---------------------------------------------------------------------------------------

# Their partials are needed for the complement.
rule_matrices(p::SubsetProblem, a, b) = problem_matrices(p, p.a, a), problem_matrices(p, p.b, b)

function pushforward_at(p::SubsetProblem, a, b, (w, V, reduction))
    norms, (A, B) = input_norms(p, a, b), rule_matrices(p, a, b)
    return (Ȧ, Ḃ) -> solution_pushforward(p, norms, reduction, A, B, w, V, Ȧ, Ḃ)
end

"""
    solution_pushforward(p::SubsetProblem, norms, reduction, A, B, w, V, Ȧ, Ḃ)

`(ẇ, V̇, nothing)` along the tangents `Ȧ`, `Ḃ` of the Hermitian matrices, either of which may be `nothing`.
"""
function solution_pushforward(p::SubsetProblem, norms, reduction::Reduction, A, B, w, V, Ȧ, Ḃ)
    right = zeros(number_type(V, Ȧ, Ḃ), size(V))
    for k in axes(w, 2)
        Ȧ === nothing || times_tangent!(p, matrix(right, k), matrix(Ȧ, k), matrix(V, k), 1, 0)
        Ḃ === nothing || product!(matrix(right, k), matrix(Ḃ, k), matrix(V, k) .* transpose(column(w, k)), -1, 1)
    end
    outside = complement(p, reduction, A, B, w, V, right)
    count = size(w, 2)
    norms_of_b = norms === nothing ? ones(real(plain_type(eltype(w))), count) : norms[2]
    sizes = [column_norms(matrix(outside, k)) .* sqrt(norms_of_b[k]) for k in 1:count]
    # A lower bound of the norm of dA in the metric of B; dA has n² entries.
    of_a(k) = Ȧ === nothing ? 0 : frobenius_norm(p, plain_array(matrix(Ȧ, k))) / (p.n * norms_of_b[k])
    largest = [max(of_a(k), maximum(column_norms(matrix(right, k)); init = 0) / sqrt(p.n * norms_of_b[k])) for k in 1:count]
    ẇ, V̇, _ = solution_pushforward(p, norms, w, V, reduction, Ȧ, Ḃ; outside = isempty(sizes) ? nothing : stack(sizes), largest)
    return ẇ, V̇ .- outside, nothing
end

# ‖v̄ⱼ‖² ≤ ‖B‖ Σᵢ|K̄ᵢⱼ|², with i in the whole problem.
largest_outside(p::SubsetProblem, norms, V̄) =
    [maximum(column_norms(matrix(V̄, k)); init = 0) / sqrt(p.n * (norms === nothing ? 1 : norms[2][k])) for k in axes(V̄, 3)]
column_norms(X) = [norm(x) for x in eachcol(plain_array(X))]
frobenius_norm(p, A) = norm(A)

function matrix_gradients(p::SubsetProblem, norms, A, B, w, V, reduction::Reduction, λ̄, V̄, Ū)
    M̄, N̄ = hermitian_pullback(p, norms, w, V, reduction, λ̄, V̄, nothing)
    X = V̄ === nothing ? nothing : complement(p, reduction, A, B, w, V, V̄)
    V̄ === nothing || foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄), (M̄, N̄, X)), axes(w, 2))
    X === nothing && return gradient_matrices(p, V, M̄), gradient_matrices(p, V, N̄)
    return gradient_matrices(p, V, M̄, -X), gradient_matrices(p, V, N̄, X .* reshape(w, 1, size(w)...))
end

# Whose Hermitian parts are those of (V M̄ + Z) Vᴴ.
gradient_matrices(p, V, M̄, Z = nothing) = sandwich(V, M̄, V, Z)

# ---- the complement ------------------------------------------------------------------------------------------

"""
    complement(p, reduction, A, B, w, V, Y)

`xⱼ = G(Y)ⱼ = Σ vᵢ vᵢᴴ yⱼ/(λᵢ − λⱼ)` over the eigenpairs that `w` and `V` leave out, in O(n²) for each column. Linear in `Y`
and its own adjoint. The numbers of `A` are in `reduction`; `A` itself is read for its partials only.
"""
complement(p, reduction, A, B, w, V, Y) = complement(number_type(A, w, V, Y), p, reduction, A, B, w, V, Y)

function complement(::Type, p::SubsetProblem{T}, reduction, A, B, w, V, Y) where {T}
    X = similar(V)
    isempty(w) || solve_complement!(X, p, reduction, A, w, V, dense(T, Y))
    return X
end
function solve_complement!(X, p::SubsetProblem{T}, reduction, A, w, V, Y) where {T}
    codes = (dtype_code(T), 0, 0, p.type, p.n, size(w, 2), size(w, 1))
    return run_native(:complement_job, CComplementProblem, codes, (reduction.factor, w, V, Y, X, nothing))
end

complement(::Type{S}, p::SubsetProblem, reduction, A, B, w, V, Y) where {S <: DualNumber} = complement_of_duals(S, p, reduction, A, B, w, V, Y)

function complement_of_duals(::Type{S}, p, reduction, A, B, w, V, Y) where {S}
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
        Ȧ === nothing || times_tangent!(p, rightₖ, matrix(Ȧ, k), Xₖ, -1, 1)
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
