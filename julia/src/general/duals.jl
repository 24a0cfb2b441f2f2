# General problems of dual numbers.

function general_solve(p::GeneralProblem{T}, a, b) where {T <: DualNumber}
    D = dual_type(T)
    p₀ = GeneralProblem{value_type(T)}(p)
    a₀, b₀ = values_of(D, a), values_of(D, b)
    Ω = general_solve(p₀, a₀, b₀)
    norms = general_norms(p₀, a₀, b₀)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        Ȧ = general_tangent(p₀, p₀.a, partial_of(D, a, i))
        Ḃ = b === nothing ? nothing : general_tangent(p₀, p₀.b, partial_of(D, b, i))
        Ω̇ = general_pushforward(p₀, norms, Ω..., Ȧ, Ḃ)
        value_type(T) <: DualNumber && undetermined!(p₀, norms, Ω, Ω̇)
        Ω̇
    end
    return combine_all(D, Ω, Ω̇s)
end

function undetermined!(p::GeneralProblem, norms, (w, V, U, L), Ω̇)
    for k in axes(w, 2)
        F = general_gaps(p, norms, w, V, U, k)
        undetermined(F, true) || continue
        explain_second_order(F, k, size(w, 2))
        for x in (undetermined(F, false) ? Ω̇ : Base.tail(Ω̇))
            x === nothing || map!(unknown_partials, selectdim(x, ndims(x), k), selectdim(x, ndims(x), k))
        end
    end
    return nothing
end
