"""Importing this module replaces cuSOLVER by SciPy, and computations on the CPU use the code for CUDA.

So everything except the device is tested: the choice of the routine, the use of its results, and the derivatives. SciPy
returns results like cuSOLVER: in any order and gauge, with packed conjugate pairs, and meaningless numbers after a
failure. To run the conformance suite with it: `PYTHONPATH=tests/python pytest -p cuda_standin tests/conformance`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from eigenpair.general import primitive as general
from eigenpair.hermitian import primitive as hermitian
from eigenpair.runtime import cuda
from jax.interpreters import mlir

cuda.ELEMENTWISE = 0  # or small matrices would not come here
cuda.PAIR_BATCH = 1  # or pairs would only be reduced
calls = []


def _hermitian(matrices, type, vectors, dual):
    n = matrices[0].shape[-1]
    lower = np.tril_indices(n, -1)
    a, *b = (np.array(m) for m in matrices)
    for m in (a, *b):
        m[lower] = 1e30  # the triangle that is not read
    try:
        w, v = scipy.linalg.eigh(a, *b, lower=False, **({"type": type, "driver": "gvd"} if b else {}))
    except scipy.linalg.LinAlgError:
        return [np.arange(n), *(np.eye(n),) * (vectors + dual), n + 1]
    v = v * np.exp(0.7j * np.arange(n)) if np.iscomplexobj(v) else v * (-1.0) ** np.arange(n)
    results = [w, v][: 1 + vectors]
    if dual:
        b = np.array(matrices[1])
        results.append(np.linalg.solve(b, v) if type == 3 else b @ v)
    return [*results, 0]


def _general(matrices, vectors):
    (a,) = matrices
    w, v = scipy.linalg.eig(a)
    if not np.iscomplexobj(a):
        # Backwards, but conjugate pairs stay together, the positive imaginary part first; they share two columns.
        order = [k for j in reversed(range(len(w))) if w[j].imag >= 0 for k in ((j, j + 1) if w[j].imag > 0 else (j,))]
        w, v = w[order], v[:, order]
        v = np.where(w.imag < 0, -v.imag, v.real)
    return [w, v, 0] if vectors else [w, 0]


def _solve(target, attributes, shapes, *operands):
    batch = operands[0].shape[:-2]
    flat = [np.asarray(x).reshape(-1, *x.shape[-2:]) for x in operands]
    results = [np.empty((len(flat[0]), *s.shape[len(batch) :]), s.dtype) for s in shapes]
    for k in range(len(flat[0])):
        if target == "eigenpair_cuda_hermitian":
            chosen = {name: attributes[name] for name in ("type", "vectors", "dual")}
            answer = _hermitian([x[k] for x in flat], **chosen)
        else:
            answer = _general([x[k] for x in flat], **attributes)
        for result, x in zip(results, answer, strict=True):
            result[k] = x
    return [r.reshape(s.shape) for r, s in zip(results, shapes, strict=True)]


def _call(*operands, target, results, attributes):
    calls.append((target, dict(attributes)))
    assert all(np.iscomplexobj(x) or x.dtype in (jnp.float32, jnp.float64) for x in operands)
    avals = cuda._call_abstract(*operands, target=target, results=results, attributes=attributes)
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in avals]
    return jax.pure_callback(lambda *xs: _solve(target, dict(attributes), shapes, *xs), shapes, *operands)


mlir.register_lowering(cuda._call_p, mlir.lower_fun(_call, multiple_results=True), platform="cpu")
mlir.register_lowering(hermitian._solve_p, hermitian._lower_cuda, platform="cpu")
mlir.register_lowering(general._solve_p, general._lower_cuda, platform="cpu")
