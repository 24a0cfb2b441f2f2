# Functions of a Hermitian matrix that have derivatives at any degeneracy. See docs/derivations.md, "Spectral functions".

"""
    spectral_map(f, a; hermitian_part = false)

`f(A) = V f(Λ) Vᴴ`, of the Hermitian part `A` of `a`, or of the matrix that a `Symmetric` or `Hermitian` argument stands for.
First and second derivatives are exact at any degeneracy: those of the Daleckii–Kreĭn theorem (Higham, *Functions of
Matrices*, thm 3.11), with divided differences that stay accurate at gaps of any size. A third derivative is an error.

`f` takes a real number and returns a real or complex one; it must be differentiable on the spectrum and between its
points. `exp`, `log`, `sqrt` will do, `x -> cis(-x * t)`, [`EigenPair.inv_sqrt`](@ref),
[`EigenPair.power`](@ref), [`EigenPair.fermi_dirac`](@ref). Its derivatives are taken by ForwardDiff. What it holds or closes over has a
gradient too, and so do gradients with respect to `a`; where there is none (see below), asking is an error, never a zero.
What `f` throws, such as a `DomainError`, is passed on.

`a` is `n × n`, or `n × n × batch...`, and so is the result, a plain array. Small deviations from a Hermitian matrix are ignored, such as
rounding or the steps of finite differences. A matrix that is far from Hermitian, its skew-Hermitian part more than a hundredth of
it, was hardly meant: all is NaN for it. `hermitian_part = true` says that the Hermitian part is meant, however much there is beside
it. A matrix with NaN or Inf gives NaN for itself. Throws `DimensionMismatch` or `ArgumentError` naming the argument.

Without a gradient: what `f` closes over, in rules that are called without a configuration for reverse mode
(Zygote's has one); in forward mode through ChainRules (ForwardDiff has it); in reverse mode twice (`Zygote.hessian`, which is forward over
reverse, has it); of a second derivative with respect to `a`.
"""
spectral_map(f, a; hermitian_part = false) = spectral_value(spectral_map, f, a, spectral_constants(spectral_map, f, a, hermitian_part)...)

"""
    spectral_sum(f, a; hermitian_part = false)

`Σ f(λᵢ) = tr f(A)` of the Hermitian part of `a`, differentiable at any degeneracy; its gradient is `f′(A)`. A number, or
an array of size `batch`. Arguments, errors and derivatives as for [`spectral_map`](@ref).
"""
spectral_sum(f, a; hermitian_part = false) = spectral_value(spectral_sum, f, a, spectral_constants(spectral_sum, f, a, hermitian_part)...)

"""
    spectral_projector(a, k; hermitian_part = false)

The orthogonal projector on the eigenvectors of the `k` lowest eigenvalues of the Hermitian part of `a`, or of the matrix
that a `Symmetric` or `Hermitian` argument stands for.

Only the gap between eigenvalues `k` and `k + 1` matters to its first and second derivatives; degeneracy on either side does
not. Where that gap is no larger than rounding (as for [`EigenPair.check`](@ref)), there is no such projector: all is
NaN. Arguments and errors as for [`spectral_map`](@ref); `0 ≤ k ≤ n`.
"""
spectral_projector(a, k; hermitian_part = false) =
    spectral_value(spectral_projector, k, a, spectral_constants(spectral_projector, k, a, hermitian_part)...)

# ---- what all three are made of --------------------------------------------------------------------------------

# The kind of form (forms.jl), and the function it is made of.
form_of(::typeof(spectral_map), f) = Opened(), f
form_of(::typeof(spectral_sum), f) = Closed(), Antiderivative(f)
form_of(::typeof(spectral_projector), k) = Opened(), Step(k)

function spectral_value(name, f, a, p, λ, V)
    kind, F = form_of(name, f)
    return spectral_shape(kind, p, form(kind, F, (), hermitian_array(p, a), λ, V), λ)
end

spectral_shape(::Opened, p, Y, λ) = reshape(Y, p.n, p.n, p.batch...)
# NaN for a matrix whose eigenvalues are NaN, even if `f` is a constant.
function spectral_shape(::Closed, p, y, λ)
    sums = y .+ nan_or_zero(λ)
    return p.batch === () ? only(sums) : reshape(sums, p.batch)
end
nan_or_zero(λ) = [any(isnan, x) ? eltype(λ)(NaN) : zero(eltype(λ)) for x in eachcol(λ)]

"""
    spectral_constants(name, f, a, hermitian_part)

The problem, and its eigenvalues and vectors as constants: derivatives take their way through the forms. NaN for a matrix that is far
from Hermitian, unless its Hermitian part is meant. Throws for everything that a call may get wrong.
"""
function spectral_constants(name, f, a, hermitian_part)
    name === spectral_projector || check_function(f, a)
    p = hermitian_problem(a, nothing, (; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = Raw()))
    name === spectral_projector && check_count(f, p.n)
    hermitian_part isa Bool || throw(ArgumentError("`hermitian_part` must be true or false, got $(repr(hermitian_part))"))
    plain_a = each(plain, a)
    λ, V, _ = solution(with_type(plain_type(eltype(p)), p), plain_a, nothing)
    hermitian_part || a isa SymmetricOrHermitian || refuse_asymmetry!(λ, V, nameof(name), flat(plain_a))
    name === spectral_projector && explain_cut(λ, f)
    return p, λ, V
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

function refuse_asymmetry!(λ, V, name, A)
    for k in axes(A, 3)
        is_far_from_hermitian(view(A, :, :, k)) || continue
        explain_asymmetry(as_policy(nothing), name, view(A, :, :, k), k, size(A, 3))
        foreach(x -> fill!(slice(x, k), NaN), (λ, V))
    end
    return nothing
end

function explain_cut(λ, k)
    policy = as_policy(nothing)
    for (m, x) in enumerate(eachcol(λ))
        explains(policy) && !any(isnan, x) && !has_gap(x, k) &&
            explain(policy, "spectral_projector", k, k + 1, (x[k], x[k + 1]), CUT, m, size(λ, 2))
    end
    return nothing
end

"""
    hermitian_array(p, a)

The problem's Hermitian matrices, `n × n × count`.
"""
hermitian_array(p::HermitianProblem, a) = input_matrices(p, p.a, a)

# The gradient with respect to `a`, from one with respect to that array which need not be Hermitian.
hermitian_gradient(p::HermitianProblem, Ā) = projected_gradient(p.a, Ā .+ zero(eltype(Ā)))
