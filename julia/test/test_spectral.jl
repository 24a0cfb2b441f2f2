using .Losses.Lines

@testset "spectral functions" begin
    rng = Xoshiro(12)
    fdm = central_fdm(5, 1)
    hermitian(x) = (x + x') / 2
    pullback_of(f, Ȳ, args...) =
        unthunk(rrule(f, args...; of_part...)[2](Ȳ)[length(args) == 2 && args[1] isa AbstractArray ? 2 : 3])
    of_part = (; hermitian_part = true)

    # A step is tanh, where the spectrum is far from it.
    smooth_step(x) = (1 - tanh(40 * (x - 1.5))) / 2

    @testset "rrule and frule, $T" for T in (Float64, ComplexF64)
        a = random_matrix(rng, T, 3)
        wrapped = Hermitian(random_matrix(rng, T, 3), :L)
        for test in (test_rrule, test_frule)
            test(spectral_map, exp, a; fkwargs = of_part, check_inferred = false)
            test(spectral_map, cis, random_matrix(rng, T, 2, 2); fkwargs = of_part, check_inferred = false)
            test(spectral_sum, exp, random_matrix(rng, T, 2, 2); fkwargs = of_part, check_inferred = false)
            test(spectral_projector, a, 1; fkwargs = of_part, check_inferred = false)
        end
        test_rrule(spectral_sum, exp, a; fkwargs = of_part, check_inferred = false)
        @test pullback_of(spectral_sum, 1.0, exp, wrapped) isa Hermitian
        @test pullback_of(spectral_sum, 1.0, exp, wrapped) ≈ spectral_map(exp, wrapped)
        @test spectral_map(exp, wrapped) ≈ exp(Matrix(wrapped)) && spectral_sum(exp, wrapped) ≈ tr(exp(Matrix(wrapped)))
    end

    # Rounding has split eigenvalues at which f and f' are zero: the rounding of their terms must not be divided by the gap.
    @testset "functions that vanish at close eigenvalues" begin
        q = Matrix(qr(randn(rng, 3, 3)).Q)
        A, E = hermitian(q * q'), hermitian(randn(rng, 3, 3))
        square(x) = x^2 - 2x + 1
        @test norm(ForwardDiff.derivative(t -> spectral_map(square, A + t * E), 0.0)) < 1.0e-13
        @test ForwardDiff.derivative(t -> pullback_of(spectral_sum, 1.0, square, A + t * E), 0.0) ≈ 2E
    end

    # What the core computes, and what is computed where it does not: the same from two tables of differences.
    @testset "derivatives by the core, $T" for T in (Float32, Float64, ComplexF64)
        function solution(n)
            λ = sort(randn(rng, real(T), n, 2); dims = 1)
            λ[2, :] = λ[1, :]
            return λ, stack(_ -> Matrix(qr(randn(rng, T, n, n)).Q), 1:2)
        end
        n = 7
        (λ, V), (X, Y) = solution(n), (randn(rng, T, n, n, 2), randn(rng, T, n, n, 2))
        for f in (tanh, EigenPair.Antiderivative(sin), EigenPair.Step(3)), directions in ((X,), (X, Y))
            found = EigenPair.form_by_core(f, directions, λ, V)
            @test relative_error(found, EigenPair.form_by_tables(EigenPair.Opened(), f, directions, λ, V)) < 1.0e3 * eps(real(T))
        end
        @test EigenPair.form_by_core(cis, (X,), λ, V) === nothing
        @test EigenPair.form_by_core(tanh, (zeros(T, 65, 65, 2),), solution(65)...) === nothing
    end

    # Of f = 1/x everything is known in closed form, at any degeneracy: A⁻¹, −A⁻¹EA⁻¹, A⁻¹EA⁻¹DA⁻¹ + A⁻¹DA⁻¹EA⁻¹.
    @testset "first and second order at a gap of $gap, size $scale" for gap in (1.0e-2, 1.0e-4, 1.0e-7, 1.0e-10, 1.0e-13, 1.0e-16, 0),
            scale in (1, 1.0e-12, 1.0e10)
        A = scale * (Matrix(Diagonal([1.0, 1 + gap, 1 + gap, 2, 3])) + 0.0I)
        Ȳ, E = hermitian(randn(rng, 5, 5)), hermitian(randn(rng, 5, 5))
        B = inv(A)
        tol = 1.0e-13
        @test relative_error(pullback_of(spectral_map, Ȳ, inv, A), -B * Ȳ * B) < tol
        hvp = ForwardDiff.derivative(t -> pullback_of(spectral_map, Ȳ, inv, A + t * E), 0.0)
        @test relative_error(hvp, B * E * B * Ȳ * B + B * Ȳ * B * E * B) < 10tol
        @test relative_error(pullback_of(spectral_sum, 1.0, inv, A), -B * B) < tol
        hvp = ForwardDiff.derivative(t -> pullback_of(spectral_sum, 1.0, inv, A + t * E), 0.0)
        @test relative_error(hvp, B * E * B * B + B * B * E * B) < 10tol
    end

    @testset "float32" begin
        A = Float32.(Diagonal([1, 1 + 1.0e-3, 2])) |> Matrix
        @test spectral_map(x -> 1.0 / x, A) isa Matrix{Float32} && spectral_sum(sqrt, A) isa Float32
        Ȳ = Float32.(hermitian(randn(rng, 3, 3)))
        Ā = pullback_of(spectral_map, Ȳ, inv, A)
        @test Ā isa Matrix{Float32} && relative_error(Ā, -inv(A) * Ȳ * inv(A)) < 1.0e-6
    end

    @testset "Hessians at exact degeneracy" begin
        C, D = randn(rng, 3, 3), randn(rng, 3, 3)
        twice(A) = along(along(A, D), D)
        # Σ λ² is tr(A²).
        for A in (Matrix(1.0I, 3, 3), zeros(3, 3), spectrum_matrix(rng, Float64, [1, 1, 2]))
            @test slope(pullback_of(spectral_sum, 1.0, abs2, along(A, D))) ≈ 2 * hermitian(D)
            @test slope(slope(spectral_sum(abs2, twice(A)))) ≈ 2 * norm(hermitian(D))^2
            @test abs(slope(slope(spectral_sum(identity, twice(A))))) < 1.0e-12
        end
        # All three functions at once: engines compile the way between them, for long, once.
        A = spectrum_matrix(rng, Float64, [1, 1, 2])
        cube(a) = dot(C, spectral_map(x -> x^3, a))
        loss(a) = spectral_sum(abs2, a) + cube(a) + dot(C, spectral_projector(a, 2))
        function cube_gradient(a)
            B = hermitian(a)
            return hermitian(C * B^2 + B * C * B + B^2 * C)
        end
        of_cube, of_projector = slope(cube_gradient(along(A, D))), slope(pullback_of(spectral_map, C, smooth_step, along(A, D)))
        product(hessian, f) = reshape(hessian(f, A) * vec(D), 3, 3)
        for hessian in (Zygote.hessian, Zygote.hessian_reverse)
            @test relative_error(product(hessian, loss), 2 * hermitian(D) + of_cube + of_projector) < 1.0e-12
        end
        @test relative_error(product(ForwardDiff.hessian, cube), of_cube) < 1.0e-12
        @test slope(slope(dot(C, spectral_projector(twice(A), 2)))) ≈ dot(D, of_projector)
        # One derivative too many is an error, not a number.
        @test_throws "a higher one was requested" spectral_map(x -> x^3, along(twice(A), D))
    end

    @testset "the projector" begin
        Ȳ = hermitian(randn(rng, 5, 5))
        for scale in (1.0, 1.0e-12, 1.0e10)
            A = scale * spectrum_matrix(rng, Float64, [1, 1, 2, 2, 2])
            P = spectral_projector(A, 2)
            @test P * P ≈ P && tr(P) ≈ 2
            Ā = pullback_of(spectral_projector, Ȳ, A, 2)
            @test relative_error(Ā, -(P * Ȳ * (I - P) + (I - P) * Ȳ * P) / scale) < 1.0e-12
            @test all(isnan, spectral_projector(A, 3)) && all(isnan, pullback_of(spectral_projector, Ȳ, A, 3))
            @test spectral_projector(A, 0) ≈ zeros(5, 5) && spectral_projector(A, 5) ≈ I
        end
        A = spectrum_matrix(rng, Float64, [1, 1, 2, 2, 2])
        C, E = randn(rng, 5, 5), hermitian(randn(rng, 5, 5))
        product = slope(pullback_of(spectral_projector, C, along(A, E), 2))
        @test relative_error(product, slope(pullback_of(spectral_map, C, smooth_step, along(A, E)))) < 1.0e-12
    end

    @testset "what f holds" begin
        A = spectrum_matrix(rng, Float64, [1, 1, 2, 3])
        C = randn(rng, 4, 4)
        value(p) = (f = EigenPair.fermi_dirac(p[1], p[2]); dot(C, spectral_map(f, p[3] * A)) + spectral_sum(f, A))
        p = [1.5, 2.0, 1.1]
        expected = ForwardDiff.gradient(value, p)
        @test relative_error(expected, grad(fdm, value, p)[1]) < 1.0e-9
        @test Zygote.gradient(value, p)[1] ≈ expected
        # Of a gradient with respect to the matrix, which is what a force is.
        force(p) = (f = EigenPair.fermi_dirac(p[1], p[2]); dot(C, Zygote.gradient(a -> dot(C, spectral_map(f, a)) + spectral_sum(f, a), A)[1]))
        @test relative_error(Zygote.gradient(force, p)[1][1:2], grad(fdm, force, p)[1][1:2]) < 1.0e-8
        H = Zygote.hessian(value, p)
        @test H ≈ H' && relative_error(H, FiniteDifferences.jacobian(fdm, p -> ForwardDiff.gradient(value, p), p)[1]) < 1.0e-8
        # Whichever tag of ForwardDiff's is made first.
        derivative(x) = Zygote.gradient(θ -> spectral_sum(t -> exp(θ * t), reshape(x, 2, 2)), 0.3)[1]
        x = [1.0, 0.3, 0.3, 2.0]
        @test isfinite(derivative(x))
        @test ForwardDiff.gradient(derivative, x) ≈ vec(spectral_map(t -> (1 + 0.3t) * exp(0.3t), reshape(x, 2, 2)))
        @test_throws "only one derivative" derivative(along(along(x, x), x))
        of_parameter(θ) = Zygote.gradient(θ -> spectral_sum(t -> exp(θ * t), reshape(x, 2, 2)), θ)[1]
        @test_throws "fields of `f`" Zygote.gradient(of_parameter, 0.3)
        parameter(θ) = spectral_sum(t -> exp(θ[1] * t), reshape(x, 2, 2))
        @test ForwardDiff.derivative(t -> spectral_map(u -> exp(t * u), reshape(x, 2, 2))[1, 2], 0.3) ≈
            spectral_map(u -> u * exp(0.3u), reshape(x, 2, 2))[1, 2]
        @test ForwardDiff.hessian(parameter, [0.3]) ≈ [spectral_sum(t -> t^2 * exp(0.3t), reshape(x, 2, 2));;]
        # Without a configuration for reverse mode there is no such gradient, and it does not look like zero.
        f̄ = rrule(spectral_sum, EigenPair.power(2.5), A)[2](1.0)[2]
        @test f̄ isa ChainRulesCore.NotImplemented
        f = EigenPair.power(2.5)
        @test_throws ArgumentError frule((NoTangent(), Tangent{typeof(f)}(; p = 1.0), C), spectral_sum, f, A)
        @test frule((NoTangent(), ZeroTangent(), C), spectral_sum, f, A)[2] ≈ dot(C, spectral_map(x -> 2.5x^1.5, A))
    end

    @testset "functions" begin
        A = spectrum_matrix(rng, Float64, [0.5, 1, 2])
        @test spectral_map(EigenPair.inv_sqrt, A) ≈ inv(sqrt(A)) && spectral_map(EigenPair.power(3), A) ≈ A^3
        @test spectral_map(EigenPair.fermi_dirac(1, 1000), A) ≈ spectral_projector(A, 1) + spectral_map(x -> x ≈ 1 ? 0.5 : 0.0, A) atol = 1.0e-6
        @test ForwardDiff.derivative(EigenPair.fermi_dirac(0.0, 1.0e4), 1.0) == 0
        # At a pole of f′ there is no number.
        @test !all(isfinite, pullback_of(spectral_map, ones(2, 2), sqrt, zeros(2, 2)))
        @test_throws DomainError spectral_map(log, -A)
    end

    @testset "batches, sizes 0 and 1, NaN" begin
        a = random_matrix(rng, ComplexF64, 2, 2, 3)
        Y = spectral_map(exp, a; of_part...)
        @test size(Y) == size(a) && Y[:, :, 2, 3] ≈ exp(Matrix(hermitian(a[:, :, 2, 3])))
        @test size(spectral_sum(exp, a; of_part...)) == (2, 3)
        a[1, 1, 1, 1] = NaN
        Ā = pullback_of(spectral_sum, ones(2, 3), exp, a)
        @test all(isnan, Ā[:, :, 1, 1]) && Ā[:, :, 2, 3] ≈ Y[:, :, 2, 3]
        @test spectral_map(exp, zeros(0, 0)) == zeros(0, 0) && spectral_sum(exp, zeros(0, 0)) == 0
        @test pullback_of(spectral_sum, 1.0, exp, fill(2.0, 1, 1)) ≈ fill(exp(2), 1, 1)
    end

    @testset "far from Hermitian, $T" for T in (Float32, ComplexF64)
        A, N = spectrum_matrix(rng, T, [1, 2, 4]), random_matrix(rng, T, 3)
        N = (N - N') * (norm(A) / norm(N - N'))
        constant(x) = one(x)
        functions = (
            (a; o...) -> spectral_map(cosh, a; o...), (a; o...) -> spectral_map(constant, a; o...), (a; o...) -> [spectral_sum(constant, a; o...)],
            (a; o...) -> spectral_projector(a, 1; o...),
        )
        for (part, near) in ((0, true), (0.009, true), (0.011, false), (1, false)), f in functions
            x = A + T(part) * N
            gradient(; options...) = Zygote.gradient(a -> sum(abs2, f(a; options...)), x)[1]
            @test near ? all(isfinite, f(x)) : all(isnan, f(x))
            @test f(x; of_part...) ≈ f(hermitian(x))
            @test all(isfinite, gradient(; of_part...))
            near && @test gradient() == gradient(; of_part...)
            # A wrapper says what is meant.
            @test f(Hermitian(x)) ≈ f(Matrix(Hermitian(x)); of_part...)
        end
        @test all(isnan, Zygote.gradient(a -> real(sum(spectral_map(cosh, a))), A + N)[1])
        Y = spectral_map(cosh, stack([A, A + N]))
        @test Y[:, :, 1] ≈ spectral_map(cosh, A) && all(isnan, Y[:, :, 2])
        _, Ẏ = frule((NoTangent(), NoTangent(), A), spectral_map, cosh, A + N)
        @test all(isnan, Ẏ)
        @test_throws ArgumentError spectral_map(exp, A; hermitian_part = 1)
        @test all(isfinite, spectral_map(exp, zeros(T, 2, 2)))
    end

    @testset "bad input" begin
        for (T, words, f) in (
                (DimensionMismatch, "`a`", () -> spectral_map(exp, zeros(2, 3))), (ArgumentError, "`f`", () -> spectral_map(3, zeros(2, 2))),
                (ArgumentError, "`f`", () -> spectral_sum(string, zeros(2, 2))), (ArgumentError, "`k`", () -> spectral_projector(zeros(2, 2), 3)),
                (ArgumentError, "`k`", () -> spectral_projector(zeros(2, 2), 1.0)), (ArgumentError, "`a`", () -> spectral_sum(exp, "a")),
                (ArgumentError, "`k`", () -> rrule(spectral_projector, zeros(2, 2), -1)),
            )
            @test throws(f, T, words)
        end
    end
end
