# Spectral functions of pairs: density matrices, twice differentiable at any degeneracy.
using .Losses.Lines

@testset "spectral functions of pairs" begin
    rng = Xoshiro(61)
    spectra = (; distinct = [0.3, 0.9, 1.7, 2.6], double = [0.4, 0.9, 0.9, 2.6], triple = [0.7, 0.7, 0.7, 2.6], close = [0.3, 0.9, 0.9 + 1.0e-10, 2.6])
    hermitian(x) = (x + x') / 2
    C = hermitian(randn(rng, ComplexF64, 4, 4))

    # A pair with these eigenvalues.
    function pair(λ, type, T)
        m = randn(rng, T, 4, 4) / 3 + 2I
        outer = type == 1 ? m : inv(m)'
        return hermitian(outer * Diagonal(λ) * outer'), hermitian(m * m')
    end
    function orbitals(a, b, type)
        L = cholesky(Hermitian(b)).L
        w, x = eigen(Hermitian(type == 1 ? L \ a / L' : L' * a * L))
        return w, type == 3 ? L * x : L' \ x
    end
    exact(::typeof(spectral_map), f, a, b, type) = ((w, v) = orbitals(a, b, type); v * Diagonal(f.(w)) * v')
    exact(::typeof(spectral_sum), f, a, b, type) = sum(f, orbitals(a, b, type)[1])
    exact(::typeof(spectral_projector), k, a, b, type) = ((_, v) = orbitals(a, b, type); v[:, 1:k] * v[:, 1:k]')
    call(name, f, a, b, type) = name === spectral_projector ? name(a, f, b; type) : name(f, a, b; type)
    weighed(x::Number) = real(x)
    weighed(x::AbstractMatrix) = real(dot(C, x))
    weights(x::Number) = 1.0
    weights(x::AbstractMatrix) = C

    # Derivatives of a function of one number from seven values.
    points(g, h) = [g(k * h) for k in -3:3]
    first_of(y, h) = dot([-1, 9, -45, 0, 45, -9, 1], y) / 60h
    second_of(y, h) = dot([2, -27, 270, -490, 270, -27, 2], y) / 180h^2

    @testset "$name, type $type, $spectrum" for (name, f, T) in (
                (spectral_map, tanh, Float64), (spectral_map, cis, ComplexF64), (spectral_sum, tanh, ComplexF64), (spectral_projector, 3, Float64),
            ), type in 1:3, spectrum in keys(spectra)
        a, b = pair(spectra[spectrum], type, T)
        da, db = hermitian(randn(rng, T, 4, 4)) / 20, hermitian(randn(rng, T, 4, 4)) / 20
        @test call(name, f, a, b, type) ≈ exact(name, f, a, b, type)
        arguments = name === spectral_projector ? (a, f, b) : (f, a, b)
        function gradients(a, b)
            found, pullback = rrule(name, (name === spectral_projector ? (a, f, b) : (f, a, b))...; type)
            _, x, y, z = map(unthunk, pullback(weights(found)))
            return name === spectral_projector ? (x, z) : (y, z)
        end
        ā, b̄ = gradients(a, b)
        h = 4.0e-3
        y = points(t -> weighed(exact(name, f, a + t * da, b + t * db, type)), h)
        first_derivative, second = real(dot(da, ā) + dot(db, b̄)), second_of(y, h)
        @test first_derivative ≈ first_of(y, h) rtol = 1.0e-6 atol = 1.0e-8
        # Forward over reverse, forward over forward, and forward mode by ChainRules.
        moved = map(slope, gradients(along(a, da), along(b, db)))
        @test real(dot(da, moved[1]) + dot(db, moved[2])) ≈ second rtol = 1.0e-5 atol = 1.0e-6
        twice = slope(slope(weighed(call(name, f, along(along(a, da), da), along(along(b, db), db), type))))
        @test twice ≈ real(dot(da, moved[1]) + dot(db, moved[2])) rtol = 1.0e-9 atol = 1.0e-10
        tangents = name === spectral_projector ? (NoTangent(), da, NoTangent(), db) : (NoTangent(), NoTangent(), da, db)
        @test weighed(frule(tangents, name, arguments...; type)[2]) ≈ first_derivative
    end

    @testset "Hessians by Zygote, type $type" for type in 1:3
        (a, b), (c, d) = pair(spectra.triple, type, Float64), pair(spectra.double, type, Float64)
        real_part = real(C)
        # Through the arguments together: f(t, s) = a + t c, b + s d.
        loss(x) = dot(real_part, spectral_map(tanh, a + x[1] * c / 40, b + x[2] * d / 40; type))
        hessian = Zygote.hessian(loss, zeros(2))
        @test Zygote.hessian_reverse(loss, zeros(2)) ≈ hessian && hessian ≈ hessian'
        along_both(x) = (y = points(t -> dot(real_part, exact(spectral_map, tanh, a + t * x[1] * c / 40, b + t * x[2] * d / 40, type)), 4.0e-2); second_of(y, 4.0e-2))
        @test all(x -> isapprox(dot(x, hessian * x), along_both(x); rtol = 1.0e-5), ([1.0, 0], [0, 1.0], [1.0, 1]))
    end

    @testset "a third derivative of a sum" begin
        a, b = pair(spectra.triple, 1, Float64)
        da, db = hermitian(randn(rng, 4, 4)) / 20, hermitian(randn(rng, 4, 4)) / 20
        f(t) = spectral_sum(tanh, a + t * da, b + t * db)
        second(t) = ForwardDiff.derivative(s -> ForwardDiff.derivative(f, s), t)
        @test ForwardDiff.derivative(second, 0.0) ≈ central_fdm(5, 1; max_range = 1.0e-2)(second, 0.0) rtol = 1.0e-6
    end

    @testset "density matrices" begin
        a, b = pair(spectra.double, 1, Float64)
        p = spectral_projector(a, 3, b)
        @test p * b * p ≈ p && tr(p * b) ≈ 3
        # The identity as f: A itself, seen through B twice.
        @test b * spectral_map(identity, a, b) * b ≈ a
        # A metric of condition 1e18, scaled.
        s = Diagonal([1.0, 1.0e-3, 1.0e-6, 1.0e-9])
        @test s * spectral_map(tanh, s * a * s, s * b * s) * s ≈ spectral_map(tanh, a, b) rtol = 1.0e-9
    end

    @testset "batches, wrappers and precisions" begin
        matrices = [pair(λ, 1, Float64)[1] for λ in spectra]
        a, b = stack(matrices), pair(spectra.double, 1, Float64)[2]
        each = stack([spectral_map(tanh, x, b) for x in matrices])
        @test spectral_map(tanh, a, b) ≈ each && spectral_map(tanh, a, Hermitian(b, :L)) ≈ each
        ā, b̄ = Zygote.gradient((a, b) -> sum(spectral_sum(tanh, a, b)), a, b)
        singly = [Zygote.gradient((x, b) -> spectral_sum(tanh, x, b), x, b) for x in matrices]
        @test ā ≈ stack(map(first, singly)) && b̄ ≈ sum(map(last, singly))
        @test Zygote.gradient(b -> spectral_sum(tanh, matrices[1], b), Hermitian(b, :L))[1] isa Hermitian
        found = Zygote.gradient(a -> spectral_sum(tanh, a, Float32.(b)), Float32.(matrices[3]))[1]
        @test eltype(found) == Float32 && relative_error(found, singly[3][1]) < 1.0e-4
        # What f holds.
        of_mu(mu) = spectral_sum(EigenPair.fermi_dirac(mu, 3.0), matrices[1], b)
        @test Zygote.gradient(of_mu, 0.5)[1] ≈ central_fdm(5, 1)(of_mu, 0.5) rtol = 1.0e-8
    end

    @testset "without a metric there is nothing" begin
        a, b = pair(spectra.distinct, 1, Float64)
        for bad in (-b, fill(NaN, 4, 4), zeros(4, 4))
            @test all(isnan, spectral_map(zero, a, bad)) && isnan(spectral_sum(zero, a, bad))
        end
        @test all(isnan, spectral_map(tanh, a, b + triu(ones(4, 4))))
        a, b = pair(spectra.double, 1, Float64)
        @test all(isnan, spectral_projector(a, 2, b)) && all(isnan, Zygote.gradient(a -> sum(spectral_projector(a, 2, b)), a)[1])
        @test_throws "`type`" spectral_map(tanh, a, b; type = 4)
        @test_throws "pass `b`" spectral_map(tanh, a; type = 2)
    end
end

@testset "chemical potential" begin
    rng = Xoshiro(62)
    hermitian(x) = (x + x') / 2
    C, (; chemical_potential, fermi_dirac) = randn(rng, 4, 4), EigenPair
    points(g, h) = [g(k * h) for k in -3:3]
    occupied(w, mu, beta) = sum(@. 1 / (1 + exp(beta * (w - mu))))
    function bisected(w, electrons, beta)
        low, high = BigFloat(-20), BigFloat(20)
        for _ in 1:150
            middle = (low + high) / 2
            occupied(w, middle, beta) < electrons ? (low = middle) : (high = middle)
        end
        return Float64(low)
    end
    @testset "$λ, metric = $metric" for λ in ([0.4, 0.9, 0.9, 2.6], [0.7, 0.7, 0.7, 2.6]), metric in (false, true)
        m = metric ? randn(rng, 4, 4) / 3 + 2I : qr(randn(rng, 4, 4)).Q * Matrix(1.0I, 4, 4)
        a, b = hermitian(m * Diagonal(λ) * m'), metric ? hermitian(m * m') : Matrix(1.0I, 4, 4)
        da, db = hermitian(randn(rng, 4, 4)) / 20, metric * hermitian(randn(rng, 4, 4)) / 20
        function loss(t, electrons, beta)
            matrices = metric ? (a + t * da, b + t * db) : (a + t * da,)
            mu = chemical_potential(matrices...; electrons, beta)
            return dot(C, spectral_map(fermi_dirac(mu, beta), matrices...))
        end
        function right(t, electrons, beta)
            L = cholesky(Hermitian(b + t * db)).L
            w, u = eigen(Hermitian(L \ (a + t * da) / L'))
            v, mu = L' \ u, bisected(w, electrons, beta)
            return dot(C, v * Diagonal(@. 1 / (1 + exp(beta * (w - mu)))) * v')
        end
        x = [0.0, 2.3, 3.0]
        @test loss(x...) ≈ right(x...)
        gradient = collect(Zygote.gradient(loss, x...))
        moved(i, s) = right(ntuple(j -> x[j] + s * (i == j), 3)...)
        @test all(i -> isapprox(gradient[i], dot([-1, 9, -45, 0, 45, -9, 1], points(s -> moved(i, s), 4.0e-3)) / (60 * 4.0e-3); rtol = 1.0e-6, atol = 1.0e-8), 1:3)
        @test ForwardDiff.gradient(y -> loss(y...), x) ≈ gradient
        second = dot([2, -27, 270, -490, 270, -27, 2], points(t -> right(t, 2.3, 3.0), 4.0e-3)) / (180 * 4.0e-3^2)
        of_t(t) = loss(t, 2.3, 3.0)
        @test ForwardDiff.derivative(t -> Zygote.gradient(of_t, t)[1], 0.0) ≈ second rtol = 1.0e-5
        @test ForwardDiff.derivative(t -> ForwardDiff.derivative(of_t, t), 0.0) ≈ second rtol = 1.0e-5
    end
    a, b = stack([hermitian(randn(rng, 4, 4)) for _ in 1:3]), random_definite(rng, Float64, 4)
    electrons = [1.0, 2.0, 3.5]
    mu = chemical_potential(a, b; electrons, beta = 5.0)
    @test mu isa Vector{Float64} && all(k -> occupied(eigvalsh(a, b)[:, k], mu[k], 5.0) ≈ electrons[k], 1:3)
    of_matrices(a) = sum(chemical_potential(a, b; electrons, beta = 5.0))
    d = stack([hermitian(randn(rng, 4, 4)) for _ in 1:3])
    @test dot(d, Zygote.gradient(of_matrices, a)[1]) ≈ central_fdm(5, 1)(t -> of_matrices(a + t * d), 0.0) rtol = 1.0e-7
    @test_throws "`electrons`" chemical_potential(a[:, :, 1]; electrons = 4.0, beta = 1.0)
    @test_throws "`beta`" chemical_potential(a[:, :, 1]; electrons = 2.0, beta = "cold")
    @test_throws "`beta`" chemical_potential(a[:, :, 1]; electrons = 2.0, beta = -1.0)
    # In a gap, where all but rounding of the levels below is filled.
    for beta in (20.0, 60.0, 200.0)
        in_gap(a) = chemical_potential(a; electrons = 1.0, beta)
        @test in_gap([0.0 0.0; 0.0 1.0]) ≈ 0.5
        @test only(Zygote.gradient(in_gap, [0.0 0.0; 0.0 1.0])) ≈ [0.5 0.0; 0.0 0.5]
    end
    @test isnan(chemical_potential([0.0 0.0; 0.0 1.0]; electrons = 1.0, beta = 5000.0))
end
