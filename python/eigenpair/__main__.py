"""`python -m eigenpair`: what is installed; `python -m eigenpair solve`: an eigenproblem from files to a file."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .hermitian.api import eigh, eigvalsh
from .runtime.files import BadInput, note, read_matrix
from .runtime.installed import report

DESCRIPTION = "Without a command: what is installed."

SOLVE_DESCRIPTION = """\
Solves A v = λ v, or with --b the generalized problem of --type, for Hermitian A and positive definite B.

Files are .npy, .npz (an array by name: file.npz:name) or Matrix Market .mtx; sparse matrices are made dense.
Arrays of more than two axes are batches. Computed in the files' own precision, single or double.
"""

SOLVE_EPILOG = """\
losses for --gradient, functions of the eigenvalues λ in ascending order, counted from 0:
  sum               Σ λᵢ
  sum-of-squares    Σ λᵢ²
  eigenvalue:K      λ_K
  WEIGHTS.npy       Σ wᵢ λᵢ, as many weights as eigenvalues

the file written by -o holds eigenvalues, eigenvectors (unless --values-only); with --gradient value, grad_a, grad_b.
A gradient G of a value f means df = Re tr(Gᴴ dA), so a complex one is ∂f/∂Re A + i ∂f/∂Im A. It is Hermitian; with
--lower or --upper it lives on that triangle, the only one read.

examples:
  python -m eigenpair solve A.npy
  python -m eigenpair solve stiffness.mtx --b mass.mtx --subset 0 9 --gradient eigenvalue:0 -o modes.npz
  python -m eigenpair solve F.npy --b S.npy --gradient occupations.npy -o orbitals.npz
