# The arguments of a call on a large operator, checked before anything is computed.

"""
How the eigenpairs are found. `start`: the vectors of `v0`. Few types, so that little is compiled again.
"""
struct LargeSettings
    which::Symbol
    sigma::Union{Nothing, Float64}
    tol::Float64
    max_iterations::Int
    start::Matrix
    preconditioner::Any
    watch::Any
end

"""
What the rules must know of a large operator: `like`, what was given, for the pattern of a gradient; `project`, onto its tangent space.
"""
struct LargeInput{X} <: ProblemInput
    like::X
    project::Any
    settings::Union{Nothing, LargeSettings}
end

"""
The keywords of a call, as they are. Of one type, so that nothing is compiled again for other values.
"""
Base.@kwdef struct LargeOptions
    sigma::Any = nothing
    which::Any = nothing
    v0::Any = nothing
    tol::Any = nothing
    max_iterations::Any = nothing
    preconditioner::Any = nothing
    solver::Any = nothing
    progress::Any = false
    callback::Any = nothing
    n::Any = nothing
    dtype::Any = nothing
end
large_options(values...) = LargeOptions(values...)
@non_differentiable large_options(::Any...)

function checked_options(options)
    for name in keys(options)
        hasfield(LargeOptions, name) || throw(ArgumentError("there is no option `$name`; there are $(join(fieldnames(LargeOptions), ", "))"))
    end
    return LargeOptions(; options...)
end

# What other packages call it.
const WHICH_HINTS = Dict(
    :SM => "; for the eigenvalues nearest to 0 give `sigma = 0`", :SR => "; of a Hermitian operator, :SA are the lowest",
    :LR => "; of a Hermitian operator, :LA are the highest",
)

"""
    large_problem(subject, a, b, k, degeneracy, options)

The [`LargeProblem`](@ref) of a call. Throws for everything that a call may get wrong.
"""
function large_problem(subject, a, b, k, degeneracy, options)
    (; sigma, which, v0, tol, max_iterations, preconditioner, solver, progress, callback) = options
    check_large_policy(subject, degeneracy)
    count = positive_integer("k", k)
    check_vectors(v0)
    n = operator_size("operator", a, options.n, v0)
    T = operator_type("operator", a, n, options.dtype, v0)
    for (name, x) in (("b", b), ("preconditioner", preconditioner))
        x === nothing && continue
        operator_size(name, x, n, nothing) == n ||
            throw(DimensionMismatch("`$name` must have the size of the operator, $n, got $(size(x))"))
        T = promote_type(T, operator_type(name, x, n, plain_type(T), nothing))
    end
    count < n || throw(ArgumentError("`k` must be less than the size of the operator, $n, got $count; for all eigenpairs call eigh"))
    solver in (nothing, :krylov, "krylov") ||
        throw(ArgumentError("`solver` must be :krylov, the only one in Julia, got $(repr(solver)); leave it out"))
    sigma === nothing || which in (nothing, :LM, "LM") ||
        throw(ArgumentError("with `sigma` the eigenvalues next to it are wanted; leave out `which`, got $(repr(which))"))
    shift = sigma === nothing ? nothing : finite_number("sigma", sigma)
    sigma === nothing || (a isa AbstractMatrix && (b === nothing || b isa AbstractMatrix)) || throw(
        ArgumentError("`sigma` needs a factorization, and so matrices: give `operator` and `b` as matrices, or leave out `sigma`")
    )
    eltype_of_start = v0 === nothing ? Bool : eltype(v0)
    eltype_of_start <: Complex && T <: Real &&
        throw(ArgumentError("`v0` is complex, but the operator is real; give its real part, or a complex operator"))
    v0 === nothing || size(v0, 1) == n ||
        throw(DimensionMismatch("`v0` must be a vector of length $n, or such vectors in the columns of a matrix, got size $(size(v0))"))
    P = plain_type(T)
    start = v0 === nothing ? zeros(P, n, 0) : Matrix{P}(plain_array(reshape(v0, n, :)[:, 1:min(end, count)]))
    settings = LargeSettings(
        shift === nothing ? checked_which(which) : :LM, shift, solver_tolerance(tol, P),
        max_iterations === nothing ? 300 : positive_integer("max_iterations", max_iterations), start, preconditioner,
        watcher(subject, progress, callback),
    )
    input_a, input_b = LargeInput(a, projection(a), settings), b === nothing ? nothing : LargeInput(b, projection(b), nothing)
    check_hermitian("operator", LargeOperator{T}(n, a), P)
    b === nothing || check_hermitian("b", LargeOperator{T}(n, b), P)
    return HermitianProblem{T, :large, 0, typeof(degeneracy), typeof(input_a), typeof(input_b)}(
        b === nothing ? 0 : 1, n, (), 1:count, HERMITIAN_PART, degeneracy, input_a, input_b
    )
end

@non_differentiable large_problem(::Any, ::Any, ::Any, ::Any, ::Any, ::Any)

projection(x) = identity
projection(x::AbstractMatrix) = ProjectTo(x)

