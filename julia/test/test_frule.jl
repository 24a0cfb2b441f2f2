@testset "frule" begin
    rng = Xoshiro(1)
    # The policy is chosen when the call runs, and so is whether the dual basis is needed: types of rules hang on both.
    # One type of options for all that differ in numbers: each other one is compiled anew.
    Options = NamedTuple{(:type, :lower), Tuple{Int, Union{Nothing, Bool}}}
    check(f, xs...; options...) = test_frule(f, xs...; check_inferred = false, options...)
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
        test_frule(fix_gauge, randn(rng, 4, 3))
        test_frule(fix_gauge, randn(rng, ComplexF64, 4, 3))
        test_frule(fix_gauge, randn(rng, ComplexF64, 3, 2, 2))
    end

    @testset "wrappers" begin
        A = Hermitian(random_matrix(rng, ComplexF64, 3), :L)
        Ȧ = random_matrix(rng, ComplexF64, 3)
        w, ẇ = frule((NoTangent(), Hermitian(Ȧ, :U)), eigvalsh, A)
        @test w ≈ eigvals(A)
        @test ẇ ≈ frule((NoTangent(), Matrix(Hermitian(Ȧ, :U))), eigvalsh, Matrix(A))[2]
        # A structural tangent is one of the parent, of which the wrapper shows a triangle.
        _, ẇ = frule((NoTangent(), Tangent{typeof(A)}(; data = Ȧ)), eigvalsh, A)
        @test ẇ ≈ frule((NoTangent(), Hermitian(Ȧ, :L)), eigvalsh, A)[2]
    end

    @testset "inside a cluster the gap is left out, if that is asked for" begin
        A, Ȧ = Matrix(Diagonal([1.0, 1.0, 3.0])), random_matrix(rng, Float64, 3)
        (w, v), Ω̇ = frule((NoTangent(), Ȧ), eigh, A; degeneracy = EigenPair.check(coupled = :mask))
        P, Ṗ = v[:, 1:2] * v[:, 1:2]', Ω̇.eigenvectors[:, 1:2] * v[:, 1:2]'
        M = (Ȧ + Ȧ') / 2
        @test Ṗ + Ṗ' ≈ -(P * M * (I - P) + (I - P) * M * P) / 2
    end
end
