"""The core's decision, `eigenpair_decide` of its C ABI, called through ctypes."""

import ctypes

import numpy as np
from eigenpair import native

MODES, POLICIES = ("forward", "reverse", "second"), ("check", "mask", "broaden", "raw")
FLOAT64, COMPLEX128, ROW_MAJOR = 1, 3, 1


class Decision(ctypes.Structure):
    """`eigenpair_decision` of the C ABI."""

    _fields_ = (
        [("struct_size", ctypes.c_int64)]
        + [(name, ctypes.c_int32) for name in ("dtype", "general", "type", "mode", "layout", "policy", "options")]
        + [("reserved", ctypes.c_int32)]
        + [("parameter", ctypes.c_double)]
        + [(name, ctypes.c_int64) for name in ("n", "order", "batch")]
        + [
            (name, ctypes.c_void_p)
            for name in (
                "w",
                "k",
                "dw",
                "scale",
                "reach",
                "condition",
                "sizes",
                "norms",
                "v",
                "u",
                "dv",
                "du",
                "da",
                "db",
            )
        ]
        + [(name, ctypes.c_void_p) for name in ("outside", "largest", "edges", "used")]
        + [(name, ctypes.c_void_p) for name in ("gaps", "reasons", "lost", "refused", "scales")]
    )


def decide(general, mode, policy, parameter, options, w, order=None, type=0, **arrays):
    """Reasons `(n, n)` and `(n,)`, and whether anything is refused."""
    n = len(w)
    inexact = np.complex128 if general or np.iscomplexobj(arrays.get("k")) else np.float64
    like_k, like_w = inexact, np.complex128 if general else np.float64
    kept = {"w": np.asarray(w, like_w)}
    for name, value in arrays.items():
        if value is not None:
            matrices = dict.fromkeys(("k", "v", "u", "dv", "du", "da", "db"), like_k)
            dtype = {**matrices, "dw": like_w, "used": np.int32}.get(name, np.float64)
            kept[name] = np.ascontiguousarray(value, dtype)
    reasons, lost, refused = np.full((n, n), -1, np.int32), np.full(n, -1, np.int32), np.full(1, -1, np.int32)
    asked = Decision(
        struct_size=ctypes.sizeof(Decision),
        dtype=COMPLEX128 if inexact is np.complex128 else FLOAT64,
        general=general,
        type=type,
        mode=MODES.index(mode),
        layout=ROW_MAJOR,
        policy=POLICIES.index(policy),
        options=options,
        parameter=parameter,
        n=n,
        order=order or n,
        batch=1,
        reasons=reasons.ctypes.data,
        lost=lost.ctypes.data,
        refused=refused.ctypes.data,
        **{name: value.ctypes.data for name, value in kept.items()},
    )
    assert ctypes.CDLL(str(native.library_path())).eigenpair_decide(ctypes.byref(asked)) == 0
    return reasons, lost, bool(refused[0])
