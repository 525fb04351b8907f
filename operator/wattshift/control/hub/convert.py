"""From what users write (`api`) to what decisions see (`core`): the static part of the Snapshot.

Presets of postures, bounds that follow from each other, modes and overrides become effective here;
what is measured stays None and is filled by `gather.py`. Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wattshift.api.common import Override as OverrideSpec
from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.placements import Placement as PlacementSpec
from wattshift.api.powersite import PowerSiteSpec
from wattshift.api.site_power import FacilityType
from wattshift.api.workload_policy import ActionType, DispatchType, ObjectiveMetric
from wattshift.api.workload_status import Effective
from wattshift.control.hub.store import Stored
from wattshift.core.engine import Metric
from wattshift.core.model import (
    AcceleratorState,
    Allowed,
    BatchState,
    ConnectionState,
    FacilityPoint,
    Mode,
    Objective,
    Origin,
    Override,
    OverrideMode,
    PlacementState,
    Posture,
    SiteState,
    SupplyState,
    Tier,
    WorkloadState,
)

_CAREFUL = (Mode.OBSERVE, Mode.RECOMMEND, Mode.ENFORCE)
"""Most careful first."""
RELEASE_DEADLINE_SECONDS = 1800
"""`release.deadlineSeconds` when absent."""
ALL_PLACEMENTS = ""
"""Placement name in `Override.replicas` of a Pin over the sum."""

_METRICS: Mapping[ObjectiveMetric, Metric] = {
    ObjectiveMetric.TIME_TO_FIRST_TOKEN: Metric.TIME_TO_FIRST_TOKEN,
    ObjectiveMetric.INTER_TOKEN_LATENCY: Metric.INTER_TOKEN_LATENCY,
    ObjectiveMetric.REQUEST_LATENCY: Metric.END_TO_END,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What absent fields of `flexibility` mean for a posture; seconds on the grid clock."""

    min_dwell_seconds: int
    max_moves_per_day: int
    max_pause_seconds: int | None
    """None = as long as its deadline allows."""
    max_drain_seconds: int


PRESETS: Mapping[Posture, Preset] = {
    Posture.INTERACTIVE: Preset(
        min_dwell_seconds=900, max_moves_per_day=6, max_pause_seconds=0, max_drain_seconds=120
    ),
    Posture.NEAR_REAL_TIME: Preset(
        min_dwell_seconds=600, max_moves_per_day=12, max_pause_seconds=900, max_drain_seconds=180
    ),
    Posture.EMBEDDING: Preset(
        min_dwell_seconds=600, max_moves_per_day=12, max_pause_seconds=3600, max_drain_seconds=60
    ),
    Posture.BATCH: Preset(
        min_dwell_seconds=300, max_moves_per_day=24, max_pause_seconds=None, max_drain_seconds=600
    ),
    Posture.FINE_TUNING: Preset(
        min_dwell_seconds=3600, max_moves_per_day=2, max_pause_seconds=None, max_drain_seconds=900
    ),
    Posture.TRAINING: Preset(
        min_dwell_seconds=7200, max_moves_per_day=1, max_pause_seconds=14_400, max_drain_seconds=900
    ),
    Posture.SCIENTIFIC: Preset(
        min_dwell_seconds=3600, max_moves_per_day=2, max_pause_seconds=None, max_drain_seconds=900
    ),
}

SERVED_ACTIONS = frozenset(Allowed) - {Allowed.SHIFT_TRAFFIC}
"""What an actuator carries out. A plan may split requests by origin only where the entry follows it."""


def most_careful(modes: Iterable[Mode | None]) -> Mode:
    """The most careful of those that are set; Observe if none is."""
    present = [mode for mode in modes if mode is not None]
    return min(present, key=_CAREFUL.index, default=Mode.OBSERVE)


def override(spec: OverrideSpec | None, now: float) -> Override | None:
    """A person's word while it lasts: after `untilTime` (grid clock) it is gone."""
    if spec is None or spec.until_time.timestamp() <= now:
        return None
    replicas: tuple[tuple[str, int], ...] = ()
    if spec.replicas is not None:
        replicas = ((spec.placement_name or ALL_PLACEMENTS, spec.replicas),)
    return Override(
        mode=OverrideMode(spec.mode.value),
        until_time=spec.until_time.timestamp(),
        reason=spec.reason,
        requested_by=spec.requested_by,
        replicas=replicas,
    )


# ---- sites -----------------------------------------------------------------------------------


