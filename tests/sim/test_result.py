"""Figures: components add up, windows add up, capture and its losses, stable keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim import small
from wattshift.core.model import Allowed
from wattshift.sim.policies.base import Orders
from wattshift.sim.result import capture, compare
from wattshift.sim.run import choose, simulate, stretches, with_seed
from wattshift.sim.scenario import Signal, Window

KEYS = {
    "schema",
    "scenario",
    "policy",
    "seed",
    "currency",
    "total",
    "windows",
    "events",
}


def halves(steps: int = 96) -> tuple[Window, ...]:
    return (
        Window(name="first", first_step=0, last_step=steps // 2),
        Window(name="second", first_step=steps // 2, last_step=steps),
    )


def test_windows_add_up_to_the_whole():
    base = small.scenario(96, windows=halves())
    parts = simulate(base, small.Nothing).to_json()
    whole = simulate(base, small.Nothing, windows=["all"]).to_json()

    for key in ("carbonGrams", "volumetricBill", "outputTokens", "facilityKilowattHours"):
        summed = sum(parts["windows"][name][key] for name in ("first", "second"))
        assert summed == pytest.approx(whole["total"][key], rel=1e-9)
        assert parts["total"][key] == pytest.approx(summed)


def test_keys_are_stable():
    document = simulate(small.scenario(12), small.Nothing, windows=["all"]).to_json()

    assert set(document) == KEYS
    figures = document["total"]
    for key in (
        "volumetricBill",
        "billComponents",
        "carbonGramsPerMillionTokens",
        "energyCostPerMillionTokens",
        "itJoulesPerToken",
        "greenShareHourly",
        "certificateRatio",
        "itKilowattHours",
        "facilityKilowattHours",
        "curtailedKilowattHours",
        "attainment",
        "movesPerWorkloadDay",
        "reversalsPerWorkloadDay",
        "events",
        "planSeconds",
        "governSeconds",
    ):
        assert key in figures


def test_every_key_is_documented():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    document = simulate(small.scenario(12), small.Nothing, windows=["all"]).to_json()
    names = {*KEYS, *document["total"], *document["total"]["events"]}
    names |= set(document["total"]["energyKilowattHours"])
    names |= set(compare_of_small())

    assert sorted(name for name in names if f"`{name}`" not in text) == []


def compare_of_small() -> dict:
    result = simulate(small.scenario(6), small.Nothing, windows=["all"])
    return compare(result, result)


def test_the_bill_is_the_sum_of_its_components_and_of_energy_times_price():
    base = small.scenario(48)
    result = simulate(base, small.Nothing, windows=["all"])
    figures = result.to_json()["total"]
    sums = result.windows[0].sums
    power = np.asarray(sums.series["importWatts"])
    prices = np.stack([site.price.values for site in base.sites], axis=1)

    assert figures["bill"] == pytest.approx(sum(figures["billComponents"].values()))
    assert figures["volumetricBill"] == pytest.approx(
        float((power / 1000 * 300 / 3600 * prices[:48]).sum()), rel=1e-5
    )


def test_currencies_are_brought_to_the_reporting_one():
    base = small.scenario(12)
    plain = simulate(base, small.Nothing, windows=["all"])
    yuan = small.with_site(base, 0, currency="CNY")
    settings = replace(base.settings, exchange_rates=(("CNY", "0.14"),))
    other = simulate(replace(yuan, settings=settings), small.Nothing, windows=["all"])
    cost = plain.windows[0].sums.cost / 1e6

    assert other.energy_cost == pytest.approx(cost[0] * 0.14 + cost[1] + cost[2])


def test_moves_and_reversals_are_counted_by_workload_day():
    east = {"alpha": 1.0}
    away = {"beta": 1.0}
    orders = {
        3000.0: Orders(split={("llm/chat", "east"): away}),
        3600.0: Orders(split={("llm/chat", "east"): east}),
    }
    base = small.scenario(288)
    demand = np.zeros((288, 2))
    demand[:, 0] = 1000.0
    base = replace(base, workloads=(replace(base.workloads[0], demand_tokens_per_second=demand),))
    figures = simulate(base, small.Scripted(orders), windows=["all"]).to_json()["total"]

    assert figures["movesPerWorkloadDay"] == pytest.approx(2.0)
    assert figures["reversalsPerWorkloadDay"] == pytest.approx(1.0)


def test_flapping_replicas_are_counted():
    orders = {
        3000.0: Orders(replicas={("llm/chat", "alpha"): 6}),
        3600.0: Orders(replicas={("llm/chat", "alpha"): 4}),
        9600.0: Orders(replicas={("llm/chat", "alpha"): 6}),
    }
    figures = simulate(small.scenario(288), small.Scripted(orders), windows=["all"]).to_json()

    assert figures["total"]["replicaReversalsPerWorkloadDay"] == pytest.approx(1.0)


def test_limits_are_judged_on_what_they_limit():
    base = small.scenario(12)
    watts = np.asarray(
        simulate(base, small.Nothing, windows=["all"]).windows[0].sums.series["importWatts"]
    )
    it = (watts[:, 0] - 1000) / 1.1  # between: at 5 degrees the facility is 1000 W + 1.1 x IT
    between = float((watts[:, 0].min() + it.max()) / 2)
    assert it.max() < between < watts[:, 0].min()
    cooling = Signal(values=np.full(12, between), unit="Watt")
    cool = small.with_site(base, 0, cooling_limit=cooling)
    tight = small.with_site(base, 0, import_limit_watts=between)

    def total(scenario):
        return simulate(scenario, small.Nothing, windows=["all"]).to_json()["total"]

    assert total(cool)["coolingLimitViolationSeconds"] == 0
    assert total(tight)["importLimitViolationSeconds"] == 3600
    assert total(tight)["importLimitViolationKilowattHours"] > 0


def test_green_share_is_matched_by_hour_and_site():
    base = small.scenario(24)
    supply = np.zeros(24)
    supply[:12] = 1e6  # an hour of plenty, an hour of nothing
    sites = tuple(
        replace(site, supply=Signal(values=supply, unit="Watt"), supply_capacity_watts=1e6)
        for site in base.sites
    )
    demand = np.full((24, 2), 3000.0)
    workload = replace(base.workloads[0], demand_tokens_per_second=demand)
    flat = tuple(
        replace(s, temperature=replace(s.temperature, values=np.full(24, 20.0))) for s in sites
    )
    figures = simulate(
        replace(base, sites=flat, workloads=(workload,)), small.Nothing, windows=["all"]
    ).to_json()["total"]

    assert figures["greenShareHourly"] == pytest.approx(0.5, abs=0.01)
    assert figures["certificateRatio"] == pytest.approx(0.5, abs=0.01)
    assert figures["curtailedKilowattHours"] > 0


def test_seeds_are_several_demands_and_the_same_for_a_seed():
    base = small.scenario(24)
    noisy = replace(base, workloads=(replace(base.workloads[0], demand_relative_noise=0.1),))
    first, again, other = with_seed(noisy, 1), with_seed(noisy, 1), with_seed(noisy, 2)

    def demand(row):
        return row.workloads[0].demand_tokens_per_second

    assert np.array_equal(demand(first), demand(again))
    assert not np.array_equal(demand(first), demand(other))
    assert with_seed(first, 1) is first
    assert with_seed(base) is base


def test_windows_without_a_gap_are_run_through():
    rows = (
        Window(name="a", first_step=0, last_step=10),
        Window(name="b", first_step=10, last_step=20),
        Window(name="c", first_step=30, last_step=40),
    )
    found = stretches(rows)

    assert [[w.name for w in part] for part in found] == [["a", "b"], ["c"]]


def test_development_windows_are_not_reported_unless_asked_for():
    rows = (
        Window(name="dev", first_step=0, last_step=10, development=True),
        Window(name="kept", first_step=10, last_step=20),
    )
    base = small.scenario(40, windows=rows)

    assert [w.name for w in choose(base, None)] == ["kept"]
    assert [w.name for w in choose(base, ["dev"])] == ["dev"]
    with pytest.raises(ValueError, match="no window named nope: there are all, dev, kept"):
        choose(base, ["nope"])


def test_a_gap_between_windows_begins_with_a_fresh_policy():
    rows = (
        Window(name="a", first_step=0, last_step=6),
        Window(name="c", first_step=100, last_step=106),
    )
    made = []

    def factory():
        made.append(small.Nothing())
        return made[-1]

    result = simulate(small.scenario(120, windows=rows), factory)

    assert len(made) == 2
    assert [row.name for row in result.windows] == ["a", "c"]
    assert made[1].seen[0].wall_time == (100 - 72) * 300.0  # six hours of warm-up
    assert result.seconds == 12 * 300.0


def test_progress_is_told_up_to_the_end():
    shares = []
    simulate(small.scenario(20), small.Nothing, progress=lambda share, _: shares.append(share))

    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_capture_splits_what_was_lost():
    found = capture(
        100.0,
        55.0,
        50.0,
        objective="carbon",
        bound_without_margin=48.0,
        rounded_bound=51.0,
        rounded_bound_with_moves=52.0,
    )

    assert found.ratio == pytest.approx(0.9)
    assert found.lost == pytest.approx(
        {"margin": 0.04, "rounding": 0.02, "moves": 0.02, "information": 0.06}
    )
    parts = sum(value for name, value in found.lost.items() if name != "margin")
    assert found.ratio + parts == pytest.approx(1.0)
    assert capture(50.0, 50.0, 50.0).ratio is None


def test_latency_loss_against_a_baseline_is_in_points():
    base = small.scenario(48)
    good = simulate(base, small.Nothing, windows=["all"])
    few = Orders(replicas={("llm/chat", name): 1 for name in ("alpha", "beta", "gamma")})
    bad = simulate(base, small.Scripted({0.0: few}), windows=["all"])
    figures = compare(bad, good)

    assert figures["worstLatencyLossPoints"] > 0
    assert figures["facilityEnergyReduction"] > 0


def test_a_workload_that_only_scales_has_no_split():
    names = ("alpha", "beta", "gamma")
    workload = small.chat(24, names, actions=(Allowed.SCALE,))
    result = simulate(
        small.scenario(24, workloads=(workload,)), small.Local, windows=["all"], checked=True
    )

    assert result.output_tokens > 0
