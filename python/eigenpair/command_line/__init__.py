"""The program `eigenpair`, also `python -m eigenpair`: prints what is installed, solves files, checks gradients."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import json
import os
import re
import sys
from collections.abc import Sequence

import jax

from .. import __version__
from ..runtime.files import BadInput
from ..runtime.installed import c_folder, facts, report
from . import bench, check, solve

_COMMANDS = {"solve": solve, "check": check, "bench": bench}

_DESCRIPTION = "Differentiable eigendecomposition. Without a command, prints what is installed."


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="eigenpair", description=_DESCRIPTION)
    top.add_argument("--version", action="version", version=f"eigenpair {__version__}")
    top.add_argument("--json", action="store_true", help="for programs: print JSON")
    paths = top.add_mutually_exclusive_group()
    paths.add_argument("--cmakedir", action="store_true", help="print the folder for CMAKE_PREFIX_PATH")
    paths.add_argument("--pkgconfigdir", action="store_true", help="print the folder for PKG_CONFIG_PATH")
    paths.add_argument("--includedir", action="store_true", help="print the folder of eigenpair.h")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        # Before or after the command.
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for programs: print JSON")
    return top


def _report(parsed: argparse.Namespace) -> int:
    for name, asked in (("cmake", parsed.cmakedir), ("pkgconfig", parsed.pkgconfigdir), ("include", parsed.includedir)):
        if asked:
            print(c_folder(name))
            return 0
    print(json.dumps(facts(), indent=2) if parsed.json else report())
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; for an unknown option, an error that names the one that is probably meant."""
    top = parser()
    parsed, unknown = top.parse_known_args(arguments)
    if not unknown:
        return parsed
    usage = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(usage):
        parser().parse_args([*([parsed.command] if parsed.command else []), "--help"])
    known = set(re.findall(r"--[a-z][a-z-]*", usage.getvalue()))
    option = next((x for x in unknown if x.startswith("-")), unknown[0])
    close = difflib.get_close_matches("--" + option.lstrip("-").lower(), known, 1)
    top.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; did you mean {close[0]}?" if close else ""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 if a matrix has no solution or a gradient is not right; 2 for bad input."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show λ still shows the numbers
    parsed = _parsed(arguments)
    try:
        if parsed.command is None:
            return _report(parsed)
        jax.config.update("jax_enable_x64", True)  # a program may choose double precision; a library may not
        return int(_COMMANDS[parsed.command].run(parsed))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
