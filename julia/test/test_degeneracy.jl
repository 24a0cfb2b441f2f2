using .SecondOrder
using .Losses.Lines

@testset "degeneracy" begin
    rng = Xoshiro(4)
    check, mask, broaden, raw = EigenPair.check, EigenPair.mask, EigenPair.broaden, EigenPair.raw
    C = randn(rng, 5, 5)
    projector(v) = sum(C .* (v * v'))
    lowest(k; options...) = a -> projector(eigh(a; options...).eigenvectors[:, 1:k])
    # By Daleckii and Kreĭn, which needs no gap inside the cluster.
    function projector_gradient(A, k)
        w, v = eigh(A)
        G = [(i <= k) == (j <= k) ? 0.0 : 1 / (min(w[i], w[j]) - max(w[i], w[j])) for i in 1:5, j in 1:5]
        return v * (G .* (v' * (C + C') / 2 * v)) * v'
    end
    gradient(f, a) = quiet(() -> Zygote.gradient(f, a)[1])

    @testset "the cluster's projector, at size $scale" for scale in (1.0e-12, 1.0, 1.0e10, 1.0e-150, 1.0e150)
        A = scale * spectrum_matrix(rng, Float64, [1, 1, 1, 2, 3])
        @test relative_error(gradient(lowest(3), A), projector_gradient(A, 3)) < 1.0e-11
        @test all(isnan, gradient(lowest(2), A))
    end

    @testset "a cluster wherever it is, $λ" for λ in ([1, 2, 2, 3, 4], [1, 2, 3, 4, 4], [1, 1, 2, 2, 3])
        A = spectrum_matrix(rng, Float64, λ)
        cut = findfirst(i -> λ[i] == λ[i + 1], 1:4)
        whole = findfirst(i -> λ[i] != λ[i + 1], 1:4)
        @test all(isnan, gradient(lowest(cut), A))
        @test relative_error(gradient(lowest(whole), A), projector_gradient(A, whole)) < 1.0e-11
    end

    @testset "exact degeneracy, and the zero matrix" begin
        A = Matrix(Diagonal([1.0, 1, 1, 2, 3]))
        @test relative_error(gradient(lowest(3), A), projector_gradient(A, 3)) < 1.0e-12
        @test gradient(lowest(5), zeros(5, 5)) == zeros(5, 5)
        @test all(isnan, gradient(lowest(1), zeros(5, 5)))
    end

    @testset "resolved gaps are divided by" begin
        A = spectrum_matrix(rng, Float64, [1, 1 + 1.0e-8, 2, 3, 4])
        @test relative_error(gradient(lowest(1), A), projector_gradient(A, 1)) < 1.0e-6
        @test gradient(lowest(1), A) ≈ gradient(lowest(1; degeneracy = raw()), A)
    end

    @testset "noise at close eigenvalues is not divided by the gap, $gap" for gap in (1.0e-5, 1.0e-8, 1.0e-11, 1.0e-13)
        A = spectrum_matrix(rng, Float64, [1, 1 + gap, 2, 3, 4])
        @test relative_error(gradient(lowest(2), A), projector_gradient(A, 2)) < 1.0e-12
    end

    @testset "a coupling that vanishes at this matrix, and not around it, has a second derivative" begin
        B, D = Matrix(Diagonal([1, 1 + 1.0e-5, 2])), randn(rng, 3, 3)
        E = [0 1 0; 0 0 0; 0 0 0]
        square(w, v) = ZeroTangent(), 2 * v[1, 2] * E
        expected = central_fdm(5, 1; max_range = 1.0e-7)(t -> gradient_by(square, (B + t * D,))[1], 0.0)
        @test relative_error(forward_over_reverse(square, (B,), (D,))[1], expected) < 1.0e-5
    end

    @testset "the second test: values and vectors together" begin
        A = spectrum_matrix(rng, Float64, [1, 1, 1, 2, 3])
        density(f; options...) = function (a)
            w, v = eigh(a; options...)
            return sum(C .* ((v .* f.(w)') * v'))
        end
        @test all(isnan, gradient(density(exp), A))
        @test gradient(density(one), A) ≈ zeros(5, 5) atol = 1.0e-12
        @test all(isfinite, gradient(density(exp; degeneracy = mask(1.0e-6)), A))
    end

    @testset "eigenvalues alone need no test" begin
        A = spectrum_matrix(rng, Float64, [1, 1, 1, 2, 3])
        @test gradient(a -> sum(abs2, eigvalsh(a)), A) ≈ 2A
        @test all(isfinite, gradient(a -> eigvalsh(a)[1], A))
    end

    @testset "type $type" for type in 1:3
        B = random_definite(rng, Float64, 5)
        L = cholesky(Hermitian(B)).L
        Λ = spectrum_matrix(rng, Float64, [1, 1, 1, 2, 3])
        A = type == 1 ? L * Λ * L' : L' \ Λ / L
        A = (A + A') / 2
        f(k; options...) = (a, b) -> projector(eigh(a, b; type, options...).eigenvectors[:, 1:k])
        fdm = central_fdm(5, 1; max_range = 1.0e-2)
        ā, b̄ = quiet(() -> Zygote.gradient(f(3), A, B))
        ā_fd, b̄_fd = grad(fdm, f(3), A, B)
        @test relative_error(ā, ā_fd) < 1.0e-7 && relative_error(b̄, b̄_fd) < 1.0e-7
        @test all(x -> all(isnan, x), quiet(() -> Zygote.gradient(f(2), A, B)))
    end

    @testset "only the matrix concerned" begin
        A = stack([spectrum_matrix(rng, Float64, λ) for λ in ([1, 1, 2, 3, 4], 1:5, [1, 2, 2, 3, 4])])
        f(a) = (v = eigh(a).eigenvectors; sum(k -> projector(v[:, 1:1, k]), 1:3))
        ā = gradient(f, A)
        @test all(isnan, ā[:, :, 1])
        for k in 2:3
            @test relative_error(ā[:, :, k], projector_gradient(A[:, :, k], 1)) < 1.0e-11
        end
    end

    @testset "what the other policies do" begin
        A = Matrix(Diagonal([1.0, 1.0, 2.0]))
        v̄ = randn(rng, 3, 3)
        of_vectors(w, v) = ZeroTangent(), v̄
        pullback(policy) = gradient_by(of_vectors, (A,); degeneracy = policy)[1]
        S = (v̄ - v̄') / 2
        gaps = [λ - μ for μ in (1, 1, 2), λ in (1, 1, 2)]
        @test pullback(broaden(0.1)) ≈ S .* gaps ./ (gaps .^ 2 .+ 0.1)
        @test pullback(mask(1.0e-3)) ≈ S .* [g == 0 ? 0.0 : 1 / g for g in gaps]
        @test pullback(mask(2)) == zeros(3, 3)
        @test !all(isfinite, pullback(raw()))
        @test all(isnan, quiet(() -> pullback(check())))
        # Clusters as wide as the user says.
        B = Matrix(Diagonal([1.0, 1 + 1.0e-9, 2.0]))
        f(policy) = quiet(() -> gradient_by(of_vectors, (B,); degeneracy = policy)[1])
        @test all(isfinite, f(check())) && all(isnan, f(check(c = 1.0e7)))
    end

    symmetric_direction(n) = (D = randn(rng, n, n); D + D')
    twice(x, D) = eigh(along(along(x, D), D))

    @testset "second derivatives through a cluster are NaN" begin
        A, D = spectrum_matrix(rng, Float64, [1, 1, 2]), symmetric_direction(3)
        W = [1 1 0; 0 0 0; 0 0 0]
        for loss in (nothing, W)
            @test all(isnan, quiet(() -> forward_over_reverse(loss, (A,), (D,))[1]))
            @test all(isnan, quiet(() -> reverse_over_reverse(loss, (A,), (D,))[1]))
        end
        @test all(x -> all(isnan, slope(slope(x))), quiet(() -> twice(A, D)))
        for product in (forward_over_reverse, reverse_over_reverse)
            @test all(isfinite, product(nothing, (A,), (D,); degeneracy = mask(1.0e-6))[1])
            # Another matrix of the batch is not concerned.
            distinct = Matrix(Diagonal([1.0, 2, 3]))
            H = quiet(() -> product(nothing, (stack([A, distinct]),), (stack([D, D]),))[1])
            @test all(isnan, H[:, :, 1])
            @test H[:, :, 2] ≈ product(nothing, (distinct,), (D,))[1]
            # Nor is one that the derivative does not reach.
            @test all(isfinite, product(nothing, (stack([A, distinct]),), (stack([0D, D]),))[1])
        end
    end

    @testset "second derivatives at a gap of $gap" for gap in (1.0e-4, 1.0e-6, 1.0e-8, 1.0e-12)
        # Rounding grows with the inverse square of the gap through vectors, with the inverse through values alone.
        A, D = spectrum_matrix(rng, Float64, [1, 1 + gap, 2, 3]), symmetric_direction(4)
        S = symmetric_direction(4)
        occupied(w, v) = ZeroTangent(), 2 * S * v .* [1 1 0 0]
        exact = Losses.hvp(a -> Losses.inner(S, spectral_projector(a, 2)), (A,), (D,))[1]
        H = quiet(() -> forward_over_reverse(occupied, (A,), (D,))[1])
        @test gap < 1.0e-7 ? all(isnan, H) : norm(H - exact) <= 4.0e-15 / gap^2 + 1.0e-12
        @test all(isnan, slope(slope(quiet(() -> twice(A, D)).eigenvectors))) == (gap < 1.0e-7)
        cubes(w, v) = 3 * w .^ 2, ZeroTangent()
        @test norm(forward_over_reverse(cubes, (A,), (D,))[1] - 3 * (A * D + D * A)) <= 5.0e-15 / gap + 1.0e-12
    end

    @testset "second derivatives under other policies" begin
        A = Matrix(Diagonal([1.0, 1.0, 2.0])) + 1.0e-2 * random_matrix(rng, Float64, 3)
        W, D = randn(rng, 3, 3), randn(rng, 3, 3)
        for policy in (broaden(0.01), mask(1.0e-6), raw())
            forward = forward_over_reverse(W, (A,), (D,); degeneracy = policy)[1]
            # Reverse mode takes second derivatives to be symmetric, so it gives the same as forward mode, also where broadened ones are not.
            @test reverse_over_reverse(W, (A,), (D,); degeneracy = policy)[1] ≈ forward
            # It is broadened twice, and so not what a finite difference of the gradient is.
            policy isa EigenPair.Broaden && continue
            expected = central_fdm(5, 1)(t -> gradient_by(W, (A + t * D,); degeneracy = policy)[1], 0.0)
            @test relative_error(forward, expected) < 1.0e-7
        end
    end

    @testset "a generic basis" begin
        # At the identity LAPACK's basis is a special one, in which the two losses have the same cotangents.
        B = [0.0 1.0; 1.0 0.0]
        bad(policy) = a -> (((w, v) = eigh(a; degeneracy = policy)); tr(B * v * Diagonal(w) * v'))
        identity = Matrix(1.0I, 2, 2)
        @test gradient(bad(check()), identity) == zeros(2, 2)
        @test all(isnan, gradient(bad(check(generic_basis = true)), identity))
        for T in (Float64, ComplexF64), λ in ([1, 1, 2, 2, 2], 1:5)
            A = spectrum_matrix(rng, T, λ)
            w, v = eigh(A; degeneracy = check(generic_basis = true))
            @test A * v ≈ v * Diagonal(w) && v' * v ≈ I
            @test (v ≈ eigh(A).eigenvectors) == (λ == 1:5)
            M = random_definite(rng, T, 5)
            for type in 2:3
                w, v = eigh(A, M; type, degeneracy = check(generic_basis = true))
                @test (type == 2 ? A * M : M * A) * v ≈ v * Diagonal(w)
            end
        end
        A = spectrum_matrix(rng, Float64, [1, 1, 1, 2, 3])
        policy = check(generic_basis = true)
        @test relative_error(gradient(lowest(3; degeneracy = policy), A), projector_gradient(A, 3)) < 1.0e-11
    end
end
