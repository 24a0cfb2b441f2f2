# ChainRules adapters of the Hermitian problems. The body of a reverse rule is itself differentiated when a user asks for second
# order, so it mutates nothing and calls only functions that have rules here.

@non_differentiable hermitian_problem(::Any, ::Any, ::Any)
@non_differentiable as_policy(::Any)
@non_differentiable eigh_type(::Any, ::Any)
@non_differentiable values_type(::Any, ::Any)
@non_differentiable input_norms(::Any, ::Any, ::Any)

present(::AbstractZero) = nothing
present(x::AbstractThunk) = present(unthunk(x))
present(x) = x

tangent_or_zero(::Nothing) = ZeroTangent()
tangent_or_zero(x) = x

# ---- the solve -----------------------------------------------------------------------------------------------

function ChainRulesCore.frule((_, _, ȧ, ḃ)::Tuple, ::typeof(hermitian_solve), p, a, b)
    Ω = hermitian_solve(p, a, b)
    return Ω, pushforward_of(p, a, b, Ω)(hermitian_tangent(p, p.a, ȧ), hermitian_tangent(p, p.b, ḃ))
end

function ChainRulesCore.rrule(::typeof(hermitian_solve), p, a, b)
    Ω = w, V, U = hermitian_solve(p, a, b)
    gradients = pullback_of(p, a, b, Ω)
    function hermitian_solve_pullback(Ω̄)
        λ̄, V̄, Ū = cotangent(w, Ω̄[1]), cotangent(V, Ω̄[2]), U isa AbstractArray ? cotangent(U, Ω̄[3]) : nothing
        if λ̄ === nothing && V̄ === nothing && Ū === nothing
            return NoTangent(), NoTangent(), ZeroTangent(), p.b === nothing ? NoTangent() : ZeroTangent()
        end
        ā, b̄ = gradients(λ̄, V̄, Ū)
        return NoTangent(), NoTangent(), ā, b̄
    end
    hermitian_solve_pullback(::AbstractZero) = (NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent())
    return Ω, hermitian_solve_pullback
end

# One rule for all steps, composed of their rules, so that a second derivative compiles this rule only.
function ChainRulesCore.rrule(::typeof(input_gradients), p, norms, w, V, U, λ̄, V̄, Ū)
    function input_gradients_pullback(Δ)
        X, Y = bases(p, V, U)
        (M̄, N̄), pull_rotation = rrule(hermitian_pullback, p, norms, w, V, U, λ̄, V̄, Ū)
        pull(input, X, M̄, Δ) = rrule(input_gradient, p, input, X, M̄)[2](Δ)[4:5]
        X̌, M̌ = present(Δ[1]) === nothing ? (nothing, nothing) : pull(p.a, X, M̄, Δ[1])
        Y̌, Ň = p.b === nothing || present(Δ[2]) === nothing ? (nothing, nothing) : pull(p.b, Y, N̄, Δ[2])
        ∂w, ∂V, ∂U, ∂s... = pull_rotation(map(tangent_or_zero, (M̌, Ň)))[4:9]
        X === V ? (∂V = plus(∂V, X̌)) : (∂U = plus(∂U, X̌))
        Y === V ? (∂V = plus(∂V, Y̌)) : (∂U = plus(∂U, Y̌))
        return NoTangent(), NoTangent(), NoTangent(), ∂w, ∂V, ∂U, ∂s...
    end
    return input_gradients(p, norms, w, V, U, λ̄, V̄, Ū), input_gradients_pullback
end

cotangent(primal, x) = real_if(primal, present(x))

# ---- the pullback, for second order --------------------------------------------------------------------------

function ChainRulesCore.rrule(::typeof(hermitian_pullback), p, norms, w, V, U, λ̄, V̄, Ū)
    function hermitian_pullback_pullback(Δ)
        M̌, Ň = present(Δ[1]), present(Δ[2])
        ∂s = second_order_pullback(p, norms, w, V, U, λ̄, V̄, Ū, M̌, Ň)
        return NoTangent(), NoTangent(), NoTangent(), map(tangent_or_zero, ∂s)...
    end
    return hermitian_pullback(p, norms, w, V, U, λ̄, V̄, Ū), hermitian_pullback_pullback
end

