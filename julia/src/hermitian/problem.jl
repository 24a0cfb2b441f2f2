# The Hermitian problem: arguments of a call, checked before any number is computed.

"""
A checked Hermitian problem with elements of type `T`, without its numbers. `type` is 0 without `b`. The core reads
`triangle` of both matrices. `E` says what is computed, `:whole` or `:subset` (see subset.jl).
"""
struct HermitianProblem{T, E, N, D <: DegeneracyPolicy, A <: MatrixInput, B <: Union{Nothing, MatrixInput}} <: Eigenproblem{T}
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
with_type(::Type{T}, p::HermitianProblem{<:Any, E, N, D, A, B}) where {T, E, N, D, A, B} =
    HermitianProblem{T, E, N, D, A, B}(p.type, p.n, p.batch, p.subset, p.triangle, p.degeneracy, p.a, p.b)

# The scale of the standard problem follows from its eigenvalues.
needs_norms(p::HermitianProblem) = p.type != 0

"""
    hermitian_problem(a, b, options)

The [`HermitianProblem`](@ref) of a call. Throws for everything that a call may get wrong.
"""
function hermitian_problem(a, b, options)
    (; type, lower, subset_by_index) = options
    degeneracy = as_policy(options.degeneracy)
    (lower === nothing || lower isa Bool) ||
        throw(ArgumentError("`lower` must be nothing (the Hermitian part), true or false, got $(repr(lower))$(meant_triangle(lower))"))
    type in (1, 2, 3) || throw(
        ArgumentError("`type` must be 1 (A v = λ B v), 2 (A B v = λ v) or 3 (B A v = λ v), got $(repr(type))")
    )
    batch, input_a, input_b = checked_inputs(a, b, (name, x) -> hermitian_input(name, x, lower))
    b === nothing && type != 1 &&
        throw(ArgumentError("`type = $type` says where `b` stands, and there is no `b`: pass it, or leave `type` out"))
    T, n = problem_type(a, b), size(a, 1)
    type = b === nothing ? 0 : Int(type)
    subset = check_subset(subset_by_index, n)
    E = extent(subset_by_index, n, type, degeneracy, a, b)
    return HermitianProblem{T, E, length(batch), typeof(degeneracy), typeof(input_a), typeof(input_b)}(
        type, n, batch, subset, input_a.triangle, degeneracy, input_a, input_b
    )
end

# A hint for an error message: which triangle the argument may have meant.
function meant_triangle(lower)
    letter = lower isa Union{AbstractString, AbstractChar, Symbol} ? uppercase(first(string(lower) * " ")) : ' '
    return letter == 'L' ? "; write `lower = true`" : letter == 'U' ? "; write `lower = false`" : ""
end

hermitian_input(name, x::AbstractArray, lower) =
    MatrixInput(lower === nothing ? HERMITIAN_PART : lower ? LOWER : UPPER, false, batch_size(x), ProjectTo(x))
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
    return MatrixInput(x.uplo == 'L' ? LOWER : UPPER, true, (), ProjectTo(x))
end

check_eigvals_only(::Bool) = nothing
check_eigvals_only(x) = throw(ArgumentError("`eigvals_only` must be true or false, got $(repr(x))"))

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

# ---- between the flat batch of the computation and the shapes of the call ------------------------------------

shows_all(p::HermitianProblem) = p.subset == 1:p.n
# The index, in the whole spectrum, of the first eigenvalue that is computed.
first_index(p::HermitianProblem) = 1
subject_of(p::HermitianProblem) = p.b === nothing ? "eigh" : "eigh(a, b)"

present_values(p::HermitianProblem, w) = reshape(shows_all(p) ? w : w[p.subset, :], length(p.subset), p.batch...)
present_vectors(p::HermitianProblem, V) =
    reshape(shows_all(p) ? V : V[:, p.subset, :], p.n, length(p.subset), p.batch...)

# Cotangents of a subset, with zeros for the rest.
embed_values(p, ::Nothing) = nothing
embed_vectors(p, ::Nothing) = nothing
embed_values(p, λ̄) = with_zeros_around(p, reshape(λ̄, length(p.subset), prod(p.batch)))
embed_vectors(p, V̄) = with_zeros_around(p, reshape(V̄, p.n, length(p.subset), prod(p.batch)))
with_zeros_around(p, x) = shows_all(p) ? x : cat(zeros_around(p, x)[1], x, zeros_around(p, x)[2]; dims = ndims(x) - 1)
zeros_around(p, x) =
    map(k -> zeros(eltype(x), size(x)[1:(end - 2)]..., k, last(size(x))), (first(p.subset) - 1, p.n - last(p.subset)))
