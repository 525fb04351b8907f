"""A workload with two placements on a real API server, and the real parts that act on it.

No controllers run: the bench plays the Deployment controller's status. Clocks are moved by hand;
faults are put in front of the wire, by the fence or by an actuator that loses the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from types import SimpleNamespace

from wattshift.actuators.base import Outcome, Result, ScaleOrder
from wattshift.actuators.scale import ScaleActuator
from wattshift.adapters.power.loader import load_profiles
from wattshift.api.validate import read
from wattshift.control.act import Actor
from wattshift.control.clock import ManualClock
from wattshift.control.config import Config
from wattshift.control.hub.contracts import Contracts
from wattshift.control.gather import Gatherer
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.inputs.prices import Prices
from wattshift.control.acting.release import Releaser
from wattshift.control.acting.rivals import Rivals
from wattshift.control.record.status import StatusBook
from wattshift.control.hub.store import Acceptance, Store
from wattshift.control.inputs.world import World
from wattshift.core.decision import Action, Decision, Target
from wattshift.core.engine import EngineStats
from wattshift.core.model import Snapshot, WorkloadState
from wattshift.core.reasons import Reason
from wattshift.core.signal import SignalState
from wattshift.errors import FenceLost
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.pool import Pool
from wattshift.kube.sources import MemberSource, Sources, SourceType
from wattshift.kube.timings import PoolTimings
from wattshift.kube.transport import ClientTimings
from wattshift.kube.views import MemberState

PROFILE = "ascend-910b"
PATIENT = ClientTimings(connect=30.0, read=30.0, write=30.0)
"""No test here is about time-outs; a machine that is busy with much else is no fault."""
GROUP = "/apis/wattshift.io/v1alpha1"


class Signals:
    """Readings as values."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str, str], SignalState] = {}

    def states(self, now: float) -> dict[tuple[str, str, str], SignalState]:
        return self.values


class FaultyScale(ScaleActuator):
    """The real write; `fault` says how it ends instead, or loses the answer of one that landed."""

    def __init__(self) -> None:
        self.fault: Callable[[ScaleOrder], Outcome] | None = None
        self.lose_answer = False
        self.before: Callable[[ScaleOrder], None] | None = None
        self.orders: list[ScaleOrder] = []

    async def carry_out(self, client: ClusterClient, order: ScaleOrder) -> Outcome:
        self.orders.append(order)
        if self.before is not None:
            self.before(order)
        if self.fault is not None:
            return self.fault(order)
        outcome = await super().carry_out(client, order)
        if self.lose_answer:
            return Outcome(result=Result.UNKNOWN, message="no answer in time")
        return outcome


def placements() -> list[dict]:
    return [
        {
            "name": name,
            "siteName": name,
            "clusterName": "hub",
            "minReplicas": 0,
            "maxReplicas": 10,
            "powerProfileName": PROFILE,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"chat-{name}"},
        }
        for name in ("east", "west")
    ]


