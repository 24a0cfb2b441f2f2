# `eigh` and `eigvalsh`: the functions, the description of their problem, their pullbacks and pushforwards for any AD engine, and
# their ChainRules adapters. The solve and the derivatives are in rule.jl.

"""
    EighResult(eigenvalues, eigenvectors)

What [`eigh`](@ref) returns; `w, v = eigh(a)` unpacks it.
"""
struct EighResult{W <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    eigenvectors::V
end

Base.iterate(r::EighResult) = (r.eigenvalues, Val(:eigenvectors))
Base.iterate(r::EighResult, ::Val{:eigenvectors}) = (r.eigenvectors, Val(:done))
Base.iterate(::EighResult, ::Val{:done}) = nothing
Base.length(::EighResult) = 2

"""
    eigh(a, b = nothing; type = 1, lower = nothing, eigvals_only = false, subset_by_index = nothing,
         subset_by_value = nothing, degeneracy = nothing)

Eigenvalues (real, ascending) and eigenvectors (columns) of a Hermitian matrix or a definite pair, as an
[`EighResult`](@ref); the eigenvalues alone if `eigvals_only`.

| | problem | normalization |
|:--|:--|:--|
| no `b` | `A v = λ v` | `VᴴV = I` |
| `type = 1` | `A v = λ B v` | `VᴴBV = I` |
| `type = 2` | `A B v = λ v` | `VᴴBV = I` |
| `type = 3` | `B A v = λ v` | `VᴴB⁻¹V = I` |

With `lower = nothing`, `A` is the Hermitian part `(a + aᴴ)/2`; otherwise it is the Hermitian matrix given by the lower (`true`) or upper
(`false`) triangle of `a`. The same holds for `B`. A `Symmetric` or `Hermitian` argument selects its own triangle. Derivatives are those of
this function of the entries: the gradient is Hermitian, or is zero outside the triangle that is read (the strict triangle
doubled, the diagonal real), or is a `Symmetric`/`Hermitian` matrix. A vector `b` is the diagonal of a diagonal matrix, and its gradient is a
vector.

`a` is `n × n`, or `n × n × batch...`; `b` is broadcast against it along the batch dimensions. Eigenvalues are then
`k × batch...` and eigenvectors `n × k × batch...`. `k` is `n`, or the number of eigenvalues that `subset_by_index`, a range such as `1:3`, or
`subset_by_value = (low, high)` selects. The latter selects the eigenvalues with `low < λ ≤ high`, which must have the same indices in all
matrices of a batch. For large problems, up to an eighth of the spectrum is computed without the rest. Integers are computed in `Float64`;
`Float32`, `Float64` and their complex types keep their precision.

`degeneracy` says what derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref), [`EigenPair.mask`](@ref),
[`EigenPair.broaden`](@ref), [`EigenPair.raw`](@ref). The default is the policy of the enclosing [`EigenPair.with_policy`](@ref), or `check()`.

A matrix with NaN or Inf, or a `b` that is not positive definite, gives NaN for that matrix alone. Throws `DimensionMismatch` for arrays that
are not square or do not match each other, and `ArgumentError` for any other bad argument.

# Examples
```julia
w, v = eigh([2.0 1.0; 1.0 2.0])
w = eigh(a, b; type = 2).eigenvalues
Zygote.gradient(a -> sum(abs2, eigvalsh(a)), a)
```

Derivatives: Giles (2008), §3.1; Magnus (1985); Boeddeker et al., arXiv:1701.00392, eqs. 4.60–4.77; derived in
docs/derivations.md.
"""
@inline function eigh(
        a, b = nothing; type = 1, lower = nothing, eigvals_only = false, subset_by_index = nothing, subset_by_value = nothing,
        degeneracy = nothing
    )
    check_flag("eigvals_only", eigvals_only)
    eigvals_only && return eigvalsh(a, b; type, lower, subset_by_index, subset_by_value, degeneracy)
    return eigh_under(hermitian_problem, as_policy(degeneracy), a, b; type, lower, subset_by_index, subset_by_value)::eigh_type(a, b)
end

"""
    eigvalsh(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)

Eigenvalues of a Hermitian matrix or a definite pair, real and ascending: [`eigh`](@ref) with `eigvals_only = true`, with the same arguments.
Eigenvectors are computed only if a derivative needs them.
"""
eigvalsh(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing) =
    eigvalsh_under(hermitian_problem, as_policy(degeneracy), a, b; type, lower, subset_by_index, subset_by_value)::values_type(a, b)

# Function barriers: the types inside depend on the policy, which is known only when the call runs.
function eigh_under(problem_of, degeneracy, a, b; options...)
    p = problem_of(a, b; degeneracy, options...)
    return eigh_result(p, solution(p, a, b))
end

function eigvalsh_under(problem_of, degeneracy, a, b; options...)
    p = problem_of(a, b; degeneracy, options...)
    return present_values(p, solution_values(p, a, b))
end

eigh_result(p, (w, V)) = EighResult(present_values(p, w), present_vectors(p, V))
values_result(p, (w,)) = present_values(p, w)

# The types of results, which do not depend on the policy: callers stay inferred.
eigh_type(a, b) = eigh_type(host_type(a, b))
eigh_type(::Type) = EighResult
eigh_type(::Type{Array{T, N}}) where {T, N} = EighResult{Array{real(T), N - 1}, Array{T, N}}
values_type(a, b) = values_type(host_type(a, b))
values_type(::Type) = AbstractArray
values_type(::Type{Array{T, N}}) where {T, N} = Array{real(T), N - 1}

# ---- derivatives for any AD engine ----------------------------------------------------------------------------

"""
    EigenPair.eigh_pullback(a, b = nothing; options...)

`(result, pullback)`: the result of [`eigh`](@ref) for these arguments, and its reverse-mode derivative there. `pullback(w̄, v̄)`
returns `(ā, b̄)`, the gradients with respect to `a` and `b`, for cotangents in the shapes of `result.eigenvalues` and
`result.eigenvectors`. `nothing` stands for a zero cotangent, and for the gradient with respect to a missing `b`.

Complex cotangents follow the convention of ChainRules: `x̄ = ∂l/∂Re x + i ∂l/∂Im x` for a real loss `l`. Options, errors, NaN
and the formulas are those of [`eigh`](@ref). For arrays in host memory, and for AD engines that do not use ChainRules.

```julia
(w, v), pullback = EigenPair.eigh_pullback(a)
ā, _ = pullback(2 .* w, nothing)   # the gradient of sum(abs2, eigvalsh(a))
```
"""
@inline eigh_pullback(a, b = nothing; degeneracy = nothing, options...) =
    pullback_under(as_policy(degeneracy), eigh_result, a, b; options...)::Tuple{eigh_type(a, b), Any}

pullback_under(degeneracy, result, a, b; options...) = shaped_pullback(hermitian_problem(a, b; degeneracy, options...), a, b, result)

function shaped_pullback(p, a, b, result)
    Ω = solution(p, a, b)
    pullback = pullback_at(p, a, b, Ω)
    function shaped_gradients(w̄, v̄ = nothing)
        w̄ === nothing && v̄ === nothing && return nothing, nothing
        return pullback(real_if(Ω[1], embed_values(p, w̄)), real_if(Ω[2], embed_vectors(p, v̄)), nothing)
    end
    return result(p, Ω), shaped_gradients
end

"""
    EigenPair.eigvalsh_pullback(a, b = nothing; options...)

`(w, pullback)`: the same for [`eigvalsh`](@ref); `pullback(w̄)` returns `(ā, b̄)`. See [`EigenPair.eigh_pullback`](@ref).
"""
@inline eigvalsh_pullback(a, b = nothing; degeneracy = nothing, options...) =
    pullback_under(as_policy(degeneracy), values_result, a, b; options...)::Tuple{values_type(a, b), Any}

"""
    EigenPair.eigh_pushforward((ȧ,), a; options...)
    EigenPair.eigh_pushforward((ȧ, ḃ), a, b; options...)

`(result, (ẇ, v̇))`: the result of [`eigh`](@ref), and its derivative along the tangents `ȧ` and `ḃ`, either of which may be
`nothing`. Options, errors, NaN and the formulas are those of [`eigh`](@ref).
"""
function eigh_pushforward(tangents::Tuple, a, b = nothing; options...)
    p = hermitian_problem(a, b; options...)
    Ω, (ẇ, V̇) = solution_and_tangent(p, tangents, a, b)
    return eigh_result(p, Ω), (present_values(p, ẇ), present_vectors(p, V̇))
end

"""
    EigenPair.eigvalsh_pushforward((ȧ,), a; options...)
    EigenPair.eigvalsh_pushforward((ȧ, ḃ), a, b; options...)

`(w, ẇ)`: the same for [`eigvalsh`](@ref). See [`EigenPair.eigh_pushforward`](@ref).
"""
eigvalsh_pushforward(tangents::Tuple, a, b = nothing; options...) = map(first, eigh_pushforward(tangents, a, b; options...))

# ---- the problem of a call --------------------------------------------------------------------------------------

"""
A checked Hermitian problem with elements of type `T`, without its numbers. `type` is 0 without `b`. The core reads
`triangle` of both matrices. `E` says what is computed, `:whole`, `:subset` (subset.jl), `:band` (banded.jl) or `:large`
(large/rule.jl).
"""
struct HermitianProblem{T, E, N, D <: DegeneracyPolicy, A <: ProblemInput, B <: Union{Nothing, ProblemInput}} <: Eigenproblem{T}
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
    hermitian_problem(a, b; options...)

The [`HermitianProblem`](@ref) of a call with the options of [`eigh`](@ref). Throws for bad arguments.
"""
function hermitian_problem(a, b; type = 1, lower = nothing, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)
    degeneracy = as_policy(degeneracy)
    (lower === nothing || lower isa Bool) ||
        throw(ArgumentError("`lower` must be nothing (the Hermitian part), true or false, got $(repr(lower))$(meant_triangle(lower))"))
    type in (1, 2, 3) || throw(
        ArgumentError("`type` must be 1 (A v = λ B v), 2 (A B v = λ v) or 3 (B A v = λ v), got $(repr(type))")
    )
    batch, input_a, input_b = checked_inputs(a, b, (name, x) -> hermitian_input(name, x, lower); diagonal = true)
    b === nothing && type != 1 &&
        throw(ArgumentError("`type = $type` is a problem in `a` and `b`: pass `b`, or leave `type` out"))
    T, n = problem_type(a, b), size(a, 1)
    subset_by_value === nothing ||
        (subset_by_index = subset_in_interval(subset_by_index, subset_by_value, hermitian_problem, (a, b), (; type, lower)))
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

hermitian_input(name, x::AbstractVector, lower) = MatrixInput(HERMITIAN_PART, false, (), x̄ -> ProjectTo(x)(diag(x̄)))
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

"""
    subset_in_interval(subset_by_index, interval, problem_of, matrices, options)

The indices of the eigenvalues in `low < λ ≤ high`, the same for all matrices, of the problem `problem_of(matrices...; options...)`.
"""
function subset_in_interval(subset_by_index, interval, problem_of, matrices, options)
    subset_by_index === nothing || throw(ArgumentError("give `subset_by_index` or `subset_by_value`, not both"))
    interval isa NTuple{2, Real} && interval[1] < interval[2] || throw(
        ArgumentError("`subset_by_value` must be two real numbers (low, high) with low < high, got $(repr(interval))")
    )
    (low, high), plain_matrices = interval, map(x -> each(plain, x), matrices)
    w = solution_values(problem_of(plain_matrices...; options..., degeneracy = Raw()), plain_matrices...)
    any(isnan, w) && throw(
        ArgumentError(
            "`subset_by_value` cannot count eigenvalues that are NaN: a matrix has NaN or Inf in it, or `b` is not positive definite"
        )
    )
    found = unique((1 + count(<=(low), x)):count(<=(high), x) for x in eachcol(w))
    length(found) <= 1 || throw(
        ArgumentError("`subset_by_value` must select the same eigenvalues of all matrices of a batch, got $(join(found, ", ", " and "))")
    )
    return isempty(found) ? (1:0) : only(found)
end

# The method for `nothing` lets type inference exclude subsets.
extent(::Nothing, n, type, degeneracy, a, b) = :whole
extent(subset, n, type, degeneracy, a, b) =
    solved_in_part(a, b) && worthwhile(n, subset, type, degeneracy) ? :subset : :whole

# ---- between the flat batch of the computation and the shapes of the call ------------------------------------

shows_all(p::HermitianProblem) = p.subset == 1:p.n
# The indices of the eigenvalues that are computed.
computed(p::HermitianProblem) = shows_all(p) ? p.subset : 1:p.n
first_index(p::HermitianProblem) = first(computed(p))
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

# ---- ChainRules ------------------------------------------------------------------------------------------------

@non_differentiable hermitian_problem(::Any, ::Any)
@non_differentiable eigh_type(::Any, ::Any)
@non_differentiable values_type(::Any, ::Any)
@non_differentiable zeros_around(::Any, ::Any)

solution_cotangents(p::HermitianProblem, (w, V, U), Ω̄) =
    real_if(w, present(Ω̄[1])), real_if(V, present(Ω̄[2])), U isa AbstractArray ? real_if(U, present(Ω̄[3])) : nothing

eigh_cotangents(::AbstractZero) = nothing, nothing
eigh_cotangents(Ω̄) = present(Ω̄.eigenvalues), present(Ω̄.eigenvectors)
eigh_cotangents(Ω̄::ByPlace) = present(Ω̄[1]), present(Ω̄[2])

# Engines that differentiate twice in reverse differentiate the constructor too.
function ChainRulesCore.rrule(::Type{EighResult}, w, v)
    EighResult_pullback(Ω̄) = (NoTangent(), map(tangent_or_zero, eigh_cotangents(unthunk(Ω̄)))...)
    return EighResult(w, v), EighResult_pullback
end

function ChainRulesCore.frule((_, ẋs...)::Tuple, ::typeof(eigh), a, b = nothing; eigvals_only = false, options...)
    check_flag("eigvals_only", eigvals_only)
    return frule_of(hermitian_problem(a, b; options...), eigvals_only, map(present, ẋs[1:(b === nothing ? 1 : 2)]), a, b)
end
ChainRulesCore.frule(ẋs::Tuple, ::typeof(eigvalsh), xs...; options...) = frule(ẋs, eigh, xs...; options..., eigvals_only = true)

function frule_of(p, eigvals_only, tangents, a, b)
    Ω, (ẇ, V̇) = solution_and_tangent(p, tangents, a, b)
    eigvals_only && return values_result(p, Ω), present_values(p, ẇ)
    result = eigh_result(p, Ω)
    return result, Tangent{typeof(result)}(; eigenvalues = present_values(p, ẇ), eigenvectors = present_vectors(p, V̇))
end

# Inlined, so that the type of the result follows from `eigvals_only` as it is written at the call.
@inline function ChainRulesCore.rrule(::typeof(eigh), a, b...; eigvals_only = false, options...)
    check_flag("eigvals_only", eigvals_only)
    eigvals_only && return rrule(eigvalsh, a, b...; options...)
    Ω, pullback = eigh_pullback(a, b...; options...)
    return Ω, InputPullback{1 + length(b)}(Ω̄ -> pullback(eigh_cotangents(Ω̄)...))
end
@inline function ChainRulesCore.rrule(::typeof(eigvalsh), a, b...; options...)
    w, pullback = eigvalsh_pullback(a, b...; options...)
    return w, InputPullback{1 + length(b)}(w̄ -> pullback(present(w̄)))
end
