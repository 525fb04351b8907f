"""Puts what the loops decided and did into the status book, and tells people by events.

It writes no status itself (`status.py` decides when) and decides nothing. Neighbours: `show_site.py`
(figures and words of sites and contracts), `events.py`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from wattshift.api.conditions import FlexibleWorkloadCondition
from wattshift.api.workload_status import FlexibleWorkloadSummary
from wattshift.control.act import ALREADY_SO, Acted
from wattshift.control.acting.moves import Moved
from wattshift.control.acting.release import Released
from wattshift.control.acting.rivals import Conceded
from wattshift.control.gather import Gatherer
from wattshift.control.hub.conditions import Condition, condition
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.store import Stored
from wattshift.control.inputs.prices import Flows, Prices, site_of
from wattshift.control.record import show_site
from wattshift.control.record.records import AlternativeRecord, DecisionRecord, WorkloadRecord
from wattshift.control.record.spells import Spells
from wattshift.control.runtime import Runtime
from wattshift.core.contract.marginal import quote
from wattshift.core.contract.model import Contract
from wattshift.core.contract.obligation import states
from wattshift.core.decision import Action, Alternative, Decision, Governance, Plan, SiteOutlook
from wattshift.core.model import SiteState, Snapshot, WorkloadState
from wattshift.core.reasons import Reason
from wattshift.core.restore import deviates

log = logging.getLogger(__name__)

_FC = FlexibleWorkloadCondition
_TOLD_HOLDS = frozenset({Reason.LATENCY_GUARD, Reason.QUEUE_GROWING, Reason.ORIGINALS_UNKNOWN})
"""Reasons for which doing nothing is news."""
_PASSING = frozenset({Reason.STALE_PLAN, Reason.MOVE_IN_PROGRESS})
"""Refusals that the next plan settles: they are not told, or one act would be told with several counts."""


class Show:
    """From decisions to records, conditions and events."""

    def __init__(self, *, runtime: Runtime, gather: Gatherer, prices: Prices) -> None:
        self._runtime = runtime
        self._gather = gather
        self._prices = prices
        self._doubts = show_site.Doubts()
        self._spoilt: dict[ObjectKey, tuple[str, int] | None] = {}
        self._failed: dict[ObjectKey, str] = {}
        """What was told last of a workload's failure; empty once it went well."""
        self._spells = Spells()

    # ---- planner ---------------------------------------------------------------------------

    def plan(self, snapshot: Snapshot, decided: Plan, acted: tuple[Acted, ...]) -> None:
        """Decisions of a plan, and the prices it used."""
        results = {row.workload_key: row for row in acted}
        workloads = {row.key: row for row in snapshot.workloads}
        for decision in decided.decisions:
            workload = workloads.get(decision.workload_key)
            if workload is not None:
                self._decision(snapshot, workload, decision, results.get(workload.key), decided.id)
        self._sites(snapshot, decided.sites, prices=True)
        metrics = self._runtime.metrics
        metrics.site_price.clear()
        for row in decided.sites:
            if row.shadow_price_per_kilowatt_hour is not None:
                metrics.site_price.labels(row.site_name).set(row.shadow_price_per_kilowatt_hour)

    # ---- governor --------------------------------------------------------------------------

    def governance(self, snapshot: Snapshot, decided: Governance, acted: tuple[Acted, ...]) -> None:
        """A tick: urgent decisions, objectives, observed counts, power of sites, contracts."""
        results = {row.workload_key: row for row in acted}
        workloads = {row.key: row for row in snapshot.workloads}
        for decision in decided.decisions:
            workload = workloads.get(decision.workload_key)
            if workload is not None:
                self._decision(snapshot, workload, decision, results.get(workload.key), "")
        for key, truth, reason, message in decided.within_objective:
            if key in workloads:
                value = {"True": True, "False": False}.get(truth)
                self._guarded(ObjectKey.workload(key), value, reason, message)
                self._publish(
                    ObjectKey.workload(key),
                    condition(
                        _FC.WITHIN_OBJECTIVE,
                        value,
                        str(reason) if reason is not None else "WithinObjective",
                        message,
                    ),
                )
        self.workloads(snapshot)
        self._sites(snapshot, decided.sites, prices=False)
        self._contracts(snapshot)
        self._failed = {key: row for key, row in self._failed.items() if key.path in workloads}
        self._spells.forget(workloads)

    def workloads(self, snapshot: Snapshot) -> None:
        """Counts and conditions as they were seen."""
        for workload in snapshot.workloads:
            self._workload(workload)

    def moves(self, moved: tuple[Moved, ...]) -> None:
        """Steps of open hand-overs."""
        self._runtime.metrics.moves_open.set(
            sum(1 for row in moved if row.result not in ("Finished", "Aborted"))
        )
        for row in moved:
            key = ObjectKey.workload(row.workload_key)
            record = self._runtime.book.workload(key)
            if record.move is not None:
                self._runtime.book.update(
                    key, replace(record, move=replace(record.move, step=_move_step(row)))
                )
            if row.result in ("Done", "Finished", "Aborted", "Failed"):
                warning = row.result in ("Aborted", "Failed")
                self._tell(key, str(row.step.reason), "Migrate", row.message, warning=warning)

    def releases(self, released: tuple[Released, ...]) -> None:
        """Workloads given back."""
        for row in released:
            if not row.finished:
                continue
            key = ObjectKey.workload(row.workload_key)
            note = row.step.message
            if row.orphaned:
                note = f"let go after the release deadline: {note}"
            self._tell(key, str(row.step.reason), "Restore", note, warning=row.orphaned)

    def conceded(self, rows: tuple[Conceded, ...]) -> None:
        """Counts that somebody else set."""
        for row in rows:
            key = ObjectKey.workload(row.workload_key)
            note = (
                f"{row.placement_name}: somebody set {row.theirs} replicas where {row.ours} were "
                "written; that count stands, and wattshift leaves it alone for an hour"
            )
            self._runtime.book.set_conditions(
                key, condition(_FC.CONFLICT, True, Reason.RELEASED_TO_OWNER, note)
            )
            self._tell(key, str(Reason.RELEASED_TO_OWNER), "Scale", note, warning=True)

    # ---- parts -----------------------------------------------------------------------------

    def _guarded(
        self, key: ObjectKey, within: bool | None, reason: Reason | None, message: str
    ) -> None:
        seen = self._runtime.book.condition(key, _FC.WITHIN_OBJECTIVE)
        news = self._spells.news(key, within, str(reason or Reason.LATENCY_GUARD), message, seen)
        if news is not None:
            self._tell(key, news.reason, "Guard", news.note, warning=news.warning)

    def _decision(
        self,
        snapshot: Snapshot,
        workload: WorkloadState,
        decision: Decision,
        acted: Acted | None,
        plan_id: str,
    ) -> None:
        key = ObjectKey.workload(workload.key)
        record = self._runtime.book.workload(key)
        new = _decision_record(snapshot, workload, decision, plan_id)
        if acted is not None and acted.result == "Refused":
            new = _refused(new, decision, acted)
        words = f"{new.action} {new.reason}"
        record = replace(record, summary=_with(record, decision=words))
        # An act is news however often it was decided before; one that failed is told once.
        acts = acted is not None and acted.result in ("Done", "Started")
        written = acts and acted is not None and acted.message != ALREADY_SO
        if written or _is_news(record.decision, new, decision):
            record = replace(record, decision=new)
        failure = acted.message if acted is not None and acted.result == "Failed" else ""
        if written:
            self._tell(key, str(decision.reason), str(decision.action), decision.message)
        elif failure and self._failed.get(key) != failure:
            self._tell(key, str(decision.reason), str(decision.action), failure, warning=True)
        if acted is not None:
            self._failed[key] = failure
        self._runtime.book.update(key, record)

    def _workload(self, workload: WorkloadState) -> None:
        key = ObjectKey.workload(workload.key)
        book = self._runtime.book
        record = book.workload(key)
        rows = record.placements
        for placement in workload.placements:
            row = record.placement(placement.name)
            row = replace(
                row,
                observed_replicas=placement.observed_replicas,
                ready_replicas=placement.ready_replicas,
                in_service_replicas=placement.in_service_replicas,
                message=placement.target_problem,
            )
            rows = tuple(
                sorted([*(r for r in rows if r.name != row.name), row], key=lambda r: r.name)
            )
        names = {row.name for row in workload.placements} | {r.name for r in workload.orphans}
        rows = tuple(row for row in rows if row.name in names)
        move = "-"
        if workload.intent is not None:
            move = f"{workload.intent.source_name} -> {workload.intent.destination_name}"
        counts = ", ".join(
            f"{p.name} {_count(p.in_service_replicas)}/{_count(p.observed_replicas)}"
            for p in workload.placements
        )
        within = book.condition(key, _FC.WITHIN_OBJECTIVE)
        record = replace(
            record,
            placements=rows,
            summary=_with(
                record,
                replicas=counts,
                mode=workload.mode.value,
                move=move,
                latency=within.reason if within is not None else "-",
            ),
        )
        book.update(key, record)
        self._workload_conditions(key, workload)
        if not any(p.rival or p.target_problem == Reason.CONFLICT for p in workload.placements):
            book.clear_condition(key, _FC.CONFLICT)

    def _workload_conditions(self, key: ObjectKey, workload: WorkloadState) -> None:
        if not workload.originals_known:
            baseline = condition(
                _FC.AT_BASELINE,
                None,
                Reason.ORIGINALS_UNKNOWN,
                "the two copies of the originals disagree: set placements[].baselineReplicas",
            )
        elif deviates(workload):
            places = ", ".join(row.placement_name for row in workload.originals)
            baseline = condition(_FC.AT_BASELINE, False, "Deviates", f"wattshift holds {places}")
        else:
            baseline = condition(_FC.AT_BASELINE, True, "AsFound", "counts are as found")
        moving = workload.intent is not None
        progressing = condition(
            _FC.PROGRESSING,
            moving,
            Reason.MOVE_IN_PROGRESS if moving else "Idle",
            f"hand-over to {workload.intent.destination_name}" if workload.intent else "",
        )
        stats = [p.engine for p in workload.placements if p.observed_replicas]
        fresh = [
            s for s in stats if s is not None and s.age_seconds < 3 * s.scrape_interval_seconds
        ]
        if not stats:
            metrics = condition(_FC.METRICS_FRESH, True, "NothingRuns", "no replica to read")
        elif len(fresh) == len(stats):
            metrics = condition(_FC.METRICS_FRESH, True, "Fresh", "engines were read")
        else:
            metrics = condition(
                _FC.METRICS_FRESH,
                False,
                Reason.METRICS_STALE,
                f"{len(fresh)} of {len(stats)} placements were read in time",
            )
        self._runtime.book.set_conditions(key, baseline, progressing)
        self._publish(key, metrics)

    def _sites(self, snapshot: Snapshot, rows: tuple[SiteOutlook, ...], *, prices: bool) -> None:
        metrics = self._runtime.metrics
        if not prices:  # a site that is gone, or a limit that binds no more, is no figure of now
            metrics.site_power.clear()
            metrics.site_limit.clear()
        for site in snapshot.sites:
            own = tuple(row for row in rows if row.site_name == site.name)
            if not own:
                continue
            with self._alone(ObjectKey.site(site.name)):
                self._site(snapshot, site, own, prices=prices)

    def _site(
        self, snapshot: Snapshot, site: SiteState, own: tuple[SiteOutlook, ...], *, prices: bool
    ) -> None:
        metrics, book = self._runtime.metrics, self._runtime.book
        key = ObjectKey.site(site.name)
        record = book.site(key)
        power = show_site.power_status(site, own)
        summary = show_site.site_summary(site, power, own, snapshot.settings.reporting_currency)
        if not prices and record.summary is not None:
            summary = summary.model_copy(update={"price": record.summary.price})
        shadow = show_site.shadow_prices(own) if prices else record.shadow_prices
        book.update(key, replace(record, power=power, summary=summary, shadow_prices=shadow))
        if not prices:  # once a tick: the planner shows the same site in between
            doubted = self._doubts.told(site.name, own)
            self._publish(key, show_site.within_limit(site, own, doubted=doubted))
        cooling = show_site.cooling_healthy(site)
        if cooling is not None:
            book.set_conditions(key, cooling)
        if power.facility_watts is not None:
            metrics.site_power.labels(site.name, "Facility").set(power.facility_watts)
        if power.limit_watts is not None:
            metrics.site_limit.labels(site.name, str(power.binding_limit or "")).set(
                power.limit_watts
            )

    @contextlib.contextmanager
    def _alone(self, key: ObjectKey) -> Iterator[None]:
        """What cannot be shown of one object keeps no other from being shown."""
        try:
            yield
        except Exception:  # told once a version of the object
            stored = self._runtime.store.get(key)
            seen = (stored.uid, stored.generation) if stored is not None else None
            if self._spoilt.get(key, ()) != seen:
                self._spoilt[key] = seen
                self._runtime.metrics.bugs.labels("show").inc()
                log.exception("not shown", extra={"object": str(key), "reason": "Bug"})

    def _contracts(self, snapshot: Snapshot) -> None:
        now = snapshot.grid_time
        poller_states = self._runtime.poller.states(now)
        flows = self._gather.flows()
        for stored, contract in self._prices.in_force(now):
            with self._alone(stored.key):
                indices = self._prices.indices(stored.key.name, poller_states)
                self._contract(stored, contract, flows, indices, now)

    def _contract(
        self,
        stored: Stored,
        contract: Contract,
        flows: Mapping[tuple[str, str], Flows],
        indices: Mapping[str, Decimal | None],
        now: float,
    ) -> None:
        period = self._prices.period(stored, contract, now)
        price = quote(contract, period, now, indices, site_of(contract, flows))
        record = self._runtime.book.contract(stored.key)
        shown = show_site.contract_document(contract, period, price, now)
        self._runtime.book.update(stored.key, replace(record, shown=shown))
        self._runtime.book.set_conditions(stored.key, show_site.price_known(price))
        paces = states(contract, period, now) if contract.obligations else ()
        loads = {f"{site}/{name}": row.import_watts for (site, name), row in flows.items()}
        self._runtime.book.set_conditions(
            stored.key,
            show_site.green_on_track(paces),
            show_site.within_capacity(contract, loads),
        )

    def _publish(self, key: ObjectKey, row: Condition) -> None:
        """A condition that follows what was read: in the first moments nothing has been read yet."""
        book = self._runtime.book
        publish = book.settle_conditions if self._runtime.settling() else book.set_conditions
        publish(key, row)

    def _tell(
        self, key: ObjectKey, reason: str, action: str, note: str, *, warning: bool = False
    ) -> None:
        stored = self._runtime.store.get(key)
        if stored is not None:
            self._runtime.events.emit(
                key, stored.uid, reason=reason, action=action, note=note, warning=warning
            )


