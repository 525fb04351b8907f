"""Feeds that are, or within the planning interval will be, over a bound: what harms nobody goes first.

What harms users is the governor's, and only while the bound is in force. Neighbours:
`core/planner/planner.py`, `core/governor/shed.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from wattshift.core.model import Mode
from wattshift.core.planner.assemble import Draft
from wattshift.core.planner.candidates import Candidate
from wattshift.core.power.power import FeedKey
from wattshift.core.reasons import Reason
from wattshift.core.survey.limits import Bound
from wattshift.core.survey.room import Room
from wattshift.core.survey.survey import Feed, Job, Survey


def relieve(drafts: list[Draft], world: Survey, room: Room, now: float) -> list[str]:
    """Choose candidates until every feed is inside its bound; returns what is left to shed.

    First the cheapest per watt; where that is not enough, jobs that were chosen for less take the
    candidate that frees most.
    """
    notes = []
    for key in sorted(world.feeds):
        feed = world.feeds[key]
        bound, excess = feed.limits.upper, feed.excess_watts()
        if bound is None or excess <= 0:
            continue
        for draft in drafts:
            if draft.chosen is not None and draft.chosen.score is not None:
                excess += _leaving(draft.chosen.score.watts, key, bound)
        reason = Reason.PREPARE_CHANGE if _ahead(feed, bound, now) else bound.reason
        words = f"{feed.site.name}: {excess:.0f} W over {bound.name}"
        mine: list[Draft] = []
        for draft, candidate in _relieving(drafts, key):
            if excess <= 0:
                break
            if draft.settled or not fits(draft.job, candidate, room):
                continue
            excess -= _choose(draft, candidate, room, key, (reason, words))
            mine.append(draft)
        for draft in mine:
            if excess <= 0:
                break
            better = _frees_more(draft, key, room)
            if better is not None:
                assert draft.chosen is not None
                excess += _freed(draft.chosen, key)
                excess -= _choose(draft, better, room, key, (reason, words))
        if excess > 0:
            notes.append(f"{feed.site.name}: {excess:.0f} W over {bound.name} need the governor")
    return notes


def _leaving(watts: Mapping[FeedKey, float], key: FeedKey, bound: Bound) -> float:
    """Watts that a choice takes off a bound (negative): at the connection, or all over the site."""
    if not bound.whole_site:
        return min(0.0, watts.get(key, 0.0))
    return sum(min(0.0, row) for here, row in watts.items() if here[0] == key[0])


def _ahead(feed: Feed, bound: Bound, now: float) -> bool:
    return any(
        event.start_time > now and bound.name == f"event {event.name}" for event in feed.site.events
    )


def _freed(candidate: Candidate, key: FeedKey) -> float:
    return 0.0 if candidate.score is None else -candidate.score.watts.get(key, 0.0)


def _choose(
    draft: Draft, candidate: Candidate, room: Room, key: FeedKey, why: tuple[Reason, str]
) -> float:
    candidate.reason = why[0]
    candidate.message = f"{why[1]}; {candidate.message}"
    take(draft, candidate, room)
    return _freed(candidate, key)


def _frees_more(draft: Draft, key: FeedKey, room: Room) -> Candidate | None:
    """The candidate of a job that frees most; only in place of one that took no room elsewhere."""
    chosen = draft.chosen
    if chosen is None or any(
        count > spot.replicas for spot, count in zip(draft.job.spots, chosen.vector, strict=True)
    ):
        return None
    rows = [
        row
        for row in draft.candidates
        if row.refused is None
        and _freed(row, key) > _freed(chosen, key) + 1
        and fits(draft.job, row, room)
    ]
    return max(rows, key=lambda row: (_freed(row, key), row.vector), default=None)


def _relieving(drafts: list[Draft], key: FeedKey) -> list[tuple[Draft, Candidate]]:
    """Candidates that free watts at a feed, cheapest per watt first; acting workloads first."""
    rows = []
    for draft in drafts:
        if draft.settled:
            continue
        for candidate in draft.candidates:
            score = candidate.score
            if candidate.refused is not None or score is None:
                continue
            freed = -score.watts.get(key, 0.0)
            if freed > 1:
                acting = 0 if draft.job.state.mode is Mode.ENFORCE else 1
                # parts of a move cost alike per watt: all of it where it saves, else as little
                each = float(f"{score.total / freed:.9g}")
                size = -freed if score.total < 0 else freed
                rank = (acting, each, size, draft.job.key, candidate.vector)
                rows.append((rank, draft, candidate))
    rows.sort(key=lambda row: row[0])
    return [(draft, candidate) for _, draft, candidate in rows]


def fits(job: Job, candidate: Candidate, room: Room) -> bool:
    """Whether room, ramp, devices, lower bounds and the way back from events allow a candidate."""
    score = candidate.score
    if score is not None and not (room.may_free(score.watts) and room.may_arrive(score.watts)):
        return False
    return all(
        count <= spot.replicas or count - spot.replicas <= room.most(spot)
        for spot, count in zip(job.spots, candidate.vector, strict=True)
    )


def take(draft: Draft, candidate: Candidate, room: Room) -> None:
    """Choose a candidate and use up its room."""
    for spot in draft.job.spots:
        room.take(spot, candidate.vector[spot.index] - spot.replicas)
    if candidate.score is not None:
        room.free(candidate.score.watts)
    draft.chosen = candidate
