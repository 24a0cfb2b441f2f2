@testset "rrule" begin
    rng = Xoshiro(1)
    # The policy is chosen when the call runs, and so is whether the dual basis is needed: types of rules hang on both.
    # One type of options for all that differ in numbers: each other one is compiled anew.
    Options = NamedTuple{(:type, :lower), Tuple{Int, Union{Nothing, Bool}}}
    check(f, xs...; options...) = test_rrule(f, xs...; check_inferred = false, options...)
    @testset "standard, $T, lower = $lower" for T in (Float64, ComplexF64), lower in (nothing, true, false)
        a = random_matrix(rng, T, 4)
        check(gauged_eigh, a; fkwargs = Options((1, lower)))
        check(eigvalsh, a; fkwargs = Options((1, lower)))
    end

    @testset "type $type, $T, lower = $lower" for type in 1:3, T in (Float64, ComplexF64), lower in (nothing, true, false)
        a, b = random_matrix(rng, T, 3), random_definite(rng, T, 3)
        check(gauged_eigh, a, b; fkwargs = Options((type, lower)))
        check(eigvalsh, a, b; fkwargs = Options((type, lower)))
    end

    @testset "real a, complex b, and the reverse" begin
        check(eigvalsh, random_matrix(rng, Float64, 3), random_definite(rng, ComplexF64, 3))
        check(gauged_eigh, random_matrix(rng, ComplexF64, 3), random_definite(rng, Float64, 3); fkwargs = (; type = 2))
    end

    @testset "subset" begin
        a, b = random_matrix(rng, ComplexF64, 5), random_definite(rng, ComplexF64, 5)
        check(gauged_eigh, a; fkwargs = (; subset_by_index = 2:3))
        check(gauged_eigh, a, b; fkwargs = (; subset_by_index = 1:2, type = 3))
        check(eigvalsh, a; fkwargs = (; subset_by_index = 5:5))
        check(eigh, a; fkwargs = (; subset_by_index = 1:2, eigvals_only = true))
    end

    @testset "batches" begin
        check(gauged_eigh, random_matrix(rng, Float64, 3, 2, 2))
        check(eigvalsh, random_matrix(rng, ComplexF64, 3, 3); fkwargs = (; lower = true))
        check(gauged_eigh, random_matrix(rng, Float64, 2, 3), random_definite(rng, Float64, 2))
        check(gauged_eigh, random_matrix(rng, Float64, 2), random_definite(rng, Float64, 2, 3); fkwargs = (; type = 2))
        check(eigvalsh, random_matrix(rng, Float64, 2, 1, 3), random_definite(rng, Float64, 2, 2); fkwargs = (; type = 3))
    end

    @testset "sizes 1 and 0" begin
        check(gauged_eigh, random_matrix(rng, ComplexF64, 1))
        check(eigvalsh, random_matrix(rng, Float64, 1), random_definite(rng, Float64, 1))
    end

    @testset "the raw vectors of a real matrix" begin
        check(eigh, Matrix(Diagonal([1.0, 2.0, 4.0])) + 0.1 * random_matrix(rng, Float64, 3))
    end

    @testset "fix_gauge" begin
        test_rrule(fix_gauge, randn(rng, 4, 3))
        test_rrule(fix_gauge, randn(rng, ComplexF64, 4, 3))
        test_rrule(fix_gauge, randn(rng, ComplexF64, 3, 2, 2))
    end

    @testset "wrappers" begin
        for (wrap, T) in ((Symmetric, Float64), (Hermitian, Float64), (Hermitian, ComplexF64)), uplo in (:L, :U)
            a = random_matrix(rng, T, 4)
            A = wrap(a, uplo)
            w, pullback = rrule(eigvalsh, A)
            w̄ = randn(rng, 4)
            Ā = unthunk(pullback(w̄)[2])
            @test Ā isa wrap && Ā.uplo == first(string(uplo))
            @test Ā ≈ unthunk(rrule(eigvalsh, Matrix(A))[2](w̄)[2])
            # The same triangle of a plain matrix gets what the wrapper's constructor makes of it.
            ā = unthunk(rrule(eigvalsh, a; lower = uplo == :L)[2](w̄)[2])
            @test ā ≈ rrule(wrap, a, uplo)[2](Ā)[2]
        end
    end

    @testset "cotangents are left alone, and may be missing or structured" begin
        a = random_matrix(rng, Float64, 3)
        (w, v), pullback = rrule(eigh, a)
        w̄, v̄ = randn(rng, 3), randn(rng, 3, 3)
        kept = deepcopy((w̄, v̄))
        both = unthunk(pullback(Tangent{EighResult}(; eigenvalues = w̄, eigenvectors = v̄))[2])
        @test (w̄, v̄) == kept
        of_w = unthunk(pullback(Tangent{EighResult}(; eigenvalues = w̄))[2])
        of_v = unthunk(pullback(Tangent{EighResult}(; eigenvectors = v̄))[2])
        @test both ≈ of_w + of_v
        @test unthunk(pullback(Tangent{Tuple}(w̄, v̄))[2]) ≈ both
        @test pullback(ZeroTangent())[2] isa AbstractZero
        @test unthunk(pullback(Tangent{EighResult}(; eigenvectors = Diagonal(w̄)))[2]) ≈
            unthunk(pullback(Tangent{EighResult}(; eigenvectors = Matrix(Diagonal(w̄))))[2])
    end

    @testset "projection" begin
        @test unthunk(rrule(eigvalsh, [2 1; 1 3])[2]([1.0, 0.0])[2]) isa Matrix{Float64}
        @test unthunk(rrule(eigvalsh, Diagonal([1.0, 2.0]))[2]([1.0, 0.0])[2]) ≈ Diagonal([1.0, 0.0])
        a32 = random_matrix(rng, Float32, 3)
        @test unthunk(rrule(eigvalsh, a32)[2](ones(3))[2]) isa Matrix{Float32}
        b = random_definite(rng, ComplexF64, 3)
        _, ā, b̄ = rrule(eigvalsh, a32, b)[2](randn(rng, 3))
        @test unthunk(ā) isa Matrix{Float32} && unthunk(b̄) isa Matrix{ComplexF64}
    end
end
