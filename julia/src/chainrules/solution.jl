# ChainRules adapters that Hermitian and general problems share. The body of a reverse rule is itself differentiated when a user asks
# for second order, so it mutates nothing and calls only functions that have rules here.

@non_differentiable hermitian_problem(::Any, ::Any, ::Any)
@non_differentiable general_problem(::Any, ::Any, ::Any)
@non_differentiable as_policy(::Any)
@non_differentiable eigh_type(::Any, ::Any)
@non_differentiable values_type(::Any, ::Any)
@non_differentiable input_norms(::Any, ::Any, ::Any)
@non_differentiable zeros_around(::Any, ::Any)
@non_differentiable pivot_mask(::Any)

present(::AbstractZero) = nothing
present(x::AbstractThunk) = present(unthunk(x))
present(x) = x

tangent_or_zero(::Nothing) = ZeroTangent()
tangent_or_zero(x) = x

"""
The pullback of a function of `N` matrices, from `back`, which takes a cotangent of the result to gradients. Its type says nothing of
the policy, which is known only when the call runs: an engine then infers all that follows.
"""
struct InputPullback{N}
    back::Any
end
(pullback::InputPullback{1})(Ω̄) = (NoTangent(), tangent_or_zero(pullback.back(unthunk(Ω̄))[1]))
(pullback::InputPullback{2})(Ω̄) = (NoTangent(), map(tangent_or_zero, pullback.back(unthunk(Ω̄)))...)

# Cotangents of a result that was unpacked as a tuple.
const ByPlace = Union{Tuple, Tangent{<:Any, <:Tuple}}

# ---- the solve, for second order -----------------------------------------------------------------------------

function ChainRulesCore.frule((_, _, ȧ, ḃ)::Tuple, ::typeof(solution), p, a, b)
    Ω = solution(p, a, b)
    return Ω, pushforward_at(p, a, b, Ω)(tangent_matrices(p, p.a, ȧ), tangent_matrices(p, p.b, ḃ))
end

function ChainRulesCore.rrule(::typeof(solution), p, a, b)
    Ω = solution(p, a, b)
    pullback = pullback_at(p, a, b, Ω)
    function solution_pullback(Ω̄)
        λ̄, V̄, Ū = solution_cotangents(p, Ω, Ω̄)
        λ̄ === nothing && V̄ === nothing && Ū === nothing && return NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent()
        return NoTangent(), NoTangent(), map(tangent_or_zero, pullback(λ̄, V̄, Ū))...
    end
    solution_pullback(::AbstractZero) = (NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent())
    return Ω, solution_pullback
end

solution_cotangents(p::HermitianProblem, (w, V, U), Ω̄) =
    real_if(w, present(Ω̄[1])), real_if(V, present(Ω̄[2])), U isa AbstractArray ? real_if(U, present(Ω̄[3])) : nothing
solution_cotangents(p::GeneralProblem, (w, V, U, L), Ω̄) =
    present(Ω̄[1]), present(Ω̄[2]), plus(present(Ω̄[3]), left_cotangent(U, L, present(Ω̄[4])))

# ---- gradients, for second order -----------------------------------------------------------------------------

function ChainRulesCore.rrule(::typeof(input_gradients), p, norms, w, V, U, λ̄, V̄, Ū)
    function input_gradients_pullback(Δ)
        Ȧ, Ḃ = gradient_cotangents(p, Δ)
        Ȧ === nothing && Ḃ === nothing && return ntuple(_ -> NoTangent(), 9)
        ∂s = second_order_pullback(p, norms, w, V, U, λ̄, V̄, Ū, Ȧ, Ḃ)
        return NoTangent(), NoTangent(), NoTangent(), map(tangent_or_zero, ∂s)...
    end
    return input_gradients(p, norms, w, V, U, λ̄, V̄, Ū), input_gradients_pullback
end

function ChainRulesCore.rrule(::typeof(subset_gradients), p, norms, reduction, a, b, w, V, λ̄, V̄)
    function subset_gradients_pullback(Δ)
        Ȧ, Ḃ = gradient_cotangents(p, Δ)
        Ȧ === nothing && Ḃ === nothing && return ntuple(_ -> NoTangent(), 10)
        ∂a, ∂b, ∂λ̄, ∂V̄ = map(tangent_or_zero, subset_second_order(p, norms, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ))
        none, zero = NoTangent(), ZeroTangent()
        return none, none, none, none, ∂a, ∂b, zero, zero, λ̄ === nothing ? zero : ∂λ̄, V̄ === nothing ? zero : ∂V̄
    end
    return subset_gradients(p, norms, reduction, a, b, w, V, λ̄, V̄), subset_gradients_pullback
end

gradient_cotangents(p, Δ) = gradient_cotangent(p, p.a, Δ[1]), gradient_cotangent(p, p.b, Δ[2])
