# Derivatives of open forms of small matrices, computed by the core. It needs divided differences of the function only at neighbouring
# eigenvalues, so the function is evaluated O(n) times.

# The core has kernels up to this size.
const FORM_LIMIT = 64

"""
    form_by_core(f, directions, λ, V)

A derivative of an open form, or `nothing` if the core does not compute it: for larger matrices, dual numbers and complex functions, and
for the form itself, which the core does not make faster.
"""
form_by_core(f, directions, λ, V) = nothing
function form_by_core(f, directions, λ::Matrix{R}, V::Array{T, 3}) where {R <: LinearAlgebra.BlasReal, T <: LinearAlgebra.BlasFloat}
    (n, count), order = size(λ), length(directions)
    n <= FORM_LIMIT && order in (1, 2) && number_type(V, directions...) == T && has_small_kernels() || return nothing
    known = neighbour_differences(f, order, λ)
    all(x -> x isa Union{Nothing, Matrix{R}}, known) || return nothing
    X, Y = map(E -> dense_if(T, E), (directions..., nothing, nothing))
    Z = similar(V)
    codes = (dtype_code(T), 0, order, 0, f isa Step ? f.k : -1, n, count, count)
    run_native(:spectral_form_job, CSpectralForm, codes, (λ, V, nothing, known..., X, 0, 1, Y, 0, 1, Z, 0, 1))
    return Z
end

# Of each matrix, at its eigenvalues and between neighbours: f′, f[λ, λ₊], f″/2, f[λ, λ, λ₊] and f[λ, λ₊, λ₊]; `nothing` for those that
# the form of that order does not need.
function neighbour_differences(f, order, λ::Matrix{R}) where {R}
    at(g) = [in_precision(R, g(x)) for x in λ]
    between(g) = [in_precision(R, g(λ[i - 1, k], λ[i, k])) for i in 2:size(λ, 1), k in axes(λ, 2)]
    g = integrand(f)
    difference(x, y) = first(first_difference(g, x, y))
    order == 1 && return at(Derivative(g)), between(difference), nothing, nothing, nothing
    second(x) = Derivative(Derivative(g))(x) / 2
    left(x, y) = difference_slope(g, y, x, difference(x, y))
    right(x, y) = difference_slope(g, x, y, difference(x, y))
    return nothing, nothing, at(second), between(left), between(right)
end
# The core computes the differences of a step, except for a factor.
neighbour_differences(::Step, order, λ::Matrix) = fill!(similar(λ), 1), nothing, nothing, nothing, nothing
