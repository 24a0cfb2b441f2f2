# Code that Hermitian and general problems share: the arguments, and two linear maps for derivatives, from the tangent of an argument to
# matrices, and its adjoint, from matrices to the gradient with respect to the argument.

"""
A checked problem with elements of type `T`, without its numbers. All have the fields `n`, `batch`, `triangle`, `degeneracy`,
`a` and `b`.
"""
abstract type Eigenproblem{T} end
Base.eltype(::Eigenproblem{T}) where {T} = T

# Which entries of a matrix are read; the first three codes are the core's.
const HERMITIAN_PART = Int32(0)
const LOWER = Int32(1)
const UPPER = Int32(2)
const EVERY_ENTRY = Int32(3)

const SymmetricOrHermitian = Union{Symmetric, Hermitian}

abstract type ProblemInput end

"""
The properties of the argument `a` or `b` that the rules need.

- `triangle`: which entries are read.
- `structured`: whether it is a `Symmetric` or `Hermitian`, whose tangents are Hermitian matrices rather than triangles.
- `batch`: its batch dimensions, which may be fewer or shorter than the problem's.
- `project`: onto its tangent space.
"""
struct MatrixInput{M, P} <: ProblemInput
    triangle::Int32
    structured::Bool
    batch::NTuple{M, Int}
    project::P
end

# ---- checks --------------------------------------------------------------------------------------------------

"""
    checked_inputs(a, b, input; diagonal = false)

`(batch, input_a, input_b)`, where `input("a", a)` describes one argument. Throws for arrays that are not square or do not match
each other. With `diagonal`, `b` may be a vector.
"""
function checked_inputs(a, b, input; diagonal = false)
    check_matrices("a", a)
    input_a = input("a", a)
    b === nothing && return input_a.batch, input_a, nothing
    diagonal && b isa AbstractVector && !(b isa AbstractRange) || check_matrices("b", b)
    n = size(a, 1)
    size(b, 1) == n || throw(
        DimensionMismatch("`a` and `b` must be of one size, got $n × $n and $(size(b, 1)) × $(size(b, b isa AbstractVector ? 1 : 2)) matrices")
    )
    input_b = input("b", b)
    return broadcast_batches(input_a.batch, input_b.batch), input_a, input_b
end

# The element type of the computation.
problem_type(a, ::Nothing) = working_type("a", eltype(a))
function problem_type(a, b)
    foreach(working_type, ("a", "b"), (eltype(a), eltype(b)))
    return working_type("a", promote_type(eltype(a), eltype(b)))
end

# The element type for one argument; runtime/dual_numbers.jl adds a method.
working_type(name, ::Type{T}) where {T} = throw(
    ArgumentError("`$name` must have real or complex numbers as elements, of one concrete type, got $T; convert it first")
)
working_type(name, ::Type{<:Union{Integer, Rational}}) = Float64
working_type(name, ::Type{T}) where {T <: Union{Float32, Float64}} = T
working_type(name, ::Type{Complex{T}}) where {T} = complex(working_type(name, T))
working_type(name, ::Type{T}) where {T <: Union{Float16, BigFloat}} = throw(
    ArgumentError(
        "`$name` has elements of type $T, and eigenvalues are computed in Float32 or Float64 (or their complex): \
        convert it, for example Float64.($name)"
    )
)

# The type of a result with as many dimensions as the arguments; unknown for other kinds of arrays.
const OnHost = Union{Array, Symmetric{<:Any, <:Array}, Hermitian{<:Any, <:Array}}
host_type(a::OnHost, ::Nothing) = host_type(working_type("a", eltype(a)), Val(ndims(a)))
host_type(a::OnHost, b::OnHost) =
    host_type(working_type("a", promote_type(eltype(a), eltype(b))), Val(max(ndims(a), ndims(b))))
host_type(a, b) = AbstractArray
host_type(::Type{T}, ::Val{N}) where {T <: LinearAlgebra.BlasFloat, N} = Array{T, N}

check_matrices(name, x) = throw(
    ArgumentError("`$name` must be a matrix, or an array of matrices along its first two dimensions, got $(repr(x))")
)
function check_matrices(name, x::AbstractArray)
    ndims(x) >= 2 || throw(
        DimensionMismatch(
            "`$name` must be a matrix, or an array of matrices along its first two dimensions, got an array of \
            size $(size(x)); $(x isa AbstractRange ? "a range of indices is subset_by_index" : "a diagonal matrix is Diagonal(x)")"
        )
    )
    Base.require_one_based_indexing(x)
    size(x, 1) == size(x, 2) || throw(
        DimensionMismatch("`$name` must be square in its first two dimensions, got size $(size(x))")
    )
    return nothing
end

