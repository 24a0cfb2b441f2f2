"""The core and the JAX frontend decide alike: `tests/cases/decisions.txt`, and random inputs."""

import dataclasses
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from decision_by_core import decide
from eigenpair.degeneracy import broaden, check, decision, general_decision, mask, raw
from eigenpair.degeneracy.explanations import Subject
from problems import needs_kernels

TABLE = Path(__file__).parents[2] / "cases" / "decisions.txt"
CODES = {
    "none": 0, "basis": 1, "order": 2, "coupled": 3, "defective": 4, "second": 5, "edge": 7, "cluster": 16, "noise": 17,
    "policy": 18,
}  # fmt: skip
FIRST_DROPPED = 16


POLICIES = {"check": check, "mask": mask, "broaden": broaden, "raw": raw}


def decided_by_jax(
    general, mode, policy, w, k=None, sizes=None, dw=None, *, reach=None, condition=None, scale=None, edges=None,
    order=None, vectors=False,
):  # fmt: skip
    """Which gaps are dropped or refused, `(n, n)`; which eigenvalues or vectors have no derivative, `(n,)`, or `None`
    where JAX decides for the whole matrix only; whether anything is refused."""
    n = len(w)
    if not isinstance(policy, check):
        return gaps_dropped_by_jax(general, policy, w, scale), np.zeros(n, bool), False
    w = jnp.asarray(w, complex if general else float)
    k = None if k is None else jnp.asarray(k)
    dw = None if dw is None else jnp.asarray(dw, w.dtype)
    off = ~np.eye(n, dtype=bool)
    if general:
        reach, condition = jnp.asarray(reach), jnp.asarray(condition)
        inside = general_decision.clusters(policy, w, reach)
        gap, scale = jnp.abs(general_decision.gaps(w)), jnp.max(reach)
    else:
        scale = jnp.max(jnp.abs(w), keepdims=True) if scale is None else jnp.asarray([scale])
        policy = decision.policy_of_whole(policy, order or n, n)
        inside = decision.clusters(policy, w, scale)
        gap = w[None, :] - w[:, None]
    if mode == "second":
        return second_order_by_jax(general, policy, w, reach, scale, edges, vectors)
    lost = np.zeros(n, bool)
    if edges is not None:  # columns of a cluster that extends beyond the subset
        lost = np.asarray(decision.open_columns(policy, w, jnp.asarray(edges), scale))[0]
    if mode == "forward":
        bound = jnp.where(general_decision.nearly_parallel(policy, condition), jnp.nan, sizes) if general else sizes
        coupled = decision.columns_without_tangent(policy, Subject("eigh"), w, inside & off, k, lambda: bound)
        lost = lost if coupled is None else lost | np.asarray(coupled)[0]
        return np.asarray(inside) & off, lost, lost.any()
    dropped = inside
    if k is not None:
        size = jnp.abs(k)
        rotation, mixing = (jnp.maximum(size, size.T),) * 2 if general else decision.rotation_and_mixing(k)
        noise = decision.is_noise(policy, gap, rotation, mixing, dw, sizes, jnp.reshape(scale, (1, 1)))
        if general:
            noise &= general_decision._larger(condition) < general_decision.WELL_CONDITIONED
        dropped = dropped | noise
    if general:
        factor = general_decision.gradient_factor(policy, w, dw, k, sizes, reach, condition)
    elif k is None:
        factor = None
    else:
        factor = decision.gradient_factor(policy, Subject("eigh"), w, dw, k, sizes, scale)
    refused = lost.any() or (factor is not None and bool(np.isnan(np.asarray(factor)).any()))
    return np.asarray(dropped) & off, None if edges is None else lost, refused


def gaps_dropped_by_jax(general, policy, w, scale):
    module = general_decision if general else decision
    f = module.inverse_gaps(policy, jnp.asarray(w, complex if general else float), scale)
    return (np.asarray(f) == 0) & ~np.eye(len(w), dtype=bool)


def second_order_by_jax(general, policy, w, reach, scale, edges, vectors):
    """Of second derivatives, JAX decides for the whole matrix only."""
    if general:
        factor = general_decision.second_order_factor(policy, w, reach, vectors)
    else:
        if edges is not None:
            n = len(w)
            w = jnp.concatenate([jnp.asarray(edges[:1]), w, jnp.asarray(edges[1:])])
            policy = decision.policy_of_whole(policy, n, len(w))
        factor = decision.second_order_factor(policy, Subject("eigh"), w, scale, vectors)
    return None, None, bool(np.isnan(np.asarray(factor)))


def numbers(text, shape=(-1,)):
    return None if text.strip() == "-" else np.array(text.split(), float).reshape(shape)


def rows():
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return [pytest.param([field.strip() for field in line.split("|")], id=line.split("|")[0].strip()) for line in lines]


