"""The lab by hand: `binaries` builds and prints them, `up`, `status` and `down` keep one running."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from e2e.lab import binaries
from e2e.lab.progress import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m e2e.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("binaries", help="build what is absent, print where each lies")
    build.add_argument("names", nargs="*", choices=[[], *binaries.BINARIES], default=[])
    options = parser.parse_args(arguments)
    try:
        for name, path in binaries.ensure(options.names or binaries.BINARIES).items():
            print(f"{name}\t{path}")
    except binaries.LabUnavailable as problem:
        say(str(problem))
        return 1
    return 0
