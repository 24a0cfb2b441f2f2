"""Structural modes with a frequency constraint.

A truss bridge: bars between 2 × 7 joints, the lower corners fixed. How thick must each bar be so that no vibration is
slower than a given frequency, with as little mass as possible? The modes solve `K v = ω² M v`, where both matrices
depend on the bars. Near the optimum the two lowest modes come together; `spectral_sum` of the pair has derivatives
there too.

Picture: Left, the bridge found, a trapezoid with line widths as cross sections. Right, the lowest squared frequencies
relative to the limit on the way: the lowest lies at the limit, and the second comes down to it.
"""

# %%
import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

jax.config.update("jax_enable_x64", True)

# %% Joints on a grid; bars between neighbours, with both diagonals. Young's modulus and density are 1.
columns = 7
joints = np.array([(c, r) for c in range(columns) for r in range(2)], float)
bars = [(a, b) for a in range(len(joints)) for b in range(a) if np.linalg.norm(joints[a] - joints[b]) < 1.5]
free = np.array([d for d in range(2 * len(joints)) if d // 2 not in (0, 2 * columns - 2)])
stiffness, mass, length = [], [], []
for a, b in bars:
    span = joints[a] - joints[b]
    length.append(np.linalg.norm(span))
    direction = np.zeros(2 * len(joints))
    direction[2 * a : 2 * a + 2], direction[2 * b : 2 * b + 2] = span / length[-1], -span / length[-1]
    stiffness.append(np.outer(direction, direction)[np.ix_(free, free)] / length[-1])
    ends = np.repeat(np.isin(np.arange(len(joints)), (a, b)), 2)
    mass.append(np.diag(ends * length[-1] / 2.0)[np.ix_(free, free)])
stiffness, mass, length = (jnp.asarray(np.array(x)) for x in (stiffness, mass, length))
load = 0.05 * jnp.eye(len(free))  # the roadway: mass that is not structure


def modes(x):
    area = jnp.exp(x)
    return jnp.tensordot(area, stiffness, 1), jnp.tensordot(area, mass, 1) + load


# %% Minimize the mass; a soft minimum of ω² must be above the limit (augmented Lagrangian).
limit = 0.015
sharpness = 60 / limit


def soft_minimum(x):
    k, m = modes(x)
    return -jnp.log(eigenpair.spectral_sum(lambda w: jnp.exp(-sharpness * (w - limit)), k, m)) / sharpness + limit


def lagrangian(x, multiplier):
    lack = jnp.maximum(0.0, multiplier / 1000 + 1 - soft_minimum(x) / limit)
    return jnp.exp(x) @ length + 500 * lack**2, 1000 * lack


optimizer = optax.adam(0.02)
gradient = jax.jit(jax.grad(lagrangian, has_aux=True))
lowest = jax.jit(lambda x: eigenpair.eigvalsh(*modes(x))[:5])
x, multiplier, path = jnp.zeros(len(bars)), 0.0, []
state = optimizer.init(x)
for step in range(2000):
    slope, lack = gradient(x, multiplier)
    if step % 20 == 19:
        multiplier = lack
    update, state = optimizer.update(slope, state)
    x = jnp.maximum(x + update, jnp.log(1e-3))
    path.append(np.asarray(lowest(x)) / limit)
print(f"mass {jnp.exp(x) @ length:.2f} (all bars equal: {length.sum():.2f}); lowest ω² / limit: {path[-1].round(3)}")
assert path[-1][0] > 0.98

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for (a, b), area in zip(bars, jnp.exp(x), strict=True):
    left.plot(*joints[[a, b]].T, color="0.3", lw=14 * float(area) ** 0.5, solid_capstyle="round")
left.plot(*joints[[0, 2 * columns - 2]].T, "C3^", ms=9)
left.set_aspect("equal")
left.axis("off")
right.plot(path)
right.axhline(1, color="0.6", lw=0.8)
right.set(xlabel="step", ylabel="lowest ω² / limit", ylim=(0, 6))
figure.savefig("truss.png", dpi=110)
