"""What keeps decisions calm: money-based hysteresis, dwell, moves per day, budgets per site and reason.

It never stops capacity that is owed to users, nor a bound; only savings have to wait. Neighbours:
`core/planner/planner.py`, `core/planner/score.py`.
"""

from __future__ import annotations

from decimal import Decimal

from wattshift.core.decision import Action
from wattshift.core.fleet.classes import routed
from wattshift.core.model import Settings, WorkloadState
from wattshift.core.planner.candidates import Candidate
from wattshift.core.reasons import Reason
from wattshift.core.survey.survey import Job, Survey

_NOISE = 1e-6
"""Reporting currency per hour below which nothing is gained."""


def horizon_seconds(workload: WorkloadState, settings: Settings) -> float:
    """Time over which a change must pay back: the dwell, at least one planning interval."""
    return float(max(workload.min_dwell_seconds, settings.plan_interval_seconds, 1))


def within_dwell(job: Job, now: float) -> tuple[Reason, str] | None:
    """Why a change for money has to wait for the dwell; None = it need not."""
    changed = job.state.last_change_time
    # NB: a change "in the future" was made before the clock was set back: it says nothing
    if changed is not None and 0 <= now - changed < job.state.min_dwell_seconds:
        left = job.state.min_dwell_seconds - (now - changed)
        return Reason.WITHIN_DWELL, f"changed {now - changed:.0f} s ago, may change in {left:.0f} s"
    return None


def waits(job: Job, candidate: Candidate, now: float) -> tuple[Reason, str] | None:
    """Why a saving has to wait although it pays: dwell, then moves per day."""
    if routed(job):
        return _moved_enough(job, candidate)  # its placements dwell one by one
    early = within_dwell(job, now)
    if early is not None:
        return early
    return _exhausted(job.state) if candidate.action in (Action.MIGRATE, Action.PAUSE) else None


def moves_made(state: WorkloadState) -> float:
    """Moves since the day began, in shares of the load where those are measured."""
    return float(state.moves_today) if state.moved_share_today is None else state.moved_share_today


def _moved_enough(job: Job, candidate: Candidate) -> tuple[Reason, str] | None:
    """Moves of a workload in shares of its load; what only lowers ends a move and is none."""
    if all(n <= spot.replicas for n, spot in zip(candidate.vector, job.spots, strict=True)):
        return None
    return _exhausted(job.state)


def _exhausted(state: WorkloadState) -> tuple[Reason, str] | None:
    made = moves_made(state)
    if made >= state.max_moves_per_day:
        return Reason.MOVES_EXHAUSTED, (
            f"{made:.1f} times its load was moved today, {state.max_moves_per_day} times it may be"
        )
    return None


def pays(candidate: Candidate, settings: Settings, seconds: float) -> tuple[Reason, str] | None:
    """Why a candidate is not worth it; None = it pays back within `seconds` with the set margin."""
    score = candidate.score
    if score is None:
        return Reason.PRICE_UNKNOWN, "its score is unknown"
    recurring = score.total - score.parts["move"]
    if recurring >= -_NOISE:
        return Reason.NOTHING_TO_GAIN, f"it would cost {recurring:+.4f} per hour"
    margin = float(Decimal(settings.min_saving_per_move)) / (seconds / 3600)
    if score.total >= -margin - _NOISE:
        return Reason.PAYBACK_TOO_LONG, (
            f"saves {-recurring:.4f} per hour, but the change costs {score.parts['move']:.4f} and must "
            f"leave {margin:.4f} per hour over {seconds:.0f} s"
        )
    return None


class Budgets:
    """Concurrent disruptive actions per site and reason; open hand-overs count."""

    def __init__(self, survey: Survey) -> None:
        self._limit = survey.snapshot.settings.max_actions_per_site
        self._used: dict[tuple[str, str], int] = {}
        for job in survey.jobs:
            intent = job.state.intent
            if intent is None:
                continue
            for spot in job.spots:
                if spot.state.name in (intent.source_name, intent.destination_name):
                    self._count(spot.state.site_name, intent.reason)

    def refuses(self, job: Job, candidate: Candidate) -> tuple[Reason, str] | None:
        """Why the budget of a site is used up; None = there is room."""
        if not candidate.disruptive:
            return None
        for site in self._sites(job, candidate):
            used = self._used.get((site, candidate.reason.value), 0)
            if used >= self._limit:
                return Reason.BUDGET_EXHAUSTED, (
                    f"{site}: {used} actions for {candidate.reason} are under way, "
                    f"{self._limit} may be"
                )
        return None

    def take(self, job: Job, candidate: Candidate) -> None:
        """Count a decision."""
        if candidate.disruptive:
            for site in self._sites(job, candidate):
                self._count(site, candidate.reason.value)

    def _count(self, site: str, reason: str) -> None:
        self._used[site, reason] = self._used.get((site, reason), 0) + 1

    @staticmethod
    def _sites(job: Job, candidate: Candidate) -> list[str]:
        changed = (
            spot.state.site_name
            for spot, count in zip(job.spots, candidate.vector, strict=True)
            if count != spot.replicas
        )
        return sorted(set(changed))
