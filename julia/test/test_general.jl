using .SecondOrder
using .Losses.Lines

@testset "general" begin
    rng = Xoshiro(11)
    fdm = central_fdm(5, 1)
    eigvals = EigenPair.eigvals
    reverse_of(f, x̄, args...; options...) = map(unthunk, rrule(f, args...; options...)[2](x̄)[2:end])
    # d Σ Re(c̄ᵢ λᵢ) by the textbook formula, for a full matrix: no branch on symmetry anywhere.
    function values_gradient(A, c)
        w, V = eig(A)
        G = inv(V)' * Diagonal(c) * V'
        return eltype(A) <: Real ? real(G) : G
    end

    @testset "values, order, gauge, $T" for T in (Float32, Float64, ComplexF32, ComplexF64)
        a, b = random_matrix(rng, T, 5), random_matrix(rng, T, 5)
        tol = 1000 * eps(real(T))
        for (args, B) in (((a,), I), ((a, b), b))
            w, vl, v = eig(args...; left = true)
            @test eltype(w) == eltype(v) == complex(T)
            @test norm(a * v - B * v * Diagonal(w)) < tol * norm(a) && norm(vl' * a - Diagonal(w) * vl' * B) < tol * norm(a)
            @test issorted(w; by = x -> (real(x), imag(x)))
            for x in (v, vl), column in eachcol(x)
                pivot = column[argmax(abs.(column))]
                @test norm(column) ≈ 1 && real(pivot) > 0 && abs(imag(pivot)) < tol
            end
            @test eigvals(args...) ≈ w && eig(args...; right = false) ≈ w
            @test eig(args...; right = false, left = true).left_eigenvectors ≈ vl
            w2, v2 = eig(args...)
            @test w2 ≈ w && v2 ≈ v
        end
        @test EigenPair.condition_numbers(a + a') ≈ ones(5) rtol = tol
    end

    @testset "rrule and frule, $T" for T in (Float64, ComplexF64)
        a, b = random_matrix(rng, T, 3), random_matrix(rng, T, 3)
        for test in (test_rrule, test_frule)
            test(eig, a; check_inferred = false)
            test(eigvals, a, b; check_inferred = false)
            test(eig, a, b; fkwargs = (; left = true), check_inferred = false)
        end
        test_rrule(eig, a; fkwargs = (; left = true, right = false), check_inferred = false)
        test_rrule(eig, random_matrix(rng, T, 2, 2), random_matrix(rng, T, 2); check_inferred = false)
        test_frule(eig, random_matrix(rng, T, 2), random_matrix(rng, T, 2, 2); check_inferred = false)
    end
    test_rrule(eigvals, random_matrix(rng, Float64, 3), random_matrix(rng, ComplexF64, 3); check_inferred = false)

    @testset "the Jacobian at a matrix that happens to be symmetric" begin
        J = Zygote.jacobian(a -> real(eigvals(a)), [1 2; 2 3])[1]
        @test J ≈ [0.7236 -0.4472 -0.4472 0.2764; 0.2764 0.4472 0.4472 0.7236] atol = 1.0e-4
        # The forward rule along single entries, strictly lower and strictly upper.
        for (E, column) in (([0 0; 1 0], 2), ([0 1; 0 0], 3))
            @test frule((NoTangent(), Float64.(E)), eigvals, [1.0 2; 2 3])[2] ≈ J[:, column]
        end
    end

    @testset "no branch on symmetry, $T" for T in (Float64, ComplexF64)
        M, S = random_matrix(rng, T, 4), random_matrix(rng, T, 4)
        A, skew = M + M', S - S'
        c = randn(rng, 4)
        at_zero = reverse_of(eigvals, complex(c), A)[1]
        V = eigh(A).eigenvectors
        @test at_zero ≈ V * Diagonal(c) * V' # full, not collapsed onto a triangle
        for t in (eps(), 1.0e-13, -1.0e-10, 1.0e-7)
            @test relative_error(reverse_of(eigvals, complex(c), A + t * skew)[1], at_zero) < 1.0e-12 + 100 * abs(t)
        end
        B = copy(A)
        B[1, 2] = nextfloat(real(B[1, 2])) + im * imag(B[1, 2])
        @test relative_error(reverse_of(eigvals, complex(c), B)[1], at_zero) < 1.0e-13
        v̄ = randn(rng, complex(T), 4, 4)
        cotangent = Tangent{EigResult}(; eigenvectors = v̄)
        @test relative_error(reverse_of(eig, cotangent, A + 1.0e-9 * skew)[1], reverse_of(eig, cotangent, A)[1]) < 1.0e-6
        # Along a direction that breaks the symmetry, the vectors move as finite differences say.
        E = T.(tril(randn(rng, 4, 4), -1))
        _, Ω̇ = frule((NoTangent(), E), eig, A)
        difference = (eig(A + 1.0e-6 * E).eigenvectors - eig(A - 1.0e-6 * E).eigenvectors) / 2.0e-6
        @test relative_error(Ω̇.eigenvectors, difference) < 1.0e-7
    end

    @testset "a wrapper stands for its matrix, with tangents of its own kind" begin
        a = random_matrix(rng, Float64, 3)
        w̄ = complex(randn(rng, 3))
        Ā = reverse_of(eigvals, w̄, Symmetric(a, :L))[1]
        full = reverse_of(eigvals, w̄, Matrix(Symmetric(a, :L)))[1]
        @test Ā isa Symmetric && Ā ≈ (full + full') / 2
        @test reverse_of(eigvals, w̄, Diagonal([3.0, 1, 2]))[1] isa Diagonal
        @test eltype(reverse_of(eigvals, w̄, [1 2; 2 4][[1, 2, 2], [1, 2, 2]] + Diagonal([0, 0, 5]))[1]) == Float64
        @test reverse_of(eigvals, ComplexF32[1, 2], Float32[1 2; 3 5])[1] isa Matrix{Float32}
    end

    @testset "infinite eigenvalues" begin
        a, b = randn(rng, 3, 3), Matrix(Diagonal([1.0, 2.0, 0.0]))
        w, v = eig(a, b)
        @test isinf(w[3]) && all(isfinite, w[1:2]) && all(isfinite, v)
        finite(a, b) = sum(abs2, eigvals(a, b)[1:2]) + abs2(eig(a, b).eigenvectors[1, 1])
        ā, b̄ = Zygote.gradient(finite, a, b)
        @test relative_error(ā, grad(fdm, a -> finite(a, b), a)[1]) < 1.0e-8
        # Any change of b but one of its null space keeps the infinite eigenvalue.
        E = [1.0 2 0; -1 1 0; 0 0 0]
        @test dot(b̄, E) ≈ fdm(t -> finite(a, b + t * E), 0.0) rtol = 1.0e-7
        @test all(isnan, reverse_of(eigvals, ComplexF64[0, 0, 1], a, b)[1])
    end

    @testset "defective, and nearly" begin
        jordan(g) = [1.0 1.0; g^2 1.0]
        @test all(isnan, reverse_of(eigvals, ComplexF64[1, 0], jordan(0.0))[1])
        @test all(isnan, reverse_of(eigvals, ComplexF64[1, 1], [0.0 1 0; 0 0 1; 0 0 0][1:2, 1:2])[1])
        for g in (1.0e-2, 1.0e-4)
            condition = EigenPair.condition_numbers(jordan(g))[1]
            @test condition ≈ (1 + g^2) / 2g rtol = 1.0e-6
            @test norm(reverse_of(eigvals, ComplexF64[1, 0], jordan(g))[1]) ≈ condition rtol = 1.0e-6
        end
        @test all(isnan, EigenPair.condition_numbers([0.0 1; 0 0]))
    end

    @testset "batches" begin
        a, b = random_matrix(rng, Float64, 3, 2, 2), random_matrix(rng, Float64, 3, 2)
        w, v = eig(a, b)
        @test size(w) == (3, 2, 2) && size(v) == (3, 3, 2, 2)
        w̄, v̄ = randn(rng, ComplexF64, size(w)), randn(rng, ComplexF64, size(v))
        cotangent(i...) = Tangent{EigResult}(; eigenvalues = w̄[:, i...], eigenvectors = v̄[:, :, i...])
        ā, b̄ = reverse_of(eig, cotangent(:, :), a, b)
        single = [reverse_of(eig, cotangent(i, j), a[:, :, i, j], b[:, :, i]) for i in 1:2, j in 1:2]
        @test ā[:, :, 2, 1] ≈ single[2, 1][1]
        @test b̄[:, :, 2] ≈ single[2, 1][2] + single[2, 2][2]
        a[2, 1, 1, 1] = NaN
        w = eigvals(a, b)
        @test all(isnan, w[:, 1, 1]) && all(isfinite, w[:, 2, :]) && all(isfinite, w[:, 1, 2])
        ā, _ = reverse_of(eig, cotangent(:, :), a, b)
        @test all(isnan, ā[:, :, 1, 1]) && ā[:, :, 2, 1] ≈ single[2, 1][1]
        @test size(eig(zeros(0, 0)).eigenvectors) == (0, 0) && size(eigvals(zeros(2, 2, 0))) == (2, 0)
    end

    @testset "policies" begin
        Q = randn(rng, 4, 4)
        A = Q * Diagonal([1.0, 1, 2, 3]) / Q
        c = ComplexF64[1, 1, 2, 3]
        gradient(w̄; options...) = quiet(() -> reverse_of(eigvals, w̄, A; options...)[1])
        @test relative_error(gradient(c), values_gradient(A, c)) < 1.0e-9
        @test all(isnan, gradient(ComplexF64[1, 0, 0, 0]))
        @test all(isfinite, gradient(ComplexF64[1, 0, 0, 0]; degeneracy = EigenPair.mask(1.0e-6)))
        @test all(isfinite, gradient(ComplexF64[0, 0, 1, 0]))
        # The cluster's projector Σ vᵢuᵢᴴ has a derivative, the vectors do not.
        @test all(isnan, quiet(() -> reverse_of(eig, Tangent{EigResult}(; eigenvectors = randn(rng, ComplexF64, 4, 4)), A)[1]))
        EigenPair.with_policy(EigenPair.mask(1.0e-6)) do
            @test all(isfinite, gradient(ComplexF64[1, 0, 0, 0]))
            @test all(isnan, gradient(ComplexF64[1, 0, 0, 0]; degeneracy = EigenPair.check()))
            @test all(isfinite, reverse_of(eigh, Tangent{EighResult}(; eigenvectors = [1.0 2; 3 4]), [1.0 0; 0 1])[1])
        end
        @test all(isnan, gradient(ComplexF64[1, 0, 0, 0]))
        @test_throws ArgumentError EigenPair.with_policy(() -> 1, :mask)
        g = [λ - μ for μ in (1, 2), λ in (1, 2)]
        v̄ = ComplexF64[1 2; 3 4]
        broadened = reverse_of(eig, Tangent{EigResult}(; eigenvectors = v̄), [1.0 0; 0 2]; degeneracy = EigenPair.broaden(0.1))[1]
        @test broadened ≈ (real(v̄) - Diagonal(diag(real(v̄)))) .* g ./ (g .^ 2 .+ 0.1)
    end

    @testset "noise at close eigenvalues is not divided by their gap" begin
        A = spectrum_matrix(rng, Float64, [1, 1 + 1.0e-9, 3])
        C = randn(rng, 3, 3)
        projector(a) = (v = eig(a).eigenvectors; real(dot(C, v[:, 1:2] * inv(v)[1:2, :])))
        w, V = eigh(A)
        G = [(i <= 2) == (j <= 2) ? 0.0 : -1 / abs(w[i] - w[j]) for i in 1:3, j in 1:3]
        @test relative_error(Zygote.gradient(projector, A)[1], V * (G .* (V' * C * V)) * V') < 1.0e-10
    end

    @testset "second order by the rules, $T, $(pair ? "a pair" : "a matrix")" for T in (Float64, ComplexF64), pair in (false, true)
        matrices = ntuple(_ -> random_matrix(rng, T, 3), 1 + pair)
        direction, weights = map(x -> randn(rng, T, 3, 3), matrices), (randn(rng, ComplexF64, 3, 3), randn(rng, ComplexF64, 3, 3))
        forward = general_forward(weights, matrices, direction)
        differences = fdm(t -> vcat(map(vec, general_gradient_by(weights, map((x, d) -> x + t * d, matrices, direction)))...), 0.0)
        @test relative_error(vcat(map(vec, forward)...), differences) < 1.0e-8
        @test all(map((x, y) -> relative_error(x, y) < 1.0e-9, general_reverse(weights, matrices, direction), forward))
        w, vl, v = eig(map((x, d) -> along(along(x, d), d), matrices, direction)...; left = true)
        twice = slope(slope(weighted(squares, weights[1], w, v) + weighted(squares, weights[2], w, vl)))
        @test twice ≈ sum(map((x, y) -> real(dot(x, y)), direction, forward))
        # Broadened gaps are no analytic function of complex eigenvalues; forward mode moves eigenvectors by the same rule.
        degeneracy = EigenPair.broaden(0.1)
        forward = general_forward(weights, matrices, direction; degeneracy)
        @test all(map((x, y) -> relative_error(x, y) < 1.0e-9, general_reverse(weights, matrices, direction; degeneracy), forward))
    end

    @testset "second order of eigenvalues" begin
        a, D = random_matrix(rng, Float64, 3), random_matrix(rng, Float64, 3)
        @test norm(slope(reverse_of(eigvals, ones(ComplexF64, 3), along(a, D))[1])) < 1.0e-12
        sum_of_squares(a) = (w = eigvals(a); real(dot(conj(w), w)))
        A = spectrum_matrix(rng, Float64, [1, 1, 2])
        # Of tr(a²) the Hessian turns D into 2Dᵀ.
        for product in (general_forward, general_reverse)
            @test product(nothing, (a,), (D,))[1] ≈ 2 * D'
            @test all(isnan, quiet(() -> product(nothing, (A,), (D,))[1]))
        end
        for hessian in (Zygote.hessian, ForwardDiff.hessian)
            @test reshape(hessian(sum_of_squares, a) * vec(D), 3, 3) ≈ 2 * D'
            @test all(isnan, quiet(() -> hessian(sum_of_squares, A)))
        end
        # Of a pair, tr((b⁻¹a)²).
        b, E = random_matrix(rng, Float64, 3), random_matrix(rng, Float64, 3)
        forward = general_forward(nothing, (a, b), (D, E))
        differences = fdm(t -> vcat(map(vec, general_gradient_by(nothing, (a + t * D, b + t * E)))...), 0.0)
        @test relative_error(vcat(map(vec, forward)...), differences) < 1.0e-8
        @test all(map((x, y) -> relative_error(x, y) < 1.0e-9, general_reverse(nothing, (a, b), (D, E)), forward))
    end

    @testset "second order by engines" begin
        a, b = random_matrix(rng, Float64, 3), random_matrix(rng, Float64, 3)
        weights, direction = randn(rng, ComplexF64, 3, 3), (randn(rng, 3, 3), randn(rng, 3, 3))
        loss(a, b) = (r = eig(a, b); weighted(squares, weights, r.eigenvalues, r.eigenvectors))
        slope_of(a, b) = sum(map(dot, direction, Zygote.gradient(loss, a, b)))
        ā, b̄ = Zygote.gradient(slope_of, a, b)
        expected = fdm(t -> slope_of(a + t * b, b - 2t * a), 0.0)
        @test dot(ā, b) - 2 * dot(b̄, a) ≈ expected rtol = 1.0e-7
        @test ForwardDiff.gradient(a -> loss(a, b), a) ≈ Zygote.gradient(loss, a, b)[1]
    end

    @testset "bad input" begin
        a = [1.0 2; 3 4]
        for (T, words, args, options) in (
                (DimensionMismatch, "`a`", (zeros(2, 3),), (;)), (DimensionMismatch, "`b`", (a, zeros(3, 3)), (;)),
                (DimensionMismatch, "batch", (zeros(2, 2, 2), zeros(2, 2, 3)), (;)), (ArgumentError, "`a`", ("x",), (;)),
                (ArgumentError, "`a`", (big.(a),), (;)), (ArgumentError, "`degeneracy`", (a,), (; degeneracy = EigenPair.raw)),
                (ArgumentError, "`left`", (a,), (; left = 1)), (ArgumentError, "`right`", (a,), (; right = "no")),
            )
            for enter in (eig, (xs...; options...) -> rrule(eig, xs...; options...))
                @test throws(() -> enter(args...; options...), T, words)
            end
        end
    end
end
