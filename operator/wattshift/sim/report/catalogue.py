"""What scenarios are shipped, without reading their data: for `wattshift simulate --list`."""

from __future__ import annotations

from typing import Any

import yaml

from wattshift.sim.load import find, shipped


def headings() -> list[dict[str, Any]]:
    """Name, title, days, whether it runs on shipped data, variants; ordered by name."""
    rows = []
    for name in shipped():
        document = yaml.safe_load(find(name).read_text(encoding="utf-8"))
        data = document.get("data") or {}
        outside = "smallVariant" in data or "folder" in data
        rows.append(
            {
                "name": name,
                "title": str(document.get("title", "")),
                "days": document.get("days"),
                "data": "WATTSHIFT_DATA" if outside else "shipped",
                "smallVariant": data.get("smallVariant", ""),
                "variants": sorted(document.get("variants") or {}),
            }
        )
    return rows
