# Linear systems on the complement of the subset: what the eigenpairs outside contribute to derivatives.

"""
    complement(p, reduction, a, b, w, V, Y)

`xⱼ = G(Y)ⱼ = Σ vᵢ vᵢᴴ yⱼ/(λᵢ − λⱼ)` over the eigenpairs that `w` and `V` leave out, in O(n²) for each column. Linear in `Y`
and its own adjoint. The numbers of `a` and `b` are in `reduction`; how they vary is theirs to say.
"""
complement(p, reduction, a, b, w, V, Y) = complement(number_type(a, b, w, V, Y), p, reduction, a, b, w, V, Y)

function complement(::Type, p::SubsetProblem{T}, reduction, a, b, w, V, Y) where {T}
    X = similar(V)
    native_complement!(X, p, reduction.factor, w, V, dense(T, Y))
    return X
end

# The Hermitian matrices B, or nothing for B = I.
metric(p::SubsetProblem, ::Nothing) = nothing
metric(p::SubsetProblem{T}, b) where {T} =
    hermitian_matrices(promote_type(T, eltype(b)), flat(entries(b)), p.b.triangle)[:, :, batch_indices(p, p.b)]

"""
    complement_pushforward(p, reduction, a, b, w, V, Y, X, Ȧ, Ḃ, ẇ, V̇, Ẏ)

The tangent of `X = G(Y)`, from `(A − λⱼ B) xⱼ = yⱼ − B V Vᴴ yⱼ` with `Vᴴ B X = 0`: on the complement, and along `V`. Any
tangent may be `nothing`.
"""
function complement_pushforward(p::SubsetProblem, reduction, a, b, w, V, Y, X, Ȧ, Ḃ, ẇ, V̇, Ẏ)
    S = number_type(X, Y, V, Ȧ, Ḃ, ẇ, V̇, Ẏ, b)
    B = metric(p, b)
    right = Ẏ === nothing ? zeros(S, size(X)) : Array{S}(Ẏ)
    along = zeros(S, size(w, 1), size(w, 1), size(w, 2))
    for k in axes(w, 2)
        Xₖ, Vₖ, rightₖ, alongₖ = matrix(X, k), matrix(V, k), matrix(right, k), matrix(along, k)
        times_B(Z) = B === nothing ? Z : matrix(B, k) * Z
        inner = Vₖ' * matrix(Y, k)
        Ȧ === nothing || mul!(rightₖ, matrix(Ȧ, k), Xₖ, -1, 1)
        ẇ === nothing || (rightₖ .+= times_B(Xₖ .* transpose(column(ẇ, k))))
        if V̇ !== nothing
            rightₖ .-= times_B(matrix(V̇, k) * inner)
            alongₖ .+= matrix(V̇, k)' * times_B(Xₖ)
        end
        if Ḃ !== nothing
            mul!(rightₖ, matrix(Ḃ, k), Xₖ .* transpose(column(w, k)) .- Vₖ * inner, 1, 1)
            alongₖ .+= Vₖ' * (matrix(Ḃ, k) * Xₖ)
        end
    end
    Ẋ = complement(p, reduction, a, b, w, V, right)
    foreach(k -> mul!(matrix(Ẋ, k), matrix(V, k), matrix(along, k), -1, 1), axes(w, 2))
    return Ẋ
end
