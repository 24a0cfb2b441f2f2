# ChainRules adapters of the spectral functions. Bodies of reverse rules call only functions that have rules, so second derivatives
# are forms again.

@non_differentiable spectral_constants(::Any, ::Any, ::Any, ::Any, ::Any, ::Any)
@non_differentiable function_constants(::Any, ::Any)
@non_differentiable identities(::Any)
@non_differentiable diagonal_matrices(::Any, ::Any)
@non_differentiable nan_or_zero(::Any)

const Reverse = RuleConfig{>:HasReverseMode}

# ---- from the argument to matrices, and back -------------------------------------------------------------------

function ChainRulesCore.rrule(::typeof(batch_of), p, input, x)
    batch_of_pullback(Δ) = NoTangent(), NoTangent(), NoTangent(), @thunk(argument_gradient(p, input, unthunk(Δ)))
    batch_of_pullback(::AbstractZero) = NoTangent(), NoTangent(), NoTangent(), ZeroTangent()
    return batch_of(p, input, x), batch_of_pullback
end

function ChainRulesCore.rrule(::typeof(argument_gradient), p, input, X̄)
    function argument_gradient_pullback(Δ)
        X̌ = gradient_cotangent(p, input, unthunk(Δ))
        return NoTangent(), NoTangent(), NoTangent(), X̌ === nothing ? ZeroTangent() : real_if(X̄, X̌)
    end
    return argument_gradient(p, input, X̄), argument_gradient_pullback
end

# ---- the metric of B -------------------------------------------------------------------------------------------

function ChainRulesCore.rrule(::typeof(mul), X, Y)
    mul_pullback(Δ) = NoTangent(), real_if(X, mul(unthunk(Δ), adjoints(Y))), real_if(Y, mul(adjoints(X), unthunk(Δ)))
    mul_pullback(::AbstractZero) = NoTangent(), ZeroTangent(), ZeroTangent()
    return mul(X, Y), mul_pullback
end

function ChainRulesCore.rrule(::typeof(known), value, x)
    known_pullback(Δ) = NoTangent(), NoTangent(), Δ
    return known(value, x), known_pullback
end

# Cotangents of A and B, from those of C (or, without B, of A) and W.
metric_pullback(p, A, ::Nothing, λ, V, U, Ā, W̄) = real_if(A, Ā), nothing
function metric_pullback(p, A, B, λ, V, U, C̄, W̄)
    Ā, B̄ = metric_cotangents(p, A, B, λ, V, U, C̄, W̄)
    return real_if(A, Ā), real_if(B, B̄)
end

# Cotangents of W and of the matrix inside.
outside_cotangents(::Opened, ::Nothing, Y, Δ) = nothing, Δ
outside_cotangents(::Closed, W, y, Δ) = nothing, Δ
outside_cotangents(::Opened, W, Y, Δ) =
    mul(Δ, mul(W, adjoints(Y))) .+ mul(adjoints(Δ), mul(W, Y)), mul(adjoints(W), mul(Δ, W))

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
holds_nothing(f::Union{Antiderivative, Expanded}) = holds_nothing(f.f)

function ChainRulesCore.rrule(::Type{Antiderivative}, f)
    Antiderivative_pullback(F̄) = NoTangent(), unthunk(F̄).f
    Antiderivative_pullback(::AbstractZero) = NoTangent(), ZeroTangent()
    return Antiderivative(f), Antiderivative_pullback
end

"""
    function_cotangent(config, f, kind, directions, A, λ, V, ȳ)

The cotangent of `f` in a form, by the reverse mode of `config`. The form is linear in `f`, so the cotangent is a sum
over the points at which `f` or a derivative of it is evaluated.
"""
function function_cotangent(config, f, kind, directions, A, λ, V, ȳ)
    config === nothing && return @not_implemented(
        "the gradient with respect to fields of `f` needs a rule configuration for reverse mode (Zygote's is one)"
    )
    f̄ = ZeroTangent()
    kind isa Holomorphic && return expanded_cotangent(config, f, directions, λ, ȳ)
    order = level(kind, directions)
    order <= 2 || error(
        "EigenPair: the gradient with respect to fields of `f`, of a second derivative with respect to the matrix, \
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
            "EigenPair: reverse mode over the gradient with respect to fields of `f` is not implemented; use forward \
            mode over it (Zygote.hessian, not Zygote.hessian_reverse)"
        )
    end
    return function_cotangent(args...), function_cotangent_pullback
end

# ---- spectral_map, spectral_sum, spectral_projector ------------------------------------------------------------

const OfFunction = Union{typeof(spectral_map), typeof(spectral_sum)}

# The value, and its pullback: from a cotangent of the value to those of `f`, `a` and `b`.
function spectral_pullback(config, name, f, a, b = nothing; type = 1, hermitian_part = false)
    p, A, B, λ, V, U = spectral_arrays(a, b, spectral_constants(name, f, a, b, type, hermitian_part)...)
    (kind, F), (C, W, basis) = form_of(name, f), in_metric(p, A, B, λ, V, U)
    Y, form_pullback = form_and_pullback(config, kind, F, (), C, λ, basis)
    y = outside_metric(kind, W, Y)
    function cotangents(Δ)
        W̄, Ȳ = outside_cotangents(kind, W, Y, real_if(y, reshape_like(y, unthunk(Δ))))
        _, _, f̄, _, C̄ = form_pullback(Ȳ)
        Ā, B̄ = metric_pullback(p, A, B, λ, V, U, C̄, W̄)
        return unwrapped(f̄), @thunk(argument_gradient(p, p.a, Ā)), B̄ === nothing ? NoTangent() : @thunk(argument_gradient(p, p.b, B̄))
    end
    cotangents(::AbstractZero) = ZeroTangent(), ZeroTangent(), ZeroTangent()
    return spectral_shape(kind, p, y, λ), cotangents
