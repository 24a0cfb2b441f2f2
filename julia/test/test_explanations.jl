@testset "explanations" begin
    check = EigenPair.check
    W = randn(Xoshiro(3), 80, 80)
    weighted(v) = sum(view(W, axes(v, 1), axes(v, 2)) .* real.(v))
    identity = Matrix(1.0I, 3, 3)
    large(start) = Matrix(Diagonal([start; range(4, 79; length = 80 - length(start))]))
    tangent(f, a) = frule((NoTangent(), ones(size(a))), f, a)
    of_eigh(a) = weighted(eigh(a).eigenvectors)
    of_eig(a) = weighted(eig(a).eigenvectors)
    values(a) = real(sum(EigenPair.eigvals(a) .^ 2))
    defective = [1.0 1; 0 1]
    function messages(f)
        logger = Test.TestLogger(; respect_maxlog = false)
        Base.CoreLogging.with_logger(f, logger)
        return logger.logs
    end
    cases = (
        (() -> Zygote.gradient(of_eigh, identity), r"gradient of eigh is NaN.*arbitrary.*spectral_map", "det"),
        (() -> tangent(eigh, identity), r"tangent of eigh.*couples.*coupled = :mask", "det"),
        (() -> Zygote.gradient(a -> weighted(eigh(a, identity).eigenvectors), identity), r"gradient of eigh\(a, b\).*spectral_projector, which take `b`", "det"),
        (() -> Zygote.gradient(a -> real(EigenPair.eigvals(a)[1]), identity), r"gradient of eig .*uses them differently.*exp", "projector"),
        (() -> Zygote.gradient(of_eig, identity), r"gradient of eig .*arbitrary.*exp", "projector"),
        (() -> tangent(eig, identity), r"tangent of eig .*couples.*exp", "projector"),
        (() -> Zygote.gradient(of_eig, defective), r"derivative of eig .*defective.*exp", "projector"),
        (() -> Zygote.gradient(values, defective), r"derivative of eig .*defective.*tr", "projector"),
        (() -> tangent(eig, defective), r"derivative of eig .*defective", ":mask"),
        (() -> Zygote.hessian(a -> sum(abs2, eigvalsh(a)), identity), r"second derivative of eigh .*too close.*spectral_sum.*tr\(a \* spectral_projector", "fermi"),
        (() -> Zygote.hessian(values, Matrix(Diagonal([1.0, 1, 2]))), r"second derivative of eig .*too close", "projector"),
        (() -> spectral_projector(Matrix(Diagonal([1.0, 2, 2])), 2), r"spectral_projector is NaN.*eigenvalues 2 and 3.*fermi_dirac", "eigh"),
        (() -> spectral_map(exp, [0.0 1; -1 0]), r"spectral_map is NaN.*100 %.*hermitian_part = true.*exp", "lower"),
        (() -> spectral_sum(exp, [0.0 1; -1 0]), r"spectral_sum is NaN.*100 %", "lower"),
        (() -> spectral_map(inv, Matrix(Diagonal([0.0, 1]))), r"spectral_map is NaN or infinite: `f` is Inf at eigenvalue 1, 0.0", "hermitian"),
        (() -> eigh([1.0 0; 1 1]), r"Hermitian part.*far from Hermitian.*lower = true", "NaN"),
        (() -> eigh(identity, Matrix(Diagonal([1.0, -2, 1]))), r"`b` is not positive definite.*-2.0.*eig\(a, b\)", "spectral"),
        (
            () -> Zygote.gradient(a -> weighted(eigh(a; subset_by_index = 1:2).eigenvectors), large([1.0, 1, 1, 2])),
            r"derivative of eigh .*eigenvalues 2 and 3.*subset_by_index.*whole cluster", "projector",
        ),
        (
            () -> Zygote.gradient(a -> weighted(eigh(a; subset_by_index = 4:6).eigenvectors), large([0.0, 1, 2, 3, 3])),
            r"gradient of eigh .*eigenvalues 4 and 5", "det",
        ),
    )
    for (run, said, unsaid) in cases
        logs = EigenPair.with_policy(() -> messages(run), check(explain = true))
        found = filter(log -> occursin(said, log.message), logs)
        @test !isempty(found)
        @test !any(log -> occursin(unsaid, log.message), found)
        @test all(log -> log.file == @__FILE__, logs)
        # Nobody asked.
        @test isempty(messages(run))
    end

    # At the line that calls eigh, of each call.
    one(a) = weighted(eigh(a).eigenvectors); line_of_one = @__LINE__
    other(a) = weighted(eigh(a; degeneracy = check(explain = true)).eigenvectors); line_of_other = @__LINE__
    for (f, line) in ((one, line_of_one), (other, line_of_other))
        log = only(EigenPair.with_policy(() -> messages(() -> Zygote.gradient(f, identity)), check(explain = true)))
        @test log.line == line
    end
    log = only(EigenPair.with_policy(() -> messages(() -> Zygote.gradient(of_eigh, stack([large([0.0, 1])[1:2, 1:2], identity[1:2, 1:2]]))), check(explain = true)))
    @test occursin("of matrix 2 of 2", log.message)
    @test isempty(EigenPair.with_policy(() -> messages(() -> Zygote.gradient(of_eigh, large([0.0, 1])[1:3, 1:3])), check(explain = true)))
end
