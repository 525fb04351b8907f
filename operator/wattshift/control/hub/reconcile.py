"""One visit to one object: judge it, publish conditions, tell those that depend on it.

Level-triggered: a visit looks at everything as it is now, whatever caused it. Per kind:
`reconcile_site.py`, `reconcile_contract.py`, `reconcile_workload.py`. Errors go to the queue, which
comes back later; one bad object stops no other.
"""

from __future__ import annotations

import logging

from wattshift.api.conditions import CONDITIONS
from wattshift.api.conditions import EnergyContractCondition as Common
from wattshift.control.hub.conditions import NOT_OBSERVED, Truth, condition
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.hub.queue import WorkQueue
from wattshift.control.hub.reconcile_contract import ContractReconciler
from wattshift.control.hub.reconcile_site import SiteReconciler
from wattshift.control.hub.reconcile_workload import WorkloadReconciler
from wattshift.control.hub.resolve import Resolver
from wattshift.control.hub.store import Acceptance, Store, Stored
from wattshift.control.record.events import EventRecorder
from wattshift.control.record.status import StatusBook
from wattshift.control.wake import Wake
from wattshift.obs.logs import fields
from wattshift.obs.metrics import Metrics

log = logging.getLogger(__name__)
_ONLY_WHILE_TRUE = "Conflict"


class Reconciler:
    """The queue's worker."""

    def __init__(
        self,
        *,
        store: Store,
        book: StatusBook,
        resolver: Resolver,
        contracts: Contracts,
        sites: SiteReconciler,
        contract_parts: ContractReconciler,
        workloads: WorkloadReconciler,
        events: EventRecorder,
        metrics: Metrics,
        wakes: tuple[Wake, ...],
    ) -> None:
        self._store = store
        self._book = book
        self._resolver = resolver
        self._contracts = contracts
        self._sites = sites
        self._contract_parts = contract_parts
        self._workloads = workloads
        self._events = events
        self._metrics = metrics
        self._wakes = wakes
        self._requeue: WorkQueue[ObjectKey] | None = None
        self._last_seen: dict[ObjectKey, Stored] = {}

    def attach(self, queue: WorkQueue[ObjectKey]) -> None:
        """Where dependents are asked for a visit; the queue needs us first."""
        self._requeue = queue

    async def visit(self, key: ObjectKey) -> float | None:
        """Bring one object up to date; returns wall seconds after which to come again."""
        with self._metrics.reconcile_seconds.labels(key.kind.value).time():
            stored = self._store.get(key)
            if stored is None:
                self._gone(key)
                return None
            return await self._visit(stored)

    async def _visit(self, stored: Stored) -> float | None:
        key = stored.key
        changed = self._is_new_version(stored)
        acceptance = self._resolver.judge(stored)
        if self._store.set_acceptance(key, acceptance):
            self._announce(stored, acceptance)
            changed = True
        self._publish(stored, acceptance)
        if changed:
            self._ask_dependents(stored)
            self._wake("spec")
        if key.kind is Kind.POWER_SITE:
            return await self._sites.visit(stored, acceptance)
        if key.kind is Kind.ENERGY_CONTRACT:
            return self._contract_parts.visit(stored, acceptance)
        return await self._workloads.visit(stored, acceptance)

    def _is_new_version(self, stored: Stored) -> bool:
        """Whether references may see something new: generation, deletion, identity."""
        before = self._last_seen.get(stored.key)
        self._last_seen[stored.key] = stored
        return before is None or (before.uid, before.generation, before.deleting) != (
            stored.uid,
            stored.generation,
            stored.deleting,
        )

    def _publish(self, stored: Stored, acceptance: Acceptance) -> None:
        """Accepted, and every other condition of the kind at least as Unknown."""
        self._book.set_conditions(
            stored.key,
            condition(Common.ACCEPTED, acceptance.accepted, acceptance.reason, acceptance.message),
        )
        for kind in CONDITIONS[stored.key.kind.value]:
            if kind != _ONLY_WHILE_TRUE and self._book.condition(stored.key, kind) is None:
                waiting = condition(kind, Truth.UNKNOWN, NOT_OBSERVED, "not looked at yet")
                self._book.set_conditions(stored.key, waiting)

    def _announce(self, stored: Stored, acceptance: Acceptance) -> None:
        """A refusal at first sight is no flip of a condition, but people want to know."""
        first = self._book.condition(stored.key, Common.ACCEPTED) is None
        log.info(
            "accepted" if acceptance.accepted else "not accepted: %s",
            *(() if acceptance.accepted else (acceptance.message,)),
            extra=fields(reason=acceptance.reason, object=str(stored.key)),
        )
        if first and not acceptance.accepted:
            self._events.emit(
                stored.key,
                stored.uid,
                reason=acceptance.reason,
                action="Accept",
                note=acceptance.message,
                warning=True,
            )

    def _gone(self, key: ObjectKey) -> None:
        before = self._last_seen.pop(key, None)
        if before is None:
            return
        self._contracts.forget(before.uid)
        self._sites.reconfigure()
        self._ask_dependents(before)
        self._wake("gone")

    def _ask_dependents(self, stored: Stored) -> None:
        key = stored.key
        keys: list[ObjectKey] = []
        if key.kind is Kind.POWER_SITE:
            keys += [other.key for other in (*self._store.sites(), *self._store.contracts())]
            keys += self._resolver.workloads_at(key.name)
        elif key.kind is Kind.ENERGY_CONTRACT:
            keys += [other.key for other in (*self._store.sites(), *self._store.contracts())]
        else:
            keys += self._resolver.rivals_of(stored)
        assert self._requeue is not None
        for other_key in keys:
            if other_key != key:
                self._requeue.add(other_key)

    def _wake(self, reason: str) -> None:
        for wake in self._wakes:
            wake.ring(reason)
