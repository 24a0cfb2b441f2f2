# Pairs of matrices whose eigenvectors have very different sizes.
@testset "graded" begin
    rng = Xoshiro(5)
    weights(n) = (C = randn(rng, n, n); C[1, :] .= 0; C[:, 1] .= 0; C + C')
    # A pair with the eigenvalues of `A`, whose eigenvectors have a first component that is so much longer.
    function graded(A, s)
        D = Diagonal([1 / s; ones(size(A, 1) - 1)])
        return D * A * D, Matrix(D * D)
    end
    # Of tr(C P), P the projector on the k lowest.
    function gradient(C, k, A, B; options...)
        Ω, pullback = rrule(eigh, A, B; options...)
        V = Ω.eigenvectors
        return unthunk(pullback(Tangent{typeof(Ω)}(; eigenvectors = [2 * C * V[:, 1:k] zero(V[:, (k + 1):end])]))[2])
    end

    @testset "$T, $n" for T in (Float32, Float64), n in (5, 70)
        λ = n == 5 ? [-2, -1, 0.5, 1, 2] : range(-1, 2; length = n)
        A, C = spectrum_matrix(rng, Float64, λ), weights(n)
        flat = gradient(C, 2, A, Matrix(1.0I, n, n))
        steep = 1 / sqrt(eps(T))^1.6
        for s in (1, steep, steep^1.3)
            D = Diagonal([1 / s; ones(n - 1)])
            found = quiet(() -> gradient(T.(C), 2, map(x -> T.(x), graded(A, s))...))
            if s == 1
                @test relative_error(found, flat) < 1.0e4 * eps(T)
            else
                @test all(isnan, found)
            end
        end
    end

    @testset "the space of a cluster, $T" for T in (Float32, Float64)
        A, C = spectrum_matrix(rng, Float64, [-1, -1, 0.5, 0.5, 2, 2]), weights(6)
        w, Y = eigen(Symmetric(A))
        F = [(i <= 2) == (j <= 2) ? 0.0 : -1 / abs(w[i] - w[j]) for i in 1:6, j in 1:6]
        flat = Y * (F .* (Y' * C * Y)) * Y'
        s = 1 / sqrt(sqrt(eps(T)))^0.6
        D = Diagonal([1 / s; ones(5)])
        found = gradient(T.(C), 2, map(x -> T.(x), graded(A, s))...)
        @test relative_error(D * found * D, flat) < 1.0e4 * eps(T)
    end

    # Whether the frontend refuses couplings inside the cluster of the second and the third vector.
    function refuses(R, V, V̄)
        reasons, lost = zeros(Int32, 4, 4, 1), zeros(Int32, 4, 1)
        arrays = (R[1, 2, 2, 3], V' * V̄, nothing, R[3], nothing, nothing, nothing, nothing, V, nothing, V̄, ntuple(_ -> nothing, 7)...)
        EigenPair.native_decision!(
            reasons, lost, EigenPair.dtype_code(R), false, 0, EigenPair.REVERSE, EigenPair.core_policy(EigenPair.check()), 0, 4, arrays, nothing
        )
        return any(!iszero, lost)
    end

    @testset "decisions beside a vector of length $l, whose cotangent is $c, $R" for R in (Float32, Float64),
            (l, c) in ((1, 1), (1 / eps(R), 1 / eps(R)), (eps(R), 1), (floatmax(R)^0.45, floatmax(R)^0.45), (0, 1))
        V, V̄ = Matrix(Diagonal(R[l, 1, 1, 1])), Matrix(Diagonal(R[c, 1, 1, 1]))
        V̄[2, 3] = V̄[3, 2] = 0.5
        @test !refuses(R, V, V̄)
        V̄[3, 2] = 0.4
        @test refuses(R, V, V̄)
    end

    @testset "rounding that overflows, $R" for R in (Float32, Float64)
        large = floatmax(R)^0.7
        V, V̄ = Matrix(Diagonal(R[1, large, 1, 1])), zeros(R, 4, 4)
        V̄[4, 2] = V̄[4, 3] = 1
        @test !refuses(R, V, V̄)
        @test refuses(R, V, large * V̄)
    end
end