class Bench:
    """`await bench.start()`, then act, `await bench.see()` and look."""

    def __init__(self, access, kubeconfig, namespace: str, objects, stack: AsyncExitStack) -> None:
        self.access, self.namespace, self.objects, self.stack = access, namespace, objects, stack
        self.credential = load_hub_files([kubeconfig])
        self.clock = ManualClock(utc=1_790_000_000.0)
        self.key = ObjectKey.workload(f"{namespace}/chat")
        self.path = f"{GROUP}/namespaces/{namespace}/flexibleworkloads/chat"
        self.config = Config(mode="Enforce", namespace=namespace)
        self.signals = Signals()
        self.fenced = False
        self.guard_hook: Callable[[], None] = lambda: None
        self.engines: dict[str, EngineStats] = {}
        self.scale = FaultyScale()
        self.told: list[dict] = []

    async def start(self, **spec) -> None:
        accounts = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        if not self.access.exists(f"{accounts}/default"):
            self.access.create(accounts, {"metadata": {"name": "default"}})
        for name, replicas in (("east", 4), ("west", 0)):
            self.access.create(f"{GROUP}/powersites", self.objects.site(name))
            body = self.objects.deployment(self.namespace, f"chat-{name}")
            body["spec"]["replicas"] = replicas
            self.access.create(f"/apis/apps/v1/namespaces/{self.namespace}/deployments", body)
            self.play_controller(name)
        self.access.create(
            f"{GROUP}/namespaces/{self.namespace}/flexibleworkloads",
            self.objects.workload(
                self.namespace, "chat", "east", **({"placements": placements()} | spec)
            ),
        )
        self.hub = ClusterClient(
            name="hub",
            access=self.credential,
            clock=time.monotonic,
            write_guard=self.guard,
            timings=PATIENT,
        )
        self.stack.push_async_callback(self.hub.close)
        self.pool = await self.stack.enter_async_context(
            Pool(
                sources=Sources(hub=self.credential, credentials=None),
                clock=time.monotonic,
                write_guard=self.guard,
                timings=PoolTimings(probe_timeout=30.0, lost_after=90.0, client=PATIENT),
            )
        )
        local = MemberSource(type=SourceType.LOCAL)
        self.pool.reconcile({"east/hub": local, "west/hub": local})
        self.world = World(pool=self.pool, monotonic=self.clock.monotonic)
        self.store = Store(read=read)
        self.restart()
        await self.see()
        await self.until(
            lambda: all(v.state is MemberState.READY for v in self.pool.views().values())
        )
        await self.until(lambda: self.counts() == {"east": 4, "west": 0})

    def guard(self) -> None:
        if self.fenced:
            raise FenceLost("deposed")
        self.guard_hook()

    def restart(self) -> None:
        """What a new process has: status and the world, nothing else."""
        self.world = World(pool=self.pool, monotonic=self.clock.monotonic)
        self.book = StatusBook(client=self.hub, clock=self.clock)
        self.rivals = Rivals(book=self.book)
        self.contracts = Contracts()
        self.runtime = SimpleNamespace(
            config=self.config,
            clock=self.clock,
            hub=self.hub,
            store=self.store,
            book=self.book,
            pool=self.pool,
            poller=self.signals,
            contracts=self.contracts,
        )
        self.prices = Prices(
            store=self.store, book=self.book, contracts=self.contracts, horizon_seconds=3600
        )
        self.gather = Gatherer(
            runtime=self.runtime,
            world=self.world,
            prices=self.prices,
            rivals=self.rivals,
            engines=lambda _, placement: self.engines.get(placement),
            profiles=lambda: (load_profiles({}).profiles[PROFILE],),
        )
        self.actor = Actor(
            store=self.store,
            book=self.book,
            hub=self.hub,
            pool=self.pool,
            world=self.world,
            locate=self.gather.locate,
            clock=self.clock,
            scale=self.scale,
        )
        self.releaser = Releaser(
            actor=self.actor,
            store=self.store,
            book=self.book,
            hub=self.hub,
            clock=self.clock,
        )

    # ---- the world -------------------------------------------------------------------------

    def deployment(self, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/chat-{name}"

    def replicas(self, name: str) -> int:
        return self.access.get(self.deployment(name))["spec"].get("replicas", 0)

    def play_controller(self, name: str) -> None:
        """All that is wanted is there, ready and up to date."""
        body = self.access.get(self.deployment(name))
        count = body["spec"].get("replicas", 0)
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "replicas": count,
            "updatedReplicas": count,
            "readyReplicas": count,
            "availableReplicas": count,
        }
        self.access.merge(f"{self.deployment(name)}/status", {"status": status})
        self._play_pods(name, count)

    def _play_pods(self, name: str, count: int) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        have = self.access.items(path, labelSelector=f"app=chat-{name}")
        for body in have[count:]:
            self.access.delete(f"{path}/{body['metadata']['name']}", gracePeriodSeconds="0")
        for index in range(len(have), count):
            pod = {
                "metadata": {"name": f"{name}-{index}", "labels": {"app": f"chat-{name}"}},
                "spec": {
                    "containers": [{"name": "engine", "image": "engine"}],
                    "automountServiceAccountToken": False,
                },
            }
            self.access.create(path, pod)
            ready = {"type": "Ready", "status": "True"}
            status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [ready]}
            self.access.merge(f"{path}/{name}-{index}/status", {"status": status})

    def set_replicas(self, name: str, count: int) -> None:
        """Somebody else writes."""
        self.access.merge(self.deployment(name), {"spec": {"replicas": count}})

    def counts(self) -> dict[str, int | None]:
        """As the snapshot has them."""
        return {row.name: row.observed_replicas for row in self.workload().placements}

    async def until(self, probe: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not probe():  # noqa: ASYNC110 - the watch of a real server
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """The watch has caught up with the server, and the controllers with it."""
        for name in ("east", "west"):
            self.play_controller(name)
        wanted = {}
        for name in ("east", "west"):
            body = self.access.get(self.deployment(name))
            wanted[name] = (body["metadata"]["uid"], body["metadata"]["resourceVersion"])

        def caught_up() -> bool:
            for name, (uid, version) in wanted.items():
                view = self.pool.view(f"{name}/hub")
                target = next(
                    (
                        t
                        for t in view.targets.values()
                        if t.key.name == f"chat-{name}"
                        if t.uid == uid
                    ),
                    None,
                )
                if target is None or int(target.resource_version) < int(version):
                    return False
                pods = view.pods.get(target.key) or ()
                if sum(pod.ready for pod in pods) != target.replicas_ready:
                    return False
            return True

        await self.until(caught_up)
        await self.see()

    async def see(self) -> None:
        """What the hub's watch would show."""
        keys = set()
        paths = (
            (Kind.POWER_SITE, f"{GROUP}/powersites"),
            (Kind.FLEXIBLE_WORKLOAD, f"{GROUP}/namespaces/{self.namespace}/flexibleworkloads"),
            (Kind.ENERGY_CONTRACT, f"{GROUP}/energycontracts"),
        )
        for kind, path in paths:
            for body in self.access.items(path):
                stored, _ = self.store.put(kind, body)
                keys.add(stored.key)
                self.book.observe(
                    stored.key,
                    uid=stored.uid,
                    generation=stored.generation,
                    version=stored.resource_version,
                    status=body.get("status") or {},
                )
                self.store.set_acceptance(
                    stored.key,
                    Acceptance(
                        accepted=True, reason="Valid", message="", generation=stored.generation
                    ),
                )
        for key in self.store.all_keys():
            if key not in keys:
                self.store.remove(key)
                self.book.forget(key)

    # ---- looking ---------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        return self.gather.snapshot()

    def workload(self) -> WorkloadState:
        return next(row for row in self.snapshot().workloads if row.key == self.key.path)

    def body(self) -> dict:
        return self.access.get(self.path)

    def status(self) -> dict:
        return self.body().get("status") or {}

    def placement_status(self, name: str) -> dict:
        return next((row for row in self.status().get("placements", ()) if row["name"] == name), {})

    def decision(self, action: Action = Action.SCALE_TO, **targets: int) -> Decision:
        """Urgent and by a physical bound, so that only the acting is under test."""
        workload = self.workload()
        counts = {row.name: row.observed_replicas for row in workload.placements}
        return Decision(
            workload_key=workload.key,
            action=action,
            targets=tuple(Target(placement_name=n, replicas=r) for n, r in targets.items()),
            reason=Reason.EMERGENCY,
            message="because",
            urgent=True,
            valid_until=self.clock.grid() + 60,
            workload_uid=workload.uid,
            basis=tuple(
                Target(placement_name=n, replicas=c) for n, c in counts.items() if c is not None
            ),
        )

    async def set(self, name: str, replicas: int) -> Outcome:
        """One write as moves and releases make it."""
        workload = self.workload()
        placement = next(row for row in workload.placements if row.name == name)
        async with self.actor.lock(workload.key):
            return await self.actor.set_replicas(workload, placement, replicas)


__all__ = ["GROUP", "Bench", "replace"]
