"""The moments that the demo must show, found in what was observed; pure.

Each needs two witnesses: what the operator said (status or event, with its reason), and what was
seen to happen elsewhere (Deployments of the clusters, the plant's meter, the clients).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from e2e.demo import scene
from e2e.demo.watch import Sample, Told

EFFECT_GRID_SECONDS = 3 * 3600.0
"""A decision's effect is looked for this long; at speed 400 that is 27 s on the wall."""
_ZONE = timezone(timedelta(hours=scene.ZONE_HOURS))
_METER_TOLERANCE = 1.01
_FOLLOW_SECONDS = 10.0
"""Wall seconds in which a fall of own supply is followed: a look, a decision, a drain."""
SCALE = "a scale"
PAUSE = "a pause and a resume"
HAND_OVER = "a hand-over between clusters"
EVENT = "a power event obeyed"
VETO = "a latency veto, capacity given back"
TITLES = (SCALE, PAUSE, HAND_OVER, EVENT, VETO)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOrder:
    """The event of the example: which site, how much, when (grid seconds)."""

    site: str
    name: str
    upper_watts: float
    start: float
    end: float
    ramp_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the check list."""

    name: str
    seen: bool
    time: float | None = None
    reason: str = ""
    words: str = ""
    evidence: str = ""


def hour_text(grid: float) -> str:
    """`15 12:34`: local day and time of a grid moment."""
    return datetime.fromtimestamp(grid, UTC).astimezone(_ZONE).strftime("%d %H:%M")


def find(samples: Sequence[Sample], told: Sequence[Told], order: PowerOrder) -> list[Moment]:
    """The check list, in the order of the day's story."""
    return [
        _scale(samples, told),
        _pause(samples, told),
        _hand_over(samples, told),
        _event(samples, told, order),
        _veto(samples, told),
    ]


def _decisions(told: Sequence[Told], action: str) -> list[Told]:
    return [
        row for row in told if row.action == action and row.subject.startswith("FlexibleWorkload/")
    ]


def _name(row: Told) -> str:
    return row.subject.partition("/")[2]


def _total(sample: Sample, workload: str, *, ready: bool = False) -> int:
    rows = sample.workloads[workload].replicas.values()
    return sum(row[1 if ready else 0] for row in rows)


def _around(
    samples: Sequence[Sample], grid: float, seconds: float = EFFECT_GRID_SECONDS
) -> tuple[Sample | None, list[Sample]]:
    """The last sample clearly before a moment, and those of its effect."""
    before = [row for row in samples if row.grid < grid - 1]
    after = [row for row in samples if grid <= row.grid <= grid + seconds]
    return (before[-3] if len(before) >= 3 else before[0] if before else None), after


def _scale(samples: Sequence[Sample], told: Sequence[Told]) -> Moment:
    for row in _decisions(told, "ScaleTo"):
        if row.reason not in ("Consolidation", "DemandGrowth"):
            continue
        name = _name(row)
        before, after = _around(samples, row.grid)
        if before is None:
            continue
        start = _total(before, name)
        changed = next((s for s in after if _total(s, name, ready=True) != start), None)
        if changed is not None and not before.workloads[name].move:
            count = _total(changed, name, ready=True)
            return Moment(
                name=SCALE,
                seen=True,
                time=row.grid,
                reason=row.reason,
                words=row.note,
                evidence=f"{name}: {start} -> {count} replicas ready in the cluster",
            )
    return Moment(name=SCALE, seen=False)


def _pause(samples: Sequence[Sample], told: Sequence[Told]) -> Moment:
    title = PAUSE
    for pause in _decisions(told, "Pause"):
        name = _name(pause)
        _, after = _around(samples, pause.grid)
        stopped = next((s for s in after if _total(s, name, ready=True) == 0), None)
        if stopped is None:
            continue
        for resume in _decisions(told, "Resume"):
            if _name(resume) != name or resume.grid <= pause.grid:
                continue
            _, after = _around(samples, resume.grid)
            again = next((s for s in after if _total(s, name, ready=True) > 0), None)
            if again is None or again.grid <= stopped.grid:
                continue
            hours = (again.grid - stopped.grid) / 3600
            return Moment(
                name=title,
                seen=True,
                time=pause.grid,
                reason=f"{pause.reason}, {resume.reason}",
                words=f"{pause.note}; then: {resume.note}",
                evidence=(
                    f"{name}: no replica from {hour_text(stopped.grid)[3:]}, "
                    f"{_total(again, name, ready=True)} again {hours:.1f} h later; its queue waited"
                ),
            )
    return Moment(name=title, seen=False)


