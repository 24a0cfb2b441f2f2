@testset "distributed" begin
    # Workers find the packages where this process does, and the core that it has loaded.
    environment = [
        "JULIA_LOAD_PATH" => join(LOAD_PATH, Sys.iswindows() ? ';' : ':'),
        "EIGENPAIR_LIBRARY" => EigenPair.library_path(),
    ]
    exeflags = `--startup-file=no --project=$(Base.active_project()) --threads=1 -O1`
    ids = addprocs(2; env = environment, exeflags)
    try
        Distributed.remotecall_eval(Main, ids, :(using Distributed, EigenPair, Zygote))
        pool = CachingPool(ids)
        # Also under a worker's id, to see that both have worked.
        everywhere(f, inputs) = pmap(x -> (myid(), f(x)), pool, inputs)
        equal(x, y) = x isa Tuple ? all(equal.(x, y)) : x ≈ y

        rng = Xoshiro(11)
        pairs = [(random_matrix(rng, Float64, 4), random_definite(rng, Float64, 4)) for _ in 1:12]
        loss = (a, b) -> sum(abs2, eigvalsh(a, b)) + sum(x -> x^4, eigh(a, b).eigenvectors[:, 1])
        solve = ((a, b),) -> (Tuple(eigh(a, b)), Tuple(eig(a, b)), spectral_map(tanh, a; hermitian_part = true))
        value_and_gradient = ((a, b),) -> (loss(a, b), Zygote.gradient(loss, a, b))
        for f in (solve, value_and_gradient)
            results = everywhere(f, pairs)
            @test all(equal(found, f(x)) for ((_, found), x) in zip(results, pairs))
            @test Set(first.(results)) ⊆ Set(ids)
        end
        @test Set(pmap(_ -> (sleep(0.2); myid()), pool, 1:4)) == Set(ids)

        # The sum of a mapped loss is differentiated from here, the pullbacks coming from the workers.
        total(map, p) = sum(map(k -> loss(p .* pairs[k][1], pairs[k][2]), 1:4))
        derivative(map) = Zygote.gradient(p -> total(map, p), 0.7)[1]
        @test derivative((f, ks) -> pmap(f, pool, ks)) ≈ derivative(map)

        # Errors arrive as errors, and a matrix that cannot be solved as NaN.
        refused = try
            pmap(a -> eigvalsh(a), pool, [zeros(2, 3)])
        catch failure
            sprint(showerror, failure)
        end
        @test occursin("square", refused)
        @test all(isnan, only(pmap(a -> eigvalsh(a), pool, [fill(NaN, 3, 3)])))
    finally
        rmprocs(ids)
    end
end
