"""The round trips of S1, so that everybody computes with the same numbers.

`python -m scripts.scenarios.round_trips` writes them. NB: the choice of city decides the bound: Los
Angeles instead of San Francisco cuts one arc to Seoul and with it 0.7 points of carbon.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from wattshift.sim.load_sites import kilometers

SCENARIOS = Path(__file__).resolve().parents[2] / "operator" / "wattshift" / "sim" / "scenarios"
PATH_FACTOR, KILOMETERS_PER_MILLISECOND, ADD_MILLISECONDS = 1.6, 200.0, 2.0


def text(scenario: Path) -> str:
    """CSV: first column origin, one column a site, milliseconds."""
    sites = yaml.safe_load(scenario.read_text(encoding="utf-8"))["sites"]
    lines = [",".join(["origin", *(site["name"] for site in sites)])]
    for origin in sites:
        row = [origin["name"]]
        for site in sites:
            distance = kilometers(
                origin["latitude"], origin["longitude"], site["latitude"], site["longitude"]
            )
            way = 2 * distance * PATH_FACTOR / KILOMETERS_PER_MILLISECOND + ADD_MILLISECONDS
            row.append(f"{way:.1f}")
        lines.append(",".join(row))
    return "\n".join(lines) + "\n"


def generated() -> dict[Path, str]:
    """Files by path, for `scripts/generate.py`."""
    return {SCENARIOS / "s1-round-trips.csv": text(SCENARIOS / "s1-global.yaml")}


if __name__ == "__main__":
    for path, content in generated().items():
        path.write_text(content, encoding="utf-8")
