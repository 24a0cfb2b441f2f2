# CuArrays through the core's CUDA entry points (csrc/include/eigenpair.h), on the task's stream.
#
# Written to the public API of CUDA.jl 5. NOT YET RUN: neither on a card nor loaded together with CUDA.jl.
#
# cuSOLVER wants one triangle of finite matrices and tells in `info` which of them failed; Hermitian parts and NaN are
# made here, by broadcasts on the device. Derivatives are computed on the host, by the rules for arrays.
module EigenPairCUDAExt

using CUDA: CUDA, CuArray, CuVector
using EigenPair: EigenPair, Eigenproblem, HermitianProblem, MatrixInput, HERMITIAN_PART, UPPER
using Libdl: Libdl
using LinearAlgebra

const DeviceMatrices = Union{CuArray, Symmetric{<:Any, <:CuArray}, Hermitian{<:Any, <:CuArray}}

# ---- the core --------------------------------------------------------------------------------------------------

struct DeviceCore
    core::EigenPair.Core
    handle::Ptr{Cvoid}
    hermitian::Ptr{Cvoid}
    hermitian_scratch::Ptr{Cvoid}
end

const DEVICE_CORE = Ref{Union{DeviceCore, Nothing}}(nothing)

# The libraries that CUDA.jl has loaded, so that no second copy enters the process.
function loaded_library(stem)
    found = findfirst(path -> startswith(basename(path), stem), Libdl.dllist())
    return found === nothing ? C_NULL : Libdl.dllist()[found]
end

function device_core()
    DEVICE_CORE[] === nothing || return DEVICE_CORE[]::DeviceCore
    return lock(EigenPair.CORE_LOCK) do
        DEVICE_CORE[] === nothing || return DEVICE_CORE[]::DeviceCore
        # CUDA.jl loads a library when it is first called.
        CUDA.runtime_version()
        CUDA.CUSOLVER.version()
        core = EigenPair.core()
        entry(name) = Libdl.dlsym(Libdl.dlopen(core.path), Symbol(:eigenpair_cuda_, name))
        runtime, blas, solver = map(loaded_library, ("libcudart.so", "libcublas.so", "libcusolver.so"))
        out = Ref{Ptr{Cvoid}}(C_NULL)
        status = ccall(
            entry(:open), Int32, (Cstring, Cstring, Cstring, Ptr{Ptr{Cvoid}}), runtime, blas, solver, out
        )
        EigenPair.throw_unless_ok(core, status)
        DEVICE_CORE[] = DeviceCore(core, out[], entry(:hermitian), entry(:hermitian_scratch))
        DEVICE_CORE[]::DeviceCore
    end
end

function __init__()
    DEVICE_CORE[] = nothing
    return nothing
end

address(::Nothing) = C_NULL
address(x::CuArray) = reinterpret(Ptr{Cvoid}, pointer(x))

# Eigenvalues into `w`, eigenvectors into `V`, the dual basis into `U`, statuses into `info`; the last three matrices may
# be `nothing`. The upper triangle is read of A and B, and both are left as they are.
function solve!(w, V, U, info, type, A::CuArray{T}, B) where {T}
    n, count = size(w)
    device = device_core()
    # A task may have moved to a thread where another context is current.
    CUDA.context!(CUDA.context())
    stream = Ptr{Cvoid}(Base.unsafe_convert(CUDA.CUstream, CUDA.stream()))
    GC.@preserve w V U info A B begin
        problem = EigenPair.CHermitianProblem(
            sizeof(EigenPair.CHermitianProblem), EigenPair.dtype_code(T), type, UPPER, 0, 0, 0, n, count,
            address(A), n^2, address(B), n^2, address(w), address(V), address(U), address(info)
        )
        bytes = Ref{Int64}(0)
        status = ccall(
            device.hermitian_scratch, Int32, (Ptr{Cvoid}, Ref{EigenPair.CHermitianProblem}, Ptr{Cvoid}, Ptr{Int64}),
            device.handle, problem, stream, bytes
        )
        EigenPair.throw_unless_ok(device.core, status)
        scratch = CuVector{UInt8}(undef, bytes[])
        status = GC.@preserve scratch ccall(
            device.hermitian, Int32, (Ptr{Cvoid}, Ref{EigenPair.CHermitianProblem}, Ptr{Cvoid}, Ptr{Cvoid}, Int64),
            device.handle, problem, stream, address(scratch), bytes[]
        )
        EigenPair.throw_unless_ok(device.core, status)
        # In the stream's order: not before the work above is done.
        CUDA.unsafe_free!(scratch)
    end
    return nothing
end

# ---- matrices --------------------------------------------------------------------------------------------------

