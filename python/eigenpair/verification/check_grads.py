"""`check_grads`: compares the gradient of a loss with finite differences, with a verdict for each input."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..degeneracy import DegeneracyWarning
from ..degeneracy.policies import explaining, without_explanations
from .finite_differences import Slope, slope

RIGHT, WRONG, NAN, KINK, JUMP, UNDECIDED = "right", "wrong", "nan", "kink", "jump", "undecided"

_ADVICE = {
    NAN: "The loss has no derivative here, or the rule cannot tell that it has one.",
    KINK: "The one-sided derivatives differ: a kink, or a gap between eigenvalues that is narrower than the steps.",
    JUMP: "The loss is not continuous here, or turns over within the shortest step, so it has no derivative.",
    UNDECIDED: "Finite differences do not settle: noise, a jump, or a scale that the steps do not suit.",
}


@dataclasses.dataclass(frozen=True)
class InputCheck:
    """The result for one input, in the direction in which the two derivatives differ most.

    - `name`: the argument, and the place in it.
    - `verdict`: `"right"`, `"wrong"`, `"nan"` (the gradient is NaN), `"kink"` (the loss has only one-sided
        derivatives), `"jump"` (not even those) or `"undecided"` (finite differences do not converge).
    - `gradient`, `differences`: the derivative in that direction, from the gradient and from finite differences.
    - `uncertainty`: the estimated error of `differences`.
    - `error`: the difference between the two, relative to the larger one.
    - `below`, `above`: the one-sided derivatives.
    - `note`: further remarks.
    """

    name: str
    verdict: str
    gradient: float
    differences: float
    uncertainty: float
    error: float
    below: float
    above: float
    note: str = ""

    def __str__(self) -> str:
        if self.verdict == RIGHT:
            text = f"right      to {self.error:.1e}"
        elif self.verdict == WRONG:
            text = (
                f"WRONG      by {100 * self.error:.3g} %: the gradient says {self.gradient:.6g}, "
                f"finite differences say {self.differences:.6g} ± {self.uncertainty:.1e}"
            )
        elif self.verdict == NAN:
            settled = self.uncertainty <= 1e-2 * abs(self.differences)
            said = f"say {self.differences:.6g} ± {self.uncertainty:.1e}" if settled else "do not settle either"
            text = f"NaN        finite differences {said}. {_ADVICE[NAN]}"
        elif self.verdict == JUMP:
            text = f"JUMP       the gradient says {self.gradient:.6g}. {_ADVICE[JUMP]}"
        elif self.verdict == KINK:
            text = f"KINK       from below {self.below:.6g}, from above {self.above:.6g}. {_ADVICE[KINK]}"
        else:
            text = f"UNDECIDED  the gradient says {self.gradient:.6g}. {_ADVICE[UNDECIDED]}"
        return f"{self.name}: {text}" + "".join(f"\n    {line}" for line in self.note.splitlines())


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The result of `check_grads`: one `InputCheck` for each input, and `ok`, whether all of them are right."""

    inputs: tuple[InputCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether the gradient is right in every input."""
        return all(x.verdict == RIGHT for x in self.inputs)

    def __str__(self) -> str:
        right = sum(x.verdict == RIGHT for x in self.inputs)
        of = f"{len(self.inputs)} input{'s' if len(self.inputs) != 1 else ''}"
        verdict = f"The gradient is right in {of}." if self.ok else f"The gradient is right in {right} of {of}."
        return "\n".join([*map(str, self.inputs), verdict])


def check_grads(
    f: Callable[..., Any], *arguments: Any, order: int = 1, directions: int = 3, seed: int = 0
) -> GradientCheck:
    """Compares the gradient of a real loss with finite differences of the loss, input by input.

    Each input is moved along random directions of length one, with steps relative to its size. The differences
    are extrapolated (Ridders), which also estimates their error. Run it in double precision: in single
    precision, finite differences detect hardly any error below one percent.

    **Arguments:**

    - `f`: the loss, from arrays or trees of arrays to one real number. `jax.jit` makes it faster.
    - `arguments`: the point at which to compare. Every array of floating-point numbers in them is an input.
    - `order`: 1, or 2 for second derivatives: the gradient of a random directional derivative is compared.
    - `directions`: the number of directions for each input.
    - `seed`: the seed of the random directions.

    **Returns:** a `GradientCheck`; print it.

    **Raises:** `TypeError` if `f` does not return one real number, or if no input can be differentiated; `ValueError`
    if the loss is not finite at `arguments`, or for a bad `order` or `directions`.

    !!! example
        ```python
        loss = lambda a: jnp.sum(eigenpair.eigvalsh(a)[:2])
        print(eigenpair.check_grads(loss, jnp.diag(jnp.arange(4.0))))
        ```
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    if not isinstance(directions, int) or directions < 1:
        raise ValueError(f"directions must be a positive integer, got {directions!r}")
    leaves, tree = jax.tree_util.tree_flatten_with_path(arguments)
    values = [np.asarray(x) if isinstance(x, float | complex | np.ndarray) else x for _, x in leaves]
    chosen = [k for k, x in enumerate(values) if _is_floating(x)]
    if not chosen:
        raise TypeError("check_grads found no array of floating-point numbers among the arguments of f")

    def of_inputs(*inputs: Any) -> Any:
        whole = list(values)
        for k, x in zip(chosen, inputs, strict=True):
            whole[k] = x
        return f(*jax.tree_util.tree_unflatten(tree, whole))

    inputs = [jnp.asarray(values[k]) for k in chosen]
    value = of_inputs(*inputs)
    if jnp.shape(value) != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(
            f"f must return one real number, got {jnp.result_type(value)} of shape {jnp.shape(value)}; "
            "take a sum, a real part or an absolute value"
        )
    if not bool(jnp.isfinite(value)):
        raise ValueError(f"the loss is {value} at these arguments, so it has no derivative")
    # Not default_rng(seed), of which many people make their matrices: directions would be those matrices.
    rng = np.random.default_rng([seed, 0x65696765])
    if order == 2:
        of_inputs = _directional(of_inputs, [_direction(rng, x, False) for x in inputs])
    gradients, explained = _gradients(of_inputs, inputs)
    return GradientCheck(
        tuple(
            _check_input(of_inputs, inputs, i, gradients[i], _name(leaves[k][0]), directions, rng, explained)
            for i, k in enumerate(chosen)
        )
    )


def _is_floating(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact) and np.size(x) > 0


def _name(path: tuple[Any, ...]) -> str:
    return f"argument {path[0].idx}{jax.tree_util.keystr(path[1:])}"


def _directional(f: Callable[..., Any], directions: list[Any]) -> Callable[..., Any]:
    def derivative(*inputs: Any) -> Any:
        gradients = jax.grad(f, tuple(range(len(inputs))))(*inputs)
        return sum(jnp.sum(jnp.real(g * d)) for g, d in zip(gradients, directions, strict=True))

    return derivative


def _gradients(f: Callable[..., Any], inputs: list[Any]) -> tuple[list[np.ndarray[Any, Any]], str]:
    """The gradients, and the reasons of the rules where a gradient is NaN."""
    differentiate = jax.grad(f, tuple(range(len(inputs))))
    gradients = [np.asarray(g) for g in differentiate(*inputs)]
    if all(np.isfinite(g).all() for g in gradients):
        return gradients, ""
    with warnings.catch_warnings(record=True) as caught, explaining():
        warnings.simplefilter("always")
        jax.block_until_ready(differentiate(*inputs))
        jax.effects_barrier()
    said = [str(w.message) for w in caught if issubclass(w.category, DegeneracyWarning)]
    return gradients, "\n".join(dict.fromkeys(said))


def _direction(rng: np.random.Generator, x: Any, hermitian: bool) -> np.ndarray[Any, Any]:
    """A random direction of length one, Hermitian on request."""
    d = rng.standard_normal(x.shape)
    if jnp.iscomplexobj(x):
        d = d + 1j * rng.standard_normal(x.shape)
    if hermitian:
        d = (d + np.conj(np.swapaxes(d, -1, -2))) / 2
    return (d / np.linalg.norm(d)).astype(x.dtype)


def _check_input(
    f: Callable[..., Any],
    inputs: list[Any],
    i: int,
    gradient: np.ndarray[Any, Any],
    name: str,
    directions: int,
    rng: np.random.Generator,
    explained: str,
) -> InputCheck:
    x = inputs[i]
    size = float(np.linalg.norm(np.asarray(x))) or 1.0
    epsilon = float(jnp.finfo(x.dtype).eps)
    hermitian = x.ndim >= 2 and x.shape[-1] == x.shape[-2] and bool(jnp.all(x == jnp.conj(jnp.swapaxes(x, -1, -2))))
    notes = [] if epsilon < 1e-10 else ["single precision: see jax_enable_x64, and pass float64"]

    def along(d: np.ndarray[Any, Any]) -> Slope:
        def at(t: float) -> float:
            moved = [y + jnp.asarray(t * d, x.dtype) if j == i else y for j, y in enumerate(inputs)]
            with without_explanations():
                return float(f(*moved))

        return slope(at, 0.02 * size, 4 * epsilon)

    found = []
    for _ in range(directions):
        d = _direction(rng, x, False)
        s = along(d)
        if hermitian and math.isnan(s.value):
            # Some losses are NaN for a matrix that is not Hermitian.
            d = _direction(rng, x, True)
            s = along(d)
        found.append(_compared(name, d, s, gradient, size, epsilon, float(jnp.abs(f(*inputs)))))
    worst = max(found, key=lambda r: (_RANK[r.verdict], r.error))
    if worst.verdict == NAN and explained:
        notes.append(explained)
    return dataclasses.replace(worst, note="\n".join(notes))


_RANK = {RIGHT: 0, UNDECIDED: 1, WRONG: 2, KINK: 3, JUMP: 4, NAN: 5}


def _compared(
    name: str,
    d: np.ndarray[Any, Any],
    s: Slope,
    gradient: np.ndarray[Any, Any],
    size: float,
    epsilon: float,
    value: float,
) -> InputCheck:
    with np.errstate(all="ignore"):
        # JAX's gradient of a complex input is the conjugate of ∂f/∂Re + i ∂f/∂Im.
        derivative = float(np.sum((gradient * d).real))
        expected = float(np.linalg.norm(gradient) / math.sqrt(gradient.size))
    # Errors are relative to a scale of at least this: finite differences do not resolve smaller derivatives.
    floor = math.sqrt(epsilon) * value / size
    scale = max(abs(s.value), abs(derivative), expected, floor) if math.isfinite(derivative) else abs(s.value)
    scale = scale or 1.0
    error = abs(derivative - s.value) / scale
    loose = max(max(1e-3, 20 * epsilon ** (1 / 3)) * scale, floor)
    if not math.isfinite(derivative):
        verdict = NAN
    elif not math.isfinite(s.value):
        verdict = UNDECIDED
    elif s.growth > 0.5 and abs(s.above - s.below) > loose:
        verdict = KINK if s.steady and s.growth < 2 else JUMP
    elif abs((s.above + s.below) / 2 - s.value) > loose:
        verdict = UNDECIDED
    elif error <= max(1e-6, 4 * math.sqrt(epsilon)) or (
        error <= 1e-2 and error * scale <= 10 * s.uncertainty and s.uncertainty <= 1e-2 * scale
    ):
        verdict = RIGHT
    elif s.uncertainty > 0.1 * error * scale:
        verdict = UNDECIDED
    else:
        verdict = WRONG
    return InputCheck(name, verdict, derivative, s.value, s.uncertainty, error, s.below, s.above)