"""


# ---- losses -------------------------------------------------------------------------------------------------------


class Loss(NamedTuple):
    """A function of the eigenvalues, `(…, k)` to `(…)`, and numbers, equal where it treats eigenvalues as equals."""

    value: Callable[[Any], Any]
    text: str
    treatment: np.ndarray[Any, Any]


def as_loss(text: str, count: int) -> Loss:
    """The loss that `--gradient` names, of `count` eigenvalues."""
    if text == "sum":
        return Loss(lambda w: jnp.sum(w, axis=-1), "Σ λᵢ", np.ones(count))
    if text == "sum-of-squares":
        return Loss(lambda w: jnp.sum(w**2, axis=-1), "Σ λᵢ²", np.ones(count))
    if text.startswith("eigenvalue:"):
        index = text.removeprefix("eigenvalue:")
        if not index.isdecimal() or int(index) >= count:
            raise BadInput(f"--gradient {text}: K of eigenvalue:K counts from 0, and there are {count} eigenvalues")
        return Loss(lambda w: w[..., int(index)], f"λ_{index}", np.arange(count) == int(index))
    if text.endswith((".npy", ".npz")) or ".npz:" in text:
        weights = read_matrix(text)
        if weights.shape != (count,) or weights.dtype.kind == "c":
            raise BadInput(
                f"--gradient {text}: there are {count} eigenvalues, so the weights must be {count} real numbers; "
                f"the file holds {weights.dtype} of shape {weights.shape}"
            )
        return Loss(lambda w: jnp.sum(weights.astype(w.dtype) * w, axis=-1), "Σ wᵢ λᵢ", weights)
    raise BadInput(f"--gradient {text}: unknown loss; choose sum, sum-of-squares, eigenvalue:K or WEIGHTS.npy")


def _ambiguous(spectrum: np.ndarray[Any, Any], treatment: np.ndarray[Any, Any]) -> int:
    """In how many matrices equal eigenvalues are treated unequally: there, no gradient exists."""
    if spectrum.shape[-1] < 2:
        return 0
    scale = np.finfo(spectrum.dtype).eps * np.max(np.abs(spectrum), axis=-1, keepdims=True)
    equal = np.diff(spectrum) <= 10 * np.sqrt(spectrum.shape[-1]) * scale
    return int(np.any(equal & (np.diff(treatment) != 0), axis=-1).sum())


# ---- solving ------------------------------------------------------------------------------------------------------


def solve(arguments: argparse.Namespace) -> int:
    """Reads, solves, prints a short table, writes."""
    if arguments.output is not None:
        if Path(arguments.output).suffix != ".npz":
            raise BadInput(f"-o {arguments.output}: the name must end in .npz")
        if not Path(arguments.output).absolute().parent.is_dir():
            raise BadInput(f"-o {arguments.output}: there is no such directory")
    if arguments.b is None and arguments.type is not None:
        raise BadInput("--type says how A and B make a problem; give --b, or leave --type out")
    matrices = [read_matrix(arguments.a)] + ([] if arguments.b is None else [read_matrix(arguments.b)])
    lower = True if arguments.lower else False if arguments.upper else None
    if lower is None:
        for name, x in zip("AB", matrices, strict=False):
            _warn_not_hermitian(name, x)
    options = {"lower": lower, "subset_by_index": arguments.subset}
    if arguments.b is not None:
        options["type"] = arguments.type or 1
    results: dict[str, Any] = {}
    try:
        if arguments.values_only:
            w = eigvalsh(*matrices, **options)
        else:
            w, results["eigenvectors"] = eigh(*matrices, **options)
        results = {"eigenvalues": w, **results}
        loss = None if arguments.gradient is None else as_loss(arguments.gradient, w.shape[-1])
        if loss is not None:
            results |= _gradients(loss, matrices, options)
    except (TypeError, ValueError, MemoryError, RuntimeError) as error:  # the library's own messages name the argument
        raise BadInput(str(error) or "out of memory") from None
    results = {name: np.asarray(x) for name, x in results.items()}
    print(_table(results["eigenvalues"]))
    if loss is not None:
        print(f"\n{loss.text} = {_few(results['value'])}")
    if arguments.output is not None:
        try:
            np.savez(arguments.output, **results)
        except OSError as error:
            raise BadInput(f"-o {arguments.output}: {error}") from None
        print(f"\n{arguments.output}: " + ", ".join(f"{name} {x.dtype}{list(x.shape)}" for name, x in results.items()))
    elif loss is not None:
        note("the gradient is written by -o FILE.npz")
    failed = int(np.isnan(results["eigenvalues"]).any(axis=-1).sum())
    if failed:
        of = results["eigenvalues"][..., 0].size
        reasons = "NaN or Inf among the entries" + ("" if arguments.b is None else ", or B not positive definite")
        print(
            f"error: no solution for {failed} of {of} matrices, which are NaN in the results: {reasons}",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _gradients(loss: Loss, matrices: list[np.ndarray[Any, Any]], options: dict[str, Any]) -> dict[str, Any]:
    # In one batch shape first, so that a B shared by a batch has a gradient for each member of it.
    batch = np.broadcast_shapes(*(x.shape[:-2] for x in matrices))
    dtype = np.result_type(*matrices)
    operands = [np.broadcast_to(x.astype(dtype), batch + x.shape[-2:]) for x in matrices]
    value, pull = jax.vjp(lambda *xs: loss.value(eigvalsh(*xs, **options)), *operands)

    # An eigenvalue left out by --subset may equal one that is in it, so the whole spectrum is looked at.
    spectrum = np.asarray(eigvalsh(*operands, **{**options, "subset_by_index": None}))
    first, last = options["subset_by_index"] or (0, spectrum.shape[-1] - 1)
    count = _ambiguous(spectrum, np.pad(loss.treatment.astype(float), (first, spectrum.shape[-1] - 1 - last)))
    if count:
        note(
            f"{loss.text} treats equal eigenvalues unequally in {count} of {value.size} matrices: it has no derivative "
            "there, and what is written is one subgradient of many"
        )
    gradients = (jnp.conj(g) for g in pull(jnp.ones_like(value)))  # from JAX's convention
    return {"value": value, **dict(zip(("grad_a", "grad_b"), gradients, strict=False))}


def _warn_not_hermitian(name: str, x: np.ndarray[Any, Any]) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or not x.size:
        return
    with np.errstate(all="ignore"):
        distance = np.max(np.abs(x - np.conj(np.swapaxes(x, -1, -2))) / 2)
        if distance > 1e-6 * np.max(np.abs(x)):
            note(
                f"{name} is not Hermitian (by {distance:.1e}); its Hermitian part is solved. "
                "--lower or --upper read one triangle"
            )


def _table(w: np.ndarray[Any, Any]) -> str:
    """The eigenvalues, or the ends of a long list of them."""
    rows = w.reshape(math.prod(w.shape[:-1]), w.shape[-1])
    lines = [f"{rows.shape[0]} × {rows.shape[1]} eigenvalues" if w.ndim > 1 else f"{rows.shape[1]} eigenvalues"]
    digits = 8 if w.dtype == np.float32 else 15
    if w.ndim == 1:
        for index in _ends(rows.shape[1], 10):
            lines.append("   …" if index is None else f"{index:6d}  {rows[0, index]: .{digits}g}")
    else:
        for row in _ends(rows.shape[0], 8):
            lines.append("   …" if row is None else f"{row:6d}  {_few(rows[row])}")
    return "\n".join(lines)


def _few(x: np.ndarray[Any, Any]) -> str:
    if x.ndim == 0:
        return f"{x:.{8 if x.dtype == np.float32 else 15}g}"
    flat = x.ravel()
    return "  ".join("…" if i is None else f"{flat[i]: .7g}" for i in _ends(flat.size, 6))


def _ends(count: int, shown: int) -> list[int | None]:
    if count <= shown:
        return list(range(count))
    return [*range(shown // 2), None, *range(count - shown // 2, count)]


# ---- command line -------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m eigenpair", description=DESCRIPTION)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser(
        "solve",
        help="an eigenproblem from files to a file, with gradients",
        description=SOLVE_DESCRIPTION,
        epilog=SOLVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("a", metavar="A", help="file of the matrix A")
    command.add_argument("--b", metavar="B", help="file of the matrix B, for a generalized problem")
    command.add_argument(
        "--type", type=int, choices=(1, 2, 3), help="1: A v = λ B v (default), 2: A B v = λ v, 3: B A v = λ v"
    )
    triangle = command.add_mutually_exclusive_group()
    triangle.add_argument(
        "--lower", action="store_true", help="read the lower triangles only (default: the Hermitian part)"
    )
    triangle.add_argument("--upper", action="store_true", help="read the upper triangles only")
    command.add_argument("--values-only", action="store_true", help="no eigenvectors")
    command.add_argument(
        "--subset", type=int, nargs=2, metavar=("FIRST", "LAST"), help="these eigenvalues only, both included"
    )
    command.add_argument("--gradient", metavar="LOSS", help="gradient of a function of the eigenvalues, see below")
    command.add_argument("-o", "--output", metavar="FILE.npz", help="where the results go")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 if a matrix had no solution; 2 for what the user must put right."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without λ still gets its numbers
    parsed = parser().parse_args(arguments)
    try:
        if parsed.command is None:
            print(report())
            return 0
        jax.config.update("jax_enable_x64", True)  # a program may choose this for itself; a library may not
        return solve(parsed)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
