# The C ABI of the core (csrc/include/eigenpair.h) as Julia sees it: problems, and the jobs that solve them.

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
    options::Int32
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

struct CPartialProblem
    struct_size::Int64
    dtype::Int32
    triangle::Int32
    layout::Int32
    reserved::Int32
    n::Int64
    batch::Int64
    first::Int64
    count::Int64
    a::Ptr{Cvoid}
    a_stride::Int64
    b::Ptr{Cvoid}
    b_stride::Int64
    w::Ptr{Cvoid}
    edges::Ptr{Cvoid}
    v::Ptr{Cvoid}
    factor::Ptr{Cvoid}
    info::Ptr{Int32}
end

struct CComplementProblem
    struct_size::Int64
    dtype::Int32
    layout::Int32
    reserved::Int32
    type::Int32
    n::Int64
    batch::Int64
    count::Int64
    factor::Ptr{Cvoid}
    w::Ptr{Cvoid}
    v::Ptr{Cvoid}
    y::Ptr{Cvoid}
    x::Ptr{Cvoid}
    info::Ptr{Int32}
end

struct CDecision
    struct_size::Int64
    dtype::Int32
    general::Int32
    type::Int32
    mode::Int32
    layout::Int32
    policy::Int32
    options::Int32
    reserved::Int32
    parameter::Float64
    n::Int64
    order::Int64
    batch::Int64
    w::Ptr{Cvoid}
    k::Ptr{Cvoid}
    dw::Ptr{Cvoid}
    scale::Ptr{Cvoid}
    reach::Ptr{Cvoid}
    condition::Ptr{Cvoid}
    sizes::Ptr{Cvoid}
    norms::Ptr{Cvoid}
    v::Ptr{Cvoid}
    u::Ptr{Cvoid}
    dv::Ptr{Cvoid}
    du::Ptr{Cvoid}
    da::Ptr{Cvoid}
    db::Ptr{Cvoid}
    outside::Ptr{Cvoid}
    largest::Ptr{Cvoid}
    edges::Ptr{Cvoid}
    used::Ptr{Int32}
    gaps::Ptr{Int32}
    reasons::Ptr{Int32}
    lost::Ptr{Int32}
    refused::Ptr{Int32}
    scales::Ptr{Cvoid}
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

# Eigenvalues of the subset into `w`, eigenvectors into `v`, and what `Reduction` holds, where these are not `nothing`.
function native_partial!(w, v, edges, factor, p, A::Array{T}, a_stride, B, b_stride) where {T}
    k, count = size(w)
    count == 0 && return nothing
    lapack = current_lapack()
    GC.@preserve w v edges factor A B lapack begin
        problem = CPartialProblem(
            sizeof(CPartialProblem), dtype_code(T), p.triangle, 0, 0, p.n, count, first(p.subset) - 1, k,
            address(A), a_stride, address(B), b_stride, address(w), address(edges), address(v), address(factor), C_NULL
        )
        run_problem(lapack, lapack.core.entry.partial_job, problem)
    end
    return nothing
end

# `x = G(y)`, of what `native_partial!` wrote.
function native_complement!(x, p, factor::Array{T}, w, v, y) where {T}
    k, count = size(w)
    count == 0 && return nothing
    lapack = current_lapack()
    GC.@preserve x factor w v y lapack begin
        problem = CComplementProblem(
            sizeof(CComplementProblem), dtype_code(T), 0, 0, p.type, p.n, count, k, address(factor), address(w),
            address(v), address(y), address(x), C_NULL
        )
        run_problem(lapack, lapack.core.entry.complement_job, problem)
    end
    return nothing
end

# Gradients of Hermitian problems into `da` and `db`, on `triangle`, from cotangents `dw`, `dv`, `du`; any of these may
# be `nothing`. `refused[k]` is 1 where `check()` gives no number.
function native_rule!(da, db, refused, type, triangle, (policy, parameter), w, v::Array{T}, u, scale, dw, dv, du) where {T}
    n, count = size(w)
    (n == 0 || count == 0) && return nothing
    lapack = current_lapack()
    GC.@preserve da db refused w v u scale dw dv du lapack begin
        rule = CHermitianRule(
            sizeof(CHermitianRule), dtype_code(T), type, triangle, 0, policy, 1, 0, 0, parameter, n, count,
            address(w), address(v), address(u), address(scale), address(da), address(db), address(dw), address(dv),
            address(du), pointer(refused)
        )
        run_problem(lapack, lapack.core.entry.hermitian_rule_job, rule)
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

# The calling task works too. It waits only for chunks that other tasks have begun, never for tasks that are still queued:
# those may be queued behind the caller's own thread. A task that starts late finds no work left; the job's memory is still
# valid, because the task has retained it.
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
