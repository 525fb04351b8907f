"""`wattshift operator`: run the operator in this process, as the container image does."""

from __future__ import annotations

import argparse

HELP = "run the operator (what the container image does)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--config", default="", help="settings file (docs/configuration.md)")


def run(options: argparse.Namespace) -> int:
    """Run until stopped."""
    from wattshift.control.__main__ import main  # noqa: PLC0415 - heavy imports only here

    return main(["--config", options.config] if options.config else [])
