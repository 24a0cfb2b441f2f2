# `eigh` and `eigvalsh`, their pullbacks and pushforwards for any AD engine, and the solve. The rules are in rule.jl.

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
         degeneracy = nothing)

Eigenvalues (real, ascending) and eigenvectors (columns) of a Hermitian matrix or a definite pair, as an
[`EighResult`](@ref); the eigenvalues alone if `eigvals_only`.

| | problem | normalization |
|:--|:--|:--|
| no `b` | `A v = λ v` | `VᴴV = I` |
| `type = 1` | `A v = λ B v` | `VᴴBV = I` |
| `type = 2` | `A B v = λ v` | `VᴴBV = I` |
| `type = 3` | `B A v = λ v` | `VᴴB⁻¹V = I` |

`A` is the Hermitian part `(a + aᴴ)/2` with `lower = nothing`, or what the lower (`true`) or upper (`false`) triangle of
`a` stands for; `B` likewise. A `Symmetric` or `Hermitian` argument selects its triangle itself. Derivatives are those of
the function so defined: the gradient is Hermitian, or lives on the triangle that is read (the strict triangle
doubled, the diagonal real), or is a `Symmetric`/`Hermitian` matrix.

`a` is `n × n`, or `n × n × batch...`; `b` is broadcast against it along the batch dimensions. Eigenvalues are then
`k × batch...` and eigenvectors `n × k × batch...`, with `k = n` or as many as `subset_by_index`, a range such as `1:3`,
selects (of large problems, at most an eighth of the spectrum is computed by itself). Integers are computed in `Float64`; `Float32`, `Float64` and their complex types stay what they are.

`degeneracy` says what derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref), [`EigenPair.mask`](@ref),
[`EigenPair.broaden`](@ref), [`EigenPair.raw`](@ref); the first of them, unless [`EigenPair.with_policy`](@ref) says
otherwise.

A matrix with NaN or Inf, or a `b` that is not positive definite, gives NaN for itself and leaves the rest of the batch
alone. Throws `DimensionMismatch` for arrays that are not square or do not fit each other, and `ArgumentError` for any
other argument that has no meaning here.

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
        a, b = nothing; type = 1, lower = nothing, eigvals_only = false, subset_by_index = nothing,
        degeneracy = nothing
    )
    check_eigvals_only(eigvals_only)
    eigvals_only && return eigvalsh(a, b; type, lower, subset_by_index, degeneracy)
    return eigh_under(as_policy(degeneracy), a, b, type, lower, subset_by_index)::eigh_type(a, b)
end

"""
    eigvalsh(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)

Eigenvalues of a Hermitian matrix or a definite pair, real and ascending: [`eigh`](@ref) with `eigvals_only = true`,
where every argument is explained. No eigenvector is computed until a derivative asks for it.
"""
eigvalsh(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing) =
    eigvalsh_under(as_policy(degeneracy), a, b, type, lower, subset_by_index)::values_type(a, b)

# Function barriers: the types inside depend on the policy, which is known only when the call runs.
function eigh_under(degeneracy, a, b, type, lower, subset_by_index)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    return eigh_result(p, solution(p, a, b))
end

function eigvalsh_under(degeneracy, a, b, type, lower, subset_by_index)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    return present_values(p, solution_values(p, a, b))
end

eigh_result(p, (w, V)) = EighResult(present_values(p, w), present_vectors(p, V))
values_result(p, (w,)) = present_values(p, w)

# The type of the result, which does not depend on the policy: callers stay inferred.
const OnHost = Union{Array, Symmetric{<:Any, <:Array}, Hermitian{<:Any, <:Array}}
host_type(a::OnHost, ::Nothing) = host_type(working_type("a", eltype(a)), Val(ndims(a)))
host_type(a::OnHost, b::OnHost) =
    host_type(working_type("a", promote_type(eltype(a), eltype(b))), Val(max(ndims(a), ndims(b))))
host_type(a, b) = AbstractArray
host_type(::Type{T}, ::Val{N}) where {T <: LinearAlgebra.BlasFloat, N} = Array{T, N}
eigh_type(a, b) = eigh_type(host_type(a, b))
eigh_type(::Type) = EighResult
eigh_type(::Type{Array{T, N}}) where {T, N} = EighResult{Array{real(T), N - 1}, Array{T, N}}
values_type(a, b) = values_type(host_type(a, b))
values_type(::Type) = AbstractArray
values_type(::Type{Array{T, N}}) where {T, N} = Array{real(T), N - 1}

# ---- derivatives for any AD engine ----------------------------------------------------------------------------

