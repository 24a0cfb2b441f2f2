# Spectral functions of dual numbers.

infinitesimal(::Type{Dual{Tag, V, N}}, i) where {Tag, V, N} = Dual{Tag}(zero(V), ntuple(j -> V(j == i), N))

# Zygote's dual numbers have no tag. Those that `f` holds are constants to the derivatives of `f` taken here.
ForwardDiff.:≺(::Type{Nothing}, ::Type{<:ForwardDiff.Tag{<:Derivative}}) = true
ForwardDiff.:≺(::Type{<:ForwardDiff.Tag{<:Derivative}}, ::Type{Nothing}) = false

# Converts a number to the real type S; partials that it lacks are 0. ForwardDiff.hessian gives both levels of its dual numbers one
# tag, so that arithmetic between the levels is wrong: the depth of the type tells them apart.
embed(::Type{S}, x::S) where {S <: Real} = x
embed(::Type{S}, x::Complex) where {S} = complex(embed(S, real(x)), embed(S, imag(x)))
embed(::Type{S}, x::Real) where {S <: Real} = convert(S, x)
embed(::Type{Dual{Tag, V, N}}, x::Dual{Tag, V, N}) where {Tag, V, N} = x
embed(::Type{Dual{Tag, V, N}}, x::Real) where {Tag, V, N} = Dual{Tag}(embed(V, x), ntuple(_ -> zero(V), N))
depth(::Type{T}) where {T} = 0
depth(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = 1 + depth(V)
deeper(S, T) = depth(real(T)) > depth(S) ? real(T) : S

# The derivative of a form is the form with one more direction. Partials of the directions, and of what f holds, are kept.
function form(kind, f, directions, A::AbstractArray{T, 3}, λ, V) where {T <: DualNumber}
    D = dual_type(T)
    A₀ = values_of(D, A)
    y₀ = form(kind, f, directions, A₀, λ, V)
    S = foldl(deeper, map(eltype, (directions..., y₀)); init = D)
    here = map(E -> map(x -> embed(S, x), E), directions)
    y = map(x -> embed(S, x), y₀)
    for i in 1:ForwardDiff.npartials(D)
        Ȧ = map(x -> embed(S, x), partial_of(D, A, i))
        ε = embed(S, infinitesimal(D, i))
        y = y .+ ε .* map(x -> embed(S, x), form(kind, f, (here..., Ȧ), A₀, λ, V))
    end
    return y
end

function function_cotangent(config, f, kind, directions, A::AbstractArray{T, 3}, λ, V, ȳ) where {T <: DualNumber}
    D = dual_type(T)
    ForwardDiff.valtype(D) <: Dual && error(
        "EigenPair: the gradient with respect to fields of `f` has only one derivative with respect to the matrix"
    )
    A₀ = values_of(D, A)
    f̄ = function_cotangent(config, f, kind, directions, A₀, λ, V, ȳ)
    for i in 1:ForwardDiff.npartials(D)
        f̄ += infinitesimal(D, i) * function_cotangent(config, f, kind, (directions..., partial_of(D, A, i)), A₀, λ, V, ȳ)
    end
    return f̄
end
