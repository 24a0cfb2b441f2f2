# Why a result is NaN: the warnings of `check(explain = true)`. They name the matrix and the eigenvalues, say what to call
# instead, and point at the line that called the function.

const NOT_A_NUMBER = Dict(
    BASIS => "the gradient", ORDER => "the gradient", COUPLED => "the tangent", DEFECTIVE => "the derivative",
    SECOND => "the second derivative", CUT => "the result", EDGE => "the derivative",
)

const OF_MATRIX = "write it with spectral_map, spectral_sum or spectral_projector"
const INSTEAD = Dict(
    "eigh" => OF_MATRIX,
    "eigh(a, b)" => "$OF_MATRIX, which take `b` and `type` too",
    "eigsh" => "write it as a symmetric function of the eigenvalues and of the space that the eigenvectors span",
    "eig" => "write it without eigenvectors, as matrix_function, exp, inv, ^, det and tr are; for a Hermitian matrix, with eigh or spectral_map",
)

# What to call instead.
function advice(subject, reason)
    reason == CUT && return "Choose `k` where there is a gap, or smooth the cut: spectral_map of EigenPair.fermi_dirac"
    reason == EDGE && subject == "eigsh" && return "Choose `k` where there is a gap"
    reason == EDGE && return "Choose `subset_by_index` so that it contains the whole cluster, or nothing of it"
    of_loss = "If the loss is a function of the matrix, $(INSTEAD[subject])"
    reason == SECOND && return subject == "eig" ? of_loss : of_loss * ", which have second derivatives at any degeneracy. " *
        "The sum of the `k` lowest eigenvalues is " * (subject == "eigh" ? "tr(a * spectral_projector(a, k))" : "tr(a * spectral_projector(a, k, b)) in a problem of type 1")
    reason == DEFECTIVE && return of_loss * "; single eigenvalues have no derivative here"
    of_loss *= "; if it needs these vectors, it has no derivative here"
    reason == COUPLED || return of_loss
    return of_loss * ". Reverse mode can see whether the loss needs them. If it only uses the space that they span, \
        check(coupled = :mask) leaves the rotation out"
end

explains(::DegeneracyPolicy) = false
explains(policy::Check) = policy.explain

# One warning for each line of user code.
function warn_at_call(policy::Check, message)
    id = Symbol(policy.file, ':', policy.line, ':', hash(message))
    @warn message _file = string(policy.file) _line = policy.line _id = id maxlog = 1
    return nothing
end

of_batch(k, count) = count > 1 ? " of matrix $k of $count" : ""

"""
    explain(policy, subject, i, j, (λᵢ, λⱼ), reason, k, count)

Warn why eigenvalues `i` and `j` of matrix `k` of `count` have no derivative.
"""
function explain(policy, subject, i, j, (λᵢ, λⱼ), reason, k, count)
    explains(policy) || return nothing
    return warn_at_call(
        policy,
        "$(NOT_A_NUMBER[reason]) of $subject is NaN: eigenvalues $i and $j$(of_batch(k, count)), $λᵢ and $λⱼ, differ by \
        $(abs(λᵢ - λⱼ)); $(reason_text(reason)). $(advice(subject, reason))."
    )
end

"""
    explain_refusals(p, w, U, decision, matrices)

Warn about the first two eigenvalues that a decision refuses, in each of the `matrices`.
"""
function explain_refusals(p, w, U, decision::Decision, matrices = axes(w, 2))
    explains(p.degeneracy) || return nothing
    for k in matrices
        λ, found = map(plain, column(w, k)), refused_eigenvalues(p, w, U, decision, k)
        found === nothing && continue
        i, j, reason = found
        value(i) = 1 <= i <= length(λ) ? λ[i] : known_edges(U)[i == 0 ? 1 : 2, k]
        shown(i) = first_index(p) - 1 + i
        explain(p.degeneracy, subject_of(p), shown(i), shown(j), (value(i), value(j)), reason, k, size(w, 2))
    end
    return nothing
end

