# A graph with a target Laplacian spectrum, in Julia.
#
# The Laplacian of the octahedron has the eigenvalues 0, 4 (three times) and 6 (twice). Starting from random weights on all
# 15 edges of six vertices, gradient descent with Zygote finds a weighted graph with this spectrum; many graphs have it. The
# gradient exists where the eigenvalues coincide, because the loss compares whole sets of them.
#
# Picture: The graph found: six vertices on a circle, each connected with all others, with line widths as weights.

using EigenPair, LinearAlgebra, Random, Zygote

# %% Six vertices, an edge between any two, and weights that are squares so that they are not negative.
n = 6
edges = [(i, j) for i in 1:n for j in 1:(i - 1)]
incidence = [k == i ? 1.0 : k == j ? -1.0 : 0.0 for k in 1:n, (i, j) in edges]
laplacian(x) = incidence * Diagonal(x .^ 2) * incidence'
target = [0, 4, 4, 4, 6, 6]
loss(x) = sum(abs2, eigvalsh(laplacian(x)) - target)

# %% Gradient descent with momentum.
function descend(x; steps = 3000, rate = 0.003, momentum = 0.9)
    velocity = zero(x)
    for _ in 1:steps
        velocity = momentum * velocity - rate * Zygote.gradient(loss, x)[1]
        x += velocity
    end
    return x
end

x = descend(0.5 .+ rand(Xoshiro(1), length(edges)))
println("spectrum: ", round.(eigvalsh(laplacian(x)); digits = 4))
println("edges heavier than 0.01: ", count(>(0.01), x .^ 2), " of ", length(edges))
@assert loss(x) < 1.0e-6

# %% A picture, as SVG.
place(k) = round.(100 .* (1.5 + cos(2pi * k / n), 1.5 + sin(2pi * k / n)); digits = 1)
open("laplacian_julia.svg", "w") do io
    println(io, """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 300" width="300">""")
    for ((i, j), weight) in zip(edges, x .^ 2)
        (x1, y1), (x2, y2) = place(i), place(j)
        width = round(5weight; digits = 2)
        println(io, """<line x1="$x1" y1="$y1" x2="$x2" y2="$y2" stroke="#444" stroke-width="$width"/>""")
    end
    for k in 1:n
        cx, cy = place(k)
        println(io, """<circle cx="$cx" cy="$cy" r="9" fill="#1f77b4"/>""")
    end
    println(io, "</svg>")
end
