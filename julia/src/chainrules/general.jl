# ChainRules adapters of the general problems. The body of a reverse rule is itself differentiated when a user asks for second
# order, so it mutates nothing and calls only functions that have rules here.

@non_differentiable general_problem(::Any, ::Any, ::Any)
@non_differentiable general_norms(::Any, ::Any, ::Any)

# ---- the solve -----------------------------------------------------------------------------------------------

function ChainRulesCore.frule((_, _, ȧ, ḃ)::Tuple, ::typeof(general_solve), p, a, b)
    w, V, U, L = general_solve(p, a, b)
    Ȧ, Ḃ = general_tangent(p, p.a, ȧ), general_tangent(p, p.b, ḃ)
    return (w, V, U, L), general_pushforward(p, general_norms(p, a, b), w, V, U, L, Ȧ, Ḃ)
end

function ChainRulesCore.rrule(::typeof(general_solve), p, a, b)
    w, V, U, L = general_solve(p, a, b)
    norms = general_norms(p, a, b)
    no_b = p.b === nothing
    function general_solve_pullback(Ω̄)
        λ̄, V̄, Ū, L̄ = present(Ω̄[1]), present(Ω̄[2]), present(Ω̄[3]), present(Ω̄[4])
        Ū = plus(Ū, left_cotangent(U, L, L̄))
        if λ̄ === nothing && V̄ === nothing && Ū === nothing
            return NoTangent(), NoTangent(), ZeroTangent(), no_b ? NoTangent() : ZeroTangent()
        end
        ā, b̄ = general_gradients(p, norms, w, V, U, λ̄, V̄, Ū)
        return NoTangent(), NoTangent(), ā, b̄
    end
    general_solve_pullback(::AbstractZero) = (NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent())
    return (w, V, U, L), general_solve_pullback
end

@non_differentiable pivot_mask(::Any)

# ---- the pullback, for second order --------------------------------------------------------------------------

# One rule for all steps, as for Hermitian problems.
function ChainRulesCore.rrule(::typeof(general_gradients), p, norms, w, V, U, λ̄, V̄, Ū)
    function general_gradients_pullback(Δ)
        (M̄, N̄), pull_rotation = rrule(general_pullback, p, norms, w, V, U, λ̄, V̄, Ū)
        pull(input, M̄, Δ) = present(Δ) === nothing ? ntuple(_ -> ZeroTangent(), 3) : rrule(general_gradient, p, input, U, V, M̄)[2](Δ)[4:6]
        of_a, of_b = pull(p.a, M̄, Δ[1]), p.b === nothing ? ntuple(_ -> ZeroTangent(), 3) : pull(p.b, N̄, Δ[2])
        ∂w, ∂V, ∂U, ∂s... = pull_rotation((of_a[3], of_b[3]))[4:9]
        return NoTangent(), NoTangent(), NoTangent(), ∂w, ∂V + of_a[2] + of_b[2], ∂U + of_a[1] + of_b[1], ∂s...
    end
    return general_gradients(p, norms, w, V, U, λ̄, V̄, Ū), general_gradients_pullback
end

function ChainRulesCore.rrule(::typeof(general_pullback), p, norms, w, V, U, λ̄, V̄, Ū)
    function general_pullback_pullback(Δ)
        ∂s = general_second_order(p, norms, w, V, U, λ̄, V̄, Ū, present(Δ[1]), present(Δ[2]))
        return NoTangent(), NoTangent(), NoTangent(), map(tangent_or_zero, ∂s)...
    end
    return general_pullback(p, norms, w, V, U, λ̄, V̄, Ū), general_pullback_pullback
end

function ChainRulesCore.rrule(::typeof(general_gradient), p, input::GeneralInput, U, V, M̄)
    function general_gradient_pullback(Δ)
        Ǎ = general_tangent(p, input, unthunk(Δ))
        Ǎ === nothing && return NoTangent(), NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent(), ZeroTangent()
        return NoTangent(), NoTangent(), NoTangent(), general_gradient_adjoint(Ǎ, U, V, M̄)...
    end
    return general_gradient(p, input, U, V, M̄), general_gradient_pullback
end

