# The C ABI of the core (csrc/include/eigenpair.h) as Julia sees it: the library, the LAPACK lent to it, and jobs.

# The number of the header that the structs and signatures below were written for.
const ABI_VERSION = Int32(3)

const ENTRY_POINTS = (
    :last_error, :lapack_create, :lapack_set_threading, :lapack_has, :lapack_destroy,
    :hermitian_job, :general_job, :hermitian_rule_job, :has_small_kernels, :job_workers, :job_work, :job_retain, :job_release, :job_finish,
)

struct Core
    path::String
    entry::NamedTuple{ENTRY_POINTS, NTuple{length(ENTRY_POINTS), Ptr{Cvoid}}}
end

const CORE = Ref{Union{Core, Nothing}}(nothing)
const CORE_LOCK = ReentrantLock()

# ---- the library ---------------------------------------------------------------------------------------------

"""
    EigenPair.set_library!(path)

Record in the active project's preferences that the core is the shared library at `path`; `nothing` forgets it. It
takes effect in the next session.
"""
function set_library!(path::Union{AbstractString, Nothing})
    value = path === nothing ? nothing : abspath(path)
    Preferences.set_preferences!(@__MODULE__, "library" => value; force = true)
    return value
end

"""
    EigenPair.library_path()

The shared library in use, loaded now if it was not. Throws an error that says what to do if there is none.
"""
library_path() = core().path

function core()
    loaded = CORE[]
    loaded === nothing || return loaded
    return lock(CORE_LOCK) do
        if CORE[] === nothing
            CORE[] = load_core(find_library()...)
        end
        CORE[]::Core
    end
end

# The path, and who named it: a message about a bad path must say where to correct it.
function find_library()
    path = Preferences.load_preference(@__MODULE__, "library", nothing)
    path === nothing || return path, "the preference `library` of EigenPair"
    path = get(ENV, "EIGENPAIR_LIBRARY", "")
    isempty(path) || return path, "the environment variable EIGENPAIR_LIBRARY"
    jll = Base.identify_package("EigenPair_jll")
    if jll !== nothing
        return Base.invokelatest(getproperty, Base.require(jll), :libeigenpair_path), "the package EigenPair_jll"
    end
    beside = filter(isfile, joinpath.(dirname(pkgdir(@__MODULE__)), ("libeigenpair.so", "libeigenpair.dylib", "eigenpair.dll")))
    isempty(beside) || return first(beside), "its place beside EigenPair.jl"
    return error(
        "EigenPair needs its shared library, libeigenpair, and was not told where it is. Build it \
        (cmake -S . -B build && cmake --build build in eigenpair's root), then either set the environment variable \
        EIGENPAIR_LIBRARY to its path or call EigenPair.set_library!(path) once and restart Julia."
    )
end

function load_core(path, named_by)
    library = try
        Libdl.dlopen(path)
    catch failure
        error(
            "EigenPair cannot load its shared library $path, named by $named_by: $(sprint(showerror, failure)). \
            Correct the path there, or build the library."
        )
    end
    version = Libdl.dlsym(library, :eigenpair_abi_version; throw_error = false)
    version === nothing && error("$path, named by $named_by, is not eigenpair's library: it has no eigenpair_abi_version.")
    found = ccall(version, Int32, ())
    found == ABI_VERSION || error(
        "$path, named by $named_by, speaks version $found of eigenpair's ABI and this EigenPair.jl speaks $ABI_VERSION. \
        Take the library and the package from the same release: rebuild the library, or update the package."
    )
    addresses = map(name -> Libdl.dlsym(library, Symbol(:eigenpair_, name)), ENTRY_POINTS)
    return Core(path, NamedTuple{ENTRY_POINTS}(addresses))
end

# To be called right after the call that returned `status`: the core keeps its message per thread.
function throw_unless_ok(core::Core, status::Int32)
    status == 0 && return nothing
    message = unsafe_string(ccall(core.entry.last_error, Cstring, ()))
    return error("eigenpair's core refused the call (status $status): $message")
end

# ---- LAPACK, lent to the core --------------------------------------------------------------------------------

const INTEGER_BITS = Base.USE_BLAS64 ? 64 : 32

mutable struct LookupCall
    lookup::Any
    failure::Any
end

# An exception must not unwind through the core's frames: it is kept, and thrown once the core has returned.
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

A LAPACK for the core to call. `lookup` takes a routine's plain lower-case name (`"dsyevd"`) and returns its address,
`C_NULL` if there is none; or it is a dictionary from name to address. It is asked only while the handle is made.
`integer_bits` is 64 or 32, as the routines' integers are; the default is Julia's own. `get_threads` and `set_threads`
are addresses of `int32_t (void)` and `void (int32_t)` that read and set how many threads this LAPACK uses: with
them, a batch that is computed on several of Julia's threads is not multiplied by LAPACK's own.

Without a handle of your own, Julia's LAPACK is used, through libblastrampoline, whichever is loaded there.
See [`EigenPair.with_lapack`](@ref).
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

