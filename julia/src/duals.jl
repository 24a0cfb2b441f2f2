# Dual numbers, for ForwardDiff itself and for Hessians that run it over reverse mode: the rules applied by hand to each
# partial derivative. Nothing else in the package needs to know of them, because the other steps are generic.

const DualNumber = Union{Dual, Complex{<:Dual}}

working_type(name, ::Type{Dual{Tag, V, N}}) where {Tag, V, N} = Dual{Tag, working_type(name, V), N}

value_type(::Type{T}) where {T} = T
value_type(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = V
value_type(::Type{Complex{T}}) where {T} = Complex{value_type(T)}

dual_type(::Type{T}) where {T <: Dual} = T
dual_type(::Type{Complex{T}}) where {T} = T

# The value of a number, and its i-th partial: numbers that are not dual have none.
value(::Type{<:Dual{Tag}}, x::Dual{Tag}) where {Tag} = ForwardDiff.value(x)
value(D, x::Real) = x
value(D, x::Complex) = complex(value(D, real(x)), value(D, imag(x)))
partial(::Type{<:Dual{Tag}}, x::Dual{Tag}, i) where {Tag} = ForwardDiff.partials(x, i)
partial(D, x::Real, i) = zero(x)
partial(D, x::Complex, i) = complex(partial(D, real(x), i), partial(D, imag(x), i))

# The number without any partials, and its type.
plain(x::Number) = x
plain(x::Dual) = plain(ForwardDiff.value(x))
plain(x::Complex{<:Dual}) = complex(plain(real(x)), plain(imag(x)))
plain_type(::Type{T}) where {T} = T
plain_type(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = plain_type(V)
plain_type(::Type{Complex{T}}) where {T} = Complex{plain_type(T)}

# Whether anything in `x` has a partial, and `x` with partials that nothing can be said of.
varies(x::AbstractArray) = any(varies, x)
varies(x::Number) = false
varies(x::Dual) = !iszero(ForwardDiff.partials(x)) || varies(ForwardDiff.value(x))
varies(x::Complex{<:Dual}) = varies(real(x)) || varies(imag(x))
unknown_partials(x::Number) = x

# A wrapper must stay one: it says which triangle is meant.
each(f, ::Nothing) = nothing
each(f, x::AbstractArray) = map(f, x)
each(f, x::Symmetric) = Symmetric(map(f, parent(x)), LinearAlgebra.sym_uplo(x.uplo))
each(f, x::Hermitian) = Hermitian(map(f, parent(x)), LinearAlgebra.sym_uplo(x.uplo))
values_of(D, x) = each(y -> value(D, y), x)
partial_of(D, x, i) = each(y -> partial(D, y, i), x)

combine(D, ::Nothing, partials) = nothing
combine(D, x, partials) = map((y, ẏs...) -> dual(D, y, ẏs), x, partials...)
dual(::Type{Dual{Tag, V, N}}, y::Real, ẏs) where {Tag, V, N} = Dual{Tag}(convert(V, y), map(ẏ -> convert(V, ẏ), ẏs))
dual(D, y::Complex, ẏs) = complex(dual(D, real(y), map(real, ẏs)), dual(D, imag(y), map(imag, ẏs)))

combine_all(D::Type{<:Dual{<:Any, <:Any, N}}, Ω, Ω̇s) where {N} =
    ntuple(j -> combine(D, Ω[j], ntuple(i -> Ω̇s[i][j], N)), length(Ω))

function hermitian_solve(p::HermitianProblem{T}, a, b) where {T <: DualNumber}
    D = dual_type(T)
    p₀ = HermitianProblem{value_type(T)}(p)
    a₀, b₀ = values_of(D, a), values_of(D, b)
    Ω = hermitian_solve(p₀, a₀, b₀)
    norms = input_norms(p₀, a₀, b₀)
    pushforward = pushforward_of(p₀, a₀, b₀, Ω)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        Ȧ = hermitian_tangent(p₀, p₀.a, partial_of(D, a, i))
        Ḃ = b === nothing ? nothing : hermitian_tangent(p₀, p₀.b, partial_of(D, b, i))
        Ω̇ = pushforward(Ȧ, Ḃ)
        value_type(T) <: DualNumber && undetermined!(p₀, norms, Ω, Ω̇)
        Ω̇
    end
    return combine_all(D, Ω, Ω̇s)
end

# Forward mode over forward mode: a second derivative through a cluster must not come out of the masked first one.
undetermined!(p, norms, (w, V, U), Ω̇) = nothing
function undetermined!(p::HermitianProblem{<:Any, <:Any, <:Any, Check}, norms, (w, V, U), Ω̇)
    for k in axes(w, 2)
        F = inverse_gaps(p, norms, w, V, U, k)
        undetermined(F, true) || continue
        explain_second_order(F, p, k, size(w, 2))
        for x in (undetermined(F, false) ? Ω̇ : Base.tail(Ω̇))
            x === nothing || map!(unknown_partials, selectdim(x, ndims(x), k), selectdim(x, ndims(x), k))
        end
    end
    return nothing
end
unknown_partials(x::Dual{Tag, V, N}) where {Tag, V, N} = Dual{Tag}(unknown_partials(ForwardDiff.value(x)), ntuple(_ -> V(NaN), N))
unknown_partials(x::Complex) = complex(unknown_partials(real(x)), unknown_partials(imag(x)))

# The rule for the pullback, whichever of its arguments carry the partials.
function hermitian_pullback(::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) where {S <: DualNumber}
    return dual_pullback(dual_type(S), p, norms, w, V, U, λ̄, V̄, Ū)
end
# Where the core's method for losses of eigenvalues alone would apply as well.
function hermitian_pullback(
        ::Type{S}, p::HermitianProblem, norms, w, V, U, λ̄, V̄::Nothing, Ū::Nothing
    ) where {S <: DualNumber}
    return dual_pullback(dual_type(S), p, norms, w, V, U, λ̄, V̄, Ū)
end

function dual_pullback(::Type{D}, p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū) where {D}
    p₀ = without_partials(D, p)
    norms₀ = norms === nothing ? nothing : map(x -> values_of(D, x), norms)
    arguments = (w, V, U, λ̄, V̄, Ū)
    arguments₀ = map(x -> values_of(D, x), arguments)
    Ω = hermitian_pullback(p₀, norms₀, arguments₀...)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        tangents = map(x -> partial_of(D, x, i), arguments)
        second_order_pushforward(p₀, norms₀, arguments₀..., tangents...)
    end
    return combine_all(D, Ω, Ω̇s)
end

# ---- a subset alone --------------------------------------------------------------------------------------------

each(f, x::Reduction) = x
partial_of(D, ::Reduction, i) = nothing
combine(D, x::Reduction, partials) = x

# The problem whose numbers lack the partials of `D`, if it has them.
without_partials(::Type{D}, p::HermitianProblem{T}) where {D, T} =
    HermitianProblem{T <: DualNumber && dual_type(T) == D ? value_type(T) : T}(p)

varied(p, input, ::Nothing) = nothing
varied(p, input, ẋ) = hermitian_tangent(p, input, ẋ)

function complement(::Type{S}, p::PartialProblem, reduction, a, b, w, V, Y) where {S <: DualNumber}
    D = dual_type(S)
    p₀ = without_partials(D, p)
    arguments = (a, b, w, V, Y)
    arguments₀ = map(x -> values_of(D, x), arguments)
    X = complement(p₀, reduction, arguments₀...)
    Ẋs = ntuple(ForwardDiff.npartials(D)) do i
        ȧ, ḃ, ẇ, V̇, Ẏ = map(x -> partial_of(D, x, i), arguments)
        Ȧ, Ḃ = varied(p₀, p₀.a, ȧ), varied(p₀, p₀.b, ḃ)
        complement_pushforward(p₀, reduction, arguments₀..., X, Ȧ, Ḃ, ẇ, V̇, Ẏ)
    end
    return combine(D, X, Ẋs)
end

function partial_matrix_gradients(::Type{S}, p::PartialProblem, reduction, a, b, w, V, λ̄, V̄) where {S <: DualNumber}
    D = dual_type(S)
    p₀ = without_partials(D, p)
    arguments = (a, b, w, V, λ̄, V̄)
    arguments₀ = map(x -> values_of(D, x), arguments)
    Ω = partial_matrix_gradients(p₀, reduction, arguments₀...)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        ȧ, ḃ, tangents... = map(x -> partial_of(D, x, i), arguments)
        Ȧ, Ḃ = varied(p₀, p₀.a, ȧ), varied(p₀, p₀.b, ḃ)
        partial_second_order(p₀, reduction, arguments₀..., Ȧ, Ḃ, tangents...)
    end
    return combine_all(D, Ω, Ω̇s)
end

# ---- general problems ------------------------------------------------------------------------------------------

function general_solve(p::GeneralProblem{T}, a, b) where {T <: DualNumber}
    D = dual_type(T)
    p₀ = GeneralProblem{value_type(T)}(p)
    a₀, b₀ = values_of(D, a), values_of(D, b)
    Ω = general_solve(p₀, a₀, b₀)
    norms = general_norms(p₀, a₀, b₀)
    Ω̇s = ntuple(ForwardDiff.npartials(D)) do i
        Ȧ = general_tangent(p₀, p₀.a, partial_of(D, a, i))
        Ḃ = b === nothing ? nothing : general_tangent(p₀, p₀.b, partial_of(D, b, i))
        Ω̇ = general_pushforward(p₀, norms, Ω..., Ȧ, Ḃ)
        value_type(T) <: DualNumber && undetermined!(p₀, norms, Ω, Ω̇)
        Ω̇
    end
    return combine_all(D, Ω, Ω̇s)
end

function undetermined!(p::GeneralProblem, norms, (w, V, U, L), Ω̇)
    for k in axes(w, 2)
        F = general_gaps(p, norms, w, V, U, k)
        undetermined(F, true) || continue
        explain_second_order(F, k, size(w, 2))
        for x in (undetermined(F, false) ? Ω̇ : Base.tail(Ω̇))
            x === nothing || map!(unknown_partials, selectdim(x, ndims(x), k), selectdim(x, ndims(x), k))
        end
    end
    return nothing
end

# ---- spectral functions ----------------------------------------------------------------------------------------

infinitesimal(::Type{Dual{Tag, V, N}}, i) where {Tag, V, N} = Dual{Tag}(zero(V), ntuple(j -> V(j == i), N))

# Zygote's duals have no tag. What f holds of them stays outside of the derivatives that are taken of f here.
ForwardDiff.:≺(::Type{Nothing}, ::Type{<:ForwardDiff.Tag{<:Derivative}}) = true
ForwardDiff.:≺(::Type{<:ForwardDiff.Tag{<:Derivative}}, ::Type{Nothing}) = false

# The number as one of the real type S, a constant to all partials that it lacks. ForwardDiff.hessian gives both levels of
# its duals one tag, so that arithmetic between levels goes wrong, and depth must tell them apart.
embed(::Type{S}, x::S) where {S <: Real} = x
embed(::Type{S}, x::Complex) where {S} = complex(embed(S, real(x)), embed(S, imag(x)))
embed(::Type{S}, x::Real) where {S <: Real} = convert(S, x)
embed(::Type{Dual{Tag, V, N}}, x::Dual{Tag, V, N}) where {Tag, V, N} = x
embed(::Type{Dual{Tag, V, N}}, x::Real) where {Tag, V, N} = Dual{Tag}(embed(V, x), ntuple(_ -> zero(V), N))
depth(::Type{T}) where {T} = 0
depth(::Type{Dual{Tag, V, N}}) where {Tag, V, N} = 1 + depth(V)
deeper(S, T) = depth(real(T)) > depth(S) ? real(T) : S

# The derivative of a form has one direction more. The directions' own partials, and those of what f holds, take part in
# the arithmetic.
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
        "EigenPair: the gradient with respect to what `f` holds has one derivative with respect to the matrix, no more"
    )
    A₀ = values_of(D, A)
    f̄ = function_cotangent(config, f, kind, directions, A₀, λ, V, ȳ)
    for i in 1:ForwardDiff.npartials(D)
        f̄ += infinitesimal(D, i) * function_cotangent(config, f, kind, (directions..., partial_of(D, A, i)), A₀, λ, V, ȳ)
    end
    return f̄
end
