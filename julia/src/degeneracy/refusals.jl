# Gradients that `check()` refuses: counted, and set to zero if the policy says so.

"""
    EigenPair.count_refusals(f)

`(f(), refused)`: what `f()` returns, and of how many matrices `check` refused the gradient meanwhile, in this task.

```julia
(gradient,), refused = EigenPair.count_refusals(() -> Zygote.gradient(loss, model))
```
"""
function count_refusals(f)
    counter = Ref(0)
    result = task_local_storage(f, :EigenPairRefusals, counter)
    return result, counter[]
end

"""
    settle!(policy, k, given, gradients, lost = false)

Where a gradient of matrix `k` is NaN, or `lost` otherwise, although its eigenvalues and cotangents, `given`, are not: count it, and
make it 0 if the policy says so. Returns whether it is 0 now.
"""
settle!(policy, k, given, gradients, lost = false) = false
function settle!(policy::Check, k, given, gradients, lost = false)
    counter = get(task_local_storage(), :EigenPairRefusals, nothing)
    (counter === nothing && policy.refused === :nan) && return false
    at_k(xs) = (selectdim(x, ndims(x), k) for x in xs if x !== nothing)
    lost || any(x -> any(isnan, x), at_k(gradients)) || return false
    # Numbers with partials belong to a second derivative, which stays NaN.
    all(x -> !(eltype(x) <: Union{Dual, Complex{<:Dual}}) && all(isfinite, x), at_k(given)) || return false
    counter === nothing || (counter[] += 1)
    policy.refused === :zero || return false
    foreach(x -> fill!(x, 0), at_k(gradients))
    return true
end
