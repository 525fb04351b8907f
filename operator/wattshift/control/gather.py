"""The only builder of a Snapshot: joins store, status book, signals, members, engines and prices.

Reads everything, writes nothing but the record of power events (`persist_events`), which must be in
status before anybody acts on them. Neighbours: `gather_site.py`, `gather_workload.py`, `prices.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from wattshift.adapters.base import SignalKey
from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.powersite import PowerSiteSpec
from wattshift.control.acting.rivals import Rivals
from wattshift.control.hub import convert
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.store import Stored
from wattshift.control.inputs import power_events
from wattshift.control.inputs.gather_site import SiteInputs, site_state
from wattshift.control.inputs.gather_workload import (
    Engines,
    WorkloadInputs,
    locate,
    originals_of,
    workload_state,
)
from wattshift.control.inputs.learning import Learning
from wattshift.control.inputs.prices import Flows, Prices
from wattshift.control.inputs.world import Found, World
from wattshift.control.runtime import Runtime
from wattshift.core.decision import SiteOutlook
from wattshift.core.model import (
    ConnectionState,
    MemberPhase,
    Mode,
    PlacementState,
    SiteState,
    Snapshot,
    WorkloadState,
)
from wattshift.core.power.meter_lag import (
    ESTIMATE_MEMORY_SECONDS,
    ESTIMATE_SPACING_SECONDS,
    METER_LAG_SECONDS,
    Estimates,
    drains,
)
from wattshift.core.power.power import estimate
from wattshift.core.power.power_memory import RecentPower
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.signal import SignalState
from wattshift.core.units import Quantity
from wattshift.errors import WattshiftError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Static:
    """Converted form of an object, valid while what it was made of is the same."""

    identity: tuple[object, ...]
    state: WorkloadState


class Gatherer:
    """Builds snapshots."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        world: World,
        prices: Prices,
        rivals: Rivals,
        engines: Engines,
        profiles: Callable[[], tuple[PowerProfile, ...]],
        learning: Learning | None = None,
    ) -> None:
        self._runtime = runtime
        self._world = world
        self._prices = prices
        self._rivals = rivals
        self._engines = engines
        self._profiles = profiles
        self._learning = learning
        self._statics: dict[ObjectKey, _Static] = {}
        self._estimates = Estimates()
        self._drains: dict[str, float] = {}
        self._recent = RecentPower()
        self._last: Snapshot | None = None
        self._vetoes: dict[tuple[str, str], float] = {}
        self._spoilt: dict[ObjectKey, tuple[str, int]] = {}
        """Objects that could not be gathered, by the version that was told."""

    def snapshot(self) -> Snapshot:
        """The world as of now."""
        runtime = self._runtime
        clock, config = runtime.clock, runtime.config
        now = clock.grid()
        states = runtime.poller.states(now)
        flows = self._flows(states)
        points = self._prices.of_points(states, flows, now)
        views = runtime.pool.views()
        sites: list[SiteState] = []
        for stored in runtime.store.sites():
            if not isinstance(stored.spec, PowerSiteSpec):
                continue
            name = stored.key.name
            try:
                record = runtime.book.site(stored.key)
                static = convert.site_state(
                    stored,
                    accepted=runtime.store.accepted(stored.key),
                    installation=config.mode,
                    now=now,
                )
                given = SiteInputs(
                    states=states,
                    views=views,
                    prices={place: row for (site, place), row in points.items() if site == name},
                    events=power_events.states(record),
                    recent_watts={
                        row.name: self._recent.of((name, row.name), now)
                        for row in stored.spec.connections
                    },
                )
                sites.append(site_state(static, stored.spec, record, given))
            except Exception as error:  # noqa: BLE001 - one bad object stops no other
                self._spoils(stored, "the site", error)
        workloads = self._workloads(states, now)
        snapshot = Snapshot(
            grid_time=now,
            wall_time=clock.monotonic(),
            speed=clock.speed,
            mode=config.mode,
            settings=config.decision_settings(),
            sites=tuple(sites),
            workloads=workloads,
            profiles=self._profiles(),
        )
        self._remember(snapshot)
        self._last = self._compared(snapshot)
        return self._last

    def note_violations(self, rows: tuple[tuple[str, str], ...], wall_time: float) -> None:
        """The guard's memory: (workload, placement) that were outside their objective just now."""
        for identity in rows:
            self._vetoes[identity] = wall_time

    def note_power(self, rows: tuple[SiteOutlook, ...], now: float) -> None:
        """Memory of ramps: power of every connection as the governor's tick saw it."""
        self._recent.note(rows, now)

    def locate(self, workload: WorkloadState, placement: PlacementState) -> Found | None:
        """Target of a placement as of now; of one that left the spec, by its identity."""
        key = ObjectKey.workload(workload.key)
        stored = self._runtime.store.get(key)
        left = any(row == placement for row in workload.orphans)
        if stored is not None and isinstance(stored.spec, FlexibleWorkloadSpec) and not left:
            for row in stored.spec.placements:
                if row.name == placement.name:
                    return locate(stored.key.namespace, stored.spec, row, self._world)
        for original in workload.originals:
            if original.placement_name == placement.name:
                return self._world.find_by_uid(original.cluster_uid, original.target_uid)
        return None

    async def persist_events(self) -> None:
        """Bring every site's events up to now; what is near or active is in status first.

        What could not be written is taken back and tried again: nobody acts on it. One site's
        failure keeps no other from being governed.
        """
        now = self._runtime.clock.grid()
        for stored in self._runtime.store.sites():
            if not isinstance(stored.spec, PowerSiteSpec) or stored.deleting:
                continue
            try:
                await self._persist_events_of(stored, now)
            except WattshiftError as error:
                log.warning(
                    "events not recorded: %s",
                    error.message,
                    extra={"object": str(stored.key), "reason": error.reason},
                )
            except Exception as error:  # noqa: BLE001 - one bad object stops no other
                self._spoils(stored, "its events", error)

    async def _persist_events_of(self, stored: Stored, now: float) -> None:
        book = self._runtime.book
        before = book.site(stored.key)
        specs, measured = self._event_specs(stored), self._measured(stored.key.name)
        after = power_events.advance(before, specs, measured, now)
        if after.active_events == before.active_events:
            return
        book.update(stored.key, after)
        try:
            await book.persist_now(stored.key)
        except BaseException:
            now_known = book.site(stored.key)
            book.update(stored.key, replace(now_known, active_events=before.active_events))
            raise

    def _spoils(self, stored: Stored, what: str, error: Exception) -> None:
        """A fault of ours over one object: told once a version of it; the others go on."""
        seen = (stored.uid, stored.generation)
        if self._spoilt.get(stored.key) != seen:
            self._spoilt[stored.key] = seen
            self._runtime.metrics.bugs.labels("gather").inc()
            words = {"object": str(stored.key), "reason": "Bug"}
            log.error("%s left out", what, exc_info=error, extra=words)

    # ---- parts ---------------------------------------------------------------------------------

    def _workloads(
        self, states: Mapping[SignalKey, SignalState], now: float
    ) -> tuple[WorkloadState, ...]:
        runtime = self._runtime
        given = WorkloadInputs(
            states=states,
            world=self._world,
            engines=self._engines,
            cooling_off=self._rivals.cooling_off,
            veto_wall_time=lambda workload, placement: self._vetoes.get((workload, placement)),
            utc=runtime.clock.utc(),
            steady=runtime.clock.steady(),
            now=now,
            cluster_uid=lambda site, cluster: runtime.book.site(ObjectKey.site(site)).cluster_uid(
                cluster
            ),
            concurrency=self._learnt_concurrency,
            slowing=self._learnt_slowing,
            growth=self._learnt_growth,
        )
        modes = {
            stored.key.name: convert.site_mode(stored.spec, runtime.config.mode)
            for stored in runtime.store.sites()
            if isinstance(stored.spec, PowerSiteSpec)
        }
        found = []
        keys = {stored.key for stored in runtime.store.workloads()}
        self._statics = {key: row for key, row in self._statics.items() if key in keys}
        paths = {key.path for key in keys}
        self._vetoes = {row: at for row, at in self._vetoes.items() if row[0] in paths}
        for stored in runtime.store.workloads():
            if not isinstance(stored.spec, FlexibleWorkloadSpec):
                continue
            try:
                record = runtime.book.workload(stored.key)
                static = self._static(stored, modes, now)
                found.append(workload_state(static, stored, stored.spec, record, given))
            except Exception as error:  # noqa: BLE001 - one bad object stops no other
                self._spoils(stored, "the workload", error)
        return tuple(found)

    def _learnt_concurrency(self, workload_key: str, placement_name: str) -> float | None:
        if self._learning is None:
            return None
        return self._learning.concurrency(workload_key, placement_name)

    def _learnt_slowing(self, workload_key: str, placement_name: str) -> float | None:
        if self._learning is None:
            return None
        return self._learning.slowing(workload_key, placement_name)

    def _learnt_growth(self, workload_key: str) -> int:
        return 0 if self._learning is None else self._learning.growth(workload_key)

    def _static(self, stored: Stored, modes: Mapping[str, Mode], now: float) -> WorkloadState:
        """Converted once per generation; converting 2,000 objects every tick would take seconds."""
        runtime = self._runtime
        spec = stored.spec
        record = runtime.book.workload(stored.key)
        accepted = runtime.store.accepted(stored.key)
        originals, _ = originals_of(stored, record)
        counts = {row.placement_name: row.replicas for row in originals}
        for row in spec.placements:
            if row.name not in counts:
                target = locate(stored.key.namespace, spec, row, self._world)
                if target is not None:
                    counts[row.name] = target.replicas
        override = convert.override(spec.override, now)
        identity = (
            stored.uid,
            stored.generation,
            stored.deleting,
            accepted,
            tuple(sorted(counts.items())),
            modes,
            override,
        )
        known = self._statics.get(stored.key)
        if known is None or known.identity != identity:
            state = convert.workload_state(
                stored,
                accepted=accepted,
                installation=runtime.config.mode,
                site_modes=modes,
                now=now,
                found_replicas=counts,
            )
            known = self._statics[stored.key] = _Static(identity, state)
        return known.state

    def _event_specs(self, stored: Stored) -> dict[str, power_events.EventSpec]:
        firmness = {}
        for contract in self._runtime.store.contracts():
            for program in contract.document.get("programs") or ():
                path = f"{contract.key.name}/{program.get('name', '')}"
                if program.get("firmness"):
                    firmness[path] = program["firmness"]
                else:
                    firmness[path] = "Committed"
        return power_events.parse(stored.document, firmness)

    def _flows(self, states: Mapping[SignalKey, SignalState]) -> dict[tuple[str, str], Flows]:
        """Load, import and direct supply of every connection.

        The meter shows the load behind the connection; own supply feeds that load first.
        """
        found: dict[tuple[str, str], Flows] = {}
        for stored in self._runtime.store.sites():
            spec, name = stored.spec, stored.key.name
            if not isinstance(spec, PowerSiteSpec):
                continue
            first = spec.connections[0].name if spec.connections else ""
            it_signal = next(
                (s.name for s in spec.signals if s.quantity.value == Quantity.IT_POWER.value), None
            )
            it_value = _value(states, name, it_signal)
            it_watts = None if it_value is None else round(it_value)
            for row in spec.connections:
                load = self._load(name, row.name, row.meter_signal_name, states)
                signals = [
                    supply.available_power_signal_name or supply.power_signal_name
                    for supply in spec.supplies
                    if (supply.connection_name or first) == row.name
                ]
                values = [_value(states, name, signal) for signal in signals if signal]
                supplies = [value for value in values if value is not None]
                supply_watts = round(sum(supplies)) if supplies else None
                found[name, row.name] = Flows(
                    load_watts=load,
                    import_watts=max(0, load - (supply_watts or 0)),
                    supply_watts=supply_watts,
                    it_watts=it_watts if row.name == first else None,
                    supply_known=None not in values,
                )
        return found

    def flows(self) -> dict[tuple[str, str], Flows]:
        """Power at every connection now."""
        return self._flows(self._runtime.poller.states(self._runtime.clock.grid()))

    def _load(
        self,
        site_name: str,
        connection_name: str,
        meter: str | None,
        states: Mapping[SignalKey, SignalState],
    ) -> int:
        """Metered power, else the model's; 0 only before the first estimate."""
        value = _value(states, site_name, meter)
        if value is not None:
            return max(0, round(value))
        return self._estimates.latest((site_name, connection_name)) or 0

    def _measured(self, site_name: str) -> dict[str, int | None]:
        """Import by connection now, and of the whole site under ""."""
        sites = () if self._last is None else self._last.sites
        now = self._runtime.clock.grid()
        return next((power_events.imports(row, now) for row in sites if row.name == site_name), {})

    def _compared(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the model's estimate that each meter reading shows."""
        return replace(
            snapshot,
            sites=tuple(
                replace(
                    site,
                    connections=tuple(
                        replace(row, model_watts_at_meter=self._model_watts(site.name, row))
                        for row in site.connections
                    ),
                )
                for site in snapshot.sites
            ),
        )

    def _model_watts(self, site_name: str, row: ConnectionState) -> int | None:
        reading = row.metered
        if reading is None or reading.source_time is None:
            return None
        since = reading.source_time - METER_LAG_SECONDS * self._runtime.clock.speed
        since = min(since, self._drains.get(site_name, since))
        key = (site_name, row.name)
        return self._estimates.shown(key, reading.source_time, since, reading.value)

    def _remember(self, snapshot: Snapshot) -> None:
        self._drains = drains(snapshot)
        feeds = estimate(snapshot, snapshot.grid_time)
        # Replicas of a member that has not answered yet are no zero: a meter compared with them
        # would make the model suspect after every start.
        unseen = {
            site.name
            for site in snapshot.sites
            if any(row.phase is MemberPhase.CONNECTING for row in site.members)
        }
        self._estimates.note(
            snapshot.grid_time,
            {key: round(feed.model_watts) for key, feed in feeds.items() if key[0] not in unseen},
            spacing=ESTIMATE_SPACING_SECONDS * snapshot.speed,
            memory=ESTIMATE_MEMORY_SECONDS * snapshot.speed,
        )


def _value(
    states: Mapping[SignalKey, SignalState], site_name: str, signal_name: str | None
) -> float | None:
    if signal_name is None:
        return None
    state = states.get(("PowerSite", site_name, signal_name))
    if state is None or state.reading is None:
        return None
    return state.reading.value
