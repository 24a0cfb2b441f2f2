# The policies: what derivatives do where eigenvalues coincide.

"""
    EigenPair.DegeneracyPolicy

What derivatives do where eigenvalues coincide: [`EigenPair.check`](@ref), [`EigenPair.mask`](@ref),
[`EigenPair.broaden`](@ref) or [`EigenPair.raw`](@ref).
"""
abstract type DegeneracyPolicy end

struct Check <: DegeneracyPolicy
    c::Float64
    generic_basis::Bool
    explain::Bool
    coupled::Symbol
    refused::Symbol
    # Where the function was called, for explanations.
    file::Symbol
    line::Int
end

# A copy with other values of some fields.
renewed(p::Check; file = p.file, line = p.line) = Check(p.c, p.generic_basis, p.explain, p.coupled, p.refused, file, line)

struct Mask <: DegeneracyPolicy
    tol::Float64
end

struct Broaden <: DegeneracyPolicy
    eps::Float64
end

struct Raw <: DegeneracyPolicy end

"""
    EigenPair.check(; c = 10, generic_basis = false, explain = false, coupled = :nan, refused = :nan)

The default policy: right, or NaN. Eigenvalues closer than `c √n ε s` form a cluster (`ε` the machine epsilon, `s` the
size that rounding errors come from: the largest `|λ|` of a standard problem). Inside a cluster nothing is divided by a
gap, which is right for losses of the cluster's projector and of symmetric functions of its eigenvalues; when the
cotangent shows that the loss is no such function, the gradient of that matrix is NaN. A second derivative through a cluster is NaN, and
one through eigenvectors already at gaps of `√(c √n ε) s`, for it divides by gaps twice.

Forward mode sees no loss, but it sees the perturbation. If that couples two vectors of one cluster (`vᵢᴴ dA vⱼ` is more than
rounding), they turn at once, and their tangents are NaN. All other tangents are right for every loss that has a derivative. The
tangents of eigenvalues are those of symmetric losses; for other losses they belong to the subgradient that reverse mode gives
(`eigh`) or are NaN where the perturbation couples (`eig`).

- `coupled = :mask` makes forward mode leave the turn out. That is right for losses that use the cluster through its invariant
  subspace and symmetric functions of its eigenvalues only, and nothing checks that they do.
- `refused = :zero` makes the gradient of a refused matrix 0, so that a training step goes on with the others. That is not its
  gradient; [`EigenPair.count_refusals`](@ref) counts them. NaN that comes from the loss or the matrix stays NaN, and so do
  tangents and second derivatives.
- `explain = true` warns when something is NaN: which matrix, which eigenvalues, why, and what to call instead. It points at the line
  that called the function.

Limit: in reverse mode two different losses can hand back the same cotangents at a matrix whose eigenvectors LAPACK returns in a special
basis (at the identity, say), so passing the tests is necessary, not sufficient. `generic_basis = true` closes the gap: it
turns the basis of each cluster by a fixed, generic reflection, in the value as well, so that a loss that depends on the
basis is found out with probability one. In return, the eigenvectors of the identity are no longer the identity. For
Hermitian problems.
"""
function check(; c::Real = 10, generic_basis::Bool = false, explain::Bool = false, coupled = :nan, refused = :nan)
    iszero(c) && throw(ArgumentError("`c` must be positive; EigenPair.raw() is the policy without clusters"))
    coupled in (:nan, :mask) || throw(ArgumentError("`coupled` must be :nan or :mask, got $(repr(coupled))"))
    refused in (:nan, :zero) || throw(ArgumentError("`refused` must be :nan or :zero, got $(repr(refused))"))
    return Check(tolerance("c", c), generic_basis, explain, coupled, refused, Symbol(""), 0)
end

"""
    EigenPair.mask(tol)

The policy that ignores every gap of at most `tol` (absolute), whatever the loss. Right only for losses of the clusters'
projectors and of symmetric functions of their eigenvalues; unlike [`EigenPair.check`](@ref) it does not look.
"""
mask(tol::Real) = Mask(tolerance("tol", tol))

"""
    EigenPair.broaden(eps)

The policy that replaces `1/x` by `x/(x² + eps)`: finite and biased everywhere, as is usual in tensor-network codes.
"""
broaden(eps::Real) = Broaden(tolerance("eps", eps))

"""
    EigenPair.raw()

The policy that divides by the gap, whatever it is: Inf or NaN at exact degeneracy, noise close to it.
"""
raw() = Raw()

"""
    EigenPair.with_policy(f, policy)

Call `f()` with `policy` for every call in this task that names no `degeneracy` of its own:

```julia
EigenPair.with_policy(EigenPair.mask(1e-6)) do
    Zygote.gradient(loss, a)
end
```

A gradient follows the policy under which its forward pass ran.
"""
with_policy(f, policy) = task_local_storage(f, :EigenPairPolicy, checked_policy(policy))

# The policy itself; for `nothing` that of the enclosing `with_policy`; an error for anything else.
as_policy(policy) = located(checked_policy(policy))
as_policy(::Nothing) = located(get(task_local_storage(), :EigenPairPolicy, DEFAULT_POLICY)::DegeneracyPolicy)

checked_policy(policy::DegeneracyPolicy) = policy
checked_policy(policy) = throw(
    ArgumentError(
        "`degeneracy` must be EigenPair.check(), EigenPair.mask(tol), EigenPair.broaden(eps) or EigenPair.raw(), \
        got $(repr(policy))$(meant_policy(policy))"
    )
)

# A hint for an error message: which policy the argument may have meant.
meant_policy(_) = ""
meant_policy(::Function) = "; call it"
meant_policy(policy::Real) = "; EigenPair.mask($policy) leaves out gaps up to that number"

function tolerance(name, x::Real)
    (isfinite(x) && x >= 0) ||
        throw(ArgumentError("`$name` must be a finite number that is not negative, got $x"))
    return Float64(x)
end

const DEFAULT_POLICY = check()
