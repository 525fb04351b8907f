"""Books of a run: integer energy, carbon and money of every span, summed by reported window.

Energy in mWh, carbon in mg, money in millionths of the site's currency: sums are exact and parts add
up to wholes at every span (`check`). Neighbours: `plant.py` (records), `result.py` (figures).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wattshift.core.contract.model import Basis
from wattshift.sim.attainment import Attainment
from wattshift.sim.curves import sums as by_index
from wattshift.sim.facility import Truth
from wattshift.sim.layout import Layout
from wattshift.sim.plant import Record
from wattshift.sim.policies.base import Orders
from wattshift.sim.pricing import ContractBook
from wattshift.sim.scenario import Array

Whole = NDArray[np.int64]
MILLI = 1000.0
REVERSAL_SECONDS = 1800.0
REVERSAL_SHARE = 0.02
"""Smaller swings of a site's share are no reversal."""

_METERED = {
    Basis.IMPORT: "import",
    Basis.SELF_USE: "taken",
    Basis.EXPORT: "export",
    Basis.CURTAILED: "curtailed",
    Basis.IT_LOAD: "it",
}
PARTS = ("serving", "waiting", "moves")
ENERGIES = (
    *PARTS,
    "it",
    "overhead",
    "facility",
    "uncontrolled",
    "supply",
    "taken",
    "charge",
    "discharge",
    "import",
    "export",
    "curtailed",
)


@dataclass(slots=True)
class Sums:
    """Totals of one window."""

    name: str
    seconds: float = 0.0
    energy: dict[str, Whole] = field(default_factory=dict)
    """mWh by site."""
    cost: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    """Imports at the price signal, millionths by site (sites without a contract)."""
    sales: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    carbon: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    """mg by site, location-based, of what is imported."""
    green: Array = field(default_factory=lambda: np.zeros(0))
    """mWh by site: hourly minimum of all load and own supply, and the grid's green share of the rest.
    """
    hour: dict[str, Array] = field(default_factory=dict)
    demand_tokens: float = 0.0
    served_tokens: float = 0.0
    lost_tokens: float = 0.0
    queue_begin: float = 0.0
    queue_end: float = 0.0
    past_margin_tokens: float = 0.0
    rerouted_tokens: float = 0.0
    requests: Array = field(default_factory=lambda: np.zeros(0))
    bad: Array = field(default_factory=lambda: np.zeros(0))
    moved: Array = field(default_factory=lambda: np.zeros(0))
    """By workload."""
    reversals: Array = field(default_factory=lambda: np.zeros(0))
    replica_reversals: int = 0
    replica_hours: float = 0.0
    starts: int = 0
    wakes: int = 0
    refused: int = 0
    over_import_seconds: float = 0.0
    over_import_milliwatt_hours: int = 0
    over_cooling_seconds: float = 0.0
    plan_seconds: list[float] = field(default_factory=list)
    govern_seconds: list[float] = field(default_factory=list)
    batch_done: Array = field(default_factory=lambda: np.zeros(0))
    batch_late: Array = field(default_factory=lambda: np.zeros(0))
    batch_arrived: Array = field(default_factory=lambda: np.zeros(0))
    bounds_per_hour: list[float] = field(default_factory=list)
    series: dict[str, list[Array]] = field(default_factory=dict)
    """By step of the scenario: what the report draws; requests are counted from the window's start."""


