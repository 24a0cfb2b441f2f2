# Groups of the eigenvalues of a triangular matrix, with a Taylor series of a function for each group. The values of the function on a
# circle give the coefficients and their error: if the function is analytic in the disk, the upper half of them are rounding errors.

# Eigenvalues with gaps up to these form groups, in units of the spread of the spectrum. All are tried, and the best one is used.
const WIDTHS = (1.0e-4, 1.0e-3, 1.0e-2, 0.1, Inf)
# Radii of the circles, in the same units: dense where singularities usually are.
const CIRCLES = [4 * 0.5 .^ ((0:11) ./ 2); 0.06 * 0.5 .^ (0:9); 4.0e-5 * 0.25 .^ (0:5)]
const POINTS = 128 # on every circle; half as many coefficients are used
const COEFFICIENTS = POINTS ÷ 2
const UNIT_CIRCLE = cispi.(2 .* (0:(POINTS - 1)) ./ POINTS)
const TO_SERIES = [cispi(-2 * mod(j * k, POINTS) / POINTS) / POINTS for j in 0:(POINTS - 1), k in 0:(POINTS - 1)]
# A result with a larger relative error is NaN.
const RESOLVED = 1.0e-3

"""
A triangular matrix `T` with its eigenvalues in groups: `group[i]` is the group of an eigenvalue, `centers` and `radii` belong to groups.
`known`: whether the value of the function and its two derivatives have three digits. `still`: all members are at their center.
"""
struct Grouped{R, C}
    Q::Matrix{C}
    T::Matrix{C}
    group::Vector{Int}
    centers::Vector{C}
    radii::Vector{R}
    known::NTuple{3, Bool}
    still::Bool
end

# What chains of gaps up to `width` connect: the same number for all members.
function linked(λ, width)
    group = zeros(Int, length(λ))
    for i in eachindex(λ)
        group[i] == 0 || continue
        waiting = [i]
        group[i] = maximum(group) + 1
        while !isempty(waiting)
            k = pop!(waiting)
            for j in eachindex(λ)
                group[j] == 0 && abs(λ[j] - λ[k]) <= width && (group[j] = group[i]; push!(waiting, j))
            end
        end
    end
    return group
end

on_circle(center::C, radius) where {C} = center .+ radius .* C.(UNIT_CIRCLE)

"""
    grouped(f, Q, T)

The [`Grouped`](@ref) of a Schur form, for the analytic function `f`.
"""
function grouped(f, Q, T::Matrix{C}) where {C}
    λ, size = diag(T), norm(T)
    # Derivatives divide by the radius of the circles, so these are not small where the matrix is nearly scalar.
    spread = max(norm(T - (sum(λ) / length(λ)) * I), real(C)(0.1) * size)
    spread = spread > 0 ? spread : one(spread)
    tried = unique(map(width -> linked(λ, width * spread), WIDTHS))
    readings = map(group -> reading(f, T, group, size, spread), tried)
    best = argmin(map(r -> r.errors[2], readings))
    (; centers, radii, errors, sizes, still) = readings[best]
    # A function that varies with the spectrum, if it is not even larger.
    sizes = max.(sizes, sizes[1] ./ (1, size, size^2))
    return Grouped(Q, T, tried[best], centers, radii, Tuple(errors .<= RESOLVED .* sizes), still)
end

# Bounds of the errors of the value and of two derivatives with these groups, and how large the numbers are that they are made in.
function reading(f, T::Matrix{C}, group, size, spread) where {C}
    R, λ = real(C), diag(T)
    Y, D = block_diagonal(T, group)
    inverse, strict = inv(UpperTriangular(Y)), abs.(triu(D, 1))
    circles = R.(spread .* CIRCLES)
    groups = map(1:maximum(group)) do g
        members = findall(==(g), group)
        # By differences, so that the center of equal eigenvalues is these.
        center = λ[members[1]] + sum(λ[members] .- λ[members[1]]) / length(members)
        reach = maximum(abs, λ[members] .- center)
        others = findall(!=(g), group)
        gap = isempty(others) ? R(Inf) : minimum(abs(λ[i] - λ[j]) for i in members, j in others)
        condition = maximum(i -> norm(view(Y, :, i)), members) * maximum(i -> norm(view(inverse, i, :)), members)
        inside = sqrt(maximum(sum(view(strict, members, :); dims = 2)) * maximum(sum(view(strict, :, members); dims = 1)))
        values = reduce(hcat, [map(z -> value_of(f, z), on_circle(center, r)) for r in circles])
        series = C.(TO_SERIES) * values
        rest = vec(maximum(abs, view(series, (COEFFICIENTS + 1):POINTS, :); dims = 1))
        noise = rest .+ eps(R) .* vec(maximum(abs, values; dims = 1))
        growth = max.(1, inside ./ circles) .^ (length(members) - 1)
        usable(r, e) = r >= R(1.6) * (reach + 4 * eps(R) * size) && isfinite(e) ? e : R(Inf)
        error = usable.(circles, condition .* noise .* growth)
        # Of circles that are as good as each other the wider, because derivatives divide by the radius.
        c = argmin(error .* max.(1, spread ./ circles))
        radius, near = circles[c], 1 / circles[c] + 1 / gap
        errors = (error[c], ((condition * growth[c])^(k + 1) * noise[c] * near^k for k in 1:2)...)
        terms = ntuple(Val(3)) do m
            k = m - 1
            counted = k:min(COEFFICIENTS - 1, (k + 1) * length(members) - 1)
            maximum(j -> abs(series[j + 1, c]) * (inside / radius)^(j - k) * prod(R.((j - k + 1):j)) / radius^k, counted)
        end
        (; center, radius, reach, errors = map(e -> isnan(e) ? R(Inf) : e, errors), terms)
    end
    worst(field) = reduce((x, y) -> max.(x, y), map(field, groups))
    return (;
        centers = map(g -> g.center, groups), radii = map(g -> g.radius, groups), errors = worst(g -> g.errors), sizes = worst(g -> g.terms),
        still = all(g -> iszero(g.reach), groups),
    )
end

# What `f` returns, without the partials of what it holds.
function value_of(f, z::C) where {C}
    y = f(z)
    y isa Number || throw(ArgumentError("`f` must return a number for a number, it returned $(repr(y))"))
    return C(plain(y))
end

"""
    taylor(coefficients, reduced, X, blocks)

The function of a triangular matrix `X` with `blocks` copies of the eigenvalues of `reduced`, from its Taylor `coefficients` (a matrix with
a column for each group, in units of the radii).
"""
function taylor(coefficients, reduced::Grouped, X, blocks)
    group, (Y, N) = scaled_rest(reduced, X, blocks)
    total = zeros(promote_type(eltype(coefficients), eltype(X)), size(X))
    for k in terms(reduced, blocks):-1:1
        total = product(N, total)
        foreach(i -> total[i, i] += coefficients[k, group[i]], eachindex(group))
    end
    return product(Y, total) / UpperTriangular(Y)
end

# The groups, and Y and N = (D − C)/R of the matrix.
function scaled_rest(reduced::Grouped, X, blocks)
    group = repeat(reduced.group, blocks)
    Y, D = block_diagonal(X, group)
    return group, (Y, (D - Diagonal(reduced.centers[group])) ./ reduced.radii[group])
end

# Where all members are at their center, N is nilpotent.
terms(reduced::Grouped, blocks) =
    reduced.still ? min(COEFFICIENTS, blocks * maximum(g -> count(==(g), reduced.group), reduced.group)) : COEFFICIENTS
