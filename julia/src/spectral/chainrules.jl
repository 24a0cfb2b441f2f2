# ChainRules adapters of the spectral functions. Bodies of reverse rules call only functions that have rules, so that derivatives of
# derivatives are forms again.

@non_differentiable spectral_constants(::Any, ::Any, ::Any, ::Any)
@non_differentiable nan_or_zero(::Any)

const Reverse = RuleConfig{>:HasReverseMode}

# ---- from the argument to matrices, and back -------------------------------------------------------------------

function ChainRulesCore.rrule(::typeof(hermitian_array), p, a)
    hermitian_array_pullback(Δ) = NoTangent(), NoTangent(), @thunk(hermitian_gradient(p, unthunk(Δ)))
    hermitian_array_pullback(::AbstractZero) = NoTangent(), NoTangent(), ZeroTangent()
    return hermitian_array(p, a), hermitian_array_pullback
end

function ChainRulesCore.rrule(::typeof(hermitian_gradient), p, Ā)
    function hermitian_gradient_pullback(Δ)
        Ǎ = gradient_cotangent(p, p.a, unthunk(Δ))
        return NoTangent(), NoTangent(), Ǎ === nothing ? ZeroTangent() : real_if(Ā, Ǎ)
    end
    return hermitian_gradient(p, Ā), hermitian_gradient_pullback
end

# ---- forms -----------------------------------------------------------------------------------------------------

ChainRulesCore.rrule(config::Reverse, ::typeof(form), kind, f, directions, A, λ, V) =
    form_and_pullback(config, kind, f, directions, A, λ, V)
ChainRulesCore.rrule(::typeof(form), kind, f, directions, A, λ, V) =
    form_and_pullback(nothing, kind, f, directions, A, λ, V)

function form_and_pullback(config, kind, f, directions, A, λ, V)
    function form_pullback(Δ)
        ȳ = unthunk(Δ)
        ȳ isa AbstractZero && return ntuple(_ -> NoTangent(), 7)
        # Not a thunk, because Zygote unpacks thunks of arrays only.
        f̄ = holds_nothing(f) ? NoTangent() : function_cotangent(config, f, kind, directions, A, λ, V, ȳ)
        Ā = real_if(A, direction_cotangent(kind, f, directions, ȳ, A, λ, V))
        return NoTangent(), NoTangent(), f̄, directions_cotangent(kind, f, directions, ȳ, A, λ, V), Ā, NoTangent(), NoTangent()
    end
    return form(kind, f, directions, A, λ, V), form_pullback
end

directions_cotangent(kind, f, ::Tuple{}, ȳ, A, λ, V) = NoTangent()
directions_cotangent(kind, f, ds::Tuple{D}, ȳ, A, λ, V) where {D} =
    Tangent{Tuple{D}}(one_direction(kind, f, ds[1], (), ȳ, A, λ, V))
directions_cotangent(kind, f, ds::Tuple{D, E}, ȳ, A, λ, V) where {D, E} =
    Tangent{Tuple{D, E}}(one_direction(kind, f, ds[1], (ds[2],), ȳ, A, λ, V), one_direction(kind, f, ds[2], (ds[1],), ȳ, A, λ, V))
one_direction(kind, f, E, others, ȳ, A, λ, V) =
    @thunk(real_if(E, direction_cotangent(kind, f, others, ȳ, A, λ, V)))

# ---- gradients with respect to fields of f ---------------------------------------------------------------------

holds_nothing(f) = Base.issingletontype(typeof(f))
holds_nothing(::Step) = true
holds_nothing(f::Antiderivative) = holds_nothing(f.f)

function ChainRulesCore.rrule(::Type{Antiderivative}, f)
    Antiderivative_pullback(F̄) = NoTangent(), unthunk(F̄).f
    Antiderivative_pullback(::AbstractZero) = NoTangent(), ZeroTangent()
    return Antiderivative(f), Antiderivative_pullback
end

"""
    function_cotangent(config, f, kind, directions, A, λ, V, ȳ)

The cotangent of `f` in a form, by the reverse mode that `config` stands for. Everything is linear in `f`, so it is a sum
over the points at which `f` or a derivative of it is evaluated.
"""
function function_cotangent(config, f, kind, directions, A, λ, V, ȳ)
    config === nothing && return @not_implemented(
        "the gradient with respect to what `f` holds needs a rule configuration for reverse mode (Zygote's is one)"
    )
    f̄ = ZeroTangent()
    order = level(kind, directions)
    order <= 2 || error(
        "EigenPair: the gradient with respect to what `f` holds, of a second derivative with respect to the matrix, \
        is not implemented"
    )
    g = order == 0 ? bare(f) : integrand(f)
    for k in axes(λ, 2)
        t̄ = table_cotangent(kind, ȳ, directions, V, k)
        f̄ += order == 2 ? differences_cotangent(config, g, view(λ, :, k), t̄) :
            mapreduce((x, c) -> point_cotangent(config, g, x, c), +, view(λ, :, k), t̄; init = ZeroTangent())
    end
    return wrapped(f, f̄)
end
bare(f::Antiderivative) = f.f
wrapped(f, f̄) = f̄
wrapped(f::Antiderivative, f̄) = Tangent{typeof(f)}(; f = f̄)

