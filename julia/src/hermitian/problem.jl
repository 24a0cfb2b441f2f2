# From what a user may pass to what the core reads, and the two linear maps that derivatives need of an input: from a
# tangent to the Hermitian matrix that it is a tangent of, and back (each other's adjoint).

# Which entries are read; the codes are the core's.
const HERMITIAN_PART = Int32(0)
const LOWER = Int32(1)
const UPPER = Int32(2)

const SymmetricOrHermitian = Union{Symmetric, Hermitian}

"""
What the rules must know of the argument `a` or `b`.

- `triangle`: which entries are read.
- `structured`: whether it is a `Symmetric` or `Hermitian`, whose tangents are Hermitian matrices rather than triangles.
- `batch`: its own batch dimensions, which may be fewer or shorter than the problem's.
- `project`: onto its tangent space.
"""
struct HermitianInput{M, P}
    triangle::Int32
    structured::Bool
    batch::NTuple{M, Int}
    project::P
end

"""
A checked Hermitian problem with elements of type `T`, without its numbers. `type` is 0 without `b`. The core reads
`triangle` of both matrices. `E` says what is computed, `:whole` or `:subset` (see subset.jl).
"""
struct HermitianProblem{T, E, N, D <: DegeneracyPolicy, A <: HermitianInput, B <: Union{Nothing, HermitianInput}}
    type::Int
    n::Int
    batch::NTuple{N, Int}
    subset::UnitRange{Int}
    triangle::Int32
    degeneracy::D
    a::A
    b::B
end

# The same problem for numbers of another type.
HermitianProblem{T}(p::HermitianProblem{<:Any, E, N, D, A, B}) where {T, E, N, D, A, B} =
    HermitianProblem{T, E, N, D, A, B}(p.type, p.n, p.batch, p.subset, p.triangle, p.degeneracy, p.a, p.b)

# ---- checks --------------------------------------------------------------------------------------------------

"""
    hermitian_problem(a, b, options)

Check everything that a call may get wrong, before any number is computed.
"""
function hermitian_problem(a, b, options)
    (; type, lower, subset_by_index) = options
    degeneracy = as_policy(options.degeneracy)
    (lower === nothing || lower isa Bool) ||
        throw(ArgumentError("`lower` must be nothing (the Hermitian part), true or false, got $(repr(lower))$(meant_triangle(lower))"))
    type in (1, 2, 3) || throw(
        ArgumentError("`type` must be 1 (A v = λ B v), 2 (A B v = λ v) or 3 (B A v = λ v), got $(repr(type))")
    )
    check_matrices("a", a)
    input_a = hermitian_input("a", a, lower)
    n = size(a, 1)
    if b === nothing
        type == 1 || throw(ArgumentError("`type = $type` says where `b` stands, and there is no `b`: pass it, or leave `type` out"))
        T = working_type("a", eltype(a))
        subset = check_subset(subset_by_index, n)
        E = extent(subset_by_index, n, 0, degeneracy, a, b)
        return HermitianProblem{T, E, length(input_a.batch), typeof(degeneracy), typeof(input_a), Nothing}(
            0, n, input_a.batch, subset, input_a.triangle, degeneracy, input_a, nothing
        )
    end
    check_matrices("b", b)
    size(b, 1) == n || throw(
        DimensionMismatch("`a` and `b` must be of one size, got $n × $n and $(size(b, 1)) × $(size(b, 2)) matrices")
    )
    input_b = hermitian_input("b", b, lower)
    batch = broadcast_batches(input_a.batch, input_b.batch)
    foreach(working_type, ("a", "b"), (eltype(a), eltype(b)))
    T = working_type("a", promote_type(eltype(a), eltype(b)))
    subset = check_subset(subset_by_index, n)
    E = extent(subset_by_index, n, type, degeneracy, a, b)
    return HermitianProblem{T, E, length(batch), typeof(degeneracy), typeof(input_a), typeof(input_b)}(
        Int(type), n, batch, subset, input_a.triangle, degeneracy, input_a, input_b
    )
end