def _hand_over(samples: Sequence[Sample], told: Sequence[Told]) -> Moment:
    title = HAND_OVER
    for done in _decisions(told, "Migrate"):
        if done.reason != "HandedOver":
            continue
        name = _name(done)
        begun = [r for r in _decisions(told, "Migrate") if _name(r) == name and r.grid <= done.grid]
        begun = [r for r in begun if r.reason != "HandedOver"]
        if not begun:
            continue
        start = begun[-1]
        during = [s for s in samples if start.grid - 1 <= s.grid <= done.grid]
        if not during:
            continue
        first, last = during[0].workloads[name], during[-1].workloads[name]
        least = min(_total(s, name, ready=True) for s in during)
        places = ", ".join(
            f"{place} {first.replicas.get(place, (0, 0))[1]} -> {count[1]}"
            for place, count in sorted(last.replicas.items())
        )
        return Moment(
            name=title,
            seen=True,
            time=start.grid,
            reason=start.reason,
            words=f"{start.note}; {done.note}",
            evidence=(
                f"{name}: {places}; never fewer than {least} ready; "
                f"{during[-1].wall - during[0].wall:.0f} s on the wall"
            ),
        )
    return Moment(name=title, seen=False)


def _event(samples: Sequence[Sample], told: Sequence[Told], order: PowerOrder) -> Moment:
    """The order bounds what is imported: own wind comes on top, and a fall of it is followed at once."""
    title = EVENT
    rows = [s for s in samples if s.sites[order.site].import_watts is not None]
    before = [_import(s, order) for s in rows if order.start - 7200 <= s.grid < order.start]
    inside = [s for s in rows if order.start + order.ramp_seconds <= s.grid < order.end]
    if not before or not inside:
        return Moment(name=title, seen=False, words="the event's window was not observed")
    kept = sum(_kept(s, rows, order) for s in inside)
    row = next((r for r in told if r.reason == "EventLimit"), None)
    if row is None:  # what the planner moved away before it began left nothing to shed
        row = next((r for r in told if order.name in r.note), None)
    meant = max(before) > order.upper_watts
    most = max(_import(s, order) for s in inside)
    evidence = (
        f"{order.site} by its own meter: {max(before) / 1000:.1f} kW imported before, at most "
        f"{most / 1000:.2f} kW of {order.upper_watts / 1000:.1f} kW after the ramp "
        f"({kept} of {len(inside)} readings inside, {_FOLLOW_SECONDS:.0f} s to follow a falling wind)"
    )
    return Moment(
        name=title,
        seen=row is not None and meant and kept == len(inside),
        time=row.grid if row else order.start,
        reason=row.reason if row else "",
        words=row.note if row else "nobody acted on the event",
        evidence=evidence,
    )


def _import(sample: Sample, order: PowerOrder) -> float:
    return sample.sites[order.site].import_watts or 0.0


def _kept(sample: Sample, rows: Sequence[Sample], order: PowerOrder) -> bool:
    """Whether a reading is inside, counted with the most wind of the seconds in which to follow it."""
    here = sample.sites[order.site]
    wind = max(
        s.sites[order.site].supply_watts or 0.0
        for s in rows
        if sample.wall - _FOLLOW_SECONDS <= s.wall <= sample.wall
    )
    fallen = max(0.0, wind - (here.supply_watts or 0.0))
    least = (here.meter_watts or 0.0) * (_METER_TOLERANCE - 1)
    return _import(sample, order) <= order.upper_watts + fallen + least


def _veto(samples: Sequence[Sample], told: Sequence[Told]) -> Moment:
    """The guard's waiting rule told of a violation, and more replicas than before were ready soon.

    The raise itself may have another name: growth of the load that was answered before a queue was.
    """
    title = VETO
    for row in _decisions(told, "Guard"):
        if row.reason != "QueueGrowing":  # engines of the lab leave queueing out of their latency
            continue
        name = _name(row)
        spell = [s for s in samples if row.grid - 1800 <= s.grid <= row.grid + EFFECT_GRID_SECONDS]
        before = [s for s in spell if s.grid < row.grid]
        start = min((_total(s, name, ready=True) for s in before), default=None)
        raised = next(
            (
                s
                for s in spell
                if start is not None and s.grid >= row.grid and _total(s, name, ready=True) > start
            ),
            None,
        )
        if raised is None:
            continue
        slow = [s.workloads[name].ttft_p95_ms or 0.0 for s in spell]
        later = next((s for s in reversed(spell) if s.workloads[name].ttft_p95_ms), None)
        ended = later.workloads[name].ttft_p95_ms if later else None
        acts = [r for r in _decisions(told, "ScaleTo") if _name(r) == name]
        raises = [r for r in acts if spell[0].grid <= r.grid <= raised.grid + 1]
        because = f" by {raises[-1].reason}" if raises else ""
        return Moment(
            name=title,
            seen=True,
            time=row.grid,
            reason=row.reason,
            words=row.note,
            evidence=(
                f"{name}: {start} -> {_total(raised, name, ready=True)} replicas{because}; "
                f"p95 at the clients {max(slow):.0f} ms in the burst"
                + (f", {ended:.0f} ms after it" if ended is not None else "")
            ),
        )
    return Moment(name=title, seen=False)
