@testset "Aqua" begin
    Aqua.test_all(EigenPair)
end
