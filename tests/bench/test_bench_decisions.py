"""The benchmark of decisions: what is run and kept, ratios of sums, verdicts, and the page."""

from __future__ import annotations

import json
import re
from concurrent.futures import Future

import pytest

from e2e.bench import decisions, decisions_measure
from e2e.bench.decisions import Bench, gathered
from e2e.bench.decisions_figures import Item as Measured
from e2e.bench.decisions_items import (
    FRONTIER,
    ITEMS,
    Item,
    Unit,
    far_first,
    in_order,
    pairs,
    spread,
    units_of,
)
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
    assert row.verdict == (
        "not by 0.091; 0.97, which is asked for without the cap, not by 0.106 (the cap was kept) "
        "(partly: 2 of 3 runs: 2 of 3 windows, 1 of 1 seeds)"
    )


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


def test_windows_that_met_one_seed_each_are_a_part_of_the_protocol(s1):
    s1["seeds"] = [1, 2]
    for row in s1["units"]:
        row["seed"] = 1 if row["window"] == "w1" else 2
    done = Measured(S1, s1).covered("ours", "money")
    assert (done.runs, done.of, done.whole) == (2, 4, False)
    assert str(done) == "2 of 4 runs: 2 of 2 windows, 2 of 2 seeds"


def test_what_looks_at_no_objective_is_compared_for_each(s1):
    s1["units"] += [unit("b1", "w1", 100.0, 90.0), unit("b1", "w2", 1000.0, 900.0)]
    item = Measured(S1, s1)
    assert item.capture("b1", "carbon", aim="carbon") == pytest.approx((10 + 100) / (40 + 400))
    assert item.capture("b1", "money", aim="money") == 0
    page = render(result({S1: s1}))
    assert "| b1 night schedule | 0.250 | 0.250 (w1) |" in page
    assert "| b1 night schedule | 0.000 | 0.000 (w1) |" in page


def test_energy_per_token_is_against_replicas_that_are_never_switched_off():
    key = "s2-east-west:fleet-60"
    row = months(0.9, 0.9)
    for name in ("0", "1"):
        row["units"].append(unit("b0s", name, 2.0, 2.0, replicaHours=2.0))
    changed(row, "ours", replicaHours=1.0)
    told = next(r for r in targets({key: Measured(key, row)}) if "joules" in r.what)
    assert told.measured.startswith("-50.0 % against B0 without consolidation, +0.0 % against B0;")
    assert "tokens/s a replica 139 / - / 278" in told.measured
    assert told.verdict == "**reached**"
    changed(row, "ours", attainment={"TimeToFirstToken 800 ms": {"60 ms": 0.9, "any": 1.0}})
    told = next(r for r in targets({key: Measured(key, row)}) if "joules" in r.what)
    assert told.verdict.startswith("**reached**; latency not by")


def test_place_and_consolidation_are_told_apart_and_together(s1):
    key = "s1-global:three-sites"
    for row in s1["units"]:
        if row["objective"] == "money":
            row["objective"] = "carbon"
    for window, grams in (("w1", 200.0), ("w2", 2000.0)):
        s1["units"].append(unit("b0s", window, 1.0, grams))
    changed(s1, "ours", pastMarginShare=0.0)
    for row in s1["units"]:
        if row["policy"] == "ours":
            row["figures"]["carbonGrams"] = 62.0 if row["window"] == "w1" else 620.0
    told = next(r for r in targets({key: Measured(key, s1)}) if "carbon of place" in r.what)
    assert "place -38.0 % (bound -40.0 %), consolidation -50.0 %, both -69.0 % (bound -70.0 %)" in (
        told.measured
    )
    assert told.verdict.startswith("place **reached**") and told.verdict.endswith("**reached**")


def test_events_name_every_figure_that_is_short():
    events = {
        "count": 10,
        "notCalled": 2,
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


def drawn(size, plan, govern, gap):
    head = {"policy": "fleet", "objective": "any", "window": size, "seed": 1, "cpuSeconds": 1.0}
    row = {
        "runs": 3,
        "planSecondsMost": plan,
        "governSecondsMost": govern,
        "gapMost": gap,
        "goalGapMost": gap / 2,
    }
    return {**head, "fleet": row}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([drawn("50x2000", 1.0, 0.2, 0.005)], "**reached**"),
        # the largest is told and asked nothing
        ([drawn("50x2000", 1.0, 0.2, 0.005), drawn("200x20000", 30.0, 2.0, 0.02)], "**reached**"),
        ([drawn("50x2000", 11.0, 0.4, 0.007)], "not: plan, governor, gap 0.70 %"),
    ],
)
def test_decision_times_and_gaps_of_drawn_fleets_are_judged(rows, words):
    item = Measured("s7-scale", {"windows": ["all"], "seeds": [1], "units": rows})
    told = next(r for r in targets({"s7-scale": item}) if "decision time" in r.what)
    assert told.verdict == words
    assert f"drawn {rows[-1]['window'].replace('x', ' x ')}, highest of 3: plan" in told.measured
    assert f"({50 * rows[-1]['fleet']['gapMost']:.2f} % where dwell" in told.measured


