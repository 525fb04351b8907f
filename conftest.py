"""Loads the lab's fixtures for all tests (e2e/lab/fixtures.py), and says what runs side by side.

Most tests wait: for API servers, leases, drains. `make test` gives them to several workers; a file
stays in one of them, and all scenarios share one lab. What takes longest is begun first.
"""

from __future__ import annotations

import pytest

pytest_plugins = ["e2e.lab.fixtures"]

LONGEST_FIRST = ("e2e/scenarios", "tests/chart", "e2e/demo", "tests/cli", "tests/lab", "tests/kube")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group by file for pytest-xdist (`--dist loadgroup`), the scenarios as one."""
    for item in items:
        path = item.nodeid.partition("::")[0]
        scenarios = path.startswith("e2e/scenarios/")
        item.add_marker(pytest.mark.xdist_group("scenarios" if scenarios else path))
    if any(item.config.getoption("numprocesses", None) for item in items[:1]):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    for rank, folder in enumerate(LONGEST_FIRST):
        if item.nodeid.startswith(f"{folder}/"):
            return rank
    return len(LONGEST_FIRST)