@needs_kernels
@pytest.mark.parametrize("fields", rows())
def test_table(fields):
    _, what, w, k, size, dw, extra, reasons, lost = fields
    problem, mode, policy, parameter, options = what.split()
    general = problem == "general"
    words = extra.split()
    given = dict(zip(words[::2], map(float, words[1::2]), strict=True)) if words[0] == "reach" else {}
    arrays = {name: np.full(3, value) for name, value in given.items()}
    order = int(words[4]) if words[0] == "edges" else None
    w, k, dw = numbers(w), numbers(k, (3, 3)), numbers(dw)
    sizes = None if size == "-" else np.full((3, 3), float(size))
    edges = np.array(words[1:3], float) if words[0] == "edges" else None
    found = decide(
        general, mode, policy, float(parameter), int(options), w, order, k=k, sizes=sizes, dw=dw, edges=edges, **arrays
    )
    expected = [CODES[word] for word in reasons.split()]
    upper = np.triu_indices(3, 1)
    np.testing.assert_array_equal(found[0][upper], expected)
    np.testing.assert_array_equal(found[0].T[upper], expected)
    np.testing.assert_array_equal(found[1], [CODES[word] for word in lost.split()])
    chosen = POLICIES[policy](*[float(parameter)] * (policy != "raw"))
    if int(options) & 1:
        chosen = dataclasses.replace(chosen, coupled="mask")
    given = {"edges": edges, "order": order, "vectors": bool(int(options) & 2)}
    compare(found, decided_by_jax(general, mode, chosen, w, k, sizes, dw, **arrays, **given))


def compare(of_core, of_jax):
    reasons, lost, refused = of_core
    dropped, lost_of_jax, refused_of_jax = of_jax
    if dropped is not None:
        np.testing.assert_array_equal(reasons != 0, dropped)
    assert refused == refused_of_jax
    if lost_of_jax is not None:
        np.testing.assert_array_equal(lost != 0, lost_of_jax)


@needs_kernels
@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("general", [False, True])
def test_random_inputs(general, mode):
    """Sizes of gaps and entries on both sides of every threshold."""
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(60):
        n = int(rng.integers(2, 7))
        unit = math.sqrt(n) * np.finfo(float).eps
        w = np.cumsum(rng.choice([1e-17, 1e-9, 1e-2, 1], n)) * 10.0 ** rng.integers(-12, 12)
        scale = np.max(np.abs(w))
        k = 10.0 ** rng.uniform(-1.5, 1.5, (n, n)) * unit * rng.choice([0, 8, 64], (n, n)) * rng.choice([-1, 1], (n, n))
        if rng.random() < 0.5:
            k = k * np.exp(2j * np.pi * rng.random((n, n)))
        if general:
            k, w = k.astype(complex), w * np.exp(2j * np.pi * rng.random())
        sizes = 10.0 ** rng.uniform(-0.5, 0.5, (n, n))
        sizes = sizes if mode == "forward" else (sizes + sizes.T) / 2
        dw = None if mode == "forward" or rng.random() < 0.3 else np.where(rng.random(n) < 0.6, 1.0, rng.random(n))
        condition = 10.0 ** rng.uniform(0, 4, n) if general else None
        reach = scale * condition if general else None
        coupled = rng.choice(["nan", "mask"])
        found = decide(
            general,
            mode,
            "check",
            10,
            int(coupled == "mask"),
            w,
            k=k,
            sizes=sizes,
            dw=dw,
            reach=reach,
            condition=condition,
        )
        policy = check(coupled=coupled)
        compare(
            found, decided_by_jax(general, mode, policy, w, k, jnp.asarray(sizes), dw, reach=reach, condition=condition)
        )
        refusals += found[2]
    assert 5 < refusals < 55


def column_norms(x):
    return np.linalg.norm(x, axis=0)


def rounding_of_product(x, bar):
    """The size of rounding errors of `xᴴ bar`, in units of `√n ε`."""
    lengths, bars = column_norms(x), column_norms(bar)
    small, large = np.minimum.outer(lengths, lengths), np.maximum.outer(lengths, lengths)
    return np.minimum(large * bars.max(), small * (bars / lengths).max() * large)


def half_of_digits(sizes, k, largest=0.0):
    return np.minimum(sizes, max(np.abs(k).max(), largest) / (64 * math.sqrt(np.finfo(float).eps)))


def form(x, a, y):
    return np.abs(x).T @ np.abs(a) @ np.abs(y)


def random_matrix(rng, n, columns=None):
    shape = (n, columns or n)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def near_threshold(rng, limit):
    """Complex numbers a little below or above `limit`, or far from it."""
    size = limit * rng.choice([1e-6, 0.1, 0.9, 1.1, 1e6], limit.shape)
    return size * np.exp(2j * np.pi * rng.random(limit.shape))