def site_state(stored: Stored, *, accepted: bool, installation: Mode, now: float) -> SiteState:
    """Static part of a site; readings, events, members and prices are the caller's to fill."""
    spec: PowerSiteSpec = stored.spec
    power = spec.power
    first = spec.connections[0].name if spec.connections else ""
    return SiteState(
        name=stored.key.name,
        mode=site_mode(spec, installation),
        accepted=accepted and not stored.deleting,
        time_zone=spec.location.time_zone,
        it_capacity_watts=power.it_capacity_watts,
        ramp_up_watts_per_minute=power.ramp_up_watts_per_minute,
        ramp_down_watts_per_minute=power.ramp_down_watts_per_minute,
        facility=facility_points(spec),
        outdoor_temperature=None,
        connections=tuple(
            ConnectionState(
                name=row.name,
                import_limit_watts=row.import_limit_watts,
                contract_maximum_watts=None,
                averaging_minutes=row.averaging_minutes,
                metered=None,
                uncontrolled=None,
                price=None,
            )
            for row in sorted(spec.connections, key=lambda row: row.name)
        ),
        supplies=tuple(
            SupplyState(
                name=row.name,
                type=row.type.value,
                capacity_watts=row.capacity_watts,
                power=None,
                connection_name=row.connection_name or first,
            )
            for row in sorted(spec.supplies, key=lambda row: row.name)
        ),
        accelerators=tuple(
            AcceleratorState(
                resource_name=row.resource_name, profile_name=row.profile_name, count=row.count
            )
            for row in sorted(
                spec.accelerators, key=lambda row: (row.resource_name, row.profile_name)
            )
        ),
        origin_round_trip_milliseconds=tuple(
            sorted((row.origin_name, row.round_trip_milliseconds) for row in spec.origin_latencies)
        ),
        events=(),
        members=(),
        signals=(),
        override=override(spec.override, now),
    )


def site_mode(spec: PowerSiteSpec, installation: Mode) -> Mode:
    """Mode of a site inside the installation's."""
    return most_careful([installation, _mode(spec.mode)])


def facility_points(spec: PowerSiteSpec) -> tuple[FacilityPoint, ...]:
    """Facility power over outdoor temperature; one point = constant, none = equal to IT power."""
    facility = spec.power.facility
    if facility is None or facility.type is FacilityType.MEASURED:
        return ()
    if facility.constant is not None:
        return (
            FacilityPoint(
                temperature_millicelsius=0,
                fixed_watts=facility.constant.fixed_watts,
                marginal_permille=facility.constant.marginal_permille,
            ),
        )
    return tuple(
        FacilityPoint(
            temperature_millicelsius=row.temperature_millicelsius,
            fixed_watts=row.fixed_watts,
            marginal_permille=row.marginal_permille,
        )
        for row in sorted(facility.curve, key=lambda row: row.temperature_millicelsius)
    )


# ---- workloads -------------------------------------------------------------------------------


def workload_state(
    stored: Stored,
    *,
    accepted: bool,
    installation: Mode,
    site_modes: Mapping[str, Mode],
    now: float,
    found_replicas: Mapping[str, int] | None = None,
) -> WorkloadState:
    """Static part of a workload with effective values; what is observed is the caller's to fill.

    Args:
        stored: parsed object.
        accepted: what the reconciler found.
        installation: mode of the installation.
        site_modes: mode by site name (`site_mode`); an unknown site counts as Observe.
        now: grid time, against which overrides expire.
        found_replicas: original or observed count by placement; bounds the workload where the spec
            gives no maximum, so that nothing is ever grown beyond what people had.
    """
    spec: FlexibleWorkloadSpec = stored.spec
    posture = Posture(spec.posture.value)
    effective = effective_values(
        spec,
        installation=installation,
        site_modes=site_modes,
        found_replicas=found_replicas or {},
    )
    assert effective.mode is not None
    assert effective.tier is not None
    return WorkloadState(
        namespace=stored.key.namespace,
        name=stored.key.name,
        uid=stored.uid,
        accepted=accepted,
        mode=Mode(effective.mode.value),
        posture=posture,
        tier=Tier(effective.tier.value),
        priority=spec.priority or 0,
        actions=tuple(row for row in map(Allowed, effective.actions) if row in SERVED_ACTIONS),
        min_replicas=effective.min_replicas or 0,
        max_replicas=effective.max_replicas or 0,
        min_dwell_seconds=effective.min_dwell_seconds or 0,
        max_moves_per_day=effective.max_moves_per_day or 0,
        max_pause_seconds=effective.max_pause_seconds,
        max_drain_seconds=effective.max_drain_seconds or 0,
        objectives=objectives_of(spec),
        origins=tuple(
            Origin(
                name=row.name,
                share_permille=row.share_permille,
                max_round_trip_milliseconds=row.max_round_trip_milliseconds,
            )
            for row in sorted(spec.origins, key=lambda row: row.name)
        ),
        placements=tuple(
            _placement(row, spec, effective.max_replicas or 0)
            for row in sorted(spec.placements, key=lambda row: row.name)
        ),
        moves_today=0,
        last_change_time=None,
        paused_since_time=None,
        batch=_batch(spec),
        override=override(spec.override, now),
        deleting=stored.deleting,
    )


