# The types of results follow from those of the arguments, whatever policy is in force: what comes after is compiled for them.
@testset "inference" begin
    rng = Xoshiro(16)
    a, b = random_matrix(rng, Float64, 3), random_definite(rng, ComplexF64, 3, 2)
    gradient_loss(a) = sum(abs2, eigh(a).eigenvectors) + sum(eigvalsh(a))
    for policy in (EigenPair.check(), EigenPair.mask(1.0e-9))
        EigenPair.with_policy(policy) do
            @test @inferred(eigh(a)) isa EighResult{Vector{Float64}, Matrix{Float64}}
            @test @inferred(eigvalsh(Hermitian(a, :L))) isa Vector{Float64}
            @test @inferred(eigh(a, b; type = 2)) isa EighResult{Matrix{Float64}, Array{ComplexF64, 3}}
            @test @inferred(rrule(eigh, a)) isa Tuple{EighResult, EigenPair.InputPullback{1}}
            @test @inferred(rrule(eigvalsh, a, b)) isa Tuple{Matrix{Float64}, EigenPair.InputPullback{2}}
        end
    end
    # Arrays of other kinds, and dual numbers, are as they come.
    @test eigvalsh(view(a, :, :)) ≈ eigvalsh(a) && eigvalsh(Diagonal([2, 1])) == [1.0, 2.0]
    @test eltype(eigvalsh(ForwardDiff.Dual.(a, 1.0))) <: ForwardDiff.Dual
    @test Zygote.gradient(gradient_loss, a)[1] ≈ I
    # What comes back, in second order, when a result was splatted.
    w̄, v̄ = [2.0], fill(3.0, 1, 1)
    @test rrule(EighResult, [1.0], ones(1, 1))[2](Tangent{Tuple}(w̄, v̄))[2:3] == (w̄, v̄)
end
