"""FlexibleWorkloads as a policy sees them: counts, engine statistics, load by origin and ahead.

Objects that would come out equal are kept from tick to tick: thousands of idle placements cost
nothing. Neighbours: `world.py`, `windows.py` (latency samples), `forecasts.py`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from wattshift.core.engine import EngineStats
from wattshift.core.model import (
    BatchState,
    Mode,
    PlacementState,
    WorkloadState,
)
from wattshift.core.signal import Quality, Reading
from wattshift.sim.faults import of_signal, silent, unreachable_sites
from wattshift.sim.layout import Index
from wattshift.sim.loads_seen import LoadsSeen, View
from wattshift.sim.plant import Plant, Record
from wattshift.sim.policies.base import Orders
from wattshift.sim.scenario import Array, SimWorkload
from wattshift.sim.sites_seen import CLUSTER
from wattshift.sim.windows import Windows

DAY = 86400.0


class WorkloadsSeen:
    """Builds `WorkloadState`s."""

    def __init__(self, plant: Plant, seed: int) -> None:
        layout, scenario = plant.layout, plant.scenario
        self._plant = plant
        self._layout = layout
        self._scenario = scenario
        self._windows = Windows(layout)
        self._counted: Record | None = None
        self._desired = plant.fleet.target.copy()
        self._written = np.full(len(layout.names), -1.0)
        self._changed: dict[int, float] = {}
        self._caps = plant.cap.copy()
        self._cap_changed = np.full(len(layout.names), -1.0)
        self._moved = np.zeros(len(scenario.workloads))
        self._day = -1
        self._blind_since: dict[int, float] = {}
        self._held: list[tuple[object, PlacementState] | None] = [None] * len(layout.names)
        self._states: list[tuple[object, WorkloadState] | None] = [None] * len(scenario.workloads)
        self._loads = LoadsSeen(layout, seed)
        self._learnt = scenario.extra.get("learnt", "yes") != "no"
        self._order = sorted(
            range(len(scenario.workloads)), key=lambda w: scenario.workloads[w].key
        )
        names = layout.names
        self._places = [
            sorted(range(first, last), key=lambda p: names[p])
            for first, last in pairwise(layout.first)
        ]
        self._site: list[int] = layout.site_of.tolist()
        self._output_tokens: list[float] = layout.output_tokens.tolist()
        self._prompt_tokens: list[float] = layout.prompt_tokens.tolist()
        self._scrape_seconds = max(5.0, min(60.0, scenario.govern_every_seconds))
        self._capped = [len(scenario.tables[m].cap_throughput) > 1 for m in layout.table_of]

    # ---- what happens -------------------------------------------------------------------------

    def ordered(self, orders: Orders, now: float) -> None:
        """Record what was wanted and when it changed."""
        layout = self._layout
        closed = unreachable_sites(self._scenario, now)
        for key, wanted in orders.replicas.items():
            place = layout.place[key]
            if int(layout.site_of[place]) in closed:
                continue
            have = int(self._plant.fleet.target[place])
            if have != int(self._desired[place]) or wanted != have:
                self._written[place] = now
            if have != int(self._desired[place]):
                self._desired[place] = have
                self._changed[int(layout.workload_of[place])] = now

        fresh = self._plant.cap != self._caps
        self._cap_changed[fresh] = now
        self._caps = self._plant.cap.copy()

    def count(self, record: Record) -> None:
        """Take the samples of a span once."""
        if record is self._counted:
            return
        self._counted = record
        self._windows.add(record)
        day = int((self._scenario.start_time + record.start) // DAY)
        if day != self._day:
            self._day = day
            self._moved[:] = 0.0
        self._moved += record.moved

    # ---- what is seen -------------------------------------------------------------------------

    def states(self, record: Record | None, now: float) -> tuple[WorkloadState, ...]:
        """All workloads by key."""
        view = None if record is None else View(self._plant, record)
        seen = now - self._scenario.telemetry_delay_seconds
        down = unreachable_sites(self._scenario, seen)
        for site in list(self._blind_since):
            if site not in down and not self._silent_engines(site, now):
                del self._blind_since[site]
        for site in range(len(self._scenario.sites)):
            if site in down or self._silent_engines(site, now):
                self._blind_since.setdefault(site, now)
        stand = _Stand(
            self._plant,
            view,
            desired=self._desired,
            written=self._written,
            capped_at=self._cap_changed,
            idle_seconds=self._windows.idle_seconds,
        )
        found = []
        for w in self._order:
            places = tuple([self._placement(p, view, stand, now) for p in self._places[w]])
            found.append(self._workload(w, places, view, now))
        return tuple(found)

    def _silent_engines(self, site: int, now: float) -> bool:
        faults = of_signal(self._scenario, self._scenario.sites[site].name, "Demand", now)
        return silent(faults) is not None

    def _placement(self, p: int, view: View | None, stand: _Stand, now: float) -> PlacementState:
        layout, held = self._layout, self._held[p]
        blind = self._blind_since.get(self._site[p]) if self._blind_since else None
        target, serving, draining = stand.target[p], stand.serving[p], stand.draining[p]
        cap, desired, written = stand.cap[p], stand.desired[p], stand.written[p]
        capped_at = stand.capped_at[p]
        idle = target == 0 and serving == 0 and draining == 0
        if blind is not None and held is not None:
            key: object = ("blind", now, desired, written)
            return self._keep(p, key, self._aged(held[1], now - blind, desired, written))
        key = (
            (target, desired, written, cap, capped_at)
            if idle
            else (target, desired, written, cap, capped_at, view, now)
        )
        if held is not None and held[0] == key:
            return held[1]
        w = int(layout.workload_of[p])
        row = self._scenario.workloads[w].placements[p - layout.first[w]]
        table = self._scenario.tables[int(layout.table_of[p])]
        state = PlacementState(
            name=layout.names[p],
            site_name=row.site_name,
            cluster_name=CLUSTER,
            profile_name=row.profile_name,
            min_replicas=row.min_replicas,
            max_replicas=row.max_replicas,
            baseline_replicas=None,
            target_found=True,
            target_problem="",
            observed_replicas=target,
            ready_replicas=serving,
            in_service_replicas=serving,
            desired_replicas=desired,
            last_written_replicas=desired,
            last_write_time=None if written < 0 else self._scenario.start_time + written,
            rival=False,
            engine=None if idle or view is None else self._engine(p, view, stand),
            learned_concurrency=table.sequences_at_objective if self._learnt else None,
            draining_replicas=draining,
            mechanisms=("PowerCap",) if self._capped[p] else (),
            power_cap_permille=None if cap >= 1 else round(cap * 1000),
            power_cap_time=None if capped_at < 0 else self._scenario.start_time + capped_at,
        )
        return self._keep(p, key, state)

    def _keep(self, p: int, key: object, state: PlacementState) -> PlacementState:
        self._held[p] = (key, state)
        return state

    def _aged(
        self, last: PlacementState, age: float, desired: int, written: float
    ) -> PlacementState:
        """What was last known of a placement that does not answer."""
        engine = last.engine
        if engine is not None:
            age += self._scenario.telemetry_delay_seconds
            engine = replace(engine, age_seconds=age)
        return replace(
            last,
            engine=engine,
            desired_replicas=desired,
            last_written_replicas=desired,
            last_write_time=None if written < 0 else self._scenario.start_time + written,
        )

    def _engine(self, p: int, view: View, stand: _Stand) -> EngineStats:
        rate, serving = view.served[p], stand.serving[p]
        requests = rate / max(1.0, self._output_tokens[p])
        waiting = view.waiting[p]
        return EngineStats(
            age_seconds=self._scenario.telemetry_delay_seconds,
            scrape_interval_seconds=self._scrape_seconds,
            pods_scraped=serving,
            pods_expected=serving,
            running=round(view.sequences[p]),
            waiting=waiting,
            waiting_longest_seconds=0.0 if requests > 0 or not waiting else view.wait_seconds[p],
            first_tokens_per_second=requests,
            output_tokens_per_second=rate,
            prompt_tokens_per_second=requests * self._prompt_tokens[p],
            requests_per_second=requests,
            concurrency=view.sequences[p],
            kv_cache_usage=None,
            preemptions=0,
            idle_seconds=stand.idle_seconds[p],
            windows=self._windows.of(p),
        )

    def _workload(
        self, w: int, places: tuple[PlacementState, ...], view: View | None, now: float
    ) -> WorkloadState:
        row = self._scenario.workloads[w]
        loads = self._loads.now(w, view, now)
        ahead = self._loads.ahead(w, view, now)
        batch = self._batch(w, row, now)
        moved = float(self._moved[w])
        changed = self._changed.get(w)
        origins = self._loads.origins(w, view)
        key = (tuple(map(id, places)), loads, id(ahead), batch, moved, changed, id(origins))
        held = self._states[w]
        if held is not None and held[0] == key:
            return held[1]
        state = WorkloadState(
            namespace=row.namespace,
            name=row.name,
            uid=f"uid-{row.key}",
            accepted=True,
            mode=Mode.ENFORCE,
            posture=row.posture,
            tier=row.tier,
            priority=row.priority,
            actions=row.actions,
            min_replicas=row.min_replicas,
            max_replicas=row.max_replicas,
            min_dwell_seconds=row.min_dwell_seconds,
            max_moves_per_day=row.max_moves_per_day,
            max_pause_seconds=None,
            max_drain_seconds=row.max_drain_seconds,
            objectives=row.objectives,
            origins=origins,
            placements=places,
            moves_today=int(moved + 1e-9),
            last_change_time=None if changed is None else self._scenario.start_time + changed,
            paused_since_time=None,
            batch=batch,
            origin_loads=loads,
            origins_ahead=ahead,
            moved_share_today=moved,
        )
        self._states[w] = (key, state)  # the state holds what the key names by identity
        return state

    def _batch(self, w: int, row: SimWorkload, now: float) -> BatchState | None:
        if row.batch is None:
            return None
        seen = max(0.0, now - self._scenario.telemetry_delay_seconds)
        epoch = self._scenario.start_time + seen
        work = self._plant.batch
        deadline = work.deadline(w, seen)
        reading = Reading(
            value=work.backlog(w, seen),
            unit="Count",
            source_time=epoch,
            received_time=epoch,
            valid_until=epoch + max(300.0, 3 * self._scenario.step_seconds),
            quality=Quality.MEASURED,
            source="simulated",
        )
        return BatchState(
            backlog_units=reading,
            deadline_time=None if deadline is None else self._scenario.start_time + deadline,
            external_dispatch=True,
            units_per_replica_hour=row.batch.units_per_replica_hour,
        )


class _Stand:
    """Counts of all placements as plain lists, made once per tick."""

    def __init__(
        self,
        plant: Plant,
        view: View | None,
        *,
        desired: Index,
        written: Array,
        capped_at: Array,
        idle_seconds: Array,
    ) -> None:
        self.target: list[int] = plant.fleet.target.tolist()
        self.serving: list[int] = plant.fleet.serving.tolist() if view is None else view.in_service
        self.draining = [0] * len(self.target) if view is None else view.draining
        self.cap: list[float] = plant.cap.tolist()
        self.desired: list[int] = desired.tolist()
        self.written: list[float] = written.tolist()
        self.capped_at: list[float] = capped_at.tolist()
        self.idle_seconds: list[float] = idle_seconds.tolist()
