# General eigenproblems, every entry free: the functions, and their first derivatives as docs/derivations.md writes them.
# Nothing here asks whether a matrix happens to be symmetric: neither values nor gradients change across exact symmetry.
#
# With eigenvalues α/β, the dual basis U (UᴴBV = I), M = Uᴴ dA V, N = Uᴴ dB V and F the inverse gaps under the policy,
#
#     dλ = diag(M − N Diag(λ)),  K⁰ = F∘(M Diag(β) − N Diag(α)),  K = K⁰ + Diag(c),  dV = V K,  dU = −U (N + K)ᴴ,
#
# where c keeps the gauge.

"""
    EigResult(eigenvalues, eigenvectors)

What [`eig`](@ref) returns; `w, v = eig(a)` unpacks it.
"""
struct EigResult{W <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    eigenvectors::V
end

"""
    EigLeftResult(eigenvalues, left_eigenvectors)

What [`eig`](@ref) returns with `left = true, right = false`; `w, vl = ...` unpacks it.
"""
struct EigLeftResult{W <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    left_eigenvectors::V
end

"""
    EigBothResult(eigenvalues, left_eigenvectors, eigenvectors)

What [`eig`](@ref) returns with `left = true`; `w, vl, v = ...` unpacks it.
"""
struct EigBothResult{W <: AbstractArray, L <: AbstractArray, V <: AbstractArray}
    eigenvalues::W
    left_eigenvectors::L
    eigenvectors::V
end

const AnyEigResult = Union{EigResult, EigLeftResult, EigBothResult}
Base.iterate(r::AnyEigResult, i = 1) = i > nfields(r) ? nothing : (getfield(r, i), i + 1)
Base.length(r::AnyEigResult) = nfields(r)

"""
    eig(a, b = nothing; left = false, right = true, degeneracy = nothing)

Eigenvalues and eigenvectors of a square matrix, `A v = λ v`, or of a pair, `A v = λ B v`, as an [`EigResult`](@ref). With
`left`, also (or, with `right = false`, only) the left vectors, `yᴴA = λ yᴴ` or `yᴴA = λ yᴴB`: an
[`EigBothResult`](@ref) or [`EigLeftResult`](@ref). With neither, the eigenvalues alone.

Every entry of `a` and `b` is a variable; no matrix is treated differently for being symmetric. A wrapper
(`Symmetric`, `Diagonal`, ...) stands for the matrix that it shows, and has tangents of its own kind. For a function of
one triangle use [`eigh`](@ref).

`a` is `n × n`, or `n × n × batch...`; `b` is broadcast against it along the batch dimensions. Eigenvalues are `n × batch...`,
vectors `n × n × batch...` in columns; all are complex, in the precision of the input (integers: `Float64`).

*Order.* By real part, then imaginary part, so the member of a conjugate pair with negative imaginary part comes first.
Infinite eigenvalues (singular `b`) follow as `Inf + 0im`, undetermined ones (a singular pencil) as NaN.

*Gauge.* Unit 2-norm, largest component real and positive; of components equal to within `√ε`, the first.

*Derivatives* exist where the eigenvalues are distinct. Their size follows [`EigenPair.condition_numbers`](@ref); a matrix
too close to a defective one for its derivative to have a correct digit has NaN. So has the derivative of an
infinite eigenvalue. `degeneracy` is the policy where eigenvalues coincide: [`EigenPair.check`](@ref) unless
[`EigenPair.with_policy`](@ref) says otherwise.

A matrix that cannot be solved (NaN or Inf in it) gives NaN for itself and leaves the rest of the batch alone. Throws
`DimensionMismatch` for arrays that are not square or do not fit each other, and `ArgumentError` for any other argument
that has no meaning here.

Derivatives: Magnus (1985); Boeddeker et al., arXiv:1701.00392, eqs. 4.60–4.77; derived in docs/derivations.md.
"""
function eig(a, b = nothing; left = false, right = true, degeneracy = nothing)
    p = general_problem(a, b, (; left, right, degeneracy))
    # Dual numbers have their tangents computed from all of it.
    w, V, _, L = right || left ? general_vectors(p, a, b, right) : (general_values(p, a, b), nothing, nothing, nothing)
    return eig_result(p, w, right ? V : nothing, L)
end

"""
    EigenPair.eigvals(a, b = nothing; degeneracy = nothing)

Eigenvalues alone, complex, `n × batch...`; arguments, order and errors as for [`eig`](@ref). Not exported, because
`LinearAlgebra` exports an `eigvals` of its own.

The gradient is `Σ λ̄ᵢ yᵢ xᵢᴴ / (yᵢᴴxᵢ)`, the same for a matrix that happens to be symmetric as for its neighbours. Where
eigenvalues coincide it exists for losses that are symmetric in them, and is NaN for others.
"""
function eigvals(a, b = nothing; degeneracy = nothing)
    p = general_problem(a, b, (; left = false, right = false, degeneracy))
    return eig_result(p, general_values(p, a, b), nothing, nothing)
end

"""
    EigenPair.condition_numbers(a, b = nothing)

How strongly each eigenvalue answers to a perturbation of `a`: `‖y‖‖x‖/|yᴴx|` (`/|yᴴBx|` for a pair), real, `n × batch...`, in
the order of [`EigenPair.eigvals`](@ref). 1 for normal matrices; NaN where the matrix is defective to working
precision. Arguments and errors as for [`eig`](@ref); no derivatives.
"""
function condition_numbers(a, b = nothing)
    p = general_problem(a, b, (; left = false, right = true, degeneracy = Raw()))
    w, V, U, _ = general_solve(p, a, b)
    sizes = [norm(view(U, :, i, k)) * norm(view(V, :, i, k)) for i in axes(w, 1), k in axes(w, 2)]
    return reshape(sizes, p.n, p.batch...)
end
@non_differentiable condition_numbers(::Any)
@non_differentiable condition_numbers(::Any, ::Any)

eig_values(p, w) = reshape(w, p.n, p.batch...)
eig_vectors(p, V) = reshape(V, p.n, p.n, p.batch...)
eig_result(p, w, ::Nothing, ::Nothing) = eig_values(p, w)
eig_result(p, w, V, ::Nothing) = EigResult(eig_values(p, w), eig_vectors(p, V))
eig_result(p, w, ::Nothing, L) = EigLeftResult(eig_values(p, w), eig_vectors(p, L))
eig_result(p, w, V, L) = EigBothResult(eig_values(p, w), eig_vectors(p, L), eig_vectors(p, V))

# ---- values --------------------------------------------------------------------------------------------------

"""
    general_solve(p, a, b)

`(w, V, U, L)`: eigenvalues `n × count`; right eigenvectors, the dual basis and, if the problem asks for them, left
eigenvectors, `n × n × count`.
"""
general_solve(p::GeneralProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat} = general_native(p, a, b, true, true)

# What a value needs, which is less.
general_vectors(p::GeneralProblem{T}, a, b, right) where {T <: LinearAlgebra.BlasFloat} =
    general_native(p, a, b, right, false)
general_vectors(p::GeneralProblem, a, b, right) = general_solve(p, a, b)
general_values(p::GeneralProblem{T}, a, b) where {T <: LinearAlgebra.BlasFloat} =
    first(general_native(GeneralProblem{T}(p), a, b, false, false))
general_values(p::GeneralProblem, a, b) = first(general_solve(p, a, b))

function general_native(p::GeneralProblem{T}, a, b, right, dual) where {T}
    n, count = p.n, prod(p.batch)
    vectors(wanted) = wanted ? Array{complex(T)}(undef, n, n, count) : nothing
    w = Matrix{complex(T)}(undef, n, count)
    V, U, L = vectors(right), vectors(dual), vectors(p.left)
    native_general!(w, V, L, U, core_input(p, p.a, a)..., core_input(p, p.b, b)...)
    return w, V, U, L
end

# ---- the gauge -----------------------------------------------------------------------------------------------

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

# ---- the rule ------------------------------------------------------------------------------------------------

at_batch(::Nothing, k) = nothing
at_batch(x, k) = x[k]
general_gaps(p::GeneralProblem, norms, w, V, U, k) =
    general_gaps(p.degeneracy, view(w, :, k), matrix(U, k), matrix(V, k), norms[1][k], at_batch(norms[2], k))

"""
    general_pushforward(p, norms, w, V, U, L, Ȧ, Ḃ)

`(ẇ, V̇, U̇, L̇)` along the tangents `Ȧ`, `Ḃ` of the matrices, either of which may be `nothing`.
"""
function general_pushforward(p::GeneralProblem, norms, w, V, U, L, Ȧ, Ḃ)
    S = number_type(V, Ȧ, Ḃ)
    n, count = size(w)
    ẇ = Matrix{S}(undef, n, count)
    V̇, U̇ = Array{S}(undef, n, n, count), Array{S}(undef, n, n, count)
    L̇ = L === nothing ? nothing : similar(V̇)
    for k in 1:count
        F, Vₖ, Uₖ = general_gaps(p, norms, w, V, U, k), matrix(V, k), matrix(U, k)
        M = Ȧ === nothing ? nothing : product(Uₖ', product(matrix(Ȧ, k), Vₖ))
        N = Ḃ === nothing ? nothing : product(Uₖ', product(matrix(Ḃ, k), Vₖ))
        moved, K = Matrix{S}(undef, n, n), Matrix{S}(undef, n, n)
        for j in 1:n
            α, β = homogeneous(w[j, k])
            ẇ[j, k] = iszero(β) ? S(NaN) : at(M, j, j) - α * at(N, j, j)
            for i in 1:n
                moved[i, j] = β * at(M, i, j) - α * at(N, i, j)
                K[i, j] = F[i, j] * moved[i, j]
            end
        end
        found = coupled(F, moved, () -> pushforward_rounding(F, moved, Vₖ, Uₖ, matrix(Ȧ, k), matrix(Ḃ, k)))
        K[diagind(K)] = gauge_phases(Vₖ, product(Vₖ, K))
        product!(matrix(V̇, k), Vₖ, K)
        product!(matrix(U̇, k), Uₖ, N === nothing ? K' : (K + N)', -1, 0)
        L === nothing || (L̇[:, :, k] = left_tangent(Uₖ, matrix(L, k), matrix(U̇, k)))
        found === nothing && continue
        explain(F, found.pair, is_defective(F, found.pair...) ? DEFECTIVE : COUPLED, k, count)
        foreach(x -> x === nothing || lose!(matrix(x, k), found.lost), (V̇, U̇, L̇))
        foreach(j -> found.lost[j] && (ẇ[j, k] = unknown(ẇ[j, k])), 1:n)
    end
    return ẇ, V̇, U̇, L̇
end

"""
    general_pullback(p, norms, w, V, U, λ̄, V̄, Ū)

`(M̄, N̄)` such that `Ā = U M̄ Vᴴ` and `B̄ = U N̄ Vᴴ` are the gradients; `N̄` is `nothing` without `b`. Any of the cotangents may
be `nothing`. A loss of the eigenvalues alone has diagonal `M̄` and `N̄`, given as their diagonals, `n × count`.
"""
function general_pullback(p::GeneralProblem, norms, w, V, U, λ̄, V̄, Ū)
    n, count = size(w)
    S = number_type(w, V, λ̄, V̄, Ū)
    diagonal = V̄ === nothing && Ū === nothing
    M̄ = diagonal ? zeros(S, n, count) : zeros(S, n, n, count)
    N̄ = p.b === nothing ? nothing : zero(M̄)
    for k in 1:count
        F, λ, λ̄ₖ = general_gaps(p, norms, w, V, U, k), column(w, k), column(λ̄, k)
        M̄ₖ, N̄ₖ = slice(M̄, k), N̄ === nothing ? nothing : slice(N̄, k)
        broken = if diagonal
            general_violation(F, nothing, λ̄ₖ, nothing)
        else
            vectors_pullback!(M̄ₖ, N̄ₖ, F, matrix(V, k), matrix(U, k), λ̄ₖ, matrix(V̄, k), matrix(Ū, k))
        end
        values_pullback!(M̄ₖ, N̄ₖ, λ, λ̄ₖ)
        if broken !== nothing
            explain(F, (broken.i, broken.j), broken.reason, k, count)
            fill!(M̄ₖ, NaN)
            N̄ₖ === nothing || fill!(N̄ₖ, NaN)
        elseif any(isnan, F.condition) && !any(isnan, λ)
            explain_defective(F, k, count)
        elseif undetermined(F, !diagonal) && any(x -> x !== nothing && varies(slice(x, k)), (w, V, U, λ̄, V̄, Ū))
            explain_second_order(F, k, count)
            map!(unknown_partials, M̄ₖ, M̄ₖ)
            N̄ₖ === nothing || map!(unknown_partials, N̄ₖ, N̄ₖ)
        end
    end
    return M̄, N̄
end

# Diag(λ̄) and −Diag(λ̄∘conj(λ)); nothing can be said of an infinite eigenvalue.
values_pullback!(M̄, N̄, λ, ::Nothing) = nothing
function values_pullback!(M̄, N̄, λ, λ̄)
    place(X, j) = ndims(X) == 1 ? CartesianIndex(j) : CartesianIndex(j, j)
    for j in eachindex(λ)
        iszero(λ̄[j]) && !varies(λ̄) && continue
        bar = isinf(λ[j]) ? λ̄[j] * NaN : λ̄[j]
        M̄[place(M̄, j)] += bar
        N̄ === nothing || (N̄[place(N̄, j)] -= bar * conj(λ[j]))
    end
    return nothing
end

# Everything but the eigenvalues' part; returns the verdict on all of it.
function vectors_pullback!(M̄, N̄, F::GeneralGaps, V, U, λ̄, V̄, Ū)
    K̄, H̄ = vector_cotangents(eltype(M̄), V, U, V̄, Ū)
    K̄ = K̄ + product(V', gauge_phases_transpose(V, diag(K̄)))
    κ = rotation_rounding(real(plain_type(eltype(F.λ))), V, U, V̄, Ū)
    for j in axes(M̄, 2)
        α, β = homogeneous(F.λ[j])
        for i in axes(M̄, 1)
            Ē = conj(F[i, j]) * significant(F, K̄, κ, i, j)
            M̄[i, j] = Ē * conj(β)
            N̄ === nothing || (N̄[i, j] = -Ē * conj(α) + at(H̄, i, j))
        end
    end
    return general_violation(F, K̄, λ̄, κ)
end

# What entries of K̄ are compared with: where rounding is large beside all of K̄, condition numbers say so.
rotation_rounding(::Type{R}, V, U, V̄, Ū) where {R} =
    CouplingRounding{R}(basis_rounding(R, V, V̄), basis_rounding(R, U, Ū), R(Inf))

# K̄ = VᴴV̄ + H̄ and H̄ = −ŪᴴU, `nothing` without Ū.
function vector_cotangents(::Type{S}, V, U, V̄, Ū) where {S}
    H̄ = Ū === nothing ? nothing : -product(Ū', U)
    V̄ === nothing && return Matrix{S}(H̄), H̄
    return Matrix{S}(H̄ === nothing ? product(V', V̄) : product(V', V̄) + H̄), H̄
end

# Left vectors are the columns of U in the gauge: y = u s. Tangent and cotangent of that.
left_scales(U, L, chosen) = map((j, k) -> conj(U[k, j]) / abs(U[k, j]) / norm(view(U, :, j)), axes(U, 2), chosen)

function left_tangent(U, L, U̇)
    Ẋ = U̇ .* transpose(left_scales(U, L, pivots(L)))
    return Ẋ + L .* transpose(gauge_phases(L, Ẋ))
end
