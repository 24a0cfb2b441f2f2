@testset "Zygote" begin
    rng = Xoshiro(2)
    fdm = central_fdm(5, 1)
    # Not of the form rᵢ + cⱼ: with that, a sum over |v|² does not depend on v.
    W₃ = reshape(sin.(1.0:9), 3, 3)
    # Gauge-invariant, and uses values and vectors together.
    loss(w, v) = sum(cos, w) + sum(W₃ .* abs2.(v)) + w[1] * abs2(v[1, 2])
    loss((w, v)::EighResult) = loss(w, v)

    @testset "gradient, $T, type $type" for T in (Float64, ComplexF64), type in 1:3
        a, b = random_matrix(rng, T, 3), random_definite(rng, T, 3)
        f(a, b) = loss(eigh(a, b; type))
        ā, b̄ = Zygote.gradient(f, a, b)
        ā_fd, b̄_fd = grad(fdm, f, a, b)
        @test relative_error(ā, ā_fd) < 1.0e-9
        @test relative_error(b̄, b̄_fd) < 1.0e-9
        @test ishermitian(ā) && ishermitian(b̄)
        # One of the two alone.
        @test Zygote.gradient(b -> f(a, b), b)[1] ≈ b̄
    end

    @testset "ways to take the result apart" begin
        a = random_matrix(rng, Float64, 3)
        expected = Zygote.gradient(a -> loss(eigh(a)), a)[1]
        @test Zygote.gradient(a -> (r = eigh(a); loss(r.eigenvalues, r.eigenvectors)), a)[1] ≈ expected
        @test Zygote.gradient(a -> loss(eigh(a)...), a)[1] ≈ expected
        @test Zygote.gradient(a -> ((w, v) = eigh(a); loss(w, v)), a)[1] ≈ expected
        @test Zygote.gradient(a -> sum(eigvalsh(a)), a)[1] ≈ I
        @test Zygote.gradient(a -> 1.0, a)[1] === nothing
    end

    @testset "$wrap(a, $uplo) as the user writes it" for wrap in (Symmetric, Hermitian), uplo in (:L, :U)
        a = random_matrix(rng, Float64, 3)
        f(a) = loss(eigh(wrap(a, uplo)))
        @test relative_error(Zygote.gradient(f, a)[1], grad(fdm, f, a)[1]) < 1.0e-9
        @test Zygote.gradient(A -> loss(eigh(A)), wrap(a, uplo))[1] isa wrap
    end

    @testset "a wrapped a with a plain b, and with one of the other triangle" begin
        a, b = random_matrix(rng, ComplexF64, 3), random_definite(rng, ComplexF64, 3)
        f(a, b) = loss(eigh(Hermitian(a, :U), b))
        g(a, b) = loss(eigh(Hermitian(a, :U), Hermitian(b, :L); type = 2))
        for h in (f, g)
            @test all(map((x, y) -> relative_error(x, y) < 1.0e-9, Zygote.gradient(h, a, b), grad(fdm, h, a, b)))
        end
    end

    @testset "symmetric by accident" begin
        # The gradient is full, not collapsed onto a triangle, and continuous across exact symmetry.
        a = [1.0 2.0; 2.0 3.0]
        f(a) = eigvalsh(a)[2]
        v = eigh(a).eigenvectors[:, 2]
        @test Zygote.gradient(f, a)[1] ≈ v * v'
        @test Zygote.gradient(f, a + [0 1.0e-9; 0 0])[1] ≈ v * v' rtol = 1.0e-8
    end

    @testset "batches" begin
        a, b = random_matrix(rng, Float64, 3, 2), random_definite(rng, Float64, 3)
        f(a, b) = (((w, v) = eigh(a, b)); sum(k -> loss(w[:, k], v[:, :, k]), 1:2))
        ā, b̄ = Zygote.gradient(f, a, b)
        ā_fd, b̄_fd = grad(fdm, f, a, b)
        @test relative_error(ā, ā_fd) < 1.0e-9 && relative_error(b̄, b̄_fd) < 1.0e-9
    end

    # Second derivatives, put together by engines: test_second_order.jl has all types. Losses are of one operation,
    # because each is compiled several times over.
    @testset "Hessian" begin
        a = random_matrix(rng, Float64, 3)
        f(a) = (r = eigh(a); weighted(moduli, W₃, r.eigenvalues, r.eigenvectors))
        H = Zygote.hessian(f, a)
        @test H ≈ H'
        @test relative_error(H, FiniteDifferences.jacobian(fdm, x -> Zygote.gradient(f, x)[1], a)[1]) < 1.0e-9
        @test ForwardDiff.hessian(f, a) ≈ H
        @test ForwardDiff.gradient(f, a) ≈ Zygote.gradient(f, a)[1]
    end

    @testset "Hessian of one triangle, a subset, a gauge" begin
        a = random_matrix(rng, Float64, 3)
        # Steps too small for another component to become the largest.
        fdm = central_fdm(5, 1; max_range = 1.0e-3)
        f(v::EighResult) = dot(W₃[:, 1:2], fix_gauge(v.eigenvectors))
        wrapped(a) = f(eigh(Symmetric(a, :L); subset_by_index = 2:3))
        H = Zygote.hessian(wrapped, a)
        @test relative_error(H, FiniteDifferences.jacobian(fdm, x -> Zygote.gradient(wrapped, x)[1], a)[1]) < 1.0e-8
    end

    # All at once, because Zygote compiles what is between them anew for each loss, and for long. Not through Symmetric(a),
    # which Zygote cannot differentiate twice in reverse: it has tr(a²) wrong as well.
    @testset "reverse mode twice, with respect to matrices and parameters of the loss" begin
        a, b, c = random_matrix(rng, ComplexF64, 3), random_definite(rng, ComplexF64, 3), randn(rng, ComplexF64, 3, 2)
        da, db = random_matrix(rng, ComplexF64, 3), random_matrix(rng, ComplexF64, 3)
        function f(a, b, c)
            w, v = eigh(a, b; type = 3)
            two = fix_gauge(eigh(a; lower = true, subset_by_index = 2:3).eigenvectors)
            return weighted(moduli, W₃, w, v) + real(dot(c, two)) + real(dot(c[:, 1], eigvalsh(a)))
        end
        slope(a, b, c) = (gs = Zygote.gradient((a, b) -> f(a, b, c), a, b); real(dot(da, gs[1]) + dot(db, gs[2])))
        found, expected = Zygote.gradient(slope, a, b, c), grad(central_fdm(5, 1; max_range = 1.0e-3), slope, a, b, c)
        @test all(map((x, y) -> relative_error(x, y) < 1.0e-7, found, expected))
    end

    @testset "second order of eigenvalues" begin
        a, b = random_matrix(rng, Float64, 3), random_definite(rng, Float64, 3)
        f(b) = (w = eigvalsh(a, b; type = 2, subset_by_index = 1:2); dot(w, w))
        H = FiniteDifferences.jacobian(fdm, x -> Zygote.gradient(f, x)[1], b)[1]
        @test relative_error(Zygote.hessian(f, b), H) < 1.0e-8
    end

    @testset "with respect to parameters of the loss, forward over reverse" begin
        a, c = random_matrix(rng, Float64, 3), randn(rng, 3)
        g(c) = dot(W₃, Zygote.gradient(a -> dot(c .^ 2, eigvalsh(a)), a)[1])
        @test relative_error(ForwardDiff.gradient(g, c), grad(fdm, g, c)[1]) < 1.0e-9
    end
end
