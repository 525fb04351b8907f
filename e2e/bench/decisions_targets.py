"""The targets of the project beside what was measured: reached, by how much not, or not run.

A target is a reader of the units of one scenario; it never guesses. Neighbours: `decisions_page.py`,
`decisions_figures.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from e2e.bench.decisions import ITEMS
from e2e.bench.decisions_figures import Item

Items = Mapping[str, Item]
NOT_RUN = ("not run", "not run")
S1 = "s1-global:rtt-150"
MOVES = 4.0
LATENCY = 0.5
NO_LOSS = 0.05
"""Points of latency that are none at the digits that are told."""
MONTHS = 9
CALM = 0.2
SCENARIOS = len(ITEMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One row of the table."""

    what: str
    art: str
    target: str
    measured: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        """As the table prints it."""
        return self.what, self.art, self.target, self.measured, self.verdict


def targets(items: Items) -> list[Target]:
    """All rows, in the order of the issue."""
    rows: list[tuple[str, str, str, Callable[[Items], tuple[str, str]]]] = [
        (
            "capture of the carbon bound, S1, 150 ms, head room 1.5, 300 s starts, K = 16",
            "static 0.91, day-old 0.93, myopic with perfect data 0.967",
            ">= 0.95 at <= 4 moves/workload-day; stretch 0.965",
            lambda rows: _captured(rows, S1, "carbon", 0.95, stretch=0.965),
        ),
        (
            "the same with 20 s wake",
            "-",
            ">= 0.975",
            lambda rows: _captured(rows, f"{S1},wake-20", "carbon", 0.975),
        ),
        (
            "capture of the price bound (all-in volumetric bill), S1, the same",
            "static 0.50, day-old 0.88, myopic with perfect data 0.981",
            ">= 0.955 at <= 4 moves; stretch 0.98",
            lambda rows: _captured(rows, S1, "money", 0.955, stretch=0.98),
        ),
        (
            "both at once, 11 fixed weights, S1",
            "weighted myopic planner 0.95 (computed)",
            "hypervolume >= 0.93 of the bound's; stretch 0.95",
            lambda rows: _area(rows, S1, 0.93),
        ),
        (
            "IT joules per output token against B0",
            "no consolidation",
            "-30 % (simulated)",
            lambda rows: _joules(rows, ("s4-demand-response", "s2-east-west:fleet-60"), 0.30),
        ),
        (
            "carbon of place, PJM + ERCOT + CA-ON, 30-day windows",
            "bound of place -31 % median",
            "place >= 0.95 of its bound; with consolidation >= 45 % less",
            lambda rows: _captured(rows, "s1-global:three-sites", "carbon", 0.95),
        ),
        (
            "hourly-matched green share, S2",
            "always greenest 0.79",
            ">= 80 % or bound - 1 point in >= 9 of 9 feasible months",
            lambda rows: _green(rows, "s2-east-west:fleet-60", 0.80),
        ),
        (
            "S4: 200 unannounced events",
            "Emerald 200 of 200, 30 % in 30 s",
            "200 of 200; >= 99.5 % of minutes; over-curtailment <= 2 %; p99 <= 15 s; rebound <= 5 %",
            lambda rows: _events(rows, "s4-demand-response"),
        ),
        (
            "S4 on one site, mixed replicas",
            "-",
            "as above",
            lambda rows: _events(rows, "s4-one-site"),
        ),
        (
            "S5 heat: limit violations beyond the ramp",
            "-",
            "0; no latency loss",
            lambda rows: _limits(rows, "s5-heat"),
        ),
        (
            "S6 bad signals: limit violations beyond the ramp",
            "-",
            "0; no latency loss",
            lambda rows: _limits(rows, "s6-bad-signals"),
        ),
        (
            "calm, S1",
            "none published",
            "<= 0.2 reversals and <= 4 moves per workload-day",
            lambda rows: _calm(rows, S1),
        ),
        (
            "decision time, 50 sites x 2,000 workloads",
            "exact solvers 2-14 s",
            "governor <= 0.3 s p99; plan <= 10 s",
            lambda rows: _times(rows, "s7-scale"),
        ),
        ("latency loss against B0, all scenarios", "-", "<= 0.5 points", _latency),
    ]
    found = []
    for what, art, target, read in rows:
        measured, verdict = read(items)
        found.append(Target(what=what, art=art, target=target, measured=measured, verdict=verdict))
    return found


