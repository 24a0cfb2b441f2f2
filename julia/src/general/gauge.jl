# The gauge of general eigenvectors: unit norm, and one component, the pivot, real and positive.

# The pivot of each column: the first of its largest components that are real.
function pivots(V::AbstractMatrix)
    tolerance = 1 - 2 * sqrt(eps(real(plain_type(eltype(V)))))
    return map(eachcol(V)) do v
        largest = maximum(x -> abs(plain(x)), v)
        something(findfirst(x -> iszero(imag(plain(x))) && abs(plain(x)) >= tolerance * largest, v), 1)
    end
end

# c of the rule: it restores unit norm and a real pivot if the tangent of V is Ẋ.
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

# ---- left vectors: the columns of the dual basis U in the gauge, y = u s ---------------------------------------

function left_tangent(U, L, U̇)
    scales = map((j, k) -> conj(U[k, j]) / abs(U[k, j]) / norm(view(U, :, j)), axes(U, 2), pivots(L))
    Ẋ = U̇ .* transpose(scales)
    return Ẋ + L .* transpose(gauge_phases(L, Ẋ))
end

# The cotangent of U, from one of the left vectors. Written without mutation, so that AD engines can differentiate it.
left_cotangent(U, L, ::Nothing) = nothing
left_cotangent(U, ::Nothing, ::Nothing) = nothing
left_cotangent(U, ::Nothing, L̄) =
    throw(ArgumentError("there is a cotangent of left eigenvectors, which are computed with `left = true` only"))
function left_cotangent(U, L, L̄)
    E = pivot_mask(L)
    c̄ = sum(conj.(L) .* L̄; dims = 1)
    real_components = sum(real.(L) .* E; dims = 1)
    Z = -L .* real.(c̄) .- im .* E .* imag.(c̄) ./ real_components
    z = sum(U .* E; dims = 1)
    scales = z ./ abs.(z) ./ sqrt.(sum(abs2.(U); dims = 1))
    return scales .* (L̄ .+ Z)
end

function pivot_mask(L)
    E = falses(size(L))
    for k in axes(L, 3), (j, i) in enumerate(pivots(matrix(L, k)))
        E[i, j, k] = true
    end
    return E
end
@non_differentiable pivot_mask(::Any)
