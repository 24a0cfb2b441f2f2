# Hermitian band matrices, also tridiagonal ones. They are treated like subsets (subset.jl), with products by a band: neither the solve
# nor a first derivative of a subset forms the matrix.
#
# The core and the rules use the lower half of the band: B[m + 1, j] is entry (j + m, j) of the matrix. Gradients are taken with respect to
# these entries. Off-diagonal entries are doubled, because each stands for two entries of the matrix.

"""
    eigh_banded(a_band; lower = false, eigvals_only = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)

Eigenvalues and eigenvectors of a Hermitian band matrix, as an [`EighResult`](@ref); the eigenvalues alone if `eigvals_only`.

`a_band` has the diagonals of one half of the matrix in its rows, `(u + 1) × n` or `(u + 1) × n × batch...`, real or complex. Entry `(i, j)`
is `a_band[u + 1 + i - j, j]` for `i ≤ j`, or with `lower` `a_band[1 + i - j, j]` for `i ≥ j`, as in LAPACK. The unused entries in the corners
and the imaginary part of the diagonal are not read.

The gradient has the shape of `a_band` and is taken with respect to the stored entries. Off-diagonal entries are doubled, because each stands
for two entries of the matrix; the corners are zero. The gradient takes O(n) for each diagonal and eigenvalue. Only the subset is computed,
whatever its size. If all eigenvectors are needed, [`eigh`](@ref) of the whole matrix is about as fast.

Results, errors, NaN and all other arguments are as for [`eigh`](@ref). Solved by LAPACK's `sbtrd` or `hbtrd`, and `stevd` or `stemr`.
Derivatives: Giles (2008), §3.1; docs/derivations.md, "Band matrices".
"""
@inline function eigh_banded(
        a_band; lower = false, eigvals_only = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing
    )
    check_flag("eigvals_only", eigvals_only)
    eigvals_only && return eigvalsh_banded(a_band; lower, subset_by_index, subset_by_value, degeneracy)
    options = (; lower, subset_by_index, subset_by_value)
    return eigh_under(band_problem, as_policy(degeneracy), a_band, nothing; options...)::eigh_type(a_band, nothing)
end

"""
    eigvalsh_banded(a_band; lower = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)

Eigenvalues of a Hermitian band matrix, real and ascending. Arguments and errors as for [`eigh_banded`](@ref).
"""
eigvalsh_banded(a_band; lower = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing) =
    eigvalsh_under(band_problem, as_policy(degeneracy), a_band, nothing; lower, subset_by_index, subset_by_value)::values_type(a_band, nothing)

"""
    eigh_tridiagonal(d, e; eigvals_only = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)
    eigh_tridiagonal(a::SymTridiagonal; options...)

Eigenvalues and eigenvectors of a real symmetric tridiagonal matrix, as an [`EighResult`](@ref); the eigenvalues alone if `eigvals_only`.

`d` is the diagonal, of length `n` or of size `n × batch...`; `e` has the `n - 1` off-diagonal entries, and its batch dimensions are broadcast
against those of `d`. Gradients have the shapes of `d` and `e`: `∂λₖ/∂dᵢ = vᵢₖ²`, `∂λₖ/∂eᵢ = 2 vᵢₖ vᵢ₊₁ₖ`, in O(n) for each eigenvalue;
derivatives of the `k` eigenvectors of a subset take O(n k²). The gradient of a `SymTridiagonal` is a `SymTridiagonal`.

If no entry of `e` is zero, all eigenvalues are distinct. But they may agree to the last digit, and `degeneracy` treats them as in
[`eigh`](@ref). All other arguments are those of `eigh`. Solved by LAPACK's `stevd`, a subset by `stemr`. Derivatives: Giles (2008), §3.1;
docs/derivations.md, "Band matrices".
"""
@inline eigh_tridiagonal(d, e; eigvals_only = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing) =
    eigh_banded(tridiagonal_band(d, e); lower = true, eigvals_only, subset_by_index, subset_by_value, degeneracy)

"""
    eigvalsh_tridiagonal(d, e; subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)
    eigvalsh_tridiagonal(a::SymTridiagonal; options...)

Eigenvalues of a real symmetric tridiagonal matrix, ascending. Arguments and errors as for [`eigh_tridiagonal`](@ref).
"""
eigvalsh_tridiagonal(d, e; subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing) =
    eigvalsh_banded(tridiagonal_band(d, e); lower = true, subset_by_index, subset_by_value, degeneracy)

