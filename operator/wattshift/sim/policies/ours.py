"""The product in the simulator: the real `plan` and `govern`, called as the operator calls them.

A plan on its interval, at its own next wake time, and when what was raised comes into service; the
governor at every call. Moves are carried out make before break, as the hand-over does. It keeps what
the operator keeps, sees snapshots only, and decides nothing itself.
"""

from __future__ import annotations

import time
from dataclasses import replace

from wattshift.core.decision import Action, Decision, Governance, Plan
from wattshift.core.entry import Split, told
from wattshift.core.governor.governor import govern
from wattshift.core.model import MoveIntent, Snapshot, WorkloadState
from wattshift.core.planner.plan_memory import PlanMemory
from wattshift.core.planner.planner import plan
from wattshift.core.power.power_memory import RecentPower, remembered
from wattshift.sim.policies.base import Orders

MOVE_SECONDS = 1800.0
"""After that a hand-over whose destination does not come into service is given up."""
LEAST_WAKE_SECONDS = 60.0
"""Plans are not closer together than that, whatever wakes them."""


class Ours:
    """wattshift itself."""

    name = "ours"

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._vetoes: dict[tuple[str, str], float] = {}
        self._intents: dict[str, MoveIntent] = {}
        self._waiting: dict[tuple[str, str], int] = {}
        """Raised placements and the replicas that are to come into service."""
        self._caps: dict[tuple[str, str], float] = {}
        self._splits: dict[str, Split] = {}
        """As plans want them, by workload."""
        self._told: dict[str, Split] = {}
        """As the entry was told."""
        self._known: dict[str, tuple[WorkloadState, object, WorkloadState]] = {}
        """What was last made of each workload: (as seen, with what, result)."""
        self._recent = RecentPower()
        self._memory = PlanMemory()

    def decide(self, snapshot: Snapshot, now: float) -> Orders:
        """Plan where it is due, govern, and say what is to be done."""
        here = self._remembered(snapshot)
        orders = Orders()
        self._finish_moves(here, orders)
        if self._due(here, now):
            started = time.process_time()
            here = self._memory.remembered(self._remembered(snapshot))
            self._plan = plan(here, now)
            self._memory.note(self._plan)
            orders.plan_seconds = time.process_time() - started
            orders.bound_per_hour = self._plan.bound_per_hour
            for decision in self._plan.decisions:
                self._carry_out(here, decision, orders, now)
        started = time.process_time()
        if any(
            row.ramp_up_watts_per_minute or row.ramp_down_watts_per_minute for row in here.sites
        ):
            here = remembered(here, self._recent)
        governance = govern(here, self._plan, now)
        self._recent.note(governance.sites, now)
        orders.govern_seconds = time.process_time() - started
        for decision in governance.decisions:
            self._intents.pop(decision.workload_key, None)
            self._set(here, decision, orders)
        self._tell(here, orders)
        self._note(governance, snapshot)
        orders.caps = dict(self._caps)
        return orders

    # ---- what the operator keeps ----------------------------------------------------------------

    def _remembered(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the guard's memory and the open hand-overs, as gather adds them."""
        if not self._vetoes and not self._intents and not self._splits:
            return snapshot
        return replace(snapshot, workloads=tuple(map(self._workload, snapshot.workloads)))

    def _workload(self, state: WorkloadState) -> WorkloadState:
        key = state.key
        vetoes: tuple[float | None, ...] = ()
        if self._vetoes:
            vetoes = tuple([self._vetoes.get((key, row.name)) for row in state.placements])
        intent, split = self._intents.get(key), self._splits.get(key, ())
        told = (vetoes, intent, split)
        known = self._known.get(key)
        if known is not None and known[0] is state and known[1] == told:
            return known[2]
        found, places = state, state.placements
        if any(row is not None for row in vetoes):
            places = tuple(
                row if veto is None else replace(row, veto_wall_time=veto)
                for row, veto in zip(places, vetoes, strict=True)
            )
        if intent is not None or split or places is not state.placements:
            found = replace(state, placements=places, intent=intent, split=split)
        self._known[key] = (state, told, found)
        return found

    def _note(self, governance: Governance, snapshot: Snapshot) -> None:
        for key in governance.violations:
            self._vetoes[key] = snapshot.wall_time
        self._caps = {
            (row.workload_key, row.placement_name): row.permille / 1000 for row in governance.caps
        }

    # ---- when -----------------------------------------------------------------------------------

    def _due(self, snapshot: Snapshot, now: float) -> bool:
        last = self._plan
        if last is None or now - last.grid_time >= snapshot.settings.plan_interval_seconds - 1e-6:
            return True
        if now - last.grid_time < LEAST_WAKE_SECONDS:
            return False
        if last.next_wake_time is not None and now >= last.next_wake_time:
            return True
        return self._arrived(snapshot)

    def _arrived(self, snapshot: Snapshot) -> bool:
        """Whether something that was raised serves now."""
        if not self._waiting:
            return False
        found = False
        for state in snapshot.workloads:
            for row in state.placements:
                wanted = self._waiting.get((state.key, row.name))
                if wanted is not None and (row.in_service_replicas or 0) >= wanted:
                    del self._waiting[state.key, row.name]
                    found = True
        return found

    # ---- what -----------------------------------------------------------------------------------

    def _carry_out(
        self, snapshot: Snapshot, decision: Decision, orders: Orders, now: float
    ) -> None:
        if decision.split:
            self._splits[decision.workload_key] = decision.split
        if decision.action is Action.HOLD:
            return
        orders.reasons[decision.workload_key] = decision.reason
        if decision.action is Action.MIGRATE:
            self._begin(snapshot, decision, orders, now)
        else:
            self._set(snapshot, decision, orders)

    def _set(self, snapshot: Snapshot, decision: Decision, orders: Orders) -> None:
        """Write what differs from what stands."""
        before = {row.placement_name: row.replicas for row in decision.basis}
        for target in decision.targets:
            key = (decision.workload_key, target.placement_name)
            stands = before.get(target.placement_name)
            if target.replicas == stands and key not in orders.replicas:
                continue
            orders.replicas[key] = target.replicas
            if stands is not None and target.replicas > stands:
                self._waiting[key] = target.replicas
            else:
                self._waiting.pop(key, None)
        orders.reasons[decision.workload_key] = decision.reason
        del snapshot

    def _tell(self, snapshot: Snapshot, orders: Orders) -> None:
        """Tell the entry what plans want, as far as what they count on serves."""
        bound = {row.name for row in snapshot.sites if any(event.active for event in row.events)}
        for state in snapshot.workloads:
            wanted = self._splits.get(state.key, ())
            before = self._told.get(state.key, ())
            if before == wanted:
                continue
            if any(row.site_name in bound for row in state.placements):
                before = ()  # load leaves a bound at once, whoever takes it
            ready = {}
            for row in state.placements:
                count = orders.replicas.get((state.key, row.name), row.observed_replicas)
                serving = row.in_service_replicas
                if count is not None and serving is not None:
                    ready[row.name] = min(1.0, serving / count) if count else 0.0
            split = self._told[state.key] = told(before, wanted, ready)
            for origin, shares in split:
                orders.split[state.key, origin] = dict(shares)

    def _begin(self, snapshot: Snapshot, decision: Decision, orders: Orders, now: float) -> None:
        """Raise the destination; the source follows when it serves."""
        state = next(row for row in snapshot.workloads if row.key == decision.workload_key)
        before = {row.placement_name: row.replicas for row in decision.basis}
        source, destination = decision.source_name, decision.destination_name
        goal = decision.replicas_of(destination)
        rest = decision.replicas_of(source)
        assert goal is not None
        assert rest is not None
        self._intents[state.key] = MoveIntent(
            id=f"{decision.workload_key}@{now:.0f}",
            source_name=source,
            destination_name=destination,
            source_before=before[source],
            destination_before=before[destination],
            source_replicas=rest,
            destination_replicas=goal,
            started_time=now,
            deadline_wall_seconds=MOVE_SECONDS,
            reason=decision.reason,
        )
        orders.replicas[state.key, destination] = goal

    def _finish_moves(self, snapshot: Snapshot, orders: Orders) -> None:
        """Lower the source of a move whose destination serves; give up one that takes too long."""
        if not self._intents:
            return
        for state in snapshot.workloads:
            intent = self._intents.get(state.key)
            if intent is None:
                continue
            rows = {row.name: row for row in state.placements}
            serving = rows[intent.destination_name].in_service_replicas or 0
            if serving >= intent.destination_replicas:
                orders.replicas[state.key, intent.source_name] = intent.source_replicas
                orders.reasons[state.key] = intent.reason
                del self._intents[state.key]
            elif snapshot.grid_time - intent.started_time > MOVE_SECONDS:
                orders.replicas[state.key, intent.destination_name] = intent.destination_before
                orders.reasons[state.key] = "MoveAborted"
                del self._intents[state.key]
