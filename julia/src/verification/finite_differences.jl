# Derivatives of a real function of one real number by finite differences, with an estimate of their error.

"""
    Slope

A derivative, its estimated error, the two one-sided derivatives, and how their difference depends on the step: the ratio of this
difference to the difference at steps four times as long, 1/16 for a smooth function, 1 at a kink, 4 at a jump. `steady`: the
one-sided derivatives differ by more than they change with the step.
"""
struct Slope
    value::Float64
    uncertainty::Float64
    below::Float64
    above::Float64
    growth::Float64
    steady::Bool
end

"""
    finite_difference(f, step, ε; levels = 14)

The derivative of `f` at 0, a [`Slope`](@ref), by central differences with steps from `step` down, extrapolated to step
zero (Ridders). `ε` is the rounding error of `f`, relative to its values. Values that are not finite are skipped.
"""
function finite_difference(f, step, ε; levels = 14)
    centre = f(0.0)
    previous = Float64[]
    best, error = NaN, Inf
    sides = NTuple{2, Float64}[]
    for k in 0:(levels - 1)
        h = step / 2^k
        ahead, behind = f(h), f(-h)
        if !(isfinite(ahead) && isfinite(behind))
            previous = Float64[]
            continue
        end
        push!(sides, ((centre - behind) / h, (ahead - centre) / h))
        # The effect of rounding errors on this difference.
        floor = 2ε * max(abs(ahead), abs(behind)) / h
        row = [(ahead - behind) / 2h]
        for (j, before) in enumerate(previous)
            push!(row, row[j] + (row[j] - before) / (4.0^j - 1))
            estimate = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - before)) + floor
            # One extrapolation may agree with its two sources by accident.
            if j > 1 && estimate < error
                best, error = row[j + 1], estimate
            end
        end
        previous = row
    end
    # One-sided differences at the step where truncation and rounding errors are about equal, extrapolated once.
    k = min(round(Int, log2(1 / ε) / 3) + 1, length(sides))
    k < 4 && return Slope(best, error, NaN, NaN, 0.0, true)
    below, above = @. 2 * sides[k] - sides[k - 1]
    below_before, above_before = @. 2 * sides[k - 2] - sides[k - 3]
    jump, before = abs(above - below), abs(above_before - below_before)
    steady = max(abs(below - below_before), abs(above - above_before)) < jump / 4
    return Slope(best, error, below, above, before > 0 ? jump / before : 0.0, steady)
end
