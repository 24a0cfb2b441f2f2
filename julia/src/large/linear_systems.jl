# Iterative solution of Hermitian systems, one for each column, all at once: conjugate gradients and MINRES.

dots(X, Y) = [real(dot(view(X, :, j), view(Y, :, j))) for j in axes(X, 2)]
over(x, y) = iszero(y) ? zero(x) : x / y

"""
    conjugate_gradients(apply, B, tol, most)

`X` with `apply(X) = B` for a positive definite map, and whether all columns were solved to relative residuals `tol`. A map that turns out
not to be positive counts as not solved.
"""
function conjugate_gradients(apply, B, tol, most)
    X, R, P = zero(B), copy(B), copy(B)
    ρ, allowed = dots(R, R), (tol .* column_norms(B)) .^ 2
    for _ in 1:most
        live = ρ .> allowed
        any(live) || return X, true
        AP = apply(P)
        curvature = dots(P, AP)
        all(curvature[live] .> 0) || return X, false
        α = ifelse.(live, over.(ρ, curvature), 0)
        X .+= P .* α'
        R .-= AP .* α'
        last, ρ = ρ, dots(R, R)
        P .= R .+ P .* ifelse.(live, over.(ρ, last), 0)'
    end
    return X, all(ρ .<= allowed)
end

"""
    minres(apply, B, tol, most; metric = identity, precondition = identity)

`X` with `apply(X) = B`, and the number of iterations. The map may be indefinite. It is Hermitian with respect to the positive definite
`metric`; `precondition` is positive definite, close to its inverse. Residuals fall to `tol` (one for each column) times those of `X = 0`,
measured in the preconditioner's norm.

C. C. Paige and M. A. Saunders, *Solution of sparse indefinite systems of linear equations* (1975).
"""
function minres(apply, B, tol, most; metric = identity, precondition = identity)
    size_of(x, y) = sqrt.(max.(dots(metric(x), y), 0))
    X, R₁, R₂, W, W₂ = zero(B), zero(B), copy(B), zero(B), zero(B)
    Y = copy(precondition(B))
    β₁ = size_of(B, Y)
    β, last_β, φ = copy(β₁), one.(β₁), copy(β₁)
    δ̄, ε, c, s = zero(β₁), zero(β₁), -one.(β₁), zero(β₁)
    for iteration in 1:most
        live = (φ .> tol .* β₁) .& (β .> 0)
        any(live) || return X, iteration - 1
        # The vectors of a column that is solved become 0.
        V = Y .* ifelse.(live, over.(1, β), 0)'
        Y = apply(V)
        Y .-= R₁ .* ifelse.(live, over.(β, last_β), 0)'
        α = dots(metric(V), Y)
        Y .-= R₂ .* over.(α, β)'
        R₁, R₂ = R₂, Y
        Y = copy(precondition(R₂))
        last_β, β = β, size_of(R₂, Y)
        δ, γ̄ = c .* δ̄ .+ s .* α, s .* δ̄ .- c .* α
        γ = hypot.(γ̄, β)
        W₂, W = W, (V .- W₂ .* ε' .- W .* δ') .* over.(1, γ)'
        ε, δ̄ = s .* β, -c .* β
        c, s = over.(γ̄, γ), over.(β, γ)
        X .+= W .* ifelse.(live, c .* φ, 0)'
        φ = ifelse.(live, s .* φ, φ)
    end
    return X, most
end
