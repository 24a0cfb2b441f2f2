# `check_grads`: compares the gradient of a loss with finite differences, with a verdict for each input.

"""
    EigenPair.InputCheck

The result of [`EigenPair.check_grads`](@ref) for one input, in the direction in which the two derivatives differ most.
`verdict` is `:right`, `:wrong`, `:nan` (the gradient is NaN), `:kink` (the loss has only one-sided derivatives), `:jump`
(not even those) or `:undecided` (finite differences do not converge). `gradient` and `differences` are the two derivatives,
`uncertainty` is the estimated error of `differences`, `error` is the difference between the two, relative to the larger
one, and `below` and `above` are the one-sided derivatives.
"""
struct InputCheck
    name::String
    verdict::Symbol
    gradient::Float64
    differences::Float64
    uncertainty::Float64
    error::Float64
    below::Float64
    above::Float64
end

"""
    EigenPair.GradientCheck

The result of [`EigenPair.check_grads`](@ref): `inputs`, one `InputCheck` for each, and `ok`, whether all of them are right.
"""
struct GradientCheck
    inputs::Vector{InputCheck}
end
Base.getproperty(c::GradientCheck, name::Symbol) =
    name === :ok ? all(x -> x.verdict === :right, getfield(c, :inputs)) : getfield(c, name)
Base.propertynames(::GradientCheck) = (:inputs, :ok)

short(x) = string(round(x; sigdigits = 6))
brief(x) = string(round(x; sigdigits = 2))

function Base.show(io::IO, c::InputCheck)
    settled = "finite differences say $(short(c.differences)) ± $(brief(c.uncertainty))"
    said = "the gradient says $(short(c.gradient))"
    text = if c.verdict === :right
        "right      to $(brief(c.error))"
    elseif c.verdict === :wrong
        "WRONG      by $(round(100 * c.error; sigdigits = 3)) %: $said, $settled"
    elseif c.verdict === :nan
        sure = c.uncertainty <= 1.0e-2 * abs(c.differences)
        "NaN        $(sure ? settled : "finite differences do not settle either"). The loss has no derivative here, or the rule cannot tell that it has one; \
        `EigenPair.check(explain = true)` says why."
    elseif c.verdict === :kink
        "KINK       from below $(short(c.below)), from above $(short(c.above)). The one-sided derivatives differ: a kink, or \
        a gap between eigenvalues that is narrower than the steps."
    elseif c.verdict === :jump
        "JUMP       $said. The loss is not continuous here, or turns over within the shortest step, so it has no derivative."
    else
        "UNDECIDED  $said. Finite differences do not settle: noise, a jump, or a scale that the steps do not suit."
    end
    return print(io, c.name, ": ", text)
end

function Base.show(io::IO, ::MIME"text/plain", c::GradientCheck)
    foreach(x -> println(io, x), c.inputs)
    right, all = count(x -> x.verdict === :right, c.inputs), length(c.inputs)
    inputs = all == 1 ? "input" : "inputs"
    return print(io, "The gradient is right in ", c.ok ? "" : "$right of ", "$all $inputs.")
end
Base.show(io::IO, c::GradientCheck) = show(io, MIME"text/plain"(), c)

"""
    EigenPair.check_grads(gradient, f, arguments...; directions = 3, rng = Random.MersenneTwister(0))

Compare the gradient of a real loss with finite differences of the loss, input by input, and return an
[`EigenPair.GradientCheck`](@ref), which prints a verdict for each input.

`gradient(f, arguments...)` returns a tuple of gradients, as `Zygote.gradient` does; a complex one is `∂f/∂Re + i ∂f/∂Im`.
The inputs are the arguments that are floating-point numbers or arrays of them. Each is moved along `directions` random
directions of length one; a `Symmetric` or `Hermitian` one along matrices of its kind.

# Examples

```julia
julia> EigenPair.check_grads(Zygote.gradient, a -> sum(eigvalsh(a)[1:2]), [2.0 1.0; 1.0 3.0])
argument 1: right      to 1.0e-13
The gradient is right in 1 input.
```
"""
function check_grads(gradient, f, arguments...; directions::Integer = 3, rng = nothing)
    directions > 0 || throw(ArgumentError("`directions` must be positive, got $directions"))
    chosen = findall(is_input, collect(Any, arguments))
    isempty(chosen) && throw(ArgumentError("no argument of `f` is a floating-point number or an array of them"))
    value = f(arguments...)
    value isa Real || throw(ArgumentError("`f` must return one real number, got a $(typeof(value)); take a sum, a real part or an absolute value"))
    isfinite(value) || throw(ArgumentError("the loss is $value at these arguments, so it has no derivative"))
    gradients = gradient(f, arguments...)
    state = Ref(UInt64(0x9e3779b97f4a7c15))
    random = rng === nothing ? () -> pseudo_normal(state) : () -> randn(rng)
    return GradientCheck([check_input(f, arguments, i, gradients[i], Float64(abs(value)), directions, random) for i in chosen])
