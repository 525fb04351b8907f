"""Figures that do not compare are marked, in the document, the table and the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from wattshift.core.model import Allowed
from wattshift.sim.load import load
from wattshift.sim.report import compared
from wattshift.sim.report.document import document
from wattshift.sim.report.page import page
from wattshift.sim.report.study import study
from wattshift.sim.report.table import amount, table
from wattshift.sim.result import reduced
from wattshift.sim.run import simulate
from wattshift.sim.scenario import SimBatch, Window

from tests.core.contract import tariffs
from tests.sim import scenario_files as files
from tests.sim import small


def told_of(scenario, *policies, **options):
    found = study(scenario, policies or ("b0", "b4"), processes=1, **options)
    return document(found), found


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    scenario = load(files.write(tmp_path_factory.mktemp("clean")), environment={})
    return told_of(scenario)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """An import limit under what the load needs."""
    old = "  currency: EUR\n  price:\n    unit: EURPerMegawattHour\n    csv"
    text = files.changed(old, f"  importLimitWatts: 4000\n{old}")
    return told_of(load(files.write(tmp_path_factory.mktemp("broken"), text), environment={}))


def test_what_did_the_whole_work_compares(clean):
    document_, _ = clean

    assert [row["comparable"] for row in document_["runs"]] == [True, True]
    assert [row["incomparable"] for row in document_["runs"]] == [[], []]
    assert not any("compare" in note for note in document_["notes"])
    assert "*" not in table(document_)


def test_a_b0_that_breaks_a_limit_compares_with_nobody(broken):
    document_, found = broken
    rows = {row["policy"]: row for row in document_["runs"]}

    assert rows["b0"]["incomparable"][0].startswith("was over the import limit for ")
    assert not any(row["comparable"] for row in document_["runs"])
    text = table(document_)
    assert "b0 local, autoscaled *" in text
    assert "b4 cheapest now *" in text
    assert "* does not compare with B0" in text
    assert "note: b0 was over the import limit" in text
    assert "nothing compares with it" in text
    assert "capture on [B0, B8m]" not in text
    told = page(found, document_)
    assert "b4 cheapest now *" in told
    assert "nothing compares with it" in told
    assert "Where capture is lost" not in told


def test_a_capture_that_does_not_compare_stands_in_brackets(broken):
    document_, _ = broken
    b4 = next(row for row in document_["runs"] if row["policy"] == "b4")
    ratio = b4["capture"]["carbon"]["ratio"]

    assert f"({ratio:.3f})" in table(document_)


# ---- each reason ------------------------------------------------------------------------------


class _Ran:
    def __init__(self, policy, result, objective="declared"):
        self.policy, self.result, self.objective = policy, result, objective


def ran(scenario, policy):
    return simulate(scenario, policy)


def test_lost_demand_and_latency_are_reasons():
    base = small.scenario(steps=48)
    reasons = compared.incomparable(
        [
            _Ran("b0", ran(base, small.Local())),
            _Ran("b4", ran(base, small.Scripted({0: _all_off(base)}))),
        ]
    )
    words = " and ".join(reasons["b4", "declared"])

    assert "of the demand" in words
    assert "points of latency against B0" in words
    assert not compared.compares(reasons, "b4", "declared")


def _all_off(scenario):
    from wattshift.sim.policies.base import Orders  # noqa: PLC0415

    orders = Orders()
    for row in scenario.workloads[0].placements:
        orders.replicas[scenario.workloads[0].key, row.site_name] = 0
    return orders


def test_batch_work_that_is_left_is_a_reason():
    """It costs nothing to leave work for later: the bill of who does is no saving."""
    base = small.scenario(steps=48)
    batch = SimBatch(arrivals_units=np.full(48, 10.0), due_seconds=1e6, units_per_replica_hour=60.0)
    job = replace(
        base.workloads[0],
        name="batch",
        origins=(),
        demand_tokens_per_second=np.zeros((48, 0)),
        batch=batch,
        actions=(Allowed.SCALE,),
    )
    scenario = replace(base, workloads=(job,))
    worked, idle = (
        ran(scenario, small.Nothing()),
        ran(scenario, small.Scripted({0: _all_off(scenario)})),
    )
    total = worked.to_json()["total"]
    reasons = compared.incomparable([_Ran("b0", worked), _Ran("ours", idle)])

    assert total["batchUnitsArrived"] == pytest.approx(480.0)
    assert total["batchUnitsDone"] == pytest.approx(480.0, abs=11)
    assert ("b0", "declared") not in reasons
    assert "less batch work than B0" in reasons["ours", "declared"][0]
    assert compared.told([_Ran("ours", idle)], reasons)[0].startswith("wattshift did ")


def test_batch_work_past_its_due_time_is_a_reason():
    base = small.scenario(steps=48)
    batch = SimBatch(
        arrivals_units=np.full(48, 10.0), due_seconds=600.0, units_per_replica_hour=1.0
    )
    job = replace(
        base.workloads[0], origins=(), demand_tokens_per_second=np.zeros((48, 0)), batch=batch
    )
    late = ran(replace(base, workloads=(job,)), small.Nothing())

    assert "late or not at all" in compared.incomparable([_Ran("b0", late)])["b0", "declared"][0]


# ---- what is not told -------------------------------------------------------------------------


def test_no_carbon_bound_where_a_site_would_look_clean_for_want_of_data(tmp_path):
    text = files.changed("  carbon: {unit: GramPerKilowattHour, constant: 30}\n", "")
    document_, _ = told_of(load(files.write(tmp_path, text), environment={}), "b0", "b4")

    assert set(document_["bounds"]) == {"money"}
    assert document_["frontier"] is None
    assert any(
        note.startswith("no bound for carbon: oslo has no carbon intensity, so that energy there")
        for note in document_["notes"]
    )


def test_no_money_bound_without_any_price():
    base = small.scenario(steps=24)
    bare = replace(base, sites=tuple(replace(row, price=None) for row in base.sites))
    document_, _ = told_of(bare, "b0")

    assert set(document_["bounds"]) == {"carbon"}
    assert "no bound for money: no site has a price" in document_["notes"]


@pytest.mark.parametrize(
    ("tariff", "why"),
    [
        (tariffs.T1.replace("CNY", "USD"), "shares of energy lines"),
        (tariffs.T4.replace("EUR", "USD"), "rates that depend on the year's use"),
        (tariffs.T6, ""),
        (tariffs.T12.replace("EUR", "USD"), "volumes that are paid whatever is used"),
    ],
)
def test_no_money_bound_beside_a_tariff_that_bends(tariff, why):
    base = small.scenario(steps=12)
    document_, _ = told_of(small.with_site(base, 0, contract=tariffs.contract(tariff)), "b0")
    notes = [note for note in document_["notes"] if "contract of alpha" in note]

    assert ("money" in document_["bounds"]) == (not why)
    assert bool(notes) == bool(why)
    assert why in " ".join(notes)


# ---- figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "value", "share"),
    [
        (100.0, 75.0, 0.25),
        (-4.0, -6.0, 0.5),
        (-4.0, -2.0, -0.5),
        (0.0, 5.0, None),
        (5.0, None, None),
    ],
)
def test_less_is_a_reduction_on_either_side_of_zero(base, value, share):
    assert reduced(base, value) == share


def test_the_whole_bill_is_shown_where_peaks_are_charged():
    base = small.scenario(steps=24)
    charged = small.with_site(base, 0, contract=tariffs.contract(tariffs.T6))
    document_, _ = told_of(charged, "b0", "b4")
    lines = table(document_).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("whole bill"))
    row = next(run["total"] for run in document_["runs"] if run["policy"] == "b0")

    assert amount(row["bill"]) in lines[head + 2]
    plain, _ = told_of(base, "b0", bounds=False)
    assert "whole bill" not in table(plain)


def test_the_page_tells_the_whole_bill_and_marks_points_beyond_the_bound(broken):
    base = small.scenario(steps=24)
    charged = small.with_site(base, 0, contract=tariffs.contract(tariffs.T6))
    document_, found = told_of(charged, "b0", "b4")

    assert "whole bill, peaks and fixed charges included" in page(found, document_)
    document_, found = broken
    text = page(found, document_)
    assert ">b4 *</text>" in text
    assert "whole bill" not in text


def test_what_no_site_has_is_a_dash_and_not_nothing():
    base = small.scenario(steps=24)
    bare = replace(base, sites=tuple(replace(row, carbon=None) for row in base.sites))
    document_, found = told_of(bare, "b0", "b4")
    row = next(line for line in table(document_).splitlines() if line.startswith("b0"))

    assert " 0.00" not in row
    assert row.split()[5] == "-"
    assert "<td>0.00</td>" not in page(found, document_)


def test_a_b0_past_the_margin_flatters_nobody():
    base = small.scenario(steps=24)
    tight = replace(base, margin=0.95)
    reasons = compared.incomparable(
        [_Ran("b0", ran(tight, small.Nothing())), _Ran("b4", ran(tight, small.Nothing()))]
    )

    assert ("b0", "declared") not in reasons
    assert "past the margin" in reasons["b4", "declared"][0]


@pytest.mark.parametrize(
    ("steps", "windows", "words"),
    [
        (12, 1, ""),
        (24, 2, "Drawn here and below: all of window w0."),
        (288 * 8, 1, "Drawn here and below: the first 7 days of window w0."),
    ],
)
def test_the_page_says_which_part_it_draws(steps, windows, words):
    base = small.scenario(steps=steps)
    each = steps // windows
    rows = tuple(
        Window(name=f"w{i}", first_step=i * each, last_step=(i + 1) * each) for i in range(windows)
    )
    document_, found = told_of(replace(base, windows=rows), "b0", bounds=False)
    text = page(found, document_)

    assert words in text
    assert ("Drawn here" in text) == bool(words)
