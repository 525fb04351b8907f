"""Entry of `wattshift` and `kubectl-wattshift`: finds the command, runs it, says errors in one line.

A command is a module of this package with `HELP`, `configure(parser)` and `run(options) -> int`; it
is imported only when it is asked for, so that `--help` is quick. Adding one: a file, and a line here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from wattshift import __version__
from wattshift.cli.connect import UsageError, hint
from wattshift.errors import WattshiftError

COMMANDS = (
    "status",
    "explain",
    "plan",
    "replay",
    "simulate",
    "override",
    "release",
    "doctor",
    "reasons",
    "crds",
    "operator",
)
"""Names of the commands; a dash in a name is an underscore in the module."""
DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"wattshift.cli.{command.replace('-', '_')}")


def build_parser(commands: Sequence[str] = COMMANDS, *, program: str = "wattshift") -> _Parser:
    """The parser with these commands complete; `refgen.py` asks for all of them."""
    parser = _Parser(prog=program, description="Move LLM inference with the power grid.")
    parser.add_argument("--version", action="version", version=f"wattshift {__version__}")
    found = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands:
        module = module_of(name)
        module.configure(found.add_parser(name, help=module.HELP, description=module.HELP))
    return parser


class _Parser(argparse.ArgumentParser):
    """Argparse whose abbreviations are off: a script must not break when a flag is added."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, **options})  # type: ignore[arg-type]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 1 = it failed, 2 = it was asked wrongly."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = next((word for word in words if not word.startswith("-")), "")
    as_plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    parser = build_parser(
        (asked,) if asked in COMMANDS else COMMANDS,
        program="kubectl wattshift" if as_plugin else "wattshift",
    )
    options = parser.parse_args(words)
    try:
        status = int(module_of(options.command).run(options))
        sys.stdout.flush()
    except UsageError as error:
        sys.stderr.write(f"{parser.prog} {options.command}: {error.message}\n")
        return MISUSED
    except WattshiftError as error:
        sys.stderr.write(f"{parser.prog}: {error.reason}: {error.message}{hint(error)}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `| head`: nobody reads the rest; without this Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
