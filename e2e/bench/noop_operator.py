"""The baseline: an operator that only watches our three kinds (kopf, `on.event`) and does nothing.

`python -m e2e.bench.noop_operator KUBECONFIG COUNT FILE` writes the epoch second at which COUNT
objects had been seen into FILE, and runs until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import kopf
import yaml

GROUP, VERSION = "wattshift.io", "v1alpha1"


def registry(kubeconfig: Path, count: int, result: Path) -> kopf.OperatorRegistry:
    """One handler for each kind, that remembers names."""
    handlers = kopf.OperatorRegistry()
    seen: set[str] = set()

    @kopf.on.login(registry=handlers)
    def login(**_: Any) -> kopf.ConnectionInfo:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        return kopf.ConnectionInfo(
            server=cluster["server"],
            ca_path=cluster.get("certificate-authority"),
            ca_data=cluster.get("certificate-authority-data"),
            token=user["token"],
        )

    def watch(plural: str) -> None:
        @kopf.on.event(GROUP, VERSION, plural, registry=handlers, id=plural)
        async def noticed(uid: str, **_: Any) -> None:
            seen.add(uid)
            if len(seen) == count and not result.exists():
                result.write_text(f"{time.time()}\n")

    for plural in ("flexibleworkloads", "energycontracts", "powersites"):
        watch(plural)
    return handlers


def main(arguments: list[str]) -> None:
    """Run until ended."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    asyncio.run(
        kopf.operator(
            registry=registry(Path(arguments[0]), int(arguments[1]), Path(arguments[2])),
            settings=settings,
            standalone=True,
            clusterwide=True,
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
