"""The benchmark of decisions: what is run and kept, ratios of sums, verdicts, and the page."""

from __future__ import annotations

import json
import re
from concurrent.futures import Future

import pytest

from e2e.bench import decisions
from e2e.bench.decisions import ITEMS, Bench, Item, Unit, far_first, gathered, spread, units_of
from e2e.bench.decisions_figures import Item as Measured
from e2e.bench.decisions_page import DATA, PAGE, render
from e2e.bench.decisions_targets import NOT_RUN, targets, verdict
from wattshift.errors import NeedsHuman
from wattshift.sim.load import shipped
from wattshift.sim.report.study import POLICIES

S1 = "s1-global:rtt-150"


def figures(money, grams, *, moves=1.0, good=0.99, seconds=10.0, **more):
    return {
        "seconds": seconds,
        "outputTokens": 1e6,
        "demandTokens": 1e6,
        "lostTokens": 0.0,
        "volumetricBill": money,
        "carbonGrams": grams,
        "itKilowattHours": money,
        "greenShareHourly": 0.5,
        "attainment": {"TimeToFirstToken 800 ms": {"60 ms": good, "any": 1.0}},
        "movesPerWorkloadDay": moves,
        "reversalsPerWorkloadDay": 0.1,
        "importLimitViolationSeconds": 0.0,
        "coolingLimitViolationSeconds": 0.0,
        "planSeconds": {"count": 3, "p50": 0.1, "p99": 0.2},
        "governSeconds": {"count": 3, "p50": 0.01, "p99": 0.02},
        "events": {"count": 0, "met": 0},
        **more,
    }


def unit(policy, window, money, grams, *, objective="any", seed=1, **more):
    row = {"policy": policy, "objective": objective, "window": window, "seed": seed}
    return {**row, "figures": figures(money, grams, **more), "cpuSeconds": 12.0}


def rungs(window, b8, b8m, rounded, moved, *, seed=1):
    row = {"B8": b8, "B8m": b8m, "rounded": rounded, "roundedWithMoves": moved, "unmetTokens": 0.0}
    return {
        "policy": "bounds",
        "objective": "any",
        "window": window,
        "seed": seed,
        "bounds": {name: row for name in ("declared", "money", "carbon")},
    }


@pytest.fixture
def s1():
    """Two weeks: the second has ten times the money of the first."""
    return {
        "windows": ["w1", "w2"],
        "seeds": [1],
        "units": [
            unit("b0", "w1", 100.0, 100.0),
            unit("b0", "w2", 1000.0, 1000.0),
            rungs("w1", 50.0, 60.0, 62.0, 63.0),
            rungs("w2", 500.0, 600.0, 620.0, 630.0),
            unit("ours", "w1", 80.0, 100.0, objective="money", moves=2.0, good=0.98),
            unit("ours", "w2", 640.0, 900.0, objective="money", moves=6.0, good=0.99),
            unit("b5", "w1", 84.0, 100.0, objective="money"),
            unit("b5", "w2", 660.0, 900.0, objective="money"),
        ],
    }


def result(items):
    machine = {
        "processor": "one",
        "cores": 2,
        "memoryGibibytes": 4.0,
        "system": "Linux",
        "loadAverage": [0.1, 0.2, 0.3],
    }
    return {
        "commit": {"id": "0123456789ab", "modified": False},
        "machine": machine,
        "versions": {"python": "3.11"},
        "startedTime": "2026-01-01T00:00:00Z",
        "endedTime": "2026-01-01T01:00:00Z",
        "items": items,
        "withoutData": ["s2-east-west:fleet-60"],
        "failed": {"s5-heat all": "broke"},
        "unitsLeft": 3,
    }


# ---- arithmetic ---------------------------------------------------------------------------------


def test_capture_is_a_ratio_of_sums_not_a_mean_of_ratios(s1):
    item = Measured(S1, s1)
    assert item.each("ours", "money", aim="money") == {(1, "w1"): 0.5, (1, "w2"): 0.9}
    assert item.capture("ours", "money", aim="money") == pytest.approx((20 + 360) / (40 + 400))


