"""A good file: what comes out of it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.sim import scenario_files as files
from wattshift.sim.load import ScenarioError, load
from wattshift.sim.scenario import ForecastModel


def test_csv_is_held_from_its_hour_and_converted_to_the_canonical_unit(tmp_path):
    scenario = load(files.write(tmp_path))
    price = scenario.sites[0].price
    assert price.unit == "EUR/kWh"
    assert price.values.shape == (576,)
    assert price.values[:12] == pytest.approx([0.050] * 12)
    assert price.values[12] == pytest.approx(0.051)
    assert not price.values.flags.writeable


def test_finer_data_become_means_of_steps(tmp_path):
    rows = ["datetime_utc,berlin"]
    for minute in range(0, 2 * 1440, 5):
        stamp = datetime.fromtimestamp(1711756800 + minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")
        rows.append(f"{stamp},{minute % 60}")
    path = files.write(
        tmp_path, files.changed("days: 2", "days: 2\nstepSeconds: 3600\nplanEverySeconds: 3600"),
        "\n".join(rows) + "\n",
    )  # fmt: skip
    values = load(path).sites[0].price.values * 1000
    assert values == pytest.approx(np.full(48, np.mean(range(0, 60, 5))))


def test_straight_lines_between_points_when_asked(tmp_path):
    text = files.changed("column: berlin}", "column: berlin}\n    interpolation: Linear")
    values = load(files.write(tmp_path, text)).sites[0].price.values * 1000
    assert values[6] == pytest.approx(50.5)


def test_times_with_offsets_mean_the_same_as_utc(tmp_path):
    moved = []
    for row in files.prices().splitlines()[1:]:
        stamp, *rest = row.split(",")
        local = datetime.fromisoformat(stamp).astimezone(ZoneInfo("Asia/Kolkata"))
        moved.append(",".join([local.isoformat(), *rest]))
    csv = "datetime_utc,berlin,oslo\n" + "\n".join(moved) + "\n"
    one = load(files.write(tmp_path)).sites[0].price.values
    two = load(files.write(tmp_path, csv=csv)).sites[0].price.values
    assert np.array_equal(one, two)


def test_scale_add_floor_and_ceiling_in_this_order(tmp_path):
    text = files.changed(
        "column: berlin}",
        "column: berlin}\n    scale: 2\n    add: -120\n    floor: -10\n    ceiling: 60",
    )
    values = load(files.write(tmp_path, text)).sites[0].price.values * 1000
    assert values[0] == pytest.approx(-10)  # 50 x 2 - 120 = -20
    assert values[12 * 20] == pytest.approx(20)  # 70 x 2 - 120
    assert values[-1] == pytest.approx(60)


def test_scale_maximum_to(tmp_path):
    text = files.changed("column: berlin}", "column: berlin}\n    scaleMaximumTo: 200")
    values = load(files.write(tmp_path, text)).sites[0].price.values * 1000
    assert values.max() == pytest.approx(200)
    assert values[0] == pytest.approx(50 * 200 / 97)


def test_gaps_are_held_or_interpolated_when_asked(tmp_path):
    lines = files.prices().splitlines()
    del lines[3:5]  # 02:00 and 03:00
    csv = "\n".join(lines) + "\n"
    held = files.changed("column: berlin}", "column: berlin, missing: Hold}")
    values = load(files.write(tmp_path, held, csv)).sites[0].price.values * 1000
    assert values[::12][:5] == pytest.approx([50, 51, 51, 51, 54])
    joined = files.changed("column: berlin}", "column: berlin, missing: Interpolate}")
    values = load(files.write(tmp_path, joined, csv)).sites[0].price.values * 1000
    assert values[::12][:5] == pytest.approx([50, 51, 52, 53, 54])


def test_masked_values_count_as_missing(tmp_path):
    csv = files.prices().replace("T05:00Z,55", "T05:00Z,0.001")
    text = files.changed("column: berlin}", "column: berlin, missing: Interpolate, maskBelow: 20}")
    values = load(files.write(tmp_path, text, csv)).sites[0].price.values * 1000
    assert values[60] == pytest.approx(55)


def test_a_late_stamp_is_moved_back_by_the_offset_of_its_season(tmp_path):
    # On 10 March 2024 New York goes from 5 to 4 hours: the true series counts hours from midnight.
    rows = ["datetime_utc,berlin"]
    start = datetime(2024, 3, 9, tzinfo=UTC).timestamp()
    zone = ZoneInfo("America/New_York")
    for hour in range(72):
        true = datetime.fromtimestamp(start + 3600 * hour, UTC)
        late = true.timestamp() - zone.utcoffset(true.astimezone(zone)).total_seconds()
        rows.append(f"{datetime.fromtimestamp(late, UTC).strftime('%Y-%m-%dT%H:%MZ')},{hour}")
    unique = {row.split(",")[0]: row for row in rows}
    text = files.changed("column: berlin}", (
        "column: berlin, missing: Hold, stampedLateByOffsetOf: America/New_York}"
    ))  # fmt: skip
    text = files.changed("2024-03-30", "2024-03-09", text)
    path = files.write(tmp_path, text, "\n".join(unique.values()) + "\n")
    values = load(path).sites[0].price.values * 1000
    wrong = [hour for hour in range(48) if abs(values[hour * 12] - hour) > 0.01]
    assert set(wrong) <= {30, 31}  # the hour that was stamped twice


def test_demand_follows_local_clocks_through_the_change_to_summer_time(tmp_path):
    text = files.changed("dailyCurve: [1, 2, 3, 2]", f"dailyCurve: {list(range(1, 25))}")
    scenario = load(files.write(tmp_path, text))
    demand = scenario.workloads[0].demand_tokens_per_second[:, 0]
    hours = demand[::12] / demand.max() * 24
    assert hours[0] == pytest.approx(2)  # 00:00 UTC = 01:00 in Berlin
    assert hours[24] == pytest.approx(2)  # 31 March 00:00 UTC
    assert hours[25] == pytest.approx(4)  # 01:00 UTC = 03:00: 02:00 does not exist
    assert hours[46] == pytest.approx(1)  # 22:00 UTC = 00:00 in summer


def test_own_peak_fills_the_replicas_by_the_head_room(tmp_path):
    scenario = load(files.write(tmp_path))
    table = scenario.tables[0]
    peak = scenario.workloads[0].demand_tokens_per_second.max(axis=0)
    assert peak * 1.5 == pytest.approx([4 * table.tokens_per_second[-1]] * 2)


def test_latency_classes_split_the_demand_and_name_the_origins(tmp_path):
    text = files.changed(
        "  demand:\n",
        "  latencyClasses: [{name: near, share: 0.25, maxRoundTripMilliseconds: 5}, "
        "{name: far, share: 0.75}]\n  demand:\n",
    )
    scenario = load(files.write(tmp_path, text))
    assert scenario.origins == ("berlin-near", "berlin-far", "oslo-near", "oslo-far")
    assert scenario.round_trip_milliseconds.shape == (4, 2)
    demand = scenario.workloads[0].demand_tokens_per_second
    assert demand[:, 1] == pytest.approx(3 * demand[:, 0])
    assert [o.max_round_trip_milliseconds for o in scenario.workloads[0].origins] == [
        5, None, 5, None,
    ]  # fmt: skip


def test_round_trips_are_symmetric_and_least_at_home(tmp_path):
    trips = load(files.write(tmp_path)).round_trip_milliseconds
    assert trips == pytest.approx(trips.T)
    assert trips[0, 0] == pytest.approx(2)
    assert trips[0, 1] == pytest.approx(2 + 2 * 839 * 1.6 / 200, rel=0.01)  # 839 km


def test_devices_are_enough_for_every_placement_when_not_said(tmp_path):
    assert load(files.write(tmp_path)).sites[0].devices == (("nvidia.com/gpu", 16),)


def test_the_seed_changes_demand_and_events_but_not_prices(tmp_path):
    text = files.changed(
        "{unit: EURPerMegawattHour, constant: 40}",
        "{unit: EURPerMegawattHour, synthetic: {shaped: {mean: 40, noiseShare: 0.2}}}",
    )
    text = files.changed(
        "headRoom: 1.5}}", "headRoom: 1.5}}\n    noise: {relativeStandardDeviation: 0.1}", text
    )
    text += (
        "events:\n  random: {count: 4, durationSeconds: {from: 60, to: 600}, "
        "reductionShare: {from: 0.1, to: 0.4}}\n"
    )
    path = files.write(tmp_path, text)
    one, same, two = load(path), load(path), load(path, seed=2)
    assert np.array_equal(
        one.workloads[0].demand_tokens_per_second, same.workloads[0].demand_tokens_per_second
    )
    assert one.events == same.events
    assert not np.array_equal(
        one.workloads[0].demand_tokens_per_second, two.workloads[0].demand_tokens_per_second
    )
    assert one.events != two.events
    assert np.array_equal(one.sites[1].price.values, two.sites[1].price.values)
    assert (one.seed, two.seed) == (1, 2)


def test_overrides_reach_lists_by_name_or_number_and_null_removes(tmp_path):
    path = files.write(tmp_path)
    scenario = load(
        path,
        overrides=[
            "sites.oslo.price.constant=60",
            "workloads.0.placements.0.maxReplicas=8",
            "margin=0.2",
            "windows=null",
        ],
    )
    assert scenario.sites[1].price.values[0] == pytest.approx(0.06)
    assert scenario.workloads[0].placements[0].max_replicas == 8
    assert scenario.margin == 0.2
    assert [window.name for window in scenario.windows] == ["all"]


def test_variants_are_applied_before_single_overrides(tmp_path):
    text = files.GOOD + "variants:\n  big: {days: 1, margin: 0.3}\n"
    text = files.changed("  - {name: two, startDay: 1, days: 1}\n", "", text)
    scenario = load(files.write(tmp_path, text), overrides=["margin=0.25", "variant=big"])
    assert scenario.margin == 0.25
    assert scenario.steps == 288


def test_weeks_pick_windows_by_name_number_or_group(tmp_path):
    path = files.write(tmp_path)
    assert [w.name for w in load(path, weeks=["two"]).windows] == ["two"]
    assert [w.name for w in load(path, weeks=["1"]).windows] == ["one"]
    assert [w.name for w in load(path, weeks=["development"]).windows] == ["one"]
    assert [w.name for w in load(path, weeks=["reported"]).windows] == ["two"]
    with pytest.raises(ScenarioError, match="'three'.*one, two"):
        load(path, weeks=["three"])


def test_defaults_are_merged_key_by_key_and_labels_fill_texts(tmp_path):
    text = files.changed(
        "sites:\n- name: berlin",
        "siteDefaults:\n  labels: {column: oslo}\n  carbon: {unit: GramPerKilowattHour, constant: 5,"
        " floor: 7}\nsites:\n- name: berlin",
    )
    text = files.changed("column: berlin}", 'column: "{column}"}', text)
    text = files.changed("  carbon: {unit: GramPerKilowattHour, constant: 30}\n", "", text)
    scenario = load(files.write(tmp_path, text))
    assert scenario.sites[0].price.values[12] == pytest.approx(0.001)
    assert scenario.sites[0].carbon.values[0] == 350
    assert scenario.sites[1].carbon.values[0] == 7


def test_repeat_makes_entries_with_drawn_numbers(tmp_path):
    text = files.changed(
        "- name: chat\n",
        "- name: chat-{index}\n  repeat: {count: 5, values: {factor: [1, 2]}}\n",
    )
    text = files.changed("headRoom: 1.5", 'headRoom: "{factor}"', text)
    workloads = load(files.write(tmp_path, text)).workloads
    assert [item.name for item in workloads] == [f"chat-{n}" for n in range(5)]
    peaks = {round(float(item.demand_tokens_per_second.max()), 3) for item in workloads}
    assert len(peaks) == 5


def test_repeated_workloads_may_share_their_draws(tmp_path):
    text = files.changed("- name: chat\n", "- name: chat-{index}\n  repeat: {count: 6}\n")
    text = files.changed(
        "headRoom: 1.5}}",
        "headRoom: 1.5}}\n    noise: {relativeStandardDeviation: 0.1}\n    patterns: 2",
        text,
    )
    workloads = load(files.write(tmp_path, text)).workloads
    arrays = {id(item.demand_tokens_per_second) for item in workloads}
    assert len(arrays) == 2


def test_a_contract_is_parsed_and_its_points_are_filled_in(tmp_path):
    text = files.changed(
        "  carbon: {unit: GramPerKilowattHour, constant: 350}",
        "  contract:\n    spec:\n      role: Complete\n      currency: EUR\n      timeZone: Europe/Berlin\n"
        "      intervalMinutes: 15\n      positions: [{name: spot, type: Residual, signalRate: "
        '{signalName: dayAhead, adder: "0.0040"}}]',
    )
    contract = load(files.write(tmp_path, text)).sites[0].contract
    assert contract.signal_names == ("dayAhead",)
    assert contract.points[0].site_name == "berlin"


def test_a_contract_may_be_a_manifest_in_a_file(tmp_path):
    (tmp_path / "contract.yaml").write_text(
        "apiVersion: wattshift.io/v1alpha1\nkind: EnergyContract\nmetadata: {name: fixed}\n"
        "spec: {role: Complete, currency: EUR, timeZone: UTC, components: [{name: energy, measure: "
        '{type: Energy, energy: {basis: Import}}, rate: "0.10", per: kWh}]}\n'
    )
    text = files.changed(
        "  carbon: {unit: GramPerKilowattHour, constant: 350}",
        "  contract: {file: contract.yaml}",
    )
    assert load(files.write(tmp_path, text)).sites[0].contract.name == "fixed"


def test_a_trace_is_folded_into_its_mean_day_at_local_time(tmp_path):
    rows = ["t_s,load"]
    rows += [f"{600 * n},{(n // 6) % 24 + (n >= 144) * 2}" for n in range(288)]
    (tmp_path / "trace.csv").write_text("\n".join(rows) + "\n")
    text = files.changed(
        "    shape: {unit: Count, dailyCurve: [1, 2, 3, 2], interpolation: Linear}\n",
        "    shape: {unit: Count, csv: {file: trace.csv, column: load, timeFormat: Seconds, "
        "timeColumn: t_s}}\n    fold: MeanDay\n    interpolation: Hold\n",
    )
    demand = load(files.write(tmp_path, text)).workloads[0].demand_tokens_per_second[:, 0]
    hours = demand[::12] / demand.max() * 24
    assert hours[0] == pytest.approx(2)  # hour 1 in Berlin: mean of 1 and 3
    assert hours[22] == pytest.approx(24)  # hour 23


def test_the_data_folder_of_the_variable_is_used(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    path = files.write(tmp_path)
    (tmp_path / "prices.csv").rename(data / "prices.csv")
    scenario = load(path, environment={"WATTSHIFT_DATA": str(data)})
    assert scenario.sites[0].price.values[0] == pytest.approx(0.05)


def test_absent_data_name_the_folder_and_the_small_variant(tmp_path):
    path = files.write(tmp_path, files.GOOD + "data: {smallVariant: s1-small}\n")
    (tmp_path / "prices.csv").unlink()
    with pytest.raises(ScenarioError) as caught:
        load(path, environment={})
    assert "prices.csv" in caught.value.message
    assert "WATTSHIFT_DATA" in caught.value.message
    assert "'s1-small'" in caught.value.message
    assert "tiny.yaml:15: sites[0].price.csv.file" in caught.value.message


def test_forecasts_carry_their_model(tmp_path):
    text = files.changed(
        "{unit: EURPerMegawattHour, constant: 40}",
        "{unit: EURPerMegawattHour, constant: 40, forecast: {model: Published, publishedAtHour: 13}}",
    )
    scenario = load(files.write(tmp_path, text))
    assert scenario.sites[1].price.forecasting.model is ForecastModel.PUBLISHED
    assert scenario.sites[1].price.forecasting.published_at_hour == 13
    assert scenario.sites[0].price.forecasting.model is ForecastModel.NONE
    assert scenario.workloads[0].demand_forecasting.model is ForecastModel.HOUR_OF_DAY
