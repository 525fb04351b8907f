"""Loads the lab's fixtures for all tests; they live in e2e/lab/fixtures.py."""

from __future__ import annotations

pytest_plugins = ["e2e.lab.fixtures"]
