"""Stability margin of a control system.

Two masses on a spring; the motor moves the first, the sensor sees the second. A controller of order two has nine
parameters. Its margin is the distance of the closed loop's eigenvalues from the imaginary axis, and gradient ascent
through `eigvals` of a matrix that is not symmetric makes it large. At the best controllers eigenvalues meet, so the
maximum is smoothed.

Picture: Left, the paths of the closed-loop eigenvalues in the complex plane, which move to the left. Right, the
answer of the second mass to a push, before and after.
"""

# %%
import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)

# %% The plant: positions and velocities of two masses, spring 1, damping 0.02.
k, c = 1.0, 0.02
plant = jnp.array([[0, 0, 1, 0], [0, 0, 0, 1], [-k, k, -c, c], [k, -k, c, -c]])
force, sensor = jnp.array([[0.0], [0], [1], [0]]), jnp.array([[0.0, 1, 0, 0]])


def closed_loop(x):
    """The controller `ż = Ez + Fy, u = Gz + Hy` around the plant."""
    e, f, g, h = x[:4].reshape(2, 2), x[4:6].reshape(2, 1), x[6:8].reshape(1, 2), x[8:].reshape(1, 1)
    return jnp.block([[plant + force @ h @ sensor, force @ g], [f @ sensor, e]])


def abscissa(x, sharpness=60.0):
    """A smooth maximum of the real parts of all eigenvalues, the same for all of them."""
    w = eigenpair.eigvals(closed_loop(x))
    return jax.nn.logsumexp(sharpness * w.real) / sharpness + 1e-4 * jnp.sum(x**2), w


# %% Ascent with steps of a fixed length that shrinks.
start = jnp.array([-1.0, 1.0, -1.0, -1.0, 0.5, 0.5, 0.1, 0.1, -0.1])
step = jax.jit(jax.value_and_grad(abscissa, has_aux=True))
x, path = start, []
best, best_value = start, np.inf
for number in range(1500):
    (value, w), gradient = step(x)
    if value < best_value:
        best, best_value = x, float(value)
    path.append(np.asarray(w))
    x = x - 0.03 / (1 + number / 200) * gradient / jnp.linalg.norm(gradient)
margins = [-float(jnp.max(eigenpair.eigvals(closed_loop(y)).real)) for y in (start, best)]
print(f"margin {margins[0]:+.3f} at the start, {margins[1]:+.3f} at the end")
assert margins[0] < 0.01
assert margins[1] > 0.2

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for w in path[::10]:
    left.plot(w.real, w.imag, ".", color="0.8", ms=3)
left.plot(path[0].real, path[0].imag, "C3o", label="start")
w = np.asarray(eigenpair.eigvals(closed_loop(best)))
left.plot(w.real, w.imag, "C0o", label="designed")
left.axvline(0, color="0.5", lw=0.8)
left.set(xlabel="real part", ylabel="imaginary part", xlim=(-1.2, 0.2))
left.legend()
t = np.linspace(0, 40, 400)
for y, name, colour in ((start, "start", "C3"), (best, "designed", "C0")):
    flow = jax.vmap(lambda s, y=y: jax.scipy.linalg.expm(s * closed_loop(y)))(t)
    right.plot(t, flow[:, 1, 2], colour, label=name)
right.set(xlabel="time", ylabel="second mass after a push", ylim=(-3, 3))
right.legend()
figure.savefig("stability.png", dpi=110)
