"""Bad input gives an error that names the argument, before anything is compiled, or NaN for that matrix alone."""

import eigenpair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eigenpair import degeneracy, eigh, eigvalsh
from problems import DTYPES, TYPES, keywords, problem, with_spectrum

A, B = np.diag([1.0, 2, 3]), np.eye(3)
FUNCTIONS = [eigh, eigvalsh]

# Arguments, the exception, what its message must say.
REFUSED = {
    "a vector": ((np.ones(3),), {}, ValueError, r"\ba must be a square matrix.*\(3,\)"),
    "a number": ((3.0,), {}, ValueError, r"\ba must be a square matrix"),
    "not square": ((np.ones((2, 3)),), {}, ValueError, r"\ba must be square.*\(2, 3\)"),
    "b not square": ((A, np.ones((3, 2))), {}, ValueError, r"\bb must be square.*\(3, 2\)"),
    "b a number": ((A, 2.0), {}, ValueError, r"\bb must be a square matrix"),
    "b a short vector": ((A, np.ones(2)), {}, ValueError, r"\bb must have the size of a"),
    "sizes differ": ((A, np.eye(2)), {}, ValueError, r"\bb must have the size of a.*\(2, 2\).*\(3, 3\)"),
    "batches do not broadcast": (
        (np.zeros((2, 3, 3)), np.zeros((5, 3, 3))),
        {},
        ValueError,
        r"batch axes of b do not broadcast.*\(5, 3, 3\).*\(2, 3, 3\)",
    ),
    "None": ((None,), {}, TypeError, r"\ba must be an array, got None"),
    "text": (("matrix",), {}, TypeError, r"\ba must be an array, got 'matrix'"),
    "b text": ((A, "matrix"), {}, TypeError, r"\bb must be an array"),
    "ragged": (([[1.0, 2], [3]],), {}, (TypeError, ValueError), r"\ba must be"),
    "objects": ((np.array([[None, 1], [2, 3]], object),), {}, TypeError, r"\ba must be"),
    "texts": ((np.array([["1", "2"], ["3", "4"]]),), {}, TypeError, r"\ba must be"),
    "dates": ((np.zeros((2, 2), "datetime64[s]"),), {}, TypeError, r"\ba must be"),
    "half": ((np.eye(3, dtype=np.float16),), {}, TypeError, r"\ba has dtype float16.*float32"),
    "bfloat16": ((jnp.eye(3, dtype=jnp.bfloat16),), {}, TypeError, r"\ba has dtype bfloat16.*float32"),
    "b half": ((A, np.eye(3, dtype=np.float16)), {}, TypeError, r"\bb has dtype float16"),
    "type 4": ((A, B), {"type": 4}, ValueError, r"\btype must be 1.*got 4"),
    "type 0": ((A, B), {"type": 0}, ValueError, r"\btype must be 1.*got 0"),
    "type -1": ((A, B), {"type": -1}, ValueError, r"\btype must be 1"),
    "type text": ((A, B), {"type": "1"}, ValueError, r"\btype must be 1.*got '1'"),
    "type 1.0": ((A, B), {"type": 1.0}, ValueError, r"\btype must be 1"),
    "type True": ((A, B), {"type": True}, ValueError, r"\btype must be 1"),
    "type None": ((A, B), {"type": None}, ValueError, r"\btype must be 1"),
    "type without b": ((A,), {"type": 2}, ValueError, r"\btype=2.*give b"),
    "lower text": ((A,), {"lower": "L"}, TypeError, r"\blower must be True, False, or None.*got 'L'"),
    "lower number": ((A,), {"lower": 1}, TypeError, r"\blower must be"),
    "subset number": ((A,), {"subset_by_index": 2}, TypeError, r"\bsubset_by_index must be two integers"),
    "subset of three": ((A,), {"subset_by_index": (0, 1, 2)}, TypeError, r"\bsubset_by_index must be two"),
    "subset of floats": ((A,), {"subset_by_index": (0.0, 1.0)}, TypeError, r"\bsubset_by_index must be two"),
    "subset reversed": ((A,), {"subset_by_index": (2, 1)}, ValueError, r"\bsubset_by_index.*0 ≤ first ≤ last < 3"),
    "subset negative": ((A,), {"subset_by_index": (-1, 1)}, ValueError, r"\bsubset_by_index"),
    "subset too far": ((A,), {"subset_by_index": (0, 3)}, ValueError, r"\bsubset_by_index"),
    "policy text": ((A,), {"degeneracy": "mask"}, TypeError, r"\bdegeneracy must be a policy.*got 'mask'"),
    "policy class": ((A,), {"degeneracy": degeneracy.mask}, TypeError, r"\bdegeneracy must be a policy"),
    "policy base": ((A,), {"degeneracy": degeneracy.Policy()}, TypeError, r"\bdegeneracy must be a policy"),
    "policy number": ((A,), {"degeneracy": 1e-9}, TypeError, r"\bdegeneracy must be a policy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    arguments, options, error, message = REFUSED[name]
    for function in FUNCTIONS:
        with pytest.raises(error, match=message):
            function(*arguments, **options)


TRACEABLE = [
    name
    for name, (arguments, *_) in REFUSED.items()
    if all(isinstance(x, (np.ndarray, jax.Array, float)) and np.asarray(x).dtype.kind in "fV" for x in arguments)
]


@pytest.mark.parametrize("name", TRACEABLE)
def test_refused_while_tracing(name):
    """Under jit, vmap and grad: the same error, so nothing was compiled."""
    arguments, options, error, message = REFUSED[name]
    for function in FUNCTIONS:
        with pytest.raises(error, match=message):
            jax.jit(lambda *m, f=function: f(*m, **options))(*arguments)
        with pytest.raises(error, match=message):
            jax.eval_shape(lambda *m, f=function: f(*m, **options), *arguments)
        if np.asarray(arguments[0]).dtype == float:
            with pytest.raises(error, match=message):
                jax.grad(lambda *m, f=function: jnp.sum(f(*m, **options)[0]))(*arguments)


def test_traced_options_are_refused_by_name():
    for option in ("lower", "type"):
        with pytest.raises((TypeError, ValueError), match=rf"\b{option} must be"):
            jax.jit(lambda x, o, name=option: eigvalsh(A, B, **{name: o}))(A, 1)
    with pytest.raises((TypeError, ValueError), match=r"\beigvals_only must be"):
        jax.jit(lambda x, o: eigh(x, eigvals_only=o))(A, True)


@pytest.mark.parametrize(
    ("policy", "argument"),
    [(degeneracy.check, "c"), (degeneracy.mask, "tol"), (degeneracy.broaden, "eps")],
    ids=lambda p: getattr(p, "__name__", ""),
)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), None, "1", True, 1j, np.ones(2)], ids=str)
def test_parameters_of_policies(policy, argument, value):
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument} must be"):
        policy(value)