def _decision_record(
    snapshot: Snapshot, workload: WorkloadState, decision: Decision, plan_id: str
) -> DecisionRecord:
    return DecisionRecord(
        time=snapshot.grid_time,
        action=str(decision.action),
        reason=str(decision.reason),
        message=decision.message,
        plan_id=plan_id,
        mode=workload.mode.value,
        targets=tuple((row.placement_name, row.replicas) for row in decision.targets),
        alternatives=tuple(
            AlternativeRecord(
                action=str(_action_of(row)), reason=str(row.reason), message=_words(row)
            )
            for row in decision.alternatives[:3]
        ),
    )


def _action_of(row: Alternative) -> Action:
    return Action.HOLD if not row.targets else Action.SCALE_TO


def _words(row: Alternative) -> str:
    counts = ", ".join(f"{target.placement_name} {target.replicas}" for target in row.targets)
    score = "" if row.score is None else f" at {Decimal(str(round(row.score, 4)))} per hour"
    return f"{counts or 'as it is'}{score}: {row.message}"


def _refused(row: DecisionRecord, decision: Decision, acted: Acted) -> DecisionRecord:
    """What the last look before the act stopped: nothing was done, and that is what is told."""
    return replace(
        row,
        action=str(Action.HOLD),
        reason=acted.reason,
        message=f"{row.action} refused: {acted.message}",
        targets=tuple((target.placement_name, target.replicas) for target in decision.basis),
    )


def _is_news(old: DecisionRecord | None, new: DecisionRecord, decision: Decision) -> bool:
    """Acts, and refusals for latency; a repeated one, or an idle Hold, leaves the last on record."""
    if old is None:
        return True
    same = (old.action, old.reason, old.targets, old.mode) == (
        new.action,
        new.reason,
        new.targets,
        new.mode,
    )
    if same:
        return False
    if decision.action is not Action.HOLD:
        return new.reason not in _PASSING
    return new.reason in _TOLD_HOLDS or old.action == Action.HOLD or old.mode != new.mode


def _move_step(row: Moved) -> str:
    return {
        "Raise": "Raise",
        "AwaitReady": "Ready",
        "Warm": "Warm",
        "AwaitTraffic": "Shift",
        "Lower": "Lower",
        "Verify": "Verify",
        "GiveBackSource": "Abort",
        "GiveBackDestination": "Abort",
        "Aborted": "Abort",
    }.get(str(row.step.step), "Reserve")


def _with(record: WorkloadRecord, **changes: str) -> FlexibleWorkloadSummary:
    summary = record.summary or FlexibleWorkloadSummary()
    return summary.model_copy(update=changes)


def _count(value: int | None) -> str:
    return "?" if value is None else str(value)
