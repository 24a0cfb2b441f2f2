# Runs cases in one process: `worker.jl SPECIFICATION.json`. Julia's counterpart of worker.py and rounds.py, which give
# the reasons; the lines written to standard output have the same format.
using EigenPair, LinearAlgebra, Random, Statistics
using JSON: JSON

const SPECIFICATION = JSON.parsefile(ARGS[1])
const EFFORT = SPECIFICATION["effort"]
const CURRENT = open(SPECIFICATION["current"], "w")
any(startswith(case["task"], "grad") for case in SPECIFICATION["cases"]) && @eval using Zygote: Zygote

function now(case, name)
    seekstart(CURRENT)
    write(CURRENT, rpad("$(case["id"])\t$name\n", 200))
    flush(CURRENT)
    return nothing
end

function say(content)
    println(JSON.json(content))
    flush(stdout)
    return nothing
end

symmetric(m) = m + permutedims(m, (2, 1, 3:ndims(m)...))

function data(case)
    n, batch = case["n"], something(case["batch"], 1)
    rng = Xoshiro(n)
    shape = case["batch"] === nothing ? (n, n) : (n, n, batch)
    weights = case["task"] == "grad_vectors" ? shape : shape[2:end]
    return symmetric(randn(rng, shape...)), randn(rng, weights...)
end

values_loss(c) = a -> sum(c .* eigvalsh(a))
vectors_loss(c) = a -> sum(c .* abs2.(eigh(a).eigenvectors))
peer_values_loss(c) = a -> sum(c .* eigvals(Symmetric(a)))
peer_vectors_loss(c) = a -> sum(c .* abs2.(eigen(Symmetric(a)).vectors))

function ours(task, a, c)
    task == "forward" && return () -> eigh(a)
    task == "values" && return () -> eigvalsh(a)
    loss = task == "grad_values" ? values_loss(c) : vectors_loss(c)
    return () -> Zygote.gradient(loss, a)
end

function peer(task, a, c)
    task == "forward" && return () -> eigen(Symmetric(a))
    task == "values" && return () -> eigvals(Symmetric(a))
    loss = task == "grad_values" ? peer_values_loss(c) : peer_vectors_loss(c)
    return () -> Zygote.gradient(loss, a)
end

# A loop over the batch on all threads, as one writes it; Zygote is called for each matrix, since through a loop over
# slices it would fill an array of the whole batch with zeros for each slice.
function peer_loop(task, a, c)
    function one(k, w, g)
        ak = a[:, :, k]
        if task == "forward"
            F = eigen(Symmetric(ak))
            w[:, k] = F.values
            g[:, :, k] = F.vectors
        elseif task == "values"
            w[:, k] = eigvals(Symmetric(ak))
        else
            ck = c[ntuple(_ -> :, ndims(c) - 1)..., k]
            loss = task == "grad_values" ? peer_values_loss(ck) : peer_vectors_loss(ck)
            g[:, :, k] = Zygote.gradient(loss, ak)[1]
        end
        return nothing
    end
    return function ()
        w, g = similar(a, size(a)[2:end]), similar(a)
        before = BLAS.get_num_threads()
        BLAS.set_num_threads(1)
        Threads.@threads :static for k in axes(a, 3)
            one(k, w, g)
        end
        BLAS.set_num_threads(before)
        return task == "forward" ? (w, g) : task == "values" ? w : (g,)
    end
end

function answer(task, output)
    task == "values" && return output
    task == "forward" && return output isa Tuple ? output[1] : output isa Eigen ? output.values : output.eigenvalues
    return symmetric(output[1]) / 2
end

function difference(task, mine, other)
    size(mine) == size(other) || return nothing
    dims = startswith(task, "grad") ? (1, 2) : 1
    return median(maximum(abs, mine - other; dims) ./ maximum(abs, mine; dims))
end

function sample(call, repeat)
    start = time_ns()
    for _ in 1:repeat
        call()
    end
    return (time_ns() - start) / 1.0e9 / repeat
end

function measure(case, calls)
    pause = case["n"] >= 64 ? 0.03 : 0.002
    long = Set{String}()
    repeat = Dict{String, Int}()
    cost = 0.0
    for (name, call) in calls
        now(case, name)
        once = sample(call, 1)
        once >= 0.02 ? push!(long, name) : (once = min(once, sample(call, 1)))
        repeat[name] = max(1, ceil(Int, EFFORT["sample"] / once))
        cost += once * (repeat[name] + !(name in long)) + pause
    end
    count = clamp(floor(Int, EFFORT["seconds"] / cost), EFFORT["rounds"][1], EFFORT["rounds"][2])
    times = Dict(name => Float64[] for (name, _) in calls)
    for k in 0:(count - 1), (name, call) in circshift(calls, -mod(k, length(calls)))
        now(case, name)
        sleep(pause)
        name in long || call()
        push!(times[name], sample(call, repeat[name]))
    end
    return times, repeat
end

function run(case)
    task = case["task"]
    a, c = data(case)
    excluded = get(SPECIFICATION["excluded"], case["id"], Dict{String, Any}())
    left_out, differences = Dict{String, Any}(excluded), Dict{String, Any}()
    calls, expected = Pair{String, Function}[], nothing
    for (name, maker) in ["eigenpair" => ours, "LinearAlgebra" => (ndims(a) == 3 ? peer_loop : peer)]
        haskey(excluded, name) && continue
        now(case, name)
        try
            call = maker(task, a, c)
            output = answer(task, call())
            if name == "eigenpair"
                expected = output
            elseif expected !== nothing
                differences[name] = difference(task, expected, output)
            end
            push!(calls, name => call)
        catch error
            left_out[name] = first(split(sprint(showerror, error), '\n'))
        end
        say(Dict("alive" => case["id"]))
    end
    if expected !== nothing && !all(isfinite, expected)
        left_out["warning"] = "eigenpair returned what is not finite"
    end
    times, repeat = measure(case, calls)
    say(Dict("id" => case["id"], "times" => times, "repeat" => repeat, "differences" => differences, "left_out" => left_out))
    return nothing
end

say(Dict("versions" => Dict("julia" => string(VERSION), "julia's lapack" => basename(BLAS.get_config().loaded_libs[1].libname))))
foreach(run, SPECIFICATION["cases"])
