# Forward mode at repeated eigenvalues: right for every loss that has a derivative, or NaN. And gradients that are refused.
using .Losses.Lines

@testset "perturbations that couple vectors of a cluster" begin
    rng = Xoshiro(21)
    check = EigenPair.check
    mask = check(coupled = :mask)
    hermitian(x) = (x + x') / 2
    λ = [-1.0, 0.5, 0.5, 0.5, 2.0, 3.0]
    n, cluster, others = 6, 2:4, [1, 5, 6]
    C = randn(rng, n, n)
    push(A, Ȧ; options...) = frule((NoTangent(), Ȧ...), eigh, A...; options...)[2]
    along_line(f, x, d) = slope(f(map((y, e) -> along(y, e), x, d)...))
    differences(f, x, d) = central_fdm(7, 1; max_range = 1.0e-2)(t -> f((x .+ t .* d)...), 0.0)

    # A problem of eigenvectors `Q`, but for a factor; and its direction when Q moves by Q X, and λ by `shift`.
    function moving(type, T, within)
        Q = type == 0 ? Matrix(qr(randn(rng, T, n, n)).Q) : Matrix(qr(randn(rng, T, n, n)).Q) * Diagonal(1 .+ (0:(n - 1)) ./ n) * Matrix(qr(randn(rng, T, n, n)).Q)
        D, X, shift = inv(Q)', randn(rng, T, n, n), within * I(n)
        if type == 0
            K = randn(rng, T, n, n)
            K = K + K'
            K[cluster, cluster] .= within * I(3)
            return (hermitian(Q * Diagonal(λ) * Q'),), (hermitian(Q * K * Q'),)
        end
        up(w, s) = Q * (X * Diagonal(w) + Diagonal(w) * X' + s) * Q'
        down(w, s) = D * (s - X' * Diagonal(w) - Diagonal(w) * X) * D'
        A = type == 2 ? Q * Diagonal(λ) * Q' : D * Diagonal(λ) * D'
        B = type == 3 ? Q * Q' : D * D'
        one_, none = ones(n), 0 * I(n)
        return map(hermitian, (A, B)), map(hermitian, ((type == 2 ? up : down)(λ, shift), (type == 3 ? up : down)(one_, none)))
    end
    space(w, v) = real(dot(C, v[:, cluster] * v[:, cluster]')) + sum(sin, w[cluster])
    exponential(w, v) = real(dot(C, v * Diagonal(exp.(w)) * v'))
    keywords(type) = type == 0 ? (;) : (; type)

    @testset "type $type, $T" for type in 0:3, T in (Float64, ComplexF64)
        (x, quiet_direction), options = moving(type, T, 0.7), keywords(type)
        coupling = map(y -> hermitian(randn(rng, T, n, n)), x)
        lost, left = push(x, coupling; options...), push(x, coupling; options..., degeneracy = mask)
        @test all(isnan, lost.eigenvectors[:, cluster]) && lost.eigenvectors[:, others] == left.eigenvectors[:, others]
        @test lost.eigenvalues == left.eigenvalues && all(isfinite, left.eigenvectors)
        for loss in (type == 0 ? (space, exponential) : (space,))
            f(x...) = loss(eigh(x...; options...)...)
            @test along_line(f, x, quiet_direction) ≈ differences(f, x, quiet_direction) rtol = 1.0e-7
            @test isnan(along_line(f, x, coupling))
        end
        g(x...) = space(eigh(x...; options..., degeneracy = mask)...)
        @test along_line(g, x, coupling) ≈ differences(g, x, coupling) rtol = 1.0e-7
    end

    @testset "rounding is no coupling: size $m, gap $gap" for m in (4, 12, 70), gap in (1, 1.0e-3, 1.0e-5)
        for (T, size) in ((Float64, 1.0e-20), (ComplexF64, 1.0e20), (Float32, 1))
            T == Float32 && gap < 1 && continue
            S = T <: Complex ? ComplexF64 : Float64
            Q, X = Matrix(qr(randn(rng, S, m, m)).Q), hermitian(randn(rng, S, m, m))
            X[1:2, 1:2] .= 0.7 * I(2)
            A = hermitian(Q * Diagonal([1; 1; 1 + gap; (2 + gap) .+ (0:(m - 4))]) * Q')
            @test all(isfinite, push((T.(A),), (T.(hermitian(Q * X * Q') * size),)).eigenvectors)
        end
    end

    @testset "small couplings are no rounding: $coupling" for coupling in (1.0e-3, 1.0e-6, 1.0e-9)
        R = Matrix{Float64}(I, 5, 5)
        R[2:3, 2:3] = qr(randn(rng, 2, 2)).Q * Matrix(I, 2, 2)
        X = zeros(5, 5)
        X[2, 3] = X[3, 2] = coupling
        X[5, 5] = 1.0e9
        A, X = R * Diagonal([-1.0, 1, 1, 3, 4]) * R', R * X * R'
        for long in (1.0, 1.0e3, 1.0e8)
            s = [1, 1, 1, 1, long]
            by(y) = y ./ (s .* s')
            for (x, d) in (((A,), (X,)), ((by(A), Matrix(Diagonal(s .^ -2))), (by(X), zeros(5, 5))))
                @test all(isnan, push(x, d).eigenvectors[:, 2:3])
            end
        end
    end

    @testset "subsets, type $type" for type in 0:1
        m = 80
        w = [-1; 0.5; 0.5; 0.5; 0.9; 0.9; range(2, 9; length = m - 6)]
        Q = Matrix(qr(randn(rng, m, m)).Q)
        D = type == 0 ? Q : inv(Q * Diagonal(1 .+ (0:(m - 1)) ./ m) * Q' * Q)'
        x = (hermitian(D * Diagonal(w) * D'), hermitian(D * D'))[1:(1 + type)]
        X = hermitian(randn(rng, m, m))
        still, elsewhere = copy(X), zeros(m, m)
        still[2:4, 2:4] .= 0.7 * I(3)
        elsewhere[11:end, 11:end] = X[11:end, 11:end]
        for (Y, lost) in ((X, 2:4), (still, 1:0), (elsewhere, 1:0))
            d = (hermitian(D * Y * D'), zeros(m, m))[1:(1 + type)]
            nan(subset) = vec(any(isnan, push(x, d; subset_by_index = subset).eigenvectors; dims = 1))
            @test nan(1:4) == [i in lost for i in 1:4]
            # A cluster that the edge cuts has no tangent in any direction.
            @test nan(2:5) == [i in lost || i == 5 for i in 2:5]
        end
    end

    @testset "general problems, pair = $pair" for pair in (false, true)
        P = randn(rng, n, n) + 3I
        B = pair ? randn(rng, n, n) + 3I : Matrix{Float64}(I, n, n)
        x = (B * P * Diagonal(λ) / P, B)[1:(1 + pair)]
        X = randn(rng, n, n)
        still = copy(X)
        still[cluster, cluster] .= 0.7 * I(3)
        direction(Y) = (B * P * Y / P, zero(B))[1:(1 + pair)]
        tangent(Y; options...) = frule((NoTangent(), direction(Y)...), eig, x...; left = true, options...)[2]
        lost, left = tangent(X), tangent(X; degeneracy = mask)
        for name in (:eigenvectors, :left_eigenvectors)
            @test all(isnan, getproperty(lost, name)[:, cluster]) && all(isfinite, getproperty(left, name))
            @test getproperty(lost, name)[:, others] == getproperty(left, name)[:, others]
        end
        @test isnan.(lost.eigenvalues) == [i in cluster for i in 1:n]
        f(x...) = ((w, v) = eig(x...); real(tr(C * v * Diagonal(exp.(w)) / v)))
        @test along_line(f, x, direction(still)) ≈ differences(f, x, direction(still)) rtol = 1.0e-6
        @test isnan(along_line(f, x, direction(X)))
        total(x...) = real(sum(abs2, EigenPair.eigvals(x...)))
        @test isnan(along_line(total, x, direction(X)))
    end

    @testset "a defective eigenvalue has no tangents" begin
        for A in ([1.0 1 0; 0 1 0; 0 0 3], [1.0 1 0; 1.0e-18 1 0; 0 0 3])
            Ω̇ = frule((NoTangent(), Matrix(1.0I, 3, 3)), eig, A)[2]
            @test all(isnan, Ω̇.eigenvalues[1:2]) && all(isnan, Ω̇.eigenvectors[:, 1:2])
        end
    end

    @testset "reverse mode keeps its own verdict" begin
        x, d = moving(0, Float64, 0.7)
        f(a) = space(eigh(a)...)
        g = Zygote.gradient(f, x[1])[1]
        X = hermitian(randn(rng, n, n))
        @test dot(g, X) ≈ differences(f, x, (X,)) rtol = 1.0e-8
    end
end

@testset "refused gradients" begin
    rng = Xoshiro(22)
    check, zero_policy = EigenPair.check, EigenPair.check(refused = :zero)
    C = randn(rng, 4, 4)
    distinct, double = [1.0, 2, 3, 4], [1.0, 1, 3, 4]
    batch = stack([spectrum_matrix(rng, Float64, λ) for λ in (distinct, double, distinct, double)])
    B = random_definite(rng, Float64, 4)
    L = cholesky(Hermitian(B)).L
    pairs = stack([L * a * L' for a in eachslice(batch; dims = 3)])
    large = stack([spectrum_matrix(rng, Float64, [λ[1:2]; 3:70]) for λ in (distinct, double)])
    losses = (
        (a, p) -> sum(C .* eigh(a; degeneracy = p).eigenvectors .^ 2),
        (a, p) -> sum(C .* eigh((a .+ permutedims(a, (2, 1, 3))) ./ 2, B; degeneracy = p).eigenvectors .^ 2),
        (a, p) -> real(sum(C .* eig(a; left = true, degeneracy = p).left_eigenvectors)),
        (a, p) -> real(sum(EigenPair.eigvals(a; degeneracy = p)[1, :])),
        (a, p) -> sum(randn(Xoshiro(1), 70, 4) .* eigh(a; subset_by_index = 1:4, degeneracy = p).eigenvectors .^ 2),
    )
    for (loss, a) in zip(losses, (batch, pairs, batch, batch, large))
        refused = axes(a, 3) .% 2 .== 0
        g = Zygote.gradient(a -> loss(a, check()), a)[1]
        @test vec(any(isnan, g; dims = (1, 2))) == refused
        (h,), count = EigenPair.count_refusals(() -> Zygote.gradient(a -> loss(a, zero_policy), a))
        @test count == sum(refused)
        @test h == ifelse.(isnan.(g), 0, g)
        _, count = EigenPair.count_refusals(() -> Zygote.gradient(a -> loss(a, check()), a))
        @test count == sum(refused)
        # What is no refusal stays NaN.
        (h,), count = EigenPair.count_refusals(() -> Zygote.gradient(a -> NaN * loss(a, zero_policy), a))
        @test all(isnan, h) && count == 0
    end
    # Shared by a batch: what is refused is missing from the sum.
    f(b, p) = sum(C .* eigh(pairs, b; degeneracy = p).eigenvectors .^ 2)
    few(b) = sum(C .* eigh(pairs[:, :, [1, 3]], b).eigenvectors .^ 2)
    @test Zygote.gradient(b -> f(b, zero_policy), B)[1] ≈ Zygote.gradient(few, B)[1]
    for g in (a -> real(sum(abs2, EigenPair.eigvals(a))), a -> real(sum(eig(a).eigenvectors)))
        (h,), count = EigenPair.with_policy(() -> EigenPair.count_refusals(() -> Zygote.gradient(g, [1.0 1; 0 1])), zero_policy)
        @test h == zeros(2, 2) && count == 1
    end
    @test all(isnan, EigenPair.with_policy(() -> Zygote.hessian(a -> losses[1](reshape(a, 4, 4, 1), zero_policy), vec(batch[:, :, 2])), zero_policy))
    @test_throws ArgumentError check(refused = :mask)
    @test_throws ArgumentError check(coupled = :zero)
end
