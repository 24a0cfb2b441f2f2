# Products of matrices. LinearAlgebra compiles its products again for each combination of views, adjoints and element types,
# with special kernels for 2×2 and 3×3. That would take most of the time of a first gradient.

# Up to CALL_LIMIT, calling BLAS costs more than the product itself. Beyond LOOP_LIMIT, for element types that BLAS does not
# have, LinearAlgebra's blocked product is worth its compilation.
const CALL_LIMIT = 4
const LOOP_LIMIT = 64

"""
    product!(C, A, B, α = 1, β = 0)

`C = α A B + β C`; `A` and `B` are matrices or adjoints of matrices. With `β = 0`, `C` is not read.
"""
product!(C, A, B, α = 1, β = 0) = multiply!(C, is_adjoint(A), unwrapped_matrix(A), is_adjoint(B), unwrapped_matrix(B), α, β)

"""
    product(A, B)

`A B` as a new matrix.
"""
product(A, B) = product!(Matrix{promote_type(eltype(A), eltype(B))}(undef, size(A, 1), size(B, 2)), A, B)

is_adjoint(A::AbstractMatrix) = false
is_adjoint(A::Adjoint) = true
unwrapped_matrix(A::AbstractMatrix) = A
unwrapped_matrix(A::Adjoint) = parent(A)

function multiply!(C, adjoint_A, A, adjoint_B, B, α, β)
    maximum(size(C)) <= LOOP_LIMIT && return multiply_by_loops!(C, adjoint_A, A, adjoint_B, B, α, β)
    # invokelatest: compile this branch only when it is taken.
    return Base.invokelatest(mul!, C, adjoint_A ? A' : A, adjoint_B ? B' : B, α, β)
end
function multiply!(C::StridedMatrix{T}, adjoint_A, A, adjoint_B, B, α, β) where {T <: LinearAlgebra.BlasFloat}
    maximum(size(C)) <= CALL_LIMIT && return multiply_by_loops!(C, adjoint_A, A, adjoint_B, B, α, β)
    letter(is_adjoint) = is_adjoint ? 'C' : 'N'
    return BLAS.gemm!(letter(adjoint_A), letter(adjoint_B), T(α), for_blas(T, A), for_blas(T, B), T(β), C)
end

for_blas(::Type{T}, A::StridedMatrix{T}) where {T} = A
for_blas(::Type{T}, A) where {T} = Matrix{T}(A)

function multiply_by_loops!(C, adjoint_A, A, adjoint_B, B, α, β)
    (rows, inner), (same, columns) = turned_size(adjoint_A, A), turned_size(adjoint_B, B)
    size(C) == (rows, columns) && inner == same || throw(DimensionMismatch("matrices do not fit each other"))
    @inbounds for j in 1:columns, i in 1:rows
        entry = zero(eltype(C))
        if adjoint_A
            for k in 1:inner
                entry += conj(A[k, i]) * (adjoint_B ? conj(B[j, k]) : B[k, j])
            end
        else
            for k in 1:inner
                entry += A[i, k] * (adjoint_B ? conj(B[j, k]) : B[k, j])
            end
        end
        C[i, j] = iszero(β) ? α * entry : α * entry + β * C[i, j]
    end
    return C
end

turned_size(adjoint, A) = adjoint ? reverse(size(A)) : size(A)
