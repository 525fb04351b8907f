"""The fast loop: power inside its bounds, capacity back on a veto, open moves and releases advanced.

Every tick: gather -> govern -> validate -> act -> record. It needs no plan and no solver, and uses
the last plan's prices when there is one. The decision is `core/governor.govern`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from wattshift.control.act import Acted, Actor
from wattshift.control.acting.moves import Mover
from wattshift.control.acting.release import Releaser
from wattshift.control.acting.rivals import Rivals
from wattshift.control.fleet_loop import outcomes
from wattshift.control.gather import Gatherer
from wattshift.control.inputs.significant import significant_change
from wattshift.control.latest import Latest
from wattshift.control.record.books import Books
from wattshift.control.record.moved import Moved
from wattshift.control.record.recorder import Recorder, Step
from wattshift.control.record.show import Show
from wattshift.control.record.totals import Totals
from wattshift.control.runtime import Runtime
from wattshift.core.decision import Action, Governance, Plan
from wattshift.core.governor.governor import govern
from wattshift.core.model import Snapshot
from wattshift.errors import WattshiftError

log = logging.getLogger(__name__)


class GovernorLoop:
    """One tick every `governor.intervalSeconds`, and at once when rung."""

    name = "governor"

    def __init__(
        self,
        *,
        runtime: Runtime,
        gather: Gatherer,
        actor: Actor,
        mover: Mover,
        releaser: Releaser,
        rivals: Rivals,
        books: Books,
        totals: Totals,
        show: Show,
        recorder: Recorder,
        latest: Latest,
    ) -> None:
        self._runtime = runtime
        self._gather = gather
        self._actor = actor
        self._mover = mover
        self._releaser = releaser
        self._rivals = rivals
        self._books = books
        self._totals = totals
        self._show = show
        self._recorder = recorder
        self._latest = latest
        self._moved = Moved(book=runtime.book)
        self._told: dict[tuple[str, str], str] = {}
        """Notices of the last tick, by place and reason."""
        self._bugs: dict[str, tuple[str, int]] = {}
        """What a part failed with in its last turn, and how often in a row."""

    async def run(self) -> None:
        """Govern until cancelled."""
        runtime = self._runtime
        interval = runtime.config.governor.interval_seconds
        while True:
            begun = runtime.clock.monotonic()
            with runtime.metrics.loop_seconds.labels(self.name).time():
                await self._part("tick", self._iterate())
            runtime.progress.beat(self.name)
            left = interval - (runtime.clock.monotonic() - begun)
            await runtime.governor_wake.wait(max(0.05, left))

    async def _iterate(self) -> None:
        await self._gather.persist_events()
        snapshot = self._gather.snapshot()
        await self._part("govern", self._govern(snapshot))
        await self._part("concede", self._concede(snapshot))
        await self._part("release", self._release(snapshot))
        await self._part("move", self._move(snapshot))
        await self._part("count", self._count(snapshot))

    async def _part(self, name: str, part: Coroutine[Any, Any, None]) -> None:
        """One part of a tick: its failure is told and counted, and keeps no other from its turn.

        A trace for what is new; what repeats in every tick is told ever more rarely, or it fills the log.
        """
        try:
            await part
        except WattshiftError as error:
            log.warning("govern: %s", error.message, extra={"reason": error.reason})
        except Exception as error:
            self._runtime.metrics.bugs.labels(self.name).inc()
            words = f"{type(error).__name__}: {error}"
            before, times = self._bugs.get(name, ("", 0))
            times = times + 1 if before == words else 1
            self._bugs[name] = (words, times)
            if times == 1:
                log.exception("govern failed", extra={"reason": "Bug"})
            elif times & (times - 1) == 0:
                told = (name, times, words)
                log.warning("%s failed, %d times in a row: %s", *told, extra={"reason": "Bug"})
        else:
            self._bugs.pop(name, None)

    async def _govern(self, snapshot: Snapshot) -> None:
        plan_before = self._latest.plan
        # Pure, so it may leave the event loop: probes and watches go on meanwhile.
        decided = await asyncio.to_thread(govern, snapshot, plan_before, snapshot.grid_time)
        self._gather.note_violations(decided.violations, snapshot.wall_time)
        self._gather.note_power(decided.sites, snapshot.grid_time)
        self._tell(decided)
        acted = await self._act(decided)
        self._record(snapshot, plan_before, decided, acted)

    async def _concede(self, snapshot: Snapshot) -> None:
        await self._actor.catch_up()
        conceded = self._rivals.advance(snapshot)
        for row in conceded:
            await self._actor.rewrite_originals(row.workload_key)
        self._show.conceded(conceded)

    async def _release(self, snapshot: Snapshot) -> None:
        self._show.releases(await self._releaser.advance(snapshot))

    async def _move(self, snapshot: Snapshot) -> None:
        # A second look costs as much as the first: only an open hand-over is worth it.
        moving = any(row.intent is not None for row in snapshot.workloads)
        fresh = self._gather.snapshot() if moving else snapshot
        self._show.moves(await self._mover.advance(fresh))

    async def _count(self, snapshot: Snapshot) -> None:
        self._books.advance(snapshot)
        self._totals.advance(snapshot)
        self._moved.advance(snapshot)
        await asyncio.sleep(0)  # a large fleet takes a while: probes are answered in between

    def _tell(self, decided: Governance) -> None:
        """Shortfalls, contradictions and doubts: told when they begin."""
        told: dict[tuple[str, str], str] = {}
        for row in decided.notices:
            place = "/".join(part for part in (row.site_name, row.connection_name) if part)
            key = (place, row.reason)
            told[key] = row.message
            if key not in self._told:
                words = {"reason": str(row.reason), "object": f"PowerSite/{row.site_name}"}
                log.warning("%s: %s", place, row.message, extra=words)
        self._told = told

    async def _act(self, decided: Governance) -> tuple[Acted, ...]:
        if all(decision.action is Action.HOLD for decision in decided.decisions):
            return ()
        return await self._actor.carry_out(decided.decisions, self._gather.snapshot())

    def _record(
        self,
        snapshot: Snapshot,
        plan_before: Plan | None,
        decided: Governance,
        acted: tuple[Acted, ...],
    ) -> None:
        latest = self._latest
        latest.snapshot, latest.governance = snapshot, decided
        metrics = self._runtime.metrics
        for decision in decided.decisions:
            metrics.decisions.labels(decision.action, decision.reason, self.name).inc()
        for _, reason, _ in decided.vetoes:
            metrics.vetoes.labels(reason).inc()
        for row in acted:
            metrics.actions.labels(row.action, row.result, "").inc()
        news = tuple(row for row in acted if latest.is_news(row))
        for row in news:
            log.info(
                "%s %s: %s",
                row.action,
                row.result,
                row.message,
                extra={"reason": row.reason, "object": f"FlexibleWorkload/{row.workload_key}"},
            )
        self._show.governance(snapshot, decided, acted)
        if news:
            self._recorder.record(
                Step(
                    snapshot=snapshot,
                    plan_before=plan_before,
                    governance=decided,
                    outcomes=outcomes(acted),
                )
            )
        cause = significant_change(latest.plan_snapshot, snapshot)
        if cause:
            self._runtime.planner_wake.ring(cause)
