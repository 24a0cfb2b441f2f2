# Divided differences of a scalar function, accurate whether their arguments are far apart, close, or equal.

"""
The derivative of a function of a real number, as a function.
"""
struct Derivative{F}
    f::F
end

function (d::Derivative)(x::Real)
    D = point_dual(d, x)
    return only_partial(D, d.f(D(x, one(x))))
end
point_dual(d::Derivative, x) = Dual{typeof(ForwardDiff.Tag(d, typeof(x)))}

only_partial(::Type{<:Dual{Tag}}, y::Dual{Tag}) where {Tag} = ForwardDiff.partials(y, 1)
only_partial(D, y::Real) = zero(y)
# Which of two dual numbers contains the other depends on which tag was made first.
only_partial(D, y::Dual{Other}) where {Other} =
    Dual{Other}(only_partial(D, ForwardDiff.value(y)), map(x -> only_partial(D, x), ForwardDiff.partials(y).values)...)
only_partial(D, y::Complex) = complex(only_partial(D, real(y)), only_partial(D, imag(y)))

# Nodes and weights of Gauss–Legendre quadrature on [0, 1]. The coarse rule only estimates the error of the fine one.
function gauss(count)
    # The nodes are eigenvalues of the Jacobi matrix of the Legendre polynomials.
    off = [k / sqrt(4k^2 - 1) for k in 1:(count - 1)]
    nodes, vectors = eigen(SymTridiagonal(zeros(count), off))
    return Tuple(zip((nodes .+ 1) ./ 2, vectors[1, :] .^ 2))
end
const FINE = gauss(10)
const COARSE = gauss(7)

# ∫₀¹ g(x + t(y − x)) dt, with weight t if `weighted`. A convex combination, exact at x = y.
quadrature(rule, g, x::R, y::R, weighted) where {R} =
    sum(((t, weight),) -> R(weighted ? weight * t : weight) * g((1 - R(t)) * x + R(t) * y), rule)

"""
    by_mean(quotient, rounding, mean, coarse)

Whether to use the mean of the derivative instead of the quotient: if its error is below the quotient's rounding error, and the two
agree. They disagree if `f` jumps between the points, as `sign` does, because the derivative does not contain the jump.
"""
function by_mean(quotient, rounding, mean, coarse)
    error = plain(abs(mean - coarse))
    return error <= rounding && plain(abs(quotient - mean)) <= 8 * (rounding + error)
end

"""
    size_of_terms(x, slope, curvature)

The size of the terms of `f(x)` that may cancel, in addition to `|f(x)|`: `|x f′| + |x² f″|/2`. If `f` is a difference of larger terms,
its rounding error is that of the terms.
"""
function size_of_terms(x, slope, curvature)
    total = plain(abs(x) * abs(slope) + x^2 * abs(curvature) / 2)
    return isfinite(total) ? total : zero(total)
end

"""
    first_difference(f, x, y) -> (f[x, y], whether by the mean of f′ between x and y)
"""
function first_difference(f, x::R, y::R) where {R <: Real}
    df = Derivative(f)
    # At equal points, f' is all there is: a quotient at shifted points would give a finite number at a pole of f'.
    x == y && return df(x), true
    fx, fy = f(x), f(y)
    quotient = (fy - fx) / (y - x)
    mean = quadrature(FINE, df, x, y, false)
    size = plain(abs(fx) + abs(fy)) + size_of_terms(x, mean, Derivative(df)(x))
    rounding = 4 * eps(R) * size / abs(y - x)
    by_mean(quotient, rounding, mean, quadrature(COARSE, df, x, y, false)) && return mean, true
    return quotient, false
end

"""
    difference_slope(f, x, y, fxy)

`∂f[x, y]/∂y`, given `fxy = f[x, y]`.
"""
function difference_slope(f, x::R, y::R, fxy) where {R <: Real}
    df = Derivative(f)
    ddf = Derivative(df)
    x == y && return ddf(x) / 2
    dfy = df(y)
    quotient = (dfy - fxy) / (y - x)
    mean = quadrature(FINE, ddf, x, y, true)
    size = plain(abs(dfy) + abs(fxy)) + size_of_terms(x, 2 * mean, zero(mean))
    rounding = 8 * eps(R) * size / abs(y - x)
    return by_mean(quotient, rounding, mean, quadrature(COARSE, ddf, x, y, true)) ? mean : quotient
end

"""
    second_difference(slopes, λ, i, k, j)

`f[λᵢ, λₖ, λⱼ]` of ascending `λ`, from `slopes[i, j] = ∂f[λᵢ, λⱼ]/∂λⱼ`: a convex combination, without cancellation.
"""
function second_difference(slopes, λ, i, k, j)
    low, high = minmax(min(i, j), max(i, j, k))
    low = min(low, k)
    middle = i + j + k - low - high
    width = λ[high] - λ[low]
    p = width > 0 ? (λ[middle] - λ[low]) / width : oftype(width, 0.5)
    return p * slopes[low, middle] + (1 - p) * slopes[high, middle]
end
