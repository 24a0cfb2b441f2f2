"""First derivatives of Hermitian problems on CPU, by the core: in reverse, and forward for small matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import mlir

from ..degeneracy.policies import Policy, broaden, check, mask, raw
from ..runtime import native
from ..runtime.matrices import TRIANGLES
from ..runtime.tangent_maps import TangentMap
from .rule import pullback, pullback_again, pushforward, second_order

# Forward, the core's products are for matrices that fit the cache; beyond, XLA's.
FORWARD_LIMIT = 64
# As the C ABI numbers them.
_POLICIES = {check: 0, mask: 1, broaden: 2, raw: 3}
_MASK_COUPLED = 1


def on_cpu(
    residuals: Sequence[Any],
    *,
    inputs: tuple[bool, ...],
    outputs: tuple[bool, ...],
    reverse: bool,
    type: int,
    triangle: str,
    policy: Policy,
) -> Any:
    """A function `(linear, residuals)` that replaces the rule in JAX; `None` where the core is no faster, or where the
    policy asks for explanations."""
    n = residuals[1].shape[-1]
    if n == 0 or not native.has_small_kernels() or (isinstance(policy, check) and policy.explain):
        return None
    if n > FORWARD_LIMIT and not reverse:
        return None
    given, wanted = (outputs, inputs) if reverse else (inputs, outputs)
    # Only derivatives of vectors need the scale, and it costs more than the derivative of eigenvalues.
    scaled = type > 0 and any((given if reverse else wanted)[1:])
    attributes = {
        "type": np.int32(type),
        "triangle": np.int32(TRIANGLES[triangle]),
        "policy": np.int32(_POLICIES[policy.__class__]),
        "parameter": np.float64(next(iter(vars(policy).values()), 0)),
        "options": np.int32(_options(policy)),
        "reverse": np.int32(reverse),
        "residuals": np.uint32(3 + 4 * (type >= 2) + 8 * scaled),
        "given": _bits(given),
        "wanted": _bits(wanted),
    }

    def kernel(linear: Sequence[Array], residuals: Sequence[Array]) -> Sequence[Array]:
        # All share the batch of the linear arrays, but residuals may have it in parts only, as under jacrev.
        batch = linear[0].shape[: -1 if reverse and given[0] else -2]
        sizes = [(n,), (n, n)] + [(n, n)] * (type >= 2) + [(1,)] * scaled
        kept = [jnp.broadcast_to(x, (*batch, *size)) for x, size in zip(residuals, sizes, strict=False)]
        w, v = kept[:2]
        results = [(1, v.dtype)] * 2 if reverse else [(0, w.dtype), (1, v.dtype), (1, v.dtype)]
        return _rule_p.bind(
            *kept,
            *linear,
            results=tuple(result for result, flag in zip(results, wanted, strict=True) if flag),
            attributes=tuple(attributes.items()),
        )

    return kernel


def _options(policy: Policy) -> int:
    return _MASK_COUPLED * (isinstance(policy, check) and policy.coupled == "mask")


def _bits(flags: Sequence[bool]) -> np.uint32:
    return np.uint32(sum(1 << i for i, flag in enumerate(flags) if flag))


# A call of the core as an operation of its own, which exists in lowered programs only. Its parameter `results` names,
# for each result, an operand of the same shape, spread in the same way, and a type.
_rule_p = Primitive("eigenpair_hermitian_rule")
_rule_p.multiple_results = True


@_rule_p.def_abstract_eval
def _rule_abstract(*avals: Any, results: Any, attributes: Any) -> list[Any]:
    return [avals[like].update(dtype=dtype) for like, dtype in results]


def _lower_rule(ctx: Any, *operands: Any, results: Any, attributes: Any) -> Any:
    return native.lowering("eigenpair_hermitian_rule", **dict(attributes))(ctx, *operands)


mlir.register_lowering(_rule_p, _lower_rule)

tangent_map = TangentMap("eigenpair_hermitian", pushforward, pullback, second_order, pullback_again, on_cpu)
