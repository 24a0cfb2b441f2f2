# The general problem's arguments: what is checked, what the core reads, and the two linear maps that derivatives need
# of an input (from a tangent to matrices, and back). Every entry is a variable, so there is no triangle here.

"""
What the rules must know of the argument `a` or `b`: its own batch dimensions, and the projection onto its tangents.
"""
struct GeneralInput{M, P}
    batch::NTuple{M, Int}
    project::P
end

"""
A checked general problem with elements of type `T`, without its numbers. `left`: left vectors are asked for.
"""
struct GeneralProblem{T, N, D <: DegeneracyPolicy, A <: GeneralInput, B <: Union{Nothing, GeneralInput}}
    n::Int
    batch::NTuple{N, Int}
    left::Bool
    degeneracy::D
    a::A
    b::B
end

# The same problem for numbers of another type.
GeneralProblem{T}(p::GeneralProblem{<:Any, N, D, A, B}) where {T, N, D, A, B} =
    GeneralProblem{T, N, D, A, B}(p.n, p.batch, p.left, p.degeneracy, p.a, p.b)

"""
    general_problem(a, b, options)

Check everything that a call may get wrong, before any number is computed.
"""
function general_problem(a, b, options)
    degeneracy = as_policy(options.degeneracy)
    check_flag("left", options.left)
    check_flag("right", options.right)
    check_matrices("a", a)
    input_a = GeneralInput(size(a)[3:end], ProjectTo(a))
    n = size(a, 1)
    if b === nothing
        T = working_type("a", eltype(a))
        return GeneralProblem{T, length(input_a.batch), typeof(degeneracy), typeof(input_a), Nothing}(
            n, input_a.batch, options.left, degeneracy, input_a, nothing
        )
    end
    check_matrices("b", b)
    size(b, 1) == n || throw(
        DimensionMismatch("`a` and `b` must be of one size, got $n × $n and $(size(b, 1)) × $(size(b, 2)) matrices")
    )
    input_b = GeneralInput(size(b)[3:end], ProjectTo(b))
    batch = broadcast_batches(input_a.batch, input_b.batch)
    foreach(working_type, ("a", "b"), (eltype(a), eltype(b)))
    T = working_type("a", promote_type(eltype(a), eltype(b)))
    return GeneralProblem{T, length(batch), typeof(degeneracy), typeof(input_a), typeof(input_b)}(
        n, batch, options.left, degeneracy, input_a, input_b
    )
end

check_flag(name, ::Bool) = nothing
check_flag(name, x) = throw(ArgumentError("`$name` must be true or false, got $(repr(x))"))

# For each matrix of the problem, which of the input's matrices it is.
function batch_indices(p::GeneralProblem, input::GeneralInput)
    count, own = prod(p.batch), prod(input.batch)
    input.batch == p.batch && return collect(1:count)
    own == 1 && return fill(1, count)
    return vec(LinearIndices(input.batch) .+ zeros(Int, p.batch))
end

# Memory that the core can read, and how far apart its matrices are. A wrapper is written out: all entries count.
core_input(::GeneralProblem, ::Nothing, b) = nothing, 0
function core_input(p::GeneralProblem{T}, input::GeneralInput, x) where {T}
    X = dense(T, x)
    input.batch == p.batch && return X, p.n^2
    prod(input.batch) == 1 && return X, 0
    return flat(X)[:, :, batch_indices(p, input)], p.n^2
end

"""
    general_norms(p, a, b)

Frobenius norms of the matrices A and B, constants, one for each problem of the batch; those of B are `nothing` without
`b`.
"""
function general_norms(p::GeneralProblem{T}, a, b) where {T}
    norms(::Nothing, x) = nothing
    norms(input, x) = map(X -> norm(map(plain, X)), eachslice(flat(dense(T, x)); dims = 3))[batch_indices(p, input)]
    return norms(p.a, a), norms(p.b, b)
end

"""
    general_tangent(p, input, ẋ)

The tangents of the problem's matrices, `n × n × count`, that a tangent `ẋ` of an input stands for; `nothing` for zero.
"""
general_tangent(::GeneralProblem, input, ::AbstractZero) = nothing
general_tangent(::GeneralProblem, ::Nothing, ẋ) = nothing
general_tangent(::GeneralProblem, ::Nothing, ::AbstractZero) = nothing
general_tangent(p::GeneralProblem, input::GeneralInput, ẋ::AbstractThunk) = general_tangent(p, input, unthunk(ẋ))
function general_tangent(p::GeneralProblem{T}, input::GeneralInput, ẋ::AbstractArray) where {T}
    Ẋ = flat(Array{promote_type(T, eltype(ẋ))}(ẋ))
    return input.batch == p.batch ? Ẋ : Ẋ[:, :, batch_indices(p, input)]
end
# The structural tangent of a Symmetric or Hermitian: its adjoint, as a cotangent of one, is the Hermitian part.
function general_tangent(p::GeneralProblem, input::GeneralInput, ẋ::Tangent{<:SymmetricOrHermitian})
    parent = unthunk(ẋ.data)
    return parent isa AbstractZero ? nothing : general_tangent(p, input, (parent + parent') / 2)
end

"""
    general_gradient(p, input, U, V, M̄)

The gradient `U M̄ Vᴴ` with respect to an input: summed over the problems that share it, projected. `M̄` is
`n × n × count`, or `n × count` for the diagonals of diagonal ones.
"""
function general_gradient(p::GeneralProblem, input::GeneralInput, U, V, M̄)
    n = p.n
    S = number_type(U, V, M̄)
    Ḡ = zeros(S, n, n, prod(input.batch))
    UM̄ = Matrix{S}(undef, n, n)
    for (k, own) in enumerate(batch_indices(p, input))
        times!(UM̄, matrix(U, k), slice(M̄, k))
        product!(matrix(Ḡ, own), UM̄, matrix(V, k)', 1, 1)
    end
    return input.project(reshape(Ḡ, n, n, input.batch...))
end
general_gradient(::GeneralProblem, ::Nothing, U, V, N̄) = NoTangent()
