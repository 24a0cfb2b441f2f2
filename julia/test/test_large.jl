# A few eigenpairs of large operators; the dense functions and finite differences are the judges.
using SparseArrays

# No matrix, but `mul!` and `size`.
struct Multiplies{M}
    matrix::M
end
Base.size(x::Multiplies) = size(x.matrix)
Base.eltype(x::Multiplies) = eltype(x.matrix)
LinearAlgebra.mul!(y, x::Multiplies, v) = mul!(y, x.matrix, v)
Base.:*(x::Multiplies, v) = x.matrix * v

@testset "large" begin
    rng = Xoshiro(14)
    n, k = 60, 3
    hermitian(x) = (x + x') / 2
    random_pair(T) = hermitian(random_matrix(rng, T, n)), hermitian(random_definite(rng, T, n))
    fdm = central_fdm(5, 1; max_range = 1.0e-3)
    W = randn(rng, n, k)
    loss(r) = sum(sin, r.eigenvalues) + sum(W .* abs2.(r.eigenvectors))
    all_eigenvalues(A, ::Nothing) = eigvalsh(A)
    all_eigenvalues(A, B) = eigvalsh(A, B)
    wanted(w, ::Nothing, which, k) = sort(w[EigenPair.wanted_order(which, w)[1:k]])
    wanted(w, sigma, which, k) = sort(sort(w; by = x -> abs(x - sigma))[1:k])
    chain(m) = spdiagm(-1 => fill(-1.0, m - 1), 0 => fill(2.0, m), 1 => fill(-1.0, m - 1))
    # Of m³ unknowns: eigenvalues in groups of 1, 3, 3, 3, 1 and 6.
    function cube(m)
        D, E = chain(m), sparse(1.0I, m, m)
        return kron(D, E, E) + kron(E, D, E) + kron(E, E, D)
    end
    one_dimensional = [2 - 2 * cospi(i / 9) for i in 1:8]
    of_cube = sort(vec([x + y + z for x in one_dimensional, y in one_dimensional, z in one_dimensional]))

    @testset "values, $T, pair = $pair" for (T, pair) in ((Float64, false), (Float32, true), (ComplexF64, true))
        A, B = random_pair(T)
        b = pair ? B : nothing
        w = all_eigenvalues(A, b)
        tol = T == Float32 ? 2.0e-4 : 1.0e-10
        for options in ((;), (; which = :LA), (; which = "LM"), (; which = :BE), (; sigma = 0.3)), k in (1, 4)
            r = eigsh(A, k; b, options...)
            which, sigma = Symbol(get(options, :which, :SA)), get(options, :sigma, nothing)
            @test r.eigenvalues ≈ wanted(w, sigma, which, k) atol = tol * maximum(abs, w)
            @test all(r.converged) && eltype(r.eigenvalues) == real(T) && eltype(r.eigenvectors) == T
            M = pair ? B : I
            @test norm(A * r.eigenvectors - M * r.eigenvectors * Diagonal(r.eigenvalues)) < 10 * tol * norm(A)
            @test norm(r.eigenvectors' * M * r.eigenvectors - I) < 10 * tol
        end
    end

    @testset "every copy of a repeated eigenvalue" begin
        L = cube(8)
        for k in (1, 2, 4, 5, 7, 10, 11, 17), operator in (L, Symmetric(L, :L))
            @test eigsh(operator, k).eigenvalues ≈ of_cube[1:k] atol = 1.0e-10
        end
        for (k, sigma) in ((4, 0.0), (10, 0.1), (17, -1.0))
            @test eigsh(L, k; sigma).eigenvalues ≈ of_cube[1:k] atol = 1.0e-10
        end
        @test eigsh(x -> L * x, 7; n = 512, dtype = Float64, which = :LA).eigenvalues ≈ of_cube[(end - 6):end] atol = 1.0e-10
        # Of a diagonal matrix, a start that is an eigenvector, and an eigenvalue as repeated as it can be.
        r = eigsh(Diagonal([fill(1.0, 5); fill(2.0, 95)]), 5; v0 = [i == 1 ? 1.0 : 0.0 for i in 1:100])
        @test r.eigenvalues ≈ ones(5)
        @test eigsh(zeros(100, 100), 3).eigenvalues ≈ zeros(3) atol = 1.0e-14
        # Values of a cut group are right, derivatives of its vectors are refused.
        C = sparse(hermitian(randn(rng, 512, 512)))
        density(A, k) = (v = eigsh(A, k).eigenvectors; dot(v, C * v))
        @test all(isnan, nonzeros(Zygote.gradient(A -> density(A, 3), L)[1]))
        whole = Zygote.gradient(A -> density(A, 4), L)[1]
        @test all(isfinite, nonzeros(whole))
        D = cube(8) .* hermitian(rand(rng, 512, 512))
        @test dot(whole, D) ≈ fdm(t -> density(L + t * D, 4), 0.0) rtol = 1.0e-6
        # The loss needs the basis inside a group.
        @test all(isnan, nonzeros(Zygote.gradient(A -> dot(C[:, 1], eigsh(A, 4).eigenvectors[:, 2]), L)[1]))
        # A sum over a group that is cut exists, and is not seen as such; single eigenvalues of one are refused.
        @test all(isfinite, nonzeros(Zygote.gradient(A -> sum(eigsh(A, 4).eigenvalues), L)[1]))
    end

    @testset "derivatives, $T, pair = $pair" for (T, pair) in ((Float64, false), (ComplexF64, true))
        matrices, directions = random_pair(T), random_pair(T)
        count, options = pair ? 2 : 1, Ref{NamedTuple}((;))
        f(a, b = nothing) = loss(eigsh(a, k; b, options[]...))
        moved(t) = map((x, d) -> x + t * d, matrices, directions)[1:count]
        along_directions(gs) = sum(map((d, g) -> real(dot(d, g)), directions[1:count], gs))
        gradients(t) = Zygote.gradient(f, moved(t)...)
        for chosen in ((;), (; sigma = 0.2), (; which = :BE))
            options[] = chosen
            slope = fdm(t -> f(moved(t)...), 0.0)
            @test along_directions(gradients(0)) ≈ slope rtol = 1.0e-7
            r, (ẇ, v̇) = EigenPair.eigsh_pushforward(directions[1:count], matrices[1], k; b = pair ? matrices[2] : nothing, chosen...)
            @test sum(cos.(r.eigenvalues) .* ẇ) + sum(2 .* W .* real.(conj.(r.eigenvectors) .* v̇)) ≈ slope rtol = 1.0e-7
            if pair
                @test ForwardDiff.derivative(t -> f(moved(t)...), 0.0) ≈ slope rtol = 1.0e-7
                second = fdm(t -> along_directions(gradients(t)), 0.0)
                @test ForwardDiff.derivative(t -> along_directions(gradients(t)), 0.0) ≈ second rtol = 1.0e-5
            end
        end
        pair && continue
        options[] = (;)
        over = Zygote.gradient(a -> dot(directions[1], Zygote.gradient(f, a)[1]), matrices[1])
        @test dot(directions[1], over[1]) ≈ fdm(t -> along_directions(gradients(t)), 0.0) rtol = 1.0e-6
    end

    @testset "what an operator may be" begin
        A = sprandn(rng, n, n, 0.1)
        A = A + A' + 10I
        dense_gradient = Zygote.gradient(a -> loss(eigh(a; subset_by_index = 1:k)), Matrix(A))[1]
        f(a) = loss(eigsh(a, k))
        ā = Zygote.gradient(f, A)[1]
        @test ā isa SparseMatrixCSC && ā.rowval == A.rowval && relative_error(ā, dense_gradient .* (A .!= 0)) < 1.0e-9
        wrapped = Zygote.gradient(f, Symmetric(A, :L))[1]
        @test_throws "both triangles stored" Zygote.gradient(f, Symmetric(tril(A), :L))
        @test wrapped isa Symmetric && relative_error(Matrix(wrapped), Matrix(ā)) < 1.0e-9
        @test relative_error(Zygote.gradient(f, Hermitian(Matrix(A)))[1], dense_gradient) < 1.0e-9
        T = SymTridiagonal(collect(1.0:n), fill(0.3, n - 1))
        @test Zygote.gradient(f, T)[1].dv ≈ diag(Zygote.gradient(f, Matrix(T))[1])
        # A function is differentiated with respect to what it captures.
        x = rand(rng, n)
        by_function(x) = loss(eigsh(v -> x .* v .+ sum(v) / 10, k; n, dtype = Float64))
        by_matrix(x) = loss(eigsh(Diagonal(x) + fill(0.1, n, n), k))
        @test by_function(x) ≈ by_matrix(x)
        @test Zygote.gradient(by_function, x)[1] ≈ Zygote.gradient(by_matrix, x)[1] rtol = 1.0e-8
        @test ForwardDiff.derivative(t -> by_function(x .+ t), 0.0) ≈ sum(Zygote.gradient(by_matrix, x)[1]) rtol = 1.0e-8
        # A metric that is a function.
        metric(y) = sum(sin, eigsh(A, k; b = v -> y .* v, n).eigenvalues)
        @test Zygote.gradient(metric, 1 .+ x)[1] ≈ Zygote.gradient(y -> sum(sin, eigsh(A, k; b = Diagonal(y)).eigenvalues), 1 .+ x)[1] rtol = 1.0e-8
        # Anything else that multiplies.
        struct_gradient = Zygote.gradient(m -> loss(eigsh(m, k)), Multiplies(Matrix(A)))[1]
        @test relative_error(hermitian(struct_gradient.matrix), dense_gradient) < 1.0e-9
    end

    @testset "functions of the subspace" begin
        L, c, x = cube(8), rand(rng, 512), randn(rng, 512)
        D = L .* hermitian(rand(rng, 512, 512))
        P, v = EigenPair.Large.spectral_projector(L, 4), eigsh(L, 4).eigenvectors
        @test P * x ≈ v * (v' * x) && diag(P) ≈ vec(sum(abs2, v; dims = 2)) && size(P) == (512, 512) && rank(P) == 4
        of_density(A) = dot(c, diag(EigenPair.Large.spectral_projector(A, 4))) + dot(x, EigenPair.Large.spectral_projector(A, 4) * c)
        @test dot(Zygote.gradient(of_density, L)[1], D) ≈ fdm(t -> of_density(L + t * D), 0.0) rtol = 1.0e-6
        energy(A) = EigenPair.Large.spectral_sum(w -> w^2, A, 4)
        @test energy(L) ≈ sum(abs2, of_cube[1:4])
        @test dot(Zygote.gradient(energy, L)[1], D) ≈ fdm(t -> energy(L + t * D), 0.0) rtol = 1.0e-7
        @test isnan(EigenPair.Large.spectral_sum(exp, L, 3)) && all(isnan, EigenPair.Large.spectral_projector(L, 3) * x)
        @test_throws "has no `which`" EigenPair.Large.spectral_sum(exp, L, 3; which = :LA)
    end

    @testset "warm start, callback, preconditioner" begin
        L = cube(8)
        seen = Int[]
        cold = eigsh(L, 4; callback = (i, w, r) -> push!(seen, i))
        @test seen == 1:cold.iterations
        @test eigsh(L + 1.0e-4I, 4; v0 = cold.eigenvectors).iterations < cold.iterations
        F = cholesky(Hermitian(L))
        g(; options...) = Zygote.gradient(A -> sum(abs2, eigsh(A, 1; options...).eigenvectors[1:9]), L)[1]
        @test g(preconditioner = x -> F \ x) ≈ g() rtol = 1.0e-8
    end

    @testset "bad input" begin
        A, bad = hermitian(randn(rng, n, n)), randn(rng, n, n)
        @test_throws "`operator` is not Hermitian" eigsh(bad, 2)
        @test_throws "`b` is not Hermitian" eigsh(A, 2; b = bad)
        @test_throws "`k` must be less than" eigsh(A, n)
        @test_throws "`k` must be at least 1" eigsh(A, 0)
        @test_throws "`which` must be one of" eigsh(A, 2; which = :SR)
        @test_throws "leave out `which`" eigsh(A, 2; sigma = 0.1, which = :SA)
        @test_throws "needs a factorization" eigsh(x -> A * x, 2; n, dtype = Float64, sigma = 0.1)
        @test_throws "`n` must say" eigsh(x -> A * x, 2)
        @test_throws "`dtype` must say" eigsh(x -> A * x, 2; n)
        @test_throws DimensionMismatch eigsh(A, 2; b = A[1:3, 1:3])
        @test_throws DimensionMismatch eigsh(A[1:3, :], 2)
        @test_throws DimensionMismatch eigsh(A, 2; v0 = ones(3))
        @test_throws "must return a vector" eigsh(x -> x[1:3], 2; n, dtype = Float64)
        @test_throws "would have to know all" eigsh(A, 2; degeneracy = EigenPair.mask(1.0e-9))
        @test_throws "`solver` must be" eigsh(A, 2; solver = :arpack)
        @test_throws "`b` must be positive definite" eigsh(A, 2; b = A)
        @test_throws "`b` must be positive definite" eigsh(A, 2; b = A, sigma = 0.1)
        D = sparse(Diagonal(1.0:n))
        @test_throws "is an eigenvalue" eigsh(D, 2; sigma = 3.0)
        @test_throws "is an eigenvalue" eigsh(Matrix(D), 2; sigma = 3.0)
        nan(x) = x .* NaN
        @test all(isnan, @test_logs((:warn, r"returned NaN"), eigsh(nan, 2; n = 200, dtype = Float64)).eigenvalues)
        A[1, 1] = NaN
        @test all(isnan, @test_logs((:warn, r"returned NaN"), eigsh(A, 2)).eigenvectors)
        L = cube(8)
        early(A) = eigsh(A, 4; max_iterations = 1)
        r = @test_logs (:warn, r"did not converge.*Raise max_iterations"s) early(L)
        @test !any(r.converged) && all(isnan, r.eigenvalues) && all(isfinite, r.residuals)
        @test all(isnan, nonzeros(quiet(() -> Zygote.gradient(A -> sum(early(A).eigenvalues), L))[1]))
        indefinite = x -> [x[1:1]; -x[2:end]]
        @test all(isnan, quiet(() -> eigsh(L, 2; b = indefinite)).eigenvalues)
    end
end
