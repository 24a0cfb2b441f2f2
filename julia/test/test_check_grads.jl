# The verdicts of EigenPair.check_grads.

using ChainRulesCore: ChainRulesCore, NoTangent

wrongly_squared(x) = sum(abs2, x)
ChainRulesCore.rrule(::typeof(wrongly_squared), x) = wrongly_squared(x), ȳ -> (NoTangent(), 1.9ȳ * x)

verdicts(f, arguments...; options...) = [c.verdict for c in EigenPair.check_grads(Zygote.gradient, f, arguments...; options...).inputs]

@testset "check_grads" begin
    a = [2.0 1.0 0.5; 1.0 -3.0 0.25; 0.5 0.25 1.0]
    b = [2.0 0.5 0.0; 0.5 3.0 0.1; 0.0 0.1 1.0]
    @test verdicts(x -> sum(eigvalsh(x)[1:2]), a) == [:right]
    @test verdicts((x, y) -> eigvalsh(x, y)[1], a, b) == [:right, :right]
    @test verdicts(x -> sum(abs2, EigenPair.eigvals(x) .- im), complex.(a, b)) == [:right]
    @test verdicts(x -> sum(eigvalsh(x)[1:2]), Symmetric(a)) == [:right]
    @test verdicts(x -> 0 * x[1], a) == [:right]
    @test verdicts((x, y, n) -> sum(x)^n * y, a, 2.0, 2) == [:right, :right]
    @test verdicts(x -> sum(eigvalsh(x)[1:2]), Float32.(a)) == [:right]

    @test verdicts(wrongly_squared, a) == [:wrong]
    found = only(EigenPair.check_grads(Zygote.gradient, wrongly_squared, a).inputs)
    @test found.error ≈ 0.05 rtol = 1.0e-6
    @test verdicts(x -> eigvalsh(x)[1], [1.0 0.0; 0.0 1.0]) == [:kink]
    @test verdicts(x -> x[1] > 2 ? 1.0 : x[1], [2.0, 1.0]) == [:jump]
    # Both vectors of a cluster, told apart: no derivative, and the rule says so.
    degenerate = [1.0 0.0 0.0; 0.0 1.0 0.0; 0.0 0.0 2.0]
    turn = [0.6 -0.8 0.0; 0.8 0.6 0.0; 0.0 0.0 1.0] * [1.0 0.0 0.0; 0.0 0.6 -0.8; 0.0 0.8 0.6]
    @test verdicts(x -> sum(eigh(x).eigenvectors[:, 1] .^ 4), turn * degenerate * turn') == [:nan]

    check = EigenPair.check_grads(Zygote.gradient, (x, y) -> wrongly_squared(x) + y, a, 1.0)
    @test !check.ok
    @test occursin("argument 1: WRONG      by 5", sprint(show, check))
    @test occursin("The gradient is right in 1 of 2 inputs.", sprint(show, check))
    @test EigenPair.check_grads(Zygote.gradient, sum, a).ok

    @test_throws "one real number" EigenPair.check_grads(Zygote.gradient, x -> x, a)
    @test_throws "no argument" EigenPair.check_grads(Zygote.gradient, x -> 1.0, 3)
    @test_throws "so it has no derivative" EigenPair.check_grads(Zygote.gradient, x -> NaN * sum(x), a)
    @test_throws "directions" EigenPair.check_grads(Zygote.gradient, sum, a; directions = 0)
end

@testset "set_library! asks Python" begin
    mktempdir() do folder
        # A Python that says what the real one would.
        python(text) = (path = joinpath(folder, "python"); write(path, "#!/bin/sh\n" * text); chmod(path, 0o755); path)
        @test_throws "cannot be started" EigenPair.set_library!(python = joinpath(folder, "none"))
        @test_throws "pip install eigenpair" EigenPair.set_library!(python = python("echo 'no package: pip install eigenpair' >&2; exit 1"))
        @test EigenPair.library_of_python(python("echo /somewhere/libeigenpair.so")) == "/somewhere/libeigenpair.so"
    end
end