def test_a_window_without_bound_or_b0_does_not_count(s1):
    s1["units"] = [u for u in s1["units"] if (u["policy"], u["window"]) != ("bounds", "w2")]
    assert Measured(S1, s1).capture("ours", "money", aim="money") == 0.5
    s1["units"] = [u for u in s1["units"] if u["policy"] != "b0"]
    assert Measured(S1, s1).capture("ours", "money", aim="money") is None


def test_losses_and_capture_add_up_to_one(s1):
    item = Measured(S1, s1)
    lost = item.lost("ours", "money", aim="money")
    inside = lost["rounding"] + lost["moves"] + lost["information"]
    assert item.capture("ours", "money", aim="money") + inside == pytest.approx(1.0)
    assert lost["margin"] == pytest.approx(110 / 440)


def test_the_difference_to_day_old_is_paired(s1):
    mean, error, count = Measured(S1, s1).against("ours", "b5", "money", aim="money")
    assert mean == pytest.approx((0.1 + 0.05) / 2)
    assert count == 2
    assert error == pytest.approx(0.025)


def test_latency_loss_is_that_of_the_worst_class(s1):
    assert Measured(S1, s1).latency_loss("ours", "money") == pytest.approx(0.5)


def test_means_are_by_time(s1):
    s1["units"][4]["figures"]["seconds"] = 30.0
    value = Measured(S1, s1).mean("ours", "money", "movesPerWorkloadDay")
    assert value == pytest.approx((30 * 2 + 10 * 6) / 40)


# ---- targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, target, most, words",
    [
        (0.95, 0.95, False, "**reached**"),
        (0.949, 0.95, False, "not by 0.001"),
        (0.5, 0.5, True, "**reached**"),
        (0.75, 0.5, True, "not by 0.250"),
    ],
)
def test_a_verdict_says_by_how_much_not(value, target, most, words):
    assert verdict(value, target, most=most) == words


def test_without_figures_no_target_is_reached():
    assert {(row.measured, row.verdict) for row in targets({})} == {NOT_RUN}


def test_a_target_tells_moves_and_what_is_missing(s1):
    s1["windows"] = ["w1", "w2", "w3"]
    row = next(r for r in targets({S1: Measured(S1, s1)}) if "price bound" in r.what)
    assert row.measured.startswith("0.864 at 4.0 moves; worst window 0.500")
    assert "b5 0.809" in row.measured
    assert row.verdict == "not by 0.091 (partly: 2 of 3 windows, 1 of 1 seeds)"


def test_a_part_of_the_windows_reaches_nothing_yet(s1):
    s1["windows"] = ["w1", "w2", "w3"]
    for row in s1["units"]:
        if row["policy"] == "ours":
            row["figures"] |= {"volumetricBill": 60.0 if row["window"] == "w1" else 600.0}
    row = next(r for r in targets({S1: Measured(S1, s1)}) if "price bound" in r.what)
    assert "**reached**" not in row.verdict
    assert row.verdict.startswith("met so far")


def test_more_moves_than_allowed_is_no_success(s1):
    for row in s1["units"]:
        if row["policy"] == "ours":
            row["figures"] |= {"volumetricBill": 60.0 if row["window"] == "w1" else 600.0}
            row["figures"]["movesPerWorkloadDay"] = 7.0
    row = next(r for r in targets({S1: Measured(S1, s1)}) if "price bound" in r.what)
    assert row.verdict == "**reached**; moves not by 3.0"


def test_events_name_every_figure_that_is_short():
    events = {
        "count": 10,
        "met": 9,
        "samplesInsideShare": 0.99,
        "meanError": 0.01,
        "meanOverCurtailment": 0.1,
        "highestRebound": 0.2,
        "secondsToShed": {"count": 10, "p50": 1.0, "p99": 20.0},
    }
    row = {
        "windows": ["all"],
        "seeds": [1],
        "units": [unit("ours", "all", 1.0, 1.0, objective="declared", events=events)],
    }
    told = next(
        r
        for r in targets({"s4-demand-response": Measured("s4", row)})
        if r.what.startswith("S4: 200")
    )
    assert told.verdict == (
        "not: 1 events, minutes by 0.5 points, over-curtailment by 8.0 points, "
        "rebound by 15.0 points, shed p99 by 5 s"
    )


# ---- what does not compare ----------------------------------------------------------------------


