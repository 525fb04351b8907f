"""Decisions, plans and governor ticks in plain words with units, for the CLI and status messages.

Pure text from recorded values: it adds nothing that the decision did not know. A decision fits into
1 kB, so that it may stand in a status message.
"""

from __future__ import annotations

from wattshift.core.decision import Action, Alternative, Decision, Governance, Plan, SiteOutlook
from wattshift.core.load.demand import UNLEARNT_SHARE, cache_capacity, capacity_of
from wattshift.core.model import Snapshot, WorkloadState

MOST_BYTES = 1024
TELLING = 0.01
"""Of the price of a kWh: below it what a limit is worth is a rest of the search for prices."""
ABOUT_BOUND = ("no bound: ", "decided without the optimiser: ", "no room: ")
"""How notes begin that say why there is no bound, or what it leaves out."""
_KILO = 1000


def watts(value: float | None) -> str:
    """Watts as people read them: `840 W`, `12.5 kW`, `3.20 MW`; unknown is said so."""
    if value is None:
        return "unknown W"
    if abs(value) >= _KILO * _KILO:
        return f"{value / _KILO / _KILO:.2f} MW"
    if abs(value) >= 10 * _KILO:
        return f"{value / _KILO:.1f} kW"
    return f"{value:.0f} W"


def money(value: float | None, currency: str) -> str:
    """Signed amount per hour; unknown is said so."""
    return "unknown money/h" if value is None else f"{value:+.4f} {currency}/h"


def headline(decision: Decision) -> str:
    """One line: what is done to whom, why."""
    changed = _changes(decision)
    what = decision.action.value
    if decision.action is Action.MIGRATE:
        what = f"Migrate {decision.source_name} -> {decision.destination_name}"
    urgent = " (urgent)" if decision.urgent else ""
    counts = f" [{changed}]" if changed else ""
    return f"{decision.workload_key}: {what}{counts}{urgent}: {decision.reason}"


def decision_lines(decision: Decision, currency: str) -> tuple[str, ...]:
    """All of one decision: headline, message, effect, parts of the score, what was rejected."""
    lines = [headline(decision)]
    if decision.message:
        lines.append(f"  why: {decision.message}")
    effect = decision.effect
    told = []
    if effect.facility_watts is not None:
        told.append(f"{effect.facility_watts:+d} W at the facility")
    if effect.money_per_hour is not None:
        told.append(money(effect.money_per_hour, currency))
    if effect.grams_per_hour is not None:
        told.append(f"{effect.grams_per_hour:+.0f} gCO2e/h")
    if told:
        lines.append(f"  expected: {', '.join(told)}")
    if effect.latency_note:
        lines.append(f"  latency: {effect.latency_note}")
    if decision.parts:
        lines.append(f"  score: {_parts(decision.parts)} = {money(decision.score, currency)}")
    lines += [f"  rejected: {_alternative(row, currency)}" for row in decision.alternatives]
    for origin, shares in decision.split:
        told = [f"{name} {share:.0%}" for name, share in shares]
        lines.append(f"  from {origin}: {', '.join(told)}")
    return tuple(lines)


def status_message(decision: Decision, currency: str, most_bytes: int = MOST_BYTES) -> str:
    """The lines of a decision joined, cut at whole lines to `most_bytes` of UTF-8."""
    kept = ""
    for line in decision_lines(decision, currency):
        joined = f"{kept}\n{line}" if kept else line
        if len(joined.encode()) > most_bytes:
            break
        kept = joined
    if kept:
        return kept
    return headline(decision).encode()[:most_bytes].decode(errors="ignore")


def site_line(row: SiteOutlook, currency: str) -> str:
    """Power, bounds and shadow price of one connection."""
    name = f"{row.site_name}/{row.connection_name}" if row.connection_name else row.site_name
    words = [f"{name}: metered {watts(row.measured_watts)}, model {watts(row.estimated_watts)}"]
    if row.upper_watts is not None:
        words.append(f"at most {watts(row.upper_watts)} ({row.binding})")
    if row.lower_watts is not None:
        words.append(f"at least {watts(row.lower_watts)}")
    shadow = row.shadow_price_per_kilowatt_hour
    words.append("price unknown" if shadow is None else f"{shadow:.4f} {currency}/kWh")
    least = TELLING * abs(shadow or 0.0)
    worth = row.limit_price_per_kilowatt_hour or 0.0
    if worth > least:
        words.append(f"one more kWh under its limit is worth {worth:.4f} {currency}")
    ahead = max(row.limit_price_ahead, default=0.0)
    if ahead > max(worth, least):
        words.append(f"up to {ahead:.4f} {currency} later")
    words += [
        f"one more {name} is worth {price:.4f} {currency}/h"
        for name, price in row.device_prices
        if round(price, 4) > 0
    ]
    words += [_trust(*told) for told in row.forecast_trust]
    if row.suspect:
        words.append("power model suspect")
    return ", ".join(words)


