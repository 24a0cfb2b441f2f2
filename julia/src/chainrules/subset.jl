# ChainRules adapters of subsets.

# The gradient is Jᴴ (λ̄, V̄), with J the tangent map of the solve. It is differentiated as a function of `a`, `b`, λ̄ and V̄;
# `w` and `V` get no cotangent, since they are functions of `a` and `b`. For a cotangent Δ of the gradient:
# - λ̄ and V̄ get J Δ, because the gradient is linear in them;
# - `a` and `b` get the tangent of the gradient along Δ, because second derivatives are symmetric.
function ChainRulesCore.rrule(::typeof(subset_gradients), p, reduction, a, b, w, V, λ̄, V̄)
    function subset_gradients_pullback(Δ)
        Ȧ = present(Δ[1]) === nothing ? nothing : gradient_cotangent(p, p.a, unthunk(Δ[1]))
        Ḃ = p.b === nothing || present(Δ[2]) === nothing ? nothing : gradient_cotangent(p, p.b, unthunk(Δ[2]))
        Ȧ === nothing && Ḃ === nothing && return ntuple(_ -> NoTangent(), 9)
        ẇ, V̇, _ = subset_pushforward(p, reduction, a, b, w, V, Ȧ, Ḃ)
        Ä, B̈ = subset_second_order(p, reduction, a, b, w, V, λ̄, V̄, Ȧ, Ḃ, ẇ, V̇, nothing, nothing)
        for k in axes(w, 2)
            # Not yet tested for a loss without a part inside the subset.
            any_nonzero(k, Ȧ, Ḃ) && undetermined(inverse_gaps(p, nothing, w, V, reduction, k), V̄ !== nothing) || continue
            foreach(x -> x === nothing || fill!(selectdim(x, ndims(x), k), NaN), (Ä, B̈, ẇ, V̇))
        end
        ǎ, b̌ = on_inputs(p, Ä, B̈)
        back(x, x̄) = x̄ === nothing ? ZeroTangent() : x
        none = NoTangent()
        return none, none, none, ǎ, b̌, ZeroTangent(), ZeroTangent(), back(ẇ, λ̄), back(V̇, V̄)
    end
    return subset_gradients(p, reduction, a, b, w, V, λ̄, V̄), subset_gradients_pullback
end
