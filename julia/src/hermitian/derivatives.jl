# Derivatives of `eigh` and `eigvalsh` for any AD engine: arrays in, arrays out, `nothing` for what is not there.
# Shapes and options are those of the functions; the mathematics is in rule.jl and subset.jl.

"""
    pushforward_of(p, a, b, Ω)
    pullback_of(p, a, b, Ω)

The tangent map of the solve at its solution `Ω`, and its transpose: tangents of the Hermitian matrices to tangents of `Ω`, and
cotangents of `Ω` to gradients of `a` and `b`.
"""
function pushforward_of(p::HermitianProblem, a, b, (w, V, U))
    norms = input_norms(p, a, b)
    return (Ȧ, Ḃ) -> hermitian_pushforward(p, norms, w, V, U, Ȧ, Ḃ)
end
function pullback_of(p::HermitianProblem, a, b, (w, V, U))
    norms = input_norms(p, a, b)
    return (λ̄, V̄, Ū) -> input_gradients(p, norms, w, V, U, λ̄, V̄, Ū)
end

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
function eigh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    Ω = hermitian_solve(p, a, b)
    return EighResult(present_values(p, Ω[1]), present_vectors(p, Ω[2])), (w̄, v̄) -> neutral_gradients(p, a, b, Ω, w̄, v̄)
end

"""
    EigenPair.eigvalsh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)

`(w, pullback)`: the same for [`eigvalsh`](@ref); `pullback(w̄)` returns `(ā, b̄)`. See [`EigenPair.eigh_pullback`](@ref).
"""
function eigvalsh_pullback(a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    Ω = hermitian_solve(p, a, b)
    return present_values(p, Ω[1]), w̄ -> neutral_gradients(p, a, b, Ω, w̄, nothing)
end

function neutral_gradients(p, a, b, Ω, w̄, v̄)
    w̄ === nothing && v̄ === nothing && return nothing, nothing
    λ̄, V̄ = real_if(Ω[1], embed_values(p, w̄)), real_if(Ω[2], embed_vectors(p, v̄))
    ā, b̄ = pullback_of(p, a, b, Ω)(λ̄, V̄, nothing)
    return ā, p.b === nothing ? nothing : b̄
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
    return EighResult(present_values(p, Ω[1]), present_vectors(p, Ω[2])), (present_values(p, ẇ), present_vectors(p, V̇))
end

"""
    EigenPair.eigvalsh_pushforward((ȧ,), a; options...)
    EigenPair.eigvalsh_pushforward((ȧ, ḃ), a, b; options...)

`(w, ẇ)`: the same for [`eigvalsh`](@ref). See [`EigenPair.eigh_pushforward`](@ref).
"""
function eigvalsh_pushforward(
        tangents::Tuple, a, b = nothing; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing
    )
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    Ω, (ẇ, _) = solution_and_tangent(p, tangents, a, b)
    return present_values(p, Ω[1]), present_values(p, ẇ)
end

function solution_and_tangent(p::HermitianProblem, tangents, a, b)
    check_tangents(tangents, a, b)
    Ω = hermitian_solve(p, a, b)
    Ȧ = tangents[1] === nothing ? nothing : hermitian_tangent(p, p.a, tangents[1])
    Ḃ = b === nothing || tangents[2] === nothing ? nothing : hermitian_tangent(p, p.b, tangents[2])
    return Ω, pushforward_of(p, a, b, Ω)(Ȧ, Ḃ)
end

function check_tangents(tangents, a, b)
    matrices = b === nothing ? (a,) : (a, b)
    length(tangents) == length(matrices) || throw(
        ArgumentError("the tangents must be a tuple with one entry for each matrix, got $(length(tangents)) for $(length(matrices))")
    )
    for (name, x, ẋ) in zip(("a", "b"), matrices, tangents)
        ẋ === nothing || size(ẋ) == size(x) ||
            throw(DimensionMismatch("the tangent of `$name` must have its size $(size(x)), got $(size(ẋ))"))
    end
    return nothing
end

# Cotangents of a subset, with zeros for the rest.
function embed_values(p, λ̄)
    count = prod(p.batch)
    flat_λ̄ = reshape(λ̄, length(p.subset), count)
    shows_all(p) && return flat_λ̄
    before, after = zeros_around(p, eltype(λ̄), count)
    return vcat(before, flat_λ̄, after)
end
function embed_vectors(p, V̄)
    count = prod(p.batch)
    flat_V̄ = reshape(V̄, p.n, length(p.subset), count)
    shows_all(p) && return flat_V̄
    before, after = zeros_around(p, eltype(V̄), count)
    beside(x) = repeat(reshape(x, 1, size(x)...), p.n)
    return cat(beside(before), flat_V̄, beside(after); dims = 2)
end
zeros_around(p, ::Type{T}, count) where {T} = zeros(T, first(p.subset) - 1, count), zeros(T, p.n - last(p.subset), count)
embed_values(p, ::Nothing) = nothing
embed_vectors(p, ::Nothing) = nothing

# The cotangent of a real output is real, although an engine may pass a complex one.
real_if(primal, ::Nothing) = nothing
real_if(::AbstractArray{<:Real}, x::AbstractArray{<:Complex}) = real(x)
real_if(primal, x) = x