# The Hermitian matrices that an input stands for, `n × n × count`.
function hermitian_on_device(p::HermitianProblem{T}, input::MatrixInput, x) where {T}
    x = T.(EigenPair.flat(CuArray(EigenPair.stored_entries(x))))
    xᴴ = conj.(permutedims(x, (2, 1, 3)))
    i, j = 1:(p.n), transpose(1:(p.n))
    H = if input.triangle == HERMITIAN_PART
        x ./ 2 .+ xᴴ ./ 2
    else
        read = input.triangle == UPPER ? i .< j : i .> j
        ifelse.(CuArray(read), x, ifelse.(CuArray(i .== j), T.(real.(x)), xᴴ))
    end
    return EigenPair.for_batch(p, input, H)
end

# Some solvers answer NaN with finite numbers, so they see none: where there is one, the identity stands in.
function solvable(Hs...)
    finite = reduce((x, y) -> x .& y, map(H -> mapreduce(isfinite, &, H; dims = (1, 2)), Hs))
    unit = CuArray((1:size(Hs[1], 1)) .== transpose(1:size(Hs[1], 1)))
    return finite, map(H -> ifelse.(finite, H, eltype(H).(unit)), Hs)
end

function solve_on_device(p::HermitianProblem{T}, a, b, vectors) where {T}
    n, count = p.n, prod(p.batch)
    w = CuArray{real(T)}(undef, n, count)
    V = vectors ? CuArray{T}(undef, n, n, count) : nothing
    U = vectors && p.type >= 2 ? similar(V) : nothing
    (n == 0 || count == 0) && return w, V, U
    info = CuVector{Int32}(undef, count)
    A = hermitian_on_device(p, p.a, a)
    finite, solved = if p.b === nothing
        solvable(A)
    else
        solvable(A, hermitian_on_device(p, p.b, b))
    end
    solve!(w, V, U, info, p.type, solved[1], get(solved, 2, nothing))
    good = finite .& reshape(info .== 0, 1, 1, count) .& reshape(mapreduce(isfinite, &, w; dims = 1), 1, 1, count)
    clean(x::CuArray{<:Any, 3}) = ifelse.(good, x, eltype(x)(NaN))
    clean(::Nothing) = nothing
    return ifelse.(reshape(good, 1, count), w, real(T)(NaN)), clean(V), clean(U)
end

EigenPair.solved_in_part(::DeviceMatrices, b) = false

function EigenPair.solution(p::HermitianProblem{T}, a::DeviceMatrices, b) where {T <: LinearAlgebra.BlasFloat}
    w, V, U = solve_on_device(p, a, b, true)
    EigenPair.generic_basis(p.degeneracy) || return w, V, U
    w, V, U = map(on_host, (w, V, U))
    EigenPair.turn_clusters!(p, EigenPair.input_norms(p, on_host(a), on_host(b)), w, V, U)
    return map(on_device, (w, V, U))
end

EigenPair.solution_values(p::HermitianProblem{T}, a::DeviceMatrices, b) where {T <: LinearAlgebra.BlasFloat} =
    first(solve_on_device(p, a, b, false))

# ---- derivatives, on the host ----------------------------------------------------------------------------------

on_host(x) = x
on_host(x::CuArray) = Array(x)
on_host(x::Symmetric{<:Any, <:CuArray}) = Symmetric(Array(parent(x)), Symbol(x.uplo))
on_host(x::Hermitian{<:Any, <:CuArray}) = Hermitian(Array(parent(x)), Symbol(x.uplo))
on_device(x) = x
on_device(x::Array) = CuArray(x)
on_device(x::Symmetric) = Symmetric(CuArray(parent(x)), Symbol(x.uplo))
on_device(x::Hermitian) = Hermitian(CuArray(parent(x)), Symbol(x.uplo))

EigenPair.tangent_matrices(p::Eigenproblem, input::MatrixInput, ẋ::DeviceMatrices) =
    EigenPair.tangent_matrices(p, input, on_host(ẋ))

function EigenPair.pushforward_at(p::HermitianProblem, a::DeviceMatrices, b, Ω)
    pushforward = EigenPair.pushforward_at(p, on_host(a), on_host(b), map(on_host, Ω))
    return (Ȧ, Ḃ) -> map(on_device, pushforward(Ȧ, Ḃ))
end

function EigenPair.pullback_at(p::HermitianProblem, a::DeviceMatrices, b, Ω)
    pullback = EigenPair.pullback_at(p, on_host(a), on_host(b), map(on_host, Ω))
    return (λ̄, V̄, Ū) -> map(on_device, pullback(on_host(λ̄), on_host(V̄), on_host(Ū)))
end

end
