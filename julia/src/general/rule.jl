# First derivatives of general problems, as docs/derivations.md writes them.
#
# With eigenvalues α/β, the dual basis U (UᴴBV = I), M = Uᴴ dA V, N = Uᴴ dB V and F the inverse gaps under the policy,
#
#     dλ = diag(M − N Diag(λ)),  K⁰ = F∘(M Diag(β) − N Diag(α)),  K = K⁰ + Diag(c),  dV = V K,  dU = −U (N + K)ᴴ,
#
# where c keeps the gauge.

at_batch(::Nothing, k) = nothing
at_batch(x, k) = x[k]
general_gaps(p::GeneralProblem, norms, w, V, U, k) =
    general_gaps(p.degeneracy, view(w, :, k), matrix(U, k), matrix(V, k), norms[1][k], at_batch(norms[2], k))

"""
    general_pushforward(p, norms, w, V, U, L, Ȧ, Ḃ)

`(ẇ, V̇, U̇, L̇)` along the tangents `Ȧ`, `Ḃ` of the matrices, either of which may be `nothing`.
"""
function general_pushforward(p::GeneralProblem, norms, w, V, U, L, Ȧ, Ḃ)
    S = number_type(V, Ȧ, Ḃ)
    n, count = size(w)
    ẇ = Matrix{S}(undef, n, count)
    V̇, U̇ = Array{S}(undef, n, n, count), Array{S}(undef, n, n, count)
    L̇ = L === nothing ? nothing : similar(V̇)
    for k in 1:count
        F, Vₖ, Uₖ = general_gaps(p, norms, w, V, U, k), matrix(V, k), matrix(U, k)
        M = Ȧ === nothing ? nothing : product(Uₖ', product(matrix(Ȧ, k), Vₖ))
        N = Ḃ === nothing ? nothing : product(Uₖ', product(matrix(Ḃ, k), Vₖ))
        moved, K = Matrix{S}(undef, n, n), Matrix{S}(undef, n, n)
        for j in 1:n
            α, β = homogeneous(w[j, k])
            ẇ[j, k] = iszero(β) ? S(NaN) : at(M, j, j) - α * at(N, j, j)
            for i in 1:n
                moved[i, j] = β * at(M, i, j) - α * at(N, i, j)
                K[i, j] = F[i, j] * moved[i, j]
            end
        end
        found = coupled(F, moved, () -> pushforward_rounding(F, moved, Vₖ, Uₖ, matrix(Ȧ, k), matrix(Ḃ, k)))
        K[diagind(K)] = gauge_phases(Vₖ, product(Vₖ, K))
        product!(matrix(V̇, k), Vₖ, K)
        product!(matrix(U̇, k), Uₖ, N === nothing ? K' : (K + N)', -1, 0)
        L === nothing || (L̇[:, :, k] = left_tangent(Uₖ, matrix(L, k), matrix(U̇, k)))
        found === nothing && continue
        explain(F, found.pair, is_defective(F, found.pair...) ? DEFECTIVE : COUPLED, k, count)
        foreach(x -> x === nothing || lose!(matrix(x, k), found.lost), (V̇, U̇, L̇))
        foreach(j -> found.lost[j] && (ẇ[j, k] = unknown(ẇ[j, k])), 1:n)
    end
    return ẇ, V̇, U̇, L̇
end

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
    for k in 1:count
        F, λ, λ̄ₖ = general_gaps(p, norms, w, V, U, k), column(w, k), column(λ̄, k)
        M̄ₖ, N̄ₖ = slice(M̄, k), N̄ === nothing ? nothing : slice(N̄, k)
        broken = if diagonal
            general_violation(F, nothing, λ̄ₖ, nothing)
        else
            vectors_pullback!(M̄ₖ, N̄ₖ, F, matrix(V, k), matrix(U, k), λ̄ₖ, matrix(V̄, k), matrix(Ū, k))
        end
        values_pullback!(M̄ₖ, N̄ₖ, λ, λ̄ₖ)
        if broken !== nothing
            explain(F, (broken.i, broken.j), broken.reason, k, count)
            fill!(M̄ₖ, NaN)
            N̄ₖ === nothing || fill!(N̄ₖ, NaN)
        elseif any(isnan, F.condition) && !any(isnan, λ)
            explain_defective(F, k, count)
        elseif undetermined(F, !diagonal) && any(x -> x !== nothing && varies(slice(x, k)), (w, V, U, λ̄, V̄, Ū))
            explain_second_order(F, k, count)
            map!(unknown_partials, M̄ₖ, M̄ₖ)
            N̄ₖ === nothing || map!(unknown_partials, N̄ₖ, N̄ₖ)
        end
    end
    return M̄, N̄
end

# Adds Diag(λ̄) and −Diag(λ̄∘conj(λ)); NaN for an infinite eigenvalue.
values_pullback!(M̄, N̄, λ, ::Nothing) = nothing
function values_pullback!(M̄, N̄, λ, λ̄)
    place(X, j) = ndims(X) == 1 ? CartesianIndex(j) : CartesianIndex(j, j)
    for j in eachindex(λ)
        iszero(λ̄[j]) && !varies(λ̄) && continue
        bar = isinf(λ[j]) ? λ̄[j] * NaN : λ̄[j]
        M̄[place(M̄, j)] += bar
        N̄ === nothing || (N̄[place(N̄, j)] -= bar * conj(λ[j]))
    end
    return nothing
end

# Adds the part of the eigenvectors; returns what general_violation finds.
function vectors_pullback!(M̄, N̄, F::GeneralGaps, V, U, λ̄, V̄, Ū)
    K̄, H̄ = vector_cotangents(eltype(M̄), V, U, V̄, Ū)
    K̄ = K̄ + product(V', gauge_phases_transpose(V, diag(K̄)))
    κ = rotation_rounding(real(plain_type(eltype(F.λ))), V, U, V̄, Ū)
    for j in axes(M̄, 2)
        α, β = homogeneous(F.λ[j])
        for i in axes(M̄, 1)
            Ē = conj(F[i, j]) * significant(F, K̄, κ, i, j)
            M̄[i, j] = Ē * conj(β)
            N̄ === nothing || (N̄[i, j] = -Ē * conj(α) + at(H̄, i, j))
        end
    end
    return general_violation(F, K̄, λ̄, κ)
end

# What entries of K̄ are compared with. There is no upper bound: where rounding is large compared with all of K̄, the condition
# numbers show it.
rotation_rounding(::Type{R}, V, U, V̄, Ū) where {R} =
    CouplingRounding{R}(basis_rounding(R, V, V̄), basis_rounding(R, U, Ū), R(Inf))

# K̄ = VᴴV̄ + H̄ and H̄ = −ŪᴴU, `nothing` without Ū.
function vector_cotangents(::Type{S}, V, U, V̄, Ū) where {S}
    H̄ = Ū === nothing ? nothing : -product(Ū', U)
    V̄ === nothing && return Matrix{S}(H̄), H̄
    return Matrix{S}(H̄ === nothing ? product(V', V̄) : product(V', V̄) + H̄), H̄
end

# Left vectors are the columns of U in the gauge: y = u s. Tangent and cotangent of that.
left_scales(U, L, chosen) = map((j, k) -> conj(U[k, j]) / abs(U[k, j]) / norm(view(U, :, j)), axes(U, 2), chosen)

function left_tangent(U, L, U̇)
    Ẋ = U̇ .* transpose(left_scales(U, L, pivots(L)))
    return Ẋ + L .* transpose(gauge_phases(L, Ẋ))
end
