# One loss of a subset of the eigenpairs, and its derivatives by the rules alone, without an AD engine, which would have to be compiled.
module SubsetLosses

using ChainRulesCore
using EigenPair
using ForwardDiff: Dual, ForwardDiff, Tag

# Dual numbers with one tag, because code is compiled again for every other tag.
struct Line end
along(x, d) = x .+ Dual{Tag{Line, Float64}}(0.0, 1.0) .* d
slope(x::AbstractArray) = map(slope, x)
slope(x::Complex) = complex(slope(real(x)), slope(imag(x)))
slope(x::Real) = ForwardDiff.partials(x, 1)

# Smooth in the eigenvalues, and in vectors up to their phases. Where W is nothing the vectors are not used.
loss(W, (w, v)) = sum(sin, w) + (W === nothing ? 0.0 : sum(W .* abs2.(v)))
cotangents(W::AbstractArray, w, v) = cos.(w), 2 .* W .* v
cotangents(::Nothing, w, v) = cos.(w), ZeroTangent()
cotangents(f, w, v) = f(w, v)

"""
    gradient_by(W, matrices, subset; whole = false, options...)

The gradient of the loss of what `eigh(matrices...; subset_by_index = subset, options...)` returns, or (`whole`) of that subset
of all eigenpairs. `W` may also be a function that makes the cotangents of `(w, v)`.
"""
function gradient_by(W, matrices, subset; whole = false, options...)
    Ω, pullback = rrule(eigh, matrices...; subset_by_index = whole ? nothing : subset, options...)
    w, v = Ω
    chosen(x) = whole ? selectdim(x, ndims(x) == ndims(v) ? 2 : 1, subset) : x
    w̄, v̄ = cotangents(W, chosen(w), chosen(v))
    among_zeros(x̄, x) = x̄ isa AbstractZero || !whole ? x̄ : (z = zero(x); chosen(z) .= x̄; z)
    Ω̄ = Tangent{typeof(Ω)}(; eigenvalues = among_zeros(w̄, w), eigenvectors = among_zeros(v̄, v))
    return map(unthunk, pullback(Ω̄)[2:end])
end

"""
    forward_over_reverse(W, matrices, directions, subset; options...)

The derivative of that gradient along the directions.
"""
forward_over_reverse(W, matrices, directions, subset; options...) =
    map(slope, gradient_by(W, map(along, matrices, directions), subset; options...))

"""
    reverse_over_reverse(W, matrices, directions, subset; options...)

The gradient of `Re Σ ⟨direction, gradient⟩`: the same, because second derivatives are symmetric.
"""
function reverse_over_reverse(W, matrices, directions, subset; options...)
    w, V, pull_solve, (of_a, of_b, of_w, of_V, of_w̄, of_V̄) = through_gradients(W, matrices, directions, subset; options...)
    W = W === nothing ? nothing : reshape(W, size(V))
    _, _, ā, b̄ = pull_solve((of_w - sin.(w) .* of_w̄, W === nothing ? of_V : of_V + 2 .* W .* of_V̄, NoTangent()))
    return map(unthunk, (of_a + ā, of_b + b̄)[1:length(matrices)])
end

"""
    cotangents_of_cotangents(W, matrices, directions, subset; options...)

The gradient of `Re Σ ⟨direction, gradient⟩` with respect to the cotangents of eigenvalues and eigenvectors.
"""
cotangents_of_cotangents(args...; options...) = through_gradients(args...; options...)[4][5:6]

function through_gradients(W, matrices, directions, subset; options...)
    a, b = length(matrices) == 1 ? (matrices..., nothing) : matrices
    p = EigenPair.hermitian_problem(a, b; subset_by_index = subset, options...)
    (w, V, reduction), pull_solve = rrule(EigenPair.solution, p, a, b)
    w̄, V̄ = map(EigenPair.present, cotangents(W === nothing ? nothing : reshape(W, size(V)), w, V))
    _, pull = rrule(EigenPair.input_gradients, p, EigenPair.input_norms(p, a, b), a, b, w, V, reduction, w̄, V̄, nothing)
    return w, V, pull_solve, pull(b === nothing ? (directions..., NoTangent()) : directions)[[4:7; 9:10]]
end

end
