# ChainRules adapters of eig and eigvals.

# Cotangents of (values, right vectors, left vectors).
eig_cotangents(Ω, ::AbstractZero) = nothing, nothing, nothing
eig_cotangents(::AbstractArray, Ω̄) = present(Ω̄), nothing, nothing
eig_cotangents(::EigResult, Ω̄) = present(Ω̄.eigenvalues), present(Ω̄.eigenvectors), nothing
eig_cotangents(::EigLeftResult, Ω̄) = present(Ω̄.eigenvalues), nothing, present(Ω̄.left_eigenvectors)
eig_cotangents(::EigBothResult, Ω̄) = present(Ω̄.eigenvalues), present(Ω̄.eigenvectors), present(Ω̄.left_eigenvectors)
eig_cotangents(::EigResult, Ω̄::ByPlace) = present(Ω̄[1]), present(Ω̄[2]), nothing
eig_cotangents(::EigLeftResult, Ω̄::ByPlace) = present(Ω̄[1]), nothing, present(Ω̄[2])
eig_cotangents(::EigBothResult, Ω̄::ByPlace) = present(Ω̄[1]), present(Ω̄[3]), present(Ω̄[2])
for Result in (:AbstractArray, :EigResult, :EigLeftResult, :EigBothResult)
    @eval eig_cotangents(::$Result, ::AbstractZero) = nothing, nothing, nothing
end

function eig_frule(ẋs, a, b; left = false, right = true, degeneracy = nothing)
    tangents = map(present, ẋs[1:(b === nothing ? 1 : 2)])
    Ω, (ẇ, v̇, v̇_left) = eig_pushforward_under(as_policy(degeneracy), tangents, a, b, left, right)
    Ω isa AbstractArray && return Ω, ẇ
    vectors = right ? (; eigenvectors = v̇) : (;)
    left && (vectors = (; vectors..., left_eigenvectors = v̇_left))
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = ẇ, vectors...)
end

function eig_rrule(a, b; left = false, right = true, degeneracy = nothing)
    Ω, pullback = eig_pullback_under(as_policy(degeneracy), a, b, left, right)
    return Ω, Ω̄ -> pullback(eig_cotangents(Ω, Ω̄)...)
end

for (f, values) in ((:eig, ()), (:eigvals, (:(right = false),)))
    @eval begin
        ChainRulesCore.frule((_, ẋs...)::Tuple, ::typeof($f), a, b = nothing; options...) =
            eig_frule(ẋs, a, b; options..., $(values...))
        function ChainRulesCore.rrule(::typeof($f), a, b; options...)
            Ω, back = eig_rrule(a, b; options..., $(values...))
            return Ω, InputPullback{2}(back)
        end
        function ChainRulesCore.rrule(::typeof($f), a; options...)
            Ω, back = eig_rrule(a, nothing; options..., $(values...))
            return Ω, InputPullback{1}(back)
        end
    end
end