eigh_tridiagonal(a::SymTridiagonal; options...) = eigh_tridiagonal(diagonals(a)...; options...)
eigvalsh_tridiagonal(a::SymTridiagonal; options...) = eigvalsh_tridiagonal(diagonals(a)...; options...)

# ---- the problem of a call --------------------------------------------------------------------------------------

"""
The properties of a band argument that the rules need: whether it is the `lower` half, the number of its `rows`, the number of off-diagonals of
the matrix in it (`bandwidth`), and the projection onto its tangent space.
"""
struct BandInput{P} <: ProblemInput
    lower::Bool
    rows::Int
    bandwidth::Int
    project::P
end

function band_problem(a_band, ::Nothing = nothing; lower = false, subset_by_index = nothing, subset_by_value = nothing, degeneracy = nothing)
    degeneracy = as_policy(degeneracy)
    check_flag("lower", lower)
    rows = "`a_band` must have the diagonals of one half of the matrix in its rows, (u + 1) × n, got"
    a_band isa AbstractArray || throw(ArgumentError("$rows $(repr(a_band))"))
    ndims(a_band) >= 2 && size(a_band, 1) >= 1 ||
        throw(DimensionMismatch("$rows an array of size $(size(a_band)); for a whole matrix use eigh"))
    Base.require_one_based_indexing(a_band)
    T, n, batch = working_type("a_band", eltype(a_band)), size(a_band, 2), batch_size(a_band)
    subset_by_value === nothing ||
        (subset_by_index = subset_in_interval(subset_by_index, subset_by_value, band_problem, (a_band, nothing), (; lower)))
    subset = check_subset(subset_by_index, n)
    input = BandInput(lower, size(a_band, 1), max(min(size(a_band, 1), n) - 1, 0), ProjectTo(a_band))
    return HermitianProblem{T, :band, length(batch), typeof(degeneracy), typeof(input), Nothing}(
        0, n, batch, subset, HERMITIAN_PART, degeneracy, input, nothing
    )
end

@non_differentiable band_problem(::Any, ::Any)

# ---- between the argument and the lower half ---------------------------------------------------------------------

# Calls `f` with the indices of each entry in the lower half and in the argument, and whether it is on
# the diagonal.
function each_entry(f, input::BandInput, n, count)
    for k in 1:count, j in 1:n, m in 0:min(input.bandwidth, n - j)
        here = CartesianIndex(m + 1, j, k)
        f(here, input.lower ? here : CartesianIndex(input.rows - m, j + m, k), m == 0)
    end
    return nothing
end

# The lower halves that an argument stands for, with zeros in the corners.
function lower_half(::Type{T}, input::BandInput, x) where {T}
    entries = flat(x)
    B = zeros(T, input.bandwidth + 1, size(entries, 2), size(entries, 3))
    each_entry(input, size(entries, 2), size(entries, 3)) do here, there, is_diagonal
        B[here] = is_diagonal ? real(entries[there]) : input.lower ? entries[there] : conj(entries[there])
    end
    return B
end

problem_matrices(::Eigenproblem{T}, input::BandInput, x) where {T} = lower_half(T, input, x)
tangent_matrices(::Eigenproblem{T}, input::BandInput, ẋ::AbstractArray) where {T} = lower_half(promote_type(T, eltype(ẋ)), input, ẋ)

# The adjoint map.
function shared_gradient(p::Eigenproblem, input::BandInput, B̄)
    Ā = zeros(eltype(B̄), input.rows, p.n, size(B̄, 3))
    each_entry(input, p.n, size(B̄, 3)) do here, there, is_diagonal
        Ā[there] = is_diagonal ? real(B̄[here]) : input.lower ? B̄[here] : conj(B̄[here])
    end
    return input.project(reshape(Ā, input.rows, p.n, p.batch...))
end

# The lower half of a tridiagonal matrix, and the transposed map.
function tridiagonal_band(d, e)
    n, batch = tridiagonal_size(d, e)
    band = zeros(promote_type(eltype(d), eltype(e)), 2, n, batch...)
    selectdim(band, 1, 1) .= d
    selectdim(selectdim(band, 1, 2), 1, 1:(n - 1)) .= e
    return band
