@testset "native" begin
    rng = Xoshiro(5)
    trampolines = Libdl.dlopen(LinearAlgebra.BLAS.libblastrampoline)
    suffix = Base.USE_BLAS64 ? "_64_" : "_"
    address(name) = something(Libdl.dlsym(trampolines, name * suffix; throw_error = false), C_NULL)

    @testset "a LAPACK of one's own" begin
        asked = Dict{String, Ptr{Cvoid}}()
        recorded = EigenPair.LAPACKHandle(name -> (asked[name] = address(name)))
        @test haskey(asked, "dsyevd") && haskey(asked, "zheevd")
        @test EigenPair.has_routine(recorded, "dsyevd")
        a, b = random_matrix(rng, Float64, 20), random_definite(rng, Float64, 20)
        expected = eigvalsh(a, b)
        @test EigenPair.with_lapack(() -> eigvalsh(a, b), recorded) == expected
        # By dictionary, with threads to set.
        threads(name) = Libdl.dlsym(trampolines, name)
        handle = EigenPair.LAPACKHandle(
            asked; get_threads = threads(:lbt_get_num_threads), set_threads = threads(:lbt_set_num_threads)
        )
        before = LinearAlgebra.BLAS.get_num_threads()
        many = random_matrix(rng, Float64, 40, 30)
        @test EigenPair.with_lapack(() -> eigvalsh(many), handle) ≈ eigvalsh(many)
        @test LinearAlgebra.BLAS.get_num_threads() == before
        # A matrix that gains nothing from LAPACK's threads does not wake them; smaller and larger ones leave the number alone.
        changes = Int32[]
        change = @cfunction($(count -> (push!(changes, count); LinearAlgebra.BLAS.set_num_threads(count))), Cvoid, (Int32,))
        watched = EigenPair.LAPACKHandle(
            asked; get_threads = threads(:lbt_get_num_threads), set_threads = Base.unsafe_convert(Ptr{Cvoid}, change)
        )
        LinearAlgebra.BLAS.set_num_threads(2)
        GC.@preserve change EigenPair.with_lapack(watched) do
            eig(random_matrix(rng, Float64, 8))
            eigvalsh(random_matrix(rng, Float64, 300))
            @test isempty(changes)
            eig(random_matrix(rng, Float64, 100))
            @test changes == [1, 2]
        end
        LinearAlgebra.BLAS.set_num_threads(before)
        # Only the block's, and only its task's.
        @test eigvalsh(a, b) == expected
    end

    @testset "a LAPACK that lacks a routine" begin
        empty = EigenPair.LAPACKHandle(Dict{String, Ptr{Cvoid}}())
        @test !EigenPair.has_routine(empty, "dsyevd")
        @test_throws "core refused" EigenPair.with_lapack(() -> eigh(random_matrix(rng, Float64, 200)), empty)
        # The handle is at fault, not what comes after it.
        @test length(eigvalsh(random_matrix(rng, Float64, 100))) == 100
    end

    @testset "a bad handle" begin
        @test_throws "`integer_bits`" EigenPair.LAPACKHandle(address; integer_bits = 16)
        @test_throws "no such luck" EigenPair.LAPACKHandle(name -> error("no such luck"))
        @test_throws MethodError EigenPair.with_lapack(() -> 1, nothing)
    end

    @testset "handles are freed" begin
        for _ in 1:50
            EigenPair.LAPACKHandle(address)
        end
        GC.gc()
        @test length(eigvalsh(random_matrix(rng, Float64, 3))) == 3
    end

    julia(code; threads = 1, env...) = begin
        command = `$(Base.julia_cmd()) --project=$(Base.active_project()) --startup-file=no --threads=$threads -e $code`
        output = IOBuffer()
        environment = Dict(string(k) => v for (k, v) in env)
        process = run(pipeline(ignorestatus(addenv(command, environment)); stdout = output, stderr = output))
        (process.exitcode, String(take!(output)))
    end

    @testset "several threads give what one gives" begin
        code = """
        using EigenPair, ChainRulesCore, Random, LinearAlgebra
        a = randn(Xoshiro(1), ComplexF64, 24, 24, 200)
        one = EigenPair.library_path()
        results = [Threads.@spawn(eigh(a)) for _ in 1:8]
        alone = [eigh(a[:, :, k]) for k in axes(a, 3)]
        for r in fetch.(results)
            @assert all(k -> r.eigenvalues[:, k] ≈ alone[k].eigenvalues, axes(a, 3))
            @assert all(k -> norm(r.eigenvectors[:, :, k]'r.eigenvectors[:, :, k] - I) < 1e-12, axes(a, 3))
        end
        foreach(_ -> (eigvalsh(a); GC.gc(false)), 1:20)
        small = randn(Xoshiro(2), 4, 4, 20_000)
        @assert eigvalsh(small) ≈ stack(map(eigvalsh, eachslice(small; dims = 3)))
        # Rules from several tasks at once.
        gradient(k) = unthunk(rrule(eigvalsh, a[:, :, k])[2](1.0:24)[2])
        @assert fetch.([Threads.@spawn(gradient(k)) for k in 1:40]) ≈ map(gradient, 1:40)
        print("threads: ", Threads.nthreads())
        """
        status, output = julia(code; threads = 4)
        @test status == 0 && occursin("threads: 4", output)
    end

    @testset "the library" begin
        @test isfile(EigenPair.library_path()) || !isempty(EigenPair.library_path())
        ask = "using EigenPair; print(\"loaded; \"); try eigvalsh([1.0;;]) catch e; showerror(stdout, e) end"
        status, output = julia(ask; EIGENPAIR_LIBRARY = "/nowhere/libeigenpair.so")
        @test status == 0
        @test all(words -> occursin(words, output), ("loaded", "/nowhere/libeigenpair.so", "EIGENPAIR_LIBRARY"))
        status, output = julia(ask; EIGENPAIR_LIBRARY = "")
        @test status == 0 && all(words -> occursin(words, output), ("loaded", "set_library!", "cmake"))
        # Another version of the ABI, and a library that is none of ours.
        compiler = Sys.which("cc")
        compiler === nothing && @info "no C compiler: the test of ABI versions is skipped"
        for (source, words) in (
                ("int eigenpair_abi_version(void) { return 999; }", ("999", "rebuild the library")),
                ("int unrelated(void) { return 1; }", ("not eigenpair's library",)),
            )
            compiler === nothing && continue
            mktempdir() do folder
                write(joinpath(folder, "fake.c"), source)
                library = joinpath(folder, "fake." * Libdl.dlext)
                run(`$compiler -shared -fPIC -o $library $(joinpath(folder, "fake.c"))`)
                status, output = julia(ask; EIGENPAIR_LIBRARY = library)
                @test status == 0 && all(word -> occursin(word, output), ("loaded", library, words...))
            end
        end
        # A package EigenPair_jll, where the environment has one.
        mktempdir() do folder
            mkpath(joinpath(folder, "EigenPair_jll", "src"))
            write(
                joinpath(folder, "EigenPair_jll", "src", "EigenPair_jll.jl"),
                "module EigenPair_jll\nconst libeigenpair_path = $(repr(EigenPair.library_path()))\nend\n"
            )
            code = "push!(LOAD_PATH, $(repr(folder))); using EigenPair; print(eigvalsh([2.0;;]))"
            status, output = julia(code; EIGENPAIR_LIBRARY = "")
            @test status == 0 && occursin("[2.0]", output)
        end
    end
end
