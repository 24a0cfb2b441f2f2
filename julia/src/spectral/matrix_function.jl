# Functions of a general matrix, with derivatives also at repeated eigenvalues. See docs/derivations.md, "Functions of general matrices".

"""
    matrix_function(f, a)

`f(A)` of a general square matrix. It is complex, even for a real matrix. Take the real part if `f(x̄)` is the conjugate of `f(x)` and `f` is
real at real eigenvalues. For Hermitian matrices [`spectral_map`](@ref) is faster and more accurate.

`f` maps a complex number to a complex number; it must be analytic around the eigenvalues. `a` is `n × n`, or `n × n × batch...`, and so is the
result. Every entry of `a` is a variable.

First and second derivatives are right where eigenvalues coincide, with or without a basis of eigenvectors: `f(A)` is differentiable
wherever `f` is analytic around the eigenvalues. A third derivative is an error. Fields of `f` have gradients too, as for
[`spectral_map`](@ref).

*Accuracy.* Errors grow with the condition number of the function, which is the norm of its derivative. The result is NaN if it does not have
three correct digits, and if `f` is not analytic in any disk around an eigenvalue. `sqrt` and `log` use [`sqrtm`](@ref) and
[`logm`](@ref), which are more accurate.

Throws `DimensionMismatch` or `ArgumentError` naming the argument.
"""
matrix_function(f, a) = of_general_matrix(analytic(f, a), a)

"""
    sqrtm(a)

The principal square root of a general matrix: its eigenvalues have positive real parts, or lie on the positive imaginary axis.
Complex, and also accurate for nearly defective matrices with any spectrum (Higham, *Functions of Matrices*, alg. 6.3). For a complex matrix,
or a nearly defective real one, it is NaN if an eigenvalue may lie on the negative real axis within its error. The derivative is NaN
for a singular matrix. Arguments, errors and derivatives as for [`matrix_function`](@ref).
"""
sqrtm(a) = of_general_matrix(sqrt, a)

"""
    logm(a)

The principal logarithm of a general matrix: its eigenvalues have imaginary parts in (−π, π]. Complex; see [`sqrtm`](@ref).
"""
logm(a) = of_general_matrix(log, a)

"""
    signm(a)

The sign of a general matrix: `f` is 1 in the right half-plane and −1 in the left. NaN if an eigenvalue lies on the imaginary axis; real for
real `a`. Arguments, errors and derivatives as for [`matrix_function`](@ref).
"""
function signm(a)
    s = of_general_matrix(sign, a)
    return eltype(a) <: Complex ? s : real(s)
end

# A function that is expanded in Taylor series; the others are sqrt, log and sign.
struct Expanded{F}
    f::F
end
function analytic(f, a)
    check_function(f, a)
    f === sign && throw(ArgumentError("`f` must be analytic, which `sign` is not for complex numbers; use signm(a)"))
    return f === sqrt || f === log ? f : Expanded(f)
end

of_general_matrix(f, a) = function_value(f, a, function_constants(f, a)...)
function_value(f, a, p, reduced, V) = reshape(form(Holomorphic(), f, (), batch_of(p, p.a, a), reduced, V), p.n, p.n, p.batch...)

"""
    function_constants(f, a)

The problem, and the data that are constant for derivatives: the Schur form of each matrix with the data for the function (`nothing` for a
matrix that is not finite), and the result for matrices without a value. Throws for bad arguments.
"""
function function_constants(f, a)
    p = general_problem(a, nothing, (; left = false, right = true, degeneracy = DEFAULT_POLICY))
    T = plain_type(eltype(p))
    reduced = map(eachslice(flat(each(plain, a)); dims = 3)) do A
        (p.n == 0 || !all(isfinite, A)) && return nothing
        F = schur(Matrix{complex(T)}(A))
        return prepared(f, F.Z, triu(F.T), T <: Real)
    end
    return p, vec(reduced), fill(complex(T)(NaN), p.n, p.n, prod(p.batch))
end

