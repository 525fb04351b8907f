"""Loads the lab's fixtures for all tests (e2e/lab/fixtures.py), and says what runs side by side.

Most tests wait: for API servers, leases, drains. `make test` gives tests/ to several workers, beside
e2e/ (scripts/run_tests.py); a file stays in one of them, and what takes longest is begun first.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is: neither a deadline nor slow generation is a failure.
# A commit has one result: examples are the same in every run. `make fuzz` draws new ones.
_SLOW = [HealthCheck.too_slow]
settings.register_profile("same", deadline=None, suppress_health_check=_SLOW, derandomize=True)
settings.register_profile("fuzz", deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

pytest_plugins = ["e2e.lab.fixtures"]

LONGEST_FIRST = (
    "tests/control/test_operator_server",
    "tests/control/record",
    "tests/cli/test_release_server",
    "tests/control",
    "tests/chart",
    "tests/cli",
    "tests/lab_traffic",
    "tests/lab",
    "tests/kube",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a worker of pytest-xdist: the files that take longest first, so that none is left for the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    for rank, path in enumerate(LONGEST_FIRST):
        if item.nodeid.startswith(path):
            return rank
    return len(LONGEST_FIRST)
