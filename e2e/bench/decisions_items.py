"""What `make bench` measures, and in which order: the protocol as data.

A unit is one policy (or a bound), one objective, one window and one seed. Units are ordered so that a run
that is stopped has something on every target: first a few windows of all scenarios, with the seeds in
turn, then the rest. Neighbours: `decisions_measure.py` (runs one unit), `decisions.py` (runs all).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from wattshift.sim.bounds.frontier import SHARES
from wattshift.sim.report.study import POLICIES

BOUNDS, EDGE, GREEN, FLEET = "bounds", "frontier", "green", "fleet"
"""Units that are no policies: B8 and its kin, the bound at eleven weights, the bound of a green share,
one decision about a drawn fleet."""
SEEDS = (1, 2, 3)
ANY = "any"
"""Objective of what looks at neither money nor carbon prices, and of bounds."""
EACH = ("money", "carbon")
BLIND = frozenset({"b0", "b0s", "b1", "b2", "b6", "b7"})
"""Policies that no objective changes: one run is for all of them."""
FRONTIER = tuple(f"share-{share:.1f}" for share in SHARES)
"""Share of money in the objective."""
ENDS = {FRONTIER[0]: "carbon", FRONTIER[-1]: "money"}
"""Weights at which the run for one objective alone is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One scenario of the benchmark."""

    scenario: str
    variant: str = ""
    policies: tuple[str, ...] = POLICIES
    objectives: tuple[str, ...] = ("declared",)
    seeds: tuple[int, ...] = (1,)
    bounds: bool = False
    """Whether a target or the page compares with B8 and B8m."""
    green: bool = False
    """Whether a target compares with the bound of a green share."""
    frontier: bool = False
    fleets: tuple[tuple[int, int], ...] = ()
    """(sites, workloads) of drawn fleets that are decided about once each, for time and gap."""
    first: int = 1
    """Windows (with the seeds in turn) before everything else goes on."""

    @property
    def key(self) -> str:
        """Name of the item on the page and in file names."""
        return f"{self.scenario}:{self.variant}" if self.variant else self.scenario

    def objectives_of(self, policy: str) -> tuple[str, ...]:
        """What a policy is run for."""
        return (ANY,) if policy in BLIND else self.objectives


FEW = ("b0", "b5", "ours")
PLACES = ("b0", "b0s", "b5", "ours")
ITEMS = (
    Item(
        scenario="s1-global",
        variant="rtt-150",
        objectives=EACH,
        seeds=SEEDS,
        bounds=True,
        frontier=True,
        first=5,
    ),
    Item(
        scenario="s1-global",
        variant="rtt-150,wake-20",
        policies=FEW,
        objectives=("carbon",),
        bounds=True,
        first=2,
    ),
    Item(scenario="s1-global", policies=FEW, objectives=EACH, bounds=True),
    Item(
        scenario="s1-global",
        variant="three-sites",
        policies=PLACES,
        objectives=("carbon",),
        bounds=True,
        first=3,
    ),
    Item(scenario="s2-east-west", variant="fleet-60", green=True, first=10),
    Item(scenario="s3-wind", first=2),
    Item(scenario="s4-demand-response", seeds=SEEDS),
    Item(scenario="s4-one-site", policies=FEW, seeds=SEEDS),
    Item(scenario="s5-heat", seeds=SEEDS, first=4),
    Item(scenario="s6-bad-signals", seeds=SEEDS),
    Item(scenario="s7-scale", policies=FEW, fleets=((50, 2_000), (200, 20_000))),
    Item(scenario="s1-small", objectives=EACH, seeds=SEEDS, bounds=True, frontier=True),
    Item(scenario="s2-small"),
    Item(scenario="s3-small"),
    Item(scenario="s4-small"),
    Item(scenario="s5-small"),
    Item(scenario="s6-small"),
    Item(scenario="s7-small", policies=FEW),
)
"""What is measured; the variants are those of the targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest thing that is measured."""

    scenario: str
    variant: str
    seed: int
    window: str
    policy: str
    objective: str

    @property
    def item(self) -> str:
        """Key of its item."""
        return f"{self.scenario}:{self.variant}" if self.variant else self.scenario

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.item} {self.window} seed {self.seed} {self.policy} {self.objective}"

    def path(self, folder: Path) -> Path:
        """Its file."""
        place = self.item.replace(":", "+").replace(",", "+")
        name = f"{self.policy}-{self.objective}-{self.window}-seed{self.seed}.json"
        return folder / place / name

    @property
    def needs_reference(self) -> bool:
        """Whether B0 of the same window has to be known first."""
        return self.policy == EDGE or self.objective.startswith("share-")


Rank = tuple[int, int]
"""(pass, round): what comes first."""


def units_of(item: Item, windows: Sequence[str]) -> Iterator[tuple[Rank, Unit]]:
    """All units of an item; within a rank in the order in which they are run.

    Windows come with the seeds in turn until each has been there once, then with the other seeds.
    """
    for sites, workloads in item.fleets:
        yield (
            (0, 0),
            Unit(
                scenario=item.scenario,
                variant=item.variant,
                seed=item.seeds[0],
                window=f"{sites}x{workloads}",
                policy=FLEET,
                objective=ANY,
            ),
        )
    order = ("b0", "ours", "b0s", "b5", "b3", "b4")
    early = order if item.bounds else order[:3]
    policies = sorted(
        item.policies, key=lambda name: (order.index(name) if name in order else len(order), name)
    )
    for place, (window, seed) in enumerate(pairs(windows, item.seeds)):

        def unit(policy: str, objective: str = ANY, window: str = window, seed: int = seed) -> Unit:
            return Unit(
                scenario=item.scenario,
                variant=item.variant,
                seed=seed,
                window=window,
                policy=policy,
                objective=objective,
            )

        rank = (0 if place < item.first else 1, place)
        for name, wanted in ((BOUNDS, item.bounds), (GREEN, item.green)):
            if wanted:
                yield rank, unit(name)
        for policy in policies:
            # what no target compares with comes with the rest
            late = policy not in early
            for objective in item.objectives_of(policy):
                yield ((1, place) if late else rank), unit(policy, objective)
        if item.frontier and place < len(windows):
            last = (0, 0) if place == 0 else (2, place)
            yield last, unit(EDGE)
            ends = {row for row, same in ENDS.items() if same in item.objectives}
            for row in FRONTIER:
                if row not in ends:
                    yield last, unit("ours", row)


def pairs(windows: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Each window with one seed, the seeds in turn; then with the next, until all met all."""
    return [
        (window, seeds[(place + shift) % len(seeds)])
        for shift in range(len(seeds))
        for place, window in enumerate(windows)
    ]


