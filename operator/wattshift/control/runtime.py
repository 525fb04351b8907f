"""What the parts of the controller share, and what a part looks like to `app.py`.

Built once by `app.py`; loops and reconcilers take it whole and read what they need. No logic here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wattshift.adapters.poller import Poller
from wattshift.control.clock import Clock
from wattshift.control.config import Config
from wattshift.control.events import EventRecorder
from wattshift.control.health import Progress
from wattshift.control.keys import ObjectKey
from wattshift.control.leader import Elector
from wattshift.control.queue import WorkQueue
from wattshift.control.status import StatusBook
from wattshift.control.store import Store
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
    credentials: CredentialStore
    events: EventRecorder
    metrics: Metrics
    progress: Progress
    """`progress.beat("planner")` at the end of each iteration, else `/livez` fails."""
    planner_wake: Wake
    governor_wake: Wake


class Component(Protocol):
    """A part that runs while this process leads: planner loop, governor loop, pollers.

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
