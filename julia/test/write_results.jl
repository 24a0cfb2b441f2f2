# julia write_results.jl OUTPUT [CASES...]: computes every reference case and writes what came out, for comparison with
# another language. NaN, which JSON lacks, is written as null.
using EigenPair, JSON, Logging
include("losses.jl")
include("general_losses.jl")
using .Losses, .GeneralLosses

encode(::Nothing) = nothing
encode(x::Real) = isnan(x) ? nothing : x
encode(x::AbstractArray) = Dict(
    "re" => [encode.(real.(row)) for row in eachrow(x)],
    "im" => eltype(x) <: Complex ? [encode.(imag.(row)) for row in eachrow(x)] : nothing
)
encode_pair(xs) = Dict("a" => encode(xs[1]), "b" => length(xs) == 2 ? encode(xs[2]) : nothing)

function result(case)
    f, matrices = function_of(case), arguments(case)
    gradient = gradient_of(f, matrices)
    slope = case["hvp"] === nothing ? nothing : encode_pair(hvp(f, matrices, arguments(case, "direction")))
    return Dict(
        "value" => encode(f(matrices...)), "gradient" => encode_pair(gradient), "hvp" => slope,
        "verdict" => any(x -> any(isnan, x), gradient) ? "nan" : "number"
    )
end

function write_results(output, files)
    cases = reduce(vcat, map(read_cases, files))
    results = with_logger(() -> Dict(case["id"] => result(case) for case in cases), NullLogger())
    open(output, "w") do io
        JSON.print(io, Dict("language" => "julia", "julia" => string(VERSION), "results" => results))
    end
    return println("$(length(cases)) cases written to $output")
end

write_results(ARGS[1], length(ARGS) > 1 ? ARGS[2:end] : ["hermitian.json", "general.json", "spectral.json"])
