"""The loop: snapshot, decision, orders, plant, books; one window after the other.

A window is preceded by a warm-up that is not reported, in which the policy already decides. Windows
that follow on one another are run through. Neighbours: `world.py`, `plant.py`, `result.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import TypeAlias, cast

import numpy as np

from wattshift.core.contract.bill import Line
from wattshift.sim.books import Books, Sums, check
from wattshift.sim.events import EventLog
from wattshift.sim.facility import Truth, truth_of
from wattshift.sim.forecasts import correlated
from wattshift.sim.layout import Layout, layout_of
from wattshift.sim.plant import Plant
from wattshift.sim.policies.base import Policy
from wattshift.sim.pricing import ContractBook
from wattshift.sim.result import Result, WindowResult
from wattshift.sim.scenario import Array, Scenario, SimWorkload, Window
from wattshift.sim.world import World

WARM_UP_SECONDS = 6 * 3600.0
EVENT_LEAD_SECONDS = 60.0
EVENT_TRAIL_SECONDS = 900.0
"""Seconds before and after an event with decisions every `govern_every_seconds`."""

SHOWN_SECONDS = 7200.0

PolicyOrFactory: TypeAlias = Policy | Callable[[], Policy]
Progress: TypeAlias = Callable[[float, str], None]
"""(share done, what)."""


def simulate(
    scenario: Scenario,
    policy: PolicyOrFactory,
    *,
    windows: Sequence[str] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    checked: bool = False,
) -> Result:
    """Run a policy through windows of a scenario.

    Args:
        scenario: resolved; its seed is replaced where one is given.
        policy: one policy, or a maker of fresh ones for each stretch of windows.
        windows: names; None = all that are not for development, or the whole where there are none.
        seed: of demand noise and forecast errors.
        progress: called about a hundred times.
        checked: verify the books of every span (slower).

    Raises:
        ValueError: an unknown window, or a scenario that does not fit together.
    """
    scenario = with_seed(scenario, seed)
    chosen = choose(scenario, windows)
    layout, truth = layout_of(scenario), truth_of(scenario)
    whole = sum(row.last_step - row.first_step for row in chosen)
    finished: list[WindowResult] = []
    name, done = "", 0
    for stretch in stretches(chosen):
        made = _fresh(policy)
        name = made.name
        run = _Run(layout, truth, made, checked=checked)
        for window, result in run.through(stretch, progress, done, whole):
            finished.append(result)
            done += window.last_step - window.first_step
    return Result(
        scenario=scenario.name,
        policy=name,
        seed=scenario.seed,
        windows=tuple(finished),
        workloads=len(scenario.workloads),
        currencies=tuple(site.currency for site in scenario.sites),
        reporting_currency=scenario.settings.reporting_currency,
        exchange_rates=scenario.settings.exchange_rates,
        sites=tuple(site.name for site in scenario.sites),
    )


def shown(duration_seconds: float) -> bool:
    """Whether an event's power is kept for the report: by the second, ten hours are too much."""
    return duration_seconds <= SHOWN_SECONDS


def _fresh(policy: PolicyOrFactory) -> Policy:
    if isinstance(policy, type) or not hasattr(policy, "decide"):
        return cast("Callable[[], Policy]", policy)()
    return cast("Policy", policy)


def with_seed(scenario: Scenario, seed: int | None = None) -> Scenario:
    """The scenario with its seeded demand noise applied: what plant and bounds both use."""
    if seed is None:
        seed = scenario.seed
    workloads = tuple(
        _noisy(row, seed * 15_485_863 + index * 32_452_843, scenario.step_seconds)
        for index, row in enumerate(scenario.workloads)
    )
    if seed == scenario.seed and all(
        a is b for a, b in zip(workloads, scenario.workloads, strict=True)
    ):
        return scenario
    return replace(scenario, seed=seed, workloads=workloads)


def _noisy(workload: SimWorkload, seed: int, step_seconds: float) -> SimWorkload:
    size = workload.demand_relative_noise
    if size <= 0 or not workload.demand_tokens_per_second.size:
        return workload
    keep = float(np.exp(-step_seconds / 3600.0))
    noise = correlated(workload.demand_tokens_per_second.shape, seed & 0x7FFF_FFFF, keep)
    demand = np.maximum(0.0, workload.demand_tokens_per_second * (1.0 + size * noise))
    return replace(workload, demand_tokens_per_second=demand, demand_relative_noise=0.0)