Whether the lent LAPACK has the routine.
"""
has_routine(handle::LAPACKHandle, name) =
    ccall(handle.core.entry.lapack_has, Int32, (Ptr{Cvoid}, Cstring), handle.pointer, name) == 1

const DEFAULT_LAPACK = Ref{Union{LAPACKHandle, Nothing}}(nothing)

# The trampolines are lent, not what they lead to now: `using MKL` later on is followed.
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

# ---- jobs ----------------------------------------------------------------------------------------------------

# Field by field the structs of the same names in the header.
struct CHermitianProblem
    struct_size::Int64
    dtype::Int32
    type::Int32
    triangle::Int32
    layout::Int32
    driver::Int32
    reserved::Int32
    n::Int64
    batch::Int64
    a::Ptr{Cvoid}
    a_stride::Int64
    b::Ptr{Cvoid}
    b_stride::Int64
    w::Ptr{Cvoid}
    v::Ptr{Cvoid}
    u::Ptr{Cvoid}
    info::Ptr{Int32}
end

struct CGeneralProblem
    struct_size::Int64
    dtype::Int32
    layout::Int32
    n::Int64
    batch::Int64
    a::Ptr{Cvoid}
    a_stride::Int64
    b::Ptr{Cvoid}
    b_stride::Int64
    w::Ptr{Cvoid}
    v::Ptr{Cvoid}
    vl::Ptr{Cvoid}
    u::Ptr{Cvoid}
    info::Ptr{Int32}
end

struct CHermitianRule
    struct_size::Int64
    dtype::Int32
    type::Int32
    triangle::Int32
    layout::Int32
    policy::Int32
    reverse::Int32
    conjugated::Int32
    reserved::Int32
    parameter::Float64
    n::Int64
    batch::Int64
    w::Ptr{Cvoid}
    v::Ptr{Cvoid}
    u::Ptr{Cvoid}
    scale::Ptr{Cvoid}
    da::Ptr{Cvoid}
    db::Ptr{Cvoid}
    dw::Ptr{Cvoid}
    dv::Ptr{Cvoid}
    du::Ptr{Cvoid}
    refused::Ptr{Int32}
end

dtype_code(::Type{Float32}) = Int32(0)
dtype_code(::Type{Float64}) = Int32(1)
dtype_code(::Type{ComplexF32}) = Int32(2)
dtype_code(::Type{ComplexF64}) = Int32(3)

address(::Nothing) = C_NULL
address(x::Array) = convert(Ptr{Cvoid}, pointer(x))

# Eigenvalues into `w`, eigenvectors into `v` and the dual basis into `u`, where these are not `nothing`.
function native_hermitian!(w, v, u, type, triangle, A::Array{T}, a_stride, B, b_stride) where {T}
    n, count = size(w)
    (n == 0 || count == 0) && return nothing
    lapack = current_lapack()
    GC.@preserve w v u A B lapack begin
        problem = CHermitianProblem(
            sizeof(CHermitianProblem), dtype_code(T), type, triangle, 0, 0, 0, n, count,
            address(A), a_stride, address(B), b_stride, address(w), address(v), address(u), C_NULL
        )
        run_problem(lapack, lapack.core.entry.hermitian_job, problem)
    end
    return nothing
end

# Eigenvalues into `w`, right and left vectors into `v` and `vl`, the dual basis into `u`, where these are not `nothing`.
function native_general!(w, v, vl, u, A::Array{T}, a_stride, B, b_stride) where {T}
    n, count = size(w)
    (n == 0 || count == 0) && return nothing
    lapack = current_lapack()
    GC.@preserve w v vl u A B lapack begin
        problem = CGeneralProblem(
            sizeof(CGeneralProblem), dtype_code(T), 0, n, count, address(A), a_stride, address(B), b_stride,
            address(w), address(v), address(vl), address(u), C_NULL
        )
        run_problem(lapack, lapack.core.entry.general_job, problem)
    end
    return nothing
end

# Gradients of small Hermitian problems into `da` and `db`, from cotangents `dw`, `dv`, `du`; any of these may be
# `nothing`. `refused[k]` is 1 where `check()` gives no number.
function native_rule!(da, db, refused, type, (policy, parameter), w, v::Array{T}, u, scale, dw, dv, du) where {T}
    n, count = size(w)
    (n == 0 || count == 0) && return nothing
    GC.@preserve da db refused w v u scale dw dv du begin
        rule = CHermitianRule(
            sizeof(CHermitianRule), dtype_code(T), type, 0, 0, policy, 1, 0, 0, parameter, n, count,
            address(w), address(v), address(u), address(scale), address(da), address(db), address(dw), address(dv),
            address(du), pointer(refused)
        )
        job = Ref{Ptr{Cvoid}}(C_NULL)
        status = ccall(
            core().entry.hermitian_rule_job, Int32, (Ref{CHermitianRule}, Int32, Ptr{Ptr{Cvoid}}),
            rule, Threads.nthreads(), job
        )
        throw_unless_ok(core(), status)
        run_job(core(), nothing, job[])
    end
    return nothing
end

has_small_kernels() = ccall(core().entry.has_small_kernels, Int32, ()) == 1

# The arrays that the problem points to must be kept alive by the caller.
function run_problem(lapack::LAPACKHandle, make_job, problem::P) where {P}
    job = Ref{Ptr{Cvoid}}(C_NULL)
    status = ccall(
        make_job, Int32, (Ptr{Cvoid}, Ref{P}, Int32, Ptr{Ptr{Cvoid}}), lapack.pointer, problem, Threads.nthreads(), job
    )
    throw_unless_ok(lapack.core, status)
    run_job(lapack.core, lapack, job[])
    return nothing
end

# The calling task works too and waits only for chunks that others have begun, never for tasks still queued: those may
# be queued behind the caller's own thread. A task that comes late finds nothing to do, in memory that it has retained.
function run_job(core::Core, lapack, job::Ptr{Cvoid})
    entry = core.entry
    for _ in 2:ccall(entry.job_workers, Int32, (Ptr{Cvoid},), job)
        ccall(entry.job_retain, Cvoid, (Ptr{Cvoid},), job)
        Threads.@spawn GC.@preserve lapack begin
            ccall(entry.job_work, Cvoid, (Ptr{Cvoid},), job)
            ccall(entry.job_release, Cvoid, (Ptr{Cvoid},), job)
        end
    end
    throw_unless_ok(core, ccall(entry.job_finish, Int32, (Ptr{Cvoid},), job))
    return nothing
end