@needs_kernels
@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("type", [0, 1, 2, 3])
def test_sizes_of_hermitian_problems(type, mode):
    """The sizes that the core computes from bases and their cotangents or tangents, against the same formulas in
    NumPy."""
    rng = np.random.default_rng(type)
    refusals = 0
    for trial in range(40):
        n = int(rng.integers(2, 6))
        order = n + 3 * (trial % 2)
        unit = math.sqrt(n) * np.finfo(float).eps
        w = np.cumsum(rng.choice([0, 1e-17, 1e-9, 1], n)) + 1
        v, u = random_matrix(rng, order, n), random_matrix(rng, order, n)
        x, y = (u if type == 2 else v), (u if type == 3 else v)
        sources = {"v": v, "u": u}
        scale = np.abs(w).max()
        if type:
            sources["norms"] = norms = rng.random(2)
            scale = (norms[0] * column_norms(x) ** 2 + np.abs(w) * norms[1] * column_norms(y) ** 2).max()
        width = 10 * math.sqrt(order) * np.finfo(float).eps * scale
        inside = (lambda label: label[:, None] == label)(np.r_[0, np.cumsum(np.diff(w) > width)])
        largest = float(rng.random())
        if mode == "reverse":
            sources |= {"dv": random_matrix(rng, order, n), "du": None if trial % 3 else random_matrix(rng, order, n)}
            sizes = rounding_of_product(v, sources["dv"])
            if sources["du"] is not None:
                sizes = sizes + rounding_of_product(u, sources["du"])
            k = near_threshold(rng, 64 * unit * sizes)
            k = k - np.conj(k.T)
        else:
            sources |= {"da": random_matrix(rng, order), "db": None if type == 0 else random_matrix(rng, order)}
            outside = rng.random(n)
            sizes = form(x, sources["da"], x)
            if type:
                sizes = sizes + np.abs(w[:, None] + w) / 2 * form(y, sources["db"], y)
            k = near_threshold(rng, 64 * unit * sizes)
            k = np.triu(k, 1) + np.conj(np.triu(k, 1).T)
            gap = w - w[:, None]
            turn = column_norms(np.where(inside, 0, k / np.where(inside, 1, gap))) + outside
            sizes = (sizes + scale * (turn[:, None] + turn)) * math.sqrt(order / n)
            sources["outside"] = outside
        sizes = half_of_digits(sizes, k, largest)
        given = decide(False, mode, "check", 10, 0, w, order, type, k=k, sizes=sizes, scale=[scale])
        computed = decide(False, mode, "check", 10, 0, w, order, type, k=k, largest=[largest], **sources)
        np.testing.assert_array_equal(computed[0], given[0])
        np.testing.assert_array_equal(computed[1], given[1])
        refusals += computed[2]
    assert 4 < refusals < 36


@needs_kernels
@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("type", [0, 1])
def test_sizes_of_general_problems(type, mode):
    rng = np.random.default_rng(type)
    refusals = 0
    for trial in range(40):
        n = int(rng.integers(2, 6))
        unit = math.sqrt(n) * np.finfo(float).eps
        w = (np.cumsum(rng.choice([0, 1e-17, 1e-9, 1], n)) + 1).astype(complex)
        if type and trial % 4 == 0:
            w[-1] = np.inf
        infinite = np.isinf(w)
        v, u, norms = random_matrix(rng, n), random_matrix(rng, n), rng.random(2)
        condition = column_norms(u) * column_norms(v)
        finite = np.where(infinite, 0, w)
        reach = (norms[0] + (np.abs(finite) * norms[1] if type else 0)) * condition
        if type:
            condition = condition * norms[1]
        gap = np.where(infinite[:, None] ^ infinite, 1, np.abs(finite - finite[:, None]))
        inside = gap <= 10 * unit * np.maximum(reach[:, None], reach)
        inside = np.linalg.matrix_power(inside.astype(float), n) > 0
        sources = {"v": v, "u": u, "norms": norms}
        if mode == "reverse":
            sources |= {"dv": random_matrix(rng, n), "du": None if trial % 3 else random_matrix(rng, n)}
            sizes = rounding_of_product(v, sources["dv"])
            if sources["du"] is not None:
                sizes = sizes + rounding_of_product(u, sources["du"])
            k = near_threshold(rng, 64 * unit * sizes)
        else:
            sources |= {"da": random_matrix(rng, n), "db": random_matrix(rng, n) if type else None}
            sizes = form(u, sources["da"], v) * ~infinite
            if type:
                sizes = sizes + form(u, sources["db"], v) * np.where(infinite, 1, np.abs(finite))
            k = near_threshold(rng, 64 * unit * sizes)
            turn = np.where(inside, 0, np.abs(k) / np.where(inside, 1, gap))
            sizes = sizes + np.linalg.norm(turn * reach, axis=1)[:, None] + reach[:, None] * column_norms(turn)
        given = decide(True, mode, "check", 10, 0, w, type=type, k=k, sizes=sizes, reach=reach, condition=condition)
        computed = decide(True, mode, "check", 10, 0, w, type=type, k=k, **sources)
        np.testing.assert_array_equal(computed[0], given[0])
        np.testing.assert_array_equal(computed[1], given[1])
        refusals += computed[2]
    assert 4 < refusals < 39
