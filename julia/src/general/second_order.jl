# Reverse mode over reverse mode, as for Hermitian problems (hermitian/second_order.jl): the pullback of the gradient is that of
#
#     φ = ⟨(λ̄, V̄, Ū), J(Ȧ, Ḃ)⟩ = Re⟨λ̄, diag(M − N Diag(λ))⟩ + Re⟨V̄, V K⟩ − Re⟨Ū, U (N + K)ᴴ⟩
#
# with M, N and K of rule.jl.

"""
    second_order_pullback(p, norms, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)

Cotangents of `(w, V, U, λ̄, V̄, Ū)` for the cotangents `Ȧ`, `Ḃ` of the matrices' gradients, either of which may be `nothing`. NaN where
a second derivative is undetermined: two eigenvalues are too close, or one is infinite.
"""
function second_order_pullback(p::GeneralProblem, norms, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)
    S = number_type(w, V, λ̄, V̄, Ū, Ȧ, Ḃ)
    zeros_like(x) = x === nothing ? nothing : zeros(S, size(x))
    ∂w, ∂V, ∂U, ∂λ̄, ∂V̄, ∂Ū = map(zeros_like, (w, V, U, w, V̄, Ū))
    diagonal = V̄ === nothing && Ū === nothing
    K̄ = diagonal ? nothing : rotation_cotangents(p, V, U, V̄, Ū)
    decision = decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, K̄)
    affected = [any_nonzero(k, Ȧ, Ḃ) for k in axes(w, 2)]
    undetermined = undetermined_matrices(p, norms, w, V, U, !diagonal, affected)
    for k in findall(affected)
        if k in undetermined
            foreach(x -> x === nothing || fill!(slice(x, k), NaN), (∂w, ∂V, ∂U, ∂λ̄, ∂V̄, ∂Ū))
            continue
        end
        λ, λ̄ₖ, ∂wₖ, Vₖ, Uₖ = column(w, k), column(λ̄, k), column(∂w, k), matrix(V, k), matrix(U, k)
        ∂Vₖ, ∂Uₖ, Ȧₖ, Ḃₖ = matrix(∂V, k), matrix(∂U, k), matrix(Ȧ, k), matrix(Ḃ, k)
        M, N, P = perturbation(λ, Vₖ, Uₖ, Ȧₖ, Ḃₖ)
        column(∂λ̄, k) .= values_tangent(λ, M, N)
        foreach(j -> ∂wₖ[j] -= conj(at(N, j, j)) * at(λ̄ₖ, j), eachindex(λ))
        M̄, N̄ = zeros(S, size(P)), p.b === nothing ? nothing : zeros(S, size(P))
        if diagonal
            add_values!(M̄, N̄, λ, λ̄ₖ)
        else
            F = InverseGaps(p, w, decision, k)
            add_slopes!(∂wₖ, F, rotation_pullback!(M̄, N̄, F, matrix(K̄, k), dual_cotangent(U, Ū, k), λ̄ₖ), P, N)
            # Through the phases c of the gauge, which depend on V and on V K without c.
            d, K = diag(free_rotation_cotangent(V, U, V̄, Ū, k)), rotation(F, P, Vₖ)
            VK = product(Vₖ, K - Diagonal(K))
            ∂Vₖ .+= product(gauge_phases_transpose(Vₖ, d), (K - Diagonal(K))') .+ gauge_second_order(Vₖ, d, VK)
            if V̄ !== nothing
                product!(∂Vₖ, matrix(V̄, k), K', 1, 1)
                product!(matrix(∂V̄, k), Vₖ, K)
            end
            if Ū !== nothing
                product!(∂Uₖ, matrix(Ū, k), plus(K, N), -1, 1)
                product!(matrix(∂Ū, k), Uₖ, plus(K, N)', -1, 0)
            end
        end
        for (Ẋ, X̄) in ((Ȧₖ, M̄), (Ḃₖ, N̄))
            Ẋ === nothing && continue
            product!(∂Uₖ, product(Ẋ, Vₖ), X̄', 1, 1)
            product!(∂Vₖ, product(Ẋ', Uₖ), X̄, 1, 1)
        end
    end
    return ∂w, ∂V, ∂U, ∂λ̄, ∂V̄, ∂Ū
end

# Adds to ∂w the derivative of F∘P with respect to the eigenvalues, in gaps and in P.
function add_slopes!(∂w, F::InverseGaps, K̄, P, N)
    for j in axes(P, 2), i in axes(P, 1)
        ∂w[j] -= conj(at(N, i, j) * F[i, j]) * K̄[i, j]
        slope, slope_conj = slopes(F, i, j)
        q = conj(P[i, j]) * K̄[i, j]
        of_gap = conj(slope) * q + slope_conj * conj(q)
        ∂w[j] += of_gap
        ∂w[i] -= of_gap
    end
    return nothing
end
