@testset "bad input" begin
    a, b = [2.0 1.0; 1.0 3.0], [1.0 0.0; 0.0 2.0]
    # What is thrown must name the argument and come before any number is computed, whichever way one enters.
    function rejects(type, words, args...; options...)
        for f in (eigh, eigvalsh)
            f === eigvalsh && haskey(options, :eigvals_only) && continue
            for enter in (f, (args...; options...) -> rrule(f, args...; options...))
                @test throws(() -> enter(args...; options...), type, words...)
            end
        end
        return nothing
    end

    rejects(DimensionMismatch, ("`a`", "Diagonal"), [1.0, 2.0])
    rejects(DimensionMismatch, ("`a`", "square", "(2, 3)"), zeros(2, 3))
    rejects(DimensionMismatch, ("`a`", "square"), zeros(2, 3, 3))
    rejects(DimensionMismatch, ("`b`", "square"), a, zeros(2, 3))
    rejects(DimensionMismatch, ("`a`", "`b`", "2 × 2", "3 × 3"), a, zeros(3, 3))
    rejects(DimensionMismatch, ("batch", "(3,)", "(2,)"), zeros(2, 2, 3), zeros(2, 2, 2))
    rejects(ArgumentError, ("`a`", "nothing"), nothing)
    rejects(ArgumentError, ("`a`", "1.0"), 1.0)
    rejects(ArgumentError, ("`a`", "\"matrix\""), "matrix")
    rejects(ArgumentError, ("`b`", "\"matrix\""), a, "matrix")
    rejects(ArgumentError, ("`a`", "String"), ["a" "b"; "c" "d"])
    rejects(ArgumentError, ("`a`", "Any"), Any[1 2; 2 3])
    rejects(ArgumentError, ("`a`", "Missing"), [1 missing; missing 2])
    rejects(ArgumentError, ("`a`", "BigFloat", "Float64.(a)"), big.(a))
    rejects(ArgumentError, ("`b`", "Float16"), a, Float16.(b))
    rejects(ArgumentError, ("`a`", "Hermitian"), Symmetric(complex(a)))
    rejects(ArgumentError, ("`type`", "4"), a, b; type = 4)
    rejects(ArgumentError, ("`type`", "\"1\""), a, b; type = "1")
    rejects(ArgumentError, ("`type = 2`", "`b`"), a; type = 2)
    rejects(ArgumentError, ("`lower`", "\"L\""), a; lower = "L")
    rejects(ArgumentError, ("`lower = true`", "upper"), Symmetric(a, :U); lower = true)
    rejects(ArgumentError, ("`degeneracy`", "EigenPair.check()"), a; degeneracy = :mask)
    rejects(ArgumentError, ("`degeneracy`", "call it"), a; degeneracy = EigenPair.check)
    rejects(ArgumentError, ("`subset_by_index`", "1:2", "0:1"), a; subset_by_index = 0:1)
    rejects(ArgumentError, ("`subset_by_index`", "1:3"), a; subset_by_index = (1, 2))
    rejects(ArgumentError, ("`subset_by_index`", "1:3"), a; subset_by_index = 1)
    rejects(ArgumentError, ("`eigvals_only`",), a; eigvals_only = 1)
    @test_throws MethodError eigh(a; lowre = true)

    @test_throws "`tol`" EigenPair.mask(-1.0)
    @test_throws "`tol`" EigenPair.mask(NaN)
    @test_throws "`eps`" EigenPair.broaden(-1.0e-3)
    @test_throws "`c`" EigenPair.check(c = -1)
    @test_throws "`c`" EigenPair.check(c = 0)
    @test_throws "`c`" EigenPair.check(c = Inf)

    @test_throws ArgumentError fix_gauge(nothing)
    @test_throws ArgumentError fix_gauge(["a" "b"])
    @test_throws DimensionMismatch fix_gauge([1.0, 2.0])
    @test fix_gauge(zeros(3, 2)) == zeros(3, 2)
    @test fix_gauge(zeros(0, 0)) == zeros(0, 0)
end
