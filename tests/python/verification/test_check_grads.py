"""The verdicts of `check_grads`, on losses whose gradients are known to be right, wrong or absent."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair.degeneracy import check, policy
from eigenpair.verification import check_grads
from eigenpair.verification.finite_differences import slope

RNG = np.random.default_rng(0)
A = (lambda a: a + a.T)(RNG.standard_normal((4, 4)))
B = A @ A + np.eye(4)
C = RNG.standard_normal((3, 3)) + 1j * RNG.standard_normal((3, 3))
TURN = np.linalg.qr(RNG.standard_normal((4, 4)))[0]
DEGENERATE = TURN @ np.diag([1.0, 1.0, 2.0, 3.0]) @ TURN.T


@jax.custom_vjp
def wrongly_squared(x):
    return jnp.sum(x**2)


wrongly_squared.defvjp(lambda x: (wrongly_squared(x), x), lambda x, g: (1.9 * x * g,))


def verdicts(*arguments, **options):
    return [x.verdict for x in check_grads(*arguments, **options).inputs]


@pytest.fixture(autouse=True)
def _double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("order", [1, 2])
def test_right(order):
    assert verdicts(lambda a, b: jnp.sum(eigenpair.eigvalsh(a, b)[:2] ** 2), A, B, order=order) == ["right", "right"]
    assert verdicts(lambda c: jnp.sum(jnp.abs(eigenpair.eigvals(c) - 1j) ** 2), C, order=order) == ["right"]


def test_trees_and_inputs_that_have_no_gradient():
    def loss(tree, n):
        return jnp.sum(eigenpair.eigvalsh(tree["a"])[:2]) * tree["scale"][0] ** n + len(tree["k"])

    found = check_grads(loss, {"a": A, "scale": (2.0,), "k": np.arange(3)}, 3)
    assert [x.name for x in found.inputs] == ["argument 0['a']", "argument 0['scale'][0]"]
    assert found.ok
    assert "The gradient is right in 2 inputs." in str(found)


def test_a_gradient_of_zero():
    assert verdicts(lambda a: 0 * a[0, 0], A) == ["right"]


def test_losses_that_are_nan_for_what_is_not_hermitian():
    assert verdicts(lambda a: eigenpair.spectral_sum(jnp.exp, a), A) == ["right"]


def test_wrong_and_by_how_much():
    found = check_grads(lambda x, y: wrongly_squared(x) + y, A, 1.0)
    assert [x.verdict for x in found.inputs] == ["wrong", "right"]
    assert not found.ok
    assert found.inputs[0].error == pytest.approx(0.05, rel=1e-6)
    assert "argument 0: WRONG      by 5 %" in str(found)
    assert "The gradient is right in 1 of 2 inputs." in str(found)


def test_what_jax_gets_wrong_at_a_degeneracy():
    """A loss of the lowest three vectors, two of them with equal eigenvalues."""
    weights = RNG.standard_normal((4, 4))

    def loss(solve, a):
        v = solve(a)[1][:, :3]
        return jnp.sum((v @ v.T) * weights)

    assert verdicts(lambda a: loss(jnp.linalg.eigh, a), DEGENERATE) in (["wrong"], ["nan"])
    assert verdicts(lambda a: loss(eigenpair.eigh, a), DEGENERATE) == ["right"]


def test_a_second_derivative_of_zero_is_right():
    """Along the matrix itself, where a loss of degree 1 has none, and in the noise of large gradients."""

    def loss(a):
        return 1e3 * jnp.sqrt(jnp.sum(eigenpair.eigvalsh(a) ** 2)) / jnp.linalg.norm(a)

    assert verdicts(loss, A, order=2) == ["right"]


def test_directions_are_not_the_matrices_of_the_same_seed():
    seen = []

    def loss(a):
        seen.append(a)
        return jnp.sum(a**2)

    a = np.random.default_rng(0).standard_normal((3, 3))
    check_grads(loss, a, directions=1)
    steps = [np.asarray(x) - a for x in seen if not isinstance(x, jax.core.Tracer)]
    step = max(steps, key=np.linalg.norm)
    assert abs(np.sum(step * a)) < 0.9 * np.linalg.norm(step) * np.linalg.norm(a)


def test_kink():
    (found,) = check_grads(lambda a: eigenpair.eigvalsh(a)[0], DEGENERATE).inputs
    assert found.verdict == "kink"
    assert found.below > found.above  # the lowest eigenvalue is concave
    assert "KINK" in str(found)


def test_jump():
    assert verdicts(lambda x: jnp.where(x[0] > 2, 1.0, x[0]), np.array([2.0, 1.0])) == ["jump"]


def test_nan_with_the_reason():
    (found,) = check_grads(lambda a: jnp.sum(eigenpair.eigh(a)[1][:, 0] ** 4), DEGENERATE).inputs
    assert found.verdict == "nan"
    assert "eigh" in found.note
    assert "NaN" in str(found)


def test_noise_is_undecided():
    noise = iter(np.random.default_rng(1).standard_normal(10_000))

    def loss(x):
        return jnp.sum(x) + 0.1 * next(noise)

    assert verdicts(loss, np.array([1.0, 2.0])) in (["undecided"], ["jump"])


@pytest.mark.parametrize("block", [False, True])
def test_the_reason_when_the_loss_has_a_policy_of_its_own(block):
    own = check(generic_basis=True)

    def loss(a):
        with policy(own if block else check()):
            return jnp.sum(eigenpair.eigh(a, degeneracy=None if block else own).eigenvectors[:, 0] ** 4)

    (found,) = check_grads(loss, np.eye(2), directions=1).inputs
    assert "eigenvalues 0 and 1" in found.note


def test_one_reason_for_second_derivatives():
    (found,) = check_grads(lambda a: jnp.sum(eigenpair.eigvalsh(a)[:3]), np.diag([0.0, 1, 1, 2]), order=2).inputs
    assert found.verdict == "nan"
    assert "second derivative" in found.note
    assert "arbitrary" not in found.note


def test_single_precision_is_said():
    (found,) = check_grads(lambda a: jnp.sum(eigenpair.eigvalsh(a)[:2]), A.astype(np.float32)).inputs
    assert found.verdict == "right"
    assert "single precision" in found.note


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        ((lambda a: a, A), {}, TypeError, "one real number"),
        ((lambda a: jnp.sum(a).astype(complex), A), {}, TypeError, "one real number"),
        ((lambda n: 1.0, 3), {}, TypeError, "no array of floating-point"),
        ((lambda a: jnp.sum(a) * jnp.nan, A), {}, ValueError, "so it has no derivative"),
        ((jnp.sum, A), {"order": 3}, ValueError, "order"),
        ((jnp.sum, A), {"directions": 0}, ValueError, "directions"),
    ],
)
def test_bad_input(arguments, options, error, said):
    with pytest.raises(error, match=said):
        check_grads(*arguments, **options)


@pytest.mark.parametrize(
    ("f", "derivative"),
    [(np.exp, 1.0), (lambda t: np.sin(50 * t), 50.0), (lambda t: 1e8 + t, 1.0), (lambda t: t**3, 0.0)],
)
def test_slope_knows_its_error(f, derivative):
    found = slope(f, 0.02, 4 * np.finfo(float).eps)
    assert abs(found.value - derivative) <= 10 * found.uncertainty + 1e-15
    assert found.growth < 0.5 or abs(found.above - found.below) < 1e-3
