# Tridiagonal and band matrices, against the same matrix given whole and against finite differences.

@testset "banded" begin
    rng = Xoshiro(17)
    n = 6
    # The matrix, entry by entry.
    function whole(x, lower)
        u, n = size(x, 1) - 1, size(x, 2)
        A = zeros(eltype(x), n, n)
        for j in 1:n, m in 0:min(u, n - j)
            entry = lower ? x[m + 1, j] : conj(x[u + 1 - m, j + m])
            A[j + m, j], A[j, j + m] = m == 0 ? (real(entry), real(entry)) : (entry, conj(entry))
        end
        return A
    end
    # With NaN where nothing is read.
    function band(T, u, lower)
        x = randn(rng, T, u + 1, n)
        x[lower ? 1 : u + 1, :] .+= 2 .* (1:n)
        foreach(m -> x[lower ? m + 1 : u + 1 - m, lower ? range(n - m + 1, n) : range(1, m)] .= NaN, 1:u)
        return x
    end
    known(x) = map(y -> isnan(y) ? zero(y) : y, x)
    # Of every gap and of every vector, in any gauge.
    W = randn(rng, n, n)
    cotangents(w, v) = cos.(w), 2 .* view(W, :, 1:length(w)) .* v
    loss((w, v)) = sum(sin, w) + sum(view(W, :, 1:length(w)) .* abs2.(v))
    function gradient_by(f, xs...; given = cotangents, options...)
        Ω, pullback = rrule(f, xs...; options...)
        w̄, v̄ = given(Ω...)
        return map(unthunk, pullback(Tangent{typeof(Ω)}(; eigenvalues = w̄, eigenvectors = v̄))[2:end])
    end
    tridiagonal(T = Float64) = randn(rng, T, n) .+ 2 .* T.(1:n), randn(rng, T, n - 1)
    fdm = central_fdm(5, 1; max_range = 1.0e-3)
    along(x, ẋ) = x .+ ForwardDiff.Dual{:direction}(0.0, 1.0) .* ẋ
    slope(x) = map(y -> y isa Complex ? complex(slope(real(y)), slope(imag(y))) : slope(y), x)
    slope(x::Real) = ForwardDiff.partials(x, 1)

    cases = [
        (Float64, 0, true, nothing), (Float64, 1, false, 2:4), (ComplexF64, 3, true, 1:2), (ComplexF64, 2, false, nothing),
        (Float32, n - 1, false, nothing), (ComplexF32, 1, true, 1:1),
    ]
    @testset "$T, u = $u, lower = $lower, subset = $subset" for (T, u, lower, subset) in cases
        x = band(T, u, lower)
        A, tol, options = whole(x, lower), 300 * eps(real(T)), (; lower, subset_by_index = subset)
        chosen = something(subset, 1:n)
        w, v = eigh_banded(x; options...)
        @test eltype(w) == real(T) && eltype(v) == T && size(v) == (n, length(chosen))
        @test relative_error(w, eigvalsh(A)[chosen]) < tol && relative_error(eigvalsh_banded(x; options...), w) < tol
        @test norm(A * v - v * Diagonal(w)) < 10 * tol * norm(A) && norm(v'v - I) < tol

        # The gradient is the dense one, taken along the entries of the band.
        ẋ = randn(rng, T, size(x))
        dense = gradient_by(eigh, Hermitian(A, :L); subset_by_index = subset)[1]
        for f in (eigh_banded, eigvalsh_banded)
            given = f === eigh_banded ? cotangents : nothing
            x̄ = given === nothing ? unthunk(rrule(f, x; options...)[2](cos.(w))[2]) : gradient_by(f, x; options...)[1]
            expected = given === nothing ? unthunk(rrule(eigvalsh, Hermitian(A, :L); subset_by_index = subset)[2](cos.(w))[2]) : dense
            @test eltype(x̄) == T && size(x̄) == size(x) && all(iszero, x̄[isnan.(x)])
            @test real(dot(x̄, known(ẋ))) ≈ real(dot(expected, whole(ẋ, lower))) rtol = 1.0e3 * tol
            ẇ = frule((NoTangent(), ẋ), f, x; options...)[2]
            ẇ = f === eigh_banded ? ẇ.eigenvalues : ẇ
            @test sum(cos.(w) .* ẇ) ≈ real(dot(unthunk(rrule(eigvalsh_banded, x; options...)[2](cos.(w))[2]), ẋ)) rtol = 1.0e3 * tol
        end
        (; eigenvalues, eigenvectors) = frule((NoTangent(), ẋ), eigh_banded, x; options...)[2]
        w̄, v̄ = cotangents(w, v)
        x̄ = gradient_by(eigh_banded, x; options...)[1]
        @test dot(w̄, eigenvalues) + real(dot(v̄, eigenvectors)) ≈ real(dot(x̄, ẋ)) rtol = 1.0e3 * tol
        at(t) = known(x) + t * ẋ
        real(T) == Float64 && @test real(dot(x̄, ẋ)) ≈ fdm(t -> loss(eigh_banded(at(t); options...)), 0.0) rtol = 1.0e-7
        # Second order: the slope of the gradient, by dual numbers and by reverse over reverse.
        product = slope(gradient_by(eigh_banded, along(known(x), ẋ); options...)[1])
        real(T) == Float64 && @test relative_error(product, fdm(t -> gradient_by(eigh_banded, at(t); options...)[1], 0.0)) < 1.0e-6
    end

    @testset "tridiagonal, n = $n" for n in (1, 2, 3, 40), T in (Float32, Float64)
        d, e = randn(rng, T, n), randn(rng, T, n - 1)
        S = SymTridiagonal(d, e)
        w, v = eigh_tridiagonal(d, e)
        @test w ≈ LinearAlgebra.eigvals(Symmetric(Matrix(S))) && norm(Matrix(S) * v - v * Diagonal(w)) < 1000 * eps(T)
        @test eigh_tridiagonal(S).eigenvectors == v && eigvalsh_tridiagonal(S) ≈ w
        @test eigh_tridiagonal(d, e; eigvals_only = true) == eigvalsh_tridiagonal(d, e)
        @test eigvalsh_tridiagonal(d, e; subset_by_index = n:n) ≈ w[n:n]
        d̄, ē = gradient_by(eigh_tridiagonal, d, e; given = (w, v) -> (w, ZeroTangent()))
        # Of ‖A‖²/2.
        @test d̄ ≈ d && ē ≈ 2e && eltype(d̄) == T
        @test gradient_by(eigh_tridiagonal, S; given = (w, v) -> (w, ZeroTangent()))[1]::SymTridiagonal ≈ S
    end

    @testset "tridiagonal, batches and engines" begin
        d, e = randn(rng, n, 2, 3), randn(rng, n - 1, 1, 3)
        w, v = eigh_tridiagonal(d, e; subset_by_index = 2:3)
        @test size(w) == (2, 2, 3) && size(v) == (n, 2, 2, 3)
        @test w[:, 2, 3] ≈ eigvalsh_tridiagonal(d[:, 2, 3], e[:, 1, 3])[2:3]
        f(d, e) = sum(sin, eigvalsh_tridiagonal(d, e)) + sum(abs2, eigh_tridiagonal(d, e; subset_by_index = 2:3).eigenvectors[1, :, :, :])
        d̄, ē = Zygote.gradient(f, d, e)
        @test size(d̄) == size(d) && size(ē) == size(e)
        single(k, l) = Zygote.gradient(f, d[:, k:k, l:l], e[:, :, l:l])
        @test ē[:, 1, 2] ≈ single(1, 2)[2][:, 1, 1] + single(2, 2)[2][:, 1, 1] && d̄[:, 1, 2] ≈ single(1, 2)[1][:, 1, 1]
        @test ForwardDiff.gradient(d -> f(d, e), d) ≈ d̄
        a = SymTridiagonal(d[:, 1, 1], e[:, 1, 1])
        direction = Tangent{typeof(a)}(; dv = e[1, 1, 1] .* d[:, 1, 1], ev = e[:, 1, 2])
        ẇ = frule((NoTangent(), direction), eigvalsh_tridiagonal, a)[2]
        @test ẇ ≈ frule((NoTangent(), direction.dv, direction.ev), eigvalsh_tridiagonal, a.dv, a.ev)[2]
        @test ẇ ≈ frule((NoTangent(), Matrix(SymTridiagonal(direction.dv, direction.ev))), eigvalsh, Matrix(a))[2]
    end

    @testset "reverse over reverse" begin
        x, ẋ = band(ComplexF64, 2, true), randn(rng, ComplexF64, 3, n)
        p = EigenPair.band_problem(x; lower = true, subset_by_index = 2:3)
        (w, V, reduction), pull_solve = rrule(EigenPair.solution, p, x, nothing)
        w̄, V̄ = cos.(w), 2 .* W[:, 1:2] .* V
        _, pull = rrule(EigenPair.input_gradients, p, nothing, x, nothing, w, V, reduction, w̄, V̄, nothing)
        of_x, _, of_w, of_V, _, of_w̄, of_V̄ = pull((ẋ, NoTangent()))[[4:8; 9:10]]
        by_solve = pull_solve((of_w - sin.(w) .* of_w̄, of_V + 2 .* W[:, 1:2] .* of_V̄, NoTangent()))[3]
        product = slope(gradient_by(eigh_banded, along(known(x), ẋ); lower = true, subset_by_index = 2:3)[1])
        @test relative_error(unthunk(of_x) + unthunk(by_solve), product) < 1.0e-9
        d, e, band̄ = randn(rng, n, 1, 3), randn(rng, n - 1, 2, 1), randn(rng, 2, n, 2, 3)
        test_rrule(EigenPair.tridiagonal_band, d, e)
        test_rrule(EigenPair.tridiagonal_parts, d ⊢ NoTangent(), e ⊢ NoTangent(), band̄)
    end

    @testset "subset_by_value" begin
        d, e = tridiagonal()
        w, v = eigh_tridiagonal(d, e)
        interval = ((w[1] + w[2]) / 2, w[4])
        found = eigh_tridiagonal(d, e; subset_by_value = interval)
        @test found.eigenvalues ≈ w[2:4] && size(found.eigenvectors) == (n, 3)
        gradients = gradient_by(eigh_tridiagonal, d, e; subset_by_value = interval)
        @test all(map(==, gradients, gradient_by(eigh_tridiagonal, d, e; subset_by_index = 2:4)))
        # The upper end is included and the lower is not.
        @test eigvalsh_tridiagonal([1, 2, 3], [0, 0]; subset_by_value = (1, 3)) == [2, 3]
        a, b = random_matrix(rng, Float64, n), random_definite(rng, Float64, n)
        for (matrices, options) in (((a,), (; lower = true)), ((a, b), (; type = 2)), ((stack([a, a]),), (;)))
            w = eigvalsh(matrices...; options...)
            above = (w[2] + w[3]) / 2, Inf
            @test eigvalsh(matrices...; options..., subset_by_value = above) ≈ selectdim(w, 1, 3:n)
            by_index, by_value = map(((; subset_by_index = 3:n), (; subset_by_value = above))) do chosen
                gradient_by(eigh, matrices...; options..., chosen..., given = (w, v) -> (cos.(w), 2v .* abs2.(v)))
            end
            @test all(map(==, by_value, by_index))
        end
        @test size(eigh(a; subset_by_value = (1.0e9, Inf)).eigenvectors) == (n, 0)
        @test ForwardDiff.derivative(t -> sum(sin, eigvalsh(t * a; subset_by_value = (0, Inf))), 1.0) ≈
            sum(w -> w > 0 ? w * cos(w) : 0.0, eigvalsh(a))
    end

    @testset "degenerate" begin
        d, e = [1.0, 1, 2, 3], zeros(3)
        C = randn(rng, 4, 4)
        space(w, v) = ZeroTangent(), (C + C') * v .* [1 1 0 0]
        one_vector(w, v) = ZeroTangent(), (C + C') * v .* [1 0 0 0]
        @test all(x -> all(isfinite, x), gradient_by(eigh_tridiagonal, d, e; given = space))
        @test gradient_by(eigh_tridiagonal, d, e; given = space)[1] ≈ diag(gradient_by(eigh, Matrix(SymTridiagonal(d, e)); given = space)[1])
        @test all(x -> all(isnan, x), gradient_by(eigh_tridiagonal, d, e; given = one_vector))
        # A subset that cuts the cluster.
        @test all(x -> all(isnan, x), gradient_by(eigh_tridiagonal, d, e; given = (w, v) -> (ZeroTangent(), (C + C') * v), subset_by_index = 1:1))
        @test all(isfinite, gradient_by(eigh_tridiagonal, d, e; given = (w, v) -> (ZeroTangent(), (C + C') * v), subset_by_index = 1:2)[1])
        masked = gradient_by(eigh_tridiagonal, d, e; given = one_vector, degeneracy = EigenPair.mask(1.0e-9))
        @test all(x -> all(isfinite, x), masked)
        alone = gradient_by(
            eigh_tridiagonal, d, e; given = (w, v) -> (ZeroTangent(), (C + C') * v), degeneracy = EigenPair.mask(1.0e-9), subset_by_index = 1:1,
        )
        @test all(map(≈, alone, masked))
        @test any(isnan, ForwardDiff.hessian(d -> sum(abs2, eigvalsh_tridiagonal(d, e)), d))
        # Wilkinson's W21+, whose two largest eigenvalues agree to the last digit although no entry is zero.
        d, e = abs.(-10.0:10.0), ones(20)
        for (f, a) in ((eigh_tridiagonal, (d, e)), (eigh, (Matrix(SymTridiagonal(d, e)),)))
            direction = f === eigh ? (Matrix(Diagonal(cos.(1:21))),) : (cos.(1:21), zero(e))
            V̇ = frule((NoTangent(), direction...), f, a...)[2].eigenvectors
            @test all(isnan, V̇[:, 20:21]) && all(isfinite, V̇[:, 1:10])
        end
        masking = EigenPair.check(coupled = :mask)
        @test all(isfinite, frule((NoTangent(), cos.(1:21), zero(e)), eigh_tridiagonal, d, e; degeneracy = masking)[2].eigenvectors)
        generic = EigenPair.check(generic_basis = true)
        turned = eigh_tridiagonal(ones(3), zeros(2); degeneracy = generic).eigenvectors
        @test turned ≈ eigh(Matrix(1.0I, 3, 3); degeneracy = generic).eigenvectors
        @test eigh_tridiagonal(ones(3), zeros(2); degeneracy = generic, subset_by_index = 2:2).eigenvectors ≈ turned[:, 2:2]
        explained = EigenPair.check(explain = true)
        @test_logs (:warn, r"one cluster") gradient_by(eigh_tridiagonal, [1.0, 1, 2, 3], zeros(3); given = one_vector, degeneracy = explained)
    end

    @testset "NaN and sizes" begin
        d, e = tridiagonal()
        ds = stack([d, d .+ [0, NaN, 0, 0, 0, 0], d])
        for subset in (nothing, 2:3)
            w, v = eigh_tridiagonal(ds, e; subset_by_index = subset)
            @test all(isnan, w[:, 2]) && all(isnan, v[:, :, 2]) && w[:, 3] == eigh_tridiagonal(d, e; subset_by_index = subset).eigenvalues
        end
        for scale in (1.0e-300, 1.0e-12, 1.0e300)
            @test eigvalsh_tridiagonal(scale * d, scale * e) ≈ scale * eigvalsh_tridiagonal(d, e)
        end
        @test size(eigh_tridiagonal(zeros(0, 3), zeros(0, 3)).eigenvectors) == (0, 0, 3) && isempty(eigvalsh_banded(zeros(2, 0)))
        @test size(eigh_tridiagonal(zeros(4, 0), zeros(3, 0)).eigenvectors) == (4, 4, 0)
        @test eigvalsh_tridiagonal([1, 2], [0]) == [1, 2]
        wide = randn(rng, 5, 3)
        @test eigvalsh_banded(wide) == eigvalsh_banded(wide[3:5, :]) && eigvalsh_banded(wide; lower = true) == eigvalsh_banded(wide[1:3, :]; lower = true)
        @test size(gradient_by(eigh_banded, wide; given = (w, v) -> (w, ZeroTangent()))[1]) == (5, 3)
    end

    @testset "bad input" begin
        @test throws(() -> eigh_tridiagonal(ones(3), ones(3)), DimensionMismatch, "`e` must have one entry less than `d`, 2")
        @test throws(() -> eigh_tridiagonal(ones(3), im * ones(2)), ArgumentError, "`e` must be real", "eigh_banded")
        @test throws(() -> eigh_tridiagonal(im * ones(3), ones(2)), ArgumentError, "`d` must be real")
        @test throws(() -> eigh_tridiagonal(1.0, ones(2)), ArgumentError, "`d` must be a vector")
        @test throws(() -> eigh_tridiagonal(ones(3, 2), ones(2, 3)), DimensionMismatch, "batch dimensions of `d` and `e`")
        @test throws(() -> eigh_tridiagonal(ones(3), ones(2); subset_by_index = 1:4), ArgumentError, "`subset_by_index`")
        @test throws(() -> eigh_banded(ones(3)), DimensionMismatch, "`a_band`", "diagonals")
        @test throws(() -> eigh_banded("x"), ArgumentError, "`a_band`")
        @test throws(() -> eigh_banded(ones(2, 3); lower = "L"), ArgumentError, "`lower` must be true or false")
        @test throws(() -> eigh_banded(ones(2, 3); degeneracy = 1.0e-9), ArgumentError, "`degeneracy`")
        @test throws(() -> rrule(eigh_banded, ones(3)), DimensionMismatch, "`a_band`")
        @test_throws "There is no keyword `select`: `subset_by_index" eigh_tridiagonal(ones(3), ones(2); select = "i")
        @test_throws "There is no keyword `lower`" eigh_tridiagonal(ones(3), ones(2); lower = false)
    end
end
