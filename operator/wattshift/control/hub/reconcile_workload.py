"""Visit to a FlexibleWorkload: effective values, targets in member clusters, ready or not.

A target must carry the label `wattshift.io/flexible` (consent, and the watch filter) and have a
readiness probe. Replicas, objectives and moves are the loops'. A lost member does not flip `Ready`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wattshift.api.conditions import FlexibleWorkloadCondition as Type
from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.placements import Placement
from wattshift.api.powersite import PowerSiteSpec
from wattshift.api.reasons import TargetReason
from wattshift.api.workload_status import FlexibleWorkloadSummary
from wattshift.control.hub import convert
from wattshift.control.hub.conditions import Condition, Truth, condition
from wattshift.control.hub.keys import member_name
from wattshift.control.hub.store import Acceptance, Store, Stored
from wattshift.control.inputs.gather_workload import target_key
from wattshift.control.record.status import StatusBook
from wattshift.core.model import Mode
from wattshift.errors import NeedsHuman, WattshiftError
from wattshift.kube.errors import ApiError
from wattshift.kube.pool import Pool
from wattshift.kube.projection import FLEXIBLE_LABEL
from wattshift.kube.views import MemberView, TargetKey, TargetView

VISIT_SECONDS = 60.0
"""Wall seconds between visits while all is well; changes of a member ask for one earlier."""
RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of one placement's target; `resolved=None` = the cluster does not say."""

    resolved: bool | None
    reason: TargetReason
    message: str


