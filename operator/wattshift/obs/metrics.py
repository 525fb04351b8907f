"""Every metric of the operator, declared once, in a registry of its own.

Names are `wattshift_<noun>_<unit>`; labels are bounded: site, cluster, signal, action, reason, part;
never a workload's name or UID, which tenants choose. `docs/metrics.md` is generated from here.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """All metrics; one instance a process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        reg = self.registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=reg)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=reg)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=reg, buckets=_SECONDS)

        self.build = Info("wattshift_build", "Version of the operator", registry=reg)
        # process
        self.leader = gauge("wattshift_leader", "1 while this process leads", "pod")
        self.lease_transitions = counter(
            "wattshift_lease_transitions_total",
            "Times this process won or lost the lease",
            "change",
        )
        self.mode = gauge("wattshift_mode", "1 for the mode of the installation", "mode")
        self.grid_speed = gauge(
            "wattshift_grid_clock_speed_ratio", "Grid seconds per wall second; 1 outside a replay"
        )
        self.part_age = gauge(
            "wattshift_part_progress_age_seconds", "Time since a part finished an iteration", "part"
        )
        self.bugs = counter("wattshift_bugs_total", "Iterations ended by a fault of ours", "part")
        # objects and queue
        self.objects = gauge("wattshift_objects_count", "Objects in the store", "kind", "accepted")
        self.watch_events = counter(
            "wattshift_watch_events_total", "Events of the watch on our kinds", "kind", "change"
        )
        self.relist_differences = counter(
            "wattshift_relist_differences_total",
            "Objects that a list had and the watch had not shown, or the reverse",
            "kind",
        )
        self.watch_canary_age = gauge(
            "wattshift_watch_canary_age_seconds", "Time since a lease renewal came back by watch"
        )
        self.queue_depth = gauge("wattshift_queue_depth_count", "Keys that wait or are worked on")
        self.reconcile_seconds = seconds(
            "wattshift_reconcile_duration_seconds", "Duration of one reconciliation", "kind"
        )
        self.reconcile_errors = counter(
            "wattshift_reconcile_errors_total", "Reconciliations that failed", "kind", "family"
        )
        self.status_writes = counter(
            "wattshift_status_writes_total", "Status writes by result", "kind", "result"
        )
        self.events = counter("wattshift_events_total", "Events by result", "result")
        self.condition = gauge(
            "wattshift_condition_objects_count",
            "Objects per condition status and reason",
            "kind",
            "type",
            "status",
            "reason",
        )
        # loops
        self.loop_seconds = seconds(
            "wattshift_loop_duration_seconds", "Duration of one iteration of a loop", "loop"
        )
        self.stage_seconds = seconds(
            "wattshift_stage_duration_seconds", "Duration of one stage of the planner", "stage"
        )
        self.loop_wakes = counter(
            "wattshift_loop_wakes_total", "Iterations by what woke the loop", "loop", "cause"
        )
        self.plan_age = gauge("wattshift_plan_age_seconds", "Grid time since the last plan")
        self.plan_gap = gauge(
            "wattshift_plan_gap_ratio", "How far the last plan may be from its bound"
        )
        self.decisions = counter(
            "wattshift_decisions_total", "Decisions", "action", "reason", "loop"
        )
        self.validation_failures = counter(
            "wattshift_validation_failures_total", "Decisions refused before acting", "reason"
        )
        self.actions = counter(
            "wattshift_actions_total", "Acts by result", "action", "result", "cluster"
        )
        self.action_seconds = seconds(
            "wattshift_action_duration_seconds", "Duration of one write to a member", "action"
        )
        self.moves_open = gauge("wattshift_moves_open_count", "Hand-overs that are under way")
        # world
        self.member_state = gauge(
            "wattshift_member_state", "1 for the state of a member", "cluster", "state"
        )
        self.member_age = gauge(
            "wattshift_member_age_seconds", "Age of the last good news from a member", "cluster"
        )
        self.signal_age = gauge(
            "wattshift_signal_age_seconds", "Age of a signal's value", "owner", "signal"
        )
        self.signal_fetches = counter(
            "wattshift_signal_fetches_total", "Fetches by source and result", "source", "result"
        )
        self.site_power = gauge("wattshift_site_power_watts", "Power of a site", "site", "quantity")
        self.site_limit = gauge(
            "wattshift_site_limit_watts", "Tightest limit of a site", "site", "binding"
        )
        self.site_price = gauge(
            "wattshift_site_shadow_price_per_kilowatt_hour",
            "All-in marginal price that the last plan used",
            "site",
        )
        self.objective = gauge(
            "wattshift_objective_workloads_count",
            "Workloads by whether they are within their objective",
            "status",
        )
        self.vetoes = counter(
            "wattshift_vetoes_total", "Savings refused for the sake of latency", "reason"
        )
        self.avoided_grams = counter(
            "wattshift_avoided_grams_total", "Carbon against leaving things as they are", "site"
        )
