# Every reference case of the general problem, of functions of matrices and of tridiagonal matrices: value, eigenvalues, gradient, verdict and
# Hessian-vector product, against a 100-digit oracle.
using .Losses, .GeneralLosses, .Results

@testset "conformance: general problems, functions, tridiagonal matrices" begin
    largest(xs) = maximum(x -> maximum(abs, x; init = 0.0), xs)
    # Never so wide that masking what should not be masked would pass. Where the exact answer is 0, what is left is rounding.
    allowed(T, condition) = min(64 * eps(real(T)) * condition, 0.3)
    function errors(xs, references)
        size_of(x) = (m = maximum(abs, x; init = 0.0); m == 0 ? 1.0 : m)
        return map((x, y) -> size(x) == size(y) ? maximum(abs, x - y; init = 0.0) / size_of(y) : Inf, xs, references)
    end
    references(case, key) = Tuple(matrix_of(ComplexF64, case[key][name]) for name in ("a", "b") if case[key][name] !== nothing)

    function test_case(case, eigenvalues)
        T, matrices = eltype_of(case), arguments(case)
        tolerance = allowed(T, case["condition"])
        found = keep(case, quiet(() -> compute(case)))
        if case["value"] !== nothing
            @test only(errors((found.value,), (case["value"],))) <= tolerance
        end
        w = case["eigenvalues"]
        if w !== nothing
            reference = w isa AbstractDict ? complex.(Float64.(w["re"]), Float64.(w["im"])) : Float64.(w)
            @test only(errors((eigenvalues(matrices...),), (reference,))) <= tolerance
        end
        gradient = found.gradient
        if case["verdict"] == "nan"
            @test all(x -> all(isnan, x), gradient)
        else
            @test all(<=(tolerance), errors(gradient, references(case, "gradient")))
        end
        @test all(x -> eltype(x) == T, gradient)
        if case["hvp"] !== nothing
            @test all(<=(allowed(T, case["hvp_condition"])), errors(found.hvp, references(case, "hvp")))
        end
        return nothing
    end

    @testset "$(case["id"])" for case in read_cases("general.json")
        test_case(case, case_eigenvalues)
    end
    @testset "$(case["id"])" for file in filter(has_cases, ["spectral.json", "pairs.json", "functions.json"]), case in read_cases(file)
        test_case(case, (matrices...) -> eigvalsh(matrices...; type = max(case["type"], 1)))
    end
    @testset "$(case["id"])" for case in read_cases("tridiagonal.json")
        test_case(case, (d, e) -> eigvalsh_tridiagonal(vec(d), vec(e)))
    end
end
