# The numbers of demo.py, computed by EigenPair.jl and differentiated by Zygote.
#
#     python tools/julia_runner.py examples/demo.jl demo/inputs.txt demo/julia.txt
#
# demo.py writes the first file, runs this, and compares.

using EigenPair, Zygote

# A line `name real|complex dimensions`, then the numbers, first index fastest.
function read_arrays(path)
    arrays = Dict{String, Array}()
    lines = readlines(path)
    for (head, body) in zip(lines[1:2:end], lines[2:2:end])
        name, kind, shape... = split(head)
        numbers = parse.(Float64, split(body))
        kind == "complex" && (numbers = collect(reinterpret(ComplexF64, numbers)))
        arrays[name] = reshape(numbers, parse.(Int, shape)...)
    end
    return arrays
end

function write_arrays(path, arrays)
    return open(path, "w") do file
        for (name, x) in arrays
            println(file, join((name, "real", size(x)...), ' '))
            println(file, join(x, ' '))
        end
    end
end

inner(x, y) = real(sum(conj(x) .* y))

# Orbital energies of F C = S C ε, and dε/dR = ⟨∂ε/∂F, dF/dR⟩ + ⟨∂ε/∂S, dS/dR⟩.
function water(F, S, dF, dS)
    energies = eigvalsh(F, S)
    gradient = zeros(length(energies), size(dF, 3))
    for i in eachindex(energies)
        F̄, S̄ = Zygote.gradient((F, S) -> eigvalsh(F, S)[i], F, S)
        gradient[i, :] = [inner(F̄, dF[:, :, c]) + inner(S̄, dS[:, :, c]) for c in axes(dF, 3)]
    end
    return energies, gradient
end

# Bands of a batch of Bloch Hamiltonians H[:, :, k], and their velocities ⟨∂ε/∂H, dH/dk⟩.
function graphene(H, dH)
    bands = eigvalsh(H)
    velocities = zeros(2, size(bands)...)
    for band in axes(bands, 1)
        # The bands at different k are independent, so one gradient of their sum contains all derivatives.
        H̄, = Zygote.gradient(H -> sum(eigvalsh(H)[band, :]), H)
        for k in axes(H, 3), direction in 1:2
            velocities[direction, band, k] = inner(H̄[:, :, k], dH[:, :, direction, k])
        end
    end
    return bands, velocities
end

x = read_arrays(ARGS[1])
energies, gradient = water(x["F"], x["S"], x["dF"], x["dS"])
bands, velocities = graphene(x["H"], x["dH"])
write_arrays(ARGS[2], ["energies" => energies, "gradient" => gradient, "bands" => bands, "velocities" => velocities])
println("Julia $VERSION, EigenPair $(pkgversion(EigenPair)), Zygote $(pkgversion(Zygote))")
