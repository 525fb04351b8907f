"""Scenarios that nobody tuned anything to: they run to a page, or say in one line what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wattshift.errors import NeedsHuman
from wattshift.sim.load import load
from wattshift.sim.report.document import document
from wattshift.sim.report.page import write
from wattshift.sim.report.study import study

SITE = "{{name: {}, timeZone: {}, latitude: {}, longitude: {}, price: {}, carbon: {}}}"
FLAT = "{unit: USDPerMegawattHour, constant: 45}"
CLEAN = "{unit: GramPerKilowattHour, constant: 80}"
CHAT = (
    '- {{name: {}, actions: [Scale, ShiftTraffic], placements: [{{siteName: "*", '
    "profileName: llama-70b-4xh100, maxReplicas: {}}}], demand: {{shape: {{unit: Count, "
    "dailyCurve: [1, 2, 3, 2]}}, size: {}}}}}"
)


def scenario(tmp_path: Path, start: str, days: float, sites: list[str], rest: str, step: int = 900):
    path = tmp_path / "odd.yaml"
    rows = "\n".join(f"- {row}" for row in sites)
    path.write_text(
        f'name: odd\ntitle: Odd\nstartTime: "{start}"\ndays: {days}\nstepSeconds: {step}\n'
        f"planEverySeconds: {max(step, 300)}\ngovernEverySeconds: {min(step, 5) if step < 300 else step}\n"
        f"sources: [{{name: made up, licence: none}}]\nsites:\n{rows}\n{rest}\n"
    )
    return load(str(path))


def told(found, tmp_path: Path, policies=("b0", "b0s", "b5", "b7", "ours")):
    made = study(found, policies, processes=1)
    plain = document(made)
    assert "<svg" in write(tmp_path / "page", made, plain).read_text()
    return json.loads(json.dumps(plain, allow_nan=False))


def run_of(plain, policy):
    return next(row for row in plain["runs"] if row["policy"] == policy)


def test_the_night_when_clocks_go_back_with_prices_below_zero(tmp_path):
    price = "{unit: USDPerMegawattHour, dailyCurve: [90, 20, -60, -10, 120, 150], forecast: {model: Published}}"
    found = scenario(
        tmp_path,
        "2025-10-25T18:00:00Z",
        0.5,
        [
            SITE.format("berlin", "Europe/Berlin", 52.5, 13.4, price, CLEAN),
            SITE.format("newyork", "America/New_York", 40.7, -74, FLAT, CLEAN),
        ],
        "workloads:\n" + CHAT.format("chat", 6, "{ownPeak: {replicas: 6, headRoom: 1.5}}"),
    )
    plain = told(found, tmp_path)
    ours, local = run_of(plain, "ours")["total"], run_of(plain, "b0")["total"]
    assert ours["lostTokens"] <= 1e-3 * ours["demandTokens"]
    assert ours["volumetricBill"] < local["volumetricBill"]


def test_one_site_whose_events_overlap_contradict_and_ask_for_everything(tmp_path):
    found = scenario(
        tmp_path,
        "2024-12-31T12:00:00Z",
        0.25,
        [SITE.format("solo", "Asia/Kathmandu", 27.7, 85.3, FLAT, CLEAN)],
        "workloads:\n"
        + CHAT.format("chat", 6, "{ownPeak: {replicas: 6, headRoom: 1.2}}")
        + "\n"
        + CHAT.format("nobody", 2, "{meanTokensPerSecond: 0}")
        + """
