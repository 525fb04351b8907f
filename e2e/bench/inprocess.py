"""The leading process's gather, govern and show over a large fleet, in one process without a server.

Store, status book, poller, prices, books, totals and show are the product's own; only what member
clusters and engines would have said is given as values. Nothing is sent anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from e2e import objects
from e2e.bench import fleet
from wattshift.adapters.base import SignalConfig, SourceContext
from wattshift.adapters.poller import Poller
from wattshift.api.validate import read
from wattshift.control.acting.rivals import Rivals
from wattshift.control.clock import ManualClock
from wattshift.control.config import Config
from wattshift.control.gather import Gatherer
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.keys import Kind, ObjectKey, member_name
from wattshift.control.hub.store import Acceptance, Store
from wattshift.control.inputs.prices import Prices
from wattshift.control.inputs.world import World
from wattshift.control.record import documents
from wattshift.control.record.books import Books
from wattshift.control.record.events import EventRecorder
from wattshift.control.record.records import Record
from wattshift.control.record.show import Show
from wattshift.control.record.status import StatusBook
from wattshift.control.record.totals import Totals
from wattshift.control.runtime import Runtime
from wattshift.control.wake import Wake
from wattshift.core.decision import Governance, Plan
from wattshift.core.engine import EngineStats
from wattshift.core.governor.governor import govern
from wattshift.core.model import Mode, PlacementState, Snapshot, WorkloadState
from wattshift.core.planner.planner import plan
from wattshift.core.power.power_profile import PowerProfile
from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.views import MemberState, MemberView, PodView, TargetKey, TargetView
from wattshift.obs.metrics import Metrics

CREATED = "2026-07-01T00:00:00Z"
SERVER = Access(server="https://127.0.0.1:1")
"""Nobody listens there: a write would fail, and nothing here writes."""


@dataclass(frozen=True)
class Members:
    """What the pool of member clusters has last seen."""

    rows: Mapping[str, MemberView]

    def view(self, name: str) -> MemberView | None:
        """One member."""
        return self.rows.get(name)

    def views(self) -> Mapping[str, MemberView]:
        """All members."""
        return self.rows


class Process:
    """The parts of a leading process that a tick runs through."""

    def __init__(self, size: fleet.Size) -> None:
        self.clock = ManualClock(utc=fleet.NOW)
        self.source = fleet.snapshot(size)
        self.store = Store(read=read)
        client = ClusterClient(name="hub", access=SERVER, clock=self.clock.monotonic)
        self.book = StatusBook(client=client, clock=self.clock)
        contracts = Contracts()
        config = Config(mode=Mode.ENFORCE)
        self.poller = _poller(self.clock)
        self.pool = Members(_views(self.source))
        self._engines = {
            (workload.key, row.name): row.engine
            for workload in self.source.workloads
            for row in workload.placements
        }
        events = EventRecorder(client=client, clock=self.clock, instance="bench")
        self.runtime = Runtime(
            config=config,
            clock=self.clock,
            hub=client,
            store=self.store,
            book=self.book,
            pool=cast("Any", self.pool),
            poller=self.poller,
            contracts=contracts,
            events=events,
            metrics=Metrics(),
            planner_wake=Wake(),
            governor_wake=Wake(),
            **cast("Any", dict.fromkeys(_UNUSED)),
        )
        world = World(pool=cast("Any", self.pool), monotonic=self.clock.monotonic)
        self.prices = Prices(
            store=self.store, book=self.book, contracts=contracts, horizon_seconds=86_400
        )
        self.gather = Gatherer(
            runtime=self.runtime,
            world=world,
            prices=self.prices,
            rivals=Rivals(book=self.book),
            engines=self._stats,
            profiles=self._profiles,
        )
        self.show = Show(runtime=self.runtime, gather=self.gather, prices=self.prices)
        self.books = Books(runtime=self.runtime, gather=self.gather, prices=self.prices)
        self.totals = Totals(runtime=self.runtime)
        self._fill()

    def _stats(self, workload_key: str, placement: str) -> EngineStats | None:
        return self._engines.get((workload_key, placement))

    def _profiles(self) -> tuple[PowerProfile, ...]:
        return self.source.profiles

    # ---- what the loops do ------------------------------------------------------------------

    async def start(self) -> None:
        """Read every signal once."""
        await self.poller.poll_once()

    def plan(self) -> Plan:
        """One planner iteration without acts: gather, plan, show."""
        snapshot = self.gather.snapshot()
        decided = plan(snapshot, snapshot.grid_time)
        self.show.plan(snapshot, decided, ())
        return decided

    def govern(self, last: Plan | None) -> tuple[Snapshot, Governance]:
        """One governor tick without acts: gather, govern, books, totals, show."""
        snapshot = self.gather.snapshot()
        decided = govern(snapshot, last, snapshot.grid_time)
        self.books.advance(snapshot)
        self.totals.advance(snapshot)
        self.show.governance(snapshot, decided, ())
        return snapshot, decided

    def compose(self) -> dict[ObjectKey, dict[str, Any]]:
        """Every status document as it would be applied now."""
        conditions: dict[ObjectKey, list[Any]] = {}
        for key, row in self.book.all_conditions():
            conditions.setdefault(key, []).append(row)
        records: dict[Kind, Callable[[ObjectKey], Record]] = {
            Kind.FLEXIBLE_WORKLOAD: self.book.workload,
            Kind.POWER_SITE: self.book.site,
            Kind.ENERGY_CONTRACT: self.book.contract,
        }
        return {
            key: documents.compose(
                key.kind, records[key.kind](key), conditions.get(key, ()), generation=1
            )
            for key in self.store.all_keys()
        }

    # ---- parts ------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Every object through the API's own models, accepted."""
        rng = random.Random(self.source.grid_time)
        bodies = []
        for site in self.source.sites:
            carbon = [rng.randint(150, 800) for _ in range(24)]
            bodies.append(
                objects.site(
                    site.name,
                    "cluster",
                    carbon=carbon,
                    limit_watts=site.connections[0].import_limit_watts or 0,
                    power=_POWER,
                )
            )
            rate = f"{rng.uniform(0.2, 1.0):.3f}"
            bands = [("Peak", "08:00-21:00", rate), ("Valley", "", "0.25")]
            bodies.append(objects.contract(f"{site.name}-2026", site.name, bands))
        bodies += [_workload(row) for row in self.source.workloads]
        for number, body in enumerate(bodies):
            body["metadata"] |= {
                "uid": f"uid-{number}",
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": CREATED,
            }
            stored, _ = self.store.put(Kind(body["kind"]), body)
            assert stored.spec is not None, stored.findings
            key = stored.key
            self.store.set_acceptance(
                key, Acceptance(accepted=True, reason="Valid", message="", generation=1)
            )
            self.book.observe(key, uid=stored.uid, generation=1, version="1", status={})
        self.poller.configure(
            SignalConfig.from_spec("PowerSite", stored.key.name, signal, "Asia/Shanghai")
            for stored in self.store.sites()
            for signal in stored.document["signals"]
        )


