"""Load counted in sequences of full, uncapped replicas: the same demand is the same load at any count.

Sequences in flight are tokens/s times the time that a token takes (Little's law), and tokens take longer
on fuller replicas and under device caps. A count of what is in flight so grows as replicas go: what was
lowered by it would be raised again. Pure. Neighbours: `core/load/demand.py` (what is in flight),
`core/load/throughput.py` (the curve), `core/survey/survey.py` (asks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from wattshift.core.engine import EngineStats
from wattshift.core.load.demand import Load
from wattshift.core.load.guard import GuardState
from wattshift.core.load.throughput import rate_share
from wattshift.core.model import Snapshot, WorkloadState
from wattshift.core.power.power import held_up, running_replicas
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.survey.views import Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class FullLoad:
    """A load, what it needs, and what its entry counts."""

    load: Load
    room: float
    """Head room as a factor on the load: replicas that hold their full sequences over 1 + head room."""
    by_origin: Mapping[str, float] = field(default_factory=dict)
    """Sequences on full replicas for each that the entry counts; 1 where it is missing."""


class _Held(NamedTuple):
    """Sequences of one placement."""

    seen: float
    full: float
    """Of full, uncapped replicas at the same tokens/s."""
    room: float


def full_load(
    workload: WorkloadState, spots: Sequence[Spot], load: Load, snapshot: Snapshot
) -> FullLoad:
    """The load on full replicas; what nobody has a curve of, what waits and a demand signal stay as counted.

    Also notes at each spot what it carries.
    """
    plain = 1 + snapshot.settings.head_room_permille / 1000
    nothing = _Held(seen=0.0, full=0.0, room=plain)
    held: dict[str, _Held] = {}
    for spot in spots:
        row = nothing
        if spot.state.engine is not None and spot.verdict.state is not GuardState.IDLE:
            row = _held(spot, spot.state.engine, plain, snapshot)
        held[spot.state.name] = row
        spot.load = row.full
    if load.concurrency is None or workload.demand is not None:
        return FullLoad(load=load, room=plain)
    counted = list(held.values())
    seen, full = sum([row.seen for row in counted]), sum([row.full for row in counted])
    if seen <= 0:
        return FullLoad(load=load, room=plain)
    if any(_unread(spot) for spot in spots):
        # the entry counts for all: those that are seen tell for the others
        total = load.concurrency * full / seen
    else:
        total = max(0.0, load.concurrency + full - seen)
    rooms = sum([row.full * row.room for row in counted]) + plain * max(0.0, total - full)
    weights = full + max(0.0, total - full)
    return FullLoad(
        load=load if total == load.concurrency else replace(load, concurrency=total),
        room=rooms / weights if weights > 0 else plain,
        by_origin=_by_origin(workload, held, full / seen),
    )


def on_full(
    profile: PowerProfile | None,
    slowing: float | None,
    sequences: float,
    *,
    replicas: float,
    capacity: float,
) -> float:
    """Sequences that the tokens/s of `replicas`, with so many in all, would be on full ones.

    Between what is seen and what full replicas hold, whatever the curve: an error of it is bounded.

    Args:
        profile: of the replicas.
        slowing: as `core/load/slowing.py` learnt it; None = not yet.
        sequences: in decode over all of them.
        replicas: that they were counted on.
        capacity: sequences of a full one.
    """
    if replicas <= 0 or capacity <= 0 or sequences <= 0:
        return sequences
    share = rate_share(profile, slowing, sequences / replicas, capacity)
    return sequences if share is None else replicas * capacity * share


def _unread(spot: Spot) -> bool:
    """Whether a placement may carry what its engines do not tell, as `load_of` judges it."""
    state = spot.verdict.state
    return state is GuardState.BLIND or (spot.state.engine is None and state is not GuardState.IDLE)


def _held(spot: Spot, engine: EngineStats, plain: float, snapshot: Snapshot) -> _Held:
    seen = max(engine.concurrency, float(engine.running))
    free, profile, count = seen, spot.profile, running_replicas(spot.state) or 0
    capped = spot.state.power_cap_permille is not None
    if capped and profile is not None and profile.has_power and count > 0:
        count += spot.state.draining_replicas
        free = seen * (1 - held_up(spot.state, count, profile, snapshot))
    slowing, capacity = spot.state.learned_slowing, spot.capacity
    room = rate_share(profile, slowing, capacity / plain, capacity)
    full = on_full(profile, slowing, free, replicas=engine.pods_scraped, capacity=capacity)
    if full < free and (engine.waiting > 0 or spot.verdict.violated_now):
        full = free  # more is asked for than is decoded: nobody knows how much
    return _Held(seen=seen, full=full, room=plain if room is None else 1 / room)


def _by_origin(workload: WorkloadState, held: Mapping[str, _Held], mean: float) -> dict[str, float]:
    """By origin: what its own placements make of it, as the entry splits it; in all as the engines say."""
    if not workload.origin_loads:
        return {}
    split = dict(workload.split)
    found = {}
    counted = total = 0.0
    for name, load in workload.origin_loads:
        seen = full = 0.0
        for placement, share in split.get(name, ()):
            row = held.get(placement)
            if row is not None and row.full > 0:
                # `share` of its tokens/s: sequences per token are as seen over full ones
                seen += share * row.seen / row.full
                full += share
        found[name] = full / seen if seen > 0 else mean
        counted += max(0.0, load)
        total += max(0.0, load) * found[name]
    scale = mean * counted / total if total > 0 else 1.0
    return {name: value * scale for name, value in found.items()}
