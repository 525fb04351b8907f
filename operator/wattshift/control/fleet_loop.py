"""The slow loop: gather -> plan -> validate -> act -> record. Start reading here.

It wakes on its interval, on the plan's own next wake time, and when somebody rings (a changed spec,
event, member or signal). The decision is `core/planner.plan`; this file only carries values along.
"""

from __future__ import annotations

import asyncio
import logging

from wattshift.control.act import Acted, Actor
from wattshift.control.acting.moves import Mover
from wattshift.control.gather import Gatherer
from wattshift.control.inputs.inflow_book import InflowBook
from wattshift.control.latest import Latest
from wattshift.control.record.recorder import Outcome, Recorder, Step
from wattshift.control.record.show import Show
from wattshift.control.runtime import Runtime
from wattshift.core.decision import Action, Decision, Plan
from wattshift.core.model import Snapshot
from wattshift.core.planner.plan_memory import PlanMemory
from wattshift.core.planner.planner import plan
from wattshift.errors import WattshiftError

log = logging.getLogger(__name__)

BEAT_SECONDS = 30.0
"""Wall seconds after which a waiting loop says that it lives: an interval may be an hour."""
LATE_SECONDS = 10.0
"""Wall seconds after which a plan is late: the last one stays in force until it comes."""
ENDLESS_SECONDS = 900.0
"""Wall seconds after which a plan will not come: the loop says no more that it lives, and is restarted."""
RETRY_SECONDS = 60.0
"""Wall seconds at most between tries of a plan that fails; the governor needs none."""


