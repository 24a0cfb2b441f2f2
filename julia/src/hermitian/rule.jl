# First derivatives of Hermitian problems, as docs/derivations.md writes them. All four types are
# one rule: with X, Y, s, t from the table there, L = (λᵢ + λⱼ)/2 and F the inverse gaps under the degeneracy policy,
#
#     M = Xᴴ dA X,  N = Yᴴ dB Y,  dλ = Re diag(M + s L∘N),  K = F∘(M + s L∘N) + (t/2) N,  dV = V K,  dU = −U Kᴴ.

# X, Y, s and t of the table.
bases(p::HermitianProblem, V, U) = p.type == 2 ? (U, V) : p.type == 3 ? (V, U) : (V, V)
signs(p::HermitianProblem) = p.type == 1 ? (-1, -1) : p.type == 2 ? (1, -1) : p.type == 3 ? (1, 1) : (0, 0)

function inverse_gaps(p::HermitianProblem, norms, w, V, U, k)
    X, Y = bases(p, V, U)
    norms_k = norms === nothing ? nothing : (norms[1][k], norms[2][k])
    scale = rounding_scale(p.degeneracy, view(w, :, k), view(X, :, :, k), view(Y, :, :, k), norms_k)
    return inverse_gaps(p.degeneracy, view(w, :, k), scale)
end

matrix(::Nothing, k) = nothing
matrix(x::AbstractArray{<:Any, 3}, k) = view(x, :, :, k)
column(::Nothing, k) = nothing
column(x::AbstractMatrix, k) = view(x, :, k)
at(::Nothing, i) = false
at(x, i) = x[i]
at(::Nothing, i, j) = false
at(x, i, j) = x[i, j]

number_type(::Nothing) = Bool
number_type(x::AbstractArray) = eltype(x)
number_type(xs...) = promote_type(map(number_type, xs)...)