def in_order(items: Sequence[Item], windows: Mapping[str, Sequence[str]]) -> list[list[Unit]]:
    """Chunks that share a loaded scenario, in the order in which they are to be run."""
    rows = [
        (rank, place, unit)
        for place, item in enumerate(items)
        for rank, unit in units_of(item, windows[item.key])
    ]
    rows.sort(key=lambda row: row[:2])  # stable: B0 and bounds stay in front
    keyed = groupby(rows, key=lambda row: (row[0], row[1], row[2].seed))
    return [[unit for _, _, unit in chunk] for _, chunk in keyed]


def spread(names: Sequence[str], count: int | None) -> list[str]:
    """At most `count` of the names, evenly over all."""
    if count is None or count >= len(names):
        return list(names)
    places = [round(index * (len(names) - 1) / max(1, count - 1)) for index in range(count)]
    return [names[place] for place in sorted(set(places))]


def far_first(names: Sequence[str]) -> list[str]:
    """Both ends, then the middle of each gap: a run that stops has windows from everywhere."""
    if len(names) <= 2:
        return list(names)
    taken = [0, len(names) - 1]
    while len(taken) < len(names):
        rows = sorted(taken)
        gaps = [(b - a, -a, (a + b) // 2) for a, b in pairwise(rows) if b - a > 1]
        taken.append(max(gaps)[2])
    return [names[place] for place in taken]
