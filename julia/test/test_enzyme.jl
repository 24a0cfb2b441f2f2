# The extension for Enzyme, where EnzymeCore is in the environment: its rules are called as Enzyme would call them.
if Base.find_package("EnzymeCore") === nothing
    @info "EnzymeCore is not installed: the tests of Enzyme's rules are skipped"
    @testset "Enzyme" begin
        @test_skip true
    end
else
    @eval using EnzymeCore
    @testset "Enzyme" begin
        rng = Xoshiro(52)
        (; EnzymeRules) = EnzymeCore
        config = EnzymeRules.RevConfig{true, true, 1, (false, false, false), false, false}()
        # The gradients of Σ ⟨c, result⟩.
        function gradients(f, cs, xs...; options...)
            duplicates = map(x -> Duplicated(x, zero(x)), xs)
            forward = EnzymeRules.augmented_primal(config, Const(f), Duplicated, duplicates...; options...)
            results = forward.shadow isa Array ? (forward.shadow,) : ntuple(i -> getfield(forward.shadow, i), nfields(forward.shadow))
            foreach((x, c) -> x .+= c, results, cs)
            EnzymeRules.reverse(config, Const(f), Duplicated, forward.tape, duplicates...; options...)
            return map(x -> x.dval, duplicates)
        end
        a, b = random_matrix(rng, Float64, 4), random_definite(rng, Float64, 4)
        w̄, v̄ = randn(rng, 4), randn(rng, 4, 4)
        @test gradients(eigvalsh, (w̄,), a)[1] ≈ EigenPair.eigvalsh_pullback(a)[2](w̄)[1]
        @test all(map(≈, gradients(eigh, (w̄, v̄), a, b; type = 2), EigenPair.eigh_pullback(a, b; type = 2)[2](w̄, v̄)))
        c̄, l̄, r̄ = complex(w̄), complex(v̄), randn(rng, ComplexF64, 4, 4)
        @test gradients(eig, (c̄, l̄, r̄), a; left = true)[1] ≈ EigenPair.eig_pullback(a; left = true)[2](c̄, r̄, l̄)[1]
        @test gradients(EigenPair.eigvals, (c̄,), a)[1] ≈ EigenPair.eigvals_pullback(a)[2](c̄)[1]
        s̄ = gradients(eigh, (w̄, v̄), Symmetric(a, :L))[1]
        @test parent(s̄) ≈ EigenPair.eigh_pullback(a; lower = true)[2](w̄, v̄)[1]
    end
end
