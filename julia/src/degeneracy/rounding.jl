# How far rounding reaches in entries of K̄ = Vᴴ V̄ − Ūᴴ U, in units of √n ε: docs/derivations.md, "Degeneracy".

"""
One basis and its cotangent. What a loss leaves in its cotangent as rounding is of one size in all columns, or in proportion
to the vectors: the smaller of the two is believed.
"""
struct BasisRounding{R <: Real}
    lengths::Vector{R}
    largest::R
    relative::R
end

function BasisRounding{R}(X, X̄) where {R}
    sizes(Y) = R[plain(norm(y)) for y in eachcol(Y)]
    lengths, cotangents = sizes(X), sizes(X̄)
    relative = R[iszero(c) ? c : c / l for (c, l) in zip(cotangents, lengths)]
    return BasisRounding{R}(lengths, maximum(cotangents; init = zero(R)), maximum(relative; init = zero(R)))
end

function (b::BasisRounding)(i, j)
    small, large = minmax(b.lengths[i], b.lengths[j])
    flat, scaled = large * b.largest, small * b.relative * large
    return scaled < flat ? scaled : flat
end

"""
`κ(i, j)`, what entries of `K̄` are compared with: of both bases, but at most `most`.
"""
struct CouplingRounding{R <: Real}
    of_V::Union{Nothing, BasisRounding{R}}
    of_U::Union{Nothing, BasisRounding{R}}
    most::R
end

basis_rounding(::Type{R}, X, ::Nothing) where {R} = nothing
basis_rounding(::Type{R}, X, X̄) where {R} = BasisRounding{R}(X, X̄)

function (κ::CouplingRounding{R})(i, j) where {R}
    of_basis(b) = b === nothing ? zero(R) : b(i, j)
    return min(finite_or_nan(of_basis(κ.of_V) + of_basis(κ.of_U)), κ.most)
end

# If the bound overflows, return NaN so that nothing passes the test.
finite_or_nan(x) = isfinite(x) ? x : oftype(x, NaN)

# An upper bound of the tolerance, so that at least half of the digits of K̄ count. `largest` bounds the entries that are not in K̄
# from below.
function most_of(K̄, largest)
    R = real(eltype(K̄))
    return finite_or_nan(max(maximum(abs, K̄; init = zero(R)), R(largest)) / (ROUNDING_OF_COTANGENT * sqrt(eps(R))))
end

"""
    form_rounding(X, A, Y = X)

How far rounding reaches in the entries of `Xᴴ A Y`, in units of √n ε: `|X|ᵀ |A| |Y|`. It follows `X` and `A` when both are scaled row
by row, as in a graded problem.
"""
form_rounding(X, A, Y = X) = sizes_of(X)' * (sizes_of(A) * sizes_of(Y))
sizes_of(X) = map(x -> abs(plain(x)), X)

column_norms(X) = [norm(x) for x in eachcol(sizes_of(X))]
