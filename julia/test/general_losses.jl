# The losses of the general and the spectral reference cases. Hundreds of cases share one function of one type each, with
# branches inside, so that Zygote compiles it once; second order is forward over reverse, for which branches are harmless.
module GeneralLosses

using ChainRulesCore: @non_differentiable
using EigenPair
using ForwardDiff
using LinearAlgebra
using ..Losses
using ..Losses: number, inner

export function_of, general_loss, spectral_loss, case_eigenvalues, case_function

struct Loss{T <: Complex}
    name::Symbol
    c::Vector{T}
    C::Matrix{T}
    z::T
    k::Int
end

function Loss{T}(loss) where {T}
    C = haskey(loss, "C") ? matrix_of(T, loss["C"]) : zeros(T, 0, 0)
    c = T[number(x) for x in get(loss, "c", [])]
    z = haskey(loss, "s") ? loss["s"] : number(get(loss, "z", 0))
    return Loss{T}(Symbol(loss["name"]), c, C, z, get(loss, "k", 0))
end

function (l::Loss)(w)
    l.name == :weighted_sum && return sum(real.(conj.(l.c) .* w))
    l.name == :sum_squares && return sum(real.(w .* w))
    # In units of z, or squares of Zygote's underflow in single precision.
    l.name == :resolvent && return sum(real.(inv.((l.z .- w) ./ abs(l.z)))) / abs(l.z)
    return error("unknown loss $(l.name)")
end
function (l::Loss)(w, v)
    l.name == :projector && return inner(l.C, v[:, 1:l.k] * v[:, 1:l.k]')
    l.name == :moduli && return sum(real.(l.C) .* abs2.(v))
    l.name == :density && return inner(l.C, (v .* transpose(inv.(1 .+ (w ./ l.z) .^ 2))) * v')
    l.name == :fixed_gauge && return inner(l.C, fix_gauge(v))
    return l(w)
end

# The order of the cases; real parts equal up to rounding, as of conjugate pairs, count as equal.
function order_of(w)
    tie = sqrt(eps(real(eltype(w)))) * maximum(abs, w) / 16
    first_order = sortperm(real(w))
    steps = diff(real(w)[first_order]) .> tie
    levels = zeros(Int, length(w))
    levels[first_order] = cumsum([0; steps])
    return sortperm(collect(zip(levels, imag(w))))
end
order_of(w::Vector{<:Complex{<:ForwardDiff.Dual}}) = order_of(map(x -> complex(ForwardDiff.value(real(x)), ForwardDiff.value(imag(x))), w))
@non_differentiable order_of(::Any)

struct GeneralLoss{T}
    loss::Loss{T}
    vectors::Bool
end
function (l::GeneralLoss)(matrices...)
    if l.vectors
        w, v = eig(matrices...)
        order = order_of(w)
        return l.loss(w[order], v[:, order])
    else
        w = EigenPair.eigvals(matrices...)
        return l.loss(w[order_of(w)])
    end
end

"""
The function of the matrices of a case of `eig` or `eigvals`.
"""
general_loss(case) = GeneralLoss(Loss{complex(eltype_of(case))}(case["loss"]), case["function"] == "eig")

"""
The eigenvalues of a general case, in the order of the cases.
"""
function case_eigenvalues(matrices...)
    w = EigenPair.eigvals(matrices...)
    return w[order_of(w)]
end

# One type for all scalar functions.
struct CaseFunction
    name::Symbol
    p::Float64
    q::Float64
end
function (f::CaseFunction)(x)
    f.name == :exp && return exp(x)
    f.name == :log && return log(x)
    f.name == :sqrt && return sqrt(x)
    f.name == :tanh && return tanh(x)
    f.name == :inv_sqrt && return EigenPair.inv_sqrt(x)
    f.name == :power && return EigenPair.power(f.p)(x)
    return EigenPair.fermi_dirac(f.p, f.q)(x)
end
case_function(f) = CaseFunction(Symbol(f["name"]), get(f, "p", get(f, "mu", 0.0)), get(f, "beta", 0.0))

struct SpectralMapLoss{T}
    f::CaseFunction
    C::Matrix{T}
end
(l::SpectralMapLoss)(a) = inner(l.C, spectral_map(l.f, a))
struct SpectralSumLoss
    f::CaseFunction
end
(l::SpectralSumLoss)(a) = spectral_sum(l.f, a)
struct ProjectorLoss{T}
    k::Int
    C::Matrix{T}
end
(l::ProjectorLoss)(a) = inner(l.C, spectral_projector(a, l.k))

"""
The function of the matrix of a spectral case.
"""
function spectral_loss(case)
    name, loss = case["function"], case["loss"]
    C = haskey(loss, "C") ? matrix_of(eltype_of(case), loss["C"]) : nothing
    name == "spectral_projector" && return ProjectorLoss(case["k"], C)
    f = case_function(case["f"])
    return name == "spectral_sum" ? SpectralSumLoss(f) : SpectralMapLoss(f, C)
end

"""
The function of any case.
"""
function_of(case) =
    case["function"] in ("eigh", "eigvalsh") ? loss_function(case) :
    case["function"] in ("eig", "eigvals") ? general_loss(case) : spectral_loss(case)

end
