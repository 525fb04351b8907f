"""What we keep of a member cluster: immutable projections, never the objects themselves.

`projection.py` builds them from JSON; `pool.py` publishes them; `control/gather.py` reads them.
All times are seconds; `..._age_seconds` and `since` are on the wall (monotonic) clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class MemberState(StrEnum):
    """State of the connection to one member cluster."""

    CONNECTING = "Connecting"
    """Not seen yet since the start, or since its credential changed."""
    READY = "Ready"
    """Every watch is synced and the last probe was answered."""
    DEGRADED = "Degraded"
    """A probe or a watch fails, or the role hides a kind of target; data may be some seconds old."""
    LOST = "Lost"
    """No usable contact for the loss time-out, or its credential or identity is refused."""


class TargetKey(NamedTuple):
    """Names one scalable object inside a cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRef:
    """An owner that may fight over replicas: act on the top owner instead."""

    api_version: str
    kind: str
    name: str
    controller: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaView:
    """An autoscaler that points at a target."""

    name: str
    min_replicas: int
    max_replicas: int
    owner_refs: tuple[OwnerRef, ...] = ()
    """A KEDA ScaledObject shows here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One opted-in scalable object."""

    key: TargetKey
    uid: str
    resource_version: str
    replicas_spec: int
    """Desired by its spec now; an absent field is the kind's default of 1."""
    replicas_total: int
    """Pods that exist (`status.replicas`)."""
    replicas_ready: int
    replicas_updated: int
    generation: int
    observed_generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    """Only those under `wattshift.io/`."""
    selector: str
    """Label selector of its pods as a string; empty when unknown."""
    grace_seconds: int
    has_readiness_probe: bool
    rollout_in_progress: bool
    paused: bool
    """`spec.paused` of a Deployment: its controller will not act on the template."""
    deleting: bool
    owner_refs: tuple[OwnerRef, ...] = ()
    hpa: HpaView | None = None
    replicas_writers: tuple[str, ...] = ()
    """Field managers that own `spec.replicas`: they only *name* a rival, they do not prove one."""
    resources: Mapping[str, Decimal] = field(default_factory=dict)
    """Requests of one pod by resource name, summed over containers; limits where no request."""
    template_digest: str = ""
    """Of what decides how fast a replica is: images, arguments, environment, resources, node kind."""

    @property
    def hpa_name(self) -> str | None:
        """Name of the autoscaler that owns the target, if any."""
        return self.hpa.name if self.hpa else None

    @property
    def accelerators(self) -> dict[str, int]:
        """Extended resources (`vendor/name`) of one pod, in whole devices."""
        return {n: int(q) for n, q in self.resources.items() if "/" in n and q >= 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod of a target."""

    name: str
    namespace: str
    uid: str
    ip: str
    node: str
    phase: str
    ready: bool
    terminating: bool
    scheduled: bool
    ports: Mapping[str, int]
    """Container ports by name; an unnamed one is listed under its number."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    """Only fence and deletion-cost keys."""
    created_time: float
    """Epoch seconds on the member's own clock."""
    start_time: float | None
    grace_seconds: int
    restarts: int
    reasons: tuple[str, ...] = ()
    """Why it is not ready: Unschedulable, ImagePullBackOff, CrashLoopBackOff, OOMKilled..."""
    services: tuple[str, ...] = ()
    """Services whose EndpointSlices list it as ready and not terminating."""
    created_by: str = ""
    """`Kind/name` of its controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One member cluster as last seen. Immutable; `age_seconds` says how old it is."""

    name: str
    uid: str
    """UID of its kube-system namespace; empty until first seen."""
    state: MemberState
    reason: str
    """Constant for the condition ClustersConnected (`reasons.py`); `Connected` when all is well."""
    message: str
    since: float
    """Start of this state; for Degraded and Lost the time of the *first* failure."""
    age_seconds: float
    """Seconds since this view was last known to be current; infinite if never synced."""
    targets: Mapping[TargetKey, TargetView]
    pods: Mapping[TargetKey, tuple[PodView, ...]]
    """Sorted by name. A target whose pods may not be read is missing here: unknown, not zero."""
    allocatable: Mapping[str, int] | None
    """Extended resources over all schedulable, ready nodes; None when nodes may not be read."""
    missing: tuple[str, ...] = ()
    """What the roles do not let us read, for people: `pods in team-chat`."""
    server_version: str = ""

    @property
    def usable(self) -> bool:
        """Whether writes may be tried: connected once, and not lost."""
        return self.state in (MemberState.READY, MemberState.DEGRADED)
