# `eig` and `eigvals`: the functions, the description of their problem, their pullbacks and pushforwards for any AD engine, and their
# ChainRules adapters. The solve and the derivatives are in rule.jl. No step depends on whether a matrix happens to be symmetric, so
# values and gradients are continuous there.

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

Every entry of `a` and `b` is a variable, also if a matrix is symmetric. A wrapper
(`Symmetric`, `Diagonal`, ...) stands for the matrix that it represents, and has tangents of its own kind. For a function of
one triangle use [`eigh`](@ref).

`a` is `n × n`, or `n × n × batch...`; `b` is broadcast against it along the batch dimensions. Eigenvalues are `n × batch...`,
vectors `n × n × batch...` in columns; all are complex, in the precision of the input (integers: `Float64`).

*Order.* By real part, then imaginary part, so the member of a conjugate pair with negative imaginary part comes first.
Infinite eigenvalues (singular `b`) follow as `Inf + 0im`, undetermined ones (a singular pencil) as NaN.

*Gauge.* Each vector has unit 2-norm, and its largest component is real and positive. If several components are largest to within `√ε`, the
first of them is.

*Derivatives* exist where the eigenvalues are distinct. They grow with [`EigenPair.condition_numbers`](@ref). They are NaN if the matrix is so
close to a defective one that no digit would be correct, and for infinite eigenvalues. `degeneracy` is the policy where eigenvalues coincide.
The default is that of the enclosing [`EigenPair.with_policy`](@ref), or [`EigenPair.check`](@ref).

A matrix that cannot be solved (NaN or Inf in it) gives NaN for that matrix alone. Throws `DimensionMismatch` for arrays that are not square
or do not match each other, and `ArgumentError` for any other bad argument.

Derivatives: Magnus (1985); Boeddeker et al., arXiv:1701.00392, eqs. 4.60–4.77; derived in docs/derivations.md.
"""
function eig(a, b = nothing; left = false, right = true, degeneracy = nothing)
    p = general_problem(a, b, (; left, right, degeneracy))
    # Tangents of dual numbers need the whole solution.
    w, V, _, L = right || left ? solution_vectors(p, a, b, right) : (solution_values(p, a, b), nothing, nothing, nothing)
    return eig_result(p, w, right ? V : nothing, L)
end

"""
    EigenPair.eigvals(a, b = nothing; degeneracy = nothing)

Eigenvalues without eigenvectors, complex, `n × batch...`; arguments, order and errors as for [`eig`](@ref). Not exported, because
`LinearAlgebra` exports an `eigvals` too.

The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, also for a matrix that happens to be symmetric. Where
eigenvalues coincide, it exists for losses that are symmetric in them, and is NaN for others.
"""
function eigvals(a, b = nothing; degeneracy = nothing)
    p = general_problem(a, b, (; left = false, right = false, degeneracy))
    return eig_result(p, solution_values(p, a, b), nothing, nothing)
end

"""
    EigenPair.condition_numbers(a, b = nothing)

