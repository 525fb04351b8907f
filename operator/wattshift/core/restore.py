"""How a workload gets back exactly what was found: raises first, lowers when they are in service.

Pure; carried out by `control/act.py` on release, deletion, uninstall and a Release override. A count
that somebody else set since our last write is theirs and stands (`ReleasedToOwner`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wattshift.core.decision import Target
from wattshift.core.model import MemberPhase, PlacementState, WorkloadState
from wattshift.core.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStep:
    """What to write now; `done` when nothing is left that we may or must write."""

    writes: tuple[Target, ...]
    done: bool
    reason: Reason
    message: str
    released_to_owner: tuple[str, ...] = ()
    """Placements whose present count was set by somebody else."""


def original_replicas(workload: WorkloadState, placement: PlacementState) -> int | None:
    """The count to return to: `baselineReplicas`, else the captured one; None = never touched."""
    captured = {row.placement_name: row.replicas for row in workload.originals}
    if placement.name not in captured:
        return None
    if placement.baseline_replicas is not None:
        return placement.baseline_replicas
    return captured[placement.name]


def held_placements(workload: WorkloadState) -> tuple[PlacementState, ...]:
    """What originals were captured of; where a name was pointed elsewhere, the old target."""
    left = {row.name for row in workload.orphans}
    return (*(row for row in workload.placements if row.name not in left), *workload.orphans)


def deviates(workload: WorkloadState) -> bool:
    """Whether any placement stands, or may stand, off what was found."""
    for placement in held_placements(workload):
        original = original_replicas(workload, placement)
        if original is None:
            continue
        if placement.observed_replicas is None or placement.observed_replicas != original:
            return True
        if placement.desired_replicas not in (None, original):
            return True
    return False


def restore_step(
    workload: WorkloadState,
    phases: Mapping[tuple[str, str], MemberPhase],
    *,
    expired: bool,
    gone: frozenset[str] = frozenset(),
) -> RestoreStep:
    """Derive the next writes of a restoration.

    Args:
        workload: with originals; `originals_known=False` writes nothing.
        phases: connection of each (site, cluster).
        expired: the release deadline has passed: one last try, then what is left is let go. What
            serves in the place of something that is not back is never lowered for that.
        gone: placements whose target was deleted, or taken back by its owner: nothing to restore.
    """
    if not workload.originals_known:
        message = "the two copies of the originals disagree: set placements[].baselineReplicas"
        return RestoreStep(
            writes=(), done=expired, reason=Reason.ORIGINALS_UNKNOWN, message=message
        )
    ups: list[Target] = []
    downs: list[Target] = []
    theirs: list[str] = []
    blocked: list[str] = []
    warming: list[str] = []
    for placement in held_placements(workload):
        original = original_replicas(workload, placement)
        if original is None or placement.name in gone:
            continue
        phase = phases.get((placement.site_name, placement.cluster_name))
        if phase is not MemberPhase.READY or placement.observed_replicas is None:
            blocked.append(placement.name)
        elif placement.rival:
            theirs.append(placement.name)
        elif placement.observed_replicas < original:
            ups.append(Target(placement_name=placement.name, replicas=original))
        else:
            if placement.observed_replicas > original:
                downs.append(Target(placement_name=placement.name, replicas=original))
            if (placement.in_service_replicas or 0) < original:
                warming.append(placement.name)
    owner = tuple(theirs)
    # one that is short itself may lose its surplus (what is not ready goes first), and holds up the
    # lowering of all others
    lowered = [
        row
        for row in downs
        if (expired and row.placement_name in warming)
        or not (ups or blocked or set(warming) - {row.placement_name})
    ]
    if expired and (ups or warming or blocked):
        names = [*blocked, *warming, *(t.placement_name for t in (*ups, *downs))]
        left = list(dict.fromkeys(names))
        return RestoreStep(
            writes=(*ups, *lowered),
            done=True,
            reason=Reason.RESTORE_TIMED_OUT,
            message=f"not back in time: {', '.join(left)}",
            released_to_owner=owner,
        )
    if ups:
        return RestoreStep(
            writes=tuple(ups),
            done=False,
            reason=Reason.RESTORED,
            message="raise " + ", ".join(f"{t.placement_name} to {t.replicas}" for t in ups),
            released_to_owner=owner,
        )
    if downs and not lowered:
        waiting = ", ".join(warming + blocked)
        return RestoreStep(
            writes=(),
            done=False,
            reason=Reason.MEMBER_LOST if blocked else Reason.MOVE_IN_PROGRESS,
            message=f"waits for {waiting} before it lowers {downs[0].placement_name}",
            released_to_owner=owner,
        )
    if lowered:
        return RestoreStep(
            writes=tuple(lowered),
            done=expired,
            reason=Reason.RESTORED,
            message="lower " + ", ".join(f"{t.placement_name} to {t.replicas}" for t in lowered),
            released_to_owner=owner,
        )
    if blocked:
        return RestoreStep(
            writes=(),
            done=False,
            reason=Reason.MEMBER_LOST,
            message=f"waits for {', '.join(blocked)}, which cannot be reached",
            released_to_owner=owner,
        )
    return _as_found(owner, gone)


def _as_found(owner: tuple[str, ...], gone: frozenset[str]) -> RestoreStep:
    message = "as found"
    if gone:
        message += f"; the target of {', '.join(sorted(gone))} is gone or no longer opted in"
    return RestoreStep(
        writes=(),
        done=True,
        reason=Reason.RELEASED_TO_OWNER if owner or gone else Reason.RESTORED,
        message=message,
        released_to_owner=owner,
    )
