# The losses of the general and the spectral reference cases. Like those of Losses, they have few types.
module GeneralLosses

using ChainRulesCore
using EigenPair
using ForwardDiff
using ..Losses
using ..Losses: Loss, inner, value_and_cotangents

export function_of, general_loss, spectral_loss, case_eigenvalues, case_function

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

"""
A loss of eigenvalues, and vectors, in the order of the cases.
"""
struct OrderedLoss{L <: Loss}
    loss::L
end
(l::OrderedLoss)(w, v = nothing) = first(rrule(l, w, v))

columns(v, order) = v[:, order]
columns(x::Union{Nothing, AbstractZero}, order) = x

function ChainRulesCore.rrule(l::OrderedLoss, w, v = nothing)
    order = order_of(w)
    y, w̄, v̄ = value_and_cotangents(l.loss, w[order], columns(v, order))
    back = invperm(order)
    loss_pullback(ȳ) = (NoTangent(), w̄ isa AbstractZero ? w̄ : w̄[back] * ȳ, columns(v̄, back) * ȳ)
    return y, loss_pullback
end

struct GeneralLoss{L <: Loss}
    loss::OrderedLoss{L}
    vectors::Bool
end
function (l::GeneralLoss)(matrices...)
    l.vectors || return l.loss(EigenPair.eigvals(matrices...), nothing)
    w, v = eig(matrices...)
    return l.loss(w, v)
end

"""
The function of the matrices of a case of `eig` or `eigvals`.
"""
general_loss(case) = GeneralLoss(OrderedLoss(Loss{complex(eltype_of(case))}(case["loss"])), case["function"] == "eig")

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

# The cases add skew-Hermitian noise, which must not be read.
options_of(type) = (; type, hermitian_part = true)

struct SpectralMapLoss{T}
    f::CaseFunction
    C::Matrix{T}
    type::Int
end
(l::SpectralMapLoss)(matrices...) = inner(l.C, spectral_map(l.f, matrices...; options_of(l.type)...))
struct SpectralSumLoss
    f::CaseFunction
    type::Int
end
(l::SpectralSumLoss)(matrices...) = spectral_sum(l.f, matrices...; options_of(l.type)...)
struct ProjectorLoss{T}
    k::Int
    C::Matrix{T}
    type::Int
end
(l::ProjectorLoss)(a, b...) = inner(l.C, spectral_projector(a, l.k, b...; options_of(l.type)...))

# Of a function of general matrices.
struct FunctionLoss{F, T}
    f::F
    C::Matrix{T}
end
(l::FunctionLoss)(a) = inner(l.C, l.f(a))
const FUNCTIONS = Dict{String, Function}(
    "sqrtm" => sqrtm, "logm" => logm, "signm" => signm, "exp" => a -> matrix_function(exp, a), "tanh" => a -> matrix_function(tanh, a),
    "sqrt" => a -> matrix_function(sqrt, a), "log" => a -> matrix_function(log, a),
)

"""
The function of the matrices of a case of a spectral function, or of a function of general matrices.
"""
function spectral_loss(case)
    name, loss, type = case["function"], case["loss"], max(case["type"], 1)
    C = haskey(loss, "C") ? matrix_of(eltype_of(case), loss["C"]) : nothing
    haskey(FUNCTIONS, name) && return FunctionLoss(FUNCTIONS[name], C)
    name == "matrix_function" && return FunctionLoss(FUNCTIONS[case["f"]["name"]], C)
    name == "spectral_projector" && return ProjectorLoss(case["k"], C, type)
    f = case_function(case["f"])
    return name == "spectral_sum" ? SpectralSumLoss(f, type) : SpectralMapLoss(f, C, type)
end

"""
The function of any case.
"""
function_of(case) =
    case["function"] in ("eigh", "eigvalsh") ? loss_function(case) :
    endswith(case["function"], "_tridiagonal") ? tridiagonal_loss(case) :
    case["function"] in ("eig", "eigvals") ? general_loss(case) : spectral_loss(case)

end
