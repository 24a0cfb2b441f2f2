# The losses of the reference cases (tests/cases/README.md), and what a case says, as Julia values.
module Losses

using EigenPair
using ForwardDiff: ForwardDiff
using JSON: JSON
using LinearAlgebra
using Zygote: Zygote

export read_cases, loss_function, arguments, gradient_of, hvp, matrix_of, eltype_of

const CASES = joinpath(@__DIR__, "..", "..", "tests", "cases")

read_cases(file) = JSON.parsefile(joinpath(CASES, file))["cases"]

const ELTYPES =
    Dict("float32" => Float32, "float64" => Float64, "complex64" => ComplexF32, "complex128" => ComplexF64)
eltype_of(case) = ELTYPES[case["dtype"]]

matrix_of(T, ::Nothing) = nothing
function matrix_of(T, m)
    rows(part) = [part[i][j] for i in eachindex(part), j in eachindex(part)]
    return convert(Matrix{T}, m["im"] === nothing ? rows(m["re"]) : complex.(rows(m["re"]), rows(m["im"])))
end

number(x::Real) = x
number(x) = complex(x["re"], x["im"])

"""
The matrices that the function of a case takes: `(a,)` or `(a, b)`.
"""
function arguments(case, key = nothing)
    m = key === nothing ? case : case[key]
    T = eltype_of(case)
    b = matrix_of(T, m["b"])
    return b === nothing ? (matrix_of(T, m["a"]),) : (matrix_of(T, m["a"]), b)
end

inner(C, M) = real(sum(conj.(C) .* M))

"""
    loss_of(loss, T)

The loss as a function of `(w, v)` of one matrix with elements of type `T`; `v` is ignored by losses of eigenvalues. What
the name decides is decided here, because branches are what Zygote can hardly differentiate twice.
"""
function loss_of(loss, ::Type{T}) where {T}
    name, R = loss["name"], real(T)
    if name == "weighted_sum"
        c = R.(loss["c"])
        return (w, v) -> sum(c .* w)
    elseif name == "sum_squares"
        return (w, v) -> sum(w .^ 2)
    elseif name == "resolvent"
        z = Complex{R}(number(loss["z"]))
        x, y² = real(z), imag(z)^2
        return (w, v) -> sum((x .- w) ./ ((x .- w) .^ 2 .+ y²))
    end
    C = matrix_of(name == "moduli" ? R : T, loss["C"])
    if name == "projector"
        k = loss["k"]
        return (w, v) -> inner(C, v[:, 1:k] * v[:, 1:k]')
    elseif name == "moduli"
        return (w, v) -> sum(C .* abs2.(v))
    elseif name == "density"
        s = R(loss["s"])
        return (w, v) -> inner(C, (v .* transpose(inv.(1 .+ (w ./ s) .^ 2))) * v')
    elseif name == "fixed_gauge"
        return (w, v) -> inner(C, fix_gauge(v))
    end
    return error("unknown loss $name")
end

lower_of(triangle) = triangle === nothing ? nothing : triangle == "lower"

options(case) =
    case["type"] == 0 ? (; lower = lower_of(case["triangle"])) :
    (; lower = lower_of(case["triangle"]), type = case["type"])

"""
    loss_function(case)

The function of the case's matrices whose value and derivatives the case holds.
"""
function loss_function(case)
    loss, kw = loss_of(case["loss"], eltype_of(case)), options(case)
    case["function"] == "eigvalsh" && return (matrices...) -> loss(eigvalsh(matrices...; kw...), nothing)
    return function (matrices...)
        w, v = eigh(matrices...; kw...)
        return loss(w, v)
    end
end

gradient_of(f, matrices) = Zygote.gradient(f, matrices...)

"""
Forward over reverse: the derivative of the gradient along `direction`.
"""
function hvp(f, matrices, direction)
    parts(xs) = vcat(map(x -> vcat(vec(real(x)), vec(imag(x))), xs)...)
    line(t) = gradient_of(f, map((x, d) -> x + t * d, matrices, direction))
    slopes = ForwardDiff.derivative(t -> parts(line(t)), zero(real(eltype(first(matrices)))))
    n = size(first(matrices), 1)
    block(k) = reshape(slopes[(k * n^2 + 1):((k + 1) * n^2)], n, n)
    whole(i, x) = eltype(x) <: Real ? block(2i - 2) : complex.(block(2i - 2), block(2i - 1))
    return Tuple(whole(i, x) for (i, x) in enumerate(matrices))
end

end