def choose(scenario: Scenario, names: Sequence[str] | None) -> tuple[Window, ...]:
    """Windows by name in order of time; the whole scenario where it has none."""
    whole = Window(name="all", first_step=0, last_step=scenario.steps)
    rows = scenario.windows or (whole,)
    if names is None:
        chosen = [row for row in rows if not row.development] or list(rows)
    else:
        known = {row.name: row for row in rows} | {"all": whole}
        missing = [name for name in names if name not in known]
        if missing:
            raise ValueError(
                f"no window named {', '.join(missing)}: there are {', '.join(sorted(known))}"
            )
        chosen = [known[name] for name in names]
    return tuple(sorted(chosen, key=lambda row: row.first_step))


def stretches(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows that follow on one another without a gap, together."""
    found: list[list[Window]] = []
    for row in windows:
        if found and found[-1][-1].last_step == row.first_step:
            found[-1].append(row)
        else:
            found.append([row])
    return found


class _Clock:
    """Decision times inside steps.

    Far from events, decisions come with plans. Near them they come every `govern_every_seconds`, but
    where nothing has happened for longer than telemetry takes, nothing new can be seen before the
    next step, transition or edge of an event: that time is passed in one span.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._fine = scenario.govern_every_seconds
        # a cap acts after its own time, telemetry shows it after that, and then it may be corrected
        caps = max((row.cap_seconds for row in scenario.tables), default=0.0)
        self._settle = scenario.telemetry_delay_seconds + 2 * self._fine + 2 * caps
        self._spans = [
            (
                row.start_seconds - EVENT_LEAD_SECONDS,
                row.start_seconds + row.duration_seconds + EVENT_TRAIL_SECONDS,
            )
            for row in scenario.events
        ]
        self._near = _joined(self._spans)
        edges = {
            edge
            for row in scenario.events
            for edge in (
                row.start_seconds - row.notice_seconds,
                row.start_seconds,
                row.start_seconds + row.duration_seconds,
            )
        }
        edges |= {row.start_seconds for row in scenario.faults}
        edges |= {row.start_seconds + row.duration_seconds for row in scenario.faults}
        self._edges = sorted(edges | {span[0] for span in self._spans})
        self._busy_until = 0.0

    def touch(self, now: float) -> None:
        """Something has changed: look closely until telemetry has shown it."""
        self._busy_until = max(self._busy_until, now + self._settle)

    def spans(
        self, step: int, next_due: Callable[[], float | None]
    ) -> Iterator[tuple[float, float]]:
        """(start, seconds) of the spans of a step; `next_due` is the end of the next transition."""
        now = step * self._scenario.step_seconds
        end = now + self._scenario.step_seconds
        self.touch(now)
        while now < end - 1e-9:
            length = min(self._length(now, next_due()), end - now)
            yield now, length
            now += length

    def _length(self, now: float, due: float | None) -> float:
        scenario, fine = self._scenario, self._fine
        if fine >= scenario.step_seconds:
            return scenario.step_seconds
        place = bisect_right(self._edges, now + 1e-9)
        edge = self._edges[place] if place < len(self._edges) else np.inf
        if edge - now < fine:
            self.touch(edge)
        place = bisect_right(self._near, now, key=itemgetter(0))
        near = not self._near or (place > 0 and now < self._near[place - 1][1])
        if near and now < self._busy_until:
            return fine
        following = min(edge, np.inf if due is None or not near else due)
        longest = scenario.step_seconds if near else scenario.plan_every_seconds
        length = min(longest, following - now)
        length = float(max(fine, np.floor(length / fine + 1e-9) * fine))
        if now + length > edge - fine:
            self.touch(edge)  # the span after it is short already when the first answer comes
        return length


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same times as spans that do not overlap, in order."""
    found: list[tuple[float, float]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


class _Run:
    def __init__(self, layout: Layout, truth: Truth, policy: Policy, *, checked: bool) -> None:
        scenario = layout.scenario
        self._scenario = scenario
        self._policy = policy
        self._checked = checked
        self._layout = layout
        self._plant = Plant(layout, truth)
        self._contracts = tuple(
            None
            if site.contract is None
            else ContractBook(site.contract, site.name, scenario.start_time)
            for site in scenario.sites
        )
        self._books = Books(self._layout, self._plant.truth, self._contracts)
        self._world = World(self._plant, self._contracts, scenario.seed)
        self._clock = _Clock(scenario)
        self._events = EventLog(self._plant, self._world.refused)

    def through(
        self, stretch: list[Window], progress: Progress | None, done: int, whole: int
    ) -> Iterator[tuple[Window, WindowResult]]:
        """Run a stretch; one result a window."""
        scenario = self._scenario
        warm = round(WARM_UP_SECONDS / scenario.step_seconds)
        first = stretch[0].first_step
        begin = max(0, first - warm)
        at = begin * scenario.step_seconds
        self._plant.batch.begin(at)
        self._begin_contracts(at)
        if begin == 0:
            # the first decision of all needs a world that has been running for one span
            record = self._plant.advance(0, -scenario.step_seconds, scenario.step_seconds)
            self._world.see(record)
        for step in range(begin, first):
            self._step(step)
        finished: list[tuple[Window, Sums, dict[str, tuple[Line, ...]]]] = []
        for window in stretch:
            starts = self._counters()
            self._begin_contracts(window.first_step * scenario.step_seconds)
            batch = self._plant.batch
            late, arrived = batch.late.copy(), self._arrived(window.first_step)
            self._books.open(window.name, float(self._plant.queue.sum()))
            every = max(1, (window.last_step - window.first_step) // 100)
            for step in range(window.first_step, window.last_step):
                self._step(step)
                if progress is not None and step % every == 0:
                    passed = done + step - window.first_step + 1
                    progress(passed / whole, f"{self._policy.name} {window.name}")
            done += window.last_step - window.first_step
            sums = self._books.close()
            sums.batch_late = batch.late - late
            sums.batch_arrived = self._arrived(window.last_step) - arrived
            self._count_starts(sums, starts)
            finished.append((window, sums, self._bills()))
        # an event may end in the next window, and power come back there: judge when all is seen
        for window, sums, bills in finished:
            yield window, self._result(sums, window, bills)

    def _begin_contracts(self, at: float) -> None:
        for book in self._contracts:
            if book is not None:
                book.begin(self._scenario.start_time + at)

    def _arrived(self, step: int) -> Array:
        """Units of batch work by workload that had come by the start of a step."""
        now, batch = step * self._scenario.step_seconds, self._plant.batch
        rows = self._scenario.workloads
        return np.asarray(
            [0.0 if row.batch is None else batch.arrived(w, now) for w, row in enumerate(rows)]
        )

    def _counters(self) -> tuple[int, int, int]:
        fleet = self._plant.fleet
        return fleet.starts, fleet.wakes, fleet.refused

    def _count_starts(self, sums: Sums, before: tuple[int, int, int]) -> None:
        fleet = self._plant.fleet
        sums.starts = fleet.starts - before[0]
        sums.wakes = fleet.wakes - before[1]
        sums.refused = fleet.refused - before[2]

    def _step(self, step: int) -> None:
        scenario, plant = self._scenario, self._plant
        record = None
        for now, seconds in self._clock.spans(step, plant.fleet.next_due):
            snapshot = self._world.snapshot(now)
            orders = self._policy.decide(snapshot, snapshot.grid_time)
            before = plant.fleet.target.copy() if scenario.events else None
            if plant.apply(orders, now):
                self._clock.touch(now)
            if before is not None:
                self._events.ordered(orders, before, plant.fleet.target, now)
            self._world.ordered(orders, now)
            self._books.decided(orders, plant.fleet.target, now)
            record = plant.advance(step, now, seconds)
            energy = self._books.add(record)
            if self._checked:
                check(record, energy)
            self._world.see(record)
            if plant.fleet.finished:
                self._clock.touch(now + seconds)
            if scenario.events:
                self._events.see(record)
        if record is not None:
            self._books.draw(record)

    def _bills(self) -> dict[str, tuple[Line, ...]]:
        return {
            site.name: book.lines()
            for site, book in zip(self._scenario.sites, self._contracts, strict=True)
            if book is not None
        }

    def _result(
        self, sums: Sums, window: Window, bills: dict[str, tuple[Line, ...]]
    ) -> WindowResult:
        step = self._scenario.step_seconds
        start, end = window.first_step * step, window.last_step * step
        events = self._events.judge(start, end)
        return WindowResult(
            name=window.name,
            sums=sums,
            first_step=window.first_step,
            groups=tuple(self._books.attainment.groups),
            bills=bills,
            events=events,
            events_not_called=self._events.not_called(start, end),
            traces=self._events.traces([row.name for row in events if shown(row.duration_seconds)]),
        )
