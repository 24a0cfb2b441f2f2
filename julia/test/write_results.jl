# julia write_results.jl OUTPUT [CASES...]: computes every reference case and writes the results, for comparison with
# the other language.
using EigenPair, Logging
include("losses.jl")
include("general_losses.jl")
include("results.jl")
using .Losses, .Results

files = length(ARGS) > 1 ? ARGS[2:end] : filter(has_cases, ["hermitian.json", "general.json", "spectral.json", "pairs.json", "functions.json", "tridiagonal.json"])
with_logger(NullLogger()) do
    for file in files, case in read_cases(file)
        keep(case, compute(case))
    end
end
println("$(write_results(ARGS[1])) cases written to $(ARGS[1])")
