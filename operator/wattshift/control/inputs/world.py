"""Finds what a placement points at in the member clusters, as of now.

Read-only: joins spec, pool views and acknowledged writes. Used by gather (to observe) and act (to
write), so that both see one target. A fresh acknowledgement outranks a watch that lags behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wattshift.kube.pool import Pool
from wattshift.kube.views import MemberState, MemberView, PodView, TargetKey, TargetView

SETTLE_SECONDS = 10.0
"""How long after an acknowledged write the watch may still show the count before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A target that exists in a connected cluster."""

    member_name: str
    cluster_uid: str
    target: TargetView
    pods: tuple[PodView, ...] | None
    """None when pods may not be read: unknown, not zero."""
    replicas: int
    """Count now: as acknowledged by our last write while the watch lags, else as seen."""

    @property
    def controller_lags(self) -> bool:
        """Whether the target's controller has yet to see its present spec, or we have yet to see that spec.

        By `status.observedGeneration` (Kubernetes API conventions); a kind that tells none is never late.
        """
        late = 0 < self.target.observed_generation < self.target.generation
        return late or self.replicas != self.target.replicas_spec


LATE_SECONDS = 15.0
"""A write without an answer may land this much later; written again it changes nothing, as every
write tests the count that it was decided on."""


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    before: frozenset[int]
    """Counts that the watch may still show: one for each write that it has not caught up with."""
    replicas: int
    monotonic: float


class World:
    """Targets of placements over all member clusters."""

    def __init__(self, *, pool: Pool, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._acknowledged: dict[str, _Acknowledged] = {}
        self._open: dict[str, float] = {}
        """Target UIDs with a write under way: until when, on the monotonic clock."""

    def view(self, member_name: str) -> MemberView | None:
        """Latest view of a member cluster."""
        return self._pool.view(member_name)

    def find(self, member_name: str, key: TargetKey) -> Found | None:
        """The opted-in target of a placement, or None if the cluster does not show it."""
        view = self._pool.view(member_name)
        target = view.targets.get(key) if view is not None else None
        if view is None or target is None:
            return None
        return self._found(view, target)

    def find_by_uid(self, cluster_uid: str, target_uid: str) -> Found | None:
        """A target by identity: what a placement pointed at before its spec changed."""
        for view in self._pool.views().values():
            if view.uid != cluster_uid:
                continue
            for target in view.targets.values():
                if target.uid == target_uid:
                    return self._found(view, target)
        return None

    def begin_write(self, target_uid: str) -> None:
        """A write is under way; what was asked for counts until its end is known."""
        self._open[target_uid] = float("inf")

    def end_write(self, target_uid: str, *, known: bool) -> None:
        """The write ended; with an unknown outcome it may still land for a while."""
        if known:
            self._open.pop(target_uid, None)
        else:
            self._open[target_uid] = self._monotonic() + LATE_SECONDS

    def may_land(self, found: Found) -> bool:
        """Whether a write that was asked for may still land, so that the count seen is no answer.

        Without it a wish that was recorded and never carried out, because the process was killed or
        the server did not answer, would be taken for done for ever.
        """
        view = self._pool.view(found.member_name)
        if view is None or view.state is not MemberState.READY:
            return True
        return self._monotonic() < self._open.get(found.target.uid, 0.0)

    def acknowledge(self, target_uid: str, *, before: int, replicas: int) -> None:
        """Remember an acknowledged write until the watch shows it."""
        last = self._acknowledged.get(target_uid)
        now = self._monotonic()
        earlier: frozenset[int] = frozenset()
        if last is not None and now - last.monotonic < SETTLE_SECONDS:
            earlier = last.before | {last.replicas}
        self._acknowledged[target_uid] = _Acknowledged(
            (earlier | {before}) - {replicas}, replicas, now
        )

    def _found(self, view: MemberView, target: TargetView) -> Found:
        return Found(
            member_name=view.name,
            cluster_uid=view.uid,
            target=target,
            pods=view.pods.get(target.key),
            replicas=self._replicas(target),
        )

    def _replicas(self, target: TargetView) -> int:
        written = self._acknowledged.get(target.uid)
        if written is None:
            return target.replicas_spec
        lagging = target.replicas_spec in written.before
        recent = self._monotonic() - written.monotonic < SETTLE_SECONDS
        if lagging and recent:
            return written.replicas
        del self._acknowledged[target.uid]
        return target.replicas_spec