def test_parameters_that_may_be_zero():
    degeneracy.mask(0.0)
    degeneracy.broaden(0)
    degeneracy.mask(np.float64(1e-3))
    with pytest.raises(ValueError, match=r"\bc must be positive"):
        degeneracy.check(0.0)


def test_unknown_arguments_are_pythons_to_refuse():
    with pytest.raises(TypeError, match="uplo"):
        eigh(A, uplo="L")
    with pytest.raises(TypeError):
        eigh(A, B, 1)  # only matrices by position: SciPy's third is lower, another library's is type


# Bad numbers in one matrix do not affect the others.

POISONS = {
    "nan": lambda m: m.at[1, 0].set(jnp.nan).at[0, 1].set(jnp.nan),
    "inf": lambda m: m.at[2, 2].set(jnp.inf),
    "minus inf": lambda m: m.at[0, 0].set(-jnp.inf),
    "all nan": lambda m: m * jnp.nan,
}


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_isolated(dtype, type, poison):
    """In a batch, the other matrices get the same bits as without it, in values, vectors and gradients."""
    matrices, options = problem(type, dtype, batch=(3,))
    healthy = eigh(*matrices, **options)

    def loss(*m):
        w, v = eigh(*m, **options)
        return jnp.sum(w**2) + jnp.sum(jnp.abs(v[..., 0]) ** 4)

    names = tuple(range(len(matrices)))
    gradients = jax.grad(loss, names)(*matrices) if dtype == "float64" else None
    for which in range(len(matrices)):
        spoilt = list(map(jnp.asarray, matrices))
        spoilt[which] = spoilt[which].at[1].set(POISONS[poison](spoilt[which][1]))
        w, v = eigh(*spoilt, **options)
        assert np.isnan(w[1]).all()
        assert np.isnan(v[1]).all()
        for k in (0, 2):
            np.testing.assert_array_equal(w[k], healthy.eigenvalues[k])
            np.testing.assert_array_equal(v[k], healthy.eigenvectors[k])
        alone = eigvalsh(*spoilt, **options)
        np.testing.assert_array_equal(np.isnan(alone).all(1), [False, True, False])
        if gradients is not None:
            for found, expected in zip(jax.grad(loss, names)(*spoilt), gradients, strict=True):
                assert np.isnan(found[1]).any()
                for k in (0, 2):
                    np.testing.assert_allclose(found[k], expected[k], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("type", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 3, 20])
def test_b_that_is_not_positive_definite(type, n):
    b = np.stack(
        [np.eye(n), -np.eye(n), np.diag([1.0] * (n - 1) + [0.0]), np.diag([-1.0] + [1.0] * (n - 1)), np.eye(n)]
    )
    w, v = eigh(np.diag(np.arange(1.0, n + 1)), b, type=type)
    for k in (1, 2, 3):
        assert np.isnan(w[k]).all()
        assert np.isnan(v[k]).all()
    for k in (0, 4):
        np.testing.assert_allclose(w[k], np.arange(1, n + 1), rtol=1e-14)
    gradient = jax.grad(lambda m: jnp.sum(eigvalsh(np.diag(np.arange(1.0, n + 1)), m, type=type)))(b)
    np.testing.assert_array_equal(np.isnan(gradient).all((1, 2)), [False, True, True, True, False])