prepared(f::Expanded, Q, T::Matrix{C}, is_real) where {C} = grouped(f.f, Q, T)
# sqrt, log and sign need no groups, only eigenvalues on this side of the cut (or of the imaginary axis).
function prepared(f, Q, T::Matrix{C}, is_real) where {C}
    λ, size = diag(T), norm(T)
    reach, shares, condition = uncertainties(T, λ, size)
    room(x) = f === sign ? abs(real(x)) : real(x) > 0 || is_real ? abs(x) : abs(imag(x))
    fine(i) = room(λ[i]) > RESOLVED^-shares[i] * reach[i]
    # The root of a well-conditioned eigenvalue near 0 is small; its derivative is not.
    small(i) = f === sqrt && condition[i] <= length(λ) * eps(real(C))^(-1 / 10) && abs(λ[i]) <= RESOLVED^-1 * reach[i]
    derivatives, value = all(fine, eachindex(λ)), all(i -> fine(i) || small(i), eachindex(λ))
    if is_real && f !== sign
        # A negative eigenvalue of a real matrix has no imaginary part.
        foreach(i -> real(λ[i]) < 0 && abs(imag(λ[i])) <= reach[i] && (T[i, i] = real(λ[i])), eachindex(λ))
    end
    return Grouped(Q, T, collect(eachindex(λ)), λ, real(λ), (value, derivatives, derivatives), true)
end

"""
    uncertainties(T, λ, size)

The error of each eigenvalue of a triangular matrix, the exponent with which it depends on rounding errors, and the condition numbers. If the
error is smaller than the distance to the next eigenvalue, it follows from the condition number. Closer eigenvalues move together: the error δ
is the number for which the product of max(δ, d) over the distances d to the other eigenvalues is a rounding error.
"""
function uncertainties(T::Matrix{C}, λ, size) where {C}
    n, ε = length(λ), DEFAULT_POLICY.c * sqrt(length(λ)) * eps(real(C))
    Y, _ = block_diagonal(T, 1:n)
    inverse = inv(UpperTriangular(Y))
    condition = [norm(view(Y, :, i)) * norm(view(inverse, i, :)) for i in 1:n]
    nearest(i) = minimum(j -> j == i ? real(C)(Inf) : abs(λ[i] - λ[j]), 1:n)
    alone = [ε * condition[i] * size <= nearest(i) / 4 for i in 1:n]
    together = findall(!, alone)
    function reach_together(i)
        distances = sort(abs.(λ[together] .- λ[i])) ./ size
        m = length(together)
        # The k nearest are closer than δ; δ^k times the other distances is ε.
        bound(k) = (ε / prod(view(distances, (k + 1):m)))^(1 / k)
        k = something(findlast(k -> k == 1 || distances[k] <= bound(k), 1:m))
        return bound(k) * size, 1 / k
    end
    found = [alone[i] ? (ε * condition[i] * size, 1.0) : reach_together(i) for i in 1:n]
    return map(first, found), map(last, found), condition
end

# ---- the forms ---------------------------------------------------------------------------------------------------

# Opened forms (forms.jl) of matrices that need not be Hermitian: Q f(T) Qᴴ and its derivatives. As tr(Y L(E)) = tr(L(Y) E), they have the
# same transposes.
struct Holomorphic <: OpenedForm end

function form_value(::Holomorphic, f, directions, reduced, V)
    length(directions) <= 2 || error("functions of matrices have first and second derivatives; a higher one was requested")
    i = findfirst(E -> eltype(E) <: DualNumber, directions)
    i === nothing || return linear_in_partials(E -> form_value(Holomorphic(), f, Base.setindex(directions, E, i), reduced, V), directions[i])
    of_matrix(k, r) = r === nothing || !r.known[length(directions) + 1] ? matrix(V, k) : function_of(f, r, map(E -> matrix(E, k), directions))
    return stack([of_matrix(k, r) for (k, r) in enumerate(reduced)])
end

