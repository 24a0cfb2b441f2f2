# Runs julia/test/runtests.jl and prints, as its last line, how many tests passed, failed and were skipped.
using Test

function count_results(set)
    passed, failed, skipped = set.n_passed, 0, 0
    for result in set.results
        if result isa Test.AbstractTestSet
            (passed, failed, skipped) = (passed, failed, skipped) .+ count_results(result)
        elseif result isa Test.Broken
            skipped += 1
        elseif !(result isa Test.Pass)
            failed += 1
        end
    end
    return (passed, failed, skipped)
end

const tests = joinpath(@__DIR__, "..", "julia", "test")
cd(tests)
results = try
    count_results(@testset "EigenPair.jl" include(joinpath(tests, "runtests.jl")))
catch failure
    failure isa Test.TestSetException || rethrow()
    (failure.pass, failure.fail + failure.error, failure.broken)
end
println("julia: $(results[1]) passed, $(results[2]) failed, $(results[3]) skipped")
exit(results[2] == 0 ? 0 : 1)
