# The general problem: arguments of a call, checked before any number is computed. Every entry is a variable.

"""
A checked general problem with elements of type `T`, without its numbers. `left`: left vectors are asked for.
"""
struct GeneralProblem{T, N, D <: DegeneracyPolicy, A <: MatrixInput, B <: Union{Nothing, MatrixInput}} <: Eigenproblem{T}
    n::Int
    batch::NTuple{N, Int}
    left::Bool
    triangle::Int32
    degeneracy::D
    a::A
    b::B
end

# The same problem for numbers of another type.
with_type(::Type{T}, p::GeneralProblem{<:Any, N, D, A, B}) where {T, N, D, A, B} =
    GeneralProblem{T, N, D, A, B}(p.n, p.batch, p.left, p.triangle, p.degeneracy, p.a, p.b)

needs_norms(p::GeneralProblem) = true
first_index(p::GeneralProblem) = 1
subject_of(p::GeneralProblem) = "eig"

"""
    general_problem(a, b, options)

The [`GeneralProblem`](@ref) of a call. Throws for everything that a call may get wrong.
"""
function general_problem(a, b, options)
    degeneracy = as_policy(options.degeneracy)
    check_flag("left", options.left)
    check_flag("right", options.right)
    # Wrappers such as Symmetric are written out, because every entry counts.
    batch, input_a, input_b = checked_inputs(a, b, (name, x) -> MatrixInput(EVERY_ENTRY, false, batch_size(x), ProjectTo(x)))
    return GeneralProblem{problem_type(a, b), length(batch), typeof(degeneracy), typeof(input_a), typeof(input_b)}(
        size(a, 1), batch, options.left, EVERY_ENTRY, degeneracy, input_a, input_b
    )
end

# ---- between the flat batch of the computation and the shapes of the call ------------------------------------

eig_values(p, w) = reshape(w, p.n, p.batch...)
eig_vectors(p, V) = reshape(V, p.n, p.n, p.batch...)
eig_result(p, w, ::Nothing, ::Nothing) = eig_values(p, w)
eig_result(p, w, V, ::Nothing) = EigResult(eig_values(p, w), eig_vectors(p, V))
eig_result(p, w, ::Nothing, L) = EigLeftResult(eig_values(p, w), eig_vectors(p, L))
eig_result(p, w, V, L) = EigBothResult(eig_values(p, w), eig_vectors(p, L), eig_vectors(p, V))

flat_values(p, ::Nothing) = nothing
flat_vectors(p, ::Nothing) = nothing
flat_values(p, x) = reshape(x, p.n, prod(p.batch))
flat_vectors(p, x) = reshape(x, p.n, p.n, prod(p.batch))
