# Reverse mode over reverse mode. The gradient is Jᴴ(λ̄, V̄, Ū), where J is the tangent map of the solve at (w, V, U). For a
# cotangent (Ȧ, Ḃ) of the gradient, its pullback is that of
#
#     φ = ⟨(λ̄, V̄, Ū), J(Ȧ, Ḃ)⟩ = Σ λ̄ᵢ Re Pᵢᵢ + Re⟨V̄, V K⟩ − Re⟨Ū, U Kᴴ⟩
#
# with P, N and K of rule.jl. So the cotangents of λ̄, V̄ and Ū are J(Ȧ, Ḃ), and those of w, V and U follow by differentiating P, N
# and K. Forward mode over the gradient needs no rule: rule.jl runs with dual numbers.

"""
    second_order_pullback(p, norms, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)

Cotangents of `(w, V, U, λ̄, V̄, Ū)` for the cotangents `Ȧ`, `Ḃ` of the matrices' gradients, either of which may be `nothing`. NaN where
two eigenvalues are too close for a second derivative.
"""
function second_order_pullback(p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)
    S = number_type(w, V, λ̄, V̄, Ū, Ȧ, Ḃ)
    zeros_like(x) = x === nothing ? nothing : zeros(S, size(x))
    ∂w, ∂λ̄ = zeros(real(S), size(w)), zeros(real(S), size(w))
    ∂V, ∂U, ∂V̄, ∂Ū = zeros_like(V), zeros_like(U), zeros_like(V̄), zeros_like(Ū)
    (X, Y), (∂X, ∂Y), (s, _) = bases(p, V, U), bases(p, ∂V, ∂U), signs(p)
    diagonal = V̄ === nothing && Ū === nothing
    K̄ = rotation_cotangents(p, V, U, V̄, Ū)
    decision = decide_reverse(p, norms, w, V, U, λ̄, V̄, Ū, diagonal ? nothing : K̄)
    affected = [any_nonzero(k, Ȧ, Ḃ) for k in axes(w, 2)]
    undetermined = undetermined_matrices(p, norms, w, V, U, !diagonal, affected)
    for k in findall(affected)
        if k in undetermined
            foreach(x -> x === nothing || fill!(slice(x, k), NaN), (∂w, ∂V, ∂U, ∂λ̄, ∂V̄, ∂Ū))
            continue
        end
        λ, Xₖ, Yₖ, F = column(w, k), matrix(X, k), matrix(Y, k), InverseGaps(p, w, decision, k)
        P, N = perturbation(p, λ, Xₖ, Yₖ, matrix(Ȧ, k), matrix(Ḃ, k))
        K = rotation(p, F, P, N)
        turning, M̄, N̄ = rotation_pullback(p, F, matrix(K̄, k), column(λ̄, k))
        column(∂λ̄, k) .= real.(diag(P))
        for j in axes(P, 2), i in axes(P, 1)
            ∂w[j, k] += 2 * sum(slopes(F, i, j)) * real(conj(P[i, j]) * turning[i, j]) + s * real(conj(at(N, i, j)) * M̄[i, j])
        end
        Ȧ === nothing || product!(matrix(∂X, k), product(matrix(Ȧ, k), Xₖ), M̄, 2, 1)
        Ḃ === nothing || product!(matrix(∂Y, k), product(matrix(Ḃ, k), Yₖ), N̄, 2, 1)
        if V̄ !== nothing
            product!(matrix(∂V, k), matrix(V̄, k), K', 1, 1)
            product!(matrix(∂V̄, k), matrix(V, k), K)
        end
        if Ū !== nothing
            product!(matrix(∂U, k), matrix(Ū, k), K, -1, 1)
            product!(matrix(∂Ū, k), matrix(U, k), K', -1, 0)
        end
    end
    return ∂w, ∂V, ∂U, ∂λ̄, ∂V̄, ∂Ū
end