end

function tridiagonal_parts(d, e, band)
    summed(x, like) = reshape(sum(x; dims = filter(i -> size(x, i) != size(like, i), 1:ndims(x))), size(like))
    return map((x, like) -> ProjectTo(like)(summed(x, like)), (selectdim(band, 1, 1), selectdim(selectdim(band, 1, 2), 1, axes(e, 1))), (d, e))
end

function tridiagonal_size(d, e)
    for (name, x, remedy) in (
            ("d", d, "the diagonal of a Hermitian matrix is real"),
            ("e", e, "eigenvalues depend on abs.(e) alone; for eigenvectors, eigh_banded takes complex matrices"),
        )
        x isa AbstractArray && ndims(x) >= 1 ||
            throw(ArgumentError("`$name` must be a vector, or an array of vectors along its first dimension, got $(repr(x))"))
        Base.require_one_based_indexing(x)
        working_type(name, eltype(x)) <: Real || throw(ArgumentError("`$name` must be real, got elements of type $(eltype(x)); $remedy"))
    end
    n = size(d, 1)
    size(e, 1) == max(n - 1, 0) ||
        throw(DimensionMismatch("`e` must have one entry less than `d`, $(max(n - 1, 0)), got $(size(e, 1))"))
    return n, broadcast_batches(size(d)[2:end], size(e)[2:end], "`d` and `e`, those after the first,")
end

# What a SymTridiagonal, or its tangent, holds.
diagonals(a) = diag(a), diag(a, 1)
diagonals(ȧ::Tangent) = unthunk(ȧ.dv), unthunk(ȧ.ev)
diagonals(::Union{Nothing, AbstractZero}) = nothing, nothing

# ---- what differs from a dense subset ----------------------------------------------------------------------------

new_factor(::BandProblem, count) = nothing

function solve!(w, V, reduction, p::BandProblem{T}, a, b) where {T}
    band = lower_half(T, p.a, a)
    codes = (dtype_code(T), 0, p.n, size(w, 2), p.a.bandwidth, first_index(p) - 1, size(w, 1))
    isempty(w) || run_native(:banded_job, CBandedProblem, codes, (band, w, V, reduction.edges, nothing))
    return nothing
end

function solve_complement!(X, p::BandProblem{T}, reduction, A, w, V, Y) where {T}
    # Of all eigenpairs nothing is left.
    size(w, 1) == p.n && return fill!(X, 0)
    codes = (dtype_code(T), 0, p.n, size(w, 2), p.a.bandwidth, size(w, 1))
    return run_native(:banded_complement_job, CBandedComplementProblem, codes, (dense(T, A), w, V, Y, X, nothing))
end

function times_tangent!(::BandProblem, C, H, X, α, β)
    C .= α .* real.(view(H, 1, :)) .* X .+ (iszero(β) ? zero(eltype(C)) : β .* C)
    for c in axes(X, 2), j in axes(X, 1), m in 1:min(size(H, 1) - 1, size(X, 1) - j)
        C[j + m, c] += α * H[m + 1, j] * X[j, c]
        C[j, c] += α * conj(H[m + 1, j]) * X[j + m, c]
    end
    return C
end

frobenius_norm(::BandProblem, H) = sqrt(2 * sum(abs2, H) - sum(abs2, view(H, 1, :)))

function tangent_entries(p::BandProblem, norms, w, V, U, Ȧ)
    (Ȧ === nothing || !has_cluster(decide(p, FORWARD, norms, w, V, U))) && return nothing
    H = zeros(eltype(Ȧ), p.n, p.n, size(Ȧ, 3))
    foreach(k -> times_tangent!(p, matrix(H, k), matrix(Ȧ, k), Matrix{eltype(Ȧ)}(I, p.n, p.n), 1, 0), axes(H, 3))
    return H
end