# A hint for an error message: which triangle the argument may have meant.
function meant_triangle(lower)
    letter = lower isa Union{AbstractString, AbstractChar, Symbol} ? uppercase(first(string(lower) * " ")) : ' '
    return letter == 'L' ? "; write `lower = true`" : letter == 'U' ? "; write `lower = false`" : ""
end

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

# The element type of the computation; runtime/dual_numbers.jl adds a method.
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

function hermitian_input(name, x::AbstractArray, lower)
    triangle = lower === nothing ? HERMITIAN_PART : lower ? LOWER : UPPER
    return HermitianInput(triangle, false, batch_size(x), ProjectTo(x))
end
function hermitian_input(name, x::SymmetricOrHermitian, lower)
    x isa Symmetric && eltype(x) <: Complex && throw(
        ArgumentError("`$name` is a complex Symmetric matrix, which is not Hermitian: use Hermitian, or a general solver")
    )
    (lower === nothing || lower == (x.uplo == 'L')) || throw(
        ArgumentError(
            "`lower = $lower` contradicts `$name`, whose wrapper selects the $(x.uplo == 'L' ? "lower" : "upper") \
            triangle: leave `lower` out"
        )
    )
    return HermitianInput(x.uplo == 'L' ? LOWER : UPPER, true, (), ProjectTo(x))
end

function broadcast_batches(a::NTuple{M, Int}, b::NTuple{N, Int}) where {M, N}
    return ntuple(Val(max(M, N))) do d
        i, j = get(a, d, 1), get(b, d, 1)
        i == j || i == 1 || j == 1 || throw(
            DimensionMismatch(
                "the batch dimensions of `a` and `b`, those after the first two, must broadcast: got $a and $b"
            )
        )
        i == 1 ? j : i
    end
end

check_subset(::Nothing, n) = 1:n
check_subset(subset, n) = throw(
    ArgumentError("`subset_by_index` must be a range of 1-based indices such as 1:3, or nothing, got $(repr(subset))")
)
function check_subset(subset::AbstractUnitRange{<:Integer}, n)
    issubset(subset, 1:n) || throw(
        ArgumentError("`subset_by_index` must lie within 1:$n (indices are 1-based and ascending), got $subset")
    )
    return UnitRange{Int}(subset)
end

# The method for `nothing` lets type inference exclude subsets.
extent(::Nothing, n, type, degeneracy, a, b) = :whole
extent(subset, n, type, degeneracy, a, b) =
    solved_in_part(a, b) && worthwhile(n, subset, type, degeneracy) ? :subset : :whole

# ---- numbers for the core ------------------------------------------------------------------------------------

flat(x::AbstractArray) = reshape(x, size(x, 1), size(x, 2), prod(batch_size(x)))
batch_size(x::AbstractArray{<:Any, N}) where {N} = ntuple(d -> size(x, d + 2), Val(N - 2))

# For each matrix of the problem, which of the input's matrices it is.
function batch_indices(p::HermitianProblem, input::HermitianInput)
    count, own = prod(p.batch), prod(input.batch)
    input.batch == p.batch && return collect(1:count)
    own == 1 && return fill(1, count)
    return vec(LinearIndices(input.batch) .+ zeros(Int, p.batch))
end

# The Hermitian matrices that `triangle` of `x` stands for, both triangles written out.
function hermitian_matrices(::Type{T}, x::AbstractArray{<:Any, 3}, triangle) where {T}
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

entries(x::AbstractArray) = x
entries(x::SymmetricOrHermitian) = parent(x)

dense(::Type{T}, x::Array{T}) where {T} = x
dense(::Type{T}, x::AbstractArray) where {T} = Array{T}(x)

# An array that the core can read, and the distance between its matrices.
core_input(::HermitianProblem, ::Nothing, b) = nothing, 0
function core_input(p::HermitianProblem{T}, input::HermitianInput, x) where {T}
    # The core reads the same triangle of both matrices: one that is given by another is written out.
    x = input.triangle == p.triangle ? dense(T, entries(x)) : hermitian_matrices(T, flat(entries(x)), input.triangle)
    input.batch == p.batch && return x, p.n^2
    prod(input.batch) == 1 && return x, 0
    return flat(x)[:, :, batch_indices(p, input)], p.n^2
end

