"""Targets, as ratios within one interleaved run, and whether they were met."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from peers.plan import ALL_OF_IT, FLOOR, FORWARD, FRAME, OURS

BATCH = {2: 40, 3: 15, 4: 10, 8: 5, 16: 2.5, 32: 1.2}
SMALL, LARGE = (4, 8, 16, 32), (64, 128, 256, 512, 1024)
# In Julia, both contenders solve one matrix by Julia's LAPACK; up to this ratio a difference is noise.
NOISE = 0.03


@dataclasses.dataclass(frozen=True)
class Target:
    """`against` divided by eigenpair at least `bound`; or eigenpair divided by `against` at most `bound`."""

    case: str
    against: str  # a contender, FLOOR for the best direct call, "" for seconds as they are
    bound: float
    at_most: bool = False


def targets() -> Iterator[Target]:
    for n, ratio in BATCH.items():
        size = f"{2_000 if n == 32 else 10_000}×{n}"
        yield Target(f"batch/forward/{size}", "jax.numpy", ratio)
        yield Target(f"batch/values/{size}", "jax.numpy", 1.5)
        yield Target(f"batch/grad_values/{size}", "jax.numpy", ratio / 2)
        yield Target(f"batch/grad_vectors/{size}", "jax.numpy", ratio / 2)
    for n in SMALL:
        for task in ("forward", "values", "grad_values", "grad_vectors"):
            yield Target(f"single/{task}/{n}", "jax.numpy", 1)
    for n in (2, 4, 8):
        for task in ("forward", "eager_forward", "eager_grad_values", "grad_values"):
            yield Target(f"overhead/{task}/{n}", "jax.numpy", 1)
    for n in LARGE:
        yield Target(f"single/forward/{n}", FLOOR, 1.05, at_most=True)
        if n >= 128:
            yield Target(f"single/values/{n}", "jax.numpy", 2)
            yield Target(f"single/grad_values/{n}", FORWARD, 1.15, at_most=True)
        if n >= 256:
            yield Target(f"single/grad_vectors/{n}", FORWARD, 1.3, at_most=True)
            yield Target(f"generalized/forward/{n}", FLOOR, 1.03, at_most=True)
    for n in (*SMALL, *LARGE):
        yield Target(f"generalized/forward/{n}", "jax.numpy", 1)
        yield Target(f"generalized/forward/{n}", "scipy", 1)
    for peer in ("jax.numpy", "scipy"):
        yield Target("generalized/forward/10000×4", peer, 4)
    yield Target("generalized/grad_values/10000×4", "jax.numpy", 4)
    for task in ("forward", "grad_vectors"):
        yield Target(f"subset/{task}/1024, 16 of them", ALL_OF_IT, 2)
        for n in BATCH:
            size = f"{2_000 if n == 32 else 10_000}×{n}"
            bound = 20 if (n, task) == (4, "grad_vectors") else 1
            yield Target(f"julia/{task}/{size}", "LinearAlgebra", bound)
        for n in LARGE:
            yield Target(f"julia/{task}/{n}", "LinearAlgebra", 1 - NOISE)
    yield Target("startup/import/64", "", 0.3, at_most=True)
    yield Target("startup/first_call/64", "jax.numpy", 1)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Median and quartiles of what was measured."""

    target: Target
    against: str
    median: float
    low: float
    high: float

    @property
    def met(self) -> bool:
        return self.median <= self.target.bound if self.target.at_most else self.median >= self.target.bound


def outcomes(cases: list[dict[str, Any]]) -> list[Outcome]:
    """One for each target whose case was measured."""
    by_id = {case["id"]: case for case in cases}
    found = []
    for target in targets():
        contenders = by_id.get(target.case, {}).get("contenders", {})
        if OURS not in contenders:
            continue
        name = floor(contenders) if target.against == FLOOR else target.against
        if name == "":
            s = contenders[OURS]
            found.append(Outcome(target, "", s["median"], s["low"], s["high"]))
        elif name in contenders:
            r = contenders[name]["ratio"]  # the contender's time divided by ours
            values = (r["median"], r["low"], r["high"])
            if target.at_most:
                values = (1 / r["median"], 1 / r["high"], 1 / r["low"])
            found.append(Outcome(target, name, *values))
    return found


def floor(contenders: dict[str, Any]) -> str:
    """The fastest direct call of LAPACK in a case; empty if there is none."""
    direct = [name for name in contenders if name.startswith(FLOOR)]
    return min(direct, key=lambda name: contenders[name]["median"], default="")


def lost(cases: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str, dict[str, float]]]:
    """Where a peer is ahead by more than noise: most of its rounds, and 2 % in the middle."""
    found = []
    for case in cases:
        for name, s in case["contenders"].items():
            peer = name not in (OURS, FORWARD, FRAME) and not name.startswith(FLOOR)
            if peer and "ratio" in s and s["ratio"]["median"] < 0.98 and s["ratio"]["high"] < 1:
                found.append((case, name, s["ratio"]))
    return found
