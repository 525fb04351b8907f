"""Scenarios of the whole product on three real API servers; see `world.py`."""
