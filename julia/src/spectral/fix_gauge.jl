# Each eigenvector is defined up to a phase. A loss that depends on the phase has a derivative only after the phase has been fixed.

"""
    fix_gauge(v)

`v` with each column multiplied by the phase that makes its component of largest modulus real and positive. If several components are equal
to within `√ε`, it is the first of them. `v` is a matrix with vectors in its columns, or an array of such matrices along the first two
dimensions, as [`eigh`](@ref) returns. Columns of zeros do not change.

A loss of `fix_gauge(v)` is a function of the matrix. It has a derivative if the eigenvalue is simple and the largest component is unique.
Throws `ArgumentError` or `DimensionMismatch` for bad arguments.
"""
function fix_gauge(v)
    check_columns(v)
    pivots = largest_components(v)
    return v .* phases(v, pivots)
end

check_columns(v) = throw(
    ArgumentError(
        "`v` must be an array with vectors in its columns, got " *
            (hasproperty(v, :eigenvectors) ? "a whole $(nameof(typeof(v))); pass its `eigenvectors`" : repr(v))
    )
)
function check_columns(v::AbstractArray{T}) where {T}
    T <: Number || throw(ArgumentError("`v` must have numbers as elements, got elements of type $T"))
    ndims(v) >= 2 || throw(
        DimensionMismatch("`v` must have vectors in its columns, got an array of size $(size(v)); for one vector, reshape(v, :, 1)")
    )
    return nothing
end
@non_differentiable check_columns(::Any)

# true at the first of each column's largest components, so that rounding does not choose between equal ones.
function largest_components(v)
    pivots = falses(size(v))
    isempty(v) && return pivots
    for column in CartesianIndices(axes(v)[2:end])
        sizes = map(x -> abs(plain(x)), view(v, :, column))
        enough = (1 - sqrt(eps(float(eltype(sizes))))) * maximum(sizes)
        pivots[something(findfirst(>=(enough), sizes), 1), column] = true
    end
    return pivots
end
@non_differentiable largest_components(::Any)

# Written without mutation so that it has derivatives of any order by itself.
function phases(v, pivots)
    c = pivot_values(v, pivots)
    return conj.(c) ./ abs.(c)
end
function pivot_values(v, pivots)
    c = sum(v .* pivots; dims = 1)
    return c .+ iszero.(c)
end

function ChainRulesCore.frule((_, v̇)::Tuple, ::typeof(fix_gauge), v)
    y = fix_gauge(v)
    v̇ = unthunk(v̇)
    v̇ isa AbstractZero && return y, v̇
    pivots = largest_components(v)
    return y, v̇ .* phases(v, pivots) .- rotation(y, pivot_values(v, pivots), sum(v̇ .* pivots; dims = 1))
end

# The phase turns by −dθ, dθ = Im(dc/c).
rotation(y::AbstractArray{<:Real}, c, ċ) = false
rotation(y::AbstractArray{<:Complex}, c, ċ) = im .* y .* imag.(ċ ./ c)

function ChainRulesCore.rrule(::typeof(fix_gauge), v)
    check_columns(v)
    pivots = largest_components(v)
    φ = phases(v, pivots)
    y = v .* φ
    project = ProjectTo(v)
    function fix_gauge_pullback(ȳ)
        ȳ = unthunk(ȳ)
        return NoTangent(), project(conj.(φ) .* ȳ .+ rotation_cotangent(y, v, pivots, ȳ))
    end
    fix_gauge_pullback(ȳ::AbstractZero) = (NoTangent(), ZeroTangent())
    return y, fix_gauge_pullback
end

rotation_cotangent(y::AbstractArray{<:Real}, v, pivots, ȳ) = false
function rotation_cotangent(y::AbstractArray{<:Complex}, v, pivots, ȳ)
    c = pivot_values(v, pivots)
    θ̄ = sum(imag.(conj.(ȳ) .* y); dims = 1)
    return pivots .* (im .* θ̄ .* c ./ abs2.(c))
end
