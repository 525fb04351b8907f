"""The lab by hand: `binaries` builds and prints them; `up`, `status`, `down` keep one running."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from e2e.lab import binaries, resident
from e2e.lab.compiler import LabUnavailable
from e2e.lab.progress import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m e2e.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("binaries", help="build what is absent, print where each lies")
    build.add_argument("names", nargs="*", metavar="NAME", help=", ".join(binaries.BINARIES))
    up = commands.add_parser("up", help="start a lab that stays; prints its kubeconfigs")
    up.add_argument("--sites", type=int, default=3)
    up.add_argument("--no-install", action="store_true", help="clusters only, without the chart")
    serve = commands.add_parser("serve", help="the process behind `up`")
    serve.add_argument("--sites", type=int, default=3)
    serve.add_argument("--no-install", action="store_true")
    down = commands.add_parser("down", help="end it")
    status = commands.add_parser("status", help="what runs and where")
    for one in (up, serve, down, status):
        one.add_argument("--name", default="lab", help="several labs may run, by name")
    options = parser.parse_args(arguments)
    try:
        return _dispatch(options)
    except LabUnavailable as problem:
        say(str(problem))
        return 1


def _dispatch(options: argparse.Namespace) -> int:
    if options.command == "binaries":
        if unknown := set(options.names) - set(binaries.BINARIES):
            say(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(binaries.BINARIES)}")
            return 2
        for name, path in binaries.ensure(options.names or binaries.BINARIES).items():
            print(f"{name}\t{path}")
        return 0
    if options.command == "up":
        return resident.up(options.name, sites=options.sites, install=not options.no_install)
    if options.command == "serve":
        return resident.serve(options.name, sites=options.sites, install=not options.no_install)
    if options.command == "down":
        return resident.down(options.name)
    return resident.status(options.name)
