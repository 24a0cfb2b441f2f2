"""
    EigenPair

Eigendecompositions whose derivatives are right, or NaN where they do not exist, through ChainRules.

Functions: [`eigh`](@ref), [`eigvalsh`](@ref), [`fix_gauge`](@ref). What a derivative does where eigenvalues coincide
is a policy: [`EigenPair.check`](@ref) (the default), [`EigenPair.mask`](@ref), [`EigenPair.broaden`](@ref),
[`EigenPair.raw`](@ref). Which LAPACK does the work: [`EigenPair.LAPACKHandle`](@ref), [`EigenPair.with_lapack`](@ref).

The numerical core is a shared library, found when the first function is called: the preference `library`
([`EigenPair.set_library!`](@ref)), else the environment variable `EIGENPAIR_LIBRARY`, else the package EigenPair_jll if
the active environment has it.
"""
module EigenPair

using ChainRulesCore
using Libdl: Libdl
using LinearAlgebra
using Preferences: Preferences

export eigh, eigvalsh, EighResult, fix_gauge

# Words as common as these would clash with the names of others, so they are public without being exported.
@static if VERSION >= v"1.11.0-DEV.469"
    eval(Meta.parse("public DegeneracyPolicy, check, mask, broaden, raw"))
    eval(Meta.parse("public LAPACKHandle, with_lapack, set_library!, library_path"))
end

include("native.jl")
include("degeneracy.jl")
include("inputs.jl")
include("hermitian.jl")
include("hermitian_second_order.jl")
include("hermitian_rules.jl")
include("gauge.jl")

# What a precompiled image would carry over of these is an address in a process that is gone.
function __init__()
    CORE[] = nothing
    DEFAULT_LAPACK[] = nothing
    return nothing
end

end
