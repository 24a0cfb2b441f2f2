# A few eigenpairs of a large problem, computed without the others, against the whole problem and finite differences.
include("subset_losses.jl")

@testset "subset" begin
    (; loss, gradient_by, forward_over_reverse, reverse_over_reverse, cotangents_of_cotangents, along, slope) = SubsetLosses
    rng = Xoshiro(15)
    n, chosen = 64, 30:33
    hermitian(x) = (x + x') / 2
    random_matrices(T, pair, n = n) = pair ? (random_matrix(rng, T, n), random_definite(rng, T, n)) : (random_matrix(rng, T, n),)
    hermitian_of(x, lower) = lower === nothing ? hermitian(x) : Matrix(Hermitian(x, lower ? :L : :U))
    errors(xs, ys) = maximum(map(relative_error, xs, ys))
    all_nan(xs) = all(x -> all(isnan, x), xs)
    all_finite(xs) = all(x -> all(isfinite, x), xs)

    @testset "when" begin
        computed_alone(a, b = nothing; options...) = EigenPair.hermitian_problem(a, b; options...) isa EigenPair.SubsetProblem
        a = zeros(n, n)
        @test computed_alone(a; subset_by_index = 1:8) && computed_alone(a, a; subset_by_index = 57:64)
        @test computed_alone(a; subset_by_index = 1:2, degeneracy = EigenPair.raw())
        @test !computed_alone(a) && !computed_alone(a; subset_by_index = 1:9) && !computed_alone(a; subset_by_index = 2:1)
        @test !computed_alone(zeros(63, 63); subset_by_index = 1:2)
        @test !any(type -> computed_alone(a, a; subset_by_index = 1:2, type), (2, 3))
        for policy in (EigenPair.mask(1.0e-9), EigenPair.broaden(1.0e-9), EigenPair.check(generic_basis = true))
            @test !computed_alone(a; subset_by_index = 1:2, degeneracy = policy)
        end
    end

    @testset "with a LAPACK that cannot compute the whole" begin
        trampolines = Libdl.dlopen(LinearAlgebra.BLAS.libblastrampoline)
        suffix = Base.USE_BLAS64 ? "_64_" : "_"
        whole_drivers = [t * s * d for t in "dz" for s in ("sy", "he") for d in ("ev", "evd", "evr", "gvd", "gv")]
        address(name) =
            name in whole_drivers ? C_NULL : something(Libdl.dlsym(trampolines, name * suffix; throw_error = false), C_NULL)
        handle = EigenPair.LAPACKHandle(address)
        W = randn(rng, 200, 4)
        for pair in (false, true)
            # Of smaller ones, the core needs no such driver.
            matrices = random_matrices(Float64, pair, 200)
            @test_throws "core refused" EigenPair.with_lapack(() -> eigh(matrices...), handle)
            found = EigenPair.with_lapack(() -> gradient_by(W, matrices, chosen), handle)
            @test errors(found, gradient_by(W, matrices, chosen; whole = true)) < 1.0e-10
        end
    end

    @testset "values, $T" for T in (Float32, Float64, ComplexF32, ComplexF64)
        a, b = random_matrix(rng, T, n, 2, 1), random_definite(rng, T, n)
        tol = 100 * eps(real(T))
        for (matrices, subset) in (((a,), 1:4), ((a,), 61:64), ((a, b), chosen))
            all_w, B = eigvalsh(matrices...), length(matrices) == 2 ? hermitian(b) : I
            w, v = eigh(matrices...; subset_by_index = subset)
            @test eltype(w) == real(T) && eltype(v) == T && size(w) == (4, 2, 1) && size(v) == (n, 4, 2, 1)
            @test relative_error(w, all_w[subset, :, :]) < tol
            @test relative_error(eigvalsh(matrices...; subset_by_index = subset), w) < tol
            for k in 1:2
                @test norm(hermitian(a[:, :, k]) * v[:, :, k] - B * v[:, :, k] * Diagonal(w[:, k])) < n * tol * maximum(abs, all_w)
                @test norm(v[:, :, k]' * B * v[:, :, k] - I) < n * tol
            end
        end
        A, w = a[:, :, 1], eigvalsh(Hermitian(a[:, :, 1], :L))
        for x in (Hermitian(A, :L), Matrix(Hermitian(A, :L)))
            @test relative_error(eigvalsh(x; subset_by_index = chosen), w[chosen]) < tol
        end
        @test relative_error(eigvalsh(A; lower = true, subset_by_index = chosen), w[chosen]) < tol
        a[1, 2, 1] = NaN
        w, v = eigh(a; subset_by_index = chosen)
        @test all(isnan, w[:, 1]) && all(isnan, v[:, :, 1]) && relative_error(w[:, 2], eigvalsh(a)[chosen, 2]) < tol
        @test size(eigh(zeros(T, n, n, 0); subset_by_index = chosen).eigenvectors) == (n, 4, 0)
    end

    # Types 2 and 3 are computed whole, and must not be led astray.
    @testset "type $type by whole" for type in (2, 3)
        matrices, W = random_matrices(Float64, true), randn(rng, n, 4)
        @test errors(gradient_by(W, matrices, chosen; type), gradient_by(W, matrices, chosen; type, whole = true)) < 1.0e-12
    end

    cases = [(T, lower, pair) for (T, lower) in ((Float64, nothing), (Float64, true), (ComplexF64, false)) for pair in (false, true)]
    @testset "derivatives, $T, lower = $lower, pair = $pair" for (T, lower, pair) in cases
        matrices, directions = random_matrices(T, pair), ntuple(_ -> random_matrix(rng, T, n), 1 + pair)
        W = randn(rng, n, 4)
        moved(t) = map((x, d) -> x + t * d, matrices, directions)
        along_directions(gs) = sum(map((d, g) -> real(dot(d, g)), directions, gs))
        fdm = central_fdm(5, 1; max_range = 1.0e-3)
        for subset in (chosen, 1:4, 61:64), weights in (W, nothing)
            gradients = gradient_by(weights, matrices, subset; lower)
            @test errors(gradients, gradient_by(weights, matrices, subset; lower, whole = true)) < 1.0e-10
            f(t) = loss(weights, eigh(moved(t)...; lower, subset_by_index = subset))
            @test along_directions(gradients) ≈ fdm(f, 0.0) rtol = 1.0e-7
        end
        options = (; lower, subset_by_index = chosen)
        (w, v), Ω̇ = frule((NoTangent(), directions...), eigh, matrices...; options...)
        ẇ, v̇ = Ω̇.eigenvalues, Ω̇.eigenvectors
        @test sum(cos.(w) .* ẇ) + sum(2 .* W .* real.(conj.(v) .* v̇)) ≈ along_directions(gradient_by(W, matrices, chosen; lower))
        # Parallel transport, as in the whole problem.
        B = pair ? hermitian_of(matrices[2], lower) : I
        Ḃ = pair ? hermitian_of(directions[2], lower) : zeros(n, n)
        @test diag(v' * B * v̇) ≈ -diag(v' * Ḃ * v) ./ 2 atol = 1.0e-11
        duals = eigh(map(along, matrices, directions)...; options...)
        @test slope(duals.eigenvalues) ≈ ẇ && slope(duals.eigenvectors) ≈ v̇
        @test frule((NoTangent(), directions...), eigvalsh, matrices...; options...)[2] ≈ ẇ

        for weights in (W, nothing)
            products = forward_over_reverse(weights, matrices, directions, chosen; lower)
            @test errors(reverse_over_reverse(weights, matrices, directions, chosen; lower), products) < 1.0e-9
            for varied in (pair ? ((1, 0), (0, 1)) : ((1,),))
                # With respect to each matrix alone: what one term gets wrong, another cannot hide.
                here = map((s, d) -> s * d, varied, directions)
                gradients(t) = vcat(map(vec, gradient_by(weights, map((x, d) -> x + t * d, matrices, here), chosen; lower))...)
                found = vcat(map(vec, forward_over_reverse(weights, matrices, here, chosen; lower))...)
                @test relative_error(found, fdm(gradients, 0.0)) < 1.0e-7
            end
        end
    end

    @testset "cotangents of the gradient's own cotangents" begin
        a, D, W = random_matrix(rng, Float64, n), random_matrix(rng, Float64, n), randn(rng, n, 4)
        w̄, v̄ = randn(rng, 4), randn(rng, n, 4)
        slope_of(w̄, v̄) = dot(D, gradient_by((w, v) -> (w̄, v̄), (a,), chosen)[1])
        p = EigenPair.hermitian_problem(a, nothing; subset_by_index = chosen)
        w, V, reduction = EigenPair.solution(p, a, nothing)
        _, pull = rrule(EigenPair.input_gradients, p, nothing, a, nothing, w, V, reduction, w̄[:, :], v̄[:, :, :], nothing)
        of_w̄, of_v̄ = pull((D, NoTangent()))[9:10]
        # The gradient is linear in them.
        @test dot(of_w̄, w̄) + dot(of_v̄, v̄) ≈ slope_of(w̄, v̄)
        @test dot(of_w̄, cos.(w̄)) + dot(of_v̄, W) ≈ slope_of(cos.(w̄), W)
    end

    @testset "batches, and a matrix that they share" begin
        a, b, W = random_matrix(rng, Float64, n, 2), random_definite(rng, Float64, n), randn(rng, n, 4, 2)
        D = random_matrix(rng, Float64, n, 2), random_matrix(rng, Float64, n)
        ā, b̄ = gradient_by(W, (a, b), chosen)
        products = reverse_over_reverse(W, (a, b), D, chosen)
        each = [gradient_by(W[:, :, k], (a[:, :, k], b), chosen) for k in 1:2]
        each_product = [forward_over_reverse(W[:, :, k], (a[:, :, k], b), (D[1][:, :, k], D[2]), chosen) for k in 1:2]
        @test all(k -> ā[:, :, k] ≈ each[k][1] && products[1][:, :, k] ≈ each_product[k][1], 1:2)
        @test b̄ ≈ each[1][2] + each[2][2] && products[2] ≈ each_product[1][2] + each_product[2][2]
        a[3, 1, 2] = NaN
        ā = quiet(() -> gradient_by(W, (a,), chosen))[1]
        @test all(isnan, ā[:, :, 2]) && ā[:, :, 1] ≈ gradient_by(W[:, :, 1], (a[:, :, 1],), chosen)[1]
    end

    @testset "wrappers" begin
        (a, b), W = random_matrices(Float64, true), randn(rng, n, 4)
        A, B = Symmetric(a, :L), Hermitian(b, :U)
        Ā, B̄ = gradient_by(W, (A, B), chosen)
        @test Ā isa Symmetric && B̄ isa Hermitian
        @test errors((Ā, B̄), gradient_by(W, (Matrix(A), Matrix(B)), chosen)) < 1.0e-11
        structured = (Tangent{typeof(A)}(; data = a), Tangent{typeof(B)}(; data = b))
        Ω̇ = frule((NoTangent(), structured...), eigh, A, B; subset_by_index = chosen)[2]
        @test Ω̇.eigenvectors ≈ frule((NoTangent(), A, B), eigh, Matrix(A), Matrix(B); subset_by_index = chosen)[2].eigenvectors
    end

    @testset "as an engine puts it together" begin
        a, W = random_matrix(rng, Float64, n), randn(rng, n, 4)
        f(a) = (r = eigh(a; subset_by_index = chosen); sum(sin, r.eigenvalues) + sum(W .* abs2.(r.eigenvectors)))
        @test Zygote.gradient(f, a)[1] ≈ gradient_by(W, (a,), chosen)[1]
    end

    @testset "clusters, at size $scale, pair = $pair" for (scale, pair) in ((1.0, false), (1.0, true), (1.0e-12, false), (1.0e10, true))
        root = random_definite(rng, Float64, n)
        function matrices(pairs...)
            λ = collect(1.0:n)
            foreach(((i, gap),) -> λ[i + 1] = λ[i] + gap, pairs)
            A = spectrum_matrix(rng, Float64, scale * λ)
            return pair ? (hermitian(root * A * root'), hermitian(root * root')) : (A,)
        end
        C, directions = hermitian(randn(rng, n, n)), ntuple(_ -> hermitian(randn(rng, n, n)), 1 + pair)
        # Of the sum of v vᴴ over some columns of those chosen.
        projector(columns) = (w, v) -> (ZeroTangent(), 2 * C * v .* [j in columns for j in 1:size(v, 2)]')
        alone(m, columns; options...) = quiet(() -> gradient_by(projector(columns), m, chosen; options...))
        whole(m, columns) = alone(m, columns; whole = true)
        second(m, columns) = quiet(() -> forward_over_reverse(projector(columns), m, directions, chosen))

        # Inside, outside, and across each edge.
        inside = matrices(31 => 0.0)
        @test errors(alone(inside, 2:3), whole(inside, 2:3)) < 1.0e-8
        @test all_nan(alone(inside, 1:2)) && all_nan(second(inside, 2:3))
        outside = matrices(20 => 0.0, 40 => 0.0)
        @test errors(alone(outside, 1:2), whole(outside, 1:2)) < 1.0e-8
        @test all_finite(second(outside, 1:2))
        for (last_below, open) in ((29, 1), (33, 4))
            across = matrices(last_below => 0.0)
            @test all_nan(alone(across, open:open)) && all_nan(alone(across, 1:4))
            @test errors(alone(across, 2:3), whole(across, 2:3)) < 1.0e-8
            @test all_nan(second(across, 2:3))
            V̇ = frule((NoTangent(), directions...), eigh, across...; subset_by_index = chosen)[2].eigenvectors
            @test [all(isnan, x) for x in eachcol(V̇)] == [j == open for j in 1:4] && all(isfinite, V̇[:, 2:3])
            @test all_finite(gradient_by(nothing, across, chosen))
            @test all_nan(quiet(() -> reverse_over_reverse(nothing, across, directions, chosen)))
            # Close, but resolved: divided by.
            near = matrices(last_below => 1.0e-5)
            @test errors(alone(near, open:open), whole(near, open:open)) < 1.0e-5
            @test errors(alone(near, open:open; degeneracy = EigenPair.raw()), alone(near, open:open)) < 1.0e-12
            # Resolved once, but not where gaps are divided by twice.
            closer = matrices(last_below => 1.0e-7)
            @test all_finite(alone(closer, open:open)) && all_nan(second(closer, open:open))
            @test all_nan(quiet(() -> cotangents_of_cotangents(ones(n, 4), across, directions, chosen)))
            # What rounding splits is a cluster as wide as that of the whole problem.
            @test all_nan(alone(matrices(last_below => 6.0e-13), open:open))
        end
    end

    @testset "second derivatives where only the rest is degenerate" begin
        A, D = spectrum_matrix(rng, Float64, [1; 2; 3; fill(5.0, n - 3)]), hermitian(randn(rng, n, n))
        C = hermitian(randn(rng, n, n))
        density = (w, v) -> (ZeroTangent(), 2 * C * v)
        exact(t) = gradient_by(density, (A + t * D,), 1:2)[1]
        @test relative_error(forward_over_reverse(density, (A,), (D,), 1:2)[1], central_fdm(5, 1; max_range = 1.0e-3)(exact, 0.0)) < 1.0e-6
    end
end