class WorkloadReconciler:
    """Publishes what follows from spec, sites and member views."""

    def __init__(
        self,
        *,
        store: Store,
        book: StatusBook,
        pool: Pool,
        installation: Mode,
        settling: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settling = settling
        self._store = store
        self._book = book
        self._pool = pool
        self._installation = installation

    async def visit(self, stored: Stored, acceptance: Acceptance) -> float | None:
        """Publish effective values, TargetsResolved and Ready."""
        spec = stored.spec
        if not isinstance(spec, FlexibleWorkloadSpec):
            self._book.set_conditions(
                stored.key, condition(Type.READY, False, "NotAccepted", acceptance.message)
            )
            return None
        self._show_effective(stored, spec)
        if not acceptance.accepted:
            words = "looked at once the object is accepted"
            self._book.set_conditions(
                stored.key,
                condition(Type.READY, False, "NotAccepted", acceptance.message),
                condition(Type.TARGETS_RESOLVED, None, "NotAccepted", words),
            )
            return None
        judged = [await self._judge(stored, spec, row) for row in spec.placements]
        resolved = _targets_resolved(spec, judged)
        ready = self._ready(stored, resolved)
        publish = self._book.settle_conditions if self._settling() else self._book.set_conditions
        publish(stored.key, resolved, ready)
        return VISIT_SECONDS if resolved.status is Truth.TRUE else RETRY_SECONDS

    def _show_effective(self, stored: Stored, spec: FlexibleWorkloadSpec) -> None:
        modes = {}
        for site in self._store.sites():
            if isinstance(site.spec, PowerSiteSpec):
                modes[site.key.name] = convert.site_mode(site.spec, self._installation)
        record = self._book.workload(stored.key)
        found = {row.placement_name: row.replicas for row in record.originals}
        for row in spec.placements:
            view, key = self._locate(stored, spec, row)
            target = view.targets.get(key) if view is not None and key is not None else None
            if target is not None:
                found.setdefault(row.name, target.replicas_spec)
        effective = convert.effective_values(
            spec, installation=self._installation, site_modes=modes, found_replicas=found
        )
        summary = record.summary or FlexibleWorkloadSummary()
        mode = effective.mode.value if effective.mode is not None else None
        self._book.update(
            stored.key,
            replace(record, effective=effective, summary=summary.model_copy(update={"mode": mode})),
        )

    def _locate(
        self, stored: Stored, spec: FlexibleWorkloadSpec, row: Placement
    ) -> tuple[MemberView | None, TargetKey | None]:
        view = self._pool.view(member_name(row.site_name, row.cluster_name))
        return view, target_key(stored.key.namespace, spec, row)

    async def _judge(self, stored: Stored, spec: FlexibleWorkloadSpec, row: Placement) -> _Judged:
        view, key = self._locate(stored, spec, row)
        if key is None:
            words = f"{row.name}: disaggregated targets are not supported yet"
            return _Judged(False, TargetReason.TARGET_NOT_FOUND, words)
        if view is None or not view.usable:
            state = "is not known" if view is None else f"is {view.state.value}: {view.message}"
            words = f"{row.name}: cluster {row.cluster_name} {state}"
            return _Judged(None, TargetReason.CLUSTER_NOT_READY, words)
        target = view.targets.get(key)
        if target is None:
            return await self._explain_absence(row, key)
        return self._judge_target(stored, row, target)

    def _judge_target(self, stored: Stored, row: Placement, target: TargetView) -> _Judged:
        name = f"{target.key.kind} {target.key.name}"
        record = self._book.workload(stored.key)
        captured = {original.placement_name: original.target_uid for original in record.originals}
        if captured.get(row.name) not in (None, target.uid):
            words = f"{row.name}: {name} was deleted and made again since its count was kept"
            return _Judged(False, TargetReason.TARGET_REPLACED, words)
        if not target.has_readiness_probe:
            words = f"{row.name}: {name} has no readiness probe: add one to its containers"
            return _Judged(False, TargetReason.READINESS_UNKNOWN, words)
        return _Judged(True, TargetReason.RESOLVED, "")

    async def _explain_absence(self, row: Placement, key: TargetKey) -> _Judged:
        """The watch sees labelled targets only: ask once whether it exists without the label."""
        name = f"{key.kind} {key.namespace}/{key.name}"
        missing = _Judged(
            False,
            TargetReason.TARGET_NOT_FOUND,
            f"{row.name}: {name} does not exist in cluster {row.cluster_name}",
        )
        try:
            client = self._pool.client(member_name(row.site_name, row.cluster_name))
            resource = await client.discover(key.api_version, key.kind)
            body = await client.get(resource, key.name, namespace=key.namespace)
        except ApiError as error:
            if error.is_not_found:
                return missing
            return _Judged(None, TargetReason.CLUSTER_NOT_READY, f"{row.name}: {error}")
        except WattshiftError as error:
            kind = False if isinstance(error, NeedsHuman) else None
            return _Judged(kind, TargetReason.CLUSTER_NOT_READY, f"{row.name}: {error.message}")
        if FLEXIBLE_LABEL in (body["metadata"].get("labels") or {}):
            words = f"{row.name}: {name} has just appeared"
            return _Judged(None, TargetReason.TARGET_NOT_FOUND, words)
        words = f"{row.name}: {name} lacks the label {FLEXIBLE_LABEL}: set it to consent"
        return _Judged(False, TargetReason.TARGET_NOT_OPTED_IN, words)

    def _ready(self, stored: Stored, resolved: Condition) -> Condition:
        if resolved.status is Truth.TRUE:
            return condition(Type.READY, True, "Resolved", "accepted; every target was found")
        before = self._book.condition(stored.key, Type.READY)
        once = (
            before is not None
            and before.status is Truth.TRUE
            and before.observed_generation == stored.generation
        )
        if once and resolved.status is Truth.UNKNOWN:
            return condition(Type.READY, True, "Resolved", "accepted; every target was found")
        return condition(Type.READY, False, resolved.reason, resolved.message)


def _targets_resolved(spec: FlexibleWorkloadSpec, judged: list[_Judged]) -> Condition:
    faults = [row for row in judged if row.resolved is False]
    doubts = [row for row in judged if row.resolved is None]
    if faults:
        words = "; ".join(row.message for row in faults)
        return condition(Type.TARGETS_RESOLVED, False, faults[0].reason.value, words)
    if doubts:
        words = "; ".join(row.message for row in doubts)
        return condition(Type.TARGETS_RESOLVED, None, doubts[0].reason.value, words)
    words = f"{len(spec.placements)} found and opted in"
    return condition(Type.TARGETS_RESOLVED, True, TargetReason.RESOLVED.value, words)
