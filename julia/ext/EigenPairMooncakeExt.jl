# Rules for Mooncake's reverse mode, of arrays and of Symmetric and Hermitian matrices in host memory.
#
# Written to Mooncake 0.5, and run with 0.5.45 by test/test_mooncake.jl, which runs where Mooncake is installed.
module EigenPairMooncakeExt

using EigenPair: EigenPair, eigh, eigvalsh, eig, HostMatrices, Decomposition
using LinearAlgebra
using Mooncake: CoDual, DefaultCtx, Mooncake, NoRData, ReverseMode, @is_primitive, primal, tangent, zero_fcodual

for f in (eigh, eigvalsh, eig, EigenPair.eigvals), count in 1:2
    F, arguments = typeof(f), fill(HostMatrices, count)
    @eval @is_primitive DefaultCtx ReverseMode Tuple{$F, $(arguments...)}
    @eval @is_primitive DefaultCtx ReverseMode Tuple{typeof(Core.kwcall), NamedTuple, $F, $(arguments...)}
end

Mooncake.rrule!!(f::CoDual{<:Decomposition}, xs::CoDual{<:HostMatrices}...) = derivative(primal(f), (;), xs)

function Mooncake.rrule!!(
        ::CoDual{typeof(Core.kwcall)}, options::CoDual{<:NamedTuple}, f::CoDual{<:Decomposition}, xs::CoDual{<:HostMatrices}...
    )
    Ω, pullback = derivative(primal(f), primal(options), xs)
    of_options = Mooncake.rdata(Mooncake.zero_tangent(primal(options)))
    return Ω, Ω̄ -> (NoRData(), of_options, pullback(Ω̄)...)
end

function derivative(f, options, xs)
    Ω, pullback = EigenPair.value_and_pullback(f, map(primal, xs)...; options...)
    result = zero_fcodual(Ω)
    function decomposition_pullback(::NoRData)
        x̄s = pullback(EigenPair.result_cotangents(Ω, fields(tangent(result)))...)
        foreach((x, x̄) -> x̄ === nothing || EigenPair.add_gradient!(stored(tangent(x)), x̄, primal(x)), xs, x̄s)
        return NoRData(), map(_ -> NoRData(), xs)...
    end
    return result, decomposition_pullback
end

fields(ȳ::Array) = ȳ
fields(ȳ) = ȳ.data
# Of a wrapper, the gradient of its parent.
stored(x̄::Array) = x̄
stored(x̄) = x̄.data.data

end
