# `eigsh` beside KrylovKit, in turns: the lowest eigenpairs of a Laplacian in a cube with random weights, and a gradient with respect to all of
# its entries, beside KrylovKit's own rule. Times are of the process, so other work on the machine disturbs them less.
#
#     julia benchmarks/large.jl [unknowns in one direction] [eigenpairs] [rounds]
using EigenPair, KrylovKit, LinearAlgebra, Printf, Random, SparseArrays, Zygote

const SIDE, COUNT, ROUNDS = parse.(Int, [ARGS; ["24", "4", "3"][(length(ARGS) + 1):end]])
const TOL = 1.0e-10

BLAS.set_num_threads(1)
chain(m) = spdiagm(-1 => fill(-1.0, m - 1), 0 => fill(2.0, m), 1 => fill(-1.0, m - 1))
function weighted_cube(m, rng)
    D, E = chain(m), sparse(1.0I, m, m)
    return kron(D, E, E) + kron(E, D, E) + kron(E, E, D) + Diagonal(rand(rng, m^3) ./ 2)
end

const RNG = Xoshiro(1)
const A = weighted_cube(SIDE, RNG)
const START, WEIGHTS = randn(RNG, size(A, 1)), randn(RNG, size(A, 1))

# The same residuals: eigsh measures them by the norm of A.
ours(a) = eigsh(a, COUNT; tol = TOL / opnorm(A, 1), v0 = START)
theirs(a) = eigsolve(a, START, COUNT, :SR; ishermitian = true, tol = TOL, krylovdim = 30, maxiter = 300)
of_ours(a) = (r = ours(a); sum(r.eigenvalues) + dot(WEIGHTS, abs2.(r.eigenvectors[:, 1])))
of_theirs(a) = ((w, v) = theirs(a); sum(w[1:COUNT]) + dot(WEIGHTS, abs2.(v[1])))

seconds(f) = (GC.gc(); @elapsed f())
function in_turns(name, f, g)
    f(), g()
    times = [(seconds(f), seconds(g)) for _ in 1:ROUNDS]
    mine, peer = minimum(first, times), minimum(last, times)
    @printf "%-10s EigenPair %7.3f s   KrylovKit %7.3f s   ratio %.2f (of rounds: %s)\n" name mine peer mine / peer join((@sprintf("%.2f", x / y) for (x, y) in times), ", ")
    return nothing
end

r, (w, _, info) = ours(A), theirs(A)
@printf "n = %d, k = %d; largest residual %.1e and %.1e; eigenvalues agree to %.1e; KrylovKit: %d products\n" size(A, 1) COUNT maximum(r.residuals) maximum(info.normres[1:COUNT]) maximum(abs, r.eigenvalues - w[1:COUNT]) info.numops
in_turns("forward", () -> ours(A), () -> theirs(A))
gradient(f) = Zygote.gradient(f, A)[1]
g = gradient(of_ours)
peer = try
    gradient(of_theirs)
catch error
    println("KrylovKit's rule: ", first(sprint(showerror, error), 300))
end
if peer === nothing
    @printf "gradient   EigenPair %7.3f s\n" minimum(seconds(() -> gradient(of_ours)) for _ in 1:ROUNDS)
else
    @printf "gradients agree to %.1e\n" norm(g - peer) / norm(g)
    in_turns("gradient", () -> gradient(of_ours), () -> gradient(of_theirs))
end
