# Large operators: products with vectors, tangents, and gradients, without forming a matrix that was not given.

"""
An operator on vectors of length `n`, or its tangent. `x` is what the user gave: a matrix, a function of a vector, or anything else that
has `size` and `mul!`.
"""
struct LargeOperator{T, X}
    n::Int
    x::X
end
LargeOperator{T}(n, x) where {T} = LargeOperator{T, typeof(x)}(n, x)
# What the rules wrapped already.
LargeOperator{T}(n, A::LargeOperator) where {T} = A

Base.eltype(::LargeOperator{T}) where {T} = T
number_type(A::LargeOperator) = eltype(A)
varies(A::LargeOperator) = eltype(A) <: DualNumber
matrix(A::LargeOperator, k) = A

product(A::LargeOperator, X) = product!(Matrix{promote_type(eltype(A), eltype(X))}(undef, A.n, size(X, 2)), A, X)
product!(Y, A::LargeOperator, X, α = 1, β = 0) = multiply_columns!(Y, A.x, X, α, β)

multiply_columns!(Y, A::AbstractMatrix, X, α, β) = mul!(Y, A, X, α, β)
function multiply_columns!(Y, f, X, α, β)
    for j in axes(X, 2)
        y = times_vector(f, X[:, j])
        y isa AbstractVector && length(y) == size(Y, 1) || throw(
            DimensionMismatch("the operator must return a vector of length $(size(Y, 1)), as it is given one; it returned $(summary(y))")
        )
        iszero(β) ? (Y[:, j] .= α .* y) : (Y[:, j] .= α .* y .+ β .* view(Y, :, j))
    end
    return Y
end

# A product with one vector, as AD engines differentiate it.
times_vector(f, x) = is_map(f) ? mul!(similar(x, promote_type(eltype(f), eltype(x))), f, x) : f(x)
is_map(f) = !(f isa Function) && hasmethod(size, Tuple{typeof(f)})

# The same Hermitian matrix as one that can be factored, and in the form that multiplies fastest; package extensions add methods.
plain_matrix(A) = A
fast_product(A) = A
fast_operator(::Nothing) = nothing
fast_operator(A::LargeOperator{T}) where {T} = LargeOperator{T}(A.n, fast_product(A.x))

# ---- dual numbers ----------------------------------------------------------------------------------------------

# A function's products hold the partials of what it captures.
values_of(D, A::LargeOperator{T}) where {T} = LargeOperator{value_type(D, T)}(A.n, part_of(A.x, x -> values_of(D, x)))
partial_of(D, A::LargeOperator{T}, i) where {T} = LargeOperator{value_type(D, T)}(A.n, part_of(A.x, x -> partial_of(D, x, i)))
value_type(D, ::Type{T}) where {T} = T <: DualNumber && dual_type(T) == D ? value_type(T) : T
part_of(A::AbstractMatrix, part) = part(A)
part_of(f, part) = x -> part(times_vector(f, x))

along(A::LargeOperator, ::Nothing) = A
along(A::LargeOperator{T}, Ȧ::LargeOperator{S}) where {T, S} =
    LargeOperator{dual_along(promote_type(T, S))}(A.n, MovedOperator(A, Ȧ))
dual_along(::Type{T}) where {T <: Real} = Dual{Direction, T, 1}
dual_along(::Type{Complex{T}}) where {T} = Complex{dual_along(T)}

"""
An operator with numbers that are dual along one direction, from its value and its tangent.
"""
struct MovedOperator{A, B}
    value::A
    tangent::B
end
values_of(::Type{<:Dual{Direction}}, A::LargeOperator{<:Any, <:MovedOperator}) = A.x.value
partial_of(::Type{<:Dual{Direction}}, A::LargeOperator{<:Any, <:MovedOperator}, i) = A.x.tangent
any_nonzero(k, ::LargeOperator, ::Union{Nothing, LargeOperator}) = true
any_nonzero(k, ::Nothing, ::LargeOperator) = true

# ---- gradients -------------------------------------------------------------------------------------------------

"""
The gradient `L Rᴴ` with respect to an operator, of which only the Hermitian part counts. `n × m × 1`.
"""
struct LowRankGradient{L <: AbstractArray, R <: AbstractArray}
    left::L
    right::R
end
factors(G::LowRankGradient) = matrix(G.left, 1), matrix(G.right, 1)
number_type(G::LowRankGradient) = number_type(G.left, G.right)
slice(G::LowRankGradient, k) = G.left
derivative_along(G::LowRankGradient) = LowRankGradient(
    cat(derivative_along(G.left), values_of(Dual{Direction}, G.left); dims = 2),
    cat(values_of(Dual{Direction}, G.right), derivative_along(G.right); dims = 2)
)

# One entry of the Hermitian part.
function entry(L, R, i, j)
    sum = zero(promote_type(eltype(L), eltype(R)))
    for l in axes(L, 2)
        sum += L[i, l] * conj(R[j, l]) + R[i, l] * conj(L[j, l])
    end
    return sum / 2
end
entry_of_type(::Type{<:Real}, x) = real(x)
entry_of_type(::Type, x) = x

"""
    gradient_like(A, L, R, project)

The Hermitian part of `L Rᴴ` where the matrix `A` has entries.
"""
function gradient_like(A::AbstractMatrix, L, R, project)
    G = product(L, R')
    return project(fill_triangle!(reshape(G, size(G)..., 1), HERMITIAN_PART)[:, :, 1])
end
gradient_like(A::Diagonal, L, R, project) = Diagonal([entry_of_type(eltype(A), entry(L, R, i, i)) for i in axes(A, 1)])
function gradient_like(A::Union{SymTridiagonal, Tridiagonal}, L, R, project)
    at(i, j) = entry_of_type(eltype(A), entry(L, R, i, j))
    n = size(A, 1)
    diagonal, above = [at(i, i) for i in 1:n], [at(i, i + 1) for i in 1:(n - 1)]
    # One stored number stands for two entries.
    A isa SymTridiagonal && return SymTridiagonal(diagonal, above)
    return Tridiagonal([at(i + 1, i) for i in 1:(n - 1)], diagonal, above)
end
