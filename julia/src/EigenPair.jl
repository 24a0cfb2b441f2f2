"""
    EigenPair

Eigendecompositions whose derivatives are right, or NaN where they do not exist, through ChainRules.

Functions: [`eigh`](@ref), [`eigvalsh`](@ref) of Hermitian matrices and definite pairs; [`eig`](@ref),
[`EigenPair.eigvals`](@ref), [`EigenPair.condition_numbers`](@ref) of general ones; [`spectral_map`](@ref), [`spectral_sum`](@ref),
[`spectral_projector`](@ref), which have derivatives at any degeneracy; [`fix_gauge`](@ref).

What a derivative does where eigenvalues coincide is a policy: [`EigenPair.check`](@ref) (the default),
[`EigenPair.mask`](@ref), [`EigenPair.broaden`](@ref), [`EigenPair.raw`](@ref); for a block of code,
[`EigenPair.with_policy`](@ref). Which LAPACK does the work: [`EigenPair.LAPACKHandle`](@ref),
[`EigenPair.with_lapack`](@ref).

The numerical core is a shared library, found when the first function is called: the preference `library`
([`EigenPair.set_library!`](@ref)), else the environment variable `EIGENPAIR_LIBRARY`, else the package EigenPair_jll if
the active environment has it, else a file beside the package's folder, where Python's wheel has it.
"""
module EigenPair

using ChainRulesCore
using ForwardDiff: ForwardDiff, Dual
using Libdl: Libdl
using LinearAlgebra
using Preferences: Preferences

export eigh, eigvalsh, EighResult, fix_gauge
export eig, EigResult, EigLeftResult, EigBothResult
export spectral_map, spectral_sum, spectral_projector

# Words as common as these would clash with the names of others, so they are public without being exported.
@static if VERSION >= v"1.11.0-DEV.469"
    eval(Meta.parse("public DegeneracyPolicy, check, mask, broaden, raw, with_policy, count_refusals, eigvals, condition_numbers"))
    eval(Meta.parse("public inv_sqrt, power, fermi_dirac"))
    eval(Meta.parse("public LAPACKHandle, with_lapack, set_library!, library_path"))
end

include("library.jl")
include("lapack.jl")
include("native.jl")
include("products.jl")
include("rounding.jl")
include("degeneracy.jl")
include("explanations.jl")
include("inputs.jl")
include("hermitian.jl")
include("hermitian_core.jl")
include("hermitian_second_order.jl")
include("hermitian_rules.jl")
include("partial.jl")
include("complement.jl")
include("partial_rules.jl")
include("gauge.jl")
include("general_inputs.jl")
include("general_gaps.jl")
include("general.jl")
include("general_second_order.jl")
include("general_rules.jl")
include("divided_differences.jl")
include("functions.jl")
include("spectral_forms.jl")
include("spectral.jl")
include("spectral_rules.jl")
include("duals.jl")
include("remedies.jl")

# What a precompiled image would carry over of these is an address in a process that is gone.
function __init__()
    CORE[] = nothing
    DEFAULT_LAPACK[] = nothing
    Base.Experimental.register_error_hint(print_remedies, MethodError)
    return nothing
end

end
