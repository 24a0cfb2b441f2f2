# Every reference case: value, gradient, verdict and Hessian-vector product against a 100-digit oracle.
using .Losses, .Results

# Relative to the largest entry; the case has the amplification of rounding errors.
tolerance(case, condition) = 50 * length(case["a"]["re"]) * eps(real(eltype_of(case))) * condition
close_to(x, reference, tol) = size(x) == size(reference) && maximum(abs, x - reference) <= tol * maximum(abs, reference)
close_to(xs::Tuple, references, tol) = all(map((x, y) -> close_to(x, y, tol), xs, references))

# The entries that the function reads, where the verdict "no number" must show.
is_read(triangle, i, j) = triangle === nothing || i == j || (triangle == "lower") == (i > j)
read_entries(triangle, g) = [g[i] for i in CartesianIndices(g) if is_read(triangle, i[1], i[2])]


function test_verdict(case, g)
    if case["verdict"] == "nan"
        @test all(x -> all(isnan, read_entries(case["triangle"], x)), g)
    else
        @test all(x -> eltype(x) == eltype_of(case), g)
        if get(case, "clarke", false)
            @test all(x -> all(isfinite, x), g)
        else
            references = map(key -> matrix_of(ComplexF64, case["gradient"][key]), ("a", "b")[1:length(g)])
            @test close_to(g, references, tolerance(case, case["condition"]))
        end
    end
    return nothing
end

function test_case(case)
    T = eltype_of(case)
    matrices = arguments(case)
    found = keep(case, quiet(() -> compute(case)))
    if case["value"] !== nothing
        @test found.value ≈ case["value"] rtol = tolerance(case, case["condition"])
    end
    w = eigvalsh(matrices...; Losses.options(case)...)
    @test eltype(w) == real(T)
    @test close_to(w, case["eigenvalues"], tolerance(case, case["condition"]))
    test_verdict(case, found.gradient)
    if case["hvp"] !== nothing
        @test close_to(found.hvp, arguments(case, "hvp"), tolerance(case, case["hvp_condition"]))
    end
    return nothing
end

# Cases that differ only in their numbers, stacked along a batch dimension: each must get what it gets alone.
function test_stack(cases)
    matrices = ntuple(i -> stack(case -> arguments(case)[i], cases), length(arguments(first(cases))))
    (w, v), pullback = rrule(eigh, matrices...; Losses.options(first(cases))...)
    w̄, v̄ = zero(w), zero(v)
    for (k, case) in enumerate(cases)
        _, of_w, of_v = Losses.value_and_cotangents(loss_function(case).loss, w[:, k], v[:, :, k])
        of_w isa AbstractZero || (w̄[:, k] = of_w)
        of_v isa AbstractZero || (v̄[:, :, k] = of_v)
    end
    gradients = quiet(() -> pullback(Tangent{EighResult}(; eigenvalues = w̄, eigenvectors = v̄)))
    for (k, case) in enumerate(cases)
        test_verdict(case, map(g -> g[:, :, k], gradients[2:end]))
    end
    return nothing
end

@testset "conformance: hermitian" begin
    cases = read_cases("hermitian.json")
    @testset "$(case["id"])" for case in cases
        test_case(case)
    end
    kind(case) = (case["dtype"], case["type"], case["triangle"], length(case["a"]["re"]))
    @testset "batch of $(join(string.(shape), ' '))" for shape in unique(map(kind, cases))
        test_stack(filter(case -> kind(case) == shape, cases))
    end
end
