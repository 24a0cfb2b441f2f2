"""
    EigenPair

Eigendecompositions with derivatives, through ChainRules. A derivative is right, or NaN where it does not exist.

Functions: [`eigh`](@ref), [`eigvalsh`](@ref) of Hermitian matrices and definite pairs; [`eigh_tridiagonal`](@ref),
[`eigh_banded`](@ref); [`eig`](@ref),
[`EigenPair.eigvals`](@ref), [`EigenPair.condition_numbers`](@ref) of general ones; [`spectral_map`](@ref), [`spectral_sum`](@ref),
[`spectral_projector`](@ref), which have derivatives at any degeneracy; [`fix_gauge`](@ref).

A policy says what a derivative does where eigenvalues coincide: [`EigenPair.check`](@ref) (the default),
[`EigenPair.mask`](@ref), [`EigenPair.broaden`](@ref), [`EigenPair.raw`](@ref); for a block of code,
[`EigenPair.with_policy`](@ref). The LAPACK can be chosen with [`EigenPair.LAPACKHandle`](@ref) and
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
using PrecompileTools: @compile_workload, @setup_workload
using Preferences: Preferences

export eigh, eigvalsh, EighResult, fix_gauge
export eigh_tridiagonal, eigvalsh_tridiagonal, eigh_banded, eigvalsh_banded
export eig, EigResult, EigLeftResult, EigBothResult
export spectral_map, spectral_sum, spectral_projector
export eigsh, EigshResult
export matrix_function, sqrtm, logm, signm

# Public but not exported, because other packages have functions with these common names.
@static if VERSION >= v"1.11.0-DEV.469"
    eval(Meta.parse("public DegeneracyPolicy, check, mask, broaden, raw, with_policy, count_refusals, eigvals, condition_numbers"))
    eval(Meta.parse("public eigh_pullback, eigh_pushforward, eigvalsh_pullback, eigvalsh_pushforward"))
    eval(Meta.parse("public eig_pullback, eig_pushforward, eigvals_pullback, eigvals_pushforward"))
    eval(Meta.parse("public eigsh_pullback, eigsh_pushforward"))
    eval(Meta.parse("public inv_sqrt, power, fermi_dirac, chemical_potential"))
    eval(Meta.parse("public LAPACKHandle, with_lapack, set_library!, library_path, check_grads, GradientCheck"))
end

include("runtime/library.jl")
include("runtime/python_library.jl")
include("runtime/lapack.jl")
include("runtime/native.jl")
include("runtime/products.jl")
include("runtime/problems.jl")
include("runtime/dual_numbers.jl")

include("degeneracy/decision.jl")
include("degeneracy/explanations.jl")

include("runtime/derivatives.jl")

include("hermitian/eigh.jl")
include("hermitian/rule.jl")
include("hermitian/subset.jl")
include("hermitian/banded.jl")

include("general/eig.jl")
include("general/gauge.jl")
include("general/rule.jl")

include("spectral/divided_differences.jl")
include("spectral/functions.jl")
include("spectral/forms.jl")
include("spectral/core_forms.jl")
include("spectral/pair.jl")
include("spectral/spectral.jl")
include("spectral/duals.jl")
include("spectral/triangular.jl")
include("spectral/eigenvalue_groups.jl")
include("spectral/matrix_function.jl")
include("spectral/chemical_potential.jl")
include("spectral/fix_gauge.jl")
include("spectral/chainrules.jl")

include("large/operators.jl")
include("large/selection.jl")
include("large/linear_systems.jl")
include("large/krylov.jl")
include("large/factors.jl")
include("large/request.jl")
include("large/rule.jl")
include("large/eigsh.jl")
include("large/spectral.jl")

include("verification/finite_differences.jl")
include("verification/check_grads.jl")

include("runtime/engines.jl")
# Last, because they refer to the functions above.
include("runtime/remedies.jl")
include("precompile.jl")

# Addresses do not survive precompilation.
function __init__()
    CORE[] = nothing
    DEFAULT_LAPACK[] = nothing
    Base.Experimental.register_error_hint(print_remedies, MethodError)
    return nothing
end

end
