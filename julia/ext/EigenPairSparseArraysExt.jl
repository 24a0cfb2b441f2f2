# Sparse matrices: gradients on their pattern, and factorizations.
module EigenPairSparseArraysExt

using EigenPair: EigenPair, Factor, entry, entry_of_type
using LinearAlgebra
using SparseArrays

const SparseWrapper = Union{Symmetric{<:Any, <:SparseMatrixCSC}, Hermitian{<:Any, <:SparseMatrixCSC}}

EigenPair.plain_matrix(A::SparseWrapper) = sparse(A)

# ---- products --------------------------------------------------------------------------------------------------

"""
A Hermitian matrix, multiplied by rows, which are the conjugate columns: several vectors in one pass over the matrix.
"""
struct HermitianProduct{M <: SparseMatrixCSC}
    matrix::M
end
EigenPair.fast_product(A::SparseMatrixCSC) = HermitianProduct(A)
EigenPair.fast_product(A::SparseWrapper) = HermitianProduct(sparse(A))

function EigenPair.multiply_columns!(Y, A::HermitianProduct, X, α, β)
    first = 1
    while first <= size(X, 2)
        count = min(size(X, 2) - first + 1, 4)
        multiply_some!(Y, A.matrix, X, α, β, first - 1, Val(count))
        first += count
    end
    return Y
end

function multiply_some!(Y, A, X, α, β, before, ::Val{N}) where {N}
    rows, values = rowvals(A), nonzeros(A)
    zeros = ntuple(_ -> zero(promote_type(eltype(A), eltype(X))), Val(N))
    for j in axes(A, 2)
        sums = zeros
        for at in nzrange(A, j)
            i, value = rows[at], conj(values[at])
            sums = ntuple(c -> muladd(value, @inbounds(X[i, before + c]), sums[c]), Val(N))
        end
        for c in 1:N
            @inbounds Y[j, before + c] = iszero(β) ? α * sums[c] : α * sums[c] + β * Y[j, before + c]
        end
    end
    return Y
end

# ---- gradients -------------------------------------------------------------------------------------------------

function EigenPair.gradient_like(A::SparseMatrixCSC, L, R, project)
    # Columns of the transposes are contiguous for each entry.
    Lᵗ, Rᵗ = permutedims(L), permutedims(R)
    rows = rowvals(A)
    values = [entry_of_type(eltype(A), entry_of_columns(Lᵗ, Rᵗ, rows[at], j)) for j in axes(A, 2) for at in nzrange(A, j)]
    return SparseMatrixCSC(size(A)..., copy(SparseArrays.getcolptr(A)), copy(rows), values)
end

function entry_of_columns(Lᵗ, Rᵗ, i, j)
    sum = zero(promote_type(eltype(Lᵗ), eltype(Rᵗ)))
    @inbounds for l in axes(Lᵗ, 1)
        sum += Lᵗ[l, i] * conj(Rᵗ[l, j]) + Rᵗ[l, i] * conj(Lᵗ[l, j])
    end
    return sum / 2
end

wrapped(::Symmetric, G, uplo) = Symmetric(G, uplo)
wrapped(::Hermitian, G, uplo) = Hermitian(G, uplo)
function EigenPair.gradient_like(A::SparseWrapper, L, R, project)
    # The projection of ChainRules would halve these entries.
    stores_both_triangles(parent(A)) || throw(
        ArgumentError(
            "the gradient of a Symmetric or Hermitian sparse matrix `A` needs both triangles stored: write `Symmetric(sparse(A))` \
            or `Hermitian(sparse(A))`"
        )
    )
    return wrapped(A, EigenPair.gradient_like(parent(A), L, R, project), LinearAlgebra.sym_uplo(A.uplo))
end

function stores_both_triangles(A::SparseMatrixCSC)
    pattern = SparseMatrixCSC(size(A)..., SparseArrays.getcolptr(A), rowvals(A), fill(true, length(rowvals(A))))
    return issymmetric(pattern)
end

# ---- factorizations --------------------------------------------------------------------------------------------

EigenPair.shifted_matrix(A::SparseMatrixCSC, ::Nothing, σ) = A - σ * sparse(I, size(A)...)

# LDLᴴ does not pivot, and may be inaccurate or fail; its signs are those of the eigenvalues. LU pivots.
function EigenPair.hermitian_factor(M::SparseMatrixCSC)
    T = eltype(M) <: Complex ? ComplexF64 : Float64
    H = SparseMatrixCSC{T, Int}(M)
    F = ldlt(Hermitian(H); check = false)
    if issuccess(F) && is_accurate(F, H)
        pivots = real(diag(F))
        all(!iszero, pivots) && return Factor(X -> F \ Matrix{T}(X), count(<(0), pivots), nnz(F))
    end
    F = lu(H; check = false)
    return issuccess(F) ? Factor(X -> F \ Matrix{T}(X), nothing, nnz(F)) : nothing
end

function is_accurate(F, M)
    right = M * ones(eltype(M), size(M, 1))
    x = F \ right
    return norm(M * x - right) <= 1.0e5 * eps() * (opnorm(M, 1) * norm(x) + norm(right))
end

function EigenPair.definite_solve(B::SparseMatrixCSC)
    T = eltype(B) <: Complex ? ComplexF64 : Float64
    F = cholesky(Hermitian(SparseMatrixCSC{T, Int}(B)); check = false)
    return issuccess(F) ? X -> F \ Matrix{T}(X) : nothing
end
EigenPair.definite_solve(B::SparseWrapper) = EigenPair.definite_solve(sparse(B))

end
