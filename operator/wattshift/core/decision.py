"""What the planner and the governor return: decisions with reasons, effects and alternatives.

Pure values; `control/act.py` carries them out, `control/record/recorder.py` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wattshift.core.reasons import Reason


class Action(StrEnum):
    """What is done to one workload."""

    SCALE_TO = "ScaleTo"
    PAUSE = "Pause"
    RESUME = "Resume"
    MIGRATE = "Migrate"
    SHIFT_TRAFFIC = "ShiftTraffic"
    RESTORE = "Restore"
    HOLD = "Hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Absolute replicas of one placement."""

    placement_name: str
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Expected difference against leaving things as they are; unknown parts are None."""

    facility_watts: int | None = None
    money_per_hour: float | None = None
    """Reporting currency; negative = saves."""
    grams_per_hour: float | None = None
    latency_note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What was considered and not done, and why."""

    targets: tuple[Target, ...]
    score: float | None
    """Reporting currency per hour, lower is better; None = infeasible."""
    reason: Reason
    message: str
    parts: tuple[tuple[str, float], ...] = ()
    """What the score consists of (`core/planner/score.py`), reporting currency per hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One action for one workload, with all that explains it."""

    workload_key: str
    action: Action
    targets: tuple[Target, ...]
    """Absolute replicas of every placement after the action."""
    reason: Reason
    message: str
    source_name: str = ""
    """Migrate: the placement that gives."""
    destination_name: str = ""
    urgent: bool = False
    """Governor: pre-empts, bypasses dwell; emergencies bypass every timer."""
    effect: Effect = Effect()
    alternatives: tuple[Alternative, ...] = ()
    valid_until: float = 0.0
    workload_uid: str = ""
    basis: tuple[Target, ...] = ()
    """Replicas of every placement that the decision saw; `core/validate.py` compares them."""
    score: float | None = None
    """Reporting currency per hour, lower is better."""
    parts: tuple[tuple[str, float], ...] = ()
    """What the score consists of (`core/planner/score.py`)."""
    split: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
    """By origin of the users: (placement, share of its requests); empty = the entry spreads evenly."""

    def replicas_of(self, placement_name: str) -> int | None:
        """Replicas this decision wants of a placement."""
        for target in self.targets:
            if target.placement_name == placement_name:
                return target.replicas
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOutlook:
    """Power of one site as the decision saw it."""

    site_name: str
    connection_name: str
    measured_watts: int | None
    estimated_watts: int | None
    """Facility watts of what is desired, by the power model."""
    upper_watts: int | None
    lower_watts: int | None
    binding: str
    """Which limit binds: `feed`, `contract`, `event NAME`, `cooling`, `ramp`, ``."""
    shadow_price_per_kilowatt_hour: float | None
    """Reporting currency: all-in marginal price the planner used."""
    suspect: bool = False
    """Model and meter disagree by more than 10 %."""
    uncapped_watts: int | None = None
    """`estimated_watts` as they would be without device caps."""
    import_price_per_kilowatt_hour: float | None = None
    """Reporting currency: all-in price of import at this moment, whatever own supply there is."""
    limit_price_per_kilowatt_hour: float | None = None
    """Reporting currency: what one more kWh under the binding bound would save now; None = no solver."""
    limit_price_ahead: tuple[float, ...] = ()
    """The same by step of the plan's horizon."""
    device_prices: tuple[tuple[str, float], ...] = ()
    """(resource, reporting currency per device and hour): what one more device of a full site would save."""
    forecast_trust: tuple[tuple[str, float, float], ...] = ()
    """(forecast, what it was multiplied with for its errors of late, weight against the present value), where
    one is not 1; a factor of 0 = left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Result of one planning step: one decision per workload."""

    id: str
    """First 12 hex digits of the hash over snapshot and decisions."""
    grid_time: float
    valid_until: float
    decisions: tuple[Decision, ...]
    sites: tuple[SiteOutlook, ...]
    objective_per_hour: float | None = None
    """Reporting currency per hour over the horizon, of the workloads that the optimiser placed: what
    is decided now, and the best way on at its prices."""
    bound_per_hour: float | None = None
    """Nobody can place those workloads for less; compare it with `objective_per_hour`."""
    goal_per_hour: float | None = None
    """What the goals of all would cost if they stood now: dwell times, budgets, payback and hand-overs that
    are under way hold the rest of `objective_per_hour` back."""
    horizon_hours: float | None = None
    """Over which both are meant."""
    next_wake_time: float | None = None
    """Band change, event or deadline that should wake the planner."""
    notes: tuple[str, ...] = ()
    loads: tuple[tuple[str, float], ...] = ()
    """(workload, sequences on full replicas) that were known: what `core/planner/plan_memory.py` remembers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCap:
    """A device power cap that should be in force at one placement from now on."""

    workload_key: str
    placement_name: str
    permille: int
    """Of the profile's busy watts, for each replica."""
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a person should know about a connection: a shortfall, a contradiction, a doubt."""

    site_name: str
    connection_name: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Governance:
    """Result of one governor tick."""

    grid_time: float
    decisions: tuple[Decision, ...]
    """Only workloads that must change now."""
    sites: tuple[SiteOutlook, ...]
    vetoes: tuple[tuple[str, Reason, str], ...] = ()
    """(workload, reason, message): savings frozen there."""
    within_objective: tuple[tuple[str, str, Reason | None, str], ...] = ()
    """(workload, True|False|Unknown, reason, message) for the condition WithinObjective."""
    violations: tuple[tuple[str, str], ...] = ()
    """(workload, placement) violated in these very windows: the loop notes the snapshot's wall time
    as the placement's `veto_wall_time`, which is the guard's memory."""
    caps: tuple[PowerCap, ...] = ()
    """All caps that should be in force; a placement that is not named has none (any more)."""
    notices: tuple[Notice, ...] = ()