end

reshape_like(y, ȳ) = reshape(ȳ, size(y))
reshape_like(y, ȳ::Number) = [ȳ]
unwrapped(f̄) = f̄
unwrapped(f̄::Tangent{<:Union{Antiderivative, Expanded}}) = f̄.f

function spectral_rrule(config, name, f, a, b...; options...)
    y, cotangents = spectral_pullback(config, name, f, a, b...; options...)
    spectral_rrule_pullback(ȳ) = (NoTangent(), cotangents(ȳ)[1:(2 + length(b))]...)
    return y, spectral_rrule_pullback
end
ChainRulesCore.rrule(config::Reverse, name::OfFunction, f, a, b...; options...) = spectral_rrule(config, name, f, a, b...; options...)
ChainRulesCore.rrule(name::OfFunction, f, a, b...; options...) = spectral_rrule(nothing, name, f, a, b...; options...)

function ChainRulesCore.rrule(::typeof(spectral_projector), a, k, b...; options...)
    y, cotangents = spectral_pullback(nothing, spectral_projector, k, a, b...; options...)
    function spectral_projector_pullback(ȳ)
        _, ā, b̄ = cotangents(ȳ)
        return NoTangent(), ā, NoTangent(), (b̄,)[1:length(b)]...
    end
    return y, spectral_projector_pullback
end

function spectral_pushforward(name, f, a, b, ȧ, ḃ; type = 1, hermitian_part = false)
    p, A, B, λ, V, U = spectral_arrays(a, b, spectral_constants(name, f, a, b, type, hermitian_part)...)
    y, Ȧ, Ḃ = value_at_solution(name, f, p, A, B, λ, V, U), tangent_matrices(p, p.a, ȧ), tangent_matrices(p, p.b, ḃ)
    Ȧ === nothing && Ḃ === nothing && return y, ZeroTangent()
    kind, F = form_of(name, f)
    B === nothing && return y, spectral_shape(kind, p, form(kind, F, (Ȧ,), A, λ, V), λ)
    return y, derivative_along(value_at_solution(name, f, p, along(A, Ȧ), along(B, Ḃ), λ, V, U))
end

refuse_tangent(f, ḟ) = holds_nothing(f) || ḟ isa AbstractZero || throw(
    ArgumentError("`f` must have no tangent: forward mode through ChainRules does not differentiate fields of `f` (ForwardDiff does)")
)
function ChainRulesCore.frule((_, ḟ, ẋs...)::Tuple, name::OfFunction, f, a, b = nothing; options...)
    refuse_tangent(f, ḟ)
    return spectral_pushforward(name, f, a, b, ẋs[1], b === nothing ? nothing : ẋs[2]; options...)
end
ChainRulesCore.frule((_, ȧ, _, ẋs...)::Tuple, ::typeof(spectral_projector), a, k, b = nothing; options...) =
    spectral_pushforward(spectral_projector, k, a, b, ȧ, b === nothing ? nothing : ẋs[1]; options...)

# ---- matrix_function, sqrtm, logm, signm -----------------------------------------------------------------------

function function_pullback(config, f, a)
    p, reduced, V = function_constants(f, a)
    Y, form_pullback = form_and_pullback(config, Holomorphic(), f, (), batch_of(p, p.a, a), reduced, V)
    function cotangents(Δ)
        _, _, f̄, _, Ā = form_pullback(reshape_like(Y, unthunk(Δ)))
        return unwrapped(f̄), @thunk(argument_gradient(p, p.a, Ā))
    end
    cotangents(::AbstractZero) = ZeroTangent(), ZeroTangent()
    return reshape(Y, p.n, p.n, p.batch...), cotangents
end

ChainRulesCore.rrule(config::Reverse, ::typeof(matrix_function), f, a) = function_rrule(config, f, a)
ChainRulesCore.rrule(::typeof(matrix_function), f, a) = function_rrule(nothing, f, a)
function function_rrule(config, f, a)
    y, cotangents = function_pullback(config, analytic(f, a), a)
    matrix_function_pullback(ȳ) = (NoTangent(), cotangents(ȳ)...)
    return y, matrix_function_pullback
end

function function_pushforward(f, a, ȧ)
    p, reduced, V = function_constants(f, a)
    y, Ȧ = function_value(f, a, p, reduced, V), tangent_matrices(p, p.a, ȧ)
    Ȧ === nothing && return y, ZeroTangent()
    return y, reshape(form(Holomorphic(), f, (Ȧ,), batch_of(p, p.a, a), reduced, V), size(y))
end
function ChainRulesCore.frule((_, ḟ, ȧ)::Tuple, ::typeof(matrix_function), f, a)
    refuse_tangent(f, ḟ)
    return function_pushforward(analytic(f, a), a, ȧ)
end

# The sign of a real matrix is real.
of_kind_of(::typeof(sign), a, y) = eltype(a) <: Complex || y isa AbstractZero ? y : real(y)
of_kind_of(f, a, y) = y
for (name, f) in ((:sqrtm, :sqrt), (:logm, :log), (:signm, :sign))
    @eval function ChainRulesCore.rrule(::typeof($name), a)
        y, cotangents = function_pullback(nothing, $f, a)
        named_pullback(ȳ) = (NoTangent(), cotangents(ȳ)[2])
        return of_kind_of($f, a, y), named_pullback
    end
    @eval ChainRulesCore.frule((_, ȧ)::Tuple, ::typeof($name), a) = map(y -> of_kind_of($f, a, y), function_pushforward($f, a, ȧ))
end
