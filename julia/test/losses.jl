# The losses of the reference cases (tests/cases/README.md), and the contents of a case as Julia values.
module Losses

using ChainRulesCore
using EigenPair
using JSON: JSON
using LinearAlgebra
using Zygote: Zygote

include("lines.jl")
using .Lines

export read_cases, has_cases, loss_function, tridiagonal_loss, arguments, gradient_of, hvp, matrix_of, eltype_of

const CASES = joinpath(@__DIR__, "..", "..", "tests", "cases")

read_cases(file) = JSON.parsefile(joinpath(CASES, file))["cases"]
has_cases(file) = isfile(joinpath(CASES, file))

const ELTYPES =
    Dict("float32" => Float32, "float64" => Float64, "complex64" => ComplexF32, "complex128" => ComplexF64)
eltype_of(case) = ELTYPES[case["dtype"]]

matrix_of(T, ::Nothing) = nothing
function matrix_of(T, m)
    rows(part) = [part[i][j] for i in eachindex(part), j in eachindex(part[1])]
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
ChainRulesCore.rrule(::typeof(inner), C, M) = inner(C, M), ȳ -> (NoTangent(), NoTangent(), ȳ * C)

# ---- losses of one matrix ------------------------------------------------------------------------------------

"""
A loss of `(w, v)`, or of `w` alone with `nothing` for `v`. All losses have one type and are differentiated by hand, because Zygote would
compile each operation for each type, and the cases do not test Zygote.
"""
struct Loss{T <: Number, R <: Real}
    name::String
    c::Vector{T}
    C::Matrix{T}
    z::Complex{R}
    s::R
    k::Int
end

function Loss{T}(loss) where {T}
    C = haskey(loss, "C") ? matrix_of(T, loss["C"]) : zeros(T, 0, 0)
    c = T[number(x) for x in get(loss, "c", [])]
    return Loss{T, real(T)}(loss["name"], c, C, number(get(loss, "z", 0)), get(loss, "s", 1), get(loss, "k", 0))
end

# What a cotangent of real eigenvalues may hold.
like(::AbstractArray{<:Real}, x) = real(x)
like(::AbstractArray, x) = x

"""
    value_and_cotangents(l, w, v)

The loss, and its cotangents of `w` and `v`, zero where it does not depend on one of them.
"""
function value_and_cotangents(l::Loss, w, v)
    C, none = l.C, ZeroTangent()
    if l.name == "weighted_sum"
        return real(dot(l.c, w)), like(w, l.c), none
    elseif l.name == "sum_squares"
        return real(sum(w .* w)), 2 .* conj.(w), none
    elseif l.name == "resolvent"
        # In units of z, or squares underflow in single precision.
        r = inv.((l.z .- w) ./ abs(l.z))
        return real(sum(r)) / abs(l.z), like(w, conj.(r ./ abs(l.z)) .^ 2), none
    elseif l.name == "projector"
        V, v̄ = v[:, 1:(l.k)], zero(v)
        v̄[:, 1:(l.k)] = (C + C') * V
        return inner(C, V * V'), none, v̄
    elseif l.name == "moduli"
        return sum(real.(C) .* abs2.(v)), none, 2 .* real.(C) .* v
    elseif l.name == "fixed_gauge"
        fixed, pullback = rrule(fix_gauge, v)
        return inner(C, fixed), none, unthunk(pullback(C)[2])
    elseif l.name == "density"
        d = inv.(1 .+ (w ./ l.s) .^ 2)
        w̄ = like(w, diag(v' * C * v) .* conj.(-2 .* (w ./ l.s) ./ l.s .* d .^ 2))
        return inner(C, (v .* transpose(d)) * v'), w̄, C * v * Diagonal(conj.(d)) + C' * v * Diagonal(d)
    end
    return error("unknown loss $(l.name)")
end

(l::Loss)(w, v = nothing) = first(value_and_cotangents(l, w, v))

function ChainRulesCore.rrule(l::Loss, w, v = nothing)
    y, w̄, v̄ = value_and_cotangents(l, w, v)
    loss_pullback(ȳ) = (NoTangent(), w̄ * ȳ, v̄ * ȳ)
    return y, loss_pullback
end

# ---- cases ---------------------------------------------------------------------------------------------------

# Of one type for all cases, like the loss.
const Options = NamedTuple{(:lower, :type), Tuple{Union{Nothing, Bool}, Int}}

lower_of(triangle) = triangle === nothing ? nothing : triangle == "lower"
options(case) = Options((lower_of(case["triangle"]), max(case["type"], 1)))

struct HermitianLoss{L <: Loss}
    loss::L
    options::Options
    vectors::Bool
end
function (l::HermitianLoss)(matrices...)
    l.vectors || return l.loss(eigvalsh(matrices...; l.options...), nothing)
    w, v = eigh(matrices...; l.options...)
    return l.loss(w, v)
end

# Of a tridiagonal matrix, whose diagonals are given as one row each.
struct TridiagonalLoss{L <: Loss}
    loss::L
    vectors::Bool
end
function (l::TridiagonalLoss)(d, e)
    l.vectors || return l.loss(eigvalsh_tridiagonal(vec(d), vec(e)), nothing)
    w, v = eigh_tridiagonal(vec(d), vec(e))
    return l.loss(w, v)
end
tridiagonal_loss(case) = TridiagonalLoss(Loss{eltype_of(case)}(case["loss"]), case["function"] == "eigh_tridiagonal")

"""
    loss_function(case)

The function of the case's matrices whose value and derivatives are in the case.
"""
loss_function(case) = HermitianLoss(Loss{eltype_of(case)}(case["loss"]), options(case), case["function"] == "eigh")

gradient_of(f, matrices) = Zygote.gradient(f, matrices...)

"""
Forward over reverse: the derivative of the gradient along `direction`.
"""
hvp(f, matrices, direction) = map(slope, gradient_of(f, map(along, matrices, direction)))

end