check_flag(name, ::Bool) = nothing
check_flag(name, x) = throw(ArgumentError("`$name` must be true or false, got $(repr(x))"))

function broadcast_batches(a::NTuple{M, Int}, b::NTuple{N, Int}, which = "`a` and `b`, those after the first two,") where {M, N}
    return ntuple(Val(max(M, N))) do d
        i, j = get(a, d, 1), get(b, d, 1)
        i == j || i == 1 || j == 1 || throw(
            DimensionMismatch("the batch dimensions of $which must broadcast: got $a and $b")
        )
        i == 1 ? j : i
    end
end

# ---- matrices of an argument ---------------------------------------------------------------------------------

# A vector stands for a diagonal matrix.
flat(x::AbstractVector) = flat(Diagonal(x))
flat(x::AbstractArray) = reshape(x, size(x, 1), size(x, 2), prod(batch_size(x)))
batch_size(::AbstractVector) = ()
batch_size(x::AbstractArray{<:Any, N}) where {N} = ntuple(d -> size(x, d + 2), Val(N - 2))

# For each problem of the batch, the index of its matrix among those of the argument.
function batch_indices(p::Eigenproblem, input::MatrixInput)
    count, own = prod(p.batch), prod(input.batch)
    input.batch == p.batch && return collect(1:count)
    own == 1 && return fill(1, count)
    return vec(LinearIndices(input.batch) .+ zeros(Int, p.batch))
end

for_batch(p::Eigenproblem, input::MatrixInput, X) = input.batch == p.batch ? X : X[:, :, batch_indices(p, input)]

# A new array of the matrices that `triangle` of `x` stands for.
function full_matrices(::Type{T}, x::AbstractArray{<:Any, 3}, triangle) where {T}
    triangle == EVERY_ENTRY && return copyto!(Array{T}(undef, size(x)), x)
    H = Array{T}(undef, size(x))
    for k in axes(x, 3), j in axes(x, 2)
        H[j, j, k] = real(x[j, j, k])
        for i in 1:(j - 1)
            H[i, j, k] = triangle == UPPER ? x[i, j, k] :
                triangle == LOWER ? conj(x[j, i, k]) : (x[i, j, k] + conj(x[j, i, k])) / 2
            H[j, i, k] = conj(H[i, j, k])
        end
    end
    return H
end

stored_entries(x::AbstractArray) = x
stored_entries(x::AbstractVector) = Diagonal(x)
stored_entries(x::SymmetricOrHermitian) = parent(x)
read_entries(input::MatrixInput, x) = input.structured || x isa AbstractVector ? stored_entries(x) : x

"""
    input_matrices(p, input, x)

The matrices that an argument represents, `n × n` times its own batch.
"""
input_matrices(p::Eigenproblem{T}, input::MatrixInput, x) where {T} = full_matrices(T, flat(read_entries(input, x)), input.triangle)

# The same for each problem of the batch.
problem_matrices(p, ::Nothing, x) = nothing
problem_matrices(p, input, x) = for_batch(p, input, input_matrices(p, input, x))

dense(::Type{T}, x::Array{T}) where {T} = x
dense(::Type{T}, x::AbstractArray) where {T} = Array{T}(x)

# An array that the core can read, and the distance between its matrices.
core_input(::Eigenproblem, ::Nothing, b) = nothing, 0
function core_input(p::Eigenproblem{T}, input::MatrixInput, x) where {T}
    # The core reads the same triangle of both matrices: one that is given by another is written out.
    X = input.triangle == p.triangle ? dense(T, read_entries(input, x)) : input_matrices(p, input, x)
    input.batch == p.batch && return X, p.n^2
    prod(input.batch) == 1 && return X, 0
    return flat(X)[:, :, batch_indices(p, input)], p.n^2
end

"""
    input_norms(p, a, b)

Frobenius norms of the matrices A and B (`nothing` without `b`), constants, one for each problem of the batch. `nothing` for a
Hermitian problem without `b`, where none is needed.
"""
function input_norms(p::Eigenproblem, a, b)
    needs_norms(p) || return nothing
    norms(::Nothing, x) = nothing
    norms(input, x) = map(norm ∘ plain_array, eachslice(input_matrices(p, input, x); dims = 3))[batch_indices(p, input)]
    return norms(p.a, a), norms(p.b, b)
end

@non_differentiable input_norms(::Any, ::Any, ::Any)

# ---- tangents and gradients of an argument -------------------------------------------------------------------

# The triangle that gradients of an argument fill, and tangents are read from.
gradient_triangle(input::MatrixInput) = input.structured ? HERMITIAN_PART : input.triangle

