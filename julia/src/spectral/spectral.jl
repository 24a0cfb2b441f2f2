# Functions of a Hermitian matrix or of a definite pair that have derivatives at any degeneracy. See docs/derivations.md, "Spectral functions".

"""
    spectral_map(f, a, b = nothing; type = 1, hermitian_part = false)

`V f(Λ) Vᴴ` of the Hermitian part of `a`, or of the matrix of a `Symmetric` or `Hermitian` argument. For a matrix it is `f(A)`. For a
definite pair it is `Σ f(λᵢ) vᵢ vᵢᴴ`, the density matrix of orbitals `vᵢ` with occupations `f(λᵢ)`.
First and second derivatives are exact at any degeneracy. They are those of the Daleckii–Kreĭn theorem (Higham, *Functions of
Matrices*, thm 3.11), with divided differences that stay accurate at gaps of any size. A third derivative is an error.

`f` maps a real number to a real or complex one; it must be differentiable on the spectrum and between its
points. Examples are `exp`, `log`, `sqrt`, `x -> cis(-x * t)`, [`EigenPair.inv_sqrt`](@ref),
[`EigenPair.power`](@ref), [`EigenPair.fermi_dirac`](@ref). ForwardDiff computes its derivatives. Fields of `f` and values that it closes over
have gradients too. Where such a gradient does not exist (see below), requesting it is an error, not a zero.
Exceptions of `f`, such as a `DomainError`, are passed on.

`a` is `n × n`, or `n × n × batch...`, and so is the result, a plain array. `b` is positive definite, and is broadcast against `a` along the
batch dimensions; a vector is a diagonal matrix. `type` is the problem and the normalization of `V`, as for [`eigh`](@ref). Small deviations
from a Hermitian matrix, such as rounding errors or the steps of finite differences, are ignored. A matrix that is far from Hermitian (its
skew-Hermitian part is more than a hundredth of it) gives NaN, because it is probably a mistake. With `hermitian_part = true` the Hermitian part
of any matrix is used. A matrix with NaN or Inf, or a `b` that is not positive definite, gives NaN for that matrix alone. Throws
`DimensionMismatch` or `ArgumentError` naming the argument.

Gradients with respect to values that `f` closes over do not exist in four cases: in rules that are called without a configuration for reverse
mode (Zygote has one); in forward mode through ChainRules (ForwardDiff has them); in reverse over reverse mode (`Zygote.hessian`, which is
forward over reverse, has them); for a second derivative with respect to `a`.
"""
spectral_map(f, a, b = nothing; type = 1, hermitian_part = false) = spectral_value(spectral_map, f, a, b, type, hermitian_part)

"""
    spectral_sum(f, a, b = nothing; type = 1, hermitian_part = false)

`Σ f(λᵢ)` of the Hermitian part of `a` or of a definite pair, three times differentiable at any degeneracy. For a matrix it is `tr f(A)`,
with the gradient `f′(A)`. A number, or an array of size `batch`. Arguments, errors and derivatives as for [`spectral_map`](@ref).
"""
spectral_sum(f, a, b = nothing; type = 1, hermitian_part = false) = spectral_value(spectral_sum, f, a, b, type, hermitian_part)

"""
    spectral_projector(a, k, b = nothing; type = 1, hermitian_part = false)

`VₖVₖᴴ` with the eigenvectors of the `k` lowest eigenvalues of the Hermitian part of `a`, or of the matrix of a `Symmetric` or `Hermitian`
argument: the orthogonal projector on them. For a definite pair it is the density matrix `P` of `k` orbitals (then `P B` is a projector).

Its first and second derivatives depend only on the gap between eigenvalues `k` and `k + 1`, not on degeneracy on either side. If this gap is
no larger than rounding errors (as in [`EigenPair.check`](@ref)), there is no such projector, and value and derivatives are
NaN. Arguments and errors as for [`spectral_map`](@ref); `0 ≤ k ≤ n`.
"""
spectral_projector(a, k, b = nothing; type = 1, hermitian_part = false) = spectral_value(spectral_projector, k, a, b, type, hermitian_part)

# ---- what all three are made of --------------------------------------------------------------------------------

# The kind of form (forms.jl), and the function it is made of.
form_of(::typeof(spectral_map), f) = Opened(), f
form_of(::typeof(spectral_sum), f) = Closed(), Antiderivative(f)
form_of(::typeof(spectral_projector), k) = Opened(), Step(k)

spectral_value(name, f, a, b, type, hermitian_part) =
    value_at_solution(name, f, spectral_arrays(a, b, spectral_constants(name, f, a, b, type, hermitian_part)...)...)

