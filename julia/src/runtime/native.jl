# The C ABI of the core (csrc/include/eigenpair.h) in Julia: problems, and the jobs that solve them.

"""
    @native_struct Name Type(fields...) Type(fields...) ...

A struct of the header, with the fields in its order.
"""
macro native_struct(name, groups...)
    fields = [:($field::$(group.args[1])) for group in groups for field in group.args[2:end]]
    return esc(
        :(
            struct $name
                $(fields...)
            end
        )
    )
end

const Pointer = Ptr{Cvoid}

@native_struct(
    CHermitianProblem, Int64(struct_size), Int32(dtype, type, triangle, layout, driver, reserved), Int64(n, batch),
    Pointer(a), Int64(a_stride), Pointer(b), Int64(b_stride), Pointer(w, v, u, info),
)
@native_struct(
    CGeneralProblem, Int64(struct_size), Int32(dtype, layout), Int64(n, batch),
    Pointer(a), Int64(a_stride), Pointer(b), Int64(b_stride), Pointer(w, v, vl, u, info),
)
@native_struct(
    CSubsetProblem, Int64(struct_size), Int32(dtype, triangle, layout, reserved), Int64(n, batch, first, count),
    Pointer(a), Int64(a_stride), Pointer(b), Int64(b_stride), Pointer(w, edges, v, factor, info),
)
@native_struct(
    CComplementProblem, Int64(struct_size), Int32(dtype, layout, reserved, type), Int64(n, batch, count),
    Pointer(factor, w, v, y, x, info),
)
@native_struct(
    CBandedProblem, Int64(struct_size), Int32(dtype, layout), Int64(n, batch, bandwidth, first, count),
    Pointer(a, w, v, edges, info),
)
@native_struct(
    CBandedComplementProblem, Int64(struct_size), Int32(dtype, layout), Int64(n, batch, bandwidth, count),
    Pointer(a, w, v, y, x, info),
)
@native_struct(
    CHermitianRule, Int64(struct_size), Int32(dtype, type, triangle, layout, policy, reverse, conjugated, options),
    Float64(parameter), Int64(n, batch), Pointer(w, v, u, scale, da, db, dw, dv, du, refused),
)
@native_struct(
    CSpectralForm, Int64(struct_size), Int32(dtype, layout, order, reserved), Int64(step, n, batch, shared),
    Pointer(w, v, values, derivative, first, half_second, left, right), Pointer(x), Int64(x_outer, x_inner),
    Pointer(y), Int64(y_outer, y_inner), Pointer(out), Int64(out_outer, out_inner),
)
@native_struct(
    CDecision, Int64(struct_size), Int32(dtype, general, type, mode, layout, policy, options, reserved), Float64(parameter),
    Int64(n, order, batch), Pointer(w, k, dw, scale, reach, condition, sizes, norms, v, u, dv, du, da, db, outside, largest),
    Pointer(edges, used, gaps, reasons, lost, refused, scales),
)

dtype_code(::Type{Float32}) = Int32(0)
dtype_code(::Type{Float64}) = Int32(1)
dtype_code(::Type{ComplexF32}) = Int32(2)
dtype_code(::Type{ComplexF64}) = Int32(3)

# The C argument for a Julia argument: the address of an array, or the number itself.
address(::Nothing) = C_NULL
address(x::Array) = convert(Pointer, pointer(x))
address(x::Integer) = x

# Describes a batch to the core in a struct of type P, and runs the job.
function run_native(entry::Symbol, ::Type{P}, codes, arrays) where {P}
    lapack = current_lapack()
    GC.@preserve arrays lapack begin
        problem = P(sizeof(P), codes..., map(address, arrays)...)
        run_problem(lapack, getproperty(lapack.core.entry, entry), problem)
    end
    return nothing
end

# Decisions about a batch of spectra into `reasons` and `lost`. `arrays` are the fields `w` to `used` of the struct, in its order.
function native_decision!(reasons, lost, dtype, general, type, mode, (policy, parameter), options, order, arrays, scales)
    isempty(lost) && return nothing
    current = core()
    GC.@preserve reasons lost arrays scales begin
        decision = CDecision(
            sizeof(CDecision), dtype, general, type, mode, 0, policy, options, 0, parameter, size(lost, 1), order, size(lost, 2),
            map(address, arrays)..., C_NULL, address(reasons), address(lost), C_NULL, address(scales)
        )
        throw_unless_ok(current, ccall(current.entry.decide, Int32, (Ref{CDecision},), decision))
    end
    return nothing
end

reason_text(reason) = unsafe_string(ccall(core().entry.reason_text, Cstring, (Int32,), reason))

has_small_kernels() = ccall(core().entry.has_small_kernels, Int32, ()) == 1

# The arrays that the problem points to must be kept alive by the caller.
function run_problem(lapack::LAPACKHandle, make_job, problem::P) where {P}
    job = Ref{Pointer}(C_NULL)
    status = ccall(
        make_job, Int32, (Pointer, Ref{P}, Int32, Ptr{Pointer}), lapack.pointer, problem, Threads.nthreads(), job
    )
    throw_unless_ok(lapack.core, status)
    run_job(lapack.core, lapack, job[])
    return nothing
end

# The calling task works too. It waits only for chunks that other tasks have begun, not for queued tasks, because these may be queued
# behind the caller's own thread. A task that starts late finds no work left; the job's memory is still valid, because the task has
# retained it.
function run_job(core::Core, lapack, job::Pointer)
    entry = core.entry
    for _ in 2:ccall(entry.job_workers, Int32, (Pointer,), job)
        ccall(entry.job_retain, Cvoid, (Pointer,), job)
        Threads.@spawn GC.@preserve lapack begin
            ccall(entry.job_work, Cvoid, (Pointer,), job)
            ccall(entry.job_release, Cvoid, (Pointer,), job)
        end
    end
    throw_unless_ok(core, ccall(entry.job_finish, Int32, (Pointer,), job))
    return nothing
end