def test_a_drawn_fleet_is_decided_about():
    row = decisions_measure._fleet("4x30")["fleet"]
    assert row["runs"] == decisions_measure.SMALL_FLEETS
    assert 0 < row["governSecondsMost"] and 0 < row["planSecondsMost"]
    assert -1e-6 <= row["gapMost"] < 0.5
    assert -1e-6 <= row["goalGapMost"] <= row["gapMost"] + 1e-6


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


def green_bounds(row, *most, bill=1.0):
    for n, share in enumerate(most):
        found = {
            "greatestShare": share,
            "shares": [
                {"share": 0.8, "leastBill": bill, "billPerGreenKilowattHour": 0.02, "reached": 0.8}
            ],
        }
        head = {"policy": "green", "objective": "any", "window": str(n), "seed": 1}
        row["units"].append({**head, "green": found, "cpuSeconds": 1.0})
    return row


@pytest.mark.parametrize(
    ("shares", "most", "bill", "words"),
    [
        ((0.81,) * 9, (0.95,) * 9, 1.0, "**reached**"),
        # the mean is far above 80 %, and two months are not
        ((0.99,) * 7 + (0.7, 0.7), (0.95,) * 9, 1.0, "not: 2 months"),
        # no more was possible there, and they are within a point of it
        ((0.99,) * 7 + (0.7, 0.7), (0.95,) * 7 + (0.71, 0.705), 1.0, "**reached**"),
        ((0.81,) * 9, (0.95,) * 9, 0.9, "not: cost by 0.091"),
    ],
)
def test_green_is_judged_by_months_against_their_bounds(shares, most, bill, words):
    key = "s2-east-west:fleet-60"
    item = Measured(key, green_bounds(months(*shares), *most, bill=bill))
    row = next(r for r in targets({key: item}) if "green" in r.what)

    assert row.verdict == words


def test_of_ten_months_one_may_miss_its_share_and_a_part_counts_what_it_has():
    key = "s2-east-west:fleet-60"
    row = green_bounds(months(*(0.7,) + (0.81,) * 9), *(0.95,) * 10)

    def told():
        return next(r for r in targets({key: Measured(key, row)}) if "green" in r.what).verdict

    assert told() == "**reached**"
    row["units"] = [u for u in row["units"] if u["window"] in "01"]
    assert told() == "met so far (partly: 2 of 10 runs: 2 of 10 windows, 1 of 1 seeds)"
    changed(row, "ours", greenShareHourly=0.7)
    assert told().startswith("not: 1 months (partly")


def test_a_month_without_its_bound_is_not_judged():
    key = "s2-east-west:fleet-60"
    row = next(r for r in targets({key: Measured(key, months(0.9))}) if "green" in r.what)
    assert row.verdict == "not run"


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
    assert "ours for money" not in line  # all that the file asks for
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


def listed(item, windows):
    return [unit for _, unit in units_of(item, windows)]


def test_b0_and_bounds_come_first_and_what_no_objective_changes_once():
    item = Item(
        scenario="s1-small",
        policies=("b0", "b4", "b7", "ours"),
        objectives=("money", "carbon"),
        seeds=(1, 2),
        bounds=True,
    )
    units = listed(item, ["w1", "w2"])
    assert len(units) == 2 * 2 * (2 + 2 * 2 + 1)
    assert [(u.policy, u.objective) for u in units[:7]] == [
        ("bounds", "any"),
        ("b0", "any"),
        ("ours", "money"),
        ("ours", "carbon"),
        ("b4", "money"),
        ("b4", "carbon"),
        ("b7", "any"),
    ]
    assert len({u.path(decisions.RESULTS) for u in units}) == len(units)


def test_the_frontier_runs_nine_weights_and_takes_its_ends_from_one_objective_alone():
    item = Item(
        scenario="s1-small", policies=("b0",), frontier=True, objectives=("money", "carbon")
    )
    units = listed(item, ["w1"])
    assert [u.objective for u in units if u.policy == "ours"] == list(FRONTIER[1:-1])
    assert sum(u.policy == "frontier" for u in units) == 1
    declared = Item(scenario="s1-small", policies=("b0",), frontier=True)
    assert sum(u.policy == "ours" for u in listed(declared, ["w1"])) == 11


def test_seeds_take_turns_until_every_window_met_every_seed():
    found = pairs(["w1", "w2", "w3", "w4"], (1, 2, 3))
    assert found[:4] == [("w1", 1), ("w2", 2), ("w3", 3), ("w4", 1)]
    assert len(set(found)) == len(found) == 12


