# The solve of general problems, and its first derivatives, in the notation of docs/derivations.md. Eigenvalues have the homogeneous form α/β:
# (λ, 1), or (1, 0) for infinite ones.
#
# With the dual basis U (UᴴBV = I), M = Uᴴ dA V, N = Uᴴ dB V and F the inverse gaps under the policy,
#
#     dλ = diag(M − N Diag(λ)),  P = M Diag(β) − N Diag(α),  K = F∘P + Diag(c),  dV = V K,  dU = −U (N + K)ᴴ,
#
# where c keeps the gauge.

homogeneous(λ) = isinf(λ) ? (one(λ), zero(λ)) : (λ, one(λ))
# αⱼβᵢ − βⱼαᵢ: λⱼ − λᵢ for finite ones.
function gap(λᵢ::Complex, λⱼ::Complex)
    (αᵢ, βᵢ), (αⱼ, βⱼ) = homogeneous(λᵢ), homogeneous(λⱼ)
    return αⱼ * βᵢ - βⱼ * αᵢ
end

core_type(p::GeneralProblem) = p.b === nothing ? 0 : 1

# ---- the solve -----------------------------------------------------------------------------------------------

"""
    solution(p, a, b)

`(w, V, U, L)`: eigenvalues `n × count`; right eigenvectors, the dual basis and, if the problem has `left`, left
eigenvectors, `n × n × count`.
"""
solution(p::GeneralProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat} = general_native(p, a, b, true, true)

# Without derivatives, less of the solution is computed.
solution_vectors(p::GeneralProblem{T}, a, b, right) where {T <: LinearAlgebra.BlasFloat} = general_native(p, a, b, right, false)
solution_vectors(p::GeneralProblem, a, b, right) = solution(p, a, b)
solution_values(p::GeneralProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat} = first(general_native(p, a, b, false, false))

function general_native(p::GeneralProblem{T}, a, b, right, dual) where {T}
    n, count = p.n, prod(p.batch)
    vectors(wanted) = wanted ? Array{complex(T)}(undef, n, n, count) : nothing
    w = Matrix{complex(T)}(undef, n, count)
    V, U, L = vectors(right), vectors(dual), vectors(p.left)
    arrays = core_input(p, p.a, a)..., core_input(p, p.b, b)..., w, V, L, U, nothing
    isempty(w) || run_native(:general_job, CGeneralProblem, (dtype_code(T), 0, size(w)...), arrays)
    return w, V, U, L
end

# ---- forward -------------------------------------------------------------------------------------------------

