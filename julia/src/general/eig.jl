# General eigenproblems, every entry free: the functions, and the solve behind them. Nothing here asks whether a matrix
# happens to be symmetric: neither values nor gradients change across exact symmetry. The derivatives are in rule.jl.

"""
    EigResult(eigenvalues, eigenvectors)

What [`eig`](@ref) returns; `w, v = eig(a)` unpacks it.
"""
struct EigResult{W <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    eigenvectors::V
end

"""
    EigLeftResult(eigenvalues, left_eigenvectors)

What [`eig`](@ref) returns with `left = true, right = false`; `w, vl = ...` unpacks it.
"""
struct EigLeftResult{W <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    left_eigenvectors::V
end

"""
    EigBothResult(eigenvalues, left_eigenvectors, eigenvectors)

What [`eig`](@ref) returns with `left = true`; `w, vl, v = ...` unpacks it.
"""
struct EigBothResult{W <: AbstractArray, L <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    left_eigenvectors::L
    eigenvectors::V
end

const AnyEigResult = Union{EigResult, EigLeftResult, EigBothResult}
Base.iterate(r::AnyEigResult, i = 1) = i > nfields(r) ? nothing : (getfield(r, i), i + 1)
Base.length(r::AnyEigResult) = nfields(r)

"""
    eig(a, b = nothing; left = false, right = true, degeneracy = nothing)

Eigenvalues and eigenvectors of a square matrix, `A v = λ v`, or of a pair, `A v = λ B v`, as an [`EigResult`](@ref). With
`left`, also (or, with `right = false`, only) the left vectors, `yᴴA = λ yᴴ` or `yᴴA = λ yᴴB`: an
[`EigBothResult`](@ref) or [`EigLeftResult`](@ref). With neither, the eigenvalues alone.

Every entry of `a` and `b` is a variable; no matrix is treated differently for being symmetric. A wrapper
(`Symmetric`, `Diagonal`, ...) stands for the matrix that it shows, and has tangents of its own kind. For a function of
one triangle use [`eigh`](@ref).

`a` is `n × n`, or `n × n × batch...`; `b` is broadcast against it along the batch dimensions. Eigenvalues are `n × batch...`,
vectors `n × n × batch...` in columns; all are complex, in the precision of the input (integers: `Float64`).

*Order.* By real part, then imaginary part, so the member of a conjugate pair with negative imaginary part comes first.
Infinite eigenvalues (singular `b`) follow as `Inf + 0im`, undetermined ones (a singular pencil) as NaN.

*Gauge.* Unit 2-norm, largest component real and positive; of components equal to within `√ε`, the first.

*Derivatives* exist where the eigenvalues are distinct. Their size follows [`EigenPair.condition_numbers`](@ref); a matrix
too close to a defective one for its derivative to have a correct digit has NaN. So has the derivative of an
infinite eigenvalue. `degeneracy` is the policy where eigenvalues coincide: [`EigenPair.check`](@ref) unless
[`EigenPair.with_policy`](@ref) says otherwise.

A matrix that cannot be solved (NaN or Inf in it) gives NaN for itself and leaves the rest of the batch alone. Throws
`DimensionMismatch` for arrays that are not square or do not fit each other, and `ArgumentError` for any other argument
that has no meaning here.

Derivatives: Magnus (1985); Boeddeker et al., arXiv:1701.00392, eqs. 4.60–4.77; derived in docs/derivations.md.
"""
function eig(a, b = nothing; left = false, right = true, degeneracy = nothing)
    p = general_problem(a, b, (; left, right, degeneracy))
    # For dual numbers these calls compute the whole solution, which tangents need.
    w, V, _, L = right || left ? general_vectors(p, a, b, right) : (general_values(p, a, b), nothing, nothing, nothing)
    return eig_result(p, w, right ? V : nothing, L)
end

"""
    EigenPair.eigvals(a, b = nothing; degeneracy = nothing)

Eigenvalues alone, complex, `n × batch...`; arguments, order and errors as for [`eig`](@ref). Not exported, because
`LinearAlgebra` exports an `eigvals` of its own.

The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, the same for a matrix that happens to be symmetric as for its neighbours. Where
eigenvalues coincide it exists for losses that are symmetric in them, and is NaN for others.
"""
function eigvals(a, b = nothing; degeneracy = nothing)
    p = general_problem(a, b, (; left = false, right = false, degeneracy))
    return eig_result(p, general_values(p, a, b), nothing, nothing)
end

"""
    EigenPair.condition_numbers(a, b = nothing)

How strongly each eigenvalue answers to a perturbation of `a`: `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair), real, `n × batch...`, in
the order of [`EigenPair.eigvals`](@ref). 1 for normal matrices; NaN where the matrix is defective to working
precision. Arguments and errors as for [`eig`](@ref); no derivatives.
"""
function condition_numbers(a, b = nothing)
    p = general_problem(a, b, (; left = false, right = true, degeneracy = Raw()))
    w, V, U, _ = general_solve(p, a, b)
    sizes = [norm(view(U, :, i, k)) * norm(view(V, :, i, k)) for i in axes(w, 1), k in axes(w, 2)]
    return reshape(sizes, p.n, p.batch...)
end
@non_differentiable condition_numbers(::Any)
@non_differentiable condition_numbers(::Any, ::Any)

eig_values(p, w) = reshape(w, p.n, p.batch...)
eig_vectors(p, V) = reshape(V, p.n, p.n, p.batch...)
eig_result(p, w, ::Nothing, ::Nothing) = eig_values(p, w)
eig_result(p, w, V, ::Nothing) = EigResult(eig_values(p, w), eig_vectors(p, V))
eig_result(p, w, ::Nothing, L) = EigLeftResult(eig_values(p, w), eig_vectors(p, L))
eig_result(p, w, V, L) = EigBothResult(eig_values(p, w), eig_vectors(p, L), eig_vectors(p, V))

# ---- values --------------------------------------------------------------------------------------------------

"""
    general_solve(p, a, b)

`(w, V, U, L)`: eigenvalues `n × count`; right eigenvectors, the dual basis and, if the problem asks for them, left
eigenvectors, `n × n × count`.
"""
general_solve(p::GeneralProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat} = general_native(p, a, b, true, true)

# Without derivatives, less of the solution is computed.
general_vectors(p::GeneralProblem{T}, a, b, right) where {T <: LinearAlgebra.BlasFloat} =
    general_native(p, a, b, right, false)
general_vectors(p::GeneralProblem, a, b, right) = general_solve(p, a, b)
general_values(p::GeneralProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat} =
    first(general_native(GeneralProblem{T}(p), a, b, false, false))
general_values(p::GeneralProblem, a, b) = first(general_solve(p, a, b))

function general_native(p::GeneralProblem{T}, a, b, right, dual) where {T}
    n, count = p.n, prod(p.batch)
    vectors(wanted) = wanted ? Array{complex(T)}(undef, n, n, count) : nothing
    w = Matrix{complex(T)}(undef, n, count)
    V, U, L = vectors(right), vectors(dual), vectors(p.left)
    native_general!(w, V, L, U, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    return w, V, U, L
end