end

is_input(x) = false
is_input(x::Union{AbstractFloat, Complex{<:AbstractFloat}}) = true
is_input(x::AbstractArray{<:Union{AbstractFloat, Complex{<:AbstractFloat}}}) = !isempty(x)

# Numbers that are the same in every version of Julia, with mean 0 and variance 1 (a sum of twelve uniform ones).
function pseudo_normal(state)
    total = -6.0
    for _ in 1:12
        state[] = state[] * 0x5851f42d4c957f2d + 0x14057b7ef767814f
        total += (state[] >> 11) / 2.0^53
    end
    return total
end

random_entry(::Type{T}, random) where {T <: Real} = convert(T, random())
random_entry(::Type{T}, random) where {T <: Complex} = convert(T, complex(random(), random()))
# On the pattern of x, too: a gradient has no entries elsewhere.
of_kind(x::Symmetric, d) = ProjectTo(x)(Symmetric((d + transpose(d)) / 2, LinearAlgebra.sym_uplo(x.uplo)))
of_kind(x::Hermitian, d) = ProjectTo(x)(Hermitian((d + d') / 2, LinearAlgebra.sym_uplo(x.uplo)))
of_kind(x, d) = ProjectTo(x)(d)

function random_direction(x::AbstractArray, random)
    d = of_kind(x, map(_ -> random_entry(eltype(x), random), Array(x)))
    return d / norm(d)
end
random_direction(x::Number, random) = (d = random_entry(typeof(x), random); d / abs(d))

# df along d. Of a gradient by a Symmetric or Hermitian matrix, AD engines return its Hermitian part or all entries.
slope_along(::Nothing, d) = 0.0
slope_along(g, d) = Float64(real(dot(unthunk(g), d)))

function check_input(f, arguments, i, g, value, directions, random)
    x = arguments[i]
    ε = Float64(eps(real(eltype(x))))
    size = Float64(norm(x))
    size = size > 0 ? size : 1.0
    found = map(1:directions) do _
        d = random_direction(x, random)
        moved(t) = Float64(f(ntuple(j -> j == i ? x + convert(real(eltype(x)), t) * d : arguments[j], length(arguments))...))
        s = finite_difference(moved, 0.02 * size, 4ε)
        judge("argument $i", slope_along(g, d), s, g === nothing ? 0.0 : Float64(norm(g)) / sqrt(length(x)), size, ε, value)
    end
    return argmax(c -> (RANK[c.verdict], isnan(c.error) ? Inf : c.error), found)
end

const RANK = Dict(:right => 0, :undecided => 1, :wrong => 2, :kink => 3, :jump => 4, :nan => 5)

function judge(name, derivative, s::Slope, expected, size, ε, value)
    # What a derivative is compared with: nothing smaller is seen by finite differences.
    floor = sqrt(ε) * value / size
    scale = isfinite(derivative) ? max(abs(s.value), abs(derivative), expected, floor) : abs(s.value)
    scale = scale > 0 ? scale : 1.0
    error = abs(derivative - s.value) / scale
    loose = max(1.0e-3, 20 * cbrt(ε)) * scale
    verdict = if !isfinite(derivative)
        :nan
    elseif !isfinite(s.value)
        :undecided
    elseif s.growth > 0.5 && abs(s.above - s.below) > loose
        s.steady && s.growth < 2 ? :kink : :jump
    elseif abs((s.above + s.below) / 2 - s.value) > loose
        :undecided
    elseif error <= max(1.0e-6, 4 * sqrt(ε)) || (error <= 1.0e-2 && error * scale <= 10 * s.uncertainty && s.uncertainty <= 1.0e-2 * scale)
        :right
    elseif s.uncertainty > 0.1 * error * scale
        :undecided
    else
        :wrong
    end
    return InputCheck(name, verdict, derivative, s.value, s.uncertainty, error, s.below, s.above)
end
