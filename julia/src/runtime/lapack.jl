# The LAPACK that the core calls.

const INTEGER_BITS = Base.USE_BLAS64 ? 64 : 32

mutable struct LookupCall
    lookup::Any
    failure::Any
end

# An exception must not unwind through the core's frames: it is stored, and thrown after the core has returned.
function answer_lookup(context::Ptr{Cvoid}, routine::Cstring)::Ptr{Cvoid}
    call = unsafe_pointer_to_objref(context)::LookupCall
    call.failure === nothing || return C_NULL
    try
        return convert(Ptr{Cvoid}, call.lookup(unsafe_string(routine)))
    catch failure
        call.failure = failure
        return C_NULL
    end
end

"""
    EigenPair.LAPACKHandle(lookup; integer_bits, get_threads = C_NULL, set_threads = C_NULL)

A LAPACK for the core. `lookup` is a function that maps a routine's plain lower-case name (`"dsyevd"`) to its address, or to
`C_NULL` if there is none; or it is a dictionary from name to address. It is called only while the handle is made.
`integer_bits` is the size of the routines' integers, 64 or 32; the default is Julia's own. `get_threads` and `set_threads`
are addresses of `int32_t (void)` and `void (int32_t)` that read and set the number of threads of this LAPACK. With them, the core
can set LAPACK to one thread while a batch is computed on several of Julia's threads.

By default, Julia's LAPACK is used: the one loaded in libblastrampoline. See [`EigenPair.with_lapack`](@ref).
"""
mutable struct LAPACKHandle
    pointer::Ptr{Cvoid}
    const core::Core
    # Kept alive because it may own the library that the addresses point into.
    const lookup::Any

    function LAPACKHandle(lookup; integer_bits = INTEGER_BITS, get_threads = C_NULL, set_threads = C_NULL)
        integer_bits in (32, 64) || throw(ArgumentError("`integer_bits` must be 32 or 64, got $integer_bits"))
        entry = core().entry
        call = LookupCall(lookup, nothing)
        out = Ref{Ptr{Cvoid}}(C_NULL)
        callback = @cfunction(answer_lookup, Ptr{Cvoid}, (Ptr{Cvoid}, Cstring))
        status = GC.@preserve call ccall(
            entry.lapack_create, Int32, (Int32, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Ptr{Cvoid}}),
            integer_bits, callback, pointer_from_objref(call), out
        )
        call.failure === nothing || throw(call.failure)
        throw_unless_ok(core(), status)
        handle = new(out[], core(), lookup)
        finalizer(destroy, handle)
        status = ccall(
            entry.lapack_set_threading, Int32, (Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}),
            handle.pointer, get_threads, set_threads
        )
        throw_unless_ok(core(), status)
        return handle
    end
end

LAPACKHandle(addresses::AbstractDict; options...) = LAPACKHandle(name -> get(addresses, name, C_NULL); options...)

function destroy(handle::LAPACKHandle)
    ccall(handle.core.entry.lapack_destroy, Cvoid, (Ptr{Cvoid},), handle.pointer)
    handle.pointer = C_NULL
    return nothing
end

"""
    has_routine(handle, name)

Whether the LAPACK has the routine.
"""
has_routine(handle::LAPACKHandle, name) =
    ccall(handle.core.entry.lapack_has, Int32, (Ptr{Cvoid}, Cstring), handle.pointer, name) == 1

const DEFAULT_LAPACK = Ref{Union{LAPACKHandle, Nothing}}(nothing)

# The core gets the addresses of libblastrampoline's functions, not of what they forward to now, so that a later `using MKL` takes effect.
function julia_lapack()
    trampolines = Libdl.dlopen(LinearAlgebra.BLAS.libblastrampoline)
    suffix = INTEGER_BITS == 64 ? "_64_" : "_"
    address(name) = something(Libdl.dlsym(trampolines, name; throw_error = false), C_NULL)
    return LAPACKHandle(
        routine -> address(routine * suffix);
        get_threads = address("lbt_get_num_threads"), set_threads = address("lbt_set_num_threads")
    )
end

"""
    EigenPair.with_lapack(f, handle)

Call `f()` with `handle` as the LAPACK of every decomposition computed by this task.
"""
with_lapack(f, handle::LAPACKHandle) = task_local_storage(f, :EigenPairLAPACK, handle)

function current_lapack()
    lent = get(task_local_storage(), :EigenPairLAPACK, nothing)
    lent === nothing || return lent::LAPACKHandle
    default = DEFAULT_LAPACK[]
    default === nothing || return default
    return lock(CORE_LOCK) do
        if DEFAULT_LAPACK[] === nothing
            DEFAULT_LAPACK[] = julia_lapack()
        end
        DEFAULT_LAPACK[]::LAPACKHandle
    end
end
