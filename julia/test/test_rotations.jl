# All bases of a cluster are equivalent: rotating the basis must never change a gradient that is not NaN.
# Random spectra with random clusters, at random sizes; the rules are called directly, so that the basis can be chosen.
@testset "turning the basis of a cluster" begin
    rng = Xoshiro(13)
    # Eigenvalues that repeat at random, apart from each other by about 1.
    function random_spectrum(n)
        λ = fill(rand(rng, (0.0, 1.0)), n)
        for i in 2:n
            # Not all the same: at multiples of the identity LAPACK's basis is a special one.
            apart = rand(rng) < 0.5 || (i == n && λ[1] == λ[i - 1])
            λ[i] = λ[i - 1] + (apart ? 0.5 + rand(rng) : 0)
        end
        return λ
    end
    random_scale() = 10.0^rand(rng, (-150, -12, -1, 0, 2, 10, 150))
    # For each eigenvalue, the first of its cluster.
    function clusters_of(p, norms, w, V, U)
        decision = EigenPair.decide(p, EigenPair.FORWARD, norms, w, V, U)
        return [findfirst(i -> i == j || decision.reasons[i, j, 1] == EigenPair.CLUSTER, axes(w, 1)) for j in axes(w, 1)]
    end
    # A random change of basis inside clusters, by unitary blocks or by any.
    function random_turn(T, cluster, unitary)
        R = zeros(T, length(cluster), length(cluster))
        for c in unique(cluster)
            members = findall(==(c), cluster)
            block = randn(rng, T, length(members), length(members))
            R[members, members] = unitary ? Matrix(qr(block).Q) : block
        end
        return R
    end
    # How large gradients of such losses are, unless they cancel.
    largest((λ̄, V̄s...), scale) = (λ̄ === nothing ? 0.0 : norm(λ̄)) + sum(x -> x === nothing ? 0.0 : norm(x) / scale, V̄s)
    counts = Dict(:same => 0, :refused => 0)
    function compare(g, h, size, tolerance)
        refused = any(isnan, g)
        counts[refused ? :refused : :same] += 1
        @test refused == any(isnan, h)
        refused || @test norm(g - h) <= tolerance * (norm(g) + size)
        return nothing
    end

    @testset "Hermitian" for trial in 1:80
        T, n, scale = rand(rng, (Float64, ComplexF64)), rand(rng, 1:6), random_scale()
        type = rand(rng, 0:1)
        λ = random_spectrum(n)
        A, B = scale * spectrum_matrix(rng, T, λ), nothing
        if type == 1
            B = random_definite(rng, T, n)
            L = cholesky(Hermitian(B)).L
            A = L * A * L'
        end
        p = EigenPair.hermitian_problem(A, B; degeneracy = EigenPair.check(explain = false))
        norms = EigenPair.input_norms(p, A, B)
        w, V, _ = EigenPair.solution(p, A, B)
        C, k = randn(rng, T, n, n), rand(rng, 1:n)
        c = maximum(abs, w; init = 0) + scale
        # Cotangents of four losses, as functions of the basis.
        losses = (
            V -> (nothing, [(C + C') * V[:, 1:k] zeros(T, n, n - k)]),
            V -> (2 .* w[:, 1] ./ c^2, 2 .* C .* V),
            V -> (real(diag(V' * C * V)) .* -sin.(w[:, 1] ./ c) ./ c, (C + C') * V * Diagonal(cos.(w[:, 1] ./ c))),
            V -> (2 .* w[:, 1] ./ c^2, (C + C') * V),
        )
        loss = rand(rng, losses)
        clusters = clusters_of(p, norms, w, V, nothing)
        function gradient(V)
            λ̄, V̄ = loss(V[:, :, 1])
            M̄, _ = EigenPair.hermitian_pullback(p, norms, w, V, nothing, λ̄ === nothing ? nothing : reshape(λ̄, n, 1), reshape(V̄, n, n, 1), nothing)
            return EigenPair.shared_gradient(p, p.a, EigenPair.sandwich(V, M̄, V))
        end
        compare(gradient(V), gradient(reshape(V[:, :, 1] * random_turn(T, clusters, true), n, n, 1)), largest(loss(V[:, :, 1]), scale), 1.0e-11)
    end

    @testset "general" for trial in 1:80
        T, n, scale = rand(rng, (Float64, ComplexF64)), rand(rng, 1:5), random_scale()
        S = I + 0.2 * randn(rng, T, n, n)
        A = S * Diagonal(scale * random_spectrum(n)) / S
        p = EigenPair.general_problem(A, nothing, (; left = false, right = true, degeneracy = EigenPair.check(explain = false)))
        norms = EigenPair.input_norms(p, A, nothing)
        w, V, U, _ = EigenPair.solution(p, A, nothing)
        C, k = randn(rng, ComplexF64, n, n), rand(rng, 1:n)
        c = maximum(abs, w; init = 0) + scale
        losses = (
            (V, U) -> (nothing, [C * U[:, 1:k] zeros(n, n - k)], [C' * V[:, 1:k] zeros(n, n - k)]),
            (V, U) -> (2 .* conj.(w[:, 1]) ./ c^2, nothing, nothing),
            (V, U) -> (2 .* conj.(w[:, 1]) ./ c^2, 2 .* real.(C) .* V, nothing),
        )
        loss = rand(rng, losses)
        clusters = clusters_of(p, norms, w, V, U)
        cube(x) = x === nothing ? nothing : reshape(x, n, :, 1)
        function gradient(V, U)
            λ̄, V̄, Ū = loss(V[:, :, 1], U[:, :, 1])
            M̄, _ = EigenPair.general_pullback(p, norms, w, V, U, λ̄ === nothing ? nothing : reshape(λ̄, n, 1), cube(V̄), cube(Ū))
            return EigenPair.shared_gradient(p, p.a, EigenPair.sandwich(U, M̄, V))
        end
        # The turned vectors, brought into the gauge.
        R = random_turn(ComplexF64, clusters, false)
        turned = V[:, :, 1] * R
        scales = [conj(v[argmax(abs.(v))]) / maximum(abs, v) / norm(v) for v in eachcol(turned)]
        R = R * Diagonal(scales)
        compare(gradient(V, U), gradient(cube(V[:, :, 1] * R), cube(U[:, :, 1] / R')), largest(loss(V[:, :, 1], U[:, :, 1]), scale), 1.0e-9)
    end
    # Both results must occur often enough for a meaningful test.
    @test counts[:same] > 40 && counts[:refused] > 15
end