# The indices of two refused eigenvalues, and the reason. Indices 0 and n + 1 stand for the eigenvalues next to a subset. If the subset
# cuts a cluster, that is the reason.
function refused_eigenvalues(p, w, U, decision::Decision, k)
    reasons, lost, n, edges = matrix(decision.reasons, k), column(decision.lost, k), size(w, 1), known_edges(U)
    refused = findfirst(is_refusal, reasons)
    i = findfirst(==(EDGE), lost)
    if edges !== nothing && refused !== nothing && reasons[refused] != SECOND
        # With K = 0, only the edges are refused.
        cut = decide(p, FORWARD, nothing, w, nothing, U; K = zero(decision.reasons), options = MASK_COUPLED)
        i = findfirst(j -> lost[j] != 0 && cut.lost[j, k] != 0, axes(w, 1))
    end
    i === nothing && refused !== nothing && return minmax(Tuple(refused)...)..., reasons[refused]
    edges === nothing && return nothing
    i = something(i, findfirst(!iszero, lost), Some(nothing))
    i === nothing && return nothing
    λ = plain(w[i, k])
    is_below = λ - edges[1, k] <= edges[2, k] - λ
    return (is_below ? (0, 1) : (n, n + 1))..., lost[i] == SECOND ? SECOND : EDGE
end

# ---- arguments -----------------------------------------------------------------------------------------------

"""
    explain_arguments(p, a, b, w)

Warn about probably mistaken arguments of a Hermitian problem with eigenvalues `w`, and about problems without a solution.
"""
function explain_arguments(p, a, b, w)
    policy = p.degeneracy
    explains(policy) || return nothing
    A, count = flat(stored_entries(a))[:, :, batch_indices(p, p.a)], size(w, 2)
    for k in 1:count
        p.a.triangle == HERMITIAN_PART && is_far_from_hermitian(view(A, :, :, k)) && warn_at_call(
            policy,
            "eigh takes the Hermitian part (a + aᴴ)/2 of a matrix that is far from Hermitian$(of_batch(k, count)): its \
            skew-Hermitian part is $(skew_part(view(A, :, :, k))) of it. `lower = true` or `lower = false` reads one triangle; eig \
            is for general matrices."
        )
    end
    b === nothing && return nothing
    B = for_batch(p, p.b, input_matrices(p, p.b, b))
    for k in 1:count
        Aₖ, Bₖ = view(A, :, :, k), B[:, :, k]
        any(isnan, view(w, :, k)) && all(isfinite, Aₖ) && all(isfinite, Bₖ) || continue
        lowest = minimum(LinearAlgebra.eigvals(Hermitian(Bₖ)))
        reason = lowest <= 0 ? "`b`$(of_batch(k, count)) is not positive definite: its lowest eigenvalue is $lowest" :
            "the solver did not converge$(of_batch(k, count))"
        warn_at_call(policy, "eigh(a, b) is NaN: $reason. For an indefinite `b` use eig(a, b).")
    end
    return nothing
end

"""
    is_far_from_hermitian(a)

Whether the skew-Hermitian part is more than a hundredth of the matrix: too large to be a rounding error or the step of a finite
difference.
"""
is_far_from_hermitian(a) = norm(a - a') / 2 > norm(a) / 100

skew_part(a) = "$(round(Int, 100 * norm(a - a') / 2 / norm(a))) %"

explain_asymmetry(policy, name, a, k, count) = explains(policy) && warn_at_call(
    policy,
    "$name is NaN: the skew-Hermitian part$(of_batch(k, count)) is $(skew_part(a)) of it. Spectral functions are functions of the \
    Hermitian part; if you mean that, set `hermitian_part = true`. If the matrix is one triangle, make the whole matrix first, or a \
    Symmetric or Hermitian; for a general matrix use exp, inv and ^."
)

function explain_values(policy, name, f, λ)
    explains(policy) || return nothing
    for (k, w) in enumerate(eachcol(λ)), (i, x) in enumerate(w)
        isfinite(x) && !isfinite(f(x)) || continue
        return warn_at_call(
            policy,
            "$name is NaN or infinite: `f` is $(f(x)) at eigenvalue $i$(of_batch(k, size(λ, 2))), $x. Take an `f` that is finite at \
            all eigenvalues, or move them: add a small multiple of the identity to a matrix that may be singular."
        )
    end
    return nothing
end

# ---- the line of the call ------------------------------------------------------------------------------------

"""
    located(policy)

The policy; if it explains, with the file and line of the user's call.
"""
located(policy::DegeneracyPolicy) = policy
function located(policy::Check)
    (policy.explain && policy.line == 0) || return policy
    frames = stacktrace()
    i = something(findfirst(is_in_user_code, frames), length(frames))
    return renewed(policy; file = frames[i].file, line = Int(frames[i].line))
end

# Whether the frame is in the user's code: not in this package, a registered package or Julia itself.
function is_in_user_code(frame)
    file = string(frame.file)
    startswith(file, "REPL[") && return true
    foreign = startswith(file, dirname(@__DIR__)) || occursin(r"[/\\](packages|stdlib)[/\\]", file)
    return isabspath(file) && !foreign && !startswith(file, Sys.BINDIR) && frame.line > 0
end
