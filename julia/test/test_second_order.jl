# Second derivatives of every type by the rules; test_zygote.jl computes them with AD engines.
using .SecondOrder
using .Losses.Lines

@testset "second order" begin
    rng = Xoshiro(14)
    fdm = central_fdm(5, 1)
    real_dot(xs, ys) = sum(map((x, y) -> real(dot(x, y)), xs, ys))

    function test_second_order(W, matrices; options...)
        direction = map(x -> randn(rng, eltype(x), size(x)), matrices)
        forward = forward_over_reverse(W, matrices, direction; options...)
        differences = fdm(t -> vcat(map(vec, gradient_by(W, map((x, d) -> x + t * d, matrices, direction); options...))...), 0.0)
        @test relative_error(vcat(map(vec, forward)...), differences) < 1.0e-8
        # The gradient itself comes from the core, or, of dual numbers, from the rule written here.
        of_duals = map(still, gradient_by(W, map(along, matrices, direction); options...))
        @test all(map((x, y) -> relative_error(x, y) < 1.0e-12, of_duals, gradient_by(W, matrices; options...)))
        # A Hessian is symmetric, so this is the same vector.
        @test all(map((x, y) -> relative_error(x, y) < 1.0e-10, reverse_over_reverse(W, matrices, direction; options...), forward))
        W === nothing && return nothing
        twice = slope(slope(weighted(moduli, W, eigh(map((x, d) -> along(along(x, d), d), matrices, direction)...; options...)...)))
        @test twice ≈ real_dot(direction, forward)
        return nothing
    end

    @testset "type $type, $T, lower = $lower" for type in 0:3, T in (Float64, ComplexF64), lower in (nothing, true, false)
        a, b = random_matrix(rng, T, 3), random_definite(rng, T, 3)
        W = randn(rng, 3, 3)
        # Of eigenvectors, and (no weights) of eigenvalues alone.
        for loss in (W, nothing)
            type == 0 ? test_second_order(loss, (a,); lower) : test_second_order(loss, (a, b); lower, type)
        end
    end

    @testset "batches" begin
        test_second_order(randn(rng, 3, 3, 2), (random_matrix(rng, Float64, 3, 2),))
        test_second_order(randn(rng, 3, 3, 2), (random_matrix(rng, Float64, 3, 2), random_definite(rng, Float64, 3)); type = 2)
    end
end