def test_nan_where_it_is_not_read():
    a = with_spectrum([1.0, 2, 3])
    a[0, 2] = np.nan
    assert np.isfinite(eigvalsh(a, lower=True)).all()
    assert np.isnan(eigvalsh(a, lower=False)).all()
    assert np.isnan(eigvalsh(a)).all()


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_empty_and_single(dtype, type):
    options = keywords(type)

    def matrices(*shape):
        return (np.ones(shape, dtype),) * (2 if type else 1)

    for shape in ((0, 0), (2, 0, 0), (0, 3, 3), (2, 0, 1, 1), (0, 0, 0)):
        w, v = eigh(*matrices(*shape), **options)
        assert (w.shape, v.shape) == (shape[:-1], shape)
        assert (w.dtype, v.dtype) == (np.finfo(dtype).dtype, dtype)
        assert eigvalsh(*matrices(*shape), **options).shape == shape[:-1]
        gradient = jax.jit(jax.grad(lambda *m: jnp.sum(jnp.abs(eigh(*m, **options)[1]))))
        assert gradient(*matrices(*shape)).shape == shape
    w, v = eigh(*(4 * m for m in matrices(1, 1)), **options)
    np.testing.assert_allclose(w, [{0: 4, 1: 1, 2: 16, 3: 16}[type]])
    np.testing.assert_allclose(np.abs(v), [[{0: 1, 1: 0.5, 2: 0.5, 3: 2}[type]]])
    assert eigh(np.zeros((0, 3, 3), dtype), np.eye(3, dtype=dtype), **{**options, "type": max(type, 1)})[1].shape == (
        0,
        3,
        3,
    )


EMPTY = {
    "eig": lambda x: jnp.sum(jnp.abs(eigenpair.eig(x, left=True).left_eigenvectors)),
    "eigvals": lambda x: jnp.sum(jnp.abs(eigenpair.eigvals(x))),
    "map": lambda x: jnp.sum(eigenpair.spectral_map(jnp.exp, x)),
    "sum": lambda x: jnp.sum(eigenpair.spectral_sum(jnp.exp, x)),
    "projector": lambda x: jnp.sum(eigenpair.spectral_projector(x, 0)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_for_other_functions(name):
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3)):
        assert EMPTY[name](np.zeros(shape)) == 0
        assert jax.jit(jax.grad(EMPTY[name]))(np.zeros(shape)).shape == shape
        assert jax.jit(jax.hessian(EMPTY[name]))(np.zeros(shape)).shape == shape * 2


def test_integers_booleans_and_lists_promote():
    for a in ([[2, 1], [1, 2]], np.array([[2, 1], [1, 2]]), np.array([[2, 1], [1, 2]], np.int8), ((2, 1), (1, 2))):
        w, v = eigh(a)
        assert w.dtype == v.dtype == np.float64
        np.testing.assert_allclose(w, [1, 3])
    np.testing.assert_allclose(eigvalsh(np.array([[True, True], [True, True]])), [0, 2], atol=1e-15)
    np.testing.assert_allclose(eigvalsh([[2.0, 1j], [-1j, 2.0]]), [1, 3])
    np.testing.assert_allclose(eigvalsh([[2, 1], [1, 2]], [[1, 0], [0, 4]], type=2), eigvalsh([[2.0, 2], [2, 8]]))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("float32", "float64", "float64"),
        ("float32", "complex64", "complex64"),
        ("float64", "complex64", "complex128"),
        ("int32", "float32", "float64"),
    ],
)
def test_mixed_precision_promotes(a, b, expected):
    with jax.numpy_dtype_promotion("standard"):
        w, v = eigh(A.astype(a), B.astype(b))
        assert (w.dtype, v.dtype) == (np.finfo(expected).dtype, expected)
        w, v = eigh(B.astype(b), np.diag([1, 2, 3]).astype(a), type=3)
        assert v.dtype == expected


def test_mixed_precision_is_refused_where_jax_is_told_to():
    for a, b in ((A, B.astype("float32")), (A.astype("float32"), B.astype("complex64"))):
        for function in (eigh, eigenpair.eig):
            with pytest.raises(jax.dtypes.TypePromotionError, match=r"explicitly casting"):
                function(a, b)


def test_memory_layouts():
    """Fortran order, strides, and read-only memory: NumPy arrays that are not plain."""
    a = with_spectrum([1.0, 2, 4], dtype="complex128")
    expected = eigvalsh(a)
    padded = np.zeros((6, 6), complex)
    padded[::2, ::2] = a
    frozen = a.copy()
    frozen.flags.writeable = False
    for m in (np.asfortranarray(a), padded[::2, ::2], frozen, a[::-1, ::-1][::-1, ::-1]):
        np.testing.assert_array_equal(eigvalsh(m), expected)


def test_not_hermitian_is_not_an_error():
    """The function is one of the Hermitian part, and says so."""
    assert "Hermitian part" in eigenpair.eigh.__doc__
    np.testing.assert_allclose(eigvalsh([[1.0, 2], [0, 1]]), [0, 2], atol=1e-15)
