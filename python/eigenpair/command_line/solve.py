"""`eigenpair solve`: reads an eigenproblem from files and writes the solution to a file."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import eig, eigh, eigvals, eigvalsh
from ..hermitian.api import clusters_of
from ..runtime.files import BadInput, note, read_matrix
from . import losses, output
from .ties import largest_is_tied

HELP = "solve an eigenproblem from files, with gradients"

DESCRIPTION = """\
Solves A v = λ v, or with --b the generalized problem of --type, for Hermitian A and positive definite B; with
--general, A v = λ v or A v = λ B v for any square matrices.

Files are .npy, .npz (an array by name: file.npz:name), Matrix Market .mtx or .csv; sparse matrices are made dense.
`-` is standard input, in any of these formats. Arrays of more than two axes are batches. The precision is that of the
files, single or double.
"""

EPILOG = f"""\
{losses.HELP}
the file written by -o holds eigenvalues, eigenvectors (unless --values-only), with --left left_eigenvectors; with
--gradient value, grad_a, grad_b. --json prints all but the eigenvectors. A gradient G of a value f means
df = Re tr(Gᴴ dA), so a complex one is ∂f/∂Re A + i ∂f/∂Im A. For a Hermitian problem it is Hermitian. With --lower or
--upper only that triangle is read, and the gradient is zero outside of it.

examples:
  eigenpair solve A.npy
  eigenpair solve stiffness.mtx --b mass.mtx --subset 0 9 --gradient eigenvalue:0 -o modes.npz
  eigenpair solve A.csv --general --gradient abscissa -o stability.npz
  generate | eigenpair solve - --json | jq .eigenvalues[0]
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    command.add_argument("a", metavar="A", help="file of the matrix A, or - for standard input")
    command.add_argument("--b", metavar="B", help="file of the matrix B, for a generalized problem")
    command.add_argument(
        "--type", type=int, choices=(1, 2, 3), help="1: A v = λ B v (default), 2: A B v = λ v, 3: B A v = λ v"
    )
    command.add_argument("--general", action="store_true", help="A and B are any square matrices; λ may be complex")
    command.add_argument("--left", action="store_true", help="with --general: left eigenvectors too")
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
    command.add_argument("--force", action="store_true", help="overwrite what is there")


