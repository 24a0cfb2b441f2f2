"""`eigenpair check`: a user's own loss, its gradient beside finite differences."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
from typing import Any

import numpy as np

from ..runtime.files import BadInput, read_matrix
from ..verification import check_grads
from . import output

HELP = "your own loss: its gradient beside finite differences"

DESCRIPTION = """\
Compares the gradient of a loss with finite differences, and gives a verdict for each input: right, WRONG and by how
much, NaN with the reason, a KINK or JUMP of the loss, or UNDECIDED. The module is imported from this folder or from
where Python finds it, in double precision.
"""

EPILOG = """\
inputs, one for each argument of the function:
  A.npy, A.mtx, …   a file, as for `eigenpair solve`
  random:4x4        random numbers of this shape; random:2x4x4 is a batch
  complex:4x4       the same, complex
  symmetric:4       a random real symmetric matrix; hermitian:4, a complex one; positive:4, a positive definite one
  degenerate:4      a symmetric matrix whose two lowest eigenvalues are equal
Without inputs, the module's `inputs` are used: a tuple of arguments, or a function that returns one.

exit code: 0 if the gradient is right in every input, else 1.

examples:
  eigenpair check my_module:loss symmetric:6 positive:6
  eigenpair check my_module:loss A.npy --order 2
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    command.add_argument("function", metavar="MODULE:FUNCTION", help="the loss: arrays to one real number")
    command.add_argument("inputs", metavar="INPUT", nargs="*", help="where to look, see below")
    command.add_argument("--order", type=int, choices=(1, 2), default=1, help="2: second derivatives")
    command.add_argument("--directions", type=int, default=3, metavar="N", help="random directions per input (3)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of inputs and directions (0)")


def run(arguments: argparse.Namespace) -> int:
    """Imports, checks, prints."""
    module, function = _load(arguments.function)
    if arguments.inputs:
        rng = np.random.default_rng(arguments.seed)
        inputs = tuple(_input(text, rng) for text in arguments.inputs)
    elif hasattr(module, "inputs"):
        inputs = module.inputs() if callable(module.inputs) else module.inputs
        inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    else:
        raise BadInput(f"say at which inputs, such as symmetric:4, or give {module.__name__} a tuple called `inputs`")
    try:
        found = check_grads(
            function, *inputs, order=arguments.order, directions=arguments.directions, seed=arguments.seed
        )
    except (TypeError, ValueError) as error:
        raise BadInput(f"{arguments.function}: {error}") from error
    if arguments.json:
        rows = [dataclasses.asdict(x) for x in found.inputs]
        print(output.as_json({"function": arguments.function, "ok": found.ok, "inputs": rows}))
    else:
        print(found)
    return 0 if found.ok else 1


def _load(text: str) -> tuple[Any, Any]:
    name, _, attribute = text.partition(":")
    if not name or not attribute:
        raise BadInput(f"{text}: name the loss as MODULE:FUNCTION, such as my_module:loss")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise BadInput(f"there is no module {name}, here or where Python looks for one") from None
    finally:
        sys.path.remove(os.getcwd())
    function: Any = module
    for part in attribute.split("."):
        if not hasattr(function, part):
            raise BadInput(f"{name} has no {attribute}")
        function = getattr(function, part)
    return module, function


def _input(text: str, rng: np.random.Generator) -> Any:
    kind, colon, size = text.partition(":")
    if not colon or kind not in ("random", "complex", "symmetric", "hermitian", "positive", "degenerate"):
        return read_matrix(text)
    parts = size.split("x")
    if not all(part.isdecimal() for part in parts):
        raise BadInput(f"{text}: the size is one number, or several with x between them")
    shape = tuple(map(int, parts))
    if kind == "random":
        return rng.standard_normal(shape)
    if kind == "complex":
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    shape = (*shape[:-1], shape[-1], shape[-1])
    x = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if kind == "hermitian" else 0)
    x = (x + np.conj(np.swapaxes(x, -1, -2))) / 2
    if kind == "positive":
        return x @ x + np.eye(shape[-1])
    if kind == "degenerate":
        w, v = np.linalg.eigh(x)
        w[..., 1:2] = w[..., :1]
        x = (v * w[..., None, :]) @ np.swapaxes(v, -1, -2)
        return (x + np.swapaxes(x, -1, -2)) / 2
    return x