def _objectives(item: Item) -> list[str]:
    return [objective for policy, objective in item.runs() if policy == "ours"]


def _partly(item: Item, objective: str, words: str) -> str:
    """A verdict; on a part of the windows or seeds nothing counts as reached yet."""
    done, there, seeds = item.covered("ours", objective)
    wanted = len(item.row.get("seeds") or (1,))
    if (done, seeds) == (there, wanted):
        return words
    told = words.replace("**reached**", "met so far")
    return f"{told} (partly: {done} of {there} windows, {seeds} of {wanted} seeds)"


def verdict(value: float, target: float, *, most: bool = False, digits: int = 3) -> str:
    """Reached, or by how much not."""
    short = value - target if most else target - value
    return "**reached**" if short <= 0 else f"not by {short:.{digits}f}"


def _captured(
    items: Items, key: str, aim: str, target: float, *, stretch: float | None = None
) -> tuple[str, str]:
    item = items.get(key)
    value = None if item is None else item.capture("ours", aim, aim=aim)
    if item is None or value is None:
        return NOT_RUN
    moves = item.mean("ours", aim, "movesPerWorkloadDay") or 0.0
    each = item.each("ours", aim, aim=aim)
    others = ", ".join(
        f"{policy} {other:.3f}"
        for policy in ("b3", "b4", "b5")
        if item.units(policy, aim).keys() >= item.units("ours", aim).keys()
        and (other := item.capture(policy, aim, aim=aim, keys=item.units("ours", aim))) is not None
    )
    told = f"{value:.3f} at {moves:.1f} moves; worst window {min(each.values()):.3f}"
    told += f"; same windows: {others}" if others else ""
    words = verdict(value, target)
    why = item.incomparable("ours", aim)
    if why:
        return told, f"does not compare ({'; '.join(why)})"
    if moves > MOVES:
        words += f"; moves not by {moves - MOVES:.1f}"
    elif stretch is not None and value >= stretch:
        words += ", stretch reached"
    return told, _partly(item, aim, words)


def _area(items: Items, key: str, target: float) -> tuple[str, str]:
    small = items.get("s1-small")
    item = items.get(key)
    found = None if item is None else item.hypervolume("ours")
    if found is not None and item is not None:
        return f"{found[0]:.3f} ({found[1]} windows)", verdict(found[0], target)
    beside = None if small is None else small.hypervolume("ours")
    if beside is None:
        return NOT_RUN
    return f"not run on S1; s1-small {beside[0]:.3f}", "not run"


def _joules(items: Items, keys: tuple[str, ...], target: float) -> tuple[str, str]:
    for key in keys:
        item = items.get(key)
        if item is None:
            continue
        for objective in _objectives(item):
            energy = item.reduction("ours", objective, "itKilowattHours")
            tokens = item.reduction("ours", objective, "outputTokens")
            if energy is not None and tokens is not None:
                value = 1 - (1 - energy) / (1 - tokens)
                told = f"{key}: {-100 * value:+.1f} %"
                why = item.incomparable("ours", objective)
                if why:
                    return told, f"does not compare ({'; '.join(why)})"
                return told, _partly(item, objective, verdict(value, target))
    return NOT_RUN


def _green(items: Items, key: str, target: float) -> tuple[str, str]:
    item = items.get(key)
    value = None if item is None else item.mean("ours", "declared", "greenShareHourly")
    if item is None or value is None:
        return NOT_RUN
    rows = item.units("ours", "declared").values()
    months = sum((row["figures"]["greenShareHourly"] or 0.0) >= target for row in rows)
    told = f"{100 * value:.1f} %; {months} of {len(rows)} months at 80 %"
    if months >= MONTHS:
        words = "**reached**"
    else:
        words = f"not by {MONTHS - months} months; the bound of each month is not told here"
    return told, _partly(item, "declared", words)


