"""Calls in the style of other libraries give an error that says what to write here."""

import inspect
import re
import sys
import types

import eigenpair as ep
import jax
import jax.export
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from eigenpair.degeneracy import check, mask, policies, policy
from eigenpair.runtime import remedies

A = np.array([[1.0, 2.0], [2.0, 5.0]])
HERMITIAN, GENERAL = (ep.eigh, ep.eigvalsh), (ep.eig, ep.eigvals)
PEERS = {
    HERMITIAN: (jnp.linalg.eigh, jax.lax.linalg.eigh, jax.scipy.linalg.eigh, scipy.linalg.eigh, scipy.linalg.eigvalsh),
    GENERAL: (jax.lax.linalg.eig, scipy.linalg.eig, scipy.linalg.eigvals),
}
OF_PACKAGE_EIGH = ("deg_thresh", "itype")


@pytest.mark.parametrize("functions", PEERS, ids=["hermitian", "general"])
def test_every_argument_of_a_peer_is_known_or_has_a_remedy(functions):
    theirs = {name for peer in PEERS[functions] for name in inspect.signature(peer).parameters} - {"x"}
    for function in functions:
        for name in theirs.union(OF_PACKAGE_EIGH if functions is HERMITIAN else ()):
            if name not in inspect.signature(function).parameters:
                with pytest.raises(TypeError, match=rf"^{function.__name__} has no argument {name}: \w+"):
                    function(A, **{name: None})


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda: ep.eigh(A, UPLO="L"), r"lower=True .* lower=False"),
        (lambda: ep.eigh(A, "L"), r"\bb must be an array, got 'L'; .* lower=True or lower=False"),
        (lambda: ep.eigh(A, symmetrize_input=False), r"lower=True"),
        (lambda: ep.eigh_pullback(A, subset_by_value=(0, 2)), r"it takes .*subset_by_index"),
        (lambda: ep.eigh(A, driver="evr"), r"leave it out"),
        (lambda: ep.eigh(A, check_finite=False), r"leave it out: .* NaN"),
        (lambda: ep.eigh(A, overwrite_a=True), r"donate_argnums"),
        (lambda: ep.eigh(A, eigvals=(0, 0)), r"subset_by_index=\(first, last\)"),
        (lambda: ep.eigh(A, k=1), r"subset_by_index=\(0, k - 1\)"),
        (lambda: ep.eigh(A, deg_thresh=1e-9), r"degeneracy=eigenpair\.degeneracy\.mask"),
        (lambda: ep.eigvalsh(A, eigvals_only=True), r"leave it out"),
        (lambda: ep.eig(A, homogeneous_eigvals=True), r"inf where b is singular"),
        (lambda: ep.eig(A, compute_left_eigenvectors=True), r"left=True"),
        (lambda: ep.eig(A, lower=True), r"eigh"),
        (lambda: ep.spectral_map(jnp.exp, A, degeneracy=mask(1e-9)), r"need no policy"),
        (lambda: ep.spectral_map(jnp.exp, A, itype=2), r"type: 1, 2 or 3"),
        (lambda: ep.matrix_function(jnp.exp, A, b=A), r"take one matrix"),
        (lambda: ep.eigh(A, eigvals_onyl=True), r"Did you mean eigvals_only\?"),
        (lambda: ep.eigh(A, S=A), r"the second matrix is b"),
        (lambda: ep.eigsh(A, 1, M=A), r"eigsh has no argument M: the second matrix is b"),
        (lambda: ep.eigs(A, 1, maxiter=3), r"max_iterations"),
        (lambda: ep.functions.chemical_potential(A, electrons=2, beta=1.0), r"electrons must be between 0 and n = 2"),
        (lambda: ep.functions.chemical_potential(A, electrons=1, beta=-1.0), r"beta must be positive"),
        (
            lambda: jax.grad(lambda t: ep.functions.chemical_potential(A, electrons=1, beta=t))(-1.0),
            r"beta must be posi",
        ),
        (lambda: ep.functions.chemical_potential(A, nelec=1, beta=1), r"the number is electrons"),
        (lambda: ep.functions.chemical_potential(A, electrons=1, kT=1), r"beta = 1/kT"),
        (lambda: ep.functions.chemical_potential(A, electrons=1), r"chemical_potential needs beta"),
        (lambda: ep.functions.fermi_dirac(0.0, T=1.0), r"beta = 1/kT"),
        (lambda: ep.eigsh(A), r"eigsh needs k; it takes operator, k, b"),
        (lambda: ep.eigh(A, frobnicate=True), r"it takes a, b, type, lower"),
        (lambda: ep.eigh(A, A, 1), r"a, b by position, and by name type=…, lower=….*got 3"),
        (lambda: ep.spectral_map(jnp.exp, A, A, 1), r"f, a, b by position, and by name type=….*got 4"),
        (lambda: ep.spectral_projector(A, A, 1), r"order is a, k, b"),
        (lambda: ep.fix_gauge(A, axis=0), r"columns"),
        (lambda: ep.eigh(A, lower="L"), r"lower must be .*'L'; write lower=True"),
        (lambda: ep.eigh(A, lower="u"), r"write lower=False"),
        (lambda: ep.eigh(A, lower=0), r"write lower=False"),
        (lambda: ep.eig(A, left=1), r"left must be True or False, got 1; write left=True"),
        (lambda: jax.jit(lambda x, y: ep.eigh(x, lower=y))(A, True), r"lower must be .*static_argnames='lower'"),
        (lambda: jax.jit(lambda x, y: ep.eig(x, left=y))(A, True), r"left must be .*static_argnames='left'"),
        (lambda: jax.jit(ep.spectral_projector)(A, 1), r"k must be .*static"),
        (lambda: jax.jit(lambda x, k: ep.eigh(x, subset_by_index=(0, k)))(A, 1), r"subset_by_index.*static"),
        (lambda: ep.eigh(A, subset_by_index=(-1, 1)), r"subset_by_index.*the two highest of 2 are \(0, 1\)"),
        (lambda: ep.eigh(A, subset_by_index=[0, np.inf]), r"subset_by_index.*last index of all is 1"),
        (lambda: ep.eigh(A, subset_by_index=(0, 2)), r"the last index is 1, because it is included"),
        (lambda: ep.eigh(A, subset_by_index=(1, 0)), r"\(0, 1\) in order"),
        (lambda: ep.eigh(A, degeneracy="mask"), r"write eigenpair\.degeneracy\.mask\(tol\)"),
        (lambda: ep.eigh(A, degeneracy=mask), r"write eigenpair\.degeneracy\.mask\(tol\)"),
        (lambda: ep.eigh(A, degeneracy=check), r"write eigenpair\.degeneracy\.check\(\)"),
        (lambda: ep.eigh(A, degeneracy=1e-9), r"eigenpair\.degeneracy\.mask\(1e-09\)"),
        (lambda: policy("raw"), r"write eigenpair\.degeneracy\.raw\(\)"),
        (lambda: ep.eigh(A[0]), r"\ba must be .*jnp\.diag\(a\)"),
        (lambda: ep.eigh(A[None], A[:, :1]), r"\bb must be square .*jax\.vmap"),
        (lambda: ep.eigh(A.astype(np.longdouble)), r"float128.*a\.astype\('float64'\)|\ba "),
        (lambda: ep.eigh(A.astype(object)), r"array of objects.*dtype=float"),
        (lambda: ep.eigh(scipy.sparse.csr_array(A)), r"sparse.*a\.toarray\(\)"),
        (lambda: ep.eigh(jnp.eye(2, dtype=jnp.bfloat16)), r"bfloat16.*a\.astype\(jnp\.float32\)"),
        (lambda: ep.eigh(ep.eigh(A)), r"a must be .*EighResult.*a\.eigenvectors"),
        (lambda: ep.fix_gauge(ep.eigh(A)), r"v must be .*EighResult.*v\.eigenvectors"),
        (lambda: ep.fix_gauge(ep.eig(A)), r"v must be .*EigResult.*v\.eigenvectors"),
        (lambda: ep.spectral_map(A, jnp.exp), r"order is f, a"),
        (lambda: ep.spectral_sum(A, jnp.exp), r"order is f, a"),
        (lambda: ep.eigh(jnp.exp), r"\ba must be .*a function"),
    ],
)
def test_remedies(call, remedy):
    with pytest.raises((TypeError, ValueError), match=re.compile(remedy, re.DOTALL)):
        call()


