# The gauge of general eigenvectors: unit norm, and one component, the pivot, real and positive.

# The component of each column that the gauge made real: the first of the largest that are.
function pivots(V::AbstractMatrix)
    tolerance = 1 - 2 * sqrt(eps(real(plain_type(eltype(V)))))
    return map(eachcol(V)) do v
        largest = maximum(x -> abs(plain(x)), v)
        something(findfirst(x -> iszero(imag(plain(x))) && abs(plain(x)) >= tolerance * largest, v), 1)
    end
end

# c of the rule, for vectors V that move by Ẋ before the gauge is restored: unit norm, and the pivot stays real.
function gauge_phases(V, Ẋ)
    chosen = pivots(V)
    return map(axes(V, 2)) do j
        k = chosen[j]
        -complex(real(dot(view(V, :, j), view(Ẋ, :, j))), imag(Ẋ[k, j]) / real(V[k, j]))
    end
end

# The transpose of X ↦ gauge_phases(V, X).
function gauge_phases_transpose(V, c̄)
    chosen = pivots(V)
    Z = -V .* transpose(real.(c̄))
    for j in axes(V, 2)
        k = chosen[j]
        Z[k, j] -= im * imag(c̄[j]) / real(V[k, j])
    end
    return Z
end
