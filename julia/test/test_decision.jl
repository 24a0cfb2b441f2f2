# The table of decisions that all languages read (tests/cases/decisions.txt), through EigenPair.jl's call of the core.
@testset "decisions" begin
    table = joinpath(@__DIR__, "..", "..", "tests", "cases", "decisions.txt")
    modes = Dict("forward" => EigenPair.FORWARD, "reverse" => EigenPair.REVERSE, "second" => EigenPair.SECOND_ORDER)
    codes = Dict(
        "none" => EigenPair.NO_REASON, "basis" => EigenPair.BASIS, "order" => EigenPair.ORDER, "coupled" => EigenPair.COUPLED,
        "defective" => EigenPair.DEFECTIVE, "second" => EigenPair.SECOND, "edge" => EigenPair.EDGE, "cluster" => EigenPair.CLUSTER,
        "noise" => EigenPair.NOISE, "policy" => 18
    )
    policies = Dict(
        "check" => c -> EigenPair.check(; c), "mask" => EigenPair.mask, "broaden" => EigenPair.broaden, "raw" => _ -> EigenPair.raw()
    )
    numbers(text) = text == "-" ? nothing : parse.(Float64, split(text))
    lines = isfile(table) ? filter(line -> !isempty(line) && !startswith(line, '#'), readlines(table)) : String[]
    for line in lines
        name, question, w, k, size, dw, extra, reasons, lost = strip.(split(line, '|'))
        problem, mode, policy, parameter, options = split(question)
        of(key, count) = (words = split(extra); i = findfirst(==(key), words); i === nothing ? Float64[] : parse.(Float64, words[(i + 1):(i + count)]))
        order = of("order", 1)
        general = problem == "general"
        T = general ? ComplexF64 : Float64
        λ = T.(numbers(w))
        given(x) = isempty(x) ? nothing : x
        K = numbers(k) === nothing ? nothing : T.(permutedims(reshape(numbers(k), 3, 3)))
        sizes = K === nothing ? nothing : fill(only(numbers(size)), 3, 3)
        λ̄ = numbers(dw) === nothing ? nothing : T.(numbers(dw))
        arrays = (
            λ, K, λ̄, nothing, given(repeat(of("reach", 1), 3)), given(repeat(of("condition", 1), 3)), sizes,
            ntuple(_ -> nothing, 9)..., given(of("edges", 2)), nothing,
        )
        decided = (; reasons = zeros(Int32, 3, 3, 1), lost = zeros(Int32, 3, 1))
        EigenPair.native_decision!(
            decided..., EigenPair.dtype_code(T), general, 0, modes[mode], EigenPair.core_policy(policies[policy](parse(Float64, parameter))),
            parse(Int32, options), isempty(order) ? 3 : Int(only(order)), arrays, nothing
        )
        decision = (; reasons = decided.reasons[:, :, 1], lost = vec(decided.lost))
        @testset "$name" begin
            @test [decision.reasons[i, j] for (i, j) in ((1, 2), (1, 3), (2, 3))] == getindex.(Ref(codes), split(reasons))
            @test decision.reasons == decision.reasons' && decision.lost == getindex.(Ref(codes), split(lost))
        end
    end
    # An empty table would test nothing.
    @test !isfile(table) || length(lines) > 20
end
