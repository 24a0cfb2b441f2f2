@testset "batches" begin
    rng = Xoshiro(3)
    is_eigh(a, b, type, w, v) = type == 1 ? a * v ≈ b * v * Diagonal(w) :
        type == 2 ? a * b * v ≈ v * Diagonal(w) : b * a * v ≈ v * Diagonal(w)

    @testset "$T, n = $n" for T in (Float32, Float64, ComplexF32, ComplexF64), n in (1, 2, 3, 5, 17)
        a = random_matrix(rng, T, n, 2, 3)
        w, v = eigh(a)
        @test size(w) == (n, 2, 3) && size(v) == (n, n, 2, 3)
        @test eltype(w) == real(T) && eltype(v) == T
        for k in CartesianIndices((2, 3))
            A = (a[:, :, k] + a[:, :, k]') / 2
            @test A * v[:, :, k] ≈ v[:, :, k] * Diagonal(w[:, k])
            @test v[:, :, k]' * v[:, :, k] ≈ I
            @test issorted(w[:, k])
            @test w[:, k] ≈ eigvalsh(a[:, :, k])
        end
        @test eigvalsh(a) ≈ w
        @test eigh(a; eigvals_only = true) == eigvalsh(a)
        @test eigh(a; subset_by_index = 1:1).eigenvectors == v[:, 1:1, :, :]
    end

    @testset "b against a, type $type" for type in 1:3
        for (batch_a, batch_b, batch) in (
                ((2, 3), (2, 3), (2, 3)), ((2, 3), (), (2, 3)), ((), (4,), (4,)), ((2, 3), (2,), (2, 3)),
                ((2, 1), (1, 3), (2, 3)), ((1,), (3, 2), (3, 2)),
            )
            a, b = random_matrix(rng, Float64, 3, batch_a...), random_definite(rng, Float64, 3, batch_b...)
            w, v = eigh(a, b; type)
            @test size(w) == (3, batch...) && size(v) == (3, 3, batch...)
            full(x) = x .+ zeros(3, 3, batch...)
            for k in CartesianIndices(batch)
                A, B = full(a)[:, :, k], full(b)[:, :, k]
                @test is_eigh((A + A') / 2, B, type, w[:, k], v[:, :, k])
            end
        end
    end

    @testset "triangles and wrappers" begin
        a, b = random_matrix(rng, ComplexF64, 4), random_definite(rng, ComplexF64, 4)
        @test eigvalsh(a; lower = true) ≈ eigvals(Hermitian(a, :L))
        @test eigvalsh(a; lower = false) ≈ eigvals(Hermitian(a, :U))
        @test eigvalsh(Hermitian(a, :U)) == eigvalsh(a; lower = false)
        @test eigvalsh(Hermitian(a, :L); lower = true) == eigvalsh(a; lower = true)
        for uplo_a in (:L, :U), uplo_b in (:L, :U)
            A, B = Hermitian(a, uplo_a), Hermitian(b + 3I, uplo_b)
            @test eigvalsh(A, B) ≈ eigvals(Matrix(A), Matrix(B))
            @test eigvalsh(A, Matrix(B)) ≈ eigvals(Matrix(A), Matrix(B))
        end
        @test eigvalsh(Symmetric(real(a), :L)) ≈ eigvals(Symmetric(real(a), :L))
        @test eigvalsh(view(a, 1:2, 1:2)) ≈ eigvalsh(a[1:2, 1:2])
        @test eigvalsh(a') ≈ eigvalsh(a)
        @test eigvalsh(Diagonal([2.0, 1.0])) ≈ [1, 2]
    end

    @testset "element types" begin
        @test eigh([2 1; 1 2]) isa EighResult{Vector{Float64}, Matrix{Float64}}
        @test eigvalsh(Bool[1 0; 0 1]) isa Vector{Float64}
        @test eigvalsh([2 // 1 1; 1 2]) isa Vector{Float64}
        @test eigvalsh(Float32[2 1; 1 2], [2 0; 0 1]) isa Vector{Float32}
        @test eigvalsh(Float32[2 1; 1 2], [2.0 0; 0 1]) isa Vector{Float64}
        @test eigh(Float32[2 1; 1 2], ComplexF64[2 0; 0 1]).eigenvectors isa Matrix{ComplexF64}
        @test eigh(Complex{Int}[2 im; -im 2]).eigenvectors isa Matrix{ComplexF64}
    end

    @testset "empty" begin
        for (size_a, size_w) in (((0, 0), (0,)), ((0, 0, 3), (0, 3)), ((3, 3, 0), (3, 0)), ((2, 2, 0, 4), (2, 0, 4)))
            a = zeros(size_a)
            w, v = eigh(a)
            @test size(w) == size_w && size(v) == size_a
            @test size(eigvalsh(a)) == size_w
            @test size(Zygote.gradient(a -> sum(eigh(a).eigenvectors) + sum(eigvalsh(a)), a)[1]) == size_a
        end
        @test size(eigvalsh(zeros(2, 2, 0), Matrix(1.0I, 2, 2))) == (2, 0)
        @test size(eigh(random_matrix(rng, Float64, 3); subset_by_index = 2:1).eigenvectors) == (3, 0)
    end

    @testset "a bad matrix leaves its neighbours alone, $T" for T in (Float64, ComplexF32)
        a, b = random_matrix(rng, T, 3, 4), random_definite(rng, T, 3, 4)
        w, v = eigh(a, b)
        bad_a, bad_b = copy(a), copy(b)
        bad_a[2, 1, 1] = NaN
        bad_a[1, 1, 3] = Inf
        bad_b[:, :, 4] .*= -1
        bad_w, bad_v = eigh(bad_a, bad_b)
        @test all(isnan, bad_w[:, [1, 3, 4]]) && all(isnan, bad_v[:, :, [1, 3, 4]])
        @test bad_w[:, 2] == w[:, 2] && bad_v[:, :, 2] == v[:, :, 2]
        loss(a, b) = sum(abs2, eigh(a, b).eigenvectors)
        ā, b̄ = Zygote.gradient(loss, bad_a, bad_b)
        good_ā, good_b̄ = Zygote.gradient(loss, a, b)
        @test all(isnan, ā[:, :, [1, 3, 4]]) && all(isnan, b̄[:, :, [1, 3, 4]])
        @test ā[:, :, 2] ≈ good_ā[:, :, 2] && b̄[:, :, 2] ≈ good_b̄[:, :, 2]
        # Entries that are not read do no harm.
        bad_a[2, 1, 1] = 0
        bad_a[1, 3, 1] = NaN
        @test !any(isnan, eigvalsh(bad_a; lower = true)[:, 1])
    end
end