def changed(row, policy, **more):
    for unit in row["units"]:
        if unit["policy"] == policy:
            unit["figures"] |= more
    return Measured(S1, row)


@pytest.mark.parametrize(
    ("policy", "more", "why"),
    [
        ("ours", {}, []),
        ("ours", {"coolingLimitViolationSeconds": 5.0}, ["cooling limit"]),
        ("ours", {"lostTokens": 2000.0}, ["lost demand"]),
        ("ours", {"pastMarginShare": 0.11}, ["11.0 % past the margin"]),
        ("ours", {"attainment": {"TimeToFirstToken 800 ms": {"60 ms": 0.9}}}, ["latency"]),
        ("ours", {"batchUnitsDone": 37.0}, ["63 % of the batch work left"]),
        ("b0", {"importLimitViolationSeconds": 9.0}, ["b0: import limit"]),
    ],
)
def test_what_did_less_than_b0_does_not_compare(s1, policy, more, why):
    changed(s1, "b0", batchUnitsDone=100.0)
    changed(s1, "ours", batchUnitsDone=100.0)
    item = changed(s1, policy, **more)

    assert item.incomparable("ours", "money") == why
    line = next(row for row in render(result({S1: s1})).splitlines() if "**wattshift**" in row)
    assert line.startswith("| **wattshift** \\* |" if why else "| **wattshift** | ")
    told = next(r for r in targets({S1: item}) if "price bound" in r.what)
    assert told.verdict.startswith("does not compare") == bool(why)


def test_a_bill_below_zero_that_falls_is_a_saving(s1):
    for row in s1["units"]:
        if "figures" in row:
            row["figures"]["volumetricBill"] *= -1 if row["policy"] == "b0" else -2

    assert Measured(S1, s1).reduction("ours", "money", "volumetricBill") == pytest.approx(
        (2 * 720 - 1100) / 1100
    )


def months(*shares):
    return {
        "windows": [str(n) for n in range(len(shares))],
        "seeds": [1],
        "units": [
            unit(policy, str(n), 1.0, 1.0, objective=aim, greenShareHourly=share)
            for n, share in enumerate(shares)
            for policy, aim in (("b0", "any"), ("ours", "declared"))
        ],
    }


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((0.81,) * 9, "**reached**"),
        # the mean is far above 80 %, and two months are not
        ((0.99,) * 7 + (0.7, 0.7), "not by 2 months; the bound of each month is not told here"),
    ],
)
def test_green_is_judged_by_months_and_not_by_their_mean(shares, words):
    key = "s2-east-west:fleet-60"
    row = next(r for r in targets({key: Measured(key, months(*shares))}) if "green" in r.what)

    assert row.verdict == words


def test_no_latency_loss_means_none():
    row = months(0.5)
    changed(row, "ours", attainment={"TimeToFirstToken 800 ms": {"60 ms": 0.987, "any": 1.0}})
    told = next(r for r in targets({"s5-heat": Measured("s5-heat", row)}) if "S5" in r.what)

    assert told.verdict == "not: latency by 0.30 points"


# ---- the page -----------------------------------------------------------------------------------


def test_the_page_says_what_was_not_run_and_what_failed(s1):
    page = render(result({S1: s1}))
    assert "`s2-east-west:fleet-60`: not run, WATTSHIFT_DATA was absent" in page
    assert "`s3-wind`: not run" in page
    assert "failed: s5-heat all: broke" in page
    line = next(line for line in page.splitlines() if line.startswith(f"- `{S1}`:"))
    assert re.search(r"ours for carbon[^;]*: none", line)
    assert re.search(r"ours for money[^;]*: 2 of 2 windows, 1 of 3 seeds", line)
    assert "0123456789ab" in page
    assert f"`{S1}` 12 s (B0 12 s)" in page


def test_the_page_has_the_capture_of_each_policy(s1):
    page = render(result({S1: s1}))
    assert "| **wattshift** | 0.864 | 0.500 (w1) | +0.075 ± 0.025 |" in page
    assert "| b5 day-old rates, flow | 0.809 |" in page


def test_the_published_page_is_what_the_file_gives():
    assert PAGE.read_text() == render(json.loads(DATA.read_text()))


# ---- what is run --------------------------------------------------------------------------------