congruence!(out, half, X, H) = product!(out, X', product!(half, H, X))

"""
    hermitian_pushforward(p, norms, w, V, U, Ȧ, Ḃ, rest)

`(ẇ, V̇, U̇)` along the tangents `Ȧ`, `Ḃ` of the Hermitian matrices, either of which may be `nothing`. Of a subset, `rest(k)` says what is
known of the others.
"""
function hermitian_pushforward(p::HermitianProblem, norms, w, V, U, Ȧ, Ḃ, rest = nothing_left_out)
    S = number_type(V, Ȧ, Ḃ)
    n, count = size(w)
    X, Y = bases(p, V, U)
    s, t = signs(p)
    ẇ = Matrix{real(S)}(undef, n, count)
    V̇ = similar(V, S)
    U̇ = U isa AbstractArray ? similar(V̇) : nothing
    M, N, K = (zeros(S, n, n) for _ in 1:3)
    half = Matrix{S}(undef, size(V, 1), n)
    for k in 1:count
        F = inverse_gaps(p, norms, w, V, U, k)
        Ȧ === nothing || congruence!(M, half, matrix(X, k), matrix(Ȧ, k))
        Ḃ === nothing || congruence!(N, half, matrix(Y, k), matrix(Ḃ, k))
        # From here on M is M + s L∘N.
        Ḃ === nothing || (M .= (Ȧ !== nothing) .* M .+ s .* (view(w, :, k) .+ transpose(view(w, :, k))) ./ 2 .* N)
        for j in 1:n, i in 1:n
            K[i, j] = F[i, j] * M[i, j] + t * N[i, j] / 2
            i == j && (ẇ[i, k] = real(M[i, i]))
        end
        found = coupled(F, M, () -> pushforward_rounding(F, M, matrix(X, k), matrix(Y, k), matrix(Ȧ, k), matrix(Ḃ, k), rest(k)))
        product!(matrix(V̇, k), matrix(V, k), K)
        U̇ === nothing || product!(matrix(U̇, k), matrix(U, k), K', -1, 0)
        found === nothing && continue
        i, j = found.pair
        explain(p.degeneracy, subject_of(p), shown(p, i), shown(p, j), (plain(w[i, k]), plain(w[j, k])), COUPLED, k, count)
        foreach(x -> x isa AbstractArray && lose!(matrix(x, k), found.lost), (V̇, U̇))
    end
    return ẇ, V̇, U̇
end

# The number of an eigenvalue in the whole spectrum.
shown(p::HermitianProblem, i) = i

lose!(X, lost) = foreach(j -> lost[j] && map!(unknown, view(X, :, j), view(X, :, j)), axes(X, 2))

unknown(x::Number) = NaN * x

# For a subset: norms of the columns of K outside of it, and a lower bound of the largest entry of M there.
nothing_left_out(k) = (; beyond = false, largest = false)

# σ of docs/derivations.md, "Forward mode".
function pushforward_rounding(F, S, X, Y, Ȧ, Ḃ, rest)
    n, λ = length(F.λ), map(plain, F.λ)
    turn = column_norms([plain(F[i, j]) * plain(S[i, j]) for i in 1:n, j in 1:n]) .+ rest.beyond
    σ = plain(F.scale) .* (turn .+ transpose(turn))
    Ȧ === nothing || (σ = σ .+ form_rounding(X, Ȧ))
    Ḃ === nothing || (σ = σ .+ abs.(λ .+ transpose(λ)) ./ 2 .* form_rounding(Y, Ḃ))
    most = most_of(map(plain, S), rest.largest)
    return min.(finite_or_nan.(σ .* sqrt(size(X, 1) / n)), most)
end

"""
    hermitian_pullback(p, norms, w, V, U, λ̄, V̄, Ū)

`(M̄, N̄)` such that `Ā = X M̄ Xᴴ` and `B̄ = Y N̄ Yᴴ` are the Hermitian gradients; `N̄` is `nothing` for type 0. Any of the
cotangents may be `nothing`. A loss of the eigenvalues alone has diagonal `M̄` and `N̄`, given as their diagonals,
`n × count`.
"""
hermitian_pullback(p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) =
    hermitian_pullback(number_type(w, V, λ̄, V̄, Ū), p, norms, w, V, U, λ̄, V̄, Ū)

function hermitian_pullback(::Type, p::HermitianProblem, norms, w, V, U, λ̄, ::Nothing, ::Nothing)
    p.type == 0 && return λ̄, nothing
    s, _ = signs(p)
    return λ̄, s .* w .* λ̄
end

function hermitian_pullback(::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) where {S}
    n, count = size(w)
    s, t = signs(p)
    M̄ = Array{S}(undef, n, n, count)
    N̄ = p.type == 0 ? nothing : similar(M̄)
    K̄ = Matrix{S}(undef, n, n)
    for k in 1:count
        F = inverse_gaps(p, norms, w, V, U, k)
        C = coupling!(K̄, F, p, norms, V, U, λ̄, V̄, Ū, k)
        broken = violation(C)
        if broken !== nothing
            explain(p.degeneracy, subject_of(p), shown(p, broken.i), shown(p, broken.j), broken.λ, broken.reason, k, count)
            fill!(matrix(M̄, k), NaN)
            N̄ === nothing || fill!(matrix(N̄, k), NaN)
            continue
        end
        for j in 1:n, i in 1:n
            M̄[i, j, k] = F[i, j] * significant_turning(C, i, j)
            i == j && (M̄[i, i, k] += at(C.λ̄, i))
            N̄ === nothing && continue
            N̄[i, j, k] = s * (w[i, k] + w[j, k]) / 2 * M̄[i, j, k] + t * mixing(C, i, j) / 2
        end
    end
    return M̄, N̄
end

"""
    input_gradients(p, norms, w, V, U, λ̄, V̄, Ū)

The gradients with respect to both inputs (`NoTangent()` for a `b` that is not there), by the core where it knows the rule.
"""
function input_gradients(p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū)
    known_to_core(p, w, V, U, λ̄, V̄, Ū) && return gradients_by_core(p, norms, w, V, U, λ̄, V̄, Ū)
    X, Y = bases(p, V, U)
    M̄, N̄ = hermitian_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    V̄ === nothing && Ū === nothing || foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄, Ū), (M̄, N̄)), axes(w, 2))
    return input_gradient(p, p.a, X, M̄), input_gradient(p, p.b, Y, N̄)
end

function coupling!(K̄, F, p, norms, V, U, λ̄, V̄, Ū, k)
    Vₖ, Uₖ, V̄ₖ, Ūₖ = matrix(V, k), matrix(U, k), matrix(V̄, k), matrix(Ū, k)
    rotation_cotangent!(K̄, Vₖ, Uₖ, V̄ₖ, Ūₖ)
    κ = coupling_rounding(F, K̄, p, norms, Vₖ, Uₖ, V̄ₖ, Ūₖ, k)
    return Coupling(F, K̄, column(λ̄, k), κ)
end

# K̄ = Vᴴ V̄ − Ūᴴ U
function rotation_cotangent!(K̄, V, U, V̄, Ū)
    V̄ === nothing ? fill!(K̄, 0) : product!(K̄, V', V̄)
    Ū === nothing || product!(K̄, Ū', U, -1, 1)
    return K̄
end

coupling_rounding(::InverseGaps, xs...) = nothing
function coupling_rounding(::InverseGaps{Check}, K̄, p, norms, V, U, V̄, Ū, k)
    R = real(eltype(K̄))
    most = most_of(K̄, least_of_whole(p, norms, V̄, k))
    return CouplingRounding{R}(basis_rounding(R, V, V̄), basis_rounding(R, U, Ū), most)
end

# A lower bound of the largest entry of K̄ in the whole problem, for a subset.
least_of_whole(p::HermitianProblem, norms, V̄, k) = false
