"""FlexibleWorkloads as the snapshot has them: spec, record, targets in member clusters, engines.

Pure over what it is given; called by `gather.py` alone. Unknown counts stay None.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from wattshift.adapters.base import SignalKey
from wattshift.api.endpoints import SignalRef
from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.placements import Placement, TargetRef
from wattshift.control.hub.finalizer import ORIGINALS, parse_originals
from wattshift.control.hub.keys import member_name
from wattshift.control.hub.store import Stored
from wattshift.control.inputs.world import Found, World
from wattshift.control.record.records import PlacementRecord, WorkloadRecord
from wattshift.core.engine import EngineStats
from wattshift.core.model import BatchState, Original, PlacementState, WorkloadState
from wattshift.core.reasons import Reason
from wattshift.core.signal import Reading, SignalState
from wattshift.errors import NeedsHuman
from wattshift.kube.views import TargetKey

STUCK_SECONDS = 30.0
"""Age after which a pod that cannot be scheduled or pulled counts as stuck."""
_STUCK = frozenset({"Unschedulable", "ImagePullBackOff", "ErrImagePull", "InvalidImageName"})
Engines = Callable[[str, str], EngineStats | None]
"""(workload key, placement) -> statistics of its engines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadInputs:
    """All of one workload besides its object."""

    states: Mapping[SignalKey, SignalState]
    world: World
    engines: Engines
    cooling_off: Callable[[str, str], bool]
    """(workload key, placement): a rival was met less than an hour ago."""
    veto_wall_time: Callable[[str, str], float | None]
    """(workload key, placement): wall time at which the guard last saw a violation."""
    utc: float
    steady: float
    """As `utc`, but nobody sets it: for deadlines."""
    now: float
    """Grid time."""
    cluster_uid: Callable[[str, str], str]
    """Recorded identity of (site, cluster); empty = never recorded."""
    concurrency: Callable[[str, str], float | None] = lambda _workload, _placement: None
    """(workload key, placement): learnt sequences per replica."""
    slowing: Callable[[str, str], float | None] = lambda _workload, _placement: None
    """(workload key, placement): learnt share by which sequences slow each other down."""
    growth: Callable[[str], int] = lambda _workload: 0
    """Workload key: learnt growth over a cold start, permille."""


def workload_state(
    static: WorkloadState,
    stored: Stored,
    spec: FlexibleWorkloadSpec,
    record: WorkloadRecord,
    given: WorkloadInputs,
) -> WorkloadState:
    """Fill the static part of a workload (`convert.workload_state`) with what is known now."""
    originals, known = originals_of(stored, record)
    specs = {row.name: row for row in spec.placements}
    left = {
        row.placement_name
        for row in originals
        if row.placement_name not in specs
        or _points_elsewhere(row, stored, spec, specs[row.placement_name], given.world)
    }
    placements = tuple(
        _placement(row, stored, spec, specs[row.name], record, left, given)
        for row in static.placements
    )
    orphans = tuple(_orphan(row, record, given) for row in originals if row.placement_name in left)
    held = (*(row for row in placements if row.name not in left), *orphans)
    single = _in_one_copy(stored, record)
    # NB: where somebody else's count stands nothing is in doubt: it is conceded, not written over.
    doubtful = [row for row in held if row.name in single and not row.rival]
    known = known and not _deviates(doubtful, originals)
    today = record.on_day(move_day(given.now))
    if not known:
        # A person's word beats both copies, where it is given for all of them.
        said = {row.name for row in spec.placements if row.baseline_replicas is not None}
        captured = {row.placement_name for row in originals}
        known = bool(captured) and not left and captured <= said
    return replace(
        static,
        placements=placements,
        moves_today=today.moves_today,
        moved_share_today=today.moved_permille / 1000,
        last_change_time=_past(record.last_change_time, given.now),
        paused_since_time=record.paused_since_time,
        batch=_batch(static.batch, spec, given.states),
        originals=originals,
        originals_known=known,
        intent=record.move.intent(given.steady) if record.move is not None else None,
        orphans=orphans,
        demand=_reading(spec.demand.site_signal if spec.demand else None, given.states),
        queued=_reading(spec.demand.queue_signal if spec.demand else None, given.states),
        growth_permille=given.growth(stored.key.path),
    )


def _past(time: float | None, now: float) -> float | None:
    """A time of the past; None for one that lies ahead because the grid clock was set back.

    Taken at its word it would keep a workload in its dwell until the clock has caught up.
    """
    return time if time is not None and time < now + 1.0 else None


def move_day(grid_now: float) -> str:
    """The day that `movesToday` counts, in UTC: a workload may span time zones."""
    return datetime.fromtimestamp(grid_now, UTC).strftime("%Y-%m-%d")