_POWER = {
    "itCapacityWatts": 100_000_000,
    "facility": {"type": "Constant", "constant": {"fixedWatts": 2000, "marginalPermille": 1150}},
}
_UNUSED = ("elector", "queue", "session", "prometheus", "credentials", "config_maps", "progress")


def _poller(clock: ManualClock) -> Poller:
    """Curves of the objects need no network, so what reaches it stays empty."""
    return Poller(
        SourceContext(
            credentials=cast("Any", None),
            config_map=cast("Any", None),
            session=cast("Any", None),
            prometheus=cast("Any", None),
            grid_clock=clock.grid,
            wall_clock=clock.monotonic,
        )
    )


def _workload(state: WorkloadState) -> dict[str, Any]:
    interactive = state.batch is None
    spec: dict[str, Any] = {
        "posture": state.posture.value,
        "powerProfileName": state.placements[0].profile_name,
        "replicas": {"min": state.min_replicas, "max": state.max_replicas},
        "flexibility": {
            "tier": state.tier.value,
            "actions": [row.value for row in state.actions],
            "minDwellSeconds": state.min_dwell_seconds,
            "maxMovesPerDay": state.max_moves_per_day,
        },
    }
    if interactive:
        spec |= {
            "objectives": [
                {
                    "metric": "TimeToFirstToken",
                    "thresholdMilliseconds": row.threshold_milliseconds,
                    "attainmentPermille": row.attainment_permille,
                    "windowSeconds": row.window_seconds,
                }
                for row in state.objectives
            ],
            "origins": [{"name": "users", "sharePermille": 1000, "maxRoundTripMilliseconds": 60}],
        }
    else:
        spec["batch"] = {"dispatch": {"type": "External"}}
    placements = [
        {"name": row.name, "siteName": row.site_name, "clusterName": row.cluster_name}
        for row in state.placements
    ]
    return objects.workload(state.name, state.namespace, placements, **spec)


def _views(source: Snapshot) -> dict[str, MemberView]:
    targets: dict[str, dict[TargetKey, TargetView]] = {row.name: {} for row in source.sites}
    pods: dict[str, dict[TargetKey, tuple[PodView, ...]]] = {row.name: {} for row in source.sites}
    for workload in source.workloads:
        for row in workload.placements:
            key = TargetKey("apps/v1", "Deployment", workload.namespace, workload.name)
            targets[row.site_name][key] = _target(key, workload, row)
            pods[row.site_name][key] = tuple(
                _pod(workload, row, number) for number in range(row.observed_replicas or 0)
            )
    return {
        member_name(site.name, "cluster"): MemberView(
            name=member_name(site.name, "cluster"),
            uid=f"uid-{site.name}",
            state=MemberState.READY,
            reason="Connected",
            message="",
            since=0.0,
            age_seconds=1.0,
            targets=targets[site.name],
            pods=pods[site.name],
            allocatable={row.resource_name: row.count for row in site.accelerators},
        )
        for site in source.sites
    }


def _target(key: TargetKey, workload: WorkloadState, row: PlacementState) -> TargetView:
    count = row.observed_replicas or 0
    return TargetView(
        key=key,
        uid=f"{workload.uid}-{row.name}",
        resource_version="1",
        replicas_spec=count,
        replicas_total=count,
        replicas_ready=count,
        replicas_updated=count,
        generation=1,
        observed_generation=1,
        labels={"wattshift.io/flexible": "true"},
        annotations={},
        selector=f"app={workload.name}",
        grace_seconds=30,
        has_readiness_probe=True,
        rollout_in_progress=False,
        paused=False,
        deleting=False,
    )


def _pod(workload: WorkloadState, row: PlacementState, number: int) -> PodView:
    return PodView(
        name=f"{workload.name}-{number}",
        namespace=workload.namespace,
        uid=f"{workload.uid}-{row.name}-{number}",
        ip="10.0.0.1",
        node="node",
        phase="Running",
        ready=True,
        terminating=False,
        scheduled=True,
        ports={"http": 8000},
        labels={},
        annotations={},
        created_time=fleet.NOW - 86_400,
        start_time=fleet.NOW - 86_400,
        grace_seconds=30,
        restarts=0,
    )
