# Keywords of other packages that these functions do not have, and what to use instead: printed below the MethodError.

const TRIANGLE_REMEDY = "`lower = true` reads the lower triangle, `lower = false` the upper; `Symmetric(a, :L)` and `Hermitian(a, :L)` select their triangle"
const SUBSET_REMEDY = "`subset_by_index = 1:k` selects the k lowest, a range of 1-based indices"
const INTERVAL_REMEDY = "`subset_by_value = (low, high)` selects the eigenvalues in that interval"
const DRIVER_REMEDY = "leave it out: LAPACK's driver is chosen by the size and the requested results"

const HERMITIAN_REMEDIES = Dict(
    :uplo => TRIANGLE_REMEDY,
    :UPLO => TRIANGLE_REMEDY,
    :itype => "the kind of problem is `type`: 1, 2 or 3",
    :sortby => "leave it out: eigenvalues are ascending",
    :alg => DRIVER_REMEDY,
    :driver => DRIVER_REMEDY,
    :k => SUBSET_REMEDY,
    :nev => SUBSET_REMEDY,
    :irange => SUBSET_REMEDY,
    :vl => INTERVAL_REMEDY,
    :vu => INTERVAL_REMEDY,
    :deg_thresh => "`degeneracy = EigenPair.mask(tol)` leaves out gaps up to `tol`",
    :policy => "`degeneracy` takes the policy",
    :left => "a Hermitian matrix has the same left and right vectors; `eig` has `left`",
    :right => "`eigvals_only = true` returns eigenvalues alone",
)
const GENERAL_REMEDIES = Dict(
    :sortby => "leave it out: eigenvalues are in order of their real, then imaginary part",
    :permute => "leave it out: LAPACK balances the matrix as it sees fit",
    :scale => "leave it out: LAPACK balances the matrix as it sees fit",
    :jobvl => "`left = true`",
    :jobvr => "`right = false` leaves them out",
    :lower => "`eigh` has it, for Hermitian matrices; here every entry is read",
    :type => "`eigh` has it, for Hermitian pairs; here it is A v = λ B v",
    :eigvals_only => "`EigenPair.eigvals` returns eigenvalues alone",
    :subset_by_index => "all eigenvalues are computed: select from the result",
    :policy => "`degeneracy` takes the policy",
)

const BANDED_REMEDIES = Dict(
    HERMITIAN_REMEDIES...,
    :lower => "the entries beside the diagonal are given once, as `e`",
    :uplo => "`lower = true` says that the rows hold the lower half, `lower = false` the upper",
    :type => "band matrices have no `b`",
    :select => "$SUBSET_REMEDY; $INTERVAL_REMEDY",
    :select_range => "$SUBSET_REMEDY; $INTERVAL_REMEDY",
    :max_ev => SUBSET_REMEDY,
    :lapack_driver => DRIVER_REMEDY,
)

# Of KrylovKit's `eigsolve`, Arpack.jl and SciPy.
const LARGE_REMEDIES = Dict(
    :nev => "`k`, the second argument, says how many eigenpairs",
    :howmany => "`k`, the second argument, says how many eigenpairs",
    :x0 => "`v0` has vectors to start from",
    :issymmetric => "leave it out: two products with random vectors test it",
    :ishermitian => "leave it out: two products with random vectors test it",
    :krylovdim => "leave it out: it is chosen from `k`",
    :ncv => "leave it out: it is chosen from `k`",
    :maxiter => "`max_iterations` limits the restarts",
    :verbosity => "`progress = true` writes a line in each iteration",
    :alg_rrule => "leave it out: derivatives are solved by MINRES, with the eigenvectors projected out; `preconditioner` helps",
    :M => "`b` is the matrix of A v = λ B v",
    :B => "`b` is the matrix of A v = λ B v",
    :subset_by_index => "`which` and `sigma` say which eigenvalues are wanted",
    :policy => "`degeneracy` takes the policy",
)

remedies(::typeof(eigsh)) = LARGE_REMEDIES
remedies(::Union{typeof(eigh), typeof(eigvalsh), typeof(hermitian_problem)}) = HERMITIAN_REMEDIES
remedies(::Union{typeof(eigh_banded), typeof(eigvalsh_banded), typeof(eigh_tridiagonal), typeof(eigvalsh_tridiagonal)}) = BANDED_REMEDIES
remedies(::Union{typeof(eig), typeof(eigvals)}) = GENERAL_REMEDIES
remedies(_) = Dict{Symbol, String}()

function print_remedies(io, exception, _, keywords)
    known = remedies(exception.f)
    for (name, _) in keywords
        haskey(known, name) && print(io, "\nThere is no keyword `", name, "`: ", known[name], '.')
    end
    return nothing
end
