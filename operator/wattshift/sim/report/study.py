"""Runs policies on a scenario, several at once in processes of their own, beside B0 and the bounds.

A job is one policy, one objective and one stretch of windows: policies start fresh in each stretch, so
that jobs are independent and their order changes nothing. Neighbours: `document.py` (JSON),
`../run.py` (one run), `../bounds/ladder.py`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from wattshift.errors import NeedsHuman, WattshiftError
from wattshift.sim.bounds.flow import CARBON, MONEY, Weights
from wattshift.sim.bounds.frontier import SHARES, Point, carbon_price_per_tonne, points_of
from wattshift.sim.bounds.ladder import Ladder, ladder
from wattshift.sim.policies.registry import TITLES, make
from wattshift.sim.report.compared import incomparable, told
from wattshift.sim.report.unpriced import unpriced
from wattshift.sim.result import Result
from wattshift.sim.run import choose, simulate, stretches, with_seed
from wattshift.sim.scenario import Scenario, Window

BASELINE = "b0"
DECLARED, MONEY_ONLY, CARBON_ONLY = "declared", "money", "carbon"
OBJECTIVES = (DECLARED, MONEY_ONLY, CARBON_ONLY)
"""What policies are told to minimise: the settings of the scenario, or one quantity alone."""
POLICIES = tuple(TITLES)
Progress = Callable[[float, str], None]
CARBON_PRICE = 1e6
"""Currency per tonne at which money no longer counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One policy with one objective over all windows."""

    policy: str
    objective: str
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Carbon and money at the eleven weights; shares of money go with the points."""

    reference: Point
    own: Point
    bound: tuple[Point, ...]
    policies: dict[str, tuple[Point, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything that is told about a scenario."""

    scenario: Scenario
    windows: tuple[Window, ...]
    runs: tuple[Run, ...]
    bounds: dict[str, Ladder]
    """By objective; empty where they were not asked for or do not exist."""
    frontier: Frontier | None
    notes: tuple[str, ...]
    """What is missing and why, and what does not compare."""
    incomparable: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By (policy, objective): why its bill, carbon and capture do not compare; absent = they do."""

    def baseline(self) -> Result | None:
        """The run of B0."""
        return next((row.result for row in self.runs if row.policy == BASELINE), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    policy: str
    objective: str
    windows: tuple[str, ...]


def study(
    scenario: Scenario,
    policies: Sequence[str],
    *,
    objectives: Sequence[str] = (DECLARED,),
    bounds: bool = True,
    frontier: bool = False,
    processes: int = 0,
    progress: Progress | None = None,
    windows: Sequence[str] | None = None,
) -> Study:
    """Run policies through the scenario's windows (those for development only when alone).

    Args:
        scenario: resolved, with the windows that were chosen.
        policies: names of the registry; B0 is added where bounds or several policies are asked for.
        objectives: each policy is run for each; B0, which does not look at prices, once.
        bounds: compute B8 and B8m, so that capture can be told.
        frontier: run each policy at eleven weights between carbon and money as well.
        processes: 0 = as many as there are cores, at most the number of jobs.
        progress: called with (share done, what runs).
        windows: names; None = those that are reported.

    Raises:
        NeedsHuman: a policy or an objective is unknown, or a run failed.
    """
    scenario = with_seed(scenario)
    names = _checked(policies, objectives, with_baseline=bounds or frontier or len(policies) > 1)
    chosen = choose(scenario, windows)
    jobs = [
        _Job(policy=name, objective=objective, windows=tuple(w.name for w in stretch))
        for name in names
        for objective in (objectives if name != BASELINE else objectives[:1])
        for stretch in stretches(chosen)
    ]
    notes: list[str] = []
    found = _run_all(scenario, jobs, processes, progress)
    runs = _merged(jobs, found)
    ladders = _ladders(scenario, chosen, notes, progress) if bounds else {}
    reference = next((row.result for row in runs if row.policy == BASELINE), None)
    area = None
    if ladders.keys() >= {MONEY_ONLY, CARBON_ONLY} and reference is not None:
        area = _frontier(scenario, chosen, reference, notes)
    if frontier and area is not None:
        area = replace(
            area,
            policies={
                name: _points(scenario, name, chosen, area.reference, (processes, progress))
                for name in names
                if name != BASELINE
            },
        )
    broken = incomparable(runs)
    notes += told(runs, broken)
    return Study(
        scenario=scenario,
        windows=chosen,
        runs=tuple(runs),
        bounds=ladders,
        frontier=area,
        notes=tuple(dict.fromkeys(notes)),
        incomparable=broken,
    )


def aimed(scenario: Scenario, objective: str) -> Scenario:
    """The scenario with its carbon price set to what an objective means.

    `declared` is left alone; a number stands for that price per tonne.
    """
    if objective == DECLARED:
        return scenario
    price = {MONEY_ONLY: 0.0, CARBON_ONLY: CARBON_PRICE}.get(objective)
    if price is None:
        price = float(objective)
    settings = replace(scenario.settings, carbon_price_per_tonne=f"{price:.6f}")
    return replace(scenario, settings=settings)


def declared_weights(scenario: Scenario) -> Weights:
    """Money plus carbon at the scenario's own price."""
    price = scenario.settings.carbon_price_per_tonne
    return Weights(money=1.0, carbon=float(price or 0) / 1e6)


def weights_of(scenario: Scenario, objective: str) -> Weights:
    """What an objective minimises."""
    if objective == MONEY_ONLY:
        return MONEY
    return CARBON if objective == CARBON_ONLY else declared_weights(scenario)


def _checked(
    policies: Sequence[str], objectives: Sequence[str], *, with_baseline: bool
) -> tuple[str, ...]:
    for name in policies:
        if name not in TITLES:
            raise NeedsHuman(
                f"no policy named {name!r}; there are {', '.join(TITLES)}", reason="UnknownPolicy"
            )
    for objective in objectives:
        if objective not in OBJECTIVES:
            raise NeedsHuman(
                f"no objective named {objective!r}; there are {', '.join(OBJECTIVES)}",
                reason="UnknownObjective",
            )
    wanted = dict.fromkeys(policies)
    if with_baseline:
        wanted = {BASELINE: None, **wanted}
    return tuple(sorted(wanted, key=POLICIES.index))


# ---- processes ----------------------------------------------------------------------------------

_scenario: Scenario | None = None
_done: Any = None


def _begin(scenario: Scenario, done: Any) -> None:
    global _scenario, _done
    _scenario, _done = scenario, done


def _work(index: int, job: _Job) -> Result:
    assert _scenario is not None

    def tell(share: float, _: str) -> None:
        if _done is not None:
            _done[index] = share

    scenario = aimed(_scenario, job.objective)
    maker = partial(make, job.policy, scenario)
    result = simulate(scenario, maker, windows=job.windows, progress=tell)
    tell(1.0, "")
    return result


def _run_all(
    scenario: Scenario,
    jobs: Sequence[_Job],
    processes: int,
    progress: Progress | None,
) -> list[Result]:
    count = min(processes or os.cpu_count() or 1, len(jobs))
    if count <= 1:
        return _one_by_one(scenario, jobs, progress)
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    done = context.Array("d", len(jobs), lock=False)
    with ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin, initargs=(scenario, done)
    ) as pool:
        order = sorted(range(len(jobs)), key=lambda index: -_weight(jobs[index]))
        waiting: dict[int, Future[Result]] = {
            index: pool.submit(_work, index, jobs[index]) for index in order
        }
        left = set(waiting.values())
        while left:
            finished, left = wait(left, timeout=0.25, return_when="FIRST_COMPLETED")
            for one in finished:
                problem = one.exception()
                if problem is None:
                    continue
                for other in left:
                    other.cancel()
                if isinstance(problem, BrokenProcessPool):
                    raise NeedsHuman(
                        "a process of the run was ended from outside, most likely for want of memory: "
                        "take fewer --processes or --weeks",
                        reason="ProcessEnded",
                    )
                raise problem
            if progress is not None:
                running = [i for i in order if 0 < done[i] < 1]
                what = ", ".join(_label(jobs[index]) for index in running[:2])
                progress(sum(done) / len(jobs), what)
    return [waiting[index].result() for index in range(len(jobs))]


def _one_by_one(
    scenario: Scenario, jobs: Sequence[_Job], progress: Progress | None
) -> list[Result]:
    found = []
    for index, job in enumerate(jobs):

        def tell(share: float, _: str, index: int = index, job: _Job = job) -> None:
            if progress is not None:
                progress((index + share) / len(jobs), _label(job))

        here = aimed(scenario, job.objective)
        maker = partial(make, job.policy, here)
        found.append(simulate(here, maker, windows=job.windows, progress=tell))
    return found


def _weight(job: _Job) -> float:
    """The slow ones first, so that the last process does not run alone for long."""
    return len(job.windows) * (10.0 if job.policy == "ours" else 1.0)


def _label(job: _Job) -> str:
    aim = "" if job.objective == DECLARED else f" for {job.objective}"
    return f"{job.policy}{aim}, {job.windows[0]}"


def _merged(jobs: Sequence[_Job], found: Sequence[Result]) -> list[Run]:
    together: dict[tuple[str, str], list[Result]] = {}
    for job, result in zip(jobs, found, strict=True):
        together.setdefault((job.policy, job.objective), []).append(result)
    return [
        Run(policy=policy, objective=objective, result=merged(results))
        for (policy, objective), results in together.items()
    ]


def merged(results: Sequence[Result]) -> Result:
    """One result with the windows of all, in order of time."""
    windows = sorted((w for row in results for w in row.windows), key=lambda row: row.first_step)
    return replace(results[0], windows=tuple(windows))


# ---- bounds -------------------------------------------------------------------------------------


def _ladders(
    scenario: Scenario,
    windows: Sequence[Window],
    notes: list[str],
    progress: Progress | None,
) -> dict[str, Ladder]:
    found: dict[str, Ladder] = {}
    if not scenario.workloads:
        notes.append("no bounds: there is no workload to place")
        return found
    for objective in OBJECTIVES:
        if objective == DECLARED and float(scenario.settings.carbon_price_per_tonne or 0) <= 0:
            continue
        missing = unpriced(scenario, objective)
        if missing:
            notes.append(f"no bound for {objective}: {missing}")
            continue
        if progress is not None:
            progress(1.0, f"bound for {objective}")
        try:
            found[objective] = ladder(scenario, windows, weights_of(scenario, objective))
        except (WattshiftError, ValueError) as error:  # runs of hours are told without a bound
            notes.append(f"no bound for {objective}: {_said(error)}")
            continue
        if found[objective].unmet_tokens > 1e-6 * _demand(scenario, windows):
            notes.append(
                f"the bound for {objective} cannot serve all demand: capture is not told for it"
            )
            del found[objective]
    return found


def _demand(scenario: Scenario, windows: Sequence[Window]) -> float:
    return float(
        sum(
            row.demand_tokens_per_second[w.first_step : w.last_step].sum()
            for row in scenario.workloads
            for w in windows
            if row.demand_tokens_per_second.size
        )
        * scenario.step_seconds
    )


def _frontier(
    scenario: Scenario, windows: Sequence[Window], reference: Result, notes: list[str]
) -> Frontier | None:
    point = Point(money=reference.energy_cost, grams=reference.carbon_grams)
    if point.money <= 0 or point.grams <= 0:
        notes.append("no frontier: B0 pays nothing or emits nothing")
        return None
    try:
        points, own = points_of(scenario, windows, point)
    except (WattshiftError, ValueError) as error:
        notes.append(f"no frontier: {_said(error)}")
        return None
    return Frontier(reference=point, own=own, bound=points)


def _points(
    scenario: Scenario,
    policy: str,
    windows: Sequence[Window],
    reference: Point,
    how: tuple[int, Progress | None],
) -> tuple[Point, ...]:
    prices = [carbon_price_per_tonne(share, reference, highest=CARBON_PRICE) for share in SHARES]
    jobs = [
        _Job(policy=policy, objective=f"{price:.6f}", windows=tuple(w.name for w in stretch))
        for price in prices
        for stretch in stretches(windows)
    ]
    runs = _merged(jobs, _run_all(scenario, jobs, *how))
    return tuple(Point(money=run.result.energy_cost, grams=run.result.carbon_grams) for run in runs)


def _said(error: Exception) -> str:
    return str(getattr(error, "message", "") or error)
