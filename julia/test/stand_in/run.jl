# EigenPairCUDAExt without a GPU: the extension and the core as they are, CUDA.jl and cuSOLVER by their stand-ins. Built
# and started by tests/python/runtime/test_julia_cuda.py.
push!(LOAD_PATH, @__DIR__)
using ChainRulesCore, CUDA, EigenPair, LinearAlgebra, Random, Test

@test Base.get_extension(EigenPair, :EigenPairCUDAExt) !== nothing

rng = Xoshiro(1)
device(x) = CuArray(x)
device(x::Hermitian) = Hermitian(CuArray(parent(x)), Symbol(x.uplo))

# Of the loss Σ λ² + Σ |v|⁴, which knows no phase.
function gradients(matrices...; options...)
    Ω, pullback = rrule(eigh, matrices...; options...)
    w, v = Ω
    _, x̄... = pullback(Tangent{typeof(Ω)}(; eigenvalues = 2 .* w, eigenvectors = 4 .* abs2.(v) .* v))
    return map(unthunk, x̄)
end

@testset "$T, type $type, lower = $lower" for T in (Float64, ComplexF32), type in 0:3,
        lower in (nothing, true, false)

    A = randn(rng, T, 4, 4, 3)
    X = randn(rng, T, 4, 4)
    B = X * X' / 4 + 2I
    matrices = type == 0 ? (A,) : (A, B)
    options = type == 0 ? (; lower) : (; lower, type)
    w, v = eigh(matrices...; options...)
    found = eigh(map(device, matrices)...; options...)
    @test found.eigenvalues isa CuArray && found.eigenvectors isa CuArray
    tolerance = 200 * eps(real(T))
    @test Array(found.eigenvalues) ≈ w rtol = tolerance
    @test abs.(Array(found.eigenvectors)) ≈ abs.(v) rtol = 10tolerance
    @test Array(eigvalsh(map(device, matrices)...; options...)) ≈ w rtol = tolerance
    computed = gradients(map(device, matrices)...; options...)
    @test all(g -> g isa CuArray, computed)
    @test all(isapprox(Array(g), e; rtol = 100tolerance) for (g, e) in zip(computed, gradients(matrices...; options...)))
end

@testset "wrappers, failures, subsets" begin
    H = Hermitian(randn(rng, ComplexF64, 5, 5), :L)
    @test Array(eigvalsh(device(H))) ≈ eigvalsh(H)
    A = randn(rng, 3, 3, 3)
    A[2, 1, 2] = NaN
    w = Array(eigvalsh(device(A)))
    @test all(isnan, w[:, 2]) && w[:, [1, 3]] ≈ eigvalsh(A)[:, [1, 3]]
    w, v = eigh(device(A), device([1.0 0 0; 0 1 0; 0 0 -1]))
    @test all(isnan, Array(w)) && all(isnan, Array(v))
    @test Array(eigvalsh(device(A[:, :, 1]); subset_by_index = 1:2)) ≈ eigvalsh(A[:, :, 1])[1:2]
    @test size(eigvalsh(device(zeros(0, 0)))) == (0,)
end
println("stand-in: ok")