def target_key(namespace: str, spec: FlexibleWorkloadSpec, row: Placement) -> TargetKey | None:
    """What a placement points at; None for disaggregated targets, which come later."""
    reference: TargetRef | None = row.target_ref or spec.target_ref
    if reference is None:
        return None
    return TargetKey(reference.api_version, reference.kind, namespace, reference.name)


def _placement(  # noqa: PLR0917 - one caller
    static: PlacementState,
    stored: Stored,
    spec: FlexibleWorkloadSpec,
    row: Placement,
    record: WorkloadRecord,
    left: set[str],
    given: WorkloadInputs,
) -> PlacementState:
    ours = row.name not in left
    kept = record.placement(row.name) if ours else PlacementRecord(name=row.name)
    found = locate(stored.key.namespace, spec, row, given.world)
    rival = ours and _is_rival(kept, found, _captured(record, row.name))
    problem = _problem(stored, row, found, given)
    return replace(
        static,
        target_found=found is not None,
        target_problem=str(Reason.CONFLICT) if rival and not problem else problem,
        observed_replicas=found.replicas if found is not None else None,
        ready_replicas=found.target.replicas_ready if found is not None else None,
        in_service_replicas=_in_service(found),
        controller_lags=found is not None and found.controller_lags,
        desired_replicas=kept.desired_replicas,
        wish_lapsed=_lapsed(kept, found, given.world),
        last_written_replicas=kept.last_written_replicas,
        last_write_time=_past(kept.last_write_time, given.now),
        rival=rival,
        engine=given.engines(stored.key.path, row.name),
        unschedulable=_stuck(found, given.utc),
        veto_wall_time=given.veto_wall_time(stored.key.path, row.name),
        learned_concurrency=given.concurrency(stored.key.path, row.name),
        learned_slowing=given.slowing(stored.key.path, row.name),
        draining_replicas=_draining(found),
    )


def _lapsed(kept: PlacementRecord, found: Found | None, world: World) -> bool:
    """Whether what was asked for was neither acknowledged nor is seen, nor may still land."""
    desired = kept.desired_replicas
    if desired is None or found is None:
        return False
    return desired not in (found.replicas, kept.last_written_replicas) and not world.may_land(found)


def _is_rival(kept: PlacementRecord, found: Found | None, captured: Original | None) -> bool:
    """The count is neither what we wrote nor what we asked for, or the target was made anew.

    Before the first acknowledged write what was found takes the place of what we wrote.
    """
    if found is None or captured is None:
        return False
    if found.cluster_uid == captured.cluster_uid and found.target.uid != captured.target_uid:
        return True
    written = kept.last_written_replicas
    known = captured.replicas if written is None else written
    return found.replicas not in (known, kept.desired_replicas)


def _captured(record: WorkloadRecord, name: str) -> Original | None:
    """The copy in status: rivals are only known where the record of our writes is."""
    return next((row for row in record.originals if row.placement_name == name), None)


def _points_elsewhere(
    row: Original, stored: Stored, spec: FlexibleWorkloadSpec, place: Placement, world: World
) -> bool:
    """The placement names another cluster by now, or another target while the captured one exists."""
    found = locate(stored.key.namespace, spec, place, world)
    if found is not None and found.target.uid == row.target_uid:
        return False
    if found is not None and found.cluster_uid != row.cluster_uid:
        return True  # whatever is there, it is not what was captured, seen at present or not
    return world.find_by_uid(row.cluster_uid, row.target_uid) is not None


def locate(
    namespace: str, spec: FlexibleWorkloadSpec, row: Placement, world: World
) -> Found | None:
    """Target of a placement as of now."""
    key = target_key(namespace, spec, row)
    if key is None:
        return None
    return world.find(member_name(row.site_name, row.cluster_name), key)


def _orphan(row: Original, record: WorkloadRecord, given: WorkloadInputs) -> PlacementState:
    """A placement that left the spec; its target is found by identity."""
    kept = record.placement(row.placement_name)
    found = given.world.find_by_uid(row.cluster_uid, row.target_uid)
    site, _, cluster = (found.member_name if found is not None else "/").partition("/")
    return PlacementState(
        name=row.placement_name,
        site_name=site,
        cluster_name=cluster,
        profile_name="",
        min_replicas=0,
        max_replicas=row.replicas,
        baseline_replicas=None,
        target_found=found is not None,
        target_problem="",
        observed_replicas=found.replicas if found is not None else None,
        ready_replicas=found.target.replicas_ready if found is not None else None,
        in_service_replicas=_in_service(found),
        controller_lags=found is not None and found.controller_lags,
        desired_replicas=kept.desired_replicas,
        wish_lapsed=_lapsed(kept, found, given.world),
        last_written_replicas=kept.last_written_replicas,
        last_write_time=_past(kept.last_write_time, given.now),
        rival=_is_rival(kept, found, _captured(record, row.placement_name)),
    )


