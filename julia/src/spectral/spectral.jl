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
function spectral_map(f, a; hermitian_part = false)
    p = spectral_problem(f, a)
    λ, V = constants(p, a, :spectral_map, hermitian_part)
    return spectral_shape(p, form(Opened(), f, (), hermitian_array(p, a), λ, V))
end

"""
    spectral_sum(f, a; hermitian_part = false)

`Σ f(λᵢ) = tr f(A)` of the Hermitian part of `a`, differentiable at any degeneracy; its gradient is `f′(A)`. A number, or
an array of size `batch`. Arguments, errors and derivatives as for [`spectral_map`](@ref).
"""
function spectral_sum(f, a; hermitian_part = false)
    p = spectral_problem(f, a)
    λ, V = constants(p, a, :spectral_sum, hermitian_part)
    return sum_shape(p, form(Closed(), Antiderivative(f), (), hermitian_array(p, a), λ, V), λ)
end

"""
    spectral_projector(a, k; hermitian_part = false)

The orthogonal projector on the eigenvectors of the `k` lowest eigenvalues of the Hermitian part of `a`, or of the matrix
that a `Symmetric` or `Hermitian` argument stands for.

Only the gap between eigenvalues `k` and `k + 1` matters to its first and second derivatives; degeneracy on either side does
not. Where that gap is no larger than rounding (as for [`EigenPair.check`](@ref)), there is no such projector: all is
NaN. Arguments and errors as for [`spectral_map`](@ref); `0 ≤ k ≤ n`.
"""
function spectral_projector(a, k; hermitian_part = false)
    p = projector_problem(a, k)
    λ, V = projector_constants(p, a, k, hermitian_part)
    return spectral_shape(p, form(Opened(), Step(k), (), hermitian_array(p, a), λ, V))
end

# ---- what all three are made of --------------------------------------------------------------------------------

spectral_problem(a) = hermitian_problem(a, nothing, (; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = Raw()))

function spectral_problem(f, a)
    is_function(f) || throw(
        ArgumentError(
            "`f` must be a function of a number, got $(repr(f))$(a isa Function ? "; the order is `f, a`" : "")"
        )
    )
    return spectral_problem(a)
end
is_function(f) = f isa Function || f isa Type || applicable(f, 1.0)

function projector_problem(a, k)
    p = spectral_problem(a)
    (k isa Integer && !(k isa Bool)) || throw(ArgumentError("`k` must be an integer, got $(repr(k))"))
    0 <= k <= p.n || throw(ArgumentError("`k` must satisfy 0 ≤ k ≤ $(p.n), got $k"))
    return p
end

spectral_shape(p, Y) = reshape(Y, p.n, p.n, p.batch...)
# NaN for a matrix whose eigenvalues are NaN, even if `f` is a constant.
sum_shape(p, y, λ) = shaped_sum(p, y .+ nan_or_zero(λ))
shaped_sum(p, y) = p.batch === () ? only(y) : reshape(y, p.batch)
nan_or_zero(λ) = [any(isnan, x) ? eltype(λ)(NaN) : zero(eltype(λ)) for x in eachcol(λ)]

"""
    constants(p, a, name, hermitian_part)

Eigenvalues and vectors, as constants: derivatives take their way through the forms. NaN for a matrix that is far from Hermitian,
unless its Hermitian part is meant.
"""
function constants(p::HermitianProblem{T}, a, name, hermitian_part) where {T}
    hermitian_part isa Bool || throw(ArgumentError("`hermitian_part` must be true or false, got $(repr(hermitian_part))"))
    λ, V, _ = hermitian_solve(HermitianProblem{plain_type(T)}(p), each(plain, a), nothing)
    (hermitian_part || a isa SymmetricOrHermitian) && return λ, V
    A = flat(each(plain, a))
    for k in axes(A, 3)
        is_far_from_hermitian(view(A, :, :, k)) || continue
        explain_asymmetry(as_policy(nothing), name, view(A, :, :, k), k, size(A, 3))
        fill!(view(λ, :, k), NaN)
        fill!(view(V, :, :, k), NaN)
    end
    return λ, V
end

function projector_constants(p, a, k, hermitian_part)
    λ, V = constants(p, a, :spectral_projector, hermitian_part)
    policy = as_policy(nothing)
    for (m, x) in enumerate(eachcol(λ))
        explains(policy) && !any(isnan, x) && !has_gap(x, k) &&
            explain(policy, "spectral_projector", k, k + 1, (x[k], x[k + 1]), CUT, m, size(λ, 2))
    end
    return λ, V
end

"""
    hermitian_array(p, a)

The problem's Hermitian matrices, `n × n × count`.
"""
hermitian_array(p::HermitianProblem{T}, a) where {T} = hermitian_matrices(T, flat(entries(a)), p.a.triangle)

# The gradient with respect to `a`, from one with respect to that array which need not be Hermitian.
hermitian_gradient(p::HermitianProblem, Ā) = project_hermitian(p.a, Ā .+ zero(eltype(Ā)))
