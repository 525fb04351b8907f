"""Arithmetic over the units of `decisions.py`: captures as ratios of sums, worst windows, differences.

Only windows and seeds for which all that is compared was measured count; nothing is filled in.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.bench.decisions_items import ANY, ENDS, FRONTIER
from wattshift.sim.bounds.frontier import Point, share_of_bound
from wattshift.sim.report.compared import (
    BATCH_SHARE,
    LATENCY_POINTS,
    LOST_SHARE,
    PAST_MARGIN_SHARE,
)
from wattshift.sim.result import reduced

Json = Mapping[str, Any]
Key = tuple[int, str]
"""(seed, window)."""
FIGURE = {"money": "volumetricBill", "carbon": "carbonGrams"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Part of the protocol that was run."""

    runs: int
    of: int
    windows: str
    seeds: str

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.runs >= self.of

    def __str__(self) -> str:
        return f"{self.runs} of {self.of} runs: {self.windows}, {self.seeds}"


@dataclass(frozen=True, slots=True)
class Item:
    """All units of one scenario and variant."""

    key: str
    row: Json

    def units(self, policy: str, objective: str | None = None) -> dict[Key, Json]:
        """By (seed, window); what looks at no objective counts for each."""
        return {
            (unit["seed"], unit["window"]): unit
            for unit in self.row["units"]
            if unit["policy"] == policy
            and (objective in (None, unit["objective"]) or unit["objective"] == ANY)
        }

    def runs(self) -> list[tuple[str, str]]:
        """(policy, objective) in order of the table, points of the frontier aside."""
        found = dict.fromkeys(
            (unit["policy"], unit["objective"])
            for unit in self.row["units"]
            if "figures" in unit and not unit["objective"].startswith("share-")
        )
        return sorted(found, key=lambda row: (row[0] == "ours", row))

    # ---- capture --------------------------------------------------------------------------------

    def capture(
        self, policy: str, objective: str, *, aim: str, keys: Iterable[Key] | None = None
    ) -> float | None:
        """Ratio of sums on [B0, B8m]; None where nothing can be compared."""
        rows = self.terms(policy, objective, aim=aim, keys=keys)
        span = sum(base - bound for base, _, bound in rows)
        return sum(base - value for base, value, _ in rows) / span if span > 0 else None

    def terms(
        self, policy: str, objective: str, *, aim: str, keys: Iterable[Key] | None = None
    ) -> list[tuple[float, float, float]]:
        """(B0, policy, B8m) of each window and seed."""
        name = FIGURE[aim]
        base, bounds = self.units("b0"), self.units("bounds")
        runs = self.units(policy, objective)
        both = sorted(runs.keys() & base.keys() & bounds.keys())
        return [
            (
                base[key]["figures"][name],
                runs[key]["figures"][name],
                bounds[key]["bounds"][aim]["B8m"],
            )
            for key in both
            if keys is None or key in keys
        ]

    def each(self, policy: str, objective: str, *, aim: str) -> dict[Key, float]:
        """Capture of every window and seed alone."""
        found = {}
        for key in self.units(policy, objective):
            value = self.capture(policy, objective, aim=aim, keys=[key])
            if value is not None:
                found[key] = value
        return found

    def against(
        self, policy: str, other: str, objective: str, *, aim: str
    ) -> tuple[float, float, int] | None:
        """Mean, standard error and count of paired differences of capture."""
        mine = self.each(policy, objective, aim=aim)
        theirs = self.each(other, objective, aim=aim)
        rows = [mine[key] - theirs[key] for key in sorted(mine.keys() & theirs.keys())]
        if len(rows) < 2:
            return None
        return statistics.mean(rows), statistics.stdev(rows) / len(rows) ** 0.5, len(rows)

    def lost(self, policy: str, objective: str, *, aim: str) -> dict[str, float]:
        """Shares of B0 less B8m lost on each rung; rounding and moves only where they are known."""
        base, bounds, runs = self.units("b0"), self.units("bounds"), self.units(policy, objective)
        keys = sorted(runs.keys() & base.keys() & bounds.keys())
        name = FIGURE[aim]
        if not keys:
            return {}
        rungs = [bounds[key]["bounds"][aim] for key in keys]
        start = sum(base[key]["figures"][name] for key in keys)
        held = sum(row["B8m"] for row in rungs)
        span = start - held
        if span <= 0:
            return {}
        found = {"margin": (held - sum(row["B8"] for row in rungs)) / span}
        last = held
        for word, rung in (("rounding", "rounded"), ("moves", "roundedWithMoves")):
            if all(row[rung] is not None for row in rungs):
                value = sum(row[rung] for row in rungs)
                found[word] = (value - last) / span
                last = value
        found["information"] = (sum(runs[key]["figures"][name] for key in keys) - last) / span
        return found

    # ---- sums and means -------------------------------------------------------------------------

    def total(self, policy: str, objective: str | None, name: str) -> float:
        """Sum over the windows and seeds of a policy."""
        rows = self.units(policy, objective).values()
        return float(sum(unit["figures"].get(name) or 0.0 for unit in rows))

    def mean(self, policy: str, objective: str | None, name: str) -> float | None:
        """Mean by time."""
        rows = [unit["figures"] for unit in self.units(policy, objective).values()]
        known = [(row[name], row["seconds"]) for row in rows if row.get(name) is not None]
        whole = sum(weight for _, weight in known)
        return sum(value * weight for value, weight in known) / whole if whole else None

    def reduction(self, policy: str, objective: str, name: str) -> float | None:
        """(B0 - policy) / size of B0 over what both have."""
        base, runs = self.units("b0"), self.units(policy, objective)
        keys = base.keys() & runs.keys()
        before = sum(base[key]["figures"][name] for key in keys)
        return reduced(before, sum(runs[key]["figures"][name] for key in keys))

    def incomparable(self, policy: str, objective: str | None) -> list[str]:
        """Why figures do not compare, in few words; what B0 broke holds for all (docs/bounds.md)."""
        base, runs = self.units("b0"), self.units(policy, objective)
        if policy != "b0":
            runs = {key: row for key, row in runs.items() if key in base}
            why = [f"b0: {words}" for words in self.incomparable("b0", None)]
        else:
            why = []

        def total(rows: Mapping[Key, Json], name: str) -> float:
            return float(sum(row["figures"].get(name) or 0.0 for row in rows.values()))

        if total(runs, "importLimitViolationSeconds"):
            why.append("import limit")
        if total(runs, "coolingLimitViolationSeconds"):
            why.append("cooling limit")
        if total(runs, "lostTokens") > LOST_SHARE * total(runs, "demandTokens"):
            why.append("lost demand")
        if policy == "b0":
            return why
        past = [row["figures"].get("pastMarginShare") or 0.0 for row in runs.values()]
        if past and statistics.mean(past) > PAST_MARGIN_SHARE:
            why.append(f"{100 * statistics.mean(past):.1f} % past the margin")
        loss = self.latency_loss(policy, objective or "")
        if loss is not None and round(loss, 2) > LATENCY_POINTS:
            why.append("latency")
        both = {key: base[key] for key in runs}
        done, asked = total(runs, "batchUnitsDone"), total(both, "batchUnitsDone")
        if done < (1 - BATCH_SHARE) * asked:
            why.append(f"{100 * (1 - done / asked):.0f} % of the batch work left")
        return why

    def latency_loss(self, policy: str, objective: str) -> float | None:
        """Points lost against B0 in the worst class of users; classes are means over windows."""
        base, runs = self.units("b0"), self.units(policy, objective)
        lost: dict[tuple[str, str], list[float]] = {}
        for key in base.keys() & runs.keys():
            mine = runs[key]["figures"]["attainment"]
            for name, groups in base[key]["figures"]["attainment"].items():
                for group, share in groups.items():
                    less = share - mine.get(name, {}).get(group, 1.0)
                    lost.setdefault((name, group), []).append(100 * less)
        return max((statistics.mean(rows) for rows in lost.values()), default=None)

    def slowest(self, policy: str, objective: str, name: str) -> float | None:
        """Highest 99th percentile of a decision time over the units."""
        rows = [u["figures"].get(name) for u in self.units(policy, objective).values()]
        return max((row["p99"] for row in rows if row and row["p99"] is not None), default=None)

    def events(self, policy: str, objective: str) -> dict[str, float] | None:
        """Events of all units together; means by number of events."""
        rows = [u["figures"]["events"] for u in self.units(policy, objective).values()]
        rows = [row for row in rows if row["count"]]
        if not rows:
            return None
        count = sum(row["count"] for row in rows)

        def mean(name: str) -> float:
            return float(sum((row[name] or 0.0) * row["count"] for row in rows) / count)

        sheds = [row["secondsToShed"]["p99"] for row in rows]
        return {
            "count": count,
            "met": sum(row["met"] for row in rows),
            "notCalled": sum(row.get("notCalled", 0) for row in rows),
            "inside": mean("samplesInsideShare"),
            "error": mean("meanError"),
            "over": mean("meanOverCurtailment"),
            "rebound": max(row["highestRebound"] or 0.0 for row in rows),
            "shed": max((v for v in sheds if v is not None), default=float("nan")),
        }

    def hypervolume(self, policy: str) -> tuple[float, int] | None:
        """(share of the bound's area, windows) at the eleven weights, over windows that have all."""
        edge, base = self.units("frontier"), self.units("b0")
        names = FRONTIER
        rows = [
            self.units(policy, name) | self.units(policy, ENDS.get(name, name)) for name in names
        ]
        keys = sorted(set(edge).intersection(base, *rows))
        if not keys:
            return None
        reached = [_sum(figures_point(row[key]) for key in keys) for row in rows]
        bound = [_sum(Point(**edge[key]["frontier"][name]) for key in keys) for name in names]
        own = _sum(Point(**edge[key]["frontier"]["own"]) for key in keys)
        reference = _sum(figures_point(base[key]) for key in keys)
        return share_of_bound(reached, bound, reference, own), len(keys)

    def covered(self, policy: str, objective: str) -> Covered:
        """How much of the protocol was measured: every window with every seed."""
        keys = self.units(policy, objective)
        windows, seeds = len(self.row.get("windows") or ()), len(self.row.get("seeds") or (1,))
        return Covered(
            runs=len(keys),
            of=windows * seeds,
            windows=f"{len({w for _, w in keys})} of {windows} windows",
            seeds=f"{len({s for s, _ in keys})} of {seeds} seeds",
        )

    def tokens_per_replica_second(self, policy: str, objective: str | None) -> float | None:
        """Output tokens a second of a replica in service: how full replicas are."""
        hours = self.total(policy, objective, "replicaHours")
        return self.total(policy, objective, "outputTokens") / hours / 3600 if hours else None

    def saved(
        self, policy: str, other: str, objective: str, name: str, *, per_token: bool = False
    ) -> float | None:
        """1 - policy / other over what both have run, per output token if asked for."""
        mine, theirs = self.units(policy, objective), self.units(other, objective)
        keys = mine.keys() & theirs.keys()

        def whole(rows: Mapping[Key, Json], figure: str) -> float:
            return float(sum(rows[key]["figures"].get(figure) or 0.0 for key in keys))

        value, base = whole(mine, name), whole(theirs, name)
        if per_token:
            tokens = whole(mine, "outputTokens"), whole(theirs, "outputTokens")
            if not all(tokens):
                return None
            value, base = value / tokens[0], base / tokens[1]
        return reduced(base, value)


def figures_point(unit: Json) -> Point:
    """Money and grams of a run."""
    row = unit["figures"]
    return Point(money=row["volumetricBill"], grams=row["carbonGrams"])


def _sum(points: Iterable[Point]) -> Point:
    rows: Sequence[Point] = list(points)
    return Point(money=sum(r.money for r in rows), grams=sum(r.grams for r in rows))


def events_met(events: Mapping[str, float]) -> str:
    """How many events were met of those that were called."""
    told = f"{events['met']:.0f} of {events['count']:.0f}"
    if events["notCalled"]:
        told += f" called ({events['notCalled']:.0f} not)"
    return told


def items_of(result: Json) -> dict[str, Item]:
    """All items of a result."""
    return {key: Item(key, row) for key, row in result["items"].items()}
