# As much of CUDA.jl as EigenPair's extension calls, on host memory, with the C tests' cuSOLVER (csrc/tests/cuda/fake_cuda.c)
# in the place of NVIDIA's. EIGENPAIR_STAND_IN names the folder of the libraries.
module CUDA

using Libdl

export CuArray, CuVector

primitive type CuPtr{T} 64 end
const CUstream = Ptr{Cvoid}

struct CuArray{T, N} <: AbstractArray{T, N}
    data::Array{T, N}
end
const CuVector{T} = CuArray{T, 1}
CuArray(x::AbstractArray{T, N}) where {T, N} = CuArray{T, N}(Array(x))
CuArray(x::CuArray) = CuArray(copy(x.data))
CuArray{T}(::UndefInitializer, dims::Integer...) where {T} = CuArray(Array{T}(undef, dims...))
CuArray{T, 1}(::UndefInitializer, n::Integer) where {T} = CuArray(Vector{T}(undef, n))
Base.size(x::CuArray) = size(x.data)
Base.getindex(x::CuArray, i::Int) = x.data[i]
Base.setindex!(x::CuArray, value, i::Int) = (x.data[i] = value)
Base.IndexStyle(::Type{<:CuArray}) = IndexLinear()
Base.similar(x::CuArray, ::Type{T}, dims::Dims) where {T} = CuArray(Array{T}(undef, dims))
Base.Array(x::CuArray) = copy(x.data)
Base.reshape(x::CuArray, dims::Dims) = CuArray(reshape(x.data, dims))
Base.pointer(x::CuArray{T}) where {T} = reinterpret(CuPtr{T}, pointer(x.data))
Base.BroadcastStyle(::Type{<:CuArray}) = Broadcast.ArrayStyle{CuArray}()
Base.similar(b::Broadcast.Broadcasted{Broadcast.ArrayStyle{CuArray}}, ::Type{T}) where {T} =
    CuArray(Array{T}(undef, map(length, axes(b))))

struct CuStream end
Base.unsafe_convert(::Type{CUstream}, ::CuStream) = CUstream(64)
stream() = CuStream()
context() = nothing
context!(::Nothing) = nothing
unsafe_free!(::CuArray) = nothing
runtime_version() = (open_libraries(); v"12.9")

# Under CUDA's names, which the extension looks for among what is loaded.
function open_libraries()
    folder = ENV["EIGENPAIR_STAND_IN"]
    return foreach(name -> Libdl.dlopen(joinpath(folder, name)), ("libcudart.so.12", "libcublas.so.12", "libcusolver.so.11"))
end

module CUSOLVER
    version() = v"11.7.5"
end

end
