# Functions of general matrices: values and two derivatives, wherever the function has them, and NaN elsewhere.
using .Losses.Lines

@testset "functions of general matrices" begin
    rng = Xoshiro(71)
    similar_to(M) = (P = randn(rng, size(M)...) + 3I; P * M / P)
    jordan(blocks...) = cat([λ * I(k) + diagm(1 => ones(k - 1)) for (λ, k) in blocks]...; dims = (1, 2))
    matrices = (;
        distinct = similar_to(diagm([1.0, 1.5, 2.2, 3.0])), pairs = randn(rng, 4, 4) + 4I, triple = similar_to(diagm([0.5, 0.5, 0.5, 2.0])),
        scalar = Matrix(1.5I, 4, 4), close = similar_to(diagm([1.0, 1.0 + 1.0e-9, 2.0, 2.0 + 1.0e-5])), jordan = jordan((1.0, 2), (2.0, 2)),
        chain = similar_to(jordan((1.5, 4))), nearly = similar_to(jordan((1.0, 3), (2.0, 1)) + diagm([0, 1.0e-6, 0, 0])),
        beside = similar_to(jordan((1.0, 2), (1.0, 1), (1.0 + 1.0e-7, 1))), complex = randn(rng, ComplexF64, 4, 4) / 4 + 2I,
    )
    C = randn(rng, ComplexF64, 4, 4)
    weighed(Y) = real(dot(C, Y))
    # Derivatives in the corner of the function of a larger matrix, which need not be ours.
    first_corner(f, A, E) = f([A E; zero(A) A])[1:4, 5:8]
    second_corner(f, A, E) = (Z = zero(A); 2 * f([A E Z; Z A E; Z Z A])[1:4, 9:12])
    by_base(::typeof(exp)) = exp
    by_base(::typeof(cis)) = A -> exp(im * A)
    # In high precision, by Newton's iterations; the logarithm by its series, after roots.
    function iterated(step, X)
        for _ in 1:60
            Y = step(X)
            norm(Y - X) < 1.0e-40 * norm(Y) && return Y
            X = Y
        end
        return X
    end
    function high_root(A)
        n, X = size(A, 1), Complex{BigFloat}.(A)
        both = iterated(XY -> (XY + [inv(XY[(n + 1):2n, :]); inv(XY[1:n, :])]) / 2, [X; Matrix{eltype(X)}(I, n, n)])
        return both[1:n, :]
    end
    function high_log(A)
        X = foldl((X, _) -> high_root(X), 1:10; init = A) - I
        return 2^10 * sum(k -> -(-X)^k / k, 1:9)
    end
    high_sign(A) = iterated(X -> (X + inv(X)) / 2, big.(A))
    by_base(::typeof(sqrt)) = high_root
    by_base(::typeof(log)) = high_log

    function test_derivatives(ours, exact, A, tolerance)
        E = randn(rng, eltype(A), 4, 4)
        right = exact(A), first_corner(exact, A, E), second_corner(exact, A, E)
        Y = ours(A)
        @test relative_error(Y, right[1]) < tolerance
        duals = ours(along(along(A, E), E))
        @test relative_error(slope(map(still, duals)), right[2]) < tolerance
        @test relative_error(slope(slope(duals)), right[3]) < 100tolerance
        loss(A) = weighed(ours(A))
        gradient = Zygote.gradient(loss, A)[1]
        @test real(dot(gradient, E)) ≈ weighed(right[2]) rtol = 1.0e-8
        moved = slope(Zygote.gradient(loss, along(A, E))[1])
        @test real(dot(moved, E)) ≈ weighed(right[3]) rtol = 1.0e-7
        return nothing
    end

    setprecision(BigFloat, 256) do
        @testset "$f, $name" for f in (exp, cis, sqrt, log), name in keys(matrices)
            test_derivatives(A -> matrix_function(f, A), by_base(f), matrices[name], 1.0e-10)
        end
        # Shifted so that eigenvalues have both signs.
        @testset "sign, $name" for (name, shift) in ((:distinct, 1.2), (:triple, 1.2), (:jordan, 1.2), (:nearly, 1.2), (:pairs, 4))
            A = matrices[name] - shift * I
            @test eltype(signm(A)) == Float64 && signm(A)^2 ≈ I
            test_derivatives(signm, high_sign, A, 1.0e-8)
        end
    end

    @testset "named functions" begin
        A = matrices.chain
        @test sqrtm(A) == matrix_function(sqrt, A) && logm(A) == matrix_function(log, A)
        # A function of our own has the same values, by its Taylor series.
        @test matrix_function(z -> sqrt(z), A) ≈ sqrtm(A) && matrix_function(z -> log(z), A) ≈ logm(A)
        for (f, T) in ((sqrtm, Float64), (logm, ComplexF64))
            test_rrule(f, random_matrix(rng, T, 3) + 4I; check_inferred = false)
            test_frule(f, random_matrix(rng, T, 3) + 4I; check_inferred = false)
        end
        test_rrule(signm, matrices.pairs - 4I; check_inferred = false)
        test_rrule(matrix_function, exp, matrices.triple; check_inferred = false)
    end

    @testset "second order by engines" begin
        A, D = matrices.jordan, real(C)
        loss(A) = dot(D, real(matrix_function(z -> z^2, A)))
        hessian = Zygote.hessian(loss, A)
        @test hessian ≈ Zygote.hessian(A -> dot(D, A^2), A)
        @test Zygote.hessian_reverse(loss, A) ≈ hessian
        @test_throws "a higher one was requested" matrix_function(exp, along(along(along(A, D), D), D))
    end

    @testset "what f holds, $name" for name in (:triple, :chain)
        A, D = matrices[name], real(C)
        of_t(t, A = A) = dot(D, real(matrix_function(z -> exp(t * z), A)))
        expected = dot(D, A * exp(0.7A))
        @test Zygote.gradient(of_t, 0.7)[1] ≈ expected && ForwardDiff.derivative(of_t, 0.7) ≈ expected
        mixed = ForwardDiff.derivative(t -> dot(C, Zygote.gradient(A -> of_t(t, A), A)[1]), 0.7)
        @test real(mixed) ≈ ForwardDiff.derivative(s -> Zygote.gradient(t -> of_t(t, A + s * D), 0.7)[1], 0.0)
    end

    @testset "where there is nothing" begin
        root(A) = matrix_function(z -> sqrt(z), A)
        for f in (root, sqrtm, logm)
            @test all(A -> all(isnan, f(A)), (jordan((0.0, 2)), similar_to(jordan((0.0, 2), (1.0, 1))), similar_to(jordan((0.0, 3)))))
            # A negative real number is on the cut: rounding decides on which side, and splits it along the cut or across.
            @test all(_ -> all(isnan, f(complex(similar_to(jordan((-1.0, 2), (1.0, 1)))))), 1:50)
            @test all(_ -> all(isnan, f(complex(similar_to(diagm([-1.0, -1.0, 2]))))), 1:50)
        end
        for A in (diagm([0.0, 1, 2]), similar_to(diagm([0.0, 1, 2])))
            @test norm(sqrtm(A)^2 - A) < 1.0e-7 * norm(A)
            @test all(isnan, Zygote.gradient(A -> real(sum(sqrtm(A))), A)[1])
        end
        A = similar_to(diagm([-1.0, -2, 1, 3]))
        @test sqrtm(A)^2 ≈ A && all(isnan, signm(similar_to(diagm([0.0, 1, 2]))))
        for f in (z -> complex(abs(z)), z -> complex(real(z)), conj)
            @test all(isnan, matrix_function(f, matrices.pairs))
        end
        batch = stack([matrices.jordan, fill(NaN, 4, 4), matrices.distinct])
        for f in (a -> matrix_function(exp, a), sqrtm)
            @test [all(isnan, x) for x in eachslice(f(batch); dims = 3)] == [false, true, false]
            gradient = Zygote.gradient(a -> real(sum(f(a)[:, :, 1:2:3])), batch)[1]
            @test all(isfinite, gradient[:, :, 1:2:3]) && f(batch)[:, :, 3] ≈ f(matrices.distinct)
        end
    end

    @testset "scales and precisions" begin
        for scale in (2.0^-300, 2.0^40, 2.0^300), name in (:triple, :chain, :nearly)
            A = matrices[name]
            for f in (sqrtm, a -> matrix_function(z -> sqrt(z), a))
                @test relative_error(f(A * scale) / sqrt(scale), f(A)) < 1.0e-10
            end
        end
        A = Float32.(matrices.distinct)
        @test sqrtm(A) isa Matrix{ComplexF32}
        @test sqrtm(A) ≈ sqrtm(matrices.distinct) rtol = 1.0e-4
        @test size(matrix_function(exp, zeros(0, 0, 3))) == (0, 0, 3)
        @test matrix_function(exp, Symmetric(matrices.pairs)) ≈ exp(Symmetric(matrices.pairs))
    end

    @testset "bad input" begin
        @test_throws "the order is `f, a`" matrix_function(matrices.pairs, exp)
        @test_throws "use signm" matrix_function(sign, matrices.pairs)
        @test_throws "`f` must return a number" matrix_function(z -> [z], matrices.pairs)
        @test_throws DimensionMismatch sqrtm(zeros(2, 3))
        @test_throws "`a`" logm("x")
    end
end