class Books:
    """Sums of the window that is open."""

    def __init__(
        self, layout: Layout, truth: Truth, contracts: tuple[ContractBook | None, ...]
    ) -> None:
        self._layout = layout
        self._truth = truth
        self._price = np.nan_to_num(truth.price)
        self._carbon = np.nan_to_num(truth.carbon)
        self._contracts = contracts
        self.attainment = Attainment(layout)
        sites, workloads = len(layout.scenario.sites), len(layout.scenario.workloads)
        self._sites, self._workloads = sites, workloads
        self._priced = np.asarray([row is None for row in contracts], dtype=bool)
        places = len(layout.names)
        self._turn_time = np.full(places, -np.inf)
        self._turn_sign = np.zeros(places)
        self._target = np.minimum(layout.initial, layout.max_replicas).astype(np.int64)
        self._order_time = np.full(places, -np.inf)
        self._order_sign = np.zeros(places)
        self.sums: Sums | None = None
        self._hour = -1

    def open(self, name: str, queue_tokens: float) -> Sums:
        """Begin a window."""
        sites, groups = self._sites, len(self.attainment.groups)
        self.sums = Sums(
            name=name,
            energy={key: np.zeros(sites, np.int64) for key in ENERGIES},
            cost=np.zeros(sites, np.int64),
            sales=np.zeros(sites, np.int64),
            carbon=np.zeros(sites, np.int64),
            green=np.zeros(sites),
            hour={key: np.zeros(sites) for key in ("load", "supply", "grid", "grid_green")},
            requests=np.zeros(groups),
            bad=np.zeros(groups),
            moved=np.zeros(self._workloads),
            reversals=np.zeros(self._workloads),
            batch_done=np.zeros(self._workloads),
            batch_late=np.zeros(self._workloads),
            batch_arrived=np.zeros(self._workloads),
            queue_begin=queue_tokens,
        )
        self._hour = -1
        return self.sums

    def close(self) -> Sums:
        """End the window."""
        assert self.sums is not None
        self._close_hour(self.sums)
        found, self.sums = self.sums, None
        return found

    def decided(self, orders: Orders, target: NDArray[np.int64], now: float) -> None:
        """Time that a decision took, and placements whose ordered count turned back."""
        turned = 0
        if not np.array_equal(target, self._target):
            turned = self._ordered(target, now)
        if self.sums is None:
            return
        self.sums.replica_reversals += turned
        if orders.plan_seconds > 0:
            self.sums.plan_seconds.append(orders.plan_seconds)
        if orders.govern_seconds > 0:
            self.sums.govern_seconds.append(orders.govern_seconds)
        if orders.bound_per_hour is not None:
            self.sums.bounds_per_hour.append(orders.bound_per_hour)

    def _ordered(self, target: NDArray[np.int64], now: float) -> int:
        """Note changed counts; how many of them turned back."""
        change = np.sign(target - self._target)
        turned = (change * self._order_sign < 0) & (now - self._order_time <= REVERSAL_SECONDS)
        self._order_time = np.where(change != 0, now, self._order_time)
        self._order_sign = np.where(change != 0, change, self._order_sign)
        self._target = target.copy()
        return int(turned.sum())

    # ---- one span -----------------------------------------------------------------------------

    def add(self, record: Record) -> dict[str, Whole]:
        """Count a span; returns its energy by part and site in mWh."""
        energy = energies(record, self._layout)
        self._meter(record, energy)
        turned = self._turns(record)
        sums = self.sums
        if sums is None:
            return energy
        truth, step = self._truth, record.step
        for key, value in energy.items():
            sums.energy[key] += value
        sums.seconds += record.seconds
        price = self._price[step]
        sums.cost += np.where(self._priced, np.rint(energy["import"] * price), 0).astype(np.int64)
        sale = np.rint(energy["export"] * truth.export_price[step])
        sums.sales += np.where(self._priced, sale, 0).astype(np.int64)
        carbon = self._carbon[step]
        sums.carbon += np.rint(energy["import"] * carbon / MILLI).astype(np.int64)
        self._green(sums, record, energy)
        seconds = record.seconds
        sums.demand_tokens += float(record.demand.sum()) * seconds
        sums.served_tokens += float(record.served.sum()) * seconds
        sums.lost_tokens += float(record.lost.sum()) * seconds + float(record.gave_up.sum())
        sums.queue_end = float(record.queue.sum())
        sums.past_margin_tokens += record.past_margin * seconds
        sums.rerouted_tokens += record.rerouted * seconds
        requests, bad = self.attainment.count(record)
        sums.requests += requests
        sums.bad += bad
        sums.moved += record.moved
        sums.reversals += turned
        sums.replica_hours += float(record.mean.serving.sum()) * seconds / 3600
        sums.batch_done += record.batch_done
        flows = record.flows
        over = flows.imported > truth.import_limit + 1.0
        if over.any():
            sums.over_import_seconds += seconds * int(over.sum())
            excess = (flows.imported - truth.import_limit)[over] * seconds / 3.6
            sums.over_import_milliwatt_hours += int(excess.sum())
        hot = flows.it > truth.cooling_limit[step] + 1.0
        sums.over_cooling_seconds += seconds * int(hot.sum())
        return energy

    def draw(self, record: Record) -> None:
        """Keep what the report draws, once a step."""
        if self.sums is None:
            return
        serving = by_index(self._layout.site_of, record.mean.serving, self._sites)
        for name, values in (
            ("importWatts", record.flows.imported),
            ("replicas", serving),
            ("requests", self.sums.requests),
            ("badRequests", self.sums.bad),
            (
                "servedTokensPerSecond",
                by_index(self._layout.site_of, record.served, self._sites),
            ),
        ):
            self.sums.series.setdefault(name, []).append(np.array(values, dtype=float))

    def _meter(self, record: Record, energy: dict[str, Whole]) -> None:
        if all(book is None for book in self._contracts):
            return
        prices = self._truth.price[record.step].tolist()
        sites = zip(*(energy[name].tolist() for name in _METERED.values()), strict=True)
        for book, price, values in zip(self._contracts, prices, sites, strict=True):
            if book is not None:
                watt_hours = {
                    basis: value / MILLI for basis, value in zip(_METERED, values, strict=True)
                }
                book.add(record.seconds, watt_hours, price)

    def _green(self, sums: Sums, record: Record, energy: dict[str, Whole]) -> None:
        hour = int((self._layout.scenario.start_time + record.start) // 3600)
        if hour != self._hour:
            self._close_hour(sums)
            self._hour = hour
        held = sums.hour
        held["load"] += energy["facility"] + energy["uncontrolled"]
        held["supply"] += energy["supply"]
        held["grid"] += energy["import"]
        held["grid_green"] += energy["import"] * self._truth.green_share[record.step]

    def _close_hour(self, sums: Sums) -> None:
        held = sums.hour
        if not held["load"].any():
            return
        own = np.minimum(held["load"], held["supply"])
        share = np.zeros(self._sites)
        np.divide(held["grid_green"], held["grid"], out=share, where=held["grid"] > 0)
        sums.green += own + (held["load"] - own) * share
        for key in held:
            held[key] = np.zeros(self._sites)

    def _turns(self, record: Record) -> Array:
        """Reversals by workload: a site's share turns back within 30 minutes."""
        change = record.site_change
        big = np.abs(change) > REVERSAL_SHARE
        turned = np.zeros(self._workloads)
        if not big.any():
            return turned
        sign = np.sign(change)
        recent = record.start - self._turn_time <= REVERSAL_SECONDS
        back = big & recent & (sign * self._turn_sign < 0)
        # a swing has a site that loses and one that gains: count the losers' side once
        np.add.at(turned, self._layout.workload_of[back & (sign < 0)], 1.0)
        self._turn_time = np.where(big, record.start, self._turn_time)
        self._turn_sign = np.where(big, sign, self._turn_sign)
        return turned


def whole_of(values: Array) -> Whole:
    """Rounded to integers."""
    result: Whole = np.rint(values).astype(np.int64)
    return result


def energies(record: Record, layout: Layout) -> dict[str, Whole]:
    """Energy of a span by part and site in mWh; parts sum to wholes exactly."""
    sites = len(layout.scenario.sites)
    flows, scale = record.flows, record.seconds / 3.6

    def whole(watts: Array) -> Whole:
        return whole_of(watts * scale)

    def by_site(watt_hours: Array) -> Whole:
        return whole_of(by_index(layout.site_of, watt_hours, sites) * MILLI)

    found: dict[str, Whole] = {
        "serving": by_site(record.serving_watt_hours),
        "waiting": by_site(record.waiting_watt_hours),
        "moves": np.rint(record.move_watt_hours * MILLI).astype(np.int64),
    }
    found["it"] = found["serving"] + found["waiting"] + found["moves"]
    found["overhead"] = whole(flows.facility - flows.it)
    found["facility"] = found["it"] + found["overhead"]
    found["uncontrolled"] = whole(flows.uncontrolled)
    found["supply"] = whole(flows.supply)
    found["charge"] = whole(flows.charge)
    needed = found["facility"] + found["uncontrolled"] + found["charge"]
    taken = np.minimum(whole(flows.taken), found["supply"])
    found["taken"] = np.minimum(taken, needed)
    found["discharge"] = np.minimum(whole(flows.discharge), needed - found["taken"])
    found["import"] = needed - found["taken"] - found["discharge"]
    found["export"] = np.minimum(whole(flows.exported), found["supply"] - found["taken"])
    found["curtailed"] = found["supply"] - found["taken"] - found["export"]
    return found


def check(record: Record, energy: dict[str, Whole]) -> None:
    """Raise `AssertionError` where the books of a span do not balance."""
    assert np.array_equal(energy["serving"] + energy["waiting"] + energy["moves"], energy["it"])
    assert np.array_equal(energy["it"] + energy["overhead"], energy["facility"])
    came = energy["import"] + energy["taken"] + energy["discharge"]
    went = energy["facility"] + energy["uncontrolled"] + energy["charge"]
    assert np.array_equal(came, went)
    made = energy["taken"] + energy["export"] + energy["curtailed"]
    assert np.array_equal(made, energy["supply"])
    for name in ("it", "facility", "supply", "taken", "import", "export", "curtailed"):
        assert np.all(energy[name] >= 0), name
    into = float(record.demand.sum()) * record.seconds + float(record.queue_before.sum())
    out = (
        float(record.served.sum() + record.lost.sum()) * record.seconds
        + float(record.gave_up.sum())
        + float(record.queue.sum())
    )
    assert abs(into - out) <= 1e-6 * max(1.0, into), (into, out)
