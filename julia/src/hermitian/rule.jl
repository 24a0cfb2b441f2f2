# The solve of Hermitian problems, and its first derivatives in the notation of docs/derivations.md. One rule covers all four types: with
# X, Y, s, t from the table there, L = (λᵢ + λⱼ)/2 and F the inverse gaps under the degeneracy policy,
#
#     P = Xᴴ dA X + s L∘N,  N = Yᴴ dB Y,  dλ = Re diag P,  K = F∘P + (t/2) N,  dV = V K,  dU = −U Kᴴ.

# X, Y, s and t of the table.
bases(p::HermitianProblem, V, U) = p.type == 2 ? (U, V) : p.type == 3 ? (V, U) : (V, V)
signs(p::HermitianProblem) = p.type == 1 ? (-1, -1) : p.type == 2 ? (1, -1) : p.type == 3 ? (1, 1) : (0, 0)

core_type(p::HermitianProblem) = p.type

# ---- the solve -----------------------------------------------------------------------------------------------

"""
    solution(p, a, b)

`(w, V, U)`: all eigenvalues `n × count`, eigenvectors and, for types 2 and 3, the dual basis `U = V⁻ᴴ`, `n × n × count`;
`U` is `nothing` for types 0 and 1, whose rule needs none.
"""
function solution(p::HermitianProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    n, count = p.n, prod(p.batch)
    w = Matrix{real(T)}(undef, n, count)
    V = Array{T}(undef, n, n, count)
    U = p.b === nothing || p.type == 1 ? nothing : similar(V)
    solve!(w, V, U, p, a, b)
    generic_basis(p.degeneracy) && turn_clusters!(p, input_norms(p, a, b), w, V, U)
    return w, V, U
end

generic_basis(::DegeneracyPolicy) = false
generic_basis(policy::Check) = policy.generic_basis

function turn_clusters!(p::HermitianProblem{T}, norms, w, V, U) where {T}
    decision = decide(p, FORWARD, norms, w, V, U)
    for k in (has_cluster(decision) ? axes(w, 2) : ())
        H = generic_reflection(T, matrix(decision.reasons, k))
        V[:, :, k] = V[:, :, k] * H
        U === nothing || (U[:, :, k] = U[:, :, k] * H)
    end
    return nothing
end

function solution_values(p::HermitianProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    w = Matrix{real(T)}(undef, p.n, prod(p.batch))
    solve!(w, nothing, nothing, p, a, b)
    return w
end
# Tangents of dual numbers need the vectors.
solution_values(p::Eigenproblem, a, b) = first(solution(p, a, b))

function solve!(w, V, U, p::HermitianProblem{T}, a, b) where {T}
    codes, inputs = (dtype_code(T), p.type, p.triangle, 0, 0, 0, size(w)...), (core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    isempty(w) || run_native(:hermitian_job, CHermitianProblem, codes, (inputs..., w, V, U, nothing))
    return explain_arguments(p, a, b, w)
end

"""
    generic_reflection(T, reasons)

`H = I − 2 r rᴴ/|r|²` inside each cluster of two or more, with a fixed vector `r` without symmetry.
"""
function generic_reflection(::Type{T}, reasons) where {T}
    n = size(reasons, 1)
    frac(x) = x - floor(x)
    phase(k) = T <: Complex ? cispi(2 * frac(k * sqrt(2))) : 1
    r = T[(1 + frac(k * (sqrt(5) - 1) / 2)) * phase(k) for k in 1:n]
    together(i, j) = i == j || reasons[i, j] == CLUSTER
    members(i) = filter(j -> together(i, j), 1:n)
    size_of_cluster = [sum(j -> abs2(r[j]), members(i)) for i in 1:n]
    alone(i) = length(members(i)) == 1
    return T[(i == j) - (together(i, j) && !alone(i) ? 2 * r[i] * conj(r[j]) / size_of_cluster[i] : zero(T)) for i in 1:n, j in 1:n]
end

# ---- forward -------------------------------------------------------------------------------------------------

"""
    solution_pushforward(p, norms, w, V, U, Ȧ, Ḃ; outside, largest)

`(ẇ, V̇, U̇)` along the tangents `Ȧ`, `Ḃ` of the Hermitian matrices, either of which may be `nothing`. For a subset, `outside` has the norms
of the columns of K outside the subset, and `largest` is a lower bound of the largest entry of P there.
"""
function solution_pushforward(p::HermitianProblem, norms, w, V, U, Ȧ, Ḃ; outside = nothing, largest = nothing)
    S = number_type(V, Ȧ, Ḃ)
    X, Y = bases(p, V, U)
    ẇ, V̇ = similar(w, real(S)), similar(V, S)
    U̇ = U isa AbstractArray ? similar(V̇) : nothing
    forms = [perturbation(p, column(w, k), matrix(X, k), matrix(Y, k), matrix(Ȧ, k), matrix(Ḃ, k)) for k in axes(w, 2)]
    decision = decide_forward(p, norms, w, V, U, map(first, forms), Ȧ, Ḃ; outside, largest)
    for (k, (P, N)) in enumerate(forms)
        column(ẇ, k) .= real.(diag(P))
        K = rotation(p, InverseGaps(p, w, decision, k), P, N)
        product!(matrix(V̇, k), matrix(V, k), K)
        U̇ === nothing || product!(matrix(U̇, k), matrix(U, k), K', -1, 0)
        foreach(x -> x === nothing || lose!(matrix(x, k), column(decision.lost, k)), (V̇, U̇))
    end
    return ẇ, V̇, U̇
end

# P and N of one matrix; N is nothing without dB.
function perturbation(p, λ, X, Y, Ȧ, Ḃ)
    P = Ȧ === nothing ? zeros(number_type(λ, X, Ḃ), length(λ), length(λ)) : congruence(p, X, Ȧ)
    Ḃ === nothing && return P, nothing
    N, (s, _) = congruence(p, Y, Ḃ), signs(p)
    return P .+ s .* (λ .+ transpose(λ)) ./ 2 .* N, N
end
congruence(p, X, H) = product(X', times_tangent!(p, Matrix{number_type(X, H)}(undef, size(X)), H, X, 1, 0))
# `α H X + β C` in `C`, with the tangent `H` of a matrix.
times_tangent!(p, C, H, X, α, β) = product!(C, H, X, α, β)

function rotation(p, F::InverseGaps, P, N)
    _, t = signs(p)
    return [F[i, j] * P[i, j] + t * at(N, i, j) / 2 for i in axes(P, 1), j in axes(P, 2)]
end

lose!(X, lost) = foreach(j -> iszero(lost[j]) || map!(unknown, view(X, :, j), view(X, :, j)), axes(X, 2))
unknown(x::Number) = NaN * x

# ---- reverse -------------------------------------------------------------------------------------------------

"""
    hermitian_pullback(p, norms, w, V, U, λ̄, V̄, Ū)

`(M̄, N̄)` such that `Ā = X M̄ Xᴴ` and `B̄ = Y N̄ Yᴴ` are the Hermitian gradients; `N̄` is `nothing` for type 0. Any of the
cotangents may be `nothing`. A loss of the eigenvalues alone has diagonal `M̄` and `N̄`, given as their diagonals,
`n × count`.
"""
function hermitian_pullback(p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū)
    diagonal = V̄ === nothing && Ū === nothing
    M̄, N̄ = diagonal ? values_pullback(p, w, λ̄) : vectors_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    lose_undetermined!(p, norms, (w, V, U), !diagonal, (w, V, U, λ̄, V̄, Ū), (M̄, N̄))
    return M̄, N̄
end

function values_pullback(p, w, λ̄)
    s, _ = signs(p)
    return copy(λ̄), p.type == 0 ? nothing : s .* w .* λ̄
end

function vectors_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    K̄ = rotation_cotangents(p, V, U, V̄, Ū)
    decision = decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, K̄)
    explain_refusals(p, w, U, decision)
    M̄ = similar(K̄, number_type(w, K̄, λ̄))
    N̄ = p.type == 0 ? nothing : similar(M̄)
    for k in axes(w, 2)
        found = is_refused(decision, k) ? (NaN, NaN) :
            rotation_pullback(p, InverseGaps(p, w, decision, k), matrix(K̄, k), column(λ̄, k))
        foreach((x, xₖ) -> x === nothing || (matrix(x, k) .= xₖ), (M̄, N̄), found)
    end
    return M̄, N̄
end

# K̄ = Vᴴ V̄ − Ūᴴ U of each matrix; 0 without cotangents of vectors.
function rotation_cotangents(p::HermitianProblem, V, U, V̄, Ū)
    K̄ = zeros(number_type(V, U, V̄, Ū), size(V, 2), size(V, 2), size(V, 3))
    for k in axes(V, 3)
        V̄ === nothing || product!(matrix(K̄, k), matrix(V, k)', matrix(V̄, k))
        Ū === nothing || product!(matrix(K̄, k), matrix(Ū, k)', matrix(U, k), -1, 1)
    end
    return K̄
end

# M̄ and N̄ of one matrix. S is the part of K̄ that rotates vectors into each other.
function rotation_pullback(p, F::InverseGaps, K̄, λ̄)
    (s, t), λ = signs(p), F.λ
    S = [significant(F, (K̄[i, j] - conj(K̄[j, i])) / 2, i, j) for i in axes(K̄, 1), j in axes(K̄, 2)]
    M̄ = [F[i, j] * S[i, j] + (i == j) * at(λ̄, i) for i in axes(S, 1), j in axes(S, 2)]
    p.type == 0 && return M̄, nothing
    return M̄, s .* (λ .+ transpose(λ)) ./ 2 .* M̄ .+ t .* (K̄ .+ K̄') ./ 4
end

# For a subset: a lower bound of the largest entry of K̄ in the whole problem.
largest_outside(p::Eigenproblem, norms, V̄) = nothing

function matrix_gradients(p::HermitianProblem, norms, A, B, w, V, U, λ̄, V̄, Ū)
    X, Y = bases(p, V, U)
    M̄, N̄ = hermitian_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    V̄ === nothing && Ū === nothing || foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄, Ū), (M̄, N̄)), axes(w, 2))
    return sandwich(X, M̄, X), sandwich(Y, N̄, Y)
end

# ---- the same rule, computed in the core ---------------------------------------------------------------------

is_known_to_core(
    p::HermitianProblem, w::Matrix{R}, V::Array{T, 3}, U::Union{Nothing, Array{T, 3}}, cotangents...
) where {R <: LinearAlgebra.BlasReal, T <: LinearAlgebra.BlasFloat} =
    plain_type(number_type(cotangents...)) == number_type(cotangents...) && has_small_kernels()

function gradients_by_core(p::HermitianProblem{T}, norms, w, V, U, λ̄, V̄, Ū) where {T}
    Ā, B̄ = similar(V), p.b === nothing ? nothing : similar(V)
    scale = p.type == 0 || !(p.degeneracy isa Check) ? nothing : rounding_scales(p, norms, w, V, U)
    # 1 where check() gives no number.
    refused = zeros(Int32, size(w, 2))
    # AD engines pass lazy arrays of ones and arrays of other precisions.
    λ̄, V̄, Ū = dense_if(eltype(w), λ̄), dense_if(eltype(V), V̄), dense_if(eltype(V), Ū)
    # The core writes both gradients on the same triangle.
    triangle = gradient_triangle(p.a)
    p.b === nothing || gradient_triangle(p.b) == triangle || (triangle = HERMITIAN_PART)
    policy, parameter = core_policy(p.degeneracy)
    codes = (dtype_code(T), p.type, triangle, 0, policy, 1, 0, 0, parameter, size(w)...)
    isempty(w) || run_native(:hermitian_rule_job, CHermitianRule, codes, (w, V, U, scale, Ā, B̄, λ̄, V̄, Ū, refused))
    found = findall(==(1), refused)
    explains(p.degeneracy) && !isempty(found) &&
        explain_refusals(p, w, U, decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, rotation_cotangents(p, V, U, V̄, Ū)), found)
    foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄, Ū), (Ā, B̄)), found)
    return written_gradient(p, p.a, Ā, triangle), written_gradient(p, p.b, B̄, triangle)
end

dense_if(::Type, ::Nothing) = nothing
dense_if(::Type{T}, x) where {T} = dense(T, x)

# The gradient of one argument, from gradients of all problems on `triangle`.
written_gradient(p::HermitianProblem, ::Nothing, B̄, triangle) = nothing
function written_gradient(p::HermitianProblem, input::MatrixInput, Ā, triangle)
    Ḡ = shared_sum(p, input, Ā)
    gradient_triangle(input) == triangle || return projected_gradient(input, Ḡ)
    return input.project(reshape(Ḡ, p.n, p.n, input.batch...))
end