def test_every_shipped_scenario_is_measured_with_known_policies():
    assert {item.scenario for item in ITEMS} == set(shipped())
    assert all(set(item.policies) <= set(POLICIES) for item in ITEMS)
    first = ITEMS[0]
    assert (first.key, first.seeds, set(first.policies)) == (S1, (1, 2, 3), set(POLICIES))


def test_units_come_window_by_window_with_b0_and_bounds_first():
    item = Item(scenario="s1-small", policies=("b0", "b4", "ours"), objectives=("money", "carbon"))
    units = units_of(item, ["w1", "w2"], seeds=(1, 2))
    assert len(units) == 2 * 2 * (2 + 2 * 2)
    assert [(u.policy, u.objective) for u in units[:4]] == [
        ("b0", "any"),
        ("bounds", "any"),
        ("ours", "money"),
        ("ours", "carbon"),
    ]
    assert len({u.path(decisions.RESULTS) for u in units}) == len(units)


def test_the_frontier_has_eleven_weights_and_the_edge():
    item = Item(scenario="s1-small", policies=("b0",), frontier=True)
    units = units_of(item, ["w1"], seeds=(1, 2))
    assert [u.objective for u in units if u.policy == "ours"] == list(decisions.FRONTIER)
    assert sum(u.policy == "frontier" for u in units) == 1
    assert {u.seed for u in units if u.policy in ("ours", "frontier")} == {1}


def test_some_windows_are_spread_over_all():
    names = [f"w{index}" for index in range(13)]
    assert spread(names, None) == names
    assert spread(names, 3) == ["w0", "w6", "w12"]
    assert spread(names, 1) == ["w0"]
    assert spread(names, 99) == names


def test_a_run_that_stops_has_windows_from_everywhere():
    names = [f"w{index}" for index in range(13)]
    assert far_first(names)[:5] == ["w0", "w12", "w6", "w3", "w9"]
    assert sorted(far_first(names)) == sorted(names)
    assert far_first(["a", "b"]) == ["a", "b"]


class _Pool:
    """Runs at once, here: how `Bench` uses processes."""

    asked: list[Unit] = []

    def __init__(self, processes):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, work, unit, reference):
        _Pool.asked.append(unit)
        done = Future()
        if unit.policy == "b7":
            done.set_exception(NeedsHuman("will not"))
        else:
            row = {name: getattr(unit, name) for name in Unit.__dataclass_fields__}
            done.set_result({**row, "figures": figures(1.0, 2.0), "cpuSeconds": 0.0})
        return done


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(decisions, "ProcessPoolExecutor", _Pool)
    _Pool.asked = []
    return _Pool


def some_units(policies=("b0", "b4")):
    item = Item(scenario="s1-small", policies=policies)
    return [u for u in units_of(item, ["w1"], seeds=(1,)) if u.policy != "bounds"]


def test_what_has_a_file_is_not_run_again(pool, tmp_path):
    bench = Bench(folder=tmp_path, processes=2, deadline=None)
    bench.run(some_units())
    assert len(pool.asked) == 2
    bench.run(some_units())
    assert len(pool.asked) == 2
    assert len(gathered(tmp_path)["items"]["s1-small"]["units"]) == 2


def test_after_the_deadline_nothing_begins_and_it_is_counted(pool, tmp_path):
    bench = Bench(folder=tmp_path, processes=2, deadline=0.0)
    bench.run(some_units())
    assert pool.asked == []
    assert bench.left == 2


def test_one_unit_that_fails_stops_no_other(pool, tmp_path):
    bench = Bench(folder=tmp_path, processes=1, deadline=None)
    bench.run(some_units(("b0", "b7", "b4")))
    assert len(pool.asked) == 3
    assert list(bench.failed.values()) == ["will not"]
    assert len(list(tmp_path.glob("*/*.json"))) == 2


def test_what_needs_b0_waits_for_it(pool, tmp_path):
    item = Item(scenario="s1-small", policies=("b0",), frontier=True)
    units = [u for u in units_of(item, ["w1"], seeds=(1,)) if u.policy != "bounds"]
    Bench(folder=tmp_path, processes=2, deadline=None).run(units[::-1])
    assert pool.asked[0].policy == "b0"
    assert len(pool.asked) == 1 + 1 + 11
