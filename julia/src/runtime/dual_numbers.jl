# Dual numbers of ForwardDiff, which also runs over reverse mode for Hessians. The rules differentiate the results of the core, one
# partial derivative at a time. The rules are generic code, which accepts dual numbers.

const DualNumber = Union{Dual, Complex{<:Dual}}

working_type(name, ::Type{Dual{Tag, V, N}}) where {Tag, V, N} = Dual{Tag, working_type(name, V), N}

value_type(::Type{T}) where {T} = T
value_type(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = V
value_type(::Type{Complex{T}}) where {T} = Complex{value_type(T)}

dual_type(::Type{T}) where {T <: Dual} = T
dual_type(::Type{Complex{T}}) where {T} = T

# The value of a number, and its i-th partial: numbers that are not dual have none.
value(::Type{<:Dual{Tag}}, x::Dual{Tag}) where {Tag} = ForwardDiff.value(x)
value(D, x::Real) = x
value(D, x::Complex) = complex(value(D, real(x)), value(D, imag(x)))
partial(::Type{<:Dual{Tag}}, x::Dual{Tag}, i) where {Tag} = ForwardDiff.partials(x, i)
partial(D, x::Real, i) = zero(x)
partial(D, x::Complex, i) = complex(partial(D, real(x), i), partial(D, imag(x), i))

# The number without any partials, and its type.
plain(x::Number) = x
plain(x::Dual) = plain(ForwardDiff.value(x))
plain(x::Complex{<:Dual}) = complex(plain(real(x)), plain(imag(x)))
plain_array(x::AbstractArray) = map(plain, x)
plain_array(x::AbstractArray{<:LinearAlgebra.BlasFloat}) = x
plain_type(::Type{T}) where {T} = T
plain_type(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = plain_type(V)
plain_type(::Type{Complex{T}}) where {T} = Complex{plain_type(T)}

# `varies`: whether any partial of `x` is not zero. `unknown_partials`: `x` with partials that are NaN.
varies(x::AbstractArray) = any(varies, x)
varies(x::AbstractArray{<:LinearAlgebra.BlasFloat}) = false
varies(::Nothing) = false
varies(x::Number) = false
varies(x::Dual) = !iszero(ForwardDiff.partials(x)) || varies(ForwardDiff.value(x))
varies(x::Complex{<:Dual}) = varies(real(x)) || varies(imag(x))
unknown_partials(x::Number) = x
unknown_partials(x::Dual{Tag, V, N}) where {Tag, V, N} = Dual{Tag}(unknown_partials(ForwardDiff.value(x)), ntuple(_ -> V(NaN), N))
unknown_partials(x::Complex) = complex(unknown_partials(real(x)), unknown_partials(imag(x)))

# A Symmetric or Hermitian stays one, because it selects the triangle.
each(f, x) = x
each(f, x::AbstractArray) = map(f, x)
each(f, x::Symmetric) = Symmetric(map(f, parent(x)), LinearAlgebra.sym_uplo(x.uplo))
each(f, x::Hermitian) = Hermitian(map(f, parent(x)), LinearAlgebra.sym_uplo(x.uplo))
values_of(D, x) = each(y -> value(D, y), x)
partial_of(D, x, i) = nothing
partial_of(D, x::AbstractArray, i) = each(y -> partial(D, y, i), x)

# What is not an array, such as `nothing`, has no partials.
combine(D, x, partials) = x
combine(D, x::AbstractArray, partials) = map((y, ẏs...) -> dual(D, y, ẏs), x, partials...)
dual(::Type{Dual{Tag, V, N}}, y::Real, ẏs) where {Tag, V, N} = Dual{Tag}(convert(V, y), map(ẏ -> convert(V, ẏ), ẏs))
dual(D, y::Complex, ẏs) = complex(dual(D, real(y), map(real, ẏs)), dual(D, imag(y), map(imag, ẏs)))

combine_all(D::Type{<:Dual{<:Any, <:Any, N}}, Ω, Ω̇s) where {N} =
    ntuple(j -> combine(D, Ω[j], ntuple(i -> Ω̇s[i][j], N)), length(Ω))

# ---- one direction -------------------------------------------------------------------------------------------

# Dual numbers that the rules make themselves, to differentiate along one direction. They are the outermost.
struct Direction end
ForwardDiff.:≺(::Type, ::Type{Direction}) = true
ForwardDiff.:≺(::Type{Direction}, ::Type) = false
ForwardDiff.:≺(::Type{Direction}, ::Type{Direction}) = false

along(x::AbstractArray, ẋ::AbstractArray) = map(along, x, ẋ)
along(x, ::Nothing) = x
along(::Nothing, ẋ) = nothing
along(::Nothing, ::Nothing) = nothing
along(x::Real, ẋ::Real) = Dual{Direction}(promote(x, ẋ)...)
along(x::Number, ẋ::Number) = complex(along(real(x), real(ẋ)), along(imag(x), imag(ẋ)))
derivative_along(::Nothing) = nothing
derivative_along(x::AbstractArray) = map(derivative_along, x)
derivative_along(x::Complex) = complex(derivative_along(real(x)), derivative_along(imag(x)))
derivative_along(x::Real) = zero(x)
derivative_along(x::Dual{Direction}) = ForwardDiff.partials(x, 1)
