"""Loads the lab's fixtures for all tests (e2e/lab/fixtures.py), and says what runs side by side.

Most tests wait: for API servers, leases, drains. `make test` gives tests/ to several workers; a file
stays in one of them, and what takes longest is begun first. The scenarios of e2e/ run alone.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is: neither a deadline nor slow generation is a failure.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

pytest_plugins = ["e2e.lab.fixtures"]

LONGEST_FIRST = ("tests/chart", "tests/cli", "tests/lab_traffic", "tests/lab", "tests/kube")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group by file for pytest-xdist (`--dist loadgroup`), before xdist reads the groups."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    if any(item.config.getoption("numprocesses", None) for item in items[:1]):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    for rank, folder in enumerate(LONGEST_FIRST):
        if item.nodeid.startswith(f"{folder}/"):
            return rank
    return len(LONGEST_FIRST)
