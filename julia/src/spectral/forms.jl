# The multilinear forms behind derivatives of spectral functions. They are linear in the scalar function f, and the
# derivative with respect to the matrix A = V Diag(λ) Vᴴ adds a direction and uses the next kind of divided
# differences. So λ and V are constants, and nothing is divided by a gap. With X = Vᴴ E V and F an antiderivative of f:
#
#     directions   Closed (a number)        Opened (a matrix)
#     0            Σ Fᵢ                     V Diag(fᵢ) Vᴴ
#     1            Σ fᵢ Xᵢᵢ                 V (f[i,j] ∘ X) Vᴴ
#     2            Σ f[i,j] X¹ᵢⱼ X²ⱼᵢ       V (Σₖ f[i,k,j] (X¹ᵢₖ X²ₖⱼ + X²ᵢₖ X¹ₖⱼ)) Vᴴ
#     3            Σ X³ⱼᵢ (…)ᵢⱼ as above
#
# Each form is symmetric in its directions, and an opened form is the closed form of the next order without one of its directions.
# Transposes follow from these two properties. See docs/derivations.md, "Spectral functions".

struct Closed end
abstract type OpenedForm end
struct Opened <: OpenedForm end

"""
`F` of the forms is `f`, so the integrand is its derivative.
"""
struct Antiderivative{F}
    f::F
end

"""
The step between eigenvalues `k` and `k + 1`: 1 on the `k` lowest, 0 above.
"""
struct Step
    k::Int
end

# ---- values and divided differences of f -----------------------------------------------------------------------

# The level of a form says which of F, f, first and second differences it is made of: 0 to 3.
level(::Closed, directions) = length(directions)
level(::OpenedForm, directions) = length(directions) + 1

integrand(f) = f
integrand(f::Antiderivative) = Derivative(f.f)

# Converts what `f` returns to the precision of λ: literals in `f` may have raised it.
in_precision(::Type{R}, y::Real) where {R} = R(y)
in_precision(::Type{R}, y::Complex) where {R} = Complex{R}(y)
in_precision(::Type{R}, y::Union{Dual, Complex{<:Dual}}) where {R} = y
in_precision(::Type{R}, y) where {R} = throw(ArgumentError("`f` must return a number for a number, it returned $(repr(y))"))

value_at(f, x::R) where {R} = in_precision(R, f(x))

"""
    table(level, f, λ)

For one matrix: `F` or `f` at its eigenvalues (levels 0 and 1), first differences (2), or slopes, from which second
differences follow (3).
"""
table(level, f, λ) =
    level == 0 ? map(x -> value_at(f.f, x), λ) : level == 1 ? map(x -> value_at(integrand(f), x), λ) :
    level == 2 ? first_differences(integrand(f), λ) : level == 3 ? difference_slopes(integrand(f), λ) :
    error(
        "spectral_map and spectral_projector have first and second derivatives, spectral_sum also a third; a \
        higher one was requested"
    )

# Each difference is computed once, so that the table is exactly symmetric.
function first_differences(f, λ)
    upper = [in_precision(eltype(λ), first(first_difference(f, λ[i], λ[j]))) for j in eachindex(λ) for i in 1:j]
    return [upper[max(i, j) * (max(i, j) - 1) ÷ 2 + min(i, j)] for i in eachindex(λ), j in eachindex(λ)]
end
function difference_slopes(f, λ)
    differences = first_differences(f, λ)
    slope(i, j) = in_precision(eltype(λ), difference_slope(f, λ[i], λ[j], differences[i, j]))
    return [slope(i, j) for i in eachindex(λ), j in eachindex(λ)]
end
second_difference(f, slopes, λ, i, k, j) = second_difference(slopes, λ, i, k, j)

# Differences of the step are 0 unless its arguments are on both sides; then they are products of inverse gaps.
function table(level, f::Step, λ)
    n, R = length(λ), eltype(λ)
    level == 1 && return [R(i <= f.k) for i in 1:n]
    across(i, j) = (i <= f.k) != (j <= f.k)
    level <= 3 && return [across(i, j) ? -inv(abs(λ[i] - λ[j])) : zero(R) for i in 1:n, j in 1:n]
    return table(level, identity, λ)
end
function second_difference(f::Step, firsts, λ, i, k, j)
    below = (i <= f.k) + (k <= f.k) + (j <= f.k)
    # One of three points is alone on its side: its gaps to the two others are multiplied.
    alone, x, y = (i <= f.k) == (k <= f.k) ? (j, i, k) : (i <= f.k) == (j <= f.k) ? (k, i, j) : (i, k, j)
    product = firsts[alone, x] * firsts[alone, y]
    return below == 1 ? product : below == 2 ? -product : firsts[i, j]
