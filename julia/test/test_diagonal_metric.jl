# A vector for `b`, against the diagonal matrix given whole.

@testset "a vector for b" begin
    rng = Xoshiro(18)
    n = 4
    as_vector(B̄) = real(diag(B̄))
    for (T, type) in ((Float64, 1), (ComplexF64, 2), (Float32, 3)), batch in ((), (2,))
        a, b = random_matrix(rng, T, n, batch...), rand(rng, real(T), n) .+ 1
        B = Matrix(Diagonal(b))
        w, v = eigh(a, b; type)
        @test w == eigvalsh(a, B; type) && v == eigh(a, B; type).eigenvectors && eltype(v) == T
        @test eigvalsh(a, b; type, lower = true) == eigvalsh(a, B; type, lower = true)
        Ω̄ = Tangent{EighResult}(; eigenvalues = cos.(w), eigenvectors = 2v .* abs2.(v))
        (_, ā, b̄), (_, Ā, B̄) = rrule(eigh, a, b; type)[2](Ω̄), rrule(eigh, a, B; type)[2](Ω̄)
        @test ā ≈ Ā && b̄ isa Vector{real(T)} && b̄ ≈ as_vector(B̄)
        ȧ, ḃ = random_matrix(rng, T, n, batch...), randn(rng, real(T), n)
        ẇ = frule((NoTangent(), ȧ, ḃ), eigvalsh, a, b; type)[2]
        @test ẇ ≈ frule((NoTangent(), ȧ, Matrix(Diagonal(ḃ))), eigvalsh, a, B; type)[2]
        options = (; type, hermitian_part = true)
        for call in ((f, args...) -> f(spectral_map, exp, args...; options...), (f, args...) -> f(spectral_sum, exp, args...; options...))
            (y, pullback), (Y, Pullback) = call(rrule, a, b), call(rrule, a, B)
            (_, _, ā, b̄), (_, _, Ā, B̄) = pullback(y), Pullback(Y)
            @test y ≈ Y && unthunk(ā) ≈ unthunk(Ā) && unthunk(b̄) isa Vector{real(T)} && unthunk(b̄) ≈ as_vector(unthunk(B̄))
        end
        @test spectral_projector(a, 2, b; options...) ≈ spectral_projector(a, 2, B; options...)
    end
    a, b = random_matrix(rng, Float64, n), rand(rng, n) .+ 1
    f(b) = sum(sin, eigvalsh(a, b)) + spectral_sum(tanh, a, b; hermitian_part = true)
    H = ForwardDiff.hessian(f, b)
    g(b) = sum(sin, eigvalsh(a, Diagonal(b))) + spectral_sum(tanh, a, Matrix(Diagonal(b)); hermitian_part = true)
    @test H ≈ ForwardDiff.hessian(g, b)
    @test Zygote.gradient(f, b)[1] ≈ ForwardDiff.gradient(f, b)
    @test all(isnan, eigvalsh(a, [1.0, -1, 1, 1]))
    @test EigenPair.chemical_potential(a, b; electrons = 2, beta = 5) ≈ EigenPair.chemical_potential(a, Matrix(Diagonal(b)); electrons = 2, beta = 5)
end
