# The reverse rule of rule.jl, computed in the core.

known_to_core(p, w, V, U, cotangents...) = false
known_to_core(
    p::HermitianProblem, w::Matrix{R}, V::Array{T, 3}, U::Union{Nothing, Array{T, 3}}, cotangents...
) where {R <: LinearAlgebra.BlasReal, T <: LinearAlgebra.BlasFloat} =
    plain_type(number_type(cotangents...)) == number_type(cotangents...) && has_small_kernels()

core_policy(policy::Check) = Int32(0), policy.c
core_policy(policy::Mask) = Int32(1), policy.tol
core_policy(policy::Broaden) = Int32(2), policy.eps
core_policy(::Raw) = Int32(3), 0.0

"""
    gradients_by_core(p, norms, w, V, U, λ̄, V̄, Ū)

The gradients with respect to the inputs, computed in the core by the rule of [`hermitian_pullback`](@ref).
"""
function gradients_by_core(p::HermitianProblem, norms, w, V, U, λ̄, V̄, Ū)
    n, count = size(w)
    Ā, B̄ = similar(V), p.b === nothing ? nothing : similar(V)
    scale = p.type == 0 ? nothing : core_scale(p, norms, w, V, U)
    refused = zeros(Int32, count)
    # AD engines pass lazy arrays of ones and arrays of other precisions.
    λ̄, V̄, Ū = dense_if(eltype(w), λ̄), dense_if(eltype(V), V̄), dense_if(eltype(V), Ū)
    # The core writes both by one triangle.
    triangle = gradient_triangle(p.a)
    p.b === nothing || gradient_triangle(p.b) == triangle || (triangle = HERMITIAN_PART)
    native_rule!(Ā, B̄, refused, p.type, triangle, core_policy(p.degeneracy), w, V, U, scale, λ̄, V̄, Ū)
    if explains(p.degeneracy)
        for k in findall(==(1), refused)
            F = inverse_gaps(p, norms, w, V, U, k)
            broken = violation(coupling!(Matrix{eltype(V)}(undef, n, n), F, p, norms, V, U, λ̄, V̄, Ū, k))
            broken === nothing ||
                explain(p.degeneracy, subject_of(p), broken.i, broken.j, broken.λ, broken.reason, k, count)
        end
    end
    foreach(k -> settle!(p.degeneracy, k, (w, λ̄, V̄, Ū), (Ā, B̄)), findall(==(1), refused))
    return written_gradient(p, p.a, Ā, triangle), p.b === nothing ? NoTangent() : written_gradient(p, p.b, B̄, triangle)
end

dense_if(::Type, ::Nothing) = nothing
dense_if(::Type{T}, x) where {T} = dense(T, x)

# The gradient of one input, from the gradients of all problems, which fill `triangle`.
function written_gradient(p::HermitianProblem, input::HermitianInput, Ā, triangle)
    Ḡ = shared_sum(p, input, Ā)
    gradient_triangle(input) == triangle || return project_hermitian(input, Ḡ)
    return input.project(reshape(Ḡ, p.n, p.n, input.batch...))
end

function core_scale(p::HermitianProblem, norms, w, V, U)
    X, Y = bases(p, V, U)
    return [rounding_scale(view(w, :, k), view(X, :, :, k), view(Y, :, :, k), (norms[1][k], norms[2][k])) for k in axes(w, 2)]
end
