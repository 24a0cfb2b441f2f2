# Scalar functions for spectral_map and spectral_sum. Any other differentiable function works too: exp, log, sqrt,
# sign, or the user's own.

"""
    EigenPair.inv_sqrt(x)

`1/√x`, for Löwdin orthogonalization and whitening.
"""
inv_sqrt(x) = inv(sqrt(x))

"""
    EigenPair.power(p)

The function `x ↦ xᵖ`, on positive numbers, or on all numbers if `p` is an integer. Derivatives with respect to `p` exist.
"""
power(p) = Power(p)

struct Power{P <: Number}
    p::P
end
(f::Power)(x) = x^f.p

"""
    EigenPair.fermi_dirac(mu, beta)

The function `x ↦ 1/(1 + exp(β(x − μ)))`: occupations at chemical potential `mu`, in the units of the eigenvalues, and inverse
temperature `beta`, in their inverse. Derivatives with respect to both exist.
"""
fermi_dirac(mu, beta) = FermiDirac(mu, beta)

struct FermiDirac{M <: Real, B <: Real}
    mu::M
    beta::B
end
function (f::FermiDirac)(x)
    z = f.beta * (x - f.mu)
    e = exp(-abs(z)) # cannot overflow
    return (z > 0 ? e : one(e)) / (1 + e)
end
