# Rules for Enzyme's reverse mode, of arrays and of Symmetric and Hermitian matrices in host memory.
#
# Written to EnzymeCore 0.8. test/test_enzyme.jl calls the rules as Enzyme would, where EnzymeCore is installed. NOT YET RUN with Enzyme itself.
module EigenPairEnzymeCoreExt

using EigenPair: EigenPair, HostMatrices, Decomposition
using EnzymeCore: Annotation, Const, Duplicated, EnzymeRules
using LinearAlgebra

const Argument = Union{Const, Duplicated{<:HostMatrices}}

function EnzymeRules.augmented_primal(
        config::EnzymeRules.RevConfigWidth{1}, f::Const{<:Decomposition}, ::Type{<:Annotation}, xs::Argument...; options...
    )
    Ω, pullback = EigenPair.value_and_pullback(f.val, map(x -> x.val, xs)...; options...)
    Ω̄ = zero_result(Ω)
    # A copy: Enzyme lets a program overwrite what it gets, and the pullback needs Ω as it is.
    primal = EnzymeRules.needs_primal(config) ? copied(Ω) : nothing
    shadow = EnzymeRules.needs_shadow(config) ? Ω̄ : nothing
    return EnzymeRules.AugmentedReturn(primal, shadow, (Ω, Ω̄, pullback))
end

function EnzymeRules.reverse(
        ::EnzymeRules.RevConfigWidth{1}, ::Const{<:Decomposition}, ::Type{<:Annotation}, (Ω, Ω̄, pullback), xs::Argument...; options...
    )
    x̄s = pullback(EigenPair.result_cotangents(Ω, Ω̄)...)
    foreach(add!, xs, x̄s)
    foreach(x -> fill!(x, 0), arrays(Ω̄))
    return map(_ -> nothing, xs)
end

copied(w::Array) = copy(w)
copied(Ω) = typeof(Ω)(map(copy, arrays(Ω))...)
zero_result(w::Array) = zero(w)
zero_result(Ω) = typeof(Ω)(map(zero, arrays(Ω))...)
arrays(w::Array) = (w,)
arrays(Ω) = ntuple(i -> getfield(Ω, i), nfields(Ω))

add!(x, x̄) = nothing
add!(x::Duplicated, x̄) = EigenPair.add_gradient!(stored(x.dval), x̄, x.val)
add!(x::Duplicated, ::Nothing) = nothing
stored(x̄::Array) = x̄
stored(x̄) = parent(x̄)

end
