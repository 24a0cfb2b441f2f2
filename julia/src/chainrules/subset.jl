# ChainRules adapters of partial.jl.

function ChainRulesCore.rrule(::typeof(hermitian_solve), p::PartialProblem, a, b)
    w, V, reduction = hermitian_solve(p, a, b)
    function hermitian_solve_pullback(Ω̄)
        λ̄, V̄ = cotangent(w, Ω̄[1]), cotangent(V, Ω̄[2])
        if λ̄ === nothing && V̄ === nothing
            return NoTangent(), NoTangent(), ZeroTangent(), p.b === nothing ? NoTangent() : ZeroTangent()
        end
        ā, b̄ = partial_gradients(p, reduction, a, b, w, V, λ̄, V̄)
        return NoTangent(), NoTangent(), ā, b̄
    end
    hermitian_solve_pullback(::AbstractZero) = (NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent())
    return (w, V, reduction), hermitian_solve_pullback
end

"""
    partial_gradients(p, reduction, a, b, w, V, λ̄, V̄)

The gradients with respect to both inputs (`NoTangent()` for a `b` that is not there).
"""
partial_gradients(p, reduction, a, b, w, V, λ̄, V̄) =
    on_inputs(p, partial_matrix_gradients(p, reduction, a, b, w, V, λ̄, V̄)...)

on_inputs(p, Ā, B̄) = shared_gradient(p, p.a, Ā), p.b === nothing ? NoTangent() : shared_gradient(p, p.b, B̄)

# `w` and `V` are functions of `a` and `b`, which get all that there is. The gradient is Jᴴ (λ̄, V̄), with J the tangent map
# of the solve. So what it gives back to (λ̄, V̄) is J, and what it gives to the matrices is, second derivatives being
# symmetric, its own tangent along its cotangents.
function ChainRulesCore.rrule(::typeof(partial_gradients), p, reduction, a, b, w, V, λ̄, V̄)
    function partial_gradients_pullback(Δ)
        Ȧ = present(Δ[1]) === nothing ? nothing : gradient_cotangent(p, p.a, unthunk(Δ[1]))
        Ḃ = p.b === nothing || present(Δ[2]) === nothing ? nothing : gradient_cotangent(p, p.b, unthunk(Δ[2]))
        Ȧ === nothing && Ḃ === nothing && return ntuple(_ -> NoTangent(), 9)
        ẇ, V̇, _ = partial_pushforward(p, reduction, a, b, w, V, Ȧ, Ḃ)
        Ä, B̈ = partial_second_order(p, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ, ẇ, V̇, nothing, nothing)
        for k in axes(w, 2)
            # What is outside has no clusters of its own, so this may not have been looked at.
            any_nonzero(k, Ȧ, Ḃ) && undetermined(inverse_gaps(p, nothing, w, V, reduction, k), V̄ !== nothing) || continue
            foreach(x -> x === nothing || fill!(selectdim(x, ndims(x), k), NaN), (Ä, B̈, ẇ, V̇))
        end
        ǎ, b̌ = on_inputs(p, Ä, B̈)
        back(x, x̄) = x̄ === nothing ? ZeroTangent() : x
        none = NoTangent()
        return none, none, none, ǎ, b̌, ZeroTangent(), ZeroTangent(), back(ẇ, λ̄), back(V̇, V̄)
    end
    return partial_gradients(p, reduction, a, b, w, V, λ̄, V̄), partial_gradients_pullback
end
