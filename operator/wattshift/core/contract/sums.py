"""Mutable month or year totals: the working copy behind `accumulate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from wattshift.core.contract.period import Totals


class Sums:
    """Mutable `Totals`."""

    __slots__ = tuple(field.name for field in fields(Totals))

    start_time: int
    watt_hours: dict[str, int]
    band_watt_hours: dict[str, int]
    component_watt_hours: dict[str, int]
    costs: dict[str, Decimal]
    unpriced_watt_hours: dict[str, int]
    peak_watts: dict[str, int]
    sub_peaks: dict[str, tuple[int, ...]]
    metered_seconds: int
    missing_seconds: int

    def __init__(self, totals: Totals) -> None:
        for name in self.__slots__:
            value = getattr(totals, name)
            setattr(self, name, dict(value) if isinstance(value, Mapping) else value)

    def freeze(self) -> Totals:
        """The immutable totals."""
        values: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            values[name] = dict(value) if isinstance(value, dict) else value
        return Totals(**values)
