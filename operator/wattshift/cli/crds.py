"""`wattshift crds`: the CustomResourceDefinitions of this version, ready for `kubectl apply`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wattshift.api.crdgen import KINDS, as_yaml, custom_resource_definition, generated
from wattshift.errors import NeedsHuman

HELP = "print the CustomResourceDefinitions (kubectl apply --server-side -f -)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--output", default="", metavar="DIR", help="write a file for each instead")


def run(options: argparse.Namespace) -> int:
    """Print or write them; generated from the models, so they always fit this version."""
    if not options.output:
        sys.stdout.write("---\n".join(as_yaml(custom_resource_definition(kind)) for kind in KINDS))
        return 0
    for path, text in generated(Path(options.output), None).items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise NeedsHuman(f"{path}: {error.strerror}", reason="NotWritable") from None
        print(path)
    return 0
