"""Runs that do not compare: they broke a limit, or did less or worse work than B0 and the bounds pay for.

The thresholds are those of docs/bounds.md. Neighbours: `study.py` (asks), `table.py` and `page.py`
(mark the rows).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wattshift.sim.result import Result, compare

BASELINE = "b0"
LOST_SHARE = 0.001
LATENCY_POINTS = 0.5
"""What a policy may lose against B0 (docs/benchmark.md)."""
PAST_MARGIN_SHARE = 0.02
"""B8m never serves past the margin: a share of tokens that is, is about that share of energy saved."""
BATCH_SHARE = 0.01
Key = tuple[str, str]
Reasons = Mapping[Key, tuple[str, ...]]


class _Run(Protocol):
    @property
    def policy(self) -> str: ...
    @property
    def objective(self) -> str: ...
    @property
    def result(self) -> Result: ...


def incomparable(runs: Sequence[_Run]) -> dict[Key, tuple[str, ...]]:
    """Why runs do not compare; what B0 did holds for nobody else here (see `compares`)."""
    base = next((row.result for row in runs if row.policy == BASELINE), None)
    found = {}
    for run in runs:
        total = run.result.to_json()["total"]
        reasons = [*_limits(total), *_work(total)]
        if run.policy != BASELINE:
            # a B0 past the margin pays less itself: that flatters nobody
            reasons += _past(total)
            reasons += [] if base is None else _against(run.result, total, base)
        if reasons:
            found[run.policy, run.objective] = tuple(reasons)
    return found


def _limits(total: Mapping[str, Any]) -> list[str]:
    return [
        f"was over {words} for {total[key]:,.0f} site-seconds"
        for key, words in (
            ("importLimitViolationSeconds", "the import limit"),
            ("coolingLimitViolationSeconds", "the cooling limit"),
        )
        if total[key] > 0
    ]


def _work(total: Mapping[str, Any]) -> list[str]:
    reasons = []
    lost = total["lostTokens"] / max(1.0, total["demandTokens"])
    if lost > LOST_SHARE:
        reasons.append(f"lost {lost:.1%} of the demand")
    if total["batchUnitsLate"] > BATCH_SHARE * total["batchUnitsArrived"] > 0:
        late = total["batchUnitsLate"] / total["batchUnitsArrived"]
        reasons.append(f"did {late:.0%} of the batch work late or not at all")
    return reasons


def _past(total: Mapping[str, Any]) -> list[str]:
    share = total["pastMarginShare"] or 0.0
    if share <= PAST_MARGIN_SHARE:
        return []
    return [f"served {share:.1%} past the margin that B8m keeps"]


def _against(result: Result, total: Mapping[str, Any], base: Result) -> list[str]:
    reasons = []
    loss = compare(result, base)["worstLatencyLossPoints"]
    if loss is not None and round(loss, 2) > LATENCY_POINTS:
        reasons.append(f"lost {loss:.2f} points of latency against B0")
    done = base.to_json()["total"]["batchUnitsDone"]
    if total["batchUnitsDone"] < (1 - BATCH_SHARE) * done:
        left = 1 - total["batchUnitsDone"] / done
        reasons.append(f"did {left:.0%} less batch work than B0, which it has still before it")
    return reasons


def compares(reasons: Reasons, policy: str, objective: str) -> bool:
    """Whether figures of a run may be set against B0 and the bounds: it and B0 did the whole work."""
    if any(key[0] == BASELINE for key in reasons):
        return False
    return (policy, objective) not in reasons


def told(runs: Sequence[_Run], reasons: Reasons) -> list[str]:
    """A note for each run that does not compare."""
    several = len({row.objective for row in runs if row.policy != BASELINE}) > 1
    notes = []
    for (policy, objective), rows in reasons.items():
        name = "wattshift" if policy == "ours" else policy
        aim = f" for {objective}" if several and policy != BASELINE else ""
        what = "nothing compares with it" if policy == BASELINE else "its figures do not compare"
        notes.append(f"{name}{aim} {_joined(rows)}: {what}")
    return notes


def _joined(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