def test_a_run_that_stops_has_something_of_every_item_before_more_of_one():
    items = [
        Item(scenario="a", first=2, seeds=(1, 2), policies=("b0", "ours", "b7")),
        Item(scenario="b", policies=("b0", "ours"), frontier=True),
    ]
    chunks = in_order(items, {"a": ["w1", "w2", "w3"], "b": ["x", "y"]})
    firsts = [(chunk[0].scenario, chunk[0].window, chunk[0].seed) for chunk in chunks]
    assert firsts[:4] == [("a", "w1", 1), ("b", "x", 1), ("a", "w2", 2), ("a", "w1", 1)]
    assert "frontier" in [u.policy for u in chunks[1]]
    assert [u.policy for u in chunks[3]] == ["b7"]
    everything = {
        u for item in items for u in listed(item, ["w1", "w2", "w3"]) if u.scenario == "a"
    }
    assert {u for chunk in chunks for u in chunk if u.scenario == "a"} == everything
    assert all(len({(u.scenario, u.seed) for u in chunk}) == 1 for chunk in chunks)


def test_every_target_has_a_measurement_in_the_first_round():
    windows = {item.key: ["w1", "w2", "w3"] for item in ITEMS}
    chunks = in_order(ITEMS, windows)
    first = {(u.item, u.policy) for chunk in chunks[: len(ITEMS)] for u in chunk}
    assert {(item.key, "ours") for item in ITEMS} <= first
    assert {("s1-global:rtt-150", "frontier"), ("s2-east-west:fleet-60", "green")} <= first
    assert {("s2-east-west:fleet-60", "b0s"), ("s1-global:three-sites", "b0s")} <= first


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

    def __init__(self, processes):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, work, *arguments):
        done = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


@pytest.fixture
def asked(monkeypatch):
    """What was measured; the figures are made up."""
    seen: list[Unit] = []

    def measure(unit, reference):
        seen.append(unit)
        if unit.policy == "b7":
            raise NeedsHuman("will not")
        assert (reference is not None) == unit.needs_reference
        row = {name: getattr(unit, name) for name in Unit.__dataclass_fields__}
        return {**row, "figures": figures(1.0, 2.0), "cpuSeconds": 0.0}

    monkeypatch.setattr(decisions, "ProcessPoolExecutor", _Pool)
    monkeypatch.setattr(decisions_measure, "measure", measure)
    return seen


def some_units(policies=("b0", "b4"), *, frontier=False):
    item = Item(scenario="s1-small", policies=policies, frontier=frontier)
    return in_order([item], {"s1-small": ["w1"]})


def test_what_has_a_file_is_not_run_again(asked, tmp_path):
    bench = Bench(folder=tmp_path, processes=2, deadline=None)
    bench.run(some_units())
    assert len(asked) == 2
    bench.run(some_units())
    assert len(asked) == 2
    assert len(gathered(tmp_path)["items"]["s1-small"]["units"]) == 2


def test_after_the_deadline_nothing_begins_and_it_is_counted(asked, tmp_path):
    bench = Bench(folder=tmp_path, processes=2, deadline=0.0)
    bench.run(some_units())
    assert asked == []
    assert bench.left == 2


def test_one_unit_that_fails_stops_no_other(asked, tmp_path):
    bench = Bench(folder=tmp_path, processes=1, deadline=None)
    bench.run(some_units(("b0", "b7", "b4")))
    assert len(asked) == 3
    assert list(bench.failed.values()) == ["will not"]
    assert len(list(tmp_path.glob("*/*.json"))) == 2


def test_a_process_that_is_killed_loses_its_chunk_and_no_other(asked, tmp_path, monkeypatch):
    def killed(chunk, *rest):
        if any(unit.policy == "b4" for unit in chunk):
            raise RuntimeError("a process ended abruptly")
        return decisions_measure.work(chunk, *rest)

    monkeypatch.setattr(decisions, "work", killed)
    bench = Bench(folder=tmp_path, processes=1, deadline=None)
    bench.run([*some_units(("b4",)), *some_units(("b0",))])
    assert [u.policy for u in asked] == ["b0"]
    assert list(bench.failed.values()) == ["and what follows it: a process ended abruptly"]


def test_what_needs_b0_follows_it_and_waits_where_it_failed(asked, tmp_path):
    bench = Bench(folder=tmp_path, processes=2, deadline=None)
    bench.run(some_units(("b0",), frontier=True))
    assert asked[0].policy == "b0"
    assert len(asked) == 1 + 1 + 11
    other = Bench(folder=tmp_path / "other", processes=2, deadline=None)
    other.run(some_units((), frontier=True))
    assert (len(asked), other.left) == (13, 12)