# Of the gradient of the matrix, the Hermitian part of (V M̄ + Z) Vᴴ, only the band is computed.
gradient_matrices(::BandProblem, V, ::Nothing, Z = nothing) = nothing
function gradient_matrices(p::BandProblem, V, M̄, Z = nothing)
    S = number_type(M̄, V, Z)
    B̄ = zeros(S, p.a.bandwidth + 1, p.n, size(V, 3))
    for k in axes(V, 3)
        Vₖ = matrix(V, k)
        right = times!(Matrix{S}(undef, size(Vₖ)), Vₖ, slice(M̄, k))
        Z === nothing || (right .+= matrix(Z, k))
        for c in axes(Vₖ, 2), j in 1:(p.n), m in 0:min(p.a.bandwidth, p.n - j)
            below = right[j + m, c] * conj(Vₖ[j, c])
            B̄[m + 1, j, k] += m == 0 ? real(below) : below + Vₖ[j + m, c] * conj(right[j, c])
        end
    end
    return B̄
end

# ---- ChainRules ------------------------------------------------------------------------------------------------

@non_differentiable tridiagonal_size(::Any, ::Any)

function ChainRulesCore.rrule(::typeof(tridiagonal_band), d, e)
    tridiagonal_band_pullback(Δ) = (NoTangent(), tridiagonal_parts(d, e, unthunk(Δ))...)
    return tridiagonal_band(d, e), tridiagonal_band_pullback
end
function ChainRulesCore.rrule(::typeof(tridiagonal_parts), d, e, band)
    function tridiagonal_parts_pullback(Δ)
        ḋ, ė = map((x, like) -> x isa AbstractZero ? zero(like) : x, map(unthunk, (Δ[1], Δ[2])), (d, e))
        return NoTangent(), NoTangent(), NoTangent(), tridiagonal_band(ḋ, ė)
    end
    return tridiagonal_parts(d, e, band), tridiagonal_parts_pullback
end

function ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof(eigh_banded), a_band; eigvals_only = false, options...)
    check_flag("eigvals_only", eigvals_only)
    return frule_of(band_problem(a_band; options...), eigvals_only, (present(ȧ),), a_band, nothing)
end

@inline function ChainRulesCore.rrule(::typeof(eigh_banded), a_band; eigvals_only = false, options...)
    check_flag("eigvals_only", eigvals_only)
    Ω, pullback = shaped_pullback(band_problem(a_band, nothing; options...), a_band, nothing, eigvals_only ? values_result : eigh_result)
    return Ω, InputPullback{1}(Ω̄ -> pullback((eigvals_only ? (present(Ω̄),) : eigh_cotangents(Ω̄))...))
end

tangent_or_zeros(x, ẋ) = present(ẋ) === nothing ? zero(x) : present(ẋ)
function ChainRulesCore.frule((_, ḋ, ė)::Tuple, ::typeof(eigh_tridiagonal), d, e; options...)
    tangent = tridiagonal_band(tangent_or_zeros(d, ḋ), tangent_or_zeros(e, ė))
    return frule((NoTangent(), tangent), eigh_banded, tridiagonal_band(d, e); options..., lower = true)
end
ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof(eigh_tridiagonal), a::SymTridiagonal; options...) =
    frule((NoTangent(), diagonals(ȧ)...), eigh_tridiagonal, diagonals(a)...; options...)

function ChainRulesCore.rrule(::typeof(eigh_tridiagonal), d, e; options...)
    Ω, pullback = rrule(eigh_banded, tridiagonal_band(d, e); options..., lower = true)
    parts(gradient) = tridiagonal_parts(d, e, gradient)
    parts(::Nothing) = nothing, nothing
    return Ω, InputPullback{2}(Ω̄ -> parts(pullback.back(Ω̄)[1]))
end
function ChainRulesCore.rrule(::typeof(eigh_tridiagonal), a::SymTridiagonal; options...)
    Ω, pullback = rrule(eigh_tridiagonal, diagonals(a)...; options...)
    # Of a matrix, an entry that stands twice in it has half of the gradient in each place.
    gradient(d̄, ē) = SymTridiagonal(d̄, ē ./ 2)
    gradient(::Nothing, ::Nothing) = nothing
    return Ω, InputPullback{1}(Ω̄ -> (gradient(pullback.back(Ω̄)...),))
end

for (values, both) in ((:eigvalsh_banded, :eigh_banded), (:eigvalsh_tridiagonal, :eigh_tridiagonal))
    @eval ChainRulesCore.frule(ẋs::Tuple, ::typeof($values), xs...; options...) = frule(ẋs, $both, xs...; options..., eigvals_only = true)
    @eval ChainRulesCore.rrule(::typeof($values), xs...; options...) = rrule($both, xs...; options..., eigvals_only = true)
end
