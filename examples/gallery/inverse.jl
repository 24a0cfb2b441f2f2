# Inverse eigenvalue problem, in Julia.
#
# Which symmetric Toeplitz matrix has a given spectrum? Newton's method solves `λ(t) = target` for the first row `t`; the
# Jacobian comes from ForwardDiff through `eigvalsh`. The error is squared in every step until rounding stops it.
#
# Picture: The error of the eigenvalues against the Newton step on a logarithmic scale, falling to rounding in five steps.

using EigenPair, ForwardDiff, LinearAlgebra

# %% Eight eigenvalues for eight entries.
toeplitz(t) = [t[abs(i - j) + 1] for i in eachindex(t), j in eachindex(t)]
target = [-4.0, -2.5, -1.0, -0.5, 0.5, 1.5, 2.0, 4.0]
residual(t) = eigvalsh(toeplitz(t)) - target

# %% Newton's method, from a banded matrix with about the right width of spectrum.
function solve(t; steps = 8)
    errors = Float64[]
    for _ in 1:steps
        push!(errors, maximum(abs, residual(t)))
        t -= pinv(ForwardDiff.jacobian(residual, t)) * residual(t)
    end
    return t, errors
end

t, errors = solve([0.0, 2.0, 0.3, 0.1, 0.1, -0.1, 0.1, 0.05])
foreach((step, error) -> println("step $step: error ", round(error; sigdigits = 2)), eachindex(errors), errors)
println("first row: ", round.(t; digits = 4))
@assert errors[end] < 1.0e-10

# %% A picture, as SVG: one unit up is a factor of ten.
points = ["$(40k),$(round(30 - 11log10(max(error, 1.0e-16)); digits = 1))" for (k, error) in enumerate(errors)]
open("inverse_julia.svg", "w") do io
    println(io, """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 240" width="360" font-family="sans-serif" font-size="11">""")
    for exponent in 0:-4:-16
        y = 30 - 11exponent
        println(io, """<line x1="35" x2="340" y1="$y" y2="$y" stroke="#ddd"/><text x="4" y="$(y + 4)">1e$exponent</text>""")
    end
    println(io, """<polyline points="$(join(points, ' '))" fill="none" stroke="#1f77b4" stroke-width="2"/>""")
    for point in points
        x, y = split(point, ',')
        println(io, """<circle cx="$x" cy="$y" r="4" fill="#1f77b4"/>""")
    end
    println(io, """<text x="150" y="232">Newton step</text>\n</svg>""")
end
