# The functions `eigh` and `eigvalsh`, and the solve behind them. Their derivatives are in rule.jl.

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

# Everything in here is inferred from the policy.
function eigh_under(degeneracy, a, b, type, lower, subset_by_index)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    w, V, _ = hermitian_solve(p, a, b)
    return EighResult(present_values(p, w), present_vectors(p, V))
end

function eigvalsh_under(degeneracy, a, b, type, lower, subset_by_index)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    return present_values(p, hermitian_values(p, a, b))
end

# The type of the result, for type inference. It does not depend on the policy, which is known only when the call runs.
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

check_eigvals_only(::Bool) = nothing
check_eigvals_only(x) = throw(ArgumentError("`eigvals_only` must be true or false, got $(repr(x))"))

# From the flat batch of the computation to the shapes of the call, and to the subset that it asks for.
shows_all(p::HermitianProblem) = p.subset == 1:p.n
present_values(p::HermitianProblem, w) = reshape(shows_all(p) ? w : w[p.subset, :], length(p.subset), p.batch...)
present_vectors(p::HermitianProblem, V) =
    reshape(shows_all(p) ? V : V[:, p.subset, :], p.n, length(p.subset), p.batch...)

# ---- values --------------------------------------------------------------------------------------------------

"""
    hermitian_solve(p, a, b)

`(w, V, U)`: all eigenvalues `n × count`, eigenvectors and, for types 2 and 3, the dual basis `U = V⁻ᴴ`, `n × n × count`;
`U` is `nothing` for types 0 and 1, whose rule needs none.
"""
function hermitian_solve(p::HermitianProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
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
    for k in axes(w, 2)
        F = inverse_gaps(p, norms, w, V, U, k)
        has_cluster(F) || continue
        H = generic_reflection(T, F)
        V[:, :, k] = V[:, :, k] * H
        U === nothing || (U[:, :, k] = U[:, :, k] * H)
    end
    return nothing
end

function hermitian_values(p::HermitianProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat}
    w = Matrix{real(T)}(undef, p.n, prod(p.batch))
    native_hermitian!(w, nothing, nothing, p.type, p.triangle, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    explain_arguments(p, a, b, w)
    return w
end
# For dual numbers: their tangents need the vectors.
hermitian_values(p::HermitianProblem, a, b) = first(hermitian_solve(p, a, b))