"""
    tangent_matrices(p, input, ẋ)

The tangents of the problem's matrices, `n × n × count`, from a tangent `ẋ` of an argument; `nothing` for zero.
"""
tangent_matrices(p::Eigenproblem, ::Nothing, ẋ) = nothing
tangent_matrices(p::Eigenproblem, input::ProblemInput, ::Union{Nothing, AbstractZero}) = nothing
tangent_matrices(p::Eigenproblem, input::ProblemInput, ẋ::AbstractThunk) = tangent_matrices(p, input, unthunk(ẋ))
tangent_matrices(p::Eigenproblem, input::MatrixInput, ẋ::AbstractArray) =
    tangent_matrices(p, input, ẋ, gradient_triangle(input))
# A structural tangent of a wrapper holds that of its parent, of which the wrapper shows one triangle.
tangent_matrices(p::Eigenproblem, input::MatrixInput, ẋ::Tangent) =
    tangent_matrices(p, input, unthunk(ẋ.data), input.triangle == EVERY_ENTRY ? HERMITIAN_PART : input.triangle)

tangent_matrices(::Eigenproblem, input, ::AbstractZero, triangle) = nothing
tangent_matrices(p::Eigenproblem{T}, input, ẋ, triangle) where {T} =
    for_batch(p, input, full_matrices(promote_type(T, eltype(ẋ)), flat(ẋ), triangle))

# The same for a cotangent of the gradient. A structural one is that of the parent, of which all entries count.
gradient_cotangent(p, input, Δ) = tangent_matrices(p, input, Δ)
gradient_cotangent(p, input::MatrixInput, Δ::Tangent) = tangent_matrices(p, input, unthunk(Δ.data), HERMITIAN_PART)

# The gradient with respect to the argument, from those with respect to the matrices: summed over the problems that share it, on the entries
# that are read, projected.
shared_gradient(p::Eigenproblem, input::MatrixInput, Ā) = projected_gradient(input, shared_sum(p, input, Ā))
shared_gradient(::Eigenproblem, ::Nothing, B̄) = nothing

function shared_sum(p::Eigenproblem, input::MatrixInput, Ā)
    p.batch == input.batch && return Ā
    Ḡ = zeros(eltype(Ā), p.n, p.n, prod(input.batch))
    for (k, own) in enumerate(batch_indices(p, input))
        Ḡ[:, :, own] .+= view(Ā, :, :, k)
    end
    return Ḡ
end

# Gradients of Hermitian matrices are Hermitian up to rounding on entry, and exactly on return.
function projected_gradient(input::MatrixInput, Ḡ)
    triangle = gradient_triangle(input)
    triangle == EVERY_ENTRY || fill_triangle!(Ḡ, triangle)
    return input.project(reshape(Ḡ, size(Ḡ, 1), size(Ḡ, 2), input.batch...))
end

function fill_triangle!(Ḡ, triangle)
    for k in axes(Ḡ, 3), j in axes(Ḡ, 2)
        Ḡ[j, j, k] = real(Ḡ[j, j, k])
        for i in 1:(j - 1)
            upper = Ḡ[i, j, k] + conj(Ḡ[j, i, k])
            if triangle == HERMITIAN_PART
                Ḡ[i, j, k] = upper / 2
                Ḡ[j, i, k] = conj(upper) / 2
            else
                Ḡ[i, j, k] = triangle == UPPER ? upper : zero(upper)
                Ḡ[j, i, k] = triangle == LOWER ? conj(upper) : zero(upper)
            end
        end
    end
    return Ḡ
end

# ---- one matrix of a batch -----------------------------------------------------------------------------------

# `nothing` stands for an array of zeros.
matrix(::Nothing, k) = nothing
matrix(x::AbstractArray{<:Any, 3}, k) = view(x, :, :, k)
column(::Nothing, k) = nothing
column(x::AbstractMatrix, k) = view(x, :, k)
at(::Nothing, i...) = false
at(x, i...) = x[i...]

# Matrices, or the diagonals of diagonal ones.
slice(::Nothing, k) = nothing
slice(M̄::AbstractArray{<:Any, 3}, k) = view(M̄, :, :, k)
slice(M̄::AbstractMatrix, k) = view(M̄, :, k)
times!(out, X, M̄::AbstractMatrix) = product!(out, X, M̄)
times!(out, X, diagonal::AbstractVector) = out .= X .* transpose(diagonal)

# The sum of two cotangents.
plus(::Nothing, ::Nothing) = nothing
plus(x, ::Nothing) = x
plus(::Nothing, y) = y
plus(x, y) = x + y

any_nonzero(k, xs...) = any(x -> x !== nothing && any(!iszero, slice(x, k)), xs)

number_type(::Nothing) = Bool
number_type(x::AbstractArray) = eltype(x)
number_type(xs...) = promote_type(map(number_type, xs)...)
