"""A tiny closed loop for adversarial tests: sites, replicas that take time to start, engines, meters.

The whole policy decides (`sim/policies/ours.py`: planner, governor, what the operator keeps); this
plant only answers. What a test distorts are the callables: sites, load, meter. Neighbour: `worlds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.core.build import NOW, PROFILE, WALL, placement, reading, snapshot, workload
from tests.core.worlds import spread
from wattshift.core.model import SiteState, Snapshot, WorkloadState
from wattshift.core.power.watts import replica_watts
from wattshift.sim.policies.ours import Ours

START_SECONDS = 120.0
TURN_SECONDS = 1800.0
Sites = Callable[[float], tuple[SiteState, ...]]


@dataclass
class Loop:
    """`sites(t)`, `load(t, loop)` by workload, `meter(site, watts, t)`; t = seconds since the start."""

    counts: dict[tuple[str, str], int]
    """(workload, site) -> replicas wanted."""
    sites: Sites
    load: Callable[[float, Loop], Mapping[str, float]]
    meter: Callable[[str, float, float], float | None] | None = None
    step: float = 300.0
    more: dict[str, object] = field(default_factory=dict)
    """Fields of every workload."""
    clock: Callable[[float], float] = lambda t: t
    """Grid seconds since the start as the operator's clock shows them."""
    serving: dict[tuple[str, str], int] = field(default_factory=dict)
    history: list[dict[tuple[str, str], int]] = field(default_factory=list)
    watts: list[dict[str, float]] = field(default_factory=list)
    short: list[float] = field(default_factory=list)
    """Sequences beyond what serves inside the objective, by step."""
    moves: int = 0
    t: float = 0.0

    def __post_init__(self) -> None:
        self.policy = Ours()
        self.serving = dict(self.counts)
        self._starting: list[tuple[float, tuple[str, str], int]] = []
        self._written: dict[tuple[str, str], float] = {}
        self._changed: dict[str, float] = {}

    def run(self, seconds: float) -> Loop:
        """Decide every step; keep what stood and what was drawn."""
        until = self.t + seconds
        while self.t < until:
            self._start()
            here = self.snapshot()
            orders = self.policy.decide(here, here.grid_time)
            for (key, name), count in orders.replicas.items():
                self._write((key.split("/")[1], name), count)
            self.history.append(dict(self.counts))
            self.watts.append(self.drawn())
            self.t += self.step
        return self

    def jobs(self) -> list[str]:
        return sorted({name for name, _ in self.counts})

    def snapshot(self) -> Snapshot:
        """What the operator sees now."""
        now = self.clock(self.t)
        load = self.load(self.t, self)
        jobs = tuple(self._job(name, load.get(name, 0.0), now) for name in self.jobs())
        self.short.append(
            sum(max(0.0, load.get(name, 0.0) - 20.0 * self._serves(name)) for name in self.jobs())
        )
        drawn, rows = self.drawn(), []
        for row in self.sites(self.t):
            feed = row.connections[0]
            if self.meter is not None:
                value = self.meter(row.name, drawn.get(row.name, 0.0), self.t)
                feed = replace(feed, metered=reading(value, age=1.0 - now))
            rows.append(replace(row, connections=(feed,)))
        here = snapshot(jobs, tuple(rows))
        return replace(here, grid_time=NOW + now, wall_time=WALL + self.t)

    def _serves(self, name: str) -> int:
        return sum(count for (job, _), count in self.serving.items() if job == name)

    def _job(self, name: str, load: float, now: float) -> WorkloadState:
        rows = []
        for (job, site), count in sorted(self.counts.items()):
            if job != name:
                continue
            ready = min(count, self.serving[job, site])
            written = self._written.get((job, site))
            rows.append(
                placement(
                    site,
                    count,
                    ready_replicas=ready,
                    in_service_replicas=ready,
                    desired_replicas=count,
                    last_written_replicas=count,
                    last_write_time=None if written is None else NOW + written,
                )
            )
        values = {
            "moves_today": self.moves,
            "last_change_time": NOW + self._changed[name] if name in self._changed else None,
        } | self.more
        return workload(name, spread(tuple(rows), load), **values)

    def _start(self) -> None:
        for due, key, count in [row for row in self._starting if row[0] <= self.t]:
            self.serving[key] = min(self.counts[key], max(self.serving[key], count))
            self._starting.remove((due, key, count))

    def _write(self, key: tuple[str, str], count: int) -> None:
        before = self.counts[key]
        if count == before:
            return
        if count > before:
            self._starting.append((self.t + START_SECONDS, key, count))
            self.moves += 1
        self.counts[key] = count
        self.serving[key] = min(self.serving[key], count)
        self._written[key] = self._changed[key[0]] = self.clock(self.t)

    def drawn(self) -> dict[str, float]:
        """True watts by site."""
        load, found = self.load(self.t, self), {}
        for (job, site), count in self.counts.items():
            serves = self._serves(job)
            each = min(20.0, load.get(job, 0.0) / serves) if serves else 0.0
            ready = self.serving[job, site]
            watts = ready * (replica_watts(PROFILE, each) or 0.0)
            watts += (count - ready) * float(PROFILE.loaded_idle_watts or 0)
            found[site] = found.get(site, 0.0) + watts
        return found

    def reversals(self) -> int:
        """Times that a placement turned back within half an hour, both ways counted once."""
        turns = 0
        for key in self.counts:
            last, sign = float("-inf"), 0
            for index in range(1, len(self.history)):
                change = self.history[index][key] - self.history[index - 1][key]
                if change == 0:
                    continue
                way = 1 if change > 0 else -1
                if way != sign and index * self.step - last <= TURN_SECONDS and way < 0:
                    turns += 1
                last, sign = index * self.step, way
        return turns

    def changes(self) -> int:
        """Steps in which anything was written."""
        return sum(
            after != before for before, after in zip(self.history, self.history[1:], strict=False)
        )