def _in_service(found: Found | None) -> int | None:
    """Ready and not terminating pods; the ready count where pods may not be read."""
    if found is None:
        return None
    if found.pods is None:
        return found.target.replicas_ready
    return sum(1 for pod in found.pods if pod.ready and not pod.terminating)


def _draining(found: Found | None) -> int:
    """Terminating pods that still run: out of the ready count soon, drawing power to the end.

    The count of the target trails its pods: those that it still has are not counted twice.
    """
    if found is None or found.pods is None:
        return 0
    leaving = sum(1 for pod in found.pods if pod.terminating and pod.phase == "Running")
    counted = (found.target.replicas_ready or 0) - (_in_service(found) or 0)
    return max(0, leaving - max(0, counted))


def _stuck(found: Found | None, utc: float) -> bool:
    if found is None or found.pods is None:
        return False
    return any(
        utc - pod.created_time > STUCK_SECONDS and bool(_STUCK & set(pod.reasons))
        for pod in found.pods
        if not pod.ready and not pod.terminating
    )


def _problem(stored: Stored, row: Placement, found: Found | None, given: WorkloadInputs) -> str:
    """Why a target may not be written; the first that holds."""
    if found is None:
        return str(Reason.TARGET_NOT_FOUND)
    known = given.cluster_uid(row.site_name, row.cluster_name)
    if known and found.cluster_uid != known:
        return "ClusterIdentityChanged"
    target = found.target
    if target.deleting:
        return str(Reason.TARGET_NOT_FOUND)
    owned = target.hpa is not None or any(owner.controller for owner in target.owner_refs)
    if owned or given.cooling_off(stored.key.path, row.name):
        return str(Reason.CONFLICT)
    if not target.has_readiness_probe:
        return "ReadinessUnknown"
    if target.paused or target.rollout_in_progress:
        return str(Reason.ROLLOUT_IN_PROGRESS)
    return ""


def _batch(
    static: BatchState | None, spec: FlexibleWorkloadSpec, states: Mapping[SignalKey, SignalState]
) -> BatchState | None:
    backlog = spec.batch.backlog if spec.batch is not None else None
    if static is None or backlog is None:
        return static
    state = states.get(("PowerSite", backlog.site_name, backlog.signal_name))
    return replace(static, backlog_units=state.reading if state is not None else None)


def _reading(signal: SignalRef | None, states: Mapping[SignalKey, SignalState]) -> Reading | None:
    if signal is None:
        return None
    state = states.get(("PowerSite", signal.site_name, signal.signal_name))
    return state.reading if state is not None else None


# ---- originals: two copies --------------------------------------------------------------------


def originals_of(stored: Stored, record: WorkloadRecord) -> tuple[tuple[Original, ...], bool]:
    """The originals, and whether the two copies agree; the one that is there if one is missing.

    A row that only one copy has is no disagreement by itself: an act that was cut off between the
    two writes leaves it, before anything else was written. Its count tells (`_in_one_copy`).
    """
    text = stored.annotations.get(ORIGINALS)
    if text is None:
        return record.originals, True
    try:
        annotated = parse_originals(text)
    except NeedsHuman:
        return record.originals, False
    if not record.originals:
        return annotated, True
    names = {row.placement_name for row in record.originals}
    both = {row.placement_name for row in annotated} & names
    joined = (*record.originals, *(row for row in annotated if row.placement_name not in names))
    agree = _found(annotated, both) == _found(record.originals, both)
    return tuple(sorted(joined, key=lambda row: row.placement_name)), agree


def _in_one_copy(stored: Stored, record: WorkloadRecord) -> frozenset[str]:
    """Placements of which one copy knows the original and the other does not."""
    annotated: set[str] = set()
    with contextlib.suppress(NeedsHuman):
        rows = parse_originals(stored.annotations.get(ORIGINALS) or "[]")
        annotated = {row.placement_name for row in rows}
    return frozenset(annotated ^ {row.placement_name for row in record.originals})


def _found(rows: tuple[Original, ...], names: set[str]) -> set[tuple[str, str, str, int]]:
    """Times are rounded in one of the copies: what was found is what counts."""
    return {
        (row.placement_name, row.cluster_uid, row.target_uid, row.replicas)
        for row in rows
        if row.placement_name in names
    }


def _deviates(placements: Sequence[PlacementState], originals: tuple[Original, ...]) -> bool:
    counts = {row.placement_name: row.replicas for row in originals}
    return any(
        row.name in counts
        and row.baseline_replicas is None
        and row.observed_replicas != counts[row.name]
        for row in placements
    )