class FleetLoop:
    """One plan for all workloads, carried out."""

    name = "planner"

    def __init__(
        self,
        *,
        runtime: Runtime,
        gather: Gatherer,
        actor: Actor,
        mover: Mover,
        show: Show,
        recorder: Recorder,
        latest: Latest,
    ) -> None:
        self._runtime = runtime
        self._gather = gather
        self._actor = actor
        self._mover = mover
        self._show = show
        self._recorder = recorder
        self._latest = latest
        self._failures = 0
        self._memory = PlanMemory()
        self._inflow = InflowBook(
            book=runtime.book, memory=self._memory.inflow, clock=runtime.clock
        )

    async def run(self) -> None:
        """Plan until cancelled."""
        runtime = self._runtime
        while True:
            causes = await runtime.planner_wake.wait(min(BEAT_SECONDS, self._due_seconds()))
            if not causes and self._due_seconds() > 0:
                runtime.progress.beat(self.name)
                continue
            for cause in causes or ("tick",):
                runtime.metrics.loop_wakes.labels(self.name, cause).inc()
            with runtime.metrics.loop_seconds.labels(self.name).time():
                await self._try()
            runtime.progress.beat(self.name)
            await asyncio.sleep(self._pause_seconds())

    async def _try(self) -> None:
        """One iteration; what fails is told once, and tried again ever later."""
        try:
            await self._iterate()
        except WattshiftError as error:
            log.warning("plan: %s", error.message, extra={"reason": error.reason})
        except Exception as error:
            self._failures += 1
            self._runtime.metrics.bugs.labels(self.name).inc()
            if self._failures == 1:
                log.exception("plan failed", extra={"reason": "Bug"})
            else:
                words = "plan failed, %d times in a row: %s: %s"
                cause = (self._failures, type(error).__name__, error)
                log.warning(words, *cause, extra={"reason": "Bug"})
        else:
            self._failures = 0

    def _pause_seconds(self) -> float:
        """Wall seconds to the next try at least: a plan that fails would else fill log and processor."""
        least = self._runtime.config.planner.minimum_wall_seconds
        return min(max(least, RETRY_SECONDS), least * 2.0 ** min(self._failures, 16))

    def _due_seconds(self) -> float:
        """Wall seconds until the next plan is due; 0 or less when it is."""
        clock = self._runtime.clock
        settings = self._runtime.config.planner
        last = self._latest.plan
        if last is None or last.grid_time > clock.grid():
            return 0.0  # none yet, or the grid clock was set back
        due = last.grid_time + settings.interval_seconds
        if last.next_wake_time is not None and last.next_wake_time > last.grid_time:
            due = min(due, last.next_wake_time)
        return (due - clock.grid()) / clock.speed

    async def _iterate(self) -> None:
        stage = self._runtime.metrics.stage_seconds
        with stage.labels("gather").time():
            gathered = self._gather.snapshot()
            self._inflow.restore(gathered)
            snapshot = self._memory.remembered(gathered)
            self._inflow.note(snapshot)
        with stage.labels("plan").time():
            decided = await self._planned(snapshot)
        self._memory.note(decided)
        with stage.labels("act").time():
            acted = await self._act(decided, self._gather.snapshot())
        with stage.labels("record").time():
            self._record(snapshot, decided, acted)

    async def _planned(self, snapshot: Snapshot) -> Plan:
        """The plan; while it is late the last one stays in force, and the loop says that it lives."""
        runtime, begun = self._runtime, self._runtime.clock.monotonic()
        # Pure, so it may leave the event loop: probes and watches go on meanwhile.
        task = asyncio.create_task(asyncio.to_thread(plan, snapshot, snapshot.grid_time))
        wait, told = LATE_SECONDS, False
        try:
            while not (await asyncio.wait({task}, timeout=wait))[0]:
                spent = runtime.clock.monotonic() - begun
                if not told:
                    words = "no plan after %.0f s: the last one stays in force until it comes"
                    log.warning(words, spent, extra={"reason": "PlanLate"})
                if spent < ENDLESS_SECONDS:
                    runtime.progress.beat(self.name)
                wait, told = BEAT_SECONDS, True
            return task.result()
        finally:
            task.cancel()

    async def _act(self, decided: Plan, fresh: Snapshot) -> tuple[Acted, ...]:
        moves = [row for row in decided.decisions if row.action is Action.MIGRATE]
        # A Restore is the releaser's: it waits for raised replicas before it lowers others.
        elsewhere = (Action.MIGRATE, Action.RESTORE)
        others = [row for row in decided.decisions if row.action not in elsewhere]
        acted = await self._actor.carry_out(others, fresh)
        # Each on the world as of now: the counts a hand-over starts from are its way back.
        begun = [await self._mover.begin(decision, self._gather.snapshot()) for decision in moves]
        return (*acted, *begun)

    def _record(self, snapshot: Snapshot, decided: Plan, acted: tuple[Acted, ...]) -> None:
        latest = self._latest
        known = latest.plan.notes if latest.plan is not None else ()
        for note in decided.notes:
            if note not in known:
                log.info("note: %s", note, extra={"plan_id": decided.id})
        latest.snapshot = latest.plan_snapshot = snapshot
        latest.plan, latest.plan_acted = decided, acted
        latest.forget({workload.key for workload in snapshot.workloads})
        metrics = self._runtime.metrics
        for decision in decided.decisions:
            metrics.decisions.labels(decision.action, decision.reason, self.name).inc()
        for row in acted:
            metrics.actions.labels(row.action, row.result, "").inc()
            if row.result == "Refused":
                metrics.validation_failures.labels(row.reason).inc()
            if latest.is_news(row):
                _log(decided, row)
        self._show.plan(snapshot, decided, acted)
        self._recorder.record(Step(snapshot=snapshot, plan=decided, outcomes=outcomes(acted)))


def outcomes(acted: tuple[Acted, ...]) -> tuple[Outcome, ...]:
    """As the recorder keeps them."""
    return tuple(
        Outcome(
            workload_key=row.workload_key,
            action=str(row.action),
            reason=row.reason,
            result=row.result,
            message=row.message,
        )
        for row in acted
    )


def _log(decided: Plan, row: Acted) -> None:
    decision: Decision = next(
        item for item in decided.decisions if item.workload_key == row.workload_key
    )
    log.info(
        "%s %s: %s",
        row.action,
        row.result,
        row.message,
        extra={
            "reason": str(decision.reason),
            "object": f"FlexibleWorkload/{row.workload_key}",
            "plan_id": decided.id,
            "why": decision.message,
        },
    )