function ChainRulesCore.frule(
        (_, _, _, ẇ, V̇, U̇, dλ̄, dV̄, dŪ)::Tuple, ::typeof(hermitian_pullback), p, norms, w, V, U, λ̄, V̄, Ū
    )
    tangents = map(present, (ẇ, V̇, U̇, dλ̄, dV̄, dŪ))
    Ω = hermitian_pullback(p, norms, w, V, U, λ̄, V̄, Ū)
    return Ω, second_order_pushforward(p, norms, w, V, U, λ̄, V̄, Ū, tangents...)
end

function ChainRulesCore.rrule(::typeof(input_gradient), p, input::HermitianInput, X, M̄)
    function input_gradient_pullback(Δ)
        Ǎ = gradient_cotangent(p, input, unthunk(Δ))
        Ǎ === nothing && return NoTangent(), NoTangent(), NoTangent(), ZeroTangent(), ZeroTangent()
        X̌, M̌ = input_gradient_adjoint(Ǎ, X, M̄)
        return NoTangent(), NoTangent(), NoTangent(), X̌, M̌
    end
    return input_gradient(p, input, X, M̄), input_gradient_pullback
end

# The structural cotangent of a Symmetric or Hermitian gradient is that of its parent, of which all entries count.
gradient_cotangent(p, input, Δ) = hermitian_tangent(p, input, Δ)
gradient_cotangent(p, input, Δ::Tangent) = hermitian_tangent(p, input, unthunk(Δ.data), HERMITIAN_PART)

# Of X M̄ Xᴴ, all Hermitian: 2 Ǎ X M̄ and Xᴴ Ǎ X.
function input_gradient_adjoint(Ǎ, X, M̄)
    S = number_type(Ǎ, X, M̄)
    n, _, count = size(X)
    X̌ = Array{S}(undef, n, n, count)
    M̌ = Array{ndims(M̄) == 2 ? real(S) : S}(undef, size(M̄))
    ǍX, XᴴǍX = Matrix{S}(undef, n, n), Matrix{S}(undef, n, n)
    for k in 1:count
        product!(ǍX, matrix(Ǎ, k), matrix(X, k))
        product!(XᴴǍX, matrix(X, k)', ǍX)
        ndims(M̄) == 2 ? (column(M̌, k) .= real.(diag(XᴴǍX))) : (matrix(M̌, k) .= XᴴǍX)
        ǍX .*= 2
        times!(matrix(X̌, k), ǍX, slice(M̄, k))
    end
    return X̌, M̌
end

# ---- eigh and eigvalsh ---------------------------------------------------------------------------------------

function eigh_and_pushforward(ẋs, a, b; options...)
    p, w, V, ẇ, V̇ = solve_and_pushforward(ẋs, a, b; options...)
    Ω = EighResult(present_values(p, w), present_vectors(p, V))
    return Ω, Tangent{typeof(Ω)}(; eigenvalues = present_values(p, ẇ), eigenvectors = present_vectors(p, V̇))
end

function eigvalsh_and_pushforward(ẋs, a, b; options...)
    p, w, _, ẇ, _ = solve_and_pushforward(ẋs, a, b; options...)
    return present_values(p, w), present_values(p, ẇ)
end

function solve_and_pushforward(
        (ȧ, ḃ), a, b; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing
    )
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    (w, V, _), (ẇ, V̇, _) = frule((NoTangent(), NoTangent(), ȧ, ḃ), hermitian_solve, p, a, b)
    return p, w, V, ẇ, V̇
end

# These pullbacks return the gradients of `a` and `b`. Everything in here is inferred from the policy.
function eigh_and_pullback(degeneracy, a, b, type, lower, subset_by_index)
    p, w, V, inputs_pullback = solve_and_pullback(degeneracy, a, b, type, lower, subset_by_index)
    return EighResult(present_values(p, w), present_vectors(p, V)), Ω̄ -> inputs_pullback(parts(unthunk(Ω̄))...)
end

function eigvalsh_and_pullback(degeneracy, a, b, type, lower, subset_by_index)
    p, w, _, inputs_pullback = solve_and_pullback(degeneracy, a, b, type, lower, subset_by_index)
    return present_values(p, w), w̄ -> inputs_pullback(unthunk(w̄), ZeroTangent())
end

function solve_and_pullback(degeneracy, a, b, type, lower, subset_by_index)
    p = hermitian_problem(a, b, (; type, lower, subset_by_index, degeneracy))
    (w, V, _), solve_pullback = rrule(hermitian_solve, p, a, b)
    function inputs_pullback(λ̄, V̄)
        _, _, ā, b̄ = solve_pullback((embed_values(p, λ̄), embed_vectors(p, V̄), ZeroTangent()))
        return ā, b̄
    end
    return p, w, V, inputs_pullback
end

"""
The pullback of `eigh` or `eigvalsh` with `N` matrices. Its type says nothing of the policy, which is known only when the
call runs: an engine then infers all that follows.
"""
struct HermitianPullback{N}
    back::Any
end
(pullback::HermitianPullback{1})(Ω̄) = (NoTangent(), first(pullback.back(Ω̄)))
(pullback::HermitianPullback{2})(Ω̄) = (NoTangent(), pullback.back(Ω̄)...)

parts(Ω̄::AbstractZero) = (Ω̄, Ω̄)
parts(Ω̄) = (Ω̄.eigenvalues, Ω̄.eigenvectors)
# Cotangents by place, of a result that was unpacked as a tuple.
parts(Ω̄::Union{Tuple, Tangent{<:Any, <:Tuple}}) = (Ω̄[1], Ω̄[2])

# For second derivatives that differentiate the constructor.
function ChainRulesCore.rrule(::Type{EighResult}, w, v)
    EighResult_pullback(Ω̄) = (NoTangent(), parts(unthunk(Ω̄))...)
    return EighResult(w, v), EighResult_pullback
end

# Cotangents that are zero or not computed yet.
for f in (:embed_values, :embed_vectors)
    @eval $f(p, x::AbstractZero) = x
    @eval $f(p, x::AbstractThunk) = $f(p, unthunk(x))
end
@non_differentiable zeros_around(::Any, ::Any, ::Any)

function ChainRulesCore.frule((_, ȧ, ḃ)::Tuple, ::typeof(eigh), a, b; eigvals_only = false, options...)
    check_eigvals_only(eigvals_only)
    eigvals_only && return eigvalsh_and_pushforward((ȧ, ḃ), a, b; options...)
    return eigh_and_pushforward((ȧ, ḃ), a, b; options...)
end
ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof(eigh), a; options...) =
    frule((NoTangent(), ȧ, NoTangent()), eigh, a, nothing; options...)
