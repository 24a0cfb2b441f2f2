# The shared library of the core: where it is found, which symbols it must have, and how its error messages are read.

# The ABI version of the header for which the structs and signatures of native.jl and lapack.jl were written.
const ABI_VERSION = Int32(10)

const ENTRY_POINTS = (
    :last_error, :lapack_create, :lapack_set_threading, :lapack_has, :lapack_destroy,
    :hermitian_job, :general_job, :subset_job, :complement_job, :banded_job, :banded_complement_job, :hermitian_rule_job,
    :spectral_form_job, :has_small_kernels,
    :decide, :reason_text,
    :job_workers, :job_work, :job_retain, :job_release, :job_finish,
)

struct Core
    path::String
    entry::NamedTuple{ENTRY_POINTS, NTuple{length(ENTRY_POINTS), Ptr{Cvoid}}}
end

const CORE = Ref{Union{Core, Nothing}}(nothing)
const CORE_LOCK = ReentrantLock()

"""
    EigenPair.set_library!(path)

Record in the active project's preferences that the core is the shared library at `path`; `nothing` removes the record. This
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

# The path and the setting that it came from, so that an error message can say which setting to correct.
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
        "EigenPair needs its shared library, libeigenpair, and does not know where it is. If the Python package eigenpair is \
        installed, call EigenPair.set_library!(python = \"python3\") once and restart Julia. Otherwise build it \
        (cmake -S . -B build && cmake --build build in eigenpair's root), and call EigenPair.set_library!(path), or set the \
        environment variable EIGENPAIR_LIBRARY to its path."
    )
end

function load_core(path, set_by)
    library = try
        Libdl.dlopen(path)
    catch failure
        error(
            "EigenPair cannot load its shared library $path, set by $set_by: $(sprint(showerror, failure)). \
            Correct the path there, or build the library."
        )
    end
    version = Libdl.dlsym(library, :eigenpair_abi_version; throw_error = false)
    version === nothing && error("$path, set by $set_by, is not eigenpair's library: it has no eigenpair_abi_version.")
    found = ccall(version, Int32, ())
    found == ABI_VERSION || error(
        "$path, set by $set_by, has ABI version $found, and this EigenPair.jl needs version $ABI_VERSION. \
        Use the library and the package of the same release: rebuild the library, or update the package."
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
