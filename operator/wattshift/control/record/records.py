"""What must survive a restart, one immutable record per object; `dataclasses.replace` to change.

`StatusBook` (status.py) keeps the current records, loads them from status when an object is first
seen and writes them back. `control/act.py` persists a record *before* the act that depends on it.
Times are epoch seconds on the grid clock unless a name says wall or utc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wattshift.api.site_status import (
    ClusterStatus,
    PowerSiteSummary,
    SignalStatus,
    SitePowerStatus,
    SiteShadowPrices,
)
from wattshift.api.workload_status import Effective, FlexibleWorkloadSummary, Learnt
from wattshift.core.contract.period import Period
from wattshift.core.model import MoveIntent, Original


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRecord:
    """One placement: what was wanted and written (persisted), and what was last seen (shown)."""

    name: str
    desired_replicas: int | None = None
    """Persisted before a `/scale` write."""
    last_written_replicas: int | None = None
    """Persisted after the server acknowledged it."""
    last_write_time: float | None = None
    target_uid: str = ""
    cluster_uid: str = ""
    observed_replicas: int | None = None
    ready_replicas: int | None = None
    in_service_replicas: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRecord:
    """A hand-over that was begun; the deadline is real UTC, so that it outlives the process."""

    id: str
    source_name: str
    destination_name: str
    source_before: int
    destination_before: int
    source_replicas: int
    destination_replicas: int
    started_time: float
    deadline_utc: float
    reason: str
    aborting: bool = False
    restarted: bool = False
    """The deadline passed while the operator was down and was given once more."""
    step: str = "Reserve"
    """Last step that was begun, for people (`api.workload_status.MoveStep`)."""

    def intent(self, now_utc: float) -> MoveIntent:
        """As the snapshot sees it, with the wall seconds left."""
        return MoveIntent(
            id=self.id,
            source_name=self.source_name,
            destination_name=self.destination_name,
            source_before=self.source_before,
            destination_before=self.destination_before,
            source_replicas=self.source_replicas,
            destination_replicas=self.destination_replicas,
            started_time=self.started_time,
            deadline_wall_seconds=self.deadline_utc - now_utc,
            reason=self.reason,
            aborting=self.aborting,
        )

    @classmethod
    def from_intent(cls, intent: MoveIntent, now_utc: float) -> MoveRecord:
        """Record a new intent."""
        return cls(
            id=intent.id,
            source_name=intent.source_name,
            destination_name=intent.destination_name,
            source_before=intent.source_before,
            destination_before=intent.destination_before,
            source_replicas=intent.source_replicas,
            destination_replicas=intent.destination_replicas,
            started_time=intent.started_time,
            deadline_utc=now_utc + intent.deadline_wall_seconds,
            reason=intent.reason,
            aborting=intent.aborting,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternativeRecord:
    """One rejected alternative, in words."""

    action: str
    reason: str
    message: str
    """What it would have done, and what it would have cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """The last decision, enough for `kubectl` to explain it."""

    time: float
    action: str
    reason: str
    message: str
    plan_id: str = ""
    mode: str = ""
    targets: tuple[tuple[str, int], ...] = ()
    """(placement, replicas)."""
    alternatives: tuple[AlternativeRecord, ...] = ()
    """At most three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsRecord:
    """Sums since `since_time`; they reach status hourly."""

    since_time: float
    watt_hours: int = 0
    green_watt_hours: int = 0
    saved_watt_hours: int = 0
    carbon_grams: int = 0
    saved_carbon_grams: int = 0
    cost: str = "0"
    """Reporting currency, decimal."""
    saved_cost: str = "0"
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRecord:
    """FlexibleWorkload: the state of our hand on it."""

    uid: str = ""
    placements: tuple[PlacementRecord, ...] = ()
    originals: tuple[Original, ...] = ()
    move: MoveRecord | None = None
    moves_today: int = 0
    """Hand-overs that were begun."""
    moved_permille: int = 0
    """Sum of the shares of the load that changed their placement (`control/record/moved.py`)."""
    moves_day: str = ""
    """Day in UTC (`2026-11-22`) that both count."""
    last_change_time: float | None = None
    paused_since_time: float | None = None
    work_since_time: float | None = None
    """Since when there has been batch work before its deadline (`control/inputs/inflow_book.py`)."""
    release_started_utc: float | None = None
    decision: DecisionRecord | None = None
    totals: TotalsRecord | None = None
    effective: Effective | None = None
    """Values that hold after presets and modes (`convert.py`)."""
    power_watts: int | None = None
    learnt: Learnt | None = None
    """Capacity and growth with their bins (`control/inputs/learning.py`); they reach status hourly,
    sooner where a figure moved far (`changes.py`)."""
    summary: FlexibleWorkloadSummary | None = None

    def placement(self, name: str) -> PlacementRecord:
        """Record of one placement; an empty one if it is new."""
        for row in self.placements:
            if row.name == name:
                return row
        return PlacementRecord(name=name)

    def on_day(self, day: str) -> WorkloadRecord:
        """With the moves of a day; those of another one are over."""
        if self.moves_day == day:
            return self
        return replace(self, moves_day=day, moves_today=0, moved_permille=0)

    def with_placement(self, row: PlacementRecord) -> tuple[PlacementRecord, ...]:
        """`placements` with `row` put in place of its namesake, ordered by name."""
        others = [old for old in self.placements if old.name != row.name]
        return tuple(sorted([*others, row], key=lambda item: item.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """A power event that was received: persisted before anybody acts on it."""

    name: str
    revision: int
    state: str
    """Far | Near | Active | Recovering | Completed | Cancelled | Superseded."""
    connection_name: str
    start_time: float
    end_time: float
    firmness: str
    type: str = "Limit"
    reference: str = "Absolute"
    upper_watts: int | None = None
    lower_watts: int | None = None
    frozen_reference_watts: int | None = None
    """Power kept before a PreEvent reduction; never measured again."""
    ramp_seconds: int = 0
    contract_name: str = ""
    program_name: str = ""
    received_time: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecord:
    """PowerSite: events and identities that must survive, and what is shown, in API models."""

    uid: str = ""
    active_events: tuple[EventRecord, ...] = ()
    """Persisted before anybody acts on them, with the power frozen before a PreEvent reduction."""
    clusters: tuple[ClusterStatus, ...] = ()
    """Their UIDs are the identities that later connections are checked against."""
    power: SitePowerStatus | None = None
    signals: tuple[SignalStatus, ...] = ()
    shadow_prices: SiteShadowPrices | None = None
    summary: PowerSiteSummary | None = None

    def cluster_uid(self, name: str) -> str:
        """Recorded identity of a member; empty if never seen."""
        return next((row.uid or "" for row in self.clusters if row.name == name), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractRecord:
    """EnergyContract: the books that must survive, and the prices now."""

    uid: str = ""
    period: Period | None = None
    """Peaks are persisted when they rise, totals hourly (architecture: telemetry)."""
    shown: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further fields of `EnergyContractStatus`, JSON-ready and rounded: band, prices, next change."""


Record = WorkloadRecord | SiteRecord | ContractRecord