"""
    solution_pushforward(p, norms, w, V, U, L, Ȧ, Ḃ)

`(ẇ, V̇, U̇, L̇)` along the tangents `Ȧ`, `Ḃ` of the matrices, either of which may be `nothing`.
"""
function solution_pushforward(p::GeneralProblem, norms, w, V, U, L, Ȧ, Ḃ)
    S = number_type(V, Ȧ, Ḃ)
    ẇ, V̇, U̇ = similar(w, S), similar(V, S), similar(U, S)
    L̇ = L === nothing ? nothing : similar(V̇)
    forms = [perturbation(column(w, k), matrix(V, k), matrix(U, k), matrix(Ȧ, k), matrix(Ḃ, k)) for k in axes(w, 2)]
    decision = decide_forward(p, norms, w, V, U, map(last, forms), Ȧ, Ḃ)
    for (k, (M, N, P)) in enumerate(forms)
        Vₖ, Uₖ, lost = matrix(V, k), matrix(U, k), column(decision.lost, k)
        column(ẇ, k) .= values_tangent(column(w, k), M, N)
        K = rotation(InverseGaps(p, w, decision, k), P, Vₖ)
        product!(matrix(V̇, k), Vₖ, K)
        product!(matrix(U̇, k), Uₖ, plus(K, N)', -1, 0)
        L === nothing || (L̇[:, :, k] = left_tangent(Uₖ, matrix(L, k), matrix(U̇, k)))
        foreach(x -> x === nothing || lose!(matrix(x, k), lost), (V̇, U̇, L̇))
        foreach(j -> iszero(lost[j]) || (ẇ[j, k] = unknown(ẇ[j, k])), axes(w, 1))
    end
    return ẇ, V̇, U̇, L̇
end

# For second derivatives, which take left vectors as a function of U.
solution_pushforward(p::GeneralProblem, norms, w, V, U, Ȧ, Ḃ) = solution_pushforward(p, norms, w, V, U, nothing, Ȧ, Ḃ)[1:3]

# M, N and P of one matrix; what has no tangent is nothing.
function perturbation(λ, V, U, Ȧ, Ḃ)
    form(H) = H === nothing ? nothing : product(U', product(H, V))
    M, N = form(Ȧ), form(Ḃ)
    return M, N, [at(M, i, j) * homogeneous(λ[j])[2] - at(N, i, j) * homogeneous(λ[j])[1] for i in eachindex(λ), j in eachindex(λ)]
end

values_tangent(λ, M, N) = [isinf(λ[j]) ? oftype(λ[j], NaN) : at(M, j, j) - λ[j] * at(N, j, j) for j in eachindex(λ)]

function rotation(F::InverseGaps, P, V)
    K = [F[i, j] * P[i, j] for i in axes(P, 1), j in axes(P, 2)]
    K[diagind(K)] = gauge_phases(V, product(V, K))
    return K
end

# ---- reverse -------------------------------------------------------------------------------------------------

"""
    general_pullback(p, norms, w, V, U, λ̄, V̄, Ū)

`(M̄, N̄)` such that `Ā = U M̄ Vᴴ` and `B̄ = U N̄ Vᴴ` are the gradients; `N̄` is `nothing` without `b`. Any of the cotangents may
be `nothing`. A loss of the eigenvalues alone has diagonal `M̄` and `N̄`, given as their diagonals, `n × count`.
"""
function general_pullback(p::GeneralProblem, norms, w, V, U, λ̄, V̄, Ū)
    n, count = size(w)
    S = number_type(w, V, λ̄, V̄, Ū)
    diagonal = V̄ === nothing && Ū === nothing
    M̄ = diagonal ? zeros(S, n, count) : zeros(S, n, n, count)
    N̄ = p.b === nothing ? nothing : zero(M̄)
    K̄ = diagonal ? nothing : rotation_cotangents(p, V, U, V̄, Ū)
    decision = decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, K̄)
    explain_refusals(p, w, U, decision)
    for k in 1:count
        M̄ₖ, N̄ₖ, F = slice(M̄, k), slice(N̄, k), InverseGaps(p, w, decision, k)
        if is_refused(decision, k)
            foreach(x -> x === nothing || fill!(x, NaN), (M̄ₖ, N̄ₖ))
        elseif diagonal
            add_values!(M̄ₖ, N̄ₖ, F.λ, column(λ̄, k))
        else
            rotation_pullback!(M̄ₖ, N̄ₖ, F, matrix(K̄, k), dual_cotangent(U, Ū, k), column(λ̄, k))
        end
        is_refused(decision, k) || explain_defective(p, w, U, k)
    end
    lose_undetermined!(p, norms, (w, V, U), !diagonal, (w, V, U, λ̄, V̄, Ū), (M̄, N̄))
    return M̄, N̄
end

# K̄ = VᴴV̄ + H̄ plus what the gauge adds, of each matrix.
function rotation_cotangents(p::GeneralProblem, V, U, V̄, Ū)
    K̄ = zeros(number_type(V, U, V̄, Ū), size(V))
    for k in axes(V, 3)
        Vₖ = matrix(V, k)
        free = plus(V̄ === nothing ? nothing : product(Vₖ', matrix(V̄, k)), dual_cotangent(U, Ū, k))
        matrix(K̄, k) .= free .+ product(Vₖ', gauge_phases_transpose(Vₖ, diag(free)))
    end
    return K̄
end
# H̄ = −ŪᴴU
dual_cotangent(U, Ū, k) = Ū === nothing ? nothing : -product(matrix(Ū, k)', matrix(U, k))

function rotation_pullback!(M̄, N̄, F::InverseGaps, K̄, H̄, λ̄)
    for j in axes(K̄, 2), i in axes(K̄, 1)
        α, β = homogeneous(F.λ[j])
        Ē = conj(F[i, j]) * significant(F, K̄[i, j], i, j)
        M̄[i, j] = Ē * conj(β)
        N̄ === nothing || (N̄[i, j] = -Ē * conj(α) + at(H̄, i, j))
    end
    return add_values!(M̄, N̄, F.λ, λ̄)
end

# Adds Diag(λ̄) and −Diag(λ̄∘conj(λ)); NaN for an infinite eigenvalue.
add_values!(M̄, N̄, λ, ::Nothing) = nothing
function add_values!(M̄, N̄, λ, λ̄)
    place(X, j) = ndims(X) == 1 ? CartesianIndex(j) : CartesianIndex(j, j)
    for j in eachindex(λ)
        iszero(λ̄[j]) && !varies(λ̄) && continue
        bar = isinf(λ[j]) ? λ̄[j] * NaN : λ̄[j]
        M̄[place(M̄, j)] += bar
        N̄ === nothing || (N̄[place(N̄, j)] -= bar * conj(λ[j]))
    end
    return nothing
end

# Without a dual basis every gradient is NaN.
function explain_defective(p, w, U, k)
    λ = map(plain, column(w, k))
    (explains(p.degeneracy) && length(λ) > 1 && any(isnan, matrix(U, k)) && !any(isnan, λ)) || return nothing
    i, j = argmin(((i, j),) -> abs(gap(λ[i], λ[j])), [(i, j) for j in 2:length(λ) for i in 1:(j - 1)])
    return explain(p.degeneracy, subject_of(p), i, j, (λ[i], λ[j]), DEFECTIVE, k, size(w, 2))
end

function matrix_gradients(p::GeneralProblem, norms, A, B, w, V, U, λ̄, V̄, Ū)
    M̄, N̄ = general_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    for k in axes(w, 2)
        # A defective matrix has no dual basis: U and Ū are NaN for every loss.
        defective = any(isnan, matrix(U, k))
        given = defective ? (w, λ̄, V̄) : (w, λ̄, V̄, Ū)
        settle!(p.degeneracy, k, given, (M̄, N̄), defective) && defective && (U = with_zeros(U, k))
    end
    return sandwich(U, M̄, V), sandwich(U, N̄, V)
end

function with_zeros(U, k)
    U = copy(U)
    fill!(matrix(U, k), 0)
    return U
end