# Of U M̄ Vᴴ: Ǎ V M̄ᴴ, Ǎᴴ U M̄ and Uᴴ Ǎ V.
function general_gradient_adjoint(Ǎ, U, V, M̄)
    S = number_type(Ǎ, U, V, M̄)
    n, _, count = size(U)
    Ǔ, V̌, M̌ = Array{S}(undef, n, n, count), Array{S}(undef, n, n, count), Array{S}(undef, size(M̄))
    for k in 1:count
        ǍV, ǍᴴU, M̄ₖ = product(matrix(Ǎ, k), matrix(V, k)), product(matrix(Ǎ, k)', matrix(U, k)), slice(M̄, k)
        times!(matrix(Ǔ, k), ǍV, M̄ₖ isa AbstractVector ? conj(M̄ₖ) : M̄ₖ')
        times!(matrix(V̌, k), ǍᴴU, M̄ₖ)
        inner = product(matrix(U, k)', ǍV)
        slice(M̌, k) .= M̄ₖ isa AbstractVector ? diag(inner) : inner
    end
    return Ǔ, V̌, M̌
end

# ---- eig and eigvals -----------------------------------------------------------------------------------------

function eig_and_pushforward(ȧ, ḃ, a, b; left = false, right = true, degeneracy = nothing)
    p = general_problem(a, b, (; left, right, degeneracy))
    (w, V, _, L), (ẇ, V̇, _, L̇) = frule((NoTangent(), NoTangent(), ȧ, ḃ), general_solve, p, a, b)
    Ω = eig_result(p, w, right ? V : nothing, L)
    values = eig_values(p, ẇ)
    Ω isa AbstractArray && return Ω, values
    Ω̇ = right ? (; eigenvectors = eig_vectors(p, V̇)) : (;)
    left && (Ω̇ = (; Ω̇..., left_eigenvectors = eig_vectors(p, L̇)))
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = values, Ω̇...)
end

function eig_and_pullback(a, b; left = false, right = true, degeneracy = nothing)
    p = general_problem(a, b, (; left, right, degeneracy))
    (w, V, _, L), solve_pullback = rrule(general_solve, p, a, b)
    Ω = eig_result(p, w, right ? V : nothing, L)
    function inputs_pullback(Ω̄)
        λ̄, V̄, L̄ = eig_parts(Ω, unthunk(Ω̄))
        flat_cotangents = (flat_values(p, λ̄), flat_vectors(p, V̄), ZeroTangent(), flat_vectors(p, L̄))
        _, _, ā, b̄ = solve_pullback(flat_cotangents)
        return ā, b̄
    end
    return Ω, inputs_pullback
end

# Cotangents of (values, right vectors, left vectors), by name or, when the result was splatted, by place.
const ByPlace = Union{Tuple, Tangent{<:Any, <:Tuple}}
eig_parts(Ω, ::AbstractZero) = (ZeroTangent(), ZeroTangent(), ZeroTangent())
eig_parts(::AbstractArray, Ω̄) = (Ω̄, ZeroTangent(), ZeroTangent())
eig_parts(::EigResult, Ω̄) = (Ω̄.eigenvalues, Ω̄.eigenvectors, ZeroTangent())
eig_parts(::EigLeftResult, Ω̄) = (Ω̄.eigenvalues, ZeroTangent(), Ω̄.left_eigenvectors)
eig_parts(::EigBothResult, Ω̄) = (Ω̄.eigenvalues, Ω̄.eigenvectors, Ω̄.left_eigenvectors)
eig_parts(::EigResult, Ω̄::ByPlace) = (Ω̄[1], Ω̄[2], ZeroTangent())
eig_parts(::EigLeftResult, Ω̄::ByPlace) = (Ω̄[1], ZeroTangent(), Ω̄[2])
eig_parts(::EigBothResult, Ω̄::ByPlace) = (Ω̄[1], Ω̄[3], Ω̄[2])
for Result in (:AbstractArray, :EigResult, :EigLeftResult, :EigBothResult)
    @eval eig_parts(::$Result, ::AbstractZero) = (ZeroTangent(), ZeroTangent(), ZeroTangent())
end

flat_values(p, x::AbstractZero) = x
flat_values(p, x::AbstractThunk) = flat_values(p, unthunk(x))
flat_vectors(p, x::AbstractZero) = x
flat_vectors(p, x::AbstractThunk) = flat_vectors(p, unthunk(x))

for f in (:eig, :eigvals)
    values = f == :eigvals ? (:(right = false),) : ()
    pullback = Symbol(f, :_pullback)
    @eval begin
        ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof($f), a; options...) =
            eig_and_pushforward(ȧ, NoTangent(), a, nothing; options..., $(values...))
        ChainRulesCore.frule((_, ȧ, ḃ)::Tuple, ::typeof($f), a, b; options...) =
            eig_and_pushforward(ȧ, ḃ, a, b; options..., $(values...))

        function ChainRulesCore.rrule(::typeof($f), a; options...)
            Ω, inputs_pullback = eig_and_pullback(a, nothing; options..., $(values...))
            $pullback(Ω̄) = (NoTangent(), inputs_pullback(Ω̄)[1])
            return Ω, $pullback
        end
        function ChainRulesCore.rrule(::typeof($f), a, b; options...)
            Ω, inputs_pullback = eig_and_pullback(a, b; options..., $(values...))
            $pullback(Ω̄) = (NoTangent(), inputs_pullback(Ω̄)...)
            return Ω, $pullback
        end
    end
end
