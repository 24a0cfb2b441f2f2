# Inputs and helpers that several test files share.
module Problems

using ChainRulesCore
using EigenPair
using LinearAlgebra
using Random

export random_matrix, random_definite, spectrum_matrix, gauged_eigh, quiet, relative_error, throws, weighted, moduli, squares

random_matrix(rng, T, n, batch...) = randn(rng, T, n, n, batch...)

function random_definite(rng, T, n, batch...)
    b = randn(rng, T, n, n, batch...)
    for k in CartesianIndices(axes(b)[3:end])
        b[:, :, k] = b[:, :, k] * b[:, :, k]' / n + I
    end
    return b
end

"A Hermitian matrix with the eigenvalues `λ`, up to rounding."
function spectrum_matrix(rng, T, λ)
    Q = Matrix(qr(randn(rng, T, length(λ), length(λ))).Q)
    A = Q * Diagonal(T.(λ)) * Q'
    return (A + A') / 2
end

relative_error(x, y) = norm(x - y) / norm(y)

"Whether `f()` throws a `type` whose message has all of these words in it."
function throws(f, type, words...)
    failure = try
        f()
    catch failure
        failure
    end
    return failure isa type && all(word -> occursin(word, sprint(showerror, failure)), words)
end

quiet(f) = Base.CoreLogging.with_logger(f, Base.CoreLogging.NullLogger())

"""
`eigh` with its vectors in a fixed gauge, which makes every entry of the result a function of the matrix. Its rules are
those of the two functions, one after the other.
"""
function gauged_eigh(args...; options...)
    w, v = eigh(args...; options...)
    return EighResult(w, fix_gauge(v))
end

function ChainRulesCore.frule((_, ẋs...), ::typeof(gauged_eigh), xs...; options...)
    (w, v), Ω̇ = frule((NoTangent(), ẋs...), eigh, xs...; options...)
    y, ẏ = frule((NoTangent(), Ω̇.eigenvectors), fix_gauge, v)
    Ω = EighResult(w, y)
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = Ω̇.eigenvalues, eigenvectors = ẏ)
end

function ChainRulesCore.rrule(::typeof(gauged_eigh), xs...; options...)
    (w, v), eigh_pullback = rrule(eigh, xs...; options...)
    y, fix_gauge_pullback = rrule(fix_gauge, v)
    function gauged_eigh_pullback(Ω̄)
        Ω̄ = unthunk(Ω̄)
        _, v̄ = fix_gauge_pullback(Ω̄.eigenvectors)
        _, x̄s... = eigh_pullback(Tangent{EighResult}(; eigenvalues = Ω̄.eigenvalues, eigenvectors = v̄))
        return NoTangent(), x̄s...
    end
    return EighResult(w, y), gauged_eigh_pullback
end

# ---- losses for second derivatives ---------------------------------------------------------------------------

"""
    weighted(product, W, w, v)

`Re Σ Wᵢⱼ wⱼ product(vᵢⱼ, vᵢⱼ)`, a smooth loss of values and vectors: of `moduli`, which do not depend on the phase, or of `squares`, for
vectors whose phase is defined. It has rules for two derivatives, so an AD engine that differentiates twice compiles it as one operation.
"""
weighted(product, W, w, v) = sum(real.(W .* row(w) .* product.(v, v)))
moduli(x, y) = real(conj(x) * y)
squares(x, y) = x * y

row(w) = reshape(w, 1, size(w)...)
below(x) = dropdims(sum(x; dims = 1); dims = 1)
half_slope(::typeof(moduli), Ww, v) = real.(Ww) .* v
half_slope(::typeof(squares), Ww, v) = conj.(Ww .* v)

function ChainRulesCore.rrule(::typeof(weighted), product, W, w, v)
    weighted_pullback(ȳ) = (NoTangent(), NoTangent(), NoTangent(), weighted_gradient(product, W, w, v, ȳ)...)
    return weighted(product, W, w, v), weighted_pullback
end

weighted_gradient(product, W, w, v, ȳ) =
    ȳ .* conj.(below(W .* product.(v, v))), 2ȳ .* half_slope(product, W .* row(w), v)

function ChainRulesCore.rrule(::typeof(weighted_gradient), product, W, w, v, ȳ)
    function weighted_gradient_pullback((w̌, v̌))
        w̌, v̌ = unthunk(w̌), unthunk(v̌)
        w̌ isa AbstractZero && (w̌ = zero(w))
        v̌ isa AbstractZero && (v̌ = zero(v))
        ∂w = 2ȳ .* conj.(below(W .* product.(v̌, v)))
        ∂v = 2ȳ .* (half_slope(product, W .* row(w̌), v) .+ half_slope(product, W .* row(w), v̌))
        w̄, v̄ = weighted_gradient(product, W, w, v, one(ȳ))
        return NoTangent(), NoTangent(), NoTangent(), ∂w, ∂v, real(dot(w̌, w̄) + dot(v̌, v̄))
    end
    return weighted_gradient(product, W, w, v, ȳ), weighted_gradient_pullback
end

end