def objectives_of(spec: FlexibleWorkloadSpec) -> tuple[Objective, ...]:
    """Objectives that engine metrics can judge, by metric."""
    return tuple(
        Objective(
            metric=_METRICS[row.metric],
            threshold_milliseconds=row.threshold_milliseconds,
            attainment_permille=row.attainment_permille,
            window_seconds=row.window_seconds,
        )
        for row in sorted(spec.objectives, key=lambda row: row.metric)
        if row.metric in _METRICS
    )


def effective_values(
    spec: FlexibleWorkloadSpec,
    *,
    installation: Mode,
    site_modes: Mapping[str, Mode],
    found_replicas: Mapping[str, int],
) -> Effective:
    """Values that hold after presets, defaults and modes; they are published in status."""
    preset = PRESETS[Posture(spec.posture.value)]
    flexibility = spec.flexibility
    modes = [installation, _mode(spec.mode)]
    modes += [site_modes.get(row.site_name, Mode.OBSERVE) for row in spec.placements]
    least, most = replica_bounds(spec, found_replicas)
    values = {
        name: getattr(flexibility, name, None)
        for name in (
            "min_dwell_seconds",
            "max_moves_per_day",
            "max_pause_seconds",
            "max_drain_seconds",
        )
    }
    chosen = {
        name: getattr(preset, name) if value is None else value for name, value in values.items()
    }
    deadline = spec.release.deadline_seconds if spec.release is not None else None
    return Effective.model_validate(
        {
            "mode": most_careful(modes).value,
            "tier": flexibility.tier.value if flexibility is not None else Tier.FIRM.value,
            "actions": sorted(_actions(spec)),
            "minReplicas": least,
            "maxReplicas": most,
            "minDwellSeconds": chosen["min_dwell_seconds"],
            "maxMovesPerDay": chosen["max_moves_per_day"],
            "maxPauseSeconds": chosen["max_pause_seconds"],
            "maxDrainSeconds": chosen["max_drain_seconds"],
            "releaseDeadlineSeconds": deadline or RELEASE_DEADLINE_SECONDS,
        }
    )


def replica_bounds(spec: FlexibleWorkloadSpec, found: Mapping[str, int]) -> tuple[int, int]:
    """Bounds of the sum over all placements.

    The least is `replicas.min`, else 1 (0 where somebody outside holds the work), and never below
    the sum of the placements' minima. The greatest is `replicas.max`, else what the placements'
    maxima add up to, else what was found.
    """
    total = spec.replicas
    floors = sum(row.min_replicas or 0 for row in spec.placements)
    least = total.min if total is not None and total.min is not None else _floor(spec)
    least = max(least, floors)
    if total is not None and total.max is not None:
        return least, max(least, total.max)
    ceilings = [row.max_replicas for row in spec.placements]
    if None not in ceilings:
        return least, max(least, sum(value for value in ceilings if value is not None))
    known = sum(
        row.baseline_replicas if row.baseline_replicas is not None else found.get(row.name, 0)
        for row in spec.placements
    )
    given = sum(value for value in ceilings if value is not None)
    return least, max(least, known, given)


def _floor(spec: FlexibleWorkloadSpec) -> int:
    holds = spec.batch is not None and spec.batch.dispatch.type is DispatchType.EXTERNAL
    return 0 if holds else 1


def _placement(row: PlacementSpec, spec: FlexibleWorkloadSpec, most: int) -> PlacementState:
    return PlacementState(
        name=row.name,
        site_name=row.site_name,
        cluster_name=row.cluster_name,
        profile_name=row.power_profile_name or spec.power_profile_name or "",
        min_replicas=row.min_replicas or 0,
        max_replicas=most if row.max_replicas is None else row.max_replicas,
        baseline_replicas=row.baseline_replicas,
        target_found=False,
        target_problem="",
        observed_replicas=None,
        ready_replicas=None,
        in_service_replicas=None,
        desired_replicas=None,
        last_written_replicas=None,
        last_write_time=None,
        rival=False,
    )


def _actions(spec: FlexibleWorkloadSpec) -> list[str]:
    if spec.flexibility is None or not spec.flexibility.actions:
        return [ActionType.SCALE.value]
    return [action.value for action in spec.flexibility.actions]


def _batch(spec: FlexibleWorkloadSpec) -> BatchState | None:
    if spec.batch is None:
        return None
    deadline = spec.batch.deadline_time
    return BatchState(
        backlog_units=None,
        deadline_time=None if deadline is None else deadline.timestamp(),
        external_dispatch=spec.batch.dispatch.type is DispatchType.EXTERNAL,
        tokens_per_unit=spec.batch.tokens_per_unit,
    )


def _mode(mode: object) -> Mode | None:
    return None if mode is None else Mode(str(getattr(mode, "value", mode)))
