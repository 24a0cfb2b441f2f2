# Second derivatives by the rules alone, without an AD engine, which would have to be compiled.
module SecondOrder

using ChainRulesCore
using EigenPair
using Zygote: Zygote
using ..Losses.Lines: along, slope
using ..Problems: moduli, squares, weighted_gradient

export gradient_by, forward_over_reverse, reverse_over_reverse, general_gradient_by, general_forward, general_reverse

# A loss is its weights W, for moduli; or `nothing`, for the sum of squares of the eigenvalues; or a function that makes
# its cotangents of (w, v).
cotangents(W::AbstractArray, w, v) = weighted_gradient(moduli, W, w, v, 1.0)
cotangents(::Nothing, w, v) = 2w, ZeroTangent()
cotangents(f, w, v) = f(w, v)

"""
    gradient_by(loss, matrices; options...)

The gradient of a loss of `eigh(matrices...; options...)`.
"""
function gradient_by(loss, matrices; options...)
    Ω, pullback = rrule(eigh, matrices...; options...)
    w̄, v̄ = cotangents(loss, Ω...)
    return map(unthunk, pullback(Tangent{typeof(Ω)}(; eigenvalues = w̄, eigenvectors = v̄))[2:end])
end

"""
    forward_over_reverse(loss, matrices, direction; options...)

The derivative of the gradient along `direction`.
"""
forward_over_reverse(loss, matrices, direction; options...) =
    map(slope, gradient_by(loss, map(along, matrices, direction); options...))

"""
    reverse_over_reverse(loss, matrices, cotangent; options...)

The gradient of `Re Σ ⟨cotangent, gradient⟩`; the loss is weights or `nothing`.
"""
function reverse_over_reverse(loss, matrices, cotangent; options...)
    a, b = length(matrices) == 1 ? (matrices..., nothing) : matrices
    p = EigenPair.hermitian_problem(a, b; options...)
    norms = EigenPair.input_norms(p, a, b)
    (w, V, U), pull_solve = rrule(EigenPair.solution, p, a, b)
    loss isa AbstractArray && (loss = reshape(loss, size(V)))
    w̄, V̄ = map(EigenPair.present, cotangents(loss, w, V))
    _, pull_gradients = rrule(EigenPair.input_gradients, p, norms, a, b, w, V, U, w̄, V̄, nothing)
    ∂a, ∂b, ∂w, ∂V, ∂U, ∂w̄, ∂V̄ = pull_gradients(b === nothing ? (cotangent..., NoTangent()) : cotangent)[4:10]
    by_w, by_V = loss === nothing ? (2 * ∂w̄, ZeroTangent()) : rrule(weighted_gradient, moduli, loss, w, V, 1.0)[2]((∂w̄, ∂V̄))[4:5]
    _, _, ā, b̄ = pull_solve((∂w + by_w, ∂V + by_V, ∂U))
    return map(unthunk, (∂a + ā, ∂b + b̄)[1:length(matrices)])
end

# ---- the general problem -------------------------------------------------------------------------------------

# The loss is `weighted(squares, W, w, v)` of the right vectors plus `weighted(squares, X, w, vl)` of the left ones, or
# `nothing`: the real part of the sum of squares of the eigenvalues.
function general_cotangents((W, X)::Tuple, w, v, vl)
    (of_right, v̄), (of_left, l̄) = weighted_gradient(squares, W, w, v, 1.0), weighted_gradient(squares, X, w, vl, 1.0)
    return of_right + of_left, v̄, l̄
end
general_cotangents(::Nothing, w, v, vl) = 2 * conj(w), ZeroTangent(), ZeroTangent()

# Of (w, v, vl), for the cotangents of those cotangents.
function general_cotangents_back((W, X)::Tuple, w, v, vl, ∂w̄, ∂v̄, ∂l̄)
    by_w, by_v = rrule(weighted_gradient, squares, W, w, v, 1.0)[2]((∂w̄, ∂v̄))[4:5]
    w_of_left, by_left = rrule(weighted_gradient, squares, X, w, vl, 1.0)[2]((∂w̄, ∂l̄))[4:5]
    return by_w + w_of_left, by_v, by_left
end
general_cotangents_back(::Nothing, w, v, vl, ∂w̄, ∂v̄, ∂l̄) = 2 * conj(∂w̄), ZeroTangent(), ZeroTangent()

"""
    general_gradient_by(loss, matrices; options...)

The gradient of a loss of `eig(matrices...; left = true, options...)`.
"""
function general_gradient_by(loss, matrices; options...)
    Ω, pullback = rrule(eig, matrices...; left = true, options...)
    w̄, v̄, l̄ = general_cotangents(loss, Ω.eigenvalues, Ω.eigenvectors, Ω.left_eigenvectors)
    Ω̄ = Tangent{typeof(Ω)}(; eigenvalues = w̄, eigenvectors = v̄, left_eigenvectors = l̄)
    return map(unthunk, pullback(Ω̄)[2:end])
end

"""
    general_forward(loss, matrices, direction; options...)

The derivative of that gradient along `direction`.
"""
general_forward(loss, matrices, direction; options...) =
    map(slope, general_gradient_by(loss, map(along, matrices, direction); options...))

"""
    general_reverse(loss, matrices, cotangent; degeneracy = nothing)

The gradient of `Re Σ ⟨cotangent, gradient⟩`.
"""
function general_reverse(loss, matrices, cotangent; degeneracy = nothing)
    a, b = length(matrices) == 1 ? (matrices..., nothing) : matrices
    p = EigenPair.general_problem(a, b, (; left = true, right = true, degeneracy))
    norms = EigenPair.input_norms(p, a, b)
    (w, V, U, L), pull_solve = rrule(EigenPair.solution, p, a, b)
    flat_loss = loss === nothing ? nothing : map(x -> reshape(x, size(V)), loss)
    w̄, V̄, L̄ = map(EigenPair.present, general_cotangents(flat_loss, w, V, L))
    Ū, pull_left = Zygote.pullback(EigenPair.left_cotangent, U, L, L̄)
    _, pull_gradients = rrule(EigenPair.input_gradients, p, norms, a, b, w, V, U, w̄, V̄, Ū)
    ∂a, ∂b, ∂w, ∂V, ∂U, ∂w̄, ∂V̄, ∂Ū = pull_gradients(b === nothing ? (cotangent..., NoTangent()) : cotangent)[4:11]
    U_of_left, ∂L, ∂L̄ = Ū === nothing ? (ZeroTangent(), ZeroTangent(), ZeroTangent()) : pull_left(∂Ū)
    by_w, by_V, by_L = general_cotangents_back(flat_loss, w, V, L, ∂w̄, ∂V̄, ∂L̄)
    _, _, ā, b̄ = pull_solve((∂w + by_w, ∂V + by_V, ∂U + U_of_left, ∂L + by_L))
    return map(unthunk, (∂a + ā, ∂b + b̄)[1:length(matrices)])
end

end
