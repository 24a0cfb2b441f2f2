# Code of first calls and first gradients, compiled with the package: for real matrices, if the core can be loaded at that time.

@setup_workload begin
    has_core = try
        core()
        true
    catch
        false
    end
    a, b = [2.0 1.0; 1.0 3.0], [2.0 0.0; 0.0 1.0]
    has_core && @compile_workload begin
        for matrices in ((a,), (a, b))
            w, pullback = rrule(eigvalsh, matrices...)
            pullback(w)
            Ω, pullback = rrule(eigh, matrices...)
            pullback(Tangent{typeof(Ω)}(; eigenvalues = Ω.eigenvalues, eigenvectors = Ω.eigenvectors))
        end
        eigvalsh(a)
        eigh(a)
        eigh(Symmetric(a))
        y, pullback = rrule(spectral_sum, exp, a)
        pullback(y)
        Y, pullback = rrule(spectral_map, exp, a)
        pullback(Y)
    end
    # Addresses do not survive precompilation.
    CORE[] = nothing
    DEFAULT_LAPACK[] = nothing
end