# The arrays, the eigenvalues and the basis whose functions are wanted; W is `nothing` for the identity.
spectral_arrays(a, b, p, λ, V, U) = p, batch_of(p, p.a, a), batch_of(p, p.b, b), λ, V, U
function in_metric(p, A, B, λ, V, U)
    B === nothing && return A, nothing, V
    C, W = metric(p, A, B, λ, V, U)
    return C, W, identities(V)
end

function value_at_solution(name, f, p, A, B, λ, V, U)
    (kind, F), (C, W, basis) = form_of(name, f), in_metric(p, A, B, λ, V, U)
    return spectral_shape(kind, p, outside_metric(kind, W, form(kind, F, (), C, λ, basis)), λ)
end
outside_metric(::Closed, W, y) = y
outside_metric(::Opened, ::Nothing, Y) = Y
outside_metric(::Opened, W, Y) = mul(W, mul(Y, adjoints(W)))

spectral_shape(::Opened, p, Y, λ) = reshape(Y, p.n, p.n, p.batch...)
# NaN for a matrix whose eigenvalues are NaN, even if `f` is a constant.
function spectral_shape(::Closed, p, y, λ)
    sums = y .+ nan_or_zero(λ)
    return p.batch === () ? only(sums) : reshape(sums, p.batch)
end
nan_or_zero(λ) = [any(isnan, x) ? eltype(λ)(NaN) : zero(eltype(λ)) for x in eachcol(λ)]

"""
    spectral_constants(name, f, a, b, type, hermitian_part)

The problem, and its solution as constants: the forms have the derivatives. NaN for a matrix that is far from Hermitian,
unless `hermitian_part`, and for a projector that would cut a cluster. Throws for bad arguments.
"""
function spectral_constants(name, f, a, b, type, hermitian_part)
    name === spectral_projector || check_function(f, a)
    p = hermitian_problem(a, b; type, degeneracy = DEFAULT_POLICY)
    name === spectral_projector && check_count(f, p.n)
    hermitian_part isa Bool || throw(ArgumentError("`hermitian_part` must be true or false, got $(repr(hermitian_part))"))
    p₀, a₀, b₀ = with_type(plain_type(eltype(p)), p), each(plain, a), each(plain, b)
    λ, V, U = solution(p₀, a₀, b₀)
    refused = falses(size(λ, 2))
    hermitian_part || foreach((input, x) -> refuse_asymmetry!(refused, nameof(name), p, input, x), (p.a, p.b), (a₀, b₀))
    name === spectral_projector || explain_values(as_policy(nothing), nameof(name), f, λ)
    name === spectral_projector && 0 < f < p.n && refuse_cut!(refused, f, p₀, input_norms(p₀, a₀, b₀), λ, V, U)
    foreach(k -> foreach(x -> x === nothing || fill!(slice(x, k), NaN), (λ, V, U)), findall(refused))
    return p, λ, V, U
end

function check_function(f, a)
    is_function = f isa Function || f isa Type || applicable(f, 1.0)
    is_function || throw(
        ArgumentError("`f` must be a function of a number, got $(repr(f))$(a isa Function ? "; the order is `f, a`" : "")")
    )
    return nothing
end
function check_count(k, n)
    (k isa Integer && !(k isa Bool)) || throw(ArgumentError("`k` must be an integer, got $(repr(k))"))
    0 <= k <= n || throw(ArgumentError("`k` must satisfy 0 ≤ k ≤ $n, got $k"))
    return nothing
end

refuse_asymmetry!(refused, name, p, ::Nothing, x) = nothing
function refuse_asymmetry!(refused, name, p, input, x)
    input.structured && return nothing
    X = flat(x)
    for (k, own) in enumerate(batch_indices(p, input))
        is_far_from_hermitian(view(X, :, :, own)) || continue
        refused[k] || explain_asymmetry(as_policy(nothing), name, view(X, :, :, own), k, length(refused))
        refused[k] = true
    end
    return nothing
end

function refuse_cut!(refused, k, p, norms, λ, V, U)
    decision, policy = decide(p, FORWARD, norms, λ, V, U), as_policy(nothing)
    for m in axes(λ, 2)
        decision.reasons[k, k + 1, m] == CLUSTER && !any(isnan, view(λ, :, m)) || continue
        explains(policy) && explain(policy, "spectral_projector", k, k + 1, (λ[k, m], λ[k + 1, m]), CUT, m, size(λ, 2))
        refused[m] = true
    end
    return nothing
end

"""
    batch_of(p, input, x)

The matrices of all problems of the batch that an argument represents, `n × n × count`; `nothing` for a missing `b`.
"""
batch_of(p, input, x) = problem_matrices(p, input, x)

# The gradient with respect to the argument, from one with respect to that array which need not be Hermitian.
argument_gradient(p, input, X̄) = shared_gradient(p, input, X̄ .+ zero(eltype(X̄)))
argument_gradient(p, ::Nothing, X̄) = nothing
