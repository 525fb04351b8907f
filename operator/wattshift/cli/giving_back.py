"""Waits until workloads are as found; takes the Lease itself where nobody renews it.

Everything goes through the operator's own assembly and rights. At the deadline finalizers are taken
away with a Warning, so that an uninstall never hangs. Neighbours: `release.py` (the command),
`control/acting/release.py` (the steps), `control/loops.py` (`release_only`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass

from wattshift.cli.connect import object_path
from wattshift.cli.output import conditions
from wattshift.control.app import App
from wattshift.control.clock import SystemClock
from wattshift.control.config import Config
from wattshift.control.hub.finalizer import (
    IN_USE,
    ORIGINALS,
    RESTORE,
    let_go_of_site,
    unprotect_workload,
)
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.loops import build
from wattshift.control.record.events import EventRecorder, EventType, Occasion
from wattshift.core.reasons import Reason
from wattshift.errors import WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import LEASES, Json

DEAD_LEASES = 4 / 3
"""A Lease that nobody renewed for so many of its own durations has no living leader."""
USUAL_LEASE_SECONDS = 15.0
"""Where the Lease does not say how long it lasts, or there is none."""
LEAST_DEAD_SECONDS = 5.0
"""A Lease that was handed back lasts a second: time for another operator to take it."""


class LeaseWatch:
    """How long nobody renewed the Lease, as observed here on the monotonic clock."""

    def __init__(
        self, *, client: ClusterClient, namespace: str, name: str, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._monotonic = monotonic
        self._record: Json | None = None
        self._since = monotonic()
        self.readable = True

    @property
    def holder(self) -> str:
        """Who holds it, as last seen; empty = nobody."""
        return str((self._record or {}).get("holderIdentity") or "")

    @property
    def dead_seconds(self) -> float:
        """How long nobody must have renewed it until nobody is believed to lead."""
        lasts = (self._record or {}).get("leaseDurationSeconds") or USUAL_LEASE_SECONDS
        return max(LEAST_DEAD_SECONDS, DEAD_LEASES * float(lasts))

    async def look(self) -> bool:
        """Read the Lease; True = nobody leads. False also where it may not be read."""
        try:
            lease = await self._client.get(LEASES, self._name, namespace=self._namespace)
        except ApiError as error:
            if error.is_forbidden:
                self.readable = False
                return False
            if not error.is_not_found:
                raise
            lease = {}
        self.readable = True
        record = dict(lease.get("spec") or {})
        if record != self._record:
            self._record, self._since = record, self._monotonic()
        return self._monotonic() - self._since >= self.dead_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is not given back yet."""

    held: tuple[Json, ...]
    """Workloads with our finalizer, our annotation, or a deviation."""
    unseen: tuple[Json, ...]
    """Workloads whose present spec no operator has looked at."""
    sites: tuple[Json, ...]
    """PowerSites with our in-use finalizer."""

    @property
    def nothing_held(self) -> bool:
        """Whether nothing of ours is on any object."""
        return not self.held and not self.sites

    def words(self) -> str:
        """One line for people."""
        parts = [f"{object_path(row)} ({_why(row)})" for row in self.held[:5]]
        if len(self.held) > 5:
            parts.append(f"{len(self.held) - 5} more")
        if self.unseen and not parts:
            parts.append(f"the operator to see {len(self.unseen)} override(s)")
        parts += [f"site {row['metadata']['name']}" for row in self.sites if not self.held]
        return ", ".join(parts) or "nothing"


def left_of(workloads: list[Json], sites: list[Json]) -> Left:
    """Judge objects as listed."""
    held = tuple(row for row in workloads if is_held(row))
    unseen = tuple(
        row
        for row in workloads
        if ((row.get("status") or {}).get("observedGeneration") or 0)
        < row["metadata"].get("generation", 0)
    )
    in_use = tuple(row for row in sites if IN_USE in (row["metadata"].get("finalizers") or ()))
    return Left(held=held, unseen=unseen, sites=in_use)


def is_held(body: Json) -> bool:
    """Whether wattshift still holds a workload off what was found."""
    metadata = body["metadata"]
    if RESTORE in (metadata.get("finalizers") or ()):
        return True
    if ORIGINALS in (metadata.get("annotations") or {}):
        return True
    return conditions(body).get("AtBaseline", {}).get("status") == "False"


def _why(body: Json) -> str:
    row = conditions(body).get("AtBaseline", {})
    return str(row.get("message") or "holds our finalizer")


class StandIn:
    """The operator's own assembly in this process, giving back and nothing else."""

    def __init__(self, config: Config) -> None:
        server = config.server.model_copy(
            update={"health_port": 0, "api_port": None, "bind_address": "127.0.0.1"}
        )
        self._app = App(
            config=config.model_copy(update={"server": server}),
            clock=SystemClock(config.clock_replay()),
            parts=functools.partial(build, release_only=True),
            end_process=self._deposed,
        )
        self._task: asyncio.Task[int] | None = None
        self._lost = False

    def _deposed(self, _status: int) -> None:
        """Somebody else leads now: the fence refuses our writes; he gives back instead of us."""
        self._lost = True
        self._app.stop()

    @property
    def running(self) -> bool:
        """Whether it is at work (or waits for the Lease)."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Compete for the Lease and work once it is held."""
        self._task = asyncio.get_running_loop().create_task(self._app.run(), name="stand-in")

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended it: then the whole command ends."""
        task = self._task
        if task is None or not task.done() or self._lost or task.cancelled():
            return False
        return task.exception() is None and task.result() == 0

    async def stop(self) -> str:
        """End it and release the Lease; says what went wrong, if anything. Idempotent."""
        if self._task is None:
            return ""
        self._app.stop()
        task, self._task = self._task, None
        try:
            status = await task
        except WattshiftError as error:
            return f"{error.reason}: {error.message}"
        return "" if status == 0 else "the operator's parts ended; see the log above"


async def strip(
    client: ClusterClient, clock: SystemClock, left: Left, instance: str
) -> tuple[str, ...]:
    """Take our finalizers away at the deadline, each with a Warning event; returns what was done."""
    events = EventRecorder(client=client, clock=clock, instance=instance or "wattshift-cli")
    done = []
    for body in left.held:
        key = ObjectKey.workload(object_path(body))
        uid = body["metadata"]["uid"]
        note = f"let go at the deadline without being given back: {_why(body)}"
        await events.send(
            Occasion(
                key=key,
                uid=uid,
                type=EventType.WARNING,
                reason=str(Reason.RESTORE_TIMED_OUT),
                action="Restore",
                note=note,
            )
        )
        await unprotect_workload(client, key, uid=uid)
        done.append(f"{object_path(body)}: {note}")
    for body in left.sites:
        name = body["metadata"]["name"]
        await let_go_of_site(client, ObjectKey.site(name), uid=body["metadata"]["uid"])
        done.append(f"site {name}: no longer marked in use")
    return tuple(done)