def _trust(name: str, factor: float, weight: float) -> str:
    if not factor:
        return f"forecast {name} is left out: what came was another quantity, or in another unit"
    rest = f", {weight:.0%} of it and the present value for the rest" if weight < 1 else ""
    return f"forecast {name} counts x {factor:.2f}{rest} for its errors of late"


def bound_line(plan: Plan, currency: str) -> str:
    """How far the plan can be from the best; empty where the optimiser placed nothing."""
    bound, planned = plan.bound_per_hour, plan.objective_per_hour
    if bound is None or planned is None:
        return ""
    hours = f" over {plan.horizon_hours:.1f} h" if plan.horizon_hours is not None else ""
    apart = max(0.0, planned - bound)
    share = f" ({apart / abs(bound):.2%})" if bound else ""
    held = 0.0 if plan.goal_per_hour is None else min(apart, planned - plan.goal_per_hour)
    waits = "; dwell, budgets, payback and hand-overs hold {:.4f} of that back"
    return (
        f"bound: no placement costs less than {bound:.4f} {currency}/h{hours}; "
        f"this plan {planned:.4f}, at most {apart:.4f} above the best{share}"
        f"{waits.format(held) if round(held, 4) > 0 else ''}"
    )


def capacity_lines(snapshot: Snapshot, workload: WorkloadState) -> tuple[str, ...]:
    """Sequences that one replica was taken to carry at each placement, and why."""
    profiles = {row.name: row for row in snapshot.profiles}
    rows = []
    for row in workload.placements:
        profile = profiles.get(row.profile_name)
        if profile is None:
            rows.append(f"capacity of {row.name}: unknown, it has no power profile")
            continue
        believed = capacity_of(row, profile)
        cache = cache_capacity(row, snapshot.settings.head_room_permille)
        why = f"{UNLEARNT_SHARE:g} x power profile" if row.learned_concurrency is None else "learnt"
        if cache < believed:
            why = f"its KV cache bears no more; {believed:.1f} {why}"
        rows.append(
            f"capacity of {row.name}: {min(believed, cache):.1f} sequences a replica, {why}"
        )
    return tuple(rows)


def notes_for(plan: Plan, workload_key: str) -> tuple[str, ...]:
    """Notes about one workload; why there is no bound, or what it leaves out."""
    return tuple(row for row in plan.notes if row.startswith((*ABOUT_BOUND, f"{workload_key}: ")))


def plan_lines(plan: Plan, currency: str, *, holds: bool = True) -> tuple[str, ...]:
    """A whole plan; `holds=False` leaves out workloads that stay as they are."""
    lines = [f"plan {plan.id} at {plan.grid_time:.0f}, valid until {plan.valid_until:.0f}"]
    lines += [site_line(row, currency) for row in plan.sites]
    lines += [f"note: {row}" for row in plan.notes]
    for row in plan.decisions:
        if holds or row.action is not Action.HOLD:
            lines += decision_lines(row, currency)
    scores = [row.score for row in plan.decisions if row.score is not None]
    lines.append(f"all decisions together: {money(sum(scores, 0.0), currency)}")
    told = bound_line(plan, currency)
    return (*lines, told) if told else tuple(lines)


def governance_lines(governance: Governance, currency: str) -> tuple[str, ...]:
    """One governor tick: sites, vetoes, what must change."""
    lines = [site_line(row, currency) for row in governance.sites]
    lines += [f"veto {key}: {reason}: {words}" for key, reason, words in governance.vetoes]
    for row in governance.decisions:
        lines += decision_lines(row, currency)
    return tuple(lines)


def _changes(decision: Decision) -> str:
    before = {row.placement_name: row.replicas for row in decision.basis}
    rows = []
    for target in decision.targets:
        was = before.get(target.placement_name)
        if was is None:
            rows.append(f"{target.placement_name} {target.replicas}")
        elif was != target.replicas:
            rows.append(f"{target.placement_name} {was} -> {target.replicas}")
    return ", ".join(rows)


def _alternative(row: Alternative, currency: str) -> str:
    targets = ", ".join(f"{target.placement_name} {target.replicas}" for target in row.targets)
    return f"[{targets}] {money(row.score, currency)}: {row.reason}: {row.message}"


def _parts(parts: tuple[tuple[str, float], ...]) -> str:
    told = [f"{name} {value:+.4f}" for name, value in parts if value]
    return ", ".join(told) or "nothing changes"
