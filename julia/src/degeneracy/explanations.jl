# Why something is NaN: the warnings of `check(explain = true)`. They name the matrix and the eigenvalues, say what to call
# instead, and point at the line that called the function.

# Why two eigenvalues of a cluster have no derivative.
const BASIS = "they are one cluster, and the loss depends on the choice of its eigenvectors, which is arbitrary"
const ORDER = "they are one cluster, and the loss tells them apart, by their order alone, in a way that has no derivative"
const COUPLED = "they are one cluster, and the perturbation couples their eigenvectors, which turn at once, so that their tangents do \
    not exist"
const DEFECTIVE = "they are one cluster, and their eigenvectors nearly coincide: the matrix is defective, or too close to one that \
    is. Its eigenvalues move like a root of the perturbation"
const SECOND = "they are too close for a second derivative, which divides by their distance twice or depends on how they split"
const CUT = "they are one cluster, so that there is no projector that separates them"
const EDGE = "they are one cluster, of which `subset_by_index` asks for one part only, and the loss uses its eigenvectors"

what_is_nan(reason) = reason === COUPLED ? "the tangent" : reason === SECOND ? "the second derivative" :
    reason === CUT ? "the result" : reason === DEFECTIVE || reason === EDGE ? "the derivative" : "the gradient"

const OF_MATRIX = "write it with spectral_map, spectral_sum or spectral_projector"
const INSTEAD = Dict(
    "eigh" => OF_MATRIX,
    "eigh(a, b)" => "take the pair to one matrix first, with B = L Lᴴ from cholesky: C = L⁻¹ A L⁻ᴴ (for type 1; Lᴴ A L for types 2 \
        and 3), and $OF_MATRIX of C",
    "eig" => "write it without eigenvectors, as exp, inv, ^, det and tr are; for a Hermitian matrix, with eigh or spectral_map",
)

function advice(subject, reason)
    reason === CUT && return "Choose `k` where there is a gap, or smooth the cut: spectral_map of EigenPair.fermi_dirac"
    reason === EDGE && return "Let `subset_by_index` have the whole cluster in it, or nothing of it"
    of_loss = "If the loss is a function of the matrix, $(INSTEAD[subject])"
    reason === SECOND && return subject == "eig" ? of_loss : of_loss * ", which have second derivatives at any degeneracy"
    reason === DEFECTIVE && return of_loss * "; single eigenvalues have no derivative here"
    of_loss *= "; if it needs these vectors, it has no derivative here"
    reason === COUPLED || return of_loss
    return of_loss * ". Reverse mode can see whether the loss needs them. If it only uses the space that they span, \
        check(coupled = :mask) leaves the turn out"
end

explains(::DegeneracyPolicy) = false
explains(policy::Check) = policy.explain

# Warns once for each line that calls.
function say(policy::Check, message)
    id = Symbol(policy.file, ':', policy.line, ':', hash(message))
    @warn message _file = string(policy.file) _line = policy.line _id = id maxlog = 1
    return nothing
end

of_batch(k, count) = count > 1 ? " of matrix $k of $count" : ""

"""
    explain(policy, subject, i, j, (λᵢ, λⱼ), reason, k, count)

Say why eigenvalues `i` and `j` of matrix `k` of `count` have no derivative.
"""
function explain(policy, subject, i, j, (λᵢ, λⱼ), reason, k, count)
    explains(policy) || return nothing
    return say(
        policy,
        "$(what_is_nan(reason)) of $subject is NaN: eigenvalues $i and $j$(of_batch(k, count)), $λᵢ and $λⱼ, differ by \
        $(abs(λᵢ - λⱼ)); $reason. $(advice(subject, reason))."
    )
end

# Names the two closest neighbours.
function explain_second_order(F, p, k, count)
    (explains(F.policy) && length(F.λ) > 1) || return nothing
    λ = map(plain, F.λ)
    i = argmin(diff(λ))
    return explain(F.policy, subject_of(p), shown(p, i), shown(p, i + 1), (λ[i], λ[i + 1]), SECOND, k, count)
end

subject_of(p) = p.b === nothing ? "eigh" : "eigh(a, b)"

# ---- arguments -----------------------------------------------------------------------------------------------

"""
    explain_arguments(p, a, b, w)

Say what there is to say of the arguments of a Hermitian problem whose eigenvalues are `w`.
"""
function explain_arguments(p, a, b, w)
    policy = p.degeneracy
    explains(policy) || return nothing
    A, count = flat(entries(a))[:, :, batch_indices(p, p.a)], size(w, 2)
    for k in 1:count
        p.a.triangle == HERMITIAN_PART && is_far_from_hermitian(view(A, :, :, k)) && say(
            policy,
            "eigh takes the Hermitian part (a + aᴴ)/2 of a matrix that is far from Hermitian$(of_batch(k, count)): its \
            skew-Hermitian part is $(skew_part(view(A, :, :, k))) of it. `lower = true` or `lower = false` reads one triangle; eig \
            is for general matrices."
        )
    end
    b === nothing && return nothing
    B = flat(entries(b))[:, :, batch_indices(p, p.b)]
    for k in 1:count
        Aₖ, Bₖ = view(A, :, :, k), view(B, :, :, k)
        any(isnan, view(w, :, k)) && all(isfinite, Aₖ) && all(isfinite, Bₖ) || continue
        lowest = minimum(LinearAlgebra.eigvals(Hermitian(Matrix(hermitian_of(p.b, Bₖ)))))
        reason = lowest <= 0 ? "`b`$(of_batch(k, count)) is not positive definite: its lowest eigenvalue is $lowest" :
            "the solver did not converge$(of_batch(k, count))"
        say(policy, "eigh(a, b) is NaN: $reason. For an indefinite `b` there is eig(a, b).")
    end
    return nothing
end

hermitian_of(input, B) = input.triangle == LOWER ? Hermitian(Matrix(B), :L) : input.triangle == UPPER ? Hermitian(Matrix(B), :U) :
    (B + B') / 2

"""
    is_far_from_hermitian(a)

Whether the skew-Hermitian part is more than a hundredth of the matrix: no rounding, and no step of a finite difference.
"""
is_far_from_hermitian(a) = norm(a - a') / 2 > norm(a) / 100

skew_part(a) = "$(round(Int, 100 * norm(a - a') / 2 / norm(a))) %"

explain_asymmetry(policy, name, a, k, count) = explains(policy) && say(
    policy,
    "$name is NaN: the skew-Hermitian part$(of_batch(k, count)) is $(skew_part(a)) of it. Spectral functions are functions of the \
    Hermitian part; if that is meant, say `hermitian_part = true`. Of a triangle make the whole matrix first, or a Symmetric or \
    Hermitian; for a general matrix there are exp, inv and ^."
)

# ---- the line of the call ------------------------------------------------------------------------------------

"""
    located(policy)

The policy, which knows the line it was called from if it has something to say there.
"""
located(policy::DegeneracyPolicy) = policy
function located(policy::Check)
    (policy.explain && policy.line == 0) || return policy
    frames = stacktrace()
    i = something(findfirst(is_users, frames), length(frames))
    return renewed(policy; file = frames[i].file, line = Int(frames[i].line))
end

# Whether the frame is in the user's code: not in this package, a registered package or Julia itself.
function is_users(frame)
    file = string(frame.file)
    startswith(file, "REPL[") && return true
    foreign = startswith(file, dirname(@__DIR__)) || occursin(r"[/\\](packages|stdlib)[/\\]", file)
    return isabspath(file) && !foreign && !startswith(file, Sys.BINDIR) && frame.line > 0
end