end

# ---- values --------------------------------------------------------------------------------------------------

"""
    form(kind, f, directions, A, λ, V)

The form of `f` along the `directions`, a tuple of `n × n × count` arrays, at the Hermitian matrices `A` with eigenvalues
`λ` and vectors `V`: `count` numbers, or `n × n × count`. `A` is what it is a function of; its numbers are not read.
"""
form(kind, f, directions, A, λ, V) = isempty(λ) ? no_form(kind, V) : form_value(kind, f, directions, λ, V)
no_form(::Closed, V) = zeros(real(eltype(V)), size(V, 3))
no_form(::OpenedForm, V) = copy(V)

function form_value(kind::Closed, f, directions, λ, V)
    order = level(kind, directions)
    return map(axes(λ, 2)) do k
        values = table(order, f, view(λ, :, k))
        Xs = map(E -> inside(matrix(V, k), matrix(E, k)), directions)
        total = order == 0 ? sum(values) :
            order == 1 ? sum(values .* diag(last(Xs))) :
            sum(middle(f, values, view(λ, :, k), Xs[1:(end - 1)]) .* transpose(last(Xs)))
        # A real function of Hermitian matrices; the imaginary part is rounding.
        eltype(values) <: Real ? real(total) : total
    end
end

function form_value(kind::Opened, f, directions, λ, V)
    Y = form_by_core(f, directions, λ, V)
    return Y === nothing ? form_by_tables(kind, f, directions, λ, V) : Y
end

function form_by_tables(kind::Opened, f, directions, λ, V)
    order = level(kind, directions)
    tables = map(k -> table(order, f, view(λ, :, k)), axes(λ, 2))
    T = isempty(tables) ? eltype(V) : eltype(first(tables))
    Y = Array{number_type(T[], V, directions...)}(undef, size(V))
    for k in axes(λ, 2)
        Xs = map(E -> inside(matrix(V, k), matrix(E, k)), directions)
        product!(matrix(Y, k), outside(matrix(V, k), order == 1 ? tables[k] : middle(f, tables[k], view(λ, :, k), Xs)), matrix(V, k)')
    end
    return Y
end

inside(V, E) = product(V', product(E, V))
outside(V, G::AbstractMatrix) = product(V, G)
outside(V, g::AbstractVector) = V .* transpose(g)

middle(f, firsts, λ, (X,)::Tuple{Any}) = firsts .* X
function middle(f, slopes, λ, (X, Y)::Tuple{Any, Any})
    G = zeros(number_type(slopes, X, Y), size(X))
    for j in axes(G, 2), k in axes(G, 2), i in axes(G, 1)
        G[i, j] += second_difference(f, slopes, λ, i, k, j) * (X[i, k] * Y[k, j] + Y[i, k] * X[k, j])
    end
    return G
end
# For three directions, table has thrown already.

# ---- transposes ------------------------------------------------------------------------------------------------

adjoints(x::AbstractArray{<:Any, 3}) = conj(permutedims(x, (2, 1, 3)))

"""
    direction_cotangent(kind, f, others, ȳ, A, λ, V)

The cotangent of one direction of a form whose value has the cotangent `ȳ`; the `others` are its other directions.
"""
direction_cotangent(::Closed, f, others, ȳ, A, λ, V) =
    reshape(ȳ, 1, 1, :) .* adjoints(form(Opened(), f, others, A, λ, V))
direction_cotangent(kind::OpenedForm, f, others, ȳ, A, λ, V) =
    adjoints(form(kind, f, (others..., adjoints(ȳ)), A, λ, V))

"""
    table_cotangent(kind, ȳ, directions, V, k)

The cotangent of the `k`-th matrix's table, for levels up to 2.
"""
table_cotangent(::Closed, ȳ, ::Tuple{}, V, k) = fill(ȳ[k], size(V, 1))
table_cotangent(::Closed, ȳ, (E,)::Tuple{Any}, V, k) = ȳ[k] .* conj(diag(inside(matrix(V, k), matrix(E, k))))
table_cotangent(::Closed, ȳ, (D, E)::Tuple{Any, Any}, V, k) =
    ȳ[k] .* conj(inside(matrix(V, k), matrix(D, k)) .* transpose(inside(matrix(V, k), matrix(E, k))))
table_cotangent(::Opened, ȳ, ::Tuple{}, V, k) = diag(inside(matrix(V, k), matrix(ȳ, k)))
table_cotangent(::Opened, ȳ, (E,)::Tuple{Any}, V, k) =
    conj(inside(matrix(V, k), matrix(E, k))) .* inside(matrix(V, k), matrix(ȳ, k))
