"""Nearest under the bound: of what was taken in whole replicas, as little too much as can be.

A knapsack over few kinds of replicas, by exchange: first what is not needed is returned, most harm
first; then one replica is replaced by smaller ones of the same rung and tier. Neighbour:
`core/governor/shed.py`, which takes greedily.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wattshift.core.governor.freed import freed_watts
from wattshift.core.survey.survey import Feed, Job, Spot

SLACK = 1e-6
ENOUGH = 0.02
"""Share of the excess by which taking too much is good enough."""
_ROUNDS = 4
_SMALLER = 8
"""Smaller replicas that may replace one."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One replica that was or may be taken, and the rung that justifies it."""

    job: Job
    spot: Spot
    step: int

    @property
    def rank(self) -> tuple[object, ...]:
        """Units of one rank may stand in for each other."""
        state = self.job.state
        return (self.step, state.mode, state.tier, state.priority)

    @property
    def kind(self) -> tuple[object, ...]:
        """Units of one kind free about the same."""
        return (*self.rank, self.spot.state.profile_name, self.job.outside)


class Taking:
    """Replicas taken at one feed, and the watts that they free together."""

    def __init__(self, feed: Feed, vectors: dict[str, list[int]]) -> None:
        self.feed = feed
        self.vectors = vectors
        self.freed = 0.0
        self.last_watts = 0.0
        """What the last one that was taken frees."""
        self.units: list[Unit] = []
        self._bases: dict[str, list[int]] = {}
        self._by_job: dict[str, float] = {}

    def take(self, unit: Unit) -> float:
        """Take one replica; returns the watts that it frees more."""
        more = self.last_watts = self._change(unit, -1)
        self.units.append(unit)
        return more

    def undo(self, unit: Unit) -> float:
        """Give one back; returns the watts that are freed less."""
        less = -self._change(unit, 1)
        # the latest of its like: equal units are the same replica to everybody
        for index in range(len(self.units) - 1, -1, -1):
            if self.units[index].spot is unit.spot:
                del self.units[index]
                break
        return less

    def _change(self, unit: Unit, count: int) -> float:
        key = unit.job.key
        vector = self.vectors[key]
        base = self._bases.setdefault(key, list(vector))
        vector[unit.spot.index] += count
        total = freed_watts(unit.job, self.feed, base, vector)
        more = total - self._by_job.get(key, 0.0)
        self._by_job[key] = total
        self.freed += more
        return more


class Offers:
    """Replicas of a rung that may still be taken, one of each kind, in the order of the rung."""

    def __init__(self, rung: Callable[[int], list[Unit]], may: Callable[[Unit], bool]) -> None:
        self._rung = rung
        self._may = may
        self._units: dict[int, list[Unit]] = {}

    def like(self, unit: Unit) -> list[Unit]:
        """First of each kind of the rank of `unit`, at other placements."""
        if unit.step not in self._units:
            self._units[unit.step] = self._rung(unit.step)
        found: dict[tuple[object, ...], Unit] = {}
        for row in self._units[unit.step]:
            if row.rank != unit.rank or row.spot is unit.spot or row.kind in found:
                continue
            if self._may(row):
                found[row.kind] = row
        return list(found.values())


def fit(taking: Taking, excess_watts: float, offers: Offers, *, trim_watts: float = 0.0) -> None:
    """Give back what is too much, so that `excess_watts` less `trim_watts` are still freed.

    Args:
        taking: what was taken greedily; changed in place.
        excess_watts: what must go.
        offers: what could be taken instead.
        trim_watts: what device power caps take off at little harm, to the watt.
    """
    wanted = excess_watts - trim_watts
    for unit in reversed(tuple(taking.units)):
        if taking.freed <= wanted:
            break
        taking.undo(unit)
        if taking.freed + SLACK < wanted:
            taking.take(unit)
    for _ in range(_ROUNDS):
        if taking.freed - wanted <= ENOUGH * excess_watts or not _exchange(taking, wanted, offers):
            return


def _exchange(taking: Taking, wanted: float, offers: Offers) -> bool:
    """Replace one unit of the last rung by smaller ones; False = nothing is nearer."""
    if not taking.units:
        return False
    last = max(unit.step for unit in taking.units)
    kinds = {unit.kind: unit for unit in taking.units if unit.step == last}
    for unit in kinds.values():
        before = taking.freed
        taking.undo(unit)
        added = _fill(taking, unit, wanted, before, offers)
        if wanted <= taking.freed + SLACK and taking.freed + SLACK < before:
            return True
        for row in reversed(added):
            taking.undo(row)
        taking.take(unit)
    return False


def _fill(taking: Taking, unit: Unit, wanted: float, before: float, offers: Offers) -> list[Unit]:
    """Smaller units up to `wanted`: the smallest that is enough alone, else the largest there is."""
    added: list[Unit] = []
    while taking.freed + SLACK < wanted and len(added) < _SMALLER:
        sized = []
        for row in offers.like(unit):
            sized.append((taking.take(row), row))
            taking.undo(row)
        missing = wanted - taking.freed
        fitting = [pair for pair in sized if pair[0] > SLACK and taking.freed + pair[0] < before]
        if not fitting:
            break
        enough = [pair for pair in fitting if pair[0] + SLACK >= missing]
        pick = min if enough else max
        _, best = pick(enough or fitting, key=lambda pair: pair[0])
        taking.take(best)
        added.append(best)
    return added
