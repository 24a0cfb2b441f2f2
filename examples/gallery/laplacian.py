"""A graph with a target Laplacian spectrum.

The Petersen graph has the Laplacian eigenvalues 0, 2 (five times) and 5 (four times). Starting from random weights on
all 45 edges of ten vertices, gradient descent finds a weighted graph with this spectrum. The loss compares whole sets
of eigenvalues, so that its gradient exists where they coincide; a small penalty keeps the graph sparse.

Picture: Left, the eigenvalues in every step of the descent, which gather at 0, 2 and 5. Right, the graph found, with
line widths as weights.
"""

# %%
import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)

# %% Ten vertices, an edge between any two, and weights that are squares so that they are not negative.
n = 10
i, j = jnp.triu_indices(n, 1)
target = jnp.array([0.0] + 5 * [2.0] + 4 * [5.0])


def laplacian(x):
    a = jnp.zeros((n, n)).at[i, j].set(x**2)
    a = a + a.T
    return jnp.diag(a.sum(1)) - a


def loss(x, sparsity):
    w = eigenpair.eigvalsh(laplacian(x))
    return jnp.sum((w - target) ** 2) + sparsity * jnp.sum(jnp.abs(x)), w


# %% Gradient descent with momentum. The penalty goes away at the end.
step = jax.jit(jax.value_and_grad(loss, has_aux=True))
x, velocity, path = jax.random.uniform(jax.random.key(3), i.shape), 0.0, []
for k in range(6000):
    (value, w), gradient = step(x, 0.05 * max(0.0, 1 - k / 2000))
    velocity = 0.9 * velocity - 5e-3 * gradient
    x = x + velocity
    path.append(w)
print("spectrum:", np.round(path[-1], 4))
print(f"edges heavier than 0.01: {int(jnp.sum(x**2 > 0.01))} of {len(x)}")
assert jnp.max(jnp.abs(path[-1] - target)) < 1e-3

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot(np.asarray(path))
left.set(xlabel="step", ylabel="eigenvalue", xscale="log")
angle = 2 * np.pi * np.arange(n) / n
at = np.stack([np.cos(angle), np.sin(angle)], 1)
for a, b, weight in zip(i, j, x**2, strict=True):
    right.plot(*at[[a, b]].T, color="0.3", lw=3 * float(weight), zorder=1)
right.scatter(*at.T, s=120, zorder=2)
right.set_aspect("equal")
right.axis("off")
figure.savefig("laplacian.png", dpi=110)
