"""One lab for all scenarios of a run: starting three clusters takes half a minute."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e.lab import binaries
from e2e.lab.fixtures import require_binaries
from e2e.scenarios.world import World, powered_lab


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Three powered clusters with the chart installed by Helm and every site Ready."""
    require_binaries((*binaries.LAB_MODE, "prometheus"), request)
    started = time.monotonic()
    with powered_lab() as lab:
        print(f"clusters, plants and Prometheus after {time.monotonic() - started:.0f} s")
        found = World(lab)
        try:
            found.install()
        except BaseException as problem:
            problem.add_note(lab.lab.operator_log()[-6000:])
            raise
        print(f"chart installed, sites Ready after {time.monotonic() - started:.0f} s")
        yield found