check_large_policy(subject, policy) = nothing
check_large_policy(subject, policy::Union{Mask, Broaden}) = throw(
    ArgumentError("`degeneracy`: mask and broaden would have to know all eigenvectors; $subject has EigenPair.check() and EigenPair.raw()")
)
function check_large_policy(subject, policy::Check)
    policy.generic_basis &&
        throw(ArgumentError("`degeneracy`: check(generic_basis = true) would have to know all eigenvectors; $subject has not"))
    policy.refused === :zero &&
        throw(ArgumentError("`degeneracy`: $subject has no check(refused = :zero); a refused gradient is NaN"))
    return nothing
end

function positive_integer(name, x)
    x isa Integer && !(x isa Bool) || throw(ArgumentError("`$name` must be an integer, got $(repr(x))"))
    x >= 1 || throw(ArgumentError("`$name` must be at least 1, got $x"))
    return Int(x)
end

function finite_number(name, x)
    x isa Real && !(x isa Bool) || throw(ArgumentError("`$name` must be a real number, got $(repr(x))"))
    isfinite(x) || throw(ArgumentError("`$name` must be finite, got $x"))
    return Float64(plain(x))
end

function solver_tolerance(tol, ::Type{T}) where {T}
    tol === nothing && return Float64(eps(real(T)))^0.8
    x = finite_number("tol", tol)
    x >= 0 || throw(ArgumentError("`tol` must be zero or positive, got $x"))
    return max(x, 4 * Float64(eps(real(T))))
end

function checked_which(which)
    which === nothing && return :SA
    name = which isa Union{Symbol, AbstractString} ? Symbol(which) : :none
    name in WHICH && return name
    throw(ArgumentError("`which` must be one of $(join(map(repr, WHICH), ", ")), got $(repr(which))$(get(WHICH_HINTS, name, ""))"))
end

check_vectors(v0) = v0 === nothing || (v0 isa AbstractVecOrMat && eltype(v0) <: Number) ||
    throw(ArgumentError("`v0` must be a vector, or vectors in the columns of a matrix, got $(summary(v0))"))

operator_size(name, x::AbstractMatrix, n, v0) = (check_square(name, size(x)); check_n(n, size(x, 1)))
function operator_size(name, x, n, v0)
    x isa Union{Number, AbstractArray, AbstractString} &&
        throw(ArgumentError("`$name` must be a matrix, a function of a vector, or have `size` and `mul!`, got $(summary(x))"))
    if is_map(x)
        check_square(name, size(x))
        return check_n(n, first(size(x)))
    end
    n === nothing && v0 === nothing &&
        throw(ArgumentError("`n` must say the length of the vectors of a function: `n = 100`, or give vectors to start from, `v0`"))
    return check_n(v0 === nothing ? nothing : size(v0, 1), n === nothing ? size(v0, 1) : positive_integer("n", n))
end
check_square(name, sizes) = length(sizes) == 2 && sizes[1] == sizes[2] ||
    throw(DimensionMismatch("`$name` must be square, got size $sizes"))
function check_n(n, size)
    n === nothing || positive_integer("n", n) == size ||
        throw(DimensionMismatch("`n = $n` (or the length of `v0`) is not the size of the operator, $size"))
    return size
end

operator_type(name, x::AbstractMatrix, n, dtype, v0) = working_type(name, eltype(x))
function operator_type(name, x, n, dtype, v0)
    is_map(x) && return working_type(name, eltype(x))
    dtype === nothing && v0 === nothing &&
        throw(ArgumentError("`dtype` must say the type of the numbers of a function: `dtype = Float64`, or give `v0`"))
    given = working_type("dtype", dtype === nothing ? eltype(v0) : dtype)
    # A product tells whether the function captures complex or dual numbers.
    y = times_vector(x, random_columns(plain_type(given), 5, n, 1)[:, 1])
    y isa AbstractVector && length(y) == n ||
        throw(DimensionMismatch("the `$name` must return a vector of length $n, as it is given one; it returned $(summary(y))"))
    return promote_type(given, working_type(name, eltype(y)))
end

# Two products with random vectors. NaN does not show that an operator is not Hermitian.
function check_hermitian(name, A, ::Type{T}) where {T}
    A.x isa SymmetricOrHermitian && !(A.x isa Symmetric && eltype(A.x) <: Complex) && return nothing
    X = random_columns(T, 3, A.n, 2)
    Y = plain_array(product(A, X))
    G = Y' * X
    maximum(abs, G - G') > eps(real(T))^0.6 * norm(Y) * norm(X) / sqrt(A.n) && throw(
        ArgumentError(
            "`$name` is not Hermitian: ⟨y, $name x⟩ and ⟨$name y, x⟩ differ for random x and y. Give its Hermitian part, \
            ($name + $name')/2, or use eigs"
        )
    )
    return nothing
end

function watcher(subject, progress, callback)
    check_flag("progress", progress)
    progress || return callback
    return function (iteration, eigenvalues, residuals)
        println(stderr, "$subject: iteration $iteration, largest residual $(round(maximum(residuals); sigdigits = 2))")
        return callback === nothing || callback(iteration, eigenvalues, residuals)
    end
end
