# A Hermitian pair, reduced to one matrix C in the metric of B, differentiably at any degeneracy: its functions are W f(C) Wᴴ.
#
# The computed solution V is constant for derivatives. In its basis the pair is (Λ, I) at order 0, and the root of a matrix near I is a
# series. So no factor of B is differentiated. See docs/derivations.md, "Spectral functions".

# Of X ↦ (I + X)^p with p = −1/2, and in type 3 with p = 1/2; three derivatives.
series(p::HermitianProblem) = p.type == 3 ? (1 / 2, -1 / 8, 1 / 16) : (-1 / 2, 3 / 8, -5 / 16)

"""
    metric(p, A, B, λ, V, U)

`(C, W)` of the pairs `A`, `B` with the solution `λ`, `V`, `U`. Their values are known, Λ and V. They are computed such that their
derivatives are right.
"""
function metric(p, A, B, λ, V, U)
    _, inner, Z = metric_parts(p, A, B, λ, V, U)
    R = root(p, Z)
    return known(diagonal_matrices(V, λ), mul(R, mul(inner, R))), known(V, mul(V, R))
end

# X, XᴴAX, and YᴴBY − I.
function metric_parts(p, A, B, λ, V, U)
    X, Y = p.type == 2 ? (known(U, mul(B, V)), V) : bases(p, V, U)
    return X, known(diagonal_matrices(V, λ), mul(adjoints(X), mul(A, X))), known(zero(V), mul(adjoints(Y), mul(B, Y)))
end

function root(p, Z)
    first, second, third = map(real(plain_type(eltype(Z))), series(p))
    return identities(Z) .+ first .* Z .+ mul(Z, second .* Z .+ third .* mul(Z, Z))
end

# The cotangents of A and B, written without mutation for second order.
function metric_cotangents(p, A, B, λ, V, U, C̄, W̄)
    X, inner, Z = metric_parts(p, A, B, λ, V, U)
    R = root(p, Z)
    R̄ = mul(C̄, adjoints(mul(inner, R))) .+ mul(adjoints(mul(R, inner)), C̄)
    R̄ = W̄ === nothing ? R̄ : R̄ .+ mul(adjoints(V), W̄)
    inner̄, Y = mul(adjoints(R), mul(C̄, adjoints(R))), last(bases(p, V, U))
    B̄ = mul(Y, mul(root_cotangent(p, Z, R̄), adjoints(Y)))
    p.type == 2 && (B̄ = B̄ .+ mul(mul(A, mul(X, adjoints(inner̄))) .+ mul(adjoints(A), mul(X, inner̄)), adjoints(V)))
    return mul(X, mul(inner̄, adjoints(X))), B̄
end

function root_cotangent(p, Z, R̄)
    first, second, third = map(real(plain_type(eltype(Z))), series(p))
    Zᴴ = adjoints(Z)
    left, right = mul(Zᴴ, R̄), mul(R̄, Zᴴ)
    return first .* R̄ .+ second .* (left .+ right) .+ third .* (mul(Zᴴ, left) .+ mul(left, Zᴴ) .+ mul(right, Zᴴ))
end

# ---- matrices of a batch -----------------------------------------------------------------------------------------

# Products of the matrices of two batches.
function mul(X, Y)
    Z = Array{number_type(X, Y)}(undef, size(X, 1), size(Y, 2), size(X, 3))
    foreach(k -> product!(matrix(Z, k), matrix(X, k), matrix(Y, k)), axes(Z, 3))
    return Z
end

diagonal_matrices(V, λ) = [i == j ? eltype(V)(λ[i, k]) : zero(eltype(V)) for i in axes(V, 1), j in axes(V, 2), k in axes(V, 3)]
identities(V) = [plain_type(eltype(V))(i == j) for i in axes(V, 1), j in axes(V, 2), k in axes(V, 3)]

"""
    known(value, x)

`x`, whose value is known, with its derivatives.
"""
known(value, x) = map(with_value, x, value)
with_value(x::Number, value) = value
with_value(x::Dual{Tag}, value) where {Tag} = Dual{Tag}(with_value(ForwardDiff.value(x), value), ForwardDiff.partials(x))
with_value(x::Complex{<:Dual}, value) = complex(with_value(real(x), real(value)), with_value(imag(x), imag(value)))