ChainRulesCore.frule((_, ȧ, ḃ)::Tuple, ::typeof(eigvalsh), a, b; options...) =
    eigvalsh_and_pushforward((ȧ, ḃ), a, b; options...)
ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof(eigvalsh), a; options...) =
    eigvalsh_and_pushforward((ȧ, NoTangent()), a, nothing; options...)

# Inlined, so that the type of the result follows from `eigvals_only` as it is written at the call.
@inline function ChainRulesCore.rrule(
        ::typeof(eigh), a, b; eigvals_only = false, type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing
    )
    check_eigvals_only(eigvals_only)
    eigvals_only && return rrule(eigvalsh, a, b; type, lower, subset_by_index, degeneracy)
    Ω, back = eigh_and_pullback(as_policy(degeneracy), a, b, type, lower, subset_by_index)::Tuple{eigh_type(a, b), Any}
    return Ω, HermitianPullback{2}(back)
end
@inline function ChainRulesCore.rrule(::typeof(eigh), a; options...)
    Ω, pullback = rrule(eigh, a, nothing; options...)
    return Ω, HermitianPullback{1}(pullback.back)
end

function ChainRulesCore.rrule(
        ::typeof(eigvalsh), a, b; type = 1, lower = nothing, subset_by_index = nothing, degeneracy = nothing
    )
    w, back = eigvalsh_and_pullback(as_policy(degeneracy), a, b, type, lower, subset_by_index)::Tuple{values_type(a, b), Any}
    return w, HermitianPullback{2}(back)
end
function ChainRulesCore.rrule(::typeof(eigvalsh), a; options...)
    w, pullback = rrule(eigvalsh, a, nothing; options...)
    return w, HermitianPullback{1}(pullback.back)
end
