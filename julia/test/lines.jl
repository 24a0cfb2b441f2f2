# Derivatives along lines by dual numbers, all with the same tag, because code is compiled again for every other tag.
module Lines

using ForwardDiff: Dual, ForwardDiff, Tag

export along, slope, still

struct Line end

"""
    along(x, d)

`x + t d` at `t = 0`, in dual numbers whose derivative is that with respect to `t`. `x` may already be such a line; then the result has
both derivatives.
"""
function along(x, d)
    R = real(eltype(x))
    ForwardDiff.tagcount(Tag{Line, R}) # Later tags are outer ones.
    return x .+ Dual{Tag{Line, R}}(zero(R), one(R)) .* d
end

# The derivative along the outermost line, and the value.
slope(x::AbstractArray) = map(slope, x)
slope(x::Complex) = complex(slope(real(x)), slope(imag(x)))
slope(x::Real) = ForwardDiff.partials(x, 1)
still(x::AbstractArray) = map(still, x)
still(x::Complex) = complex(still(real(x)), still(imag(x)))
still(x::Real) = ForwardDiff.value(x)

end
