"""Inverse eigenvalue problem.

Which symmetric Toeplitz matrix has a given spectrum? Newton's method solves `λ(t) = target` for the first row `t`;
the Jacobian comes from `jax.jacrev` of `eigvalsh`. The error is squared in every step until rounding stops it.

Picture: Error of the eigenvalues against the Newton step, falling from 1 to 1e-14, and the entries of the first row.
"""

# %%
import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.scipy.linalg import toeplitz

jax.config.update("jax_enable_x64", True)

# %% The problem: eight eigenvalues for eight entries.
target = jnp.array([-4.0, -2.5, -1.0, -0.5, 0.5, 1.5, 2.0, 4.0])


@jax.jit
def newton(t):
    """The next first row, and the present error."""
    residual = eigenpair.eigvalsh(toeplitz(t)) - target
    jacobian = jax.jacrev(lambda t: eigenpair.eigvalsh(toeplitz(t)))(t)
    return t - jnp.linalg.lstsq(jacobian, residual)[0], jnp.max(jnp.abs(residual))


# %% Iterate from a banded matrix with about the right width of spectrum.
t = jnp.array([0.0, 2.0, 0.3, 0.1, 0.1, -0.1, 0.1, 0.05])
errors = []
for _ in range(8):
    t, error = newton(t)
    errors.append(float(error))
    print(f"step {len(errors):2d}: error {error:.1e}")
assert errors[-1] < 1e-10

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.semilogy(errors, "o-")
left.set(xlabel="Newton step", ylabel="largest error of an eigenvalue")
right.bar(range(len(t)), t)
right.set(xlabel="diagonal", ylabel="entry", title="the Toeplitz matrix found")
figure.savefig("inverse.png", dpi=110)
