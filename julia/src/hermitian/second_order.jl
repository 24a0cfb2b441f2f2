# Derivatives of hermitian_pullback itself. Write its rule as
#
#     K̄ = Vᴴ V̄ − Ūᴴ U,  S = (K̄ − K̄ᴴ)/2,  T = (K̄ + K̄ᴴ)/2,  M̄ = Diag(λ̄) + F∘S,  N̄ = s L∘M̄ + (t/2) T
#
# and differentiate line by line. A check mark (M̌) is a cotangent of a cotangent. Under `check()` eigenvalues
# too close make all of it NaN: in a cluster, what first-order data lack is the derivative of the rotation inside it.

any_nonzero(k, xs...) = any(x -> x !== nothing && any(!iszero, selectdim(x, ndims(x), k)), xs)

"""
    second_order_pushforward(p, norms, w, V, U, λ̄, V̄, Ū, ẇ, V̇, U̇, dλ̄, dV̄, dŪ)

`(dM̄, dN̄)`: the tangents of what [`hermitian_pullback`](@ref) returns. Any tangent may be `nothing`.
"""
function second_order_pushforward(
        p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū, ẇ, V̇, U̇, dλ̄, dV̄, dŪ
    )
    n, count = size(w)
    s, t = signs(p)
    S = number_type(w, V, λ̄, V̄, Ū, ẇ, V̇, U̇, dλ̄, dV̄, dŪ)
    diagonal = V̄ === nothing && Ū === nothing
    dM̄ = diagonal ? zeros(real(S), n, count) : zeros(S, n, n, count)
    dN̄ = p.type == 0 ? nothing : zero(dM̄)
    for k in 1:count
        F = inverse_gaps(p, norms, w, V, U, k)
        if undetermined(F, !diagonal) && any_nonzero(k, ẇ, V̇, U̇, dλ̄, dV̄, dŪ)
            explain_second_order(F, p, k, count)
            fill!(selectdim(dM̄, ndims(dM̄), k), NaN)
            dN̄ === nothing || fill!(selectdim(dN̄, ndims(dN̄), k), NaN)
            continue
        end
        λ, λ̄ₖ, λ̇, dλ̄ₖ = column(w, k), column(λ̄, k), column(ẇ, k), column(dλ̄, k)
        if diagonal
            for i in 1:n
                dM̄[i, k] = at(dλ̄ₖ, i)
                dN̄ === nothing || (dN̄[i, k] = s * (at(λ̇, i) * at(λ̄ₖ, i) + λ[i] * at(dλ̄ₖ, i)))
            end
            continue
        end
        Vₖ, Uₖ, V̄ₖ, Ūₖ = matrix(V, k), matrix(U, k), matrix(V̄, k), matrix(Ū, k)
        C = coupling!(Matrix{S}(undef, n, n), F, p, norms, V, U, λ̄, V̄, Ū, k)
        dK̄ = rotation_cotangent!(Matrix{S}(undef, n, n), Vₖ, Uₖ, matrix(dV̄, k), matrix(dŪ, k))
        V̇ === nothing || V̄ === nothing || product!(dK̄, matrix(V̇, k)', V̄ₖ, 1, 1)
        U̇ === nothing || Ū === nothing || product!(dK̄, Ūₖ', matrix(U̇, k), -1, 1)
        for j in 1:n, i in 1:n
            Sᵢⱼ = significant_turning(C, i, j)
            dSᵢⱼ = (dK̄[i, j] - conj(dK̄[j, i])) / 2
            dF = slope(F, i, j) * (at(λ̇, j) - at(λ̇, i))
            dM̄[i, j, k] = dF * Sᵢⱼ + F[i, j] * dSᵢⱼ
            i == j && (dM̄[i, i, k] += at(dλ̄ₖ, i))
            dN̄ === nothing && continue
            M̄ᵢⱼ = F[i, j] * Sᵢⱼ + (i == j) * at(λ̄ₖ, i)
            L, dL = (λ[i] + λ[j]) / 2, (at(λ̇, i) + at(λ̇, j)) / 2
            dN̄[i, j, k] = s * (dL * M̄ᵢⱼ + L * dM̄[i, j, k]) + t * (dK̄[i, j] + conj(dK̄[j, i])) / 4
        end
    end
    return dM̄, dN̄
end

"""
    second_order_pullback(p, norms, w, V, U, λ̄, V̄, Ū, M̌, Ň)

Cotangents of `(w, V, U, λ̄, V̄, Ū)` for the cotangents `M̌`, `Ň` of what [`hermitian_pullback`](@ref) returns, either of
which may be `nothing`:

    M̌' = M̌ + s L∘Ň            Ǩ = F∘M̌' + (t/2) Ň
    V̌ = V̄ Ǩᴴ,  Ǔ = −Ū Ǩ       of V̄: V Ǩ,  of Ū: −U Ǩᴴ,  of λ̄: Re diag M̌'
    w̌ⱼ = Σᵢ 2 F'ᵢⱼ Re(conj(M̌'ᵢⱼ) Sᵢⱼ) + s Re(conj(Ňᵢⱼ) M̄ᵢⱼ)
"""
function second_order_pullback(p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū, M̌, Ň)
    n, count = size(w)
    s, t = signs(p)
    S = number_type(w, V, λ̄, V̄, Ū, M̌, Ň)
    diagonal = V̄ === nothing && Ū === nothing
    like(x) = x === nothing ? nothing : zeros(S, n, n, count)
    w̌, λ̌ = zeros(real(S), n, count), zeros(real(S), n, count)
    V̌, Ǔ = like(V̄), like(Ū)
    of_V̄, of_Ū = like(V̄), like(Ū)
    for k in 1:count
        any_nonzero(k, M̌, Ň) || continue
        F = inverse_gaps(p, norms, w, V, U, k)
        if undetermined(F, !diagonal)
            explain_second_order(F, p, k, count)
            foreach(x -> x === nothing || fill!(selectdim(x, ndims(x), k), NaN), (w̌, λ̌, V̌, Ǔ, of_V̄, of_Ū))
            continue
        end
        λ, λ̄ₖ = column(w, k), column(λ̄, k)
        if diagonal
            M̌ₖ, Ňₖ = column(M̌, k), column(Ň, k)
            for i in 1:n
                λ̌[i, k] = at(M̌ₖ, i) + s * λ[i] * at(Ňₖ, i)
                w̌[i, k] = s * at(λ̄ₖ, i) * at(Ňₖ, i)
            end
            continue
        end
        Vₖ, Uₖ, V̄ₖ, Ūₖ = matrix(V, k), matrix(U, k), matrix(V̄, k), matrix(Ū, k)
        M̌ₖ, Ňₖ = matrix(M̌, k), matrix(Ň, k)
        C = coupling!(Matrix{S}(undef, n, n), F, p, norms, V, U, λ̄, V̄, Ū, k)
        Ǩ = Matrix{S}(undef, n, n)
        for j in 1:n, i in 1:n
            L = (λ[i] + λ[j]) / 2
            # Both are cotangents of Hermitian matrices, so only their Hermitian part counts.
            Mᵢⱼ = (at(M̌ₖ, i, j) + conj(at(M̌ₖ, j, i))) / 2
            Nᵢⱼ = (at(Ňₖ, i, j) + conj(at(Ňₖ, j, i))) / 2
            Mᵢⱼ += s * L * Nᵢⱼ
            Sᵢⱼ = significant_turning(C, i, j)
            M̄ᵢⱼ = F[i, j] * Sᵢⱼ + (i == j) * at(λ̄ₖ, i)
            i == j && (λ̌[i, k] = real(Mᵢⱼ))
            w̌[j, k] += 2 * slope(F, i, j) * real(conj(Mᵢⱼ) * Sᵢⱼ) + s * real(conj(Nᵢⱼ) * M̄ᵢⱼ)
            Ǩ[i, j] = F[i, j] * Mᵢⱼ + t * Nᵢⱼ / 2
        end
        if V̄ !== nothing
            product!(matrix(V̌, k), V̄ₖ, Ǩ')
            product!(matrix(of_V̄, k), Vₖ, Ǩ)
        end
        if Ū !== nothing
            product!(matrix(Ǔ, k), Ūₖ, Ǩ, -1, 0)
            product!(matrix(of_Ū, k), Uₖ, Ǩ', -1, 0)
        end
    end
    return w̌, V̌, Ǔ, λ̌, of_V̄, of_Ū
end
