# Code that the extensions for Mooncake and Enzyme share: the pullback of each function, its cotangents and its gradients.

const Decomposition = Union{typeof(eigh), typeof(eigvalsh), typeof(eig), typeof(eigvals)}
const HostMatrices{T <: LinearAlgebra.BlasFloat} = Union{Array{T}, Symmetric{T, <:Array{T}}, Hermitian{T, <:Array{T}}}

"""
    value_and_pullback(f, matrices...; options...)

The result of `f`, and its pullback, which maps the cotangents of [`result_cotangents`](@ref) to a tuple of gradients.
"""
value_and_pullback(::typeof(eigh), xs...; eigvals_only = false, options...) =
    eigvals_only ? eigvalsh_pullback(xs...; options...) : eigh_pullback(xs...; options...)
value_and_pullback(::typeof(eigvalsh), xs...; options...) = eigvalsh_pullback(xs...; options...)
value_and_pullback(::typeof(eigvals), xs...; options...) = eigvals_pullback(xs...; options...)
value_and_pullback(::typeof(eig), a, b = nothing; left = false, right = true, degeneracy = nothing) =
    eig_pullback_under(as_policy(degeneracy), a, b, left, right)

"""
    result_cotangents(Ω, Ω̄)

The arguments of the pullback, from the cotangent of a result, whose fields are those of the result.
"""
result_cotangents(::AbstractArray, w̄) = (w̄,)
result_cotangents(::EighResult, Ω̄) = (Ω̄.eigenvalues, Ω̄.eigenvectors)
result_cotangents(::EigResult, Ω̄) = (Ω̄.eigenvalues, Ω̄.eigenvectors)
result_cotangents(::EigLeftResult, Ω̄) = (Ω̄.eigenvalues, nothing, Ω̄.left_eigenvectors)
result_cotangents(::EigBothResult, Ω̄) = (Ω̄.eigenvalues, Ω̄.eigenvectors, Ω̄.left_eigenvectors)

# Adds a gradient to a stored one. For a Symmetric or Hermitian argument, that is the gradient of its parent, on the triangle that is
# read.
add_gradient!(stored::Array, x̄, ::Array) = stored .+= x̄
function add_gradient!(stored::Matrix, x̄, x::SymmetricOrHermitian)
    shown = x.uplo == 'U' ? triu : tril
    stored .+= shown(Matrix(x̄) .* (2 .- I(size(stored, 1))))
    return stored
end
