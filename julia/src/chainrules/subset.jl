# ChainRules adapters of subsets.

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
