"""A diffraction grating by rigorous coupled-wave analysis.

A grating on glass, in light polarized along its lines. In the basis of diffraction orders the field in the layer
obeys `S'' = A S`, with a matrix `A` of the permittivity's Fourier coefficients. The usual code diagonalizes `A`,
which is hard to differentiate where modes of a symmetric grating coincide. Here the layer is `exp(−√A d)`, a function
of a matrix, and no eigenvector appears. The first order in reflection is then maximized over the shape of a period.

Picture: Left, the permittivity of one period, at the start and designed. Right, the reflected orders against the
wavelength: after the design most of the light at the design wavelength goes into order −1.
"""

# %%
import itertools

import eigenpair
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)

# %% Littrow mounting, in units of the design wavelength; air above, glass below, a layer of high index between.
orders = np.arange(-5, 6)
period, depth, glass, high, pixels = 0.85, 0.2, 1.45**2, 3.5**2, 64
kx0 = 0.5 / period


def root(z):
    """√z, analytic on both halves of the real axis: positive for evanescent modes, +i|z|^½ for propagating ones."""
    return jnp.exp(0.25j * jnp.pi) * jnp.sqrt(-1j * z)


def efficiencies(epsilon, wavelength):
    """Order −1 in reflection, and all orders on both sides; `epsilon` is that of a period."""
    kx = kx0 + orders * wavelength / period
    coefficients = jnp.fft.fft(epsilon) / pixels
    a = jnp.diag(kx**2) - coefficients[(orders[:, None] - orders[None, :]) % pixels]
    q = eigenpair.matrix_function(root, a)
    x = jax.scipy.linalg.expm(-2 * jnp.pi * depth / wavelength * q)
    k1, k2 = (jnp.conj(jnp.sqrt(e - kx**2 + 0j)) for e in (1.0, glass))
    one, zero, y1, y2 = jnp.eye(len(orders)), jnp.zeros_like(a), jnp.diag(1j * k1), jnp.diag(1j * k2)
    incident = (orders == 0).astype(complex)
    # Unknown: reflected orders, down-going and up-going waves in the layer, transmitted orders.
    matrix = jnp.block([[-one, one, x, zero], [-y1, -q, q @ x, zero], [zero, x, one, -one], [zero, -q @ x, q, y2]])
    r, _, _, t = jnp.split(
        jnp.linalg.solve(matrix, jnp.concatenate([incident, -y1 @ incident, 0 * incident, 0 * incident])), 4
    )
    r, t = (jnp.abs(z) ** 2 * k.real / k1[orders == 0].real for z, k in ((r, k1), (t, k2)))
    return r[orders == -1].sum(), (r, t)


grating = jax.jit(jax.value_and_grad(efficiencies, has_aux=True))


# %% A layer that is uniform is a slab with a formula of its own (Airy), and energy is conserved.
cosines = [np.sqrt(e - kx0**2) for e in (1.0, high, glass)]
r12, r23 = ((a - b) / (a + b) for a, b in itertools.pairwise(cosines))
phase = np.exp(-4j * np.pi * depth * cosines[1])
airy = abs((r12 + r23 * phase) / (1 + r12 * r23 * phase)) ** 2
(_, (reflected, transmitted)), _ = grating(jnp.full(pixels, high, float), 1.0)
lost = 1 - reflected.sum() - transmitted.sum()
print(f"slab: reflection {reflected.sum():.12f}, by formula {airy:.12f}; lost {lost:.0e}")
assert abs(reflected.sum() - airy) < 1e-10


# %% Design: a smooth threshold of free parameters, sharpened on the way.
def shape(x, sharpness):
    return 1 + (high - 1) * jax.nn.sigmoid(sharpness * x)


start = jnp.asarray(0.3 * np.cos(2 * np.pi * (np.arange(pixels) + 0.5) / pixels))
x, history = start, []
for step in range(200):
    epsilon, pullback = jax.vjp(lambda x, s=2 + step / 20: shape(x, s), x)
    (value, _), slope = grating(epsilon, 1.0)
    history.append(float(value))
    (slope,) = pullback(slope)
    x = x + 0.05 * slope / jnp.linalg.norm(slope)
print(f"order -1: {history[0]:.3f} at the start, {history[-1]:.3f} designed")
assert history[-1] > 0.95

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for y, sharpness, name in ((start, 2.0, "start"), (x, 12.0, "designed")):
    left.step(np.arange(pixels) / pixels, shape(y, sharpness), where="mid", label=name)
left.set(xlabel="position in the period", ylabel="permittivity")
left.legend()
wavelengths = np.linspace(0.9, 1.1, 31)
spectrum = np.array([grating(shape(x, 12.0), w)[0][1][0] for w in wavelengths.tolist()])
for order in (-1, 0):
    right.plot(wavelengths, spectrum[:, orders == order], label=f"order {order}".replace("-", "−"))
right.axvline(1, color="0.8")
right.set(
    xlabel="wavelength / design wavelength", ylabel="reflected power", ylim=(0, 1), xticks=(0.9, 0.95, 1, 1.05, 1.1)
)
right.legend()
figure.savefig("rcwa.png", dpi=110)
