# Factors of a shifted matrix, for eigenvalues inside the spectrum, and of B. Package extensions add methods for sparse matrices.

"""
`X ↦ M⁻¹X` of a Hermitian matrix. `negative`: how many of its eigenvalues are below 0, or `nothing` where the factors do not tell. `fill`: how
many numbers they hold.
"""
struct Factor{S}
    solve::S
    negative::Union{Nothing, Int}
    fill::Int
end

"""
    hermitian_factor(M)

The [`Factor`](@ref) of a Hermitian matrix; `nothing` if it is singular.
"""
function hermitian_factor(M::AbstractMatrix)
    H = Hermitian(Matrix(M))
    F = bunchkaufman(H; check = false)
    issuccess(F) || return nothing
    # A block of two rows has an eigenvalue of each sign.
    in_blocks = count(<(0), F.ipiv) ÷ 2
    negative = in_blocks + count(i -> F.ipiv[i] > 0 && real(F.LD[i, i]) < 0, eachindex(F.ipiv))
    return Factor(X -> F \ X, negative, length(H))
end

"""
    definite_solve(B)

`X ↦ B⁻¹X`, or `nothing` if the matrix is not positive definite.
"""
function definite_solve(B::AbstractMatrix)
    F = cholesky(Hermitian(Matrix(B)); check = false)
    return issuccess(F) ? X -> F \ X : nothing
end

shifted_matrix(A, ::Nothing, σ) = A - σ * I
shifted_matrix(A, B, σ) = A - σ * B

"""
    shifted_factor(T, A, B, σ)

The [`Factor`](@ref) of `A − σB`. Throws `ArgumentError` if there is none, or if it is inaccurate.
"""
function shifted_factor(::Type{T}, A, B, σ) where {T}
    M = shifted_matrix(A, B, σ)
    factor = hermitian_factor(M)
    if factor !== nothing
        x = random_columns(T, 11, size(M, 1), 1)
        right = M * x
        y = factor.solve(right)
        lost, size_of_all = norm(M * y - right), opnorm(M, 1) * norm(y) + norm(right)
        lost <= 1.0e5 * eps(real(T)) * size_of_all && norm(y) <= norm(x) / (1.0e4 * eps(real(T))) && return factor
    end
    throw(ArgumentError("`sigma = $σ` is an eigenvalue, or too close to one for a factorization: move it a little"))
end

# Factors with no more numbers than this for each unknown are cheap, and two more are made to count eigenvalues.
const CHEAP_FILL = 40

"""
    inertia_agrees(A, B, σ, factor, found)

Whether as many eigenvalues were found as the signs of two more factorizations say there are. True where these are too expensive.
"""
function inertia_agrees(A, B, σ, factor, found)
    (factor.negative === nothing || factor.fill > CHEAP_FILL * size(A, 1)) && return true
    inner, outer = maximum(abs.(found.values .- σ)), minimum(abs.(found.edges .- σ))
    inner < outer * (1 - 1.0e-6) || return true
    radius = isfinite(outer) ? (inner + outer) / 2 : 2 * inner
    below, above = (hermitian_factor(shifted_matrix(A, B, σ + s * radius)) for s in (-1, 1))
    (below === nothing || above === nothing || below.negative === nothing || above.negative === nothing) && return true
    return above.negative - below.negative == length(found.values)
end