def _events(items: Items, key: str) -> tuple[str, str]:
    item = items.get(key)
    found = None if item is None else item.events("ours", "declared")
    if item is None or found is None:
        return NOT_RUN
    told = (
        f"{found['met']:.0f} of {found['count']:.0f}; {100 * found['inside']:.2f} % of minutes; "
        f"over-curtailment {100 * found['over']:.1f} %; shed p99 {found['shed']:.0f} s; "
        f"highest rebound {100 * found['rebound']:.0f} %"
    )
    short = []
    if found["met"] < found["count"]:
        short.append(f"{found['count'] - found['met']:.0f} events")
    for words, value, limit in (
        ("minutes", 0.995 - found["inside"], 0.0),
        ("over-curtailment", found["over"] - 0.02, 0.0),
        ("rebound", found["rebound"] - 0.05, 0.0),
    ):
        if value > limit:
            short.append(f"{words} by {100 * value:.1f} points")
    if not found["shed"] <= 15:
        short.append(f"shed p99 by {found['shed'] - 15:.0f} s")
    words = "not: " + ", ".join(short) if short else "**reached**"
    return told, _partly(item, "declared", words)


def _limits(items: Items, key: str) -> tuple[str, str]:
    item = items.get(key)
    loss = None if item is None else item.latency_loss("ours", "declared")
    if item is None or loss is None:
        return NOT_RUN
    names = ("importLimitViolationSeconds", "coolingLimitViolationSeconds")
    over = [item.total("ours", "declared", name) for name in names]
    base = [item.total("b0", "any", name) for name in names]
    told = f"{sum(over):,.0f} site-seconds over (B0: {sum(base):,.0f}); latency loss {loss:+.2f} points"
    short = []
    if sum(over):
        short.append(f"limits by {sum(over):,.0f} site-seconds")
    if loss > NO_LOSS:
        short.append(f"latency by {loss:.2f} points")
    words = f"not: {', '.join(short)}" if short else "**reached**"
    return told, _partly(item, "declared", words)


def _calm(items: Items, key: str) -> tuple[str, str]:
    item = items.get(key)
    if item is None or not _objectives(item):
        return NOT_RUN
    told, worst_moves, worst_turns = [], 0.0, 0.0
    for objective in _objectives(item):
        moves = item.mean("ours", objective, "movesPerWorkloadDay") or 0.0
        turns = item.mean("ours", objective, "reversalsPerWorkloadDay") or 0.0
        told.append(f"{objective}: {moves:.1f} moves, {turns:.2f} reversals")
        worst_moves, worst_turns = max(worst_moves, moves), max(worst_turns, turns)
    short = []
    if worst_moves > MOVES:
        short.append(f"moves by {worst_moves - MOVES:.1f}")
    if worst_turns > CALM:
        short.append(f"reversals by {worst_turns - CALM:.2f}")
    words = "not: " + ", ".join(short) if short else "**reached**"
    return "; ".join(told), _partly(item, _objectives(item)[0], words)


def _times(items: Items, key: str) -> tuple[str, str]:
    item = items.get(key)
    if item is None or not _objectives(item):
        return NOT_RUN
    plan = item.slowest("ours", "declared", "planSeconds")
    govern = item.slowest("ours", "declared", "governSeconds")
    if plan is None or govern is None:
        return NOT_RUN
    words = "**reached**" if plan <= 10 and govern <= 0.3 else "not"
    return f"plan p99 {plan:.2f} s, governor p99 {govern:.3f} s (CPU)", words


def _latency(items: Items) -> tuple[str, str]:
    found = {
        f"{key} {objective}": loss
        for key, item in items.items()
        for objective in _objectives(item)
        if (loss := item.latency_loss("ours", objective)) is not None
    }
    if not found:
        return NOT_RUN
    worst = max(found, key=lambda key: found[key])
    bad = sorted((key for key in found if found[key] > LATENCY), key=lambda key: -found[key])
    told = f"worst {found[worst]:+.2f} ({worst}); {len(bad)} of {len(found)} runs above 0.5"
    words = verdict(found[worst], LATENCY, most=True, digits=2)
    missing = SCENARIOS - len({key for key, item in items.items() if _objectives(item)})
    if missing > 0:
        words = words.replace("**reached**", "met so far")
        words += f" (partly: {missing} of {SCENARIOS} not run)"
    return told, words
