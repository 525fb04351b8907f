"""What the parts of the controller share, and what a part looks like to `app.py`.

Built once by `assembly.py`; loops and reconcilers take it whole and read what they need. No logic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from wattshift.adapters.poller import Poller
from wattshift.adapters.prometheus import PrometheusPool
from wattshift.control.clock import Clock
from wattshift.control.config import Config
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.queue import WorkQueue
from wattshift.control.hub.store import Store
from wattshift.control.hub.watches import OwnConfigMaps
from wattshift.control.leader import Elector
from wattshift.control.record.events import EventRecorder
from wattshift.control.record.status import StatusBook
from wattshift.control.serve.health import Progress
from wattshift.control.wake import Wake
from wattshift.kube.client import ClusterClient
from wattshift.kube.pool import Pool
from wattshift.kube.secrets import CredentialStore
from wattshift.obs.metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Collaborators of the leading process."""

    config: Config
    clock: Clock
    hub: ClusterClient
    """Writes are guarded by the elector's fence."""
    elector: Elector
    store: Store
    book: StatusBook
    queue: WorkQueue[ObjectKey]
    """Ask for a visit of the reconcilers: `queue.add(key)`."""
    pool: Pool
    poller: Poller
    session: aiohttp.ClientSession
    """For engines and adapters: no proxy variables, no cookies; give each request a time-out."""
    prometheus: PrometheusPool
    credentials: CredentialStore
    config_maps: OwnConfigMaps
    contracts: Contracts
    events: EventRecorder
    metrics: Metrics
    progress: Progress
    """`progress.expect(name, stall_seconds=...)` at the start of `run`, then `beat` per iteration."""
    planner_wake: Wake
    governor_wake: Wake
    settling: Callable[[], bool] = lambda: False
    """Whether the process has just begun, so that not everything has answered yet."""


class Component(Protocol):
    """A part that runs while this process leads: planner loop, governor loop, scrapers.

    `run` returns only when cancelled. An exception that leaves it ends the process: a loop catches
    Bug, Transient and NeedsHuman per iteration itself. Cancellation must end it within a second,
    leaving no write half recorded.
    """

    @property
    def name(self) -> str:
        """Short word for logs, metrics and `/livez`."""
        ...

    async def run(self) -> None:
        """Run until cancelled."""
        ...