"""
    input_norms(p, a, b)

Frobenius norms of the matrices A and B, one for each problem of the batch; `nothing` for type 0, where none is needed.
"""
function input_norms(p::HermitianProblem{T}, a, b) where {T}
    p.type == 0 && return nothing
    norms(input, x) = map(norm, eachslice(hermitian_matrices(T, flat(entries(x)), input.triangle); dims = 3))
    return norms(p.a, a)[batch_indices(p, p.a)], norms(p.b, b)[batch_indices(p, p.b)]
end

# ---- tangents and gradients of an input ----------------------------------------------------------------------

"""
    hermitian_tangent(p, input, ẋ)

The tangents of the problem's Hermitian matrices, `n × n × count`, that a tangent `ẋ` of an input stands for.
"""
hermitian_tangent(::HermitianProblem, input, ::AbstractZero) = nothing
hermitian_tangent(p::HermitianProblem, input, ẋ::AbstractThunk) = hermitian_tangent(p, input, unthunk(ẋ))
# A structural tangent of a wrapper holds that of its parent, of which the wrapper shows one triangle.
hermitian_tangent(p::HermitianProblem, input, ẋ::Tangent) = hermitian_tangent(p, input, unthunk(ẋ.data), input.triangle)
hermitian_tangent(p::HermitianProblem, input, ẋ::AbstractArray) =
    hermitian_tangent(p, input, ẋ, gradient_triangle(input))

hermitian_tangent(::HermitianProblem, input, ::AbstractZero, triangle) = nothing
function hermitian_tangent(p::HermitianProblem{T}, input, ẋ, triangle) where {T}
    Ḣ = hermitian_matrices(promote_type(T, eltype(ẋ)), flat(ẋ), triangle)
    return input.batch == p.batch ? Ḣ : Ḣ[:, :, batch_indices(p, input)]
end

"""
    input_gradient(p, input, X, M̄)

The gradient `X M̄ Xᴴ` with respect to the Hermitian matrix, as a gradient with respect to the input: summed over
the problems that share it, on the entries that are read, projected. `M̄` is `n × n × count`, or `n × count` for the
diagonals of diagonal ones.
"""
function input_gradient(p::HermitianProblem, input::HermitianInput, X, M̄)
    n = p.n
    S = promote_type(eltype(X), eltype(M̄))
    Ḡ = zeros(S, n, n, prod(input.batch))
    XM̄ = Matrix{S}(undef, n, n)
    for (k, own) in enumerate(batch_indices(p, input))
        @views times!(XM̄, X[:, :, k], slice(M̄, k))
        @views product!(Ḡ[:, :, own], XM̄, X[:, :, k]', 1, 1)
    end
    return project_hermitian(input, Ḡ)
end
input_gradient(::HermitianProblem, ::Nothing, Y, N̄) = NoTangent()
input_gradient(::HermitianProblem, ::HermitianInput, X, ::AbstractZero) = ZeroTangent()

# The same from gradients of every problem by itself.
shared_gradient(p::HermitianProblem, input::HermitianInput, Ā) = project_hermitian(input, shared_sum(p, input, Ā))

function shared_sum(p::HermitianProblem, input::HermitianInput, Ā)
    p.batch == input.batch && return Ā
    Ḡ = zeros(eltype(Ā), p.n, p.n, prod(input.batch))
    for (k, own) in enumerate(batch_indices(p, input))
        Ḡ[:, :, own] .+= view(Ā, :, :, k)
    end
    return Ḡ
end

slice(M̄::AbstractArray{<:Any, 3}, k) = view(M̄, :, :, k)
slice(M̄::AbstractMatrix, k) = view(M̄, :, k)
times!(out, X, M̄::AbstractMatrix) = product!(out, X, M̄)
times!(out, X, diagonal::AbstractVector) = out .= X .* transpose(diagonal)

# Which triangle the gradient of an input fills.
gradient_triangle(input::HermitianInput) = input.structured ? HERMITIAN_PART : input.triangle

# Hermitian up to rounding on entry, exactly so on return.
function project_hermitian(input::HermitianInput, Ḡ)
    triangle = gradient_triangle(input)
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
    n = size(Ḡ, 1)
    return input.project(reshape(Ḡ, n, n, input.batch...))
end