The condition number of each eigenvalue, `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair): how far it moves relative to a perturbation of `a`. Real,
`n × batch...`, in the order of [`EigenPair.eigvals`](@ref). They are 1 for normal matrices, and NaN if the matrix is defective to working
precision. Arguments and errors as for [`eig`](@ref); no derivatives.
"""
function condition_numbers(a, b = nothing)
    p = general_problem(a, b, (; left = false, right = true, degeneracy = Raw()))
    w, V, U, _ = solution(p, a, b)
    sizes = [norm(view(U, :, i, k)) * norm(view(V, :, i, k)) for i in axes(w, 1), k in axes(w, 2)]
    return reshape(sizes, p.n, p.batch...)
end
@non_differentiable condition_numbers(::Any)
@non_differentiable condition_numbers(::Any, ::Any)

# ---- derivatives for any AD engine ----------------------------------------------------------------------------

"""
    EigenPair.eig_pullback(a, b = nothing; left = false, degeneracy = nothing)

`(result, pullback)`: the result of [`eig`](@ref) for these arguments, and its reverse-mode derivative there. `pullback(w̄, v̄)`, or
`pullback(w̄, v̄, v̄_left)` with `left`, returns `(ā, b̄)`, the gradients with respect to `a` and `b`. `nothing` stands for a zero cotangent,
and for the gradient with respect to a missing `b`.

Complex cotangents follow the convention of ChainRules: `x̄ = ∂l/∂Re x + i ∂l/∂Im x` for a real loss `l`. Arguments, errors, NaN
and the formulas are those of [`eig`](@ref). For arrays in host memory, and for AD engines that do not use ChainRules.
"""
function eig_pullback(a, b = nothing; left = false, degeneracy = nothing)
    return eig_pullback_under(as_policy(degeneracy), a, b, left, true)
end

function eig_pullback_under(degeneracy, a, b, left, right)
    p = general_problem(a, b, (; left, right, degeneracy))
    Ω = w, V, U, L = solution(p, a, b)
    pullback = pullback_at(p, a, b, Ω)
    function shaped_gradients(w̄, v̄, v̄_left = nothing)
        λ̄, V̄, L̄ = flat_values(p, w̄), flat_vectors(p, v̄), flat_vectors(p, v̄_left)
        λ̄ === nothing && V̄ === nothing && L̄ === nothing && return nothing, nothing
        return pullback(λ̄, V̄, left_cotangent(U, L, L̄))
    end
    return eig_result(p, w, right ? V : nothing, L), shaped_gradients
end

"""
    EigenPair.eigvals_pullback(a, b = nothing; degeneracy = nothing)

`(w, pullback)`: the same for [`EigenPair.eigvals`](@ref); `pullback(w̄)` returns `(ā, b̄)`. See [`EigenPair.eig_pullback`](@ref).
"""
function eigvals_pullback(a, b = nothing; degeneracy = nothing)
    w, pullback = eig_pullback_under(as_policy(degeneracy), a, b, false, false)
    return w, w̄ -> pullback(w̄, nothing)
end

"""
    EigenPair.eig_pushforward((ȧ,), a; left = false, degeneracy = nothing)
    EigenPair.eig_pushforward((ȧ, ḃ), a, b; left = false, degeneracy = nothing)

`(result, (ẇ, v̇))`, with `left` `(result, (ẇ, v̇, v̇_left))`: the result of [`eig`](@ref), and its derivative along the tangents `ȧ`
and `ḃ`, either of which may be `nothing`. Arguments, errors, NaN and the formulas are those of [`eig`](@ref).
"""
function eig_pushforward(tangents::Tuple, a, b = nothing; left = false, degeneracy = nothing)
    Ω, (ẇ, v̇, v̇_left) = eig_pushforward_under(as_policy(degeneracy), tangents, a, b, left, true)
    return Ω, left ? (ẇ, v̇, v̇_left) : (ẇ, v̇)
end

function eig_pushforward_under(degeneracy, tangents, a, b, left, right)
    p = general_problem(a, b, (; left, right, degeneracy))
    (w, V, _, L), (ẇ, V̇, _, L̇) = solution_and_tangent(p, tangents, a, b)
    Ω̇ = eig_values(p, ẇ), eig_vectors(p, V̇), left ? eig_vectors(p, L̇) : nothing
    return eig_result(p, w, right ? V : nothing, L), Ω̇
end

"""
    EigenPair.eigvals_pushforward((ȧ,), a; degeneracy = nothing)
    EigenPair.eigvals_pushforward((ȧ, ḃ), a, b; degeneracy = nothing)

`(w, ẇ)`: the same for [`EigenPair.eigvals`](@ref). See [`EigenPair.eig_pushforward`](@ref).
"""
function eigvals_pushforward(tangents::Tuple, a, b = nothing; degeneracy = nothing)
    w, (ẇ, _) = eig_pushforward_under(as_policy(degeneracy), tangents, a, b, false, false)
    return w, ẇ
end

# ---- the problem of a call --------------------------------------------------------------------------------------

"""
A checked general problem with elements of type `T`, without its numbers. `left`: left vectors are requested.
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

The [`GeneralProblem`](@ref) of a call. Throws for bad arguments.
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

# ---- ChainRules ------------------------------------------------------------------------------------------------

@non_differentiable general_problem(::Any, ::Any, ::Any)

solution_cotangents(p::GeneralProblem, (w, V, U, L), Ω̄) =
    present(Ω̄[1]), present(Ω̄[2]), plus(present(Ω̄[3]), left_cotangent(U, L, present(Ω̄[4])))

# Cotangents of (values, right vectors, left vectors).
eig_cotangents(Ω, ::AbstractZero) = nothing, nothing, nothing
eig_cotangents(::AbstractArray, Ω̄) = present(Ω̄), nothing, nothing
eig_cotangents(::EigResult, Ω̄) = present(Ω̄.eigenvalues), present(Ω̄.eigenvectors), nothing
eig_cotangents(::EigLeftResult, Ω̄) = present(Ω̄.eigenvalues), nothing, present(Ω̄.left_eigenvectors)
eig_cotangents(::EigBothResult, Ω̄) = present(Ω̄.eigenvalues), present(Ω̄.eigenvectors), present(Ω̄.left_eigenvectors)
eig_cotangents(::EigResult, Ω̄::ByPlace) = present(Ω̄[1]), present(Ω̄[2]), nothing
eig_cotangents(::EigLeftResult, Ω̄::ByPlace) = present(Ω̄[1]), nothing, present(Ω̄[2])
eig_cotangents(::EigBothResult, Ω̄::ByPlace) = present(Ω̄[1]), present(Ω̄[3]), present(Ω̄[2])
for Result in (:AbstractArray, :EigResult, :EigLeftResult, :EigBothResult)
    @eval eig_cotangents(::$Result, ::AbstractZero) = nothing, nothing, nothing
end

function eig_frule(ẋs, a, b; left = false, right = true, degeneracy = nothing)
    tangents = map(present, ẋs[1:(b === nothing ? 1 : 2)])
    Ω, (ẇ, v̇, v̇_left) = eig_pushforward_under(as_policy(degeneracy), tangents, a, b, left, right)
    Ω isa AbstractArray && return Ω, ẇ
    vectors = right ? (; eigenvectors = v̇) : (;)
    left && (vectors = (; vectors..., left_eigenvectors = v̇_left))
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = ẇ, vectors...)
end

function eig_rrule(a, b = nothing; left = false, right = true, degeneracy = nothing)
    Ω, pullback = eig_pullback_under(as_policy(degeneracy), a, b, left, right)
    return Ω, Ω̄ -> pullback(eig_cotangents(Ω, Ω̄)...)
end

for (f, values) in ((:eig, ()), (:eigvals, (:(right = false),)))
    @eval begin
        ChainRulesCore.frule((_, ẋs...)::Tuple, ::typeof($f), a, b = nothing; options...) =
            eig_frule(ẋs, a, b; options..., $(values...))
        function ChainRulesCore.rrule(::typeof($f), a, b...; options...)
            Ω, back = eig_rrule(a, b...; options..., $(values...))
            return Ω, InputPullback{1 + length(b)}(back)
        end
    end
end
