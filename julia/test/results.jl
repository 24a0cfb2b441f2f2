# The results of this language for the reference cases. The conformance tests check them, and they are written to a file for
# comparison with the other language. NaN, which JSON does not have, is written as null.
module Results

using EigenPair, JSON
using ..Losses, ..GeneralLosses

export compute, keep, write_results

"""
    compute(case)

`(; value, gradient, hvp)` of the case's loss; `hvp` is `nothing` where the case has none.
"""
function compute(case)
    f, matrices = function_of(case), arguments(case)
    hvps = case["hvp"] === nothing ? nothing : hvp(f, matrices, arguments(case, "direction"))
    return (; value = f(matrices...), gradient = gradient_of(f, matrices), hvp = hvps)
end

encode(::Nothing) = nothing
encode(x::Real) = isnan(x) ? nothing : x
encode(x::AbstractArray) = Dict(
    "re" => [encode.(real.(row)) for row in eachrow(x)],
    "im" => eltype(x) <: Complex ? [encode.(imag.(row)) for row in eachrow(x)] : nothing
)
encode_pair(::Nothing) = nothing
encode_pair(xs) = Dict("a" => encode(xs[1]), "b" => length(xs) == 2 ? encode(xs[2]) : nothing)

const KEPT = Dict{String, Any}()

"""
    keep(case, found)

Store a result, and return it.
"""
function keep(case, found)
    KEPT[case["id"]] = Dict(
        "value" => encode(found.value), "gradient" => encode_pair(found.gradient), "hvp" => encode_pair(found.hvp),
        "verdict" => any(x -> any(isnan, x), found.gradient) ? "nan" : "number"
    )
    return found
end

# The file appears complete or not at all, because another process may be waiting for it.
function write_results(output)
    open(output * ".part", "w") do io
        JSON.print(io, Dict("language" => "julia", "julia" => string(VERSION), "results" => KEPT))
    end
    mv(output * ".part", output; force = true)
    return length(KEPT)
end

end
