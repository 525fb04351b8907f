"""Entry of `wattshift` and `kubectl-wattshift`: finds the command, runs it, says errors in one line.

A command is a module of this package with `HELP`, `configure(parser)` and `run(options) -> int`; it
is imported only when it is asked for, so that `--help` is quick. Adding one: a file, and a line here.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from wattshift import __version__
from wattshift.errors import WattshiftError

COMMANDS = ("operator",)
"""Names of the commands; a dash in a name is an underscore in the module."""


def module_of(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"wattshift.cli.{command.replace('-', '_')}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 1 = it failed, 2 = it was asked wrongly."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="wattshift", description="Move LLM inference with the power grid."
    )
    parser.add_argument("--version", action="version", version=f"wattshift {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((word for word in words if not word.startswith("-")), "")
    for name in COMMANDS:
        module = module_of(name)
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        if name == asked:
            module.configure(command)
    options = parser.parse_args(words)
    try:
        return int(module_of(options.command).run(options))
    except WattshiftError as error:
        sys.stderr.write(f"wattshift: {error.reason}: {error.message}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