def run(arguments: argparse.Namespace) -> int:
    """Reads, solves, prints a short table, writes."""
    _refuse(arguments)
    matrices = [read_matrix(arguments.a)] + ([] if arguments.b is None else [read_matrix(arguments.b)])
    start = time.perf_counter()
    try:
        loss, results, said = (_general if arguments.general else _hermitian)(arguments, matrices)
    except (TypeError, ValueError, MemoryError, RuntimeError) as error:  # the library's own messages name the argument
        raise BadInput(str(error) or "out of memory") from None
    results = {name: np.asarray(x) for name, x in results.items()}
    seconds = time.perf_counter() - start
    failed = int(np.isnan(results["eigenvalues"]).any(axis=-1).sum())
    written = None if arguments.output is None else output.write(arguments.output, results)
    if arguments.json:
        shown = {name: x for name, x in results.items() if "vectors" not in name}
        print(output.as_json({"problem": said, **shown, "failed": failed, "output": arguments.output}))
    else:
        w = results["eigenvalues"]
        of = f"{w[..., 0].size} × {w.shape[-1]}" if w.ndim > 1 and w.shape[-1] else "×".join(map(str, w.shape))
        print(f"{said}, {matrices[0].dtype}, in {seconds:.2g} s: {of} eigenvalues")
        print(output.table(w))
        if loss is not None:
            print(f"\n{loss.text} = {output.shortened(results['value'])}")
            for name, x in results.items():
                if name.startswith("grad_"):
                    print(f"norm of {name} = {output.shortened(np.linalg.norm(x, axis=(-2, -1)))}")
        if written is not None:
            print(f"\n{written}")
        elif loss is not None:
            note("the gradient is written by -o FILE.npz")
    if failed:
        of = results["eigenvalues"][..., 0].size
        reasons = "NaN or Inf among the entries" + ("" if arguments.b is None else ", or B not positive definite")
        print(
            f"error: no solution for {failed} of {of} matrices, which are NaN in the results: {reasons}",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _refuse(arguments: argparse.Namespace) -> None:
    if arguments.output is not None:
        output.refuse_output(arguments.output, arguments.force)
    if arguments.b is None and arguments.type is not None:
        raise BadInput("--type says how A and B make a problem; give --b, or leave --type out")
    if arguments.left and not arguments.general:
        raise BadInput("--left: a Hermitian problem has the same left and right eigenvectors; or give --general")
    if arguments.general:
        for name, given in (
            ("--type", arguments.type is not None),
            ("--lower", arguments.lower),
            ("--upper", arguments.upper),
            ("--subset", arguments.subset is not None),
        ):
            if given:
                raise BadInput(f"{name} is for Hermitian problems; leave it out, or leave --general out")


def _general(arguments: argparse.Namespace, matrices: list[np.ndarray[Any, Any]]) -> tuple[Any, dict[str, Any], str]:
    if arguments.values_only:
        results = {"eigenvalues": eigvals(*matrices)}
    else:
        found = eig(*matrices, left=arguments.left)
        results = {"eigenvalues": found[0], "eigenvectors": found[-1]}
        if arguments.left:
            results["left_eigenvectors"] = found[1]
    loss = None if arguments.gradient is None else losses.as_general_loss(arguments.gradient)
    if loss is not None:
        results |= _general_gradients(loss, _in_one_batch(matrices))
    return loss, results, "A v = λ v, general" if len(matrices) == 1 else "A v = λ B v, general"


def _general_gradients(loss: losses.Loss, operands: list[np.ndarray[Any, Any]]) -> dict[str, Any]:
    found = _pulled(*jax.vjp(lambda *xs: loss.value(eigvals(*xs)), *operands))
    why = "eigenvalues coincide"
    if loss.maximum_of is not None:
        tied = largest_is_tied(loss.maximum_of, operands)[..., None, None]
        found = {name: x if name == "value" else jnp.where(tied, jnp.nan, x) for name, x in found.items()}
        why = "several eigenvalues reach the maximum, or eigenvalues coincide"
    lost = np.isnan(np.asarray(found["grad_a"])).any(axis=(-2, -1)).sum()
    if lost:
        note(
            f"{loss.text} has no derivative in {lost} of {found['value'].size} matrices, or none that can be told: "
            f"{why}. The gradient is NaN there"
        )
    return found


def _hermitian(arguments: argparse.Namespace, matrices: list[np.ndarray[Any, Any]]) -> tuple[Any, dict[str, Any], str]:
    lower = True if arguments.lower else False if arguments.upper else None
    if lower is None:
        for name, x in zip("AB", matrices, strict=False):
            _warn_not_hermitian(name, x)
    options = {"lower": lower, "subset_by_index": arguments.subset}
    if arguments.b is not None:
        options["type"] = arguments.type or 1
    results: dict[str, Any] = {}
    if arguments.values_only:
        w = eigvalsh(*matrices, **options)
    else:
        w, results["eigenvectors"] = eigh(*matrices, **options)
    results = {"eigenvalues": w, **results}
    loss = None if arguments.gradient is None else losses.as_loss(arguments.gradient, w.shape[-1])
    if loss is not None:
        results |= _gradients(loss, matrices, options)
    equation = {1: "A v = λ B v", 2: "A B v = λ v", 3: "B A v = λ v"}.get(options.get("type", 0), "A v = λ v")
    return loss, results, f"{equation}, Hermitian"


def _in_one_batch(matrices: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Broadcasts B over the batch, so that it has one gradient for each matrix."""
    batch = np.broadcast_shapes(*(x.shape[:-2] for x in matrices))
    dtype = np.result_type(*matrices)
    return [np.broadcast_to(x.astype(dtype), batch + x.shape[-2:]) for x in matrices]


def _pulled(value: Any, pull: Any) -> dict[str, Any]:
    gradients = (jnp.conj(g) for g in pull(jnp.ones_like(value)))  # from JAX's convention
    return {"value": value, **dict(zip(("grad_a", "grad_b"), gradients, strict=False))}


def _gradients(loss: losses.Loss, matrices: list[np.ndarray[Any, Any]], options: dict[str, Any]) -> dict[str, Any]:
    operands = _in_one_batch(matrices)
    value, pull = jax.vjp(lambda *xs: loss.value(eigvalsh(*xs, **options)), *operands)

    # An eigenvalue outside of --subset may equal one inside, so the whole spectrum is compared.
    n = operands[0].shape[-1]
    first, last = options["subset_by_index"] or (0, n - 1)
    same_cluster = np.asarray(clusters_of([*map(jnp.asarray, operands)], options.get("type", 0), options["lower"]))
    count = _count_without_gradient(same_cluster, np.pad(np.asarray(loss.treatment, float), (first, n - 1 - last)))
    if count:
        note(
            f"{loss.text} treats equal eigenvalues unequally in {count} of {value.size} matrices: it has no derivative "
            "there, and what is written is one subgradient of many"
        )
    return _pulled(value, pull)


def _count_without_gradient(same_cluster: np.ndarray[Any, Any], treatment: np.ndarray[Any, Any]) -> int:
    """In how many matrices the loss treats eigenvalues of one cluster, `(…, n, n)`, unequally."""
    unequal = treatment[:, None] != treatment[None, :]
    return int(np.any(same_cluster & unequal, axis=(-1, -2)).sum())


def _warn_not_hermitian(name: str, x: np.ndarray[Any, Any]) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or not x.size:
        return
    with np.errstate(all="ignore"):
        distance = np.max(np.abs(x - np.conj(np.swapaxes(x, -1, -2))) / 2)
        if distance > 1e-6 * np.max(np.abs(x)):
            note(
                f"{name} is not Hermitian (by {distance:.1e}); its Hermitian part is solved. "
                "--lower or --upper read one triangle, --general takes the matrix as it is"
            )