def test_sparse_arrays_of_jax():
    from jax.experimental import sparse

    with pytest.raises(TypeError, match=r"BCOO, which is sparse.*a\.todense\(\)"):
        ep.eigh(sparse.BCOO.fromdense(jnp.asarray(A)))


def test_a_tensor_that_requires_grad():
    """As PyTorch's, which would not be turned into NumPy's."""

    class Tensor:
        requires_grad, dtype, shape = True, "torch.float64", (2, 2)

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    with pytest.raises(TypeError, match=r"Tensor that requires grad; give a\.detach\(\)\.numpy\(\)"):
        ep.eigh(Tensor())


class Scaled:
    """A function that can neither be hashed nor referred to weakly."""

    __slots__ = ("by",)
    __hash__ = None

    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return self.by * x


@pytest.mark.parametrize(
    ("f", "remedy"),
    [
        (np.exp, r"use jnp\.exp"),
        (np.tanh, r"use jnp\.tanh"),
        (__import__("math").exp, r"use jnp\.exp"),
        (__import__("scipy.special").special.expit, r"use jax\.scipy\.special\.expit"),
        (np.vectorize(lambda x: x), r"jnp and jax\.scipy\.special instead of np"),
        (lambda x: np.exp(x), r"jnp and jax\.scipy\.special instead of np"),
        (lambda x: x if x > 0 else -x, r"jnp\.where instead of if"),
        (lambda x, y: x, r"take one number.*missing 1 required positional argument: 'y'"),
        (lambda x: jnp.stack([x, x]), r"map a number to a number"),
        (lambda x: (x, x), r"map a number to a number"),
        (lambda x: None, r"map a number to a number"),
        (lambda x: x > 0, r"one of bool; cast it"),
        (lambda x: x.astype(jnp.bfloat16), r"one of bfloat16; cast it"),
        (A, r"be a function of a number"),
    ],
)
def test_functions_that_cannot_be_used(f, remedy):
    for function in (ep.spectral_map, ep.spectral_sum):
        for _ in range(2):  # the second time, jaxlib would abort the process because of a NumPy function
            with pytest.raises(TypeError, match=re.compile(rf"^f must.*{remedy}", re.DOTALL)):
                function(f, A)
        with pytest.raises(TypeError, match=re.compile(rf"^f must.*{remedy}", re.DOTALL)):
            jax.jit(lambda a, function=function: function(f, a))(A)


