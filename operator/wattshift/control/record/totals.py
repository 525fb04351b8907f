"""Running totals per workload: energy, money, carbon and tokens, and what doing nothing would have been.

The arithmetic is `core/account.py`'s, one estimator on both sides; this file times the steps, counts
tokens from the engines' own counters and adds what a restart found in status. In a replay one wall
second stands for `speed` grid seconds, so tokens are counted that many times as well.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.records import TotalsRecord
from wattshift.control.runtime import Runtime
from wattshift.core.account import Books, Line, record
from wattshift.core.model import Snapshot, WorkloadState

MINIMUM_SECONDS = 60.0
"""Grid seconds between steps."""
LONGEST_SECONDS = 900.0
"""Grid seconds (of real time) after which a pause is a gap that nobody valued."""
JOULES_PER_WATT_HOUR = 3600


class Totals:
    """Books of this process, on top of what status had when it began."""

    def __init__(self, *, runtime: Runtime) -> None:
        self._runtime = runtime
        self._books = Books()
        self._last: float | None = None
        self._base: dict[str, TotalsRecord] = {}
        self._tokens: dict[str, int] = {}
        """Last generation counter by pod UID."""
        self._uids: dict[str, str] = {}

    @property
    def books(self) -> Books:
        """All steps since this process leads."""
        return self._books

    def advance(self, snapshot: Snapshot) -> None:
        """Value the time since the last step by this snapshot, when enough has passed."""
        now = snapshot.grid_time
        if self._last is None or now < self._last:
            self._last = now
            self._count_tokens(snapshot)
            return
        seconds = now - self._last
        if seconds < MINIMUM_SECONDS:
            return
        self._last = now
        tokens = self._count_tokens(snapshot)
        if seconds > LONGEST_SECONDS * max(1.0, snapshot.speed):
            return
        self._forget_replaced(snapshot)
        self._books.add(record(snapshot, now - seconds, seconds, tokens))
        for workload in snapshot.workloads:
            self._show(workload, now)

    def _forget_replaced(self, snapshot: Snapshot) -> None:
        """A namesake that was made anew begins its own books."""
        for workload in snapshot.workloads:
            key, uid = workload.key, workload.uid
            if self._uids.setdefault(key, uid) != uid:
                self._uids[key] = uid
                self._base.pop(key, None)
                self._books.workloads.pop(key, None)
                self._books.baseline_workloads.pop(key, None)

    def _count_tokens(self, snapshot: Snapshot) -> dict[str, int]:
        """Tokens since the last step by workload; a counter that fell began anew."""
        found: dict[str, int] = {}
        seen: dict[str, int] = {}
        for workload in snapshot.workloads:
            count = 0
            for placement in workload.placements:
                for pod in placement.engine.pods if placement.engine is not None else ():
                    total = pod.generation_tokens_total
                    before = self._tokens.get(pod.pod_uid, total)
                    count += total - before if total >= before else total
                    seen[pod.pod_uid] = total
            found[workload.key] = round(count * snapshot.speed)
        self._tokens = seen
        return found

    def _show(self, workload: WorkloadState, now: float) -> None:
        key = ObjectKey.workload(workload.key)
        kept = self._runtime.book.workload(key)
        base = self._base.setdefault(workload.key, kept.totals or TotalsRecord(since_time=now))
        actual = self._books.workloads.get(workload.key, Line())
        nothing = self._books.baseline_workloads.get(workload.key, Line())
        totals = TotalsRecord(
            since_time=base.since_time,
            watt_hours=base.watt_hours + actual.facility_joules // JOULES_PER_WATT_HOUR,
            green_watt_hours=base.green_watt_hours + actual.green_joules // JOULES_PER_WATT_HOUR,
            saved_watt_hours=base.saved_watt_hours
            + (nothing.facility_joules - actual.facility_joules) // JOULES_PER_WATT_HOUR,
            carbon_grams=base.carbon_grams + int(actual.grams),
            saved_carbon_grams=base.saved_carbon_grams + int(nothing.grams - actual.grams),
            cost=_money(Decimal(base.cost) + actual.cost),
            saved_cost=_money(Decimal(base.saved_cost) + nothing.cost - actual.cost),
            output_tokens=base.output_tokens + actual.tokens,
        )
        self._runtime.book.update(key, replace(kept, totals=totals))


def _money(value: Decimal) -> str:
    text = f"{value:.4f}"
    return "0" if Decimal(text) == 0 else text
