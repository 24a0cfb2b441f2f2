"""`eigenpair check`: compares the gradient of a user's loss with finite differences."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import math
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..runtime.files import BadInput, read_matrix
from ..verification import check_grads
from . import output

HELP = "compare the gradient of your own loss with finite differences"

DESCRIPTION = """\
Compares the gradient of a loss with finite differences, and prints a verdict for each input: right, WRONG with the
error, NaN with the reason, a KINK or JUMP of the loss, or UNDECIDED. The module is imported from this folder or from
Python's path, in double precision.
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


_KINDS = ("random", "complex", "symmetric", "hermitian", "positive", "degenerate")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    command.add_argument("function", metavar="MODULE:FUNCTION", help="the loss: arrays to one real number")
    command.add_argument("inputs", metavar="INPUT", nargs="*", help="where to look, see below")
    command.add_argument("--order", type=int, choices=(1, 2), default=1, help="2: second derivatives")
    command.add_argument("--directions", type=int, default=3, metavar="N", help="random directions per input (3)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of inputs and directions (0)")


def run(arguments: argparse.Namespace) -> int:
    """Imports, checks, prints."""
    if arguments.directions < 1 or arguments.seed < 0:
        raise BadInput("--directions must be at least 1, and --seed at least 0")
    with _importable(os.getcwd()):
        module, function = _load(arguments.function)
        inputs = _inputs(module, arguments)
        try:
            found = check_grads(
                function, *inputs, order=arguments.order, directions=arguments.directions, seed=arguments.seed
            )
        except Exception as error:  # a user's function may raise any exception
            raise BadInput(_in_user_code(arguments.function, error, module)) from error
    if arguments.json:
        rows = [dataclasses.asdict(x) for x in found.inputs]
        print(output.as_json({"function": arguments.function, "ok": found.ok, "inputs": rows}))
    else:
        print(found)
    return 0 if found.ok else 1


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _load(text: str) -> tuple[Any, Any]:
    name, _, attribute = text.partition(":")
    if not name or not attribute:
        raise BadInput(f"{text}: name the loss as MODULE:FUNCTION, such as my_module:loss")
    if name.endswith(".py"):
        raise BadInput(
            f"{text}: name the module, not its file: {name.removesuffix('.py').replace('/', '.')}:{attribute}"
        )
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise BadInput(_in_user_code(f"import {name}", error)) from error
        raise BadInput(f"there is no module {error.name}, here or where Python looks for one") from None
    except Exception as error:
        raise BadInput(_in_user_code(f"import {name}", error)) from error
    function: Any = module
    for part in attribute.split("."):
        if not hasattr(function, part):
            near = difflib.get_close_matches(part, [x for x in dir(function) if not x.startswith("_")], 1)
            raise BadInput(f"{name} has no {attribute}{f'; it has {near[0]}' if near else ''}")
        function = getattr(function, part)
    if not callable(function):
        raise BadInput(f"{text} is no function but of type {type(function).__name__}")
    return module, function


def _inputs(module: Any, arguments: argparse.Namespace) -> tuple[Any, ...]:
    if arguments.inputs:
        rng = np.random.default_rng(arguments.seed)
        return tuple(_input(text, rng) for text in arguments.inputs)
    if not hasattr(module, "inputs"):
        raise BadInput(f"say at which inputs, such as symmetric:4, or give {module.__name__} a tuple called `inputs`")
    try:
        inputs = module.inputs() if callable(module.inputs) else module.inputs
    except Exception as error:
        raise BadInput(_in_user_code(f"{module.__name__}.inputs()", error, module)) from error
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)


def _in_user_code(what: str, error: Exception, module: Any = None) -> str:
    """One line: what failed, why, and at which line of the user's file."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, jax.errors.JAXTypeError | jax.errors.JAXIndexError):
        reason += " JAX cannot differentiate that: write the loss with jax.numpy, not with NumPy or Python's float()."
    elif not isinstance(error, TypeError | ValueError):
        reason = f"{type(error).__name__}: {reason}"
    file = getattr(module, "__file__", None)  # None: the module itself failed, in the innermost file
    frames = [x for x in traceback.extract_tb(error.__traceback__) if file == x.filename or not file]
    frames = [x for x in frames if not x.filename.startswith("<frozen")]
    own = frames and frames[-1].filename != __file__
    return f"{what}: {reason}" + (f" ({frames[-1].filename}, line {frames[-1].lineno})" if own else "")


def _input(text: str, rng: np.random.Generator) -> Any:
    kind, colon, size = text.partition(":")
    if not colon or kind not in _KINDS:
        if near := difflib.get_close_matches(kind, _KINDS if colon else [], 1):
            raise BadInput(f"{text}: there is no such input; {near[0]}:{size} is one")
        return read_matrix(text)
    parts = size.split("x")
    if not all(part.isdecimal() for part in parts):
        raise BadInput(f"{text}: the size is one number, or several with x between them")
    shape = tuple(map(int, parts))
    if math.prod(shape) * shape[-1] > 1e8:
        raise BadInput(f"{text}: too large to be checked by finite differences")
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
