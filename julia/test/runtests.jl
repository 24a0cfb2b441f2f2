# All tests, or only the named files: julia test/runtests.jl batch native
using Aqua
using ChainRulesCore
using ChainRulesTestUtils
using Distributed
using EigenPair
using FiniteDifferences
using ForwardDiff
using Libdl
using LinearAlgebra
using Random
using Test
using Zygote

include("problems.jl")
include("losses.jl")
include("general_losses.jl")
include("results.jl")
include("second_order.jl")
using .Problems

const FILES = [
    "conformance", "conformance_general", "aqua", "bad_input", "native", "batch", "decision", "rrule", "frule", "derivatives",
    "second_order", "zygote", "degeneracy", "coupled", "explanations", "graded", "general", "spectral", "spectral_pairs", "matrix_function", "rotations", "subset",
    "banded", "diagonal_metric", "large", "inference", "mooncake", "enzyme", "check_grads", "distributed",
]

@testset "EigenPair" begin
    for file in (isempty(ARGS) ? FILES : ARGS)
        seconds = @elapsed include("test_$file.jl")
        println("test_$file.jl: $(round(seconds; digits = 1)) s")
        flush(stdout)
        # For who compares languages, and may be waiting.
        file == "conformance_general" && haskey(ENV, "EIGENPAIR_RESULTS") && Results.write_results(ENV["EIGENPAIR_RESULTS"])
    end
end