events:
  listed:
  - {name: all, siteName: solo, startSeconds: 3600, durationSeconds: 900, upperWatts: 0}
  - {name: over, siteName: solo, startSeconds: 4200, durationSeconds: 1800, upperWatts: 6000}
  - {name: contrary, siteName: solo, startSeconds: 4300, durationSeconds: 600, lowerWatts: 90000}
  - {name: last, siteName: solo, startSeconds: 20900, durationSeconds: 600, reductionShare: 0.3}""",
        step=60,
    )
    plain = told(found, tmp_path, ("b0", "ours"))
    run = run_of(plain, "ours")
    met = {row["name"]: row["met"] for row in run["events"]}
    assert set(met) == {"all", "over", "contrary", "last"}
    assert met["last"]
    assert 0 < run["total"]["outputTokens"] <= run["total"]["demandTokens"]


def test_no_workload_at_all_is_a_bill_of_nothing(tmp_path):
    found = scenario(
        tmp_path,
        "2024-02-28T23:00:00Z",
        0.25,
        [SITE.format("a", "UTC", 0, 0, FLAT, CLEAN)],
        "workloads: []",
    )
    plain = told(found, tmp_path)
    assert {row["total"]["volumetricBill"] for row in plain["runs"]} == {0.0}
    assert plain["bounds"] == {}
    assert "no bounds: there is no workload to place" in plain["notes"]


def test_many_sites_from_the_antarctic_to_the_arctic(tmp_path):
    zones = ["UTC", "Asia/Kolkata", "Europe/Lisbon", "America/Denver", "Australia/Adelaide"]
    price = "{{unit: USDPerMegawattHour, dailyCurve: [{}, 40, {}]}}"
    found = scenario(
        tmp_path,
        "2025-03-30T00:00:00Z",
        0.125,
        [
            SITE.format(
                f"s{i}",
                zones[i % 5],
                -80 + 4 * i,
                170 - 8 * i,
                price.format(9 * i, 400 - 9 * i),
                CLEAN,
            )
            for i in range(40)
        ],
        "workloads:\n" + CHAT.format("chat", 2, "{meanTokensPerSecond: 900}"),
    )
    ours = run_of(told(found, tmp_path, ("b0", "ours")), "ours")
    assert ours["total"]["lostTokens"] <= 1e-3 * ours["total"]["demandTokens"]
    assert ours["againstB0"]["billReduction"] > 0


def test_more_batch_work_than_devices_beside_a_battery_on_leap_day(tmp_path):
    sun = SITE.format("sun", "Africa/Casablanca", 33.6, -7.6, FLAT, CLEAN).removesuffix("}") + (
        ", importLimitWatts: 4000, storage: {energyWattHours: 9000, powerWatts: 5000}, supply: {name: roof, "
        "type: Solar, power: [{unit: Kilowatt, dailyCurve: [0, 0, 30, 40, 5, 0]}]}}"
    )
    found = scenario(
        tmp_path,
        "2024-02-28T12:00:00Z",
        1,
        [sun, SITE.format("night", "Pacific/Auckland", -36.8, 174.7, FLAT, CLEAN)],
        """workloads:
- name: heaps
  posture: Batch
  actions: [Scale, Pause]
  minReplicas: 0
  demand: null
  placements: [{siteName: "*", profileName: llama-70b-4xh100, maxReplicas: 2}]
  batch: {arrivalsUnitsPerHour: {unit: Count, constant: 900}, dueSeconds: 21600, unitsPerReplicaHour: 100}""",
        step=1800,
    )
    plain = told(found, tmp_path, ("b0", "ours"))
    total = run_of(plain, "ours")["total"]
    assert total["importLimitViolationSeconds"] == 0
    assert 0 < total["batchUnitsDone"] < total["batchUnitsArrived"]
    assert not run_of(plain, "ours")["comparable"]


def test_a_shape_that_is_zero_cannot_be_sized_by_its_peak(tmp_path):
    chat = CHAT.format("chat", 6, "{ownPeak: {replicas: 6, headRoom: 1.2}}").replace(
        "[1, 2, 3, 2]", "[0]"
    )
    with pytest.raises(NeedsHuman, match="is zero everywhere"):
        scenario(
            tmp_path,
            "2024-02-28T00:00:00Z",
            1,
            [SITE.format("a", "UTC", 0, 0, FLAT, CLEAN)],
            "workloads:\n" + chat,
        )


@pytest.mark.parametrize("where", ["site", "contract"])
def test_a_name_that_yaml_reads_as_false_is_told_to_be_quoted(tmp_path, where):
    calendars = '[{name: tou, bands: [{name: Peak, windows: ["07:00-20:00"]}, {name: Off}]}]'
    contract = (
        ", contract: {spec: {role: Complete, currency: USD, timeZone: UTC, intervalMinutes: 15, "
        f'calendars: {calendars}, positions: [{{name: all, type: Residual, rate: "0.1"}}]}}}}}}'
    )
    site = SITE.format("No" if where == "site" else "a", "UTC", 0, 0, FLAT, CLEAN)
    site = site.removesuffix("}") + (contract if where == "contract" else "}")
    with pytest.raises(NeedsHuman, match="Off, On, Yes and No as False: quote it"):
        scenario(
            tmp_path,
            "2024-02-28T00:00:00Z",
            1,
            [site],
            "workloads:\n" + CHAT.format("chat", 2, "{meanTokensPerSecond: 900}"),
        )