"""
    EigenPair.eigh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)

`(result, pullback)`: what [`eigh`](@ref) returns for these arguments, and its reverse-mode derivative there. `pullback(w̄, v̄)`
returns `(ā, b̄)`, the gradients of `a` and `b`, for cotangents in the shapes of `result.eigenvalues` and
`result.eigenvectors`. `nothing` stands for a cotangent that is zero, and for the gradient of a `b` that is not there.

Complex cotangents follow the convention of ChainRules: `x̄ = ∂l/∂Re x + i ∂l/∂Im x` for a real loss `l`. Arguments, errors, NaN
and the formulas are those of [`eigh`](@ref). For arrays in host memory, and for AD engines that read no ChainRules.

```julia
(w, v), pullback = EigenPair.eigh_pullback(a)
ā, _ = pullback(2 .* w, nothing)   # the gradient of sum(abs2, eigvalsh(a))
```
"""
@inline function eigh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)
    return eigh_pullback_under(as_policy(degeneracy), a, b, type, lower, subset_by_index, eigh_result)::Tuple{eigh_type(a, b), Any}
end

function eigh_pullback_under(degeneracy, a, b, type, lower, subset_by_index, result)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    Ω = solution(p, a, b)
    pullback = pullback_at(p, a, b, Ω)
    function shaped_gradients(w̄, v̄ = nothing)
        w̄ === nothing && v̄ === nothing && return nothing, nothing
        return pullback(real_if(Ω[1], embed_values(p, w̄)), real_if(Ω[2], embed_vectors(p, v̄)), nothing)
    end
    return result(p, Ω), shaped_gradients
end

"""
    EigenPair.eigvalsh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)

`(w, pullback)`: the same for [`eigvalsh`](@ref); `pullback(w̄)` returns `(ā, b̄)`. See [`EigenPair.eigh_pullback`](@ref).
"""
@inline function eigvalsh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)
    return eigh_pullback_under(as_policy(degeneracy), a, b, type, lower, subset_by_index, values_result)::Tuple{values_type(a, b), Any}
end

"""
    EigenPair.eigh_pushforward((ȧ,), a; options...)
    EigenPair.eigh_pushforward((ȧ, ḃ), a, b; options...)

`(result, (ẇ, v̇))`: what [`eigh`](@ref) returns, and its derivative along the tangents `ȧ` and `ḃ`, either of which may be
`nothing`. Options, errors, NaN and the formulas are those of [`eigh`](@ref).
"""
function eigh_pushforward(
        tangents::Tuple, a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing
    )
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    Ω, (ẇ, V̇) = solution_and_tangent(p, tangents, a, b)
    return eigh_result(p, Ω), (present_values(p, ẇ), present_vectors(p, V̇))
end

"""
    EigenPair.eigvalsh_pushforward((ȧ,), a; options...)
    EigenPair.eigvalsh_pushforward((ȧ, ḃ), a, b; options...)

`(w, ẇ)`: the same for [`eigvalsh`](@ref). See [`EigenPair.eigh_pushforward`](@ref).
"""
eigvalsh_pushforward(tangents::Tuple, a, b = nothing; options...) = map(first, eigh_pushforward(tangents, a, b; options...))

# ---- the solve -----------------------------------------------------------------------------------------------

"""
    solution(p, a, b)

`(w, V, U)`: all eigenvalues `n × count`, eigenvectors and, for types 2 and 3, the dual basis `U = V⁻ᴴ`, `n × n × count`;
`U` is `nothing` for types 0 and 1, whose rule needs none.
"""
function solution(p::HermitianProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    n, count = p.n, prod(p.batch)
    w = Matrix{real(T)}(undef, n, count)
    V = Array{T}(undef, n, n, count)
    U = p.b === nothing || p.type == 1 ? nothing : similar(V)
    native_hermitian!(w, V, U, p.type, p.triangle, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    explain_arguments(p, a, b, w)
    generic_basis(p.degeneracy) && turn_clusters!(p, input_norms(p, a, b), w, V, U)
    return w, V, U
end

generic_basis(::DegeneracyPolicy) = false
generic_basis(policy::Check) = policy.generic_basis

function turn_clusters!(p::HermitianProblem{T}, norms, w, V, U) where {T}
    decision = decide(p, FORWARD, norms, w, V, U)
    for k in (has_cluster(decision) ? axes(w, 2) : ())
        H = generic_reflection(T, matrix(decision.reasons, k))
        V[:, :, k] = V[:, :, k] * H
        U === nothing || (U[:, :, k] = U[:, :, k] * H)
    end
    return nothing
end

function solution_values(p::HermitianProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    w = Matrix{real(T)}(undef, p.n, prod(p.batch))
    native_hermitian!(w, nothing, nothing, p.type, p.triangle, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    explain_arguments(p, a, b, w)
    return w
end
# Tangents of dual numbers need the vectors.
solution_values(p::Eigenproblem, a, b) = first(solution(p, a, b))
