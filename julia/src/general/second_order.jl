# Derivatives of general_pullback itself, line by line of the reverse rule:
#
#     K̄ = VᴴV̄ + H̄,  H̄ = −ŪᴴU,  K̄⁰ = K̄ + VᴴZ,  zⱼ = −vⱼ Re K̄ⱼⱼ − i eₖ Im(K̄ⱼⱼ)/vₖⱼ,  Ē = conj(F)∘K̄⁰,
#     M̄ = Ē + Diag(λ̄),  N̄ = −Ē Diag(conj λ) − Diag(λ̄∘conj λ) + H̄.
#
# A check mark (M̌) is a cotangent of a cotangent. Where a second derivative is undetermined (a cluster under `check()`, an
# infinite eigenvalue), all of it is NaN.

"""
    general_second_order(p, norms, w, V, U, λ̄, V̄, Ū, M̌, Ň)

Cotangents of `(w, V, U, λ̄, V̄, Ū)` for the cotangents `M̌`, `Ň` of what [`general_pullback`](@ref) returns, either of which
may be `nothing`.
"""
function general_second_order(p::GeneralProblem, norms, w, V, U, λ̄, V̄, Ū, M̌, Ň)
    n, count = size(w)
    S = number_type(w, V, λ̄, V̄, Ū, M̌, Ň)
    diagonal = V̄ === nothing && Ū === nothing
    like(x) = x === nothing ? nothing : zeros(S, n, n, count)
    w̌, λ̌ = zeros(S, n, count), zeros(S, n, count)
    V̌, Ǔ = diagonal ? (nothing, nothing) : (zeros(S, n, n, count), like(Ū))
    of_V̄, of_Ū = like(V̄), like(Ū)
    for k in 1:count
        any_nonzero(k, M̌, Ň) || continue
        F = general_gaps(p, norms, w, V, U, k)
        if undetermined(F, !diagonal)
            explain_second_order(F, k, count)
            foreach(x -> x === nothing || fill!(selectdim(x, ndims(x), k), NaN), (w̌, λ̌, V̌, Ǔ, of_V̄, of_Ū))
            continue
        end
        λ, λ̄ₖ, w̌ₖ, λ̌ₖ = column(w, k), column(λ̄, k), column(w̌, k), column(λ̌, k)
        if diagonal
            values_second_order!(w̌ₖ, λ̌ₖ, λ, λ̄ₖ, column(M̌, k), column(Ň, k))
            continue
        end
        M̌ₖ, Ňₖ = matrix(M̌, k), matrix(Ň, k)
        diagonal_of(x) = x === nothing ? nothing : view(x, diagind(x))
        values_second_order!(w̌ₖ, λ̌ₖ, λ, λ̄ₖ, diagonal_of(M̌ₖ), diagonal_of(Ňₖ))
        Vₖ, Uₖ, V̄ₖ, Ūₖ = matrix(V, k), matrix(U, k), matrix(V̄, k), matrix(Ū, k)
        K̄, _ = vector_cotangents(S, Vₖ, Uₖ, V̄ₖ, Ūₖ)
        d = diag(K̄)
        Z = gauge_phases_transpose(Vₖ, d)
        K⁰, κ = K̄ + product(Vₖ', Z), rotation_rounding(real(eltype(λ)), Vₖ, Uₖ, V̄ₖ, Ūₖ)
        K⁰ = [significant(F, K⁰, κ, i, j) for i in 1:n, j in 1:n]
        Ǩ = gaps_second_order!(w̌ₖ, F, K⁰, M̌ₖ, Ňₖ)
        Ž = product(Vₖ, Ǩ)
        V̌[:, :, k] = product(Z, Ǩ') + gauge_second_order(Vₖ, d, Ž)
        Ǩ[diagind(Ǩ)] += gauge_phases(Vₖ, Ž)
        if V̄ !== nothing
            V̌[:, :, k] += product(V̄ₖ, Ǩ')
            of_V̄[:, :, k] = product(Vₖ, Ǩ)
        end
        if Ū !== nothing
            Ȟ = Ňₖ === nothing ? Ǩ : Ǩ + Ňₖ
            Ǔ[:, :, k] = -product(Ūₖ, Ȟ)
            of_Ū[:, :, k] = -product(Uₖ, Ȟ')
        end
    end
    return w̌, V̌, Ǔ, λ̌, of_V̄, of_Ū
end

# Through Diag(λ̄) and −Diag(λ̄∘conj λ); the arguments are diagonals.
function values_second_order!(w̌, λ̌, λ, λ̄, M̌, Ň)
    for j in eachindex(λ)
        λ̌[j] += at(M̌, j) - at(Ň, j) * λ[j]
        w̌[j] -= conj(at(Ň, j)) * at(λ̄, j)
    end
    return nothing
end

# Through Ē; returns the cotangent of K̄⁰.
function gaps_second_order!(w̌, F::GeneralGaps, K⁰, M̌, Ň)
    Ǩ = similar(K⁰)
    for j in axes(K⁰, 2), i in axes(K⁰, 1)
        Ě = at(M̌, i, j) - at(Ň, i, j) * F.λ[j]
        Ǩ[i, j] = F[i, j] * Ě
        w̌[j] -= conj(at(Ň, i, j)) * conj(F[i, j]) * K⁰[i, j]
        slope, slope_conj = slopes(F, i, j)
        q = conj(Ě) * K⁰[i, j]
        ǧ = conj(slope) * q + slope_conj * conj(q)
        w̌[j] += ǧ
        w̌[i] -= ǧ
    end
    return Ǩ
end

# The cotangent of V in V, d ↦ gauge_phases_transpose(V, d), whose value has the cotangent Ž.
function gauge_second_order(V, d, Ž)
    V̌ = -Ž .* transpose(real.(d))
    for (j, k) in enumerate(pivots(V))
        V̌[k, j] += imag(Ž[k, j]) * imag(d[j]) / real(V[k, j])^2
    end
    return V̌
end