# The gradient of c·f(x) with respect to f; for a derivative of f, by forward mode over reverse mode.
function point_cotangent(config, f, x, c)
    y, pullback = rrule_via_ad(config, f, x)
    return unthunk(pullback(y isa Real ? real(c) : c)[1])
end
function point_cotangent(config, d::Derivative, x, c)
    D = point_dual(d, x)
    return partial_tangent(D, point_cotangent(config, d.f, D(x, one(x)), c))
end

partial_tangent(D, x::Number) = only_partial(D, x)
partial_tangent(D, x::AbstractZero) = x
partial_tangent(D, x::AbstractArray) = map(y -> partial_tangent(D, y), x)
partial_tangent(D, x::Tangent{P}) where {P} = map(y -> partial_tangent(D, unthunk(y)), x)

function differences_cotangent(config, f, λ, t̄)
    f̄ = ZeroTangent()
    df = Derivative(f)
    for j in eachindex(λ), i in eachindex(λ)
        x, y = minmax(λ[i], λ[j])
        if !last(first_difference(f, x, y))
            c = t̄[i, j] / (y - x)
            f̄ += point_cotangent(config, f, y, c) + point_cotangent(config, f, x, -c)
        elseif x == y
            f̄ += point_cotangent(config, df, x, t̄[i, j])
        else
            f̄ += mapreduce(((t, weight),) -> point_cotangent(config, df, (1 - t) * x + t * y, weight * t̄[i, j]), +, FINE)
        end
    end
    return f̄
end

# Reverse mode over this gradient is not implemented: an error, because no rule at all would give zero.
function ChainRulesCore.rrule(::typeof(function_cotangent), args...)
    function function_cotangent_pullback(Δ)
        unthunk(Δ) isa AbstractZero && return ntuple(_ -> NoTangent(), length(args) + 1)
        return error(
            "EigenPair: reverse mode over the gradient with respect to what `f` holds is not implemented; use forward \
            mode over it (Zygote.hessian, not Zygote.hessian_reverse)"
        )
    end
    return function_cotangent(args...), function_cotangent_pullback
end

# ---- spectral_map, spectral_sum, spectral_projector ------------------------------------------------------------

const OfFunction = Union{typeof(spectral_map), typeof(spectral_sum)}

# The value, and its pullback: from a cotangent of the value to those of `f` and `a`.
function spectral_pullback(config, name, f, a, hermitian_part)
    p, λ, V = spectral_constants(name, f, a, hermitian_part)
    A = hermitian_array(p, a)
    kind, F = form_of(name, f)
    y, form_pullback = form_and_pullback(config, kind, F, (), A, λ, V)
    function cotangents(Δ)
        _, _, f̄, _, Ā = form_pullback(real_if(y, reshape_like(y, unthunk(Δ))))
        return unwrapped(f̄), @thunk(hermitian_gradient(p, Ā))
    end
    cotangents(::AbstractZero) = ZeroTangent(), ZeroTangent()
    return spectral_shape(kind, p, y, λ), cotangents
end

reshape_like(y, ȳ) = reshape(ȳ, size(y))
reshape_like(y, ȳ::Number) = [ȳ]
unwrapped(f̄) = f̄
unwrapped(f̄::Tangent{<:Antiderivative}) = f̄.f

ChainRulesCore.rrule(config::Reverse, name::OfFunction, f, a; hermitian_part = false) = spectral_rrule(config, name, f, a, hermitian_part)
ChainRulesCore.rrule(name::OfFunction, f, a; hermitian_part = false) = spectral_rrule(nothing, name, f, a, hermitian_part)
function spectral_rrule(config, name, f, a, hermitian_part)
    y, cotangents = spectral_pullback(config, name, f, a, hermitian_part)
    spectral_rrule_pullback(ȳ) = (NoTangent(), cotangents(ȳ)...)
    return y, spectral_rrule_pullback
end
function ChainRulesCore.rrule(::typeof(spectral_projector), a, k; hermitian_part = false)
    y, cotangents = spectral_pullback(nothing, spectral_projector, k, a, hermitian_part)
    spectral_projector_pullback(ȳ) = (NoTangent(), cotangents(ȳ)[2], NoTangent())
    return y, spectral_projector_pullback
end

function spectral_pushforward(name, f, a, ȧ, hermitian_part)
    p, λ, V = spectral_constants(name, f, a, hermitian_part)
    y, Ȧ, (kind, F) = spectral_value(name, f, a, p, λ, V), tangent_matrices(p, p.a, ȧ), form_of(name, f)
    return y, Ȧ === nothing ? ZeroTangent() : spectral_shape(kind, p, form(kind, F, (Ȧ,), hermitian_array(p, a), λ, V), λ)
end

function ChainRulesCore.frule((_, ḟ, ȧ)::Tuple, name::OfFunction, f, a; hermitian_part = false)
    holds_nothing(f) || ḟ isa AbstractZero || throw(
        ArgumentError("`f` must have no tangent: forward mode through ChainRules does not reach what it holds (ForwardDiff does)")
    )
    return spectral_pushforward(name, f, a, ȧ, hermitian_part)
end
ChainRulesCore.frule((_, ȧ, _)::Tuple, ::typeof(spectral_projector), a, k; hermitian_part = false) =
    spectral_pushforward(spectral_projector, k, a, ȧ, hermitian_part)
