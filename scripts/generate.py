"""Writes every generated file; `--check` shows the difference instead and exits 1 if there is any.

One table of generators, each a function from code to `{path: text}`. `make generate`, `make verify`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, `scripts` is not importable otherwise

from scripts import chart_rbac, chart_values, reasons_page  # noqa: E402
from scripts.scenarios import reference as scenario_reference  # noqa: E402
from scripts.scenarios import round_trips  # noqa: E402
from wattshift.api import crdgen, refgen  # noqa: E402
from wattshift.cli import refgen as cli_refgen  # noqa: E402
from wattshift.obs import reference as metrics  # noqa: E402

Files = dict[Path, str]
CHART = ROOT / "charts" / "wattshift"
DOCS = ROOT / "docs"


def crds() -> Files:
    """Plain CRDs, and those of the chart."""
    return crdgen.generated(ROOT / "crds", CHART / "templates" / "crds")


def references() -> Files:
    """Pages that are generated as a whole."""
    return {
        DOCS / "reference" / "api.md": refgen.reference(),
        DOCS / "reference" / "cli.md": cli_refgen.text(),
        DOCS / "reference" / "reasons.md": reasons_page.page(),
        DOCS / "metrics.md": metrics.document(),
    }


def chart() -> Files:
    """Schema and README of the values."""
    return chart_values.generated(CHART)


def permissions() -> Files:
    """The table in the page on security."""
    path = DOCS / "security.md"
    return {path: chart_rbac.page(path.read_text(encoding="utf-8"), CHART)}


def scenarios() -> Files:
    """Reference of scenario files, the guide's table, and the round trips of S1."""
    return {**scenario_reference.generated(DOCS), **round_trips.generated()}


GENERATORS: tuple[Callable[[], Files], ...] = (crds, chart, references, permissions, scenarios)
"""In this order: the chart is rendered only after its own files are new."""


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python scripts/generate.py", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="show drift and exit 1 if there is any"
    )
    check = parser.parse_args(arguments).check
    status, count = 0, 0
    for generator in GENERATORS:
        files = generator()
        count += len(files)
        status |= crdgen.write_or_check(files, check=check)
    drift = "drift: run `make generate`" if status else "no drift"
    sys.stderr.write(f"{count} generated files: {drift if check else 'written'}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
