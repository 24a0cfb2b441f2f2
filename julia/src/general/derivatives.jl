# Derivatives of `eig` and `eigvals` for any AD engine: arrays in, arrays out, `nothing` for what is not there.
# The mathematics is in rule.jl.

"""
    EigenPair.eig_pullback(a, b = nothing; left = false, degeneracy = nothing)

`(result, pullback)`: what [`eig`](@ref) returns for these arguments, and its reverse-mode derivative there. `pullback(w̄, v̄)`, or
`pullback(w̄, v̄, v̄_left)` with `left`, returns `(ā, b̄)`, the gradients of `a` and `b`. `nothing` stands for a cotangent that is
zero, and for the gradient of a `b` that is not there.

Complex cotangents follow the convention of ChainRules: `x̄ = ∂l/∂Re x + i ∂l/∂Im x` for a real loss `l`. Arguments, errors, NaN
and the formulas are those of [`eig`](@ref). For arrays in host memory, and for AD engines that read no ChainRules.
"""
function eig_pullback(a, b = nothing; left = false, degeneracy = nothing)
    p = general_problem(a, b, (; left, right = true, degeneracy))
    Ω = general_solve(p, a, b)
    pullback(w̄, v̄, v̄_left = nothing) = neutral_gradients(p, a, b, Ω, w̄, v̄, v̄_left)
    return eig_result(p, Ω[1], Ω[2], Ω[4]), pullback
end

"""
    EigenPair.eigvals_pullback(a, b = nothing; degeneracy = nothing)

`(w, pullback)`: the same for [`EigenPair.eigvals`](@ref); `pullback(w̄)` returns `(ā, b̄)`. See [`EigenPair.eig_pullback`](@ref).
"""
function eigvals_pullback(a, b = nothing; degeneracy = nothing)
    p = general_problem(a, b, (; left = false, right = false, degeneracy))
    Ω = general_solve(p, a, b)
    return eig_values(p, Ω[1]), w̄ -> neutral_gradients(p, a, b, Ω, w̄, nothing, nothing)
end

function neutral_gradients(p::GeneralProblem, a, b, (w, V, U, L), w̄, v̄, v̄_left)
    v̄_left === nothing || L !== nothing ||
        throw(ArgumentError("there is a cotangent of left eigenvectors, which are computed with `left = true` only"))
    λ̄, V̄, L̄ = flat_values(p, w̄), flat_vectors(p, v̄), flat_vectors(p, v̄_left)
    Ū = left_cotangent(U, L, L̄)
    λ̄ === nothing && V̄ === nothing && Ū === nothing && return nothing, nothing
    ā, b̄ = general_gradients(p, general_norms(p, a, b), w, V, U, λ̄, V̄, Ū)
    return ā, p.b === nothing ? nothing : b̄
end

"""
    EigenPair.eig_pushforward((ȧ,), a; left = false, degeneracy = nothing)
    EigenPair.eig_pushforward((ȧ, ḃ), a, b; left = false, degeneracy = nothing)

`(result, (ẇ, v̇))`, with `left` `(result, (ẇ, v̇, v̇_left))`: what [`eig`](@ref) returns, and its derivative along the tangents `ȧ`
and `ḃ`, either of which may be `nothing`. Arguments, errors, NaN and the formulas are those of [`eig`](@ref).
"""
function eig_pushforward(tangents::Tuple, a, b = nothing; left = false, degeneracy = nothing)
    p = general_problem(a, b, (; left, right = true, degeneracy))
    (w, V, U, L), (ẇ, V̇, _, L̇) = solution_and_tangent(p, tangents, a, b)
    Ω̇ = (eig_values(p, ẇ), eig_vectors(p, V̇))
    return eig_result(p, w, V, L), L === nothing ? Ω̇ : (Ω̇..., eig_vectors(p, L̇))
end

"""
    EigenPair.eigvals_pushforward((ȧ,), a; degeneracy = nothing)
    EigenPair.eigvals_pushforward((ȧ, ḃ), a, b; degeneracy = nothing)

`(w, ẇ)`: the same for [`EigenPair.eigvals`](@ref). See [`EigenPair.eig_pushforward`](@ref).
"""
function eigvals_pushforward(tangents::Tuple, a, b = nothing; degeneracy = nothing)
    p = general_problem(a, b, (; left = false, right = false, degeneracy))
    Ω, Ω̇ = solution_and_tangent(p, tangents, a, b)
    return eig_values(p, Ω[1]), eig_values(p, Ω̇[1])
end

function solution_and_tangent(p::GeneralProblem, tangents, a, b)
    check_tangents(tangents, a, b)
    Ω = general_solve(p, a, b)
    Ȧ = tangents[1] === nothing ? nothing : general_tangent(p, p.a, tangents[1])
    Ḃ = b === nothing || tangents[2] === nothing ? nothing : general_tangent(p, p.b, tangents[2])
    return Ω, general_pushforward(p, general_norms(p, a, b), Ω..., Ȧ, Ḃ)
end

flat_values(p, ::Nothing) = nothing
flat_vectors(p, ::Nothing) = nothing
flat_values(p, x) = reshape(x, p.n, prod(p.batch))
flat_vectors(p, x) = reshape(x, p.n, p.n, prod(p.batch))

"""
    general_gradients(p, norms, w, V, U, λ̄, V̄, Ū)

The gradients with respect to both inputs (`NoTangent()` for a `b` that is not there).
"""
function general_gradients(p::GeneralProblem, norms, w, V, U, λ̄, V̄, Ū)
    M̄, N̄ = general_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    for k in axes(w, 2)
        # A defective matrix has no dual basis: U and Ū are NaN, whatever the loss.
        defective = any(isnan, matrix(U, k))
        given = defective ? (w, λ̄, V̄) : (w, λ̄, V̄, Ū)
        settle!(p.degeneracy, k, given, (M̄, N̄), defective) && defective && (U = with_zeros(U, k))
    end
    return general_gradient(p, p.a, U, V, M̄), general_gradient(p, p.b, U, V, N̄)
end

function with_zeros(U, k)
    U = copy(U)
    fill!(matrix(U, k), 0)
    return U
end

# The sum of two cotangents, either of which may be nothing.
plus(::Nothing, ::Nothing) = nothing
plus(x, ::Nothing) = x
plus(::Nothing, y) = y
plus(x, y) = x + y

# The cotangent of U, from one of the left vectors. Written without mutation, so that AD engines can differentiate it.
left_cotangent(U, L, ::Nothing) = nothing
function left_cotangent(U, L, L̄)
    E = pivot_mask(L)
    c̄ = sum(conj.(L) .* L̄; dims = 1)
    real_components = sum(real.(L) .* E; dims = 1)
    Z = -L .* real.(c̄) .- im .* E .* imag.(c̄) ./ real_components
    z = sum(U .* E; dims = 1)
    scales = z ./ abs.(z) ./ sqrt.(sum(abs2.(U); dims = 1))
    return scales .* (L̄ .+ Z)
end

function pivot_mask(L)
    E = falses(size(L))
    for k in axes(L, 3), (j, i) in enumerate(pivots(matrix(L, k)))
        E[i, j, k] = true
    end
    return E
end
