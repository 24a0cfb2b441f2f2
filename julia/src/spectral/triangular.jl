# Functions of upper triangular matrices T. Derivatives need no separate rule, because f([T E; 0 T]) is triangular too and has the
# derivative along E in its corner. See docs/derivations.md, "Functions of general matrices".

"""
    block_diagonal(T, group)

`(Y, D)` with `T Y = Y D`: `D` is zero between eigenvalues of different groups, `Y` is the identity within each. Both are upper triangular,
and the members of a group need not be neighbours.
"""
function block_diagonal(T, group)
    n = size(T, 1)
    Y, D = Matrix{eltype(T)}(I, n, n), diagm(diag(T))
    for j in 1:n, i in (j - 1):-1:1
        c = T[i, j]
        for k in (i + 1):(j - 1)
            c += T[i, k] * Y[k, j] - Y[i, k] * D[k, j]
        end
        group[i] == group[j] ? (D[i, j] = c) : (Y[i, j] = c / (T[j, j] - T[i, i]))
    end
    return Y, D
end

# The matrix sign (Higham, Functions of Matrices, alg. 5.5): U² = I and UT = TU, each where the other does not determine an entry.
function triangular_sign(T)
    n = size(T, 1)
    U = diagm(map(x -> oftype(x, sign(real(x))), diag(T)))
    for j in 1:n, i in (j - 1):-1:1
        between = (i + 1):(j - 1)
        U[i, j] = U[i, i] == U[j, j] ? -sum(U[i, k] * U[k, j] for k in between; init = zero(eltype(T))) / (2 * U[i, i]) :
            ((U[i, i] - U[j, j]) * T[i, j] + sum(U[i, k] * T[k, j] - T[i, k] * U[k, j] for k in between; init = zero(eltype(T)))) /
            (T[i, i] - T[j, j])
    end
    return U
end

"""
    corner(f, T, directions)

The corner of `f` of the block upper bidiagonal matrix with `T` on the diagonal and the directions above it. A derivative of `f` is the sum
of such corners over all orders of the directions.
"""
function corner(f, T, directions)
    n, blocks = size(T, 1), length(directions) + 1
    X = zeros(eltype(T), n * blocks, n * blocks)
    at(i) = (1 + (i - 1) * n):(i * n)
    foreach(i -> X[at(i), at(i)] = T, 1:blocks)
    foreach(i -> X[at(i), at(i + 1)] = directions[i], 1:(blocks - 1))
    return f(X, blocks)[at(1), at(blocks)]
end
