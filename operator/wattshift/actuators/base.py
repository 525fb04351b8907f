"""What every actuator says of itself, and the order and result of one write.

An actuator carries out one absolute order against one target and reports what became of it; it
never decides. `control/act.py` records the intent before it calls one. Neighbours: `registry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from wattshift.kube.client import ClusterClient
from wattshift.kube.views import TargetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One RBAC rule that an actuator needs on a member cluster."""

    api_group: str
    resource: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOrder:
    """Absolute replicas for one target, valid for the object and count that were observed."""

    target: TargetKey
    target_uid: str
    observed_replicas: int
    replicas: int


class Result(StrEnum):
    """What became of an order."""

    DONE = "Done"
    CONFLICT = "Conflict"
    """The object or its count is no longer what was observed: nothing was written."""
    UNKNOWN = "Unknown"
    """No answer: it may or may not have been written; read again before judging."""
    REFUSED = "Refused"
    """The cluster or the fence refused it: nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result with the words for people."""

    result: Result
    message: str
    replicas: int | None = None
    """Acknowledged count after a `DONE`."""


class Actuator(Protocol):
    """One mechanism."""

    @property
    def name(self) -> str:
        """Short word for logs and metrics."""
        ...

    @property
    def reversible(self) -> bool:
        """Whether the state found can be restored exactly."""
        ...

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What it needs on member clusters, on top of reading targets."""
        ...

    async def carry_out(self, client: ClusterClient, order: ScaleOrder) -> Outcome:
        """Carry out one order; never raises for a refusal or a lost connection."""
        ...
