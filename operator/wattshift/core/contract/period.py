"""Period to date: everything a bill needs of the past, so that a restart loses nothing.

Immutable; `meter.advance` makes the next one. Costs are exact decimals priced when the energy was
used: a later edit of the contract never rewrites them. Kept in EnergyContract's status as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over one calendar month or year to date."""

    start_time: int
    watt_hours: Mapping[str, int] = field(default_factory=dict)
    """By quantity (`Import`, `GrossUse`, ...)."""
    band_watt_hours: Mapping[str, int] = field(default_factory=dict)
    """By `calendar|band|quantity`."""
    component_watt_hours: Mapping[str, int] = field(default_factory=dict)
    """By energy component or position."""
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    """By energy component or position, exact, not rounded."""
    unpriced_watt_hours: Mapping[str, int] = field(default_factory=dict)
    """By component or position: energy whose index price was unknown; it is in no cost."""
    peak_watts: Mapping[str, int] = field(default_factory=dict)
    """By demand component of this period length: highest block average."""
    sub_peaks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By demand component: peak of each local day (of a month) or month (of a year), -1 = none."""
    metered_seconds: int = 0
    missing_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBlock:
    """An averaging block, or a settlement interval, that is not complete yet."""

    start_time: int
    watt_hours: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Month and year to date of one contract."""

    metered_until: int
    """End of the last interval that was counted; an interval before it is ignored."""
    month: Totals
    year: Totals
    closed: Mapping[str, Decimal] = field(default_factory=dict)
    """Lines of this year's closed months, rounded as they were billed, summed by name."""
    blocks: Mapping[str, OpenBlock] = field(default_factory=dict)
    """By demand component; `@settlement` is the open interval of fixed volumes."""
    previous_sub_peaks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By demand component: `sub_peaks` of the period before, for Pr(X <= D)."""
    peak_history: tuple[tuple[str, str, int], ...] = ()
    """(`2026-07`, component, W) of past months, for ratchets."""
    estimated_seconds: int = 0
    """Part of the month that `openingPeriod` gave as a sum, spread evenly over its time."""

    @property
    def start_time(self) -> int:
        """Start of the billing month."""
        return self.month.start_time

    @property
    def watt_hours(self) -> Mapping[str, int]:
        """Month to date by quantity."""
        return self.month.watt_hours

    @property
    def peak_watts(self) -> Mapping[str, int]:
        """Peaks of the running month or year by demand component."""
        return {**self.year.peak_watts, **self.month.peak_watts}

    @property
    def missing_seconds(self) -> int:
        """Seconds of the month without a meter reading."""
        return self.month.missing_seconds

    def to_json(self) -> dict[str, Any]:
        """Plain JSON document (camelCase, decimals as strings, times in epoch seconds)."""
        return {
            "meteredUntil": self.metered_until,
            "month": _totals_to_json(self.month),
            "year": _totals_to_json(self.year),
            "closed": {name: str(amount) for name, amount in self.closed.items()},
            "blocks": {
                name: [block.start_time, block.watt_hours, block.seconds]
                for name, block in self.blocks.items()
            },
            "previousSubPeaks": {k: list(v) for k, v in self.previous_sub_peaks.items()},
            "peakHistory": [list(entry) for entry in self.peak_history],
            "estimatedSeconds": self.estimated_seconds,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Period:
        """The period that `to_json` wrote; parts that an older version did not write are empty."""
        return Period(
            metered_until=int(document["meteredUntil"]),
            month=_totals_from_json(document["month"]),
            year=_totals_from_json(document["year"]),
            closed={k: Decimal(v) for k, v in document.get("closed", {}).items()},
            blocks={
                name: OpenBlock(start_time=row[0], watt_hours=row[1], seconds=row[2])
                for name, row in document.get("blocks", {}).items()
            },
            previous_sub_peaks={
                k: tuple(v) for k, v in document.get("previousSubPeaks", {}).items()
            },
            peak_history=tuple(
                (row[0], row[1], int(row[2])) for row in document.get("peakHistory", ())
            ),
            estimated_seconds=int(document.get("estimatedSeconds", 0)),
        )


def _totals_to_json(totals: Totals) -> dict[str, Any]:
    return {
        "startTime": totals.start_time,
        "wattHours": dict(totals.watt_hours),
        "bandWattHours": dict(totals.band_watt_hours),
        "componentWattHours": dict(totals.component_watt_hours),
        "costs": {name: str(cost) for name, cost in totals.costs.items()},
        "unpricedWattHours": dict(totals.unpriced_watt_hours),
        "peakWatts": dict(totals.peak_watts),
        "subPeaks": {name: list(peaks) for name, peaks in totals.sub_peaks.items()},
        "meteredSeconds": totals.metered_seconds,
        "missingSeconds": totals.missing_seconds,
    }


def _totals_from_json(document: Mapping[str, Any]) -> Totals:
    return Totals(
        start_time=int(document["startTime"]),
        watt_hours=dict(document.get("wattHours", {})),
        band_watt_hours=dict(document.get("bandWattHours", {})),
        component_watt_hours=dict(document.get("componentWattHours", {})),
        costs={name: Decimal(cost) for name, cost in document.get("costs", {}).items()},
        unpriced_watt_hours=dict(document.get("unpricedWattHours", {})),
        peak_watts=dict(document.get("peakWatts", {})),
        sub_peaks={name: tuple(peaks) for name, peaks in document.get("subPeaks", {}).items()},
        metered_seconds=int(document.get("meteredSeconds", 0)),
        missing_seconds=int(document.get("missingSeconds", 0)),
    )
