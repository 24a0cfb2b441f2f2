# ChainRules adapters of eigh and eigvalsh.

eigh_cotangents(::AbstractZero) = nothing, nothing
eigh_cotangents(Ω̄) = present(Ω̄.eigenvalues), present(Ω̄.eigenvectors)
eigh_cotangents(Ω̄::ByPlace) = present(Ω̄[1]), present(Ω̄[2])

# Engines that differentiate twice in reverse differentiate the constructor too.
function ChainRulesCore.rrule(::Type{EighResult}, w, v)
    EighResult_pullback(Ω̄) = (NoTangent(), map(tangent_or_zero, eigh_cotangents(unthunk(Ω̄)))...)
    return EighResult(w, v), EighResult_pullback
end

function ChainRulesCore.frule((_, ẋs...)::Tuple, ::typeof(eigh), a, b = nothing; eigvals_only = false, options...)
    check_eigvals_only(eigvals_only)
    eigvals_only && return frule((NoTangent(), ẋs...), eigvalsh, a, b; options...)
    Ω, (ẇ, v̇) = eigh_pushforward(map(present, ẋs[1:(b === nothing ? 1 : 2)]), a, b; options...)
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = ẇ, eigenvectors = v̇)
end
ChainRulesCore.frule((_, ẋs...)::Tuple, ::typeof(eigvalsh), a, b = nothing; options...) =
    eigvalsh_pushforward(map(present, ẋs[1:(b === nothing ? 1 : 2)]), a, b; options...)

# Inlined, so that the type of the result follows from `eigvals_only` as it is written at the call.
@inline function ChainRulesCore.rrule(::typeof(eigh), a, b; eigvals_only = false, options...)
    check_eigvals_only(eigvals_only)
    eigvals_only && return rrule(eigvalsh, a, b; options...)
    Ω, pullback = eigh_pullback(a, b; options...)
    return Ω, InputPullback{2}(Ω̄ -> pullback(eigh_cotangents(Ω̄)...))
end
@inline function ChainRulesCore.rrule(::typeof(eigvalsh), a, b; options...)
    w, pullback = eigvalsh_pullback(a, b; options...)
    return w, InputPullback{2}(w̄ -> pullback(present(w̄)))
end
for f in (:eigh, :eigvalsh)
    @eval @inline function ChainRulesCore.rrule(::typeof($f), a; options...)
        Ω, pullback = rrule($f, a, nothing; options...)
        return Ω, InputPullback{1}(pullback.back)
    end
end