def test_functions_of_any_kind_can_be_used():
    for f in (Scaled(2.0), lambda x: 2 * x, types.MethodType(lambda s, x: s * x, 2.0)):
        np.testing.assert_allclose(ep.spectral_map(f, A), 2 * A, atol=1e-14)
        np.testing.assert_allclose(jax.grad(lambda a, f=f: ep.spectral_sum(f, a))(A), 2 * np.eye(2), atol=1e-14)
    np.testing.assert_allclose(ep.spectral_map(lambda x: 3.0, A), 3 * np.eye(2), atol=1e-14)
    with pytest.raises(ZeroDivisionError):  # an error of f itself is not changed
        ep.spectral_map(lambda x: x / (1 // 0), A)


@pytest.mark.parametrize("name", ["svd", "funm", "expm", "qr", "lobpcg", "mask", "eigsolve", "linalg", "grad"])
def test_names_that_are_elsewhere(name):
    with pytest.raises(AttributeError, match=rf"no attribute '{name}'. Use instead: "):
        getattr(ep, name)
    assert not hasattr(ep, name)


def test_no_remedy_for_what_is_there():
    assert not set(remedies.NAMES) & set(dir(ep))
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        ep.nonsense  # noqa: B018
    for function, table in (
        (ep.eigh, remedies.HERMITIAN),
        (ep.eigvalsh, remedies.VALUES),
        (ep.eig, remedies.GENERAL),
        (ep.spectral_map, remedies.SPECTRAL),
        (ep.fix_gauge, remedies.GAUGE),
        (ep.eigh_tridiagonal, remedies.TRIDIAGONAL),
        (ep.eigh_banded, remedies.BANDED),
    ):
        assert not set(table) & set(inspect.signature(function).parameters)


def test_signatures_are_what_is_documented():
    assert str(inspect.signature(ep.eigvals)).startswith("(a: 'Any', b: 'Any' = None, *, degeneracy:")
    for name in ep.__all__:
        function = getattr(ep, name)
        if inspect.isfunction(function):
            assert not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def test_errors_of_ours_are_passed_on():
    """Not every TypeError is about the arguments' names."""
    with pytest.raises(TypeError, match=r"^a must be an array, got None"):
        ep.eigh(None)


def test_looking_for_remedies_costs_nothing_beside_a_call(monkeypatch):
    """Argument checks would cost half of a small solve, so a call with nothing but an array skips them: no more than
    three functions of Python run."""
    # Another test may have asked for explanations, which a compiled call could not give.
    monkeypatch.setattr(policies, "any_block_explains", False)
    a, called = jnp.asarray(A), []
    ep.eigh(a)
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        ep.eigh(a)
    finally:
        sys.setprofile(None)
    assert len(called) <= 3, called


def test_export_says_what_it_wants():
    with pytest.raises(ValueError, match=r"disabled_checks=eigenpair\.native\.export_checks\(\)"):
        jax.export.export(jax.jit(ep.eigh))(A)
