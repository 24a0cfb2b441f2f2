# The functions for engines that do not use ChainRules: the same results as the rules for ChainRules.
@testset "pullbacks and pushforwards for any engine" begin
    rng = Xoshiro(41)
    real_dot(x, y) = sum(real(dot(xᵢ, yᵢ)) for (xᵢ, yᵢ) in zip(x, y) if yᵢ !== nothing)
    differences(f, x, d) = central_fdm(7, 1; max_range = 1.0e-3)(t -> f((x .+ t .* d)...), 0.0)

    @testset "eigh, type $type, $T, $options" for type in 0:3, T in (Float64, ComplexF64),
            options in ((;), (; lower = true), (; subset_by_index = 2:3))
        keywords = type == 0 ? options : (; options..., type)
        x = (random_matrix(rng, T, 4, 2), random_definite(rng, T, 4, 2))[1:(1 + (type > 0))]
        ẋ = map(y -> randn(rng, T, size(y)), x)
        Ω, pullback = EigenPair.eigh_pullback(x...; keywords...)
        @test (Ω.eigenvalues, Ω.eigenvectors) == Tuple(eigh(x...; keywords...))
        # Of w, and of |v|², which no phase changes, under random weights.
        w̄, C = randn(rng, size(Ω.eigenvalues)), randn(rng, size(Ω.eigenvectors))
        v̄ = 2 .* C .* Ω.eigenvectors
        loss(x...) = ((w, v) = eigh(x...; keywords...); sum(w̄ .* w) + sum(C .* abs2.(v)))
        @test real_dot(ẋ, pullback(w̄, v̄)) ≈ differences(loss, x, ẋ) rtol = 1.0e-7
        @test pullback(nothing, nothing) == (nothing, nothing)
        @test (pullback(w̄, nothing)[2] === nothing) == (type == 0)
        same, tangent = EigenPair.eigh_pushforward(ẋ, x...; keywords...)
        @test same.eigenvectors == Ω.eigenvectors
        @test real_dot(tangent, (w̄, v̄)) ≈ real_dot(ẋ, pullback(w̄, v̄)) rtol = 1.0e-9
        w, values_pullback = EigenPair.eigvalsh_pullback(x...; keywords...)
        @test w == Ω.eigenvalues && values_pullback(w̄)[1] ≈ pullback(w̄, nothing)[1]
        w, ẇ = EigenPair.eigvalsh_pushforward(ẋ, x...; keywords...)
        @test w == Ω.eigenvalues && ẇ == tangent[1]
        alone = ntuple(i -> i == 1 ? ẋ[1] : nothing, length(x))
        @test EigenPair.eigh_pushforward(alone, x...; keywords...)[2][1] ≈
            EigenPair.eigh_pushforward((ẋ[1], map(zero, ẋ[2:end])...), x...; keywords...)[2][1]
    end

    @testset "a subset by itself, type $type" for type in 0:1
        x = (random_matrix(rng, Float64, 70), random_definite(rng, Float64, 70))[1:(1 + type)]
        ẋ = map(y -> randn(rng, size(y)), x)
        Ω, pullback = EigenPair.eigh_pullback(x...; subset_by_index = 1:3)
        w̄, v̄ = randn(rng, 3), randn(rng, 70, 3)
        _, tangent = EigenPair.eigh_pushforward(ẋ, x...; subset_by_index = 1:3)
        @test Ω.eigenvalues ≈ eigvalsh(x...; subset_by_index = 1:3)
        @test real_dot(tangent, (w̄, v̄)) ≈ real_dot(ẋ, pullback(w̄, v̄)) rtol = 1.0e-9
    end

    @testset "eig, pair = $pair, left = $left" for pair in (false, true), left in (false, true)
        x = (randn(rng, 4, 4, 2), randn(rng, 4, 4, 2) .+ 3 .* Matrix(I, 4, 4))[1:(1 + pair)]
        ẋ = map(y -> randn(rng, size(y)), x)
        Ω, pullback = EigenPair.eig_pullback(x...; left)
        @test Ω.eigenvectors == eig(x...).eigenvectors
        C = [randn(rng, ComplexF64, size(y)) for y in Iterators.filter(y -> y isa AbstractArray, Ω)]
        # In the order of the result: values, left vectors if there are any, right vectors.
        loss(x...) = sum(real(dot(c, y)) for (c, y) in zip(C, eig(x...; left)))
        cotangents = left ? (C[1], C[3], C[2]) : (C[1], C[2])
        @test real_dot(ẋ, pullback(cotangents...)) ≈ differences(loss, x, ẋ) rtol = 1.0e-6
        _, tangent = EigenPair.eig_pushforward(ẋ, x...; left)
        @test real_dot(tangent, cotangents) ≈ real_dot(ẋ, pullback(cotangents...)) rtol = 1.0e-9
        w, values_pullback = EigenPair.eigvals_pullback(x...)
        _, ẇ = EigenPair.eigvals_pushforward(ẋ, x...)
        @test w ≈ Ω.eigenvalues
        @test real(dot(C[1], ẇ)) ≈ real_dot(ẋ, values_pullback(C[1])) rtol = 1.0e-9
        @test pullback(nothing, nothing) == (nothing, nothing)
    end

    @testset "policies and errors" begin
        _, pullback = EigenPair.eigh_pullback(Matrix(1.0I, 3, 3))
        @test all(isnan, pullback(nothing, randn(rng, 3, 3))[1])
        @test pullback(ones(3), nothing)[1] ≈ I
        @test all(isnan, EigenPair.eigh_pushforward((ones(3, 3),), Matrix(1.0I, 3, 3))[2][2])
        @test_throws ArgumentError EigenPair.eigh_pushforward((ones(3, 3), nothing), Matrix(1.0I, 3, 3))
        @test_throws DimensionMismatch EigenPair.eigh_pushforward((ones(2, 2),), Matrix(1.0I, 3, 3))
        @test_throws ArgumentError EigenPair.eig_pullback(randn(rng, 2, 2))[2](nothing, nothing, ones(2, 2))
    end
end
