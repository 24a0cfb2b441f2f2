# The extension for Mooncake, if the environment has Mooncake, which is not a dependency of the tests.
if Base.find_package("Mooncake") === nothing
    @info "Mooncake is not installed: the tests of its rules are skipped"
    @testset "Mooncake" begin
        @test_skip true
    end
else
    @eval using Mooncake
    @testset "Mooncake" begin
        rng = Xoshiro(51)
        function gradient_by_mooncake(f, xs...)
            cache = Mooncake.prepare_gradient_cache(f, xs...)
            return Mooncake.value_and_gradient!!(cache, f, xs...)[2][2:end]
        end
        # With Zygote, and along a random direction with finite differences of the function itself.
        function agrees(f, xs...)
            gradients, directions = gradient_by_mooncake(f, xs...), map(x -> randn(rng, eltype(x), size(x)), xs)
            slope = central_fdm(5, 1)(t -> f(map((x, d) -> x + t * d, xs, directions)...), 0.0)
            return all(map((x, y) -> relative_error(x, y) < 1.0e-10, gradients, Zygote.gradient(f, xs...))) &&
                isapprox(real(sum(map(dot, gradients, directions))), slope; rtol = 1.0e-7)
        end
        C = randn(rng, 4, 4)
        of_eigenpairs((w, v)) = sum(cos, w) + sum(view(C, axes(v)...) .* abs2.(v))
        a, b, z = random_matrix(rng, Float64, 4), random_definite(rng, Float64, 4), random_matrix(rng, ComplexF64, 4)
        @test agrees(a -> sum(abs2, eigvalsh(a)), a)
        @test agrees(a -> of_eigenpairs(eigh(a)), a)
        @test agrees(a -> of_eigenpairs(eigh(a)), z)
        @test agrees(a -> of_eigenpairs(eigh(a; lower = true, subset_by_index = 1:2)), a)
        @test agrees((a, b) -> of_eigenpairs(eigh(a, b; type = 2)), a, b)
        @test agrees(a -> sum(abs2, EigenPair.eigvals(a)), a)
        function of_both(a)
            w, l, r = eig(a; left = true)
            return sum(abs2, w) + sum(C .* real.(l) .* real.(r))
        end
        @test agrees(of_both, a)
        @test agrees(a -> of_eigenpairs(eigh(Symmetric(a, :L))), a)
        @test all(isnan, gradient_by_mooncake(a -> sum(C .* eigh(a).eigenvectors), Matrix(1.0I, 4, 4))[1])
    end
end
