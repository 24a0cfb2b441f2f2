"""A whitening layer and the Fréchet distance.

A layer that whitens its batch multiplies by `C^(−1/2)`, and the Fréchet distance between two Gaussians, the loss
behind the FID score, needs a square root of a product of covariances. Both are functions of matrices, so
`spectral_map` and `spectral_sum` give their gradients without a care for equal eigenvalues. Here an Equinox network
with a whitening layer learns to turn noise into points on a ring.

Picture: The loss in every step, and three clouds of points: the data on a ring, noise through the untrained
network, and through the trained network, which has the shape of the ring.
"""

# %%
import eigenpair
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from eigenpair.functions import inv_sqrt

jax.config.update("jax_enable_x64", True)


# %% Whitening: the mean becomes 0 and the covariance the identity.
def whitened(x):
    x = x - x.mean(0)
    return x @ eigenpair.spectral_map(inv_sqrt, x.T @ x / len(x) + 1e-6 * jnp.eye(x.shape[1]))


def frechet(x, y):
    """|m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₁^½ C₂ C₁^½)^½) of two sets of features."""
    c1, c2 = (jnp.cov(z.T) + 1e-6 * jnp.eye(z.shape[1]) for z in (x, y))
    root = eigenpair.spectral_map(jnp.sqrt, c1)
    cross = eigenpair.spectral_sum(lambda w: jnp.sqrt(jnp.maximum(w, 1e-12)), root @ c2 @ root)
    return jnp.sum((x.mean(0) - y.mean(0)) ** 2) + jnp.trace(c1) + jnp.trace(c2) - 2 * cross


class Generator(eqx.Module):
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    third: eqx.nn.Linear

    def __call__(self, noise):
        x = whitened(jnp.tanh(jax.vmap(self.first)(noise)))
        return jax.vmap(self.third)(jnp.tanh(jax.vmap(self.second)(x)))


# %% Data, fixed random features to compare in, and training.
def ring(key, count):
    angle, radius = jax.random.uniform(key, (2, count))
    return (1.8 + 0.3 * radius)[:, None] * jnp.stack([jnp.cos(2 * jnp.pi * angle), jnp.sin(2 * jnp.pi * angle)], 1)


keys = jax.random.split(jax.random.key(0), 6)
directions, offsets = 1.2 * jax.random.normal(keys[0], (2, 32)), 6 * jax.random.uniform(keys[1], (32,))
features = lambda x: jnp.cos(x @ directions + offsets)  # noqa: E731
model = start = Generator(
    eqx.nn.Linear(6, 24, key=keys[2]), eqx.nn.Linear(24, 48, key=keys[3]), eqx.nn.Linear(48, 2, key=keys[4])
)
optimizer = optax.adam(4e-3)
state = optimizer.init(eqx.filter(model, eqx.is_array))


@eqx.filter_jit
def step(model, state, key):
    k1, k2 = jax.random.split(key)
    noise, data = jax.random.normal(k1, (1024, 6)), ring(k2, 1024)
    loss, slope = eqx.filter_value_and_grad(lambda m: frechet(features(m(noise)), features(data)))(model)
    update, state = optimizer.update(slope, state)
    return eqx.apply_updates(model, update), state, loss


losses = []
for key in jax.random.split(keys[5], 600):
    model, state, loss = step(model, state, key)
    losses.append(float(loss))
print(f"Fréchet distance {losses[0]:.2f} at the start, {losses[-1]:.3f} at the end")
assert losses[-1] < losses[0] / 10

# %%
figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained")
axes[0].semilogy(losses)
axes[0].set(xlabel="step", ylabel="Fréchet distance")
noise = jax.random.normal(keys[5], (1000, 6))
clouds = {"data": ring(keys[4], 1000), "untrained": start(noise), "trained": model(noise)}
for axis, (name, x) in zip(axes[1:], clouds.items(), strict=True):
    axis.plot(*x.T, ".", ms=2)
    axis.set(title=name, xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal")
figure.savefig("whitening.png", dpi=110)