# Of dual numbers: the function of their values and of each partial.
function linear_in_partials(f, E)
    D = dual_type(eltype(E))
    y = f(values_of(D, E))
    for i in 1:ForwardDiff.npartials(D)
        Ė = partial_of(D, E, i)
        ẏ = all(iszero, Ė) ? zero(y) : f(Ė)
        S = deeper(deeper(D, eltype(y)), eltype(ẏ))
        y = map(x -> embed(S, x), y) .+ embed(S, infinitesimal(D, i)) .* map(x -> embed(S, x), ẏ)
    end
    return y
end

function function_of(f, r::Grouped, directions)
    inner = map(E -> r.Q' * E * r.Q, directions)
    # Linear in every direction: brought to a size at which they do not stand out beside T.
    sizes = map(E -> size_beside(E, r.T), inner)
    of_blocks = triangular_function(f, r)
    total = sum(order -> corner(of_blocks, r.T, order), permuted(map(/, inner, sizes)))
    return r.Q * (total .* prod(sizes; init = 1)) * r.Q'
end
permuted(directions) = length(directions) == 2 ? (directions, reverse(directions)) : (directions,)

function size_beside(E, T)
    ratio = 1024 * maximum(abs, E) / maximum(abs, T)
    return ratio > 0 && isfinite(ratio) ? ratio : one(ratio)
end

triangular_function(::typeof(sqrt), r) = (X, blocks) -> Matrix(sqrt(UpperTriangular(X)))
triangular_function(::typeof(log), r) = (X, blocks) -> Matrix(log(UpperTriangular(X)))
triangular_function(::typeof(sign), r) = (X, blocks) -> triangular_sign(X)
function triangular_function(f::Expanded, r)
    values = [map(z -> in_precision(eltype(r.radii), f.f(z)), on_circle(c, s)) for (c, s) in zip(r.centers, r.radii)]
    coefficients = eltype(r.T).(TO_SERIES[1:COEFFICIENTS, :]) * reduce(hcat, values)
    return (X, blocks) -> taylor(coefficients, r, X, blocks)
end

# ---- gradients with respect to what f holds ------------------------------------------------------------------------

# Computed as cotangents of the Taylor coefficients, and from these as cotangents of the values on the circles.
function expanded_cotangent(config, f::Expanded, directions, reduced, ȳ)
    f̄ = ZeroTangent()
    for (k, r) in enumerate(reduced)
        r === nothing && continue
        inner = map(E -> r.Q' * matrix(E, k) * r.Q, directions)
        sizes = map(E -> size_beside(E, r.T), inner)
        ȳ_inside = (r.Q' * matrix(ȳ, k) * r.Q) .* conj(prod(sizes; init = 1))
        ā = sum(order -> coefficient_cotangents(r, order, ȳ_inside), permuted(map(/, inner, sizes)))
        values = TO_SERIES[1:COEFFICIENTS, :]' * ā
        for g in axes(values, 2), (z, c) in zip(on_circle(r.centers[g], r.radii[g]), view(values, :, g))
            f̄ += point_cotangent(config, f.f, z, r.known[length(directions) + 1] ? c : c * NaN)
        end
    end
    return Tangent{typeof(f)}(; f = f̄)
end

function coefficient_cotangents(r, directions, ȳ)
    n = size(r.T, 1)
    ā = zeros(complex(eltype(ȳ)), COEFFICIENTS, length(r.centers))
    corner(r.T, directions) do X, blocks
        group, (Y, N) = scaled_rest(r, X, blocks)
        X̄ = zeros(complex(eltype(ȳ)), size(X))
        X̄[1:n, (end - n + 1):end] = ȳ
        Ḡ, power = Y' * X̄ / UpperTriangular(Y)', Matrix{eltype(X)}(I, size(X))
        for k in 1:terms(r, blocks)
            foreach(i -> ā[k, group[i]] += dot(view(power, i, :), view(Ḡ, i, :)), eachindex(group))
            power = product(N, power)
        end
        X
    end
    return ā
end
