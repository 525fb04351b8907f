"""Files that were once read as something else than they say: refused now, or read as they say."""

from __future__ import annotations

import pytest
from wattshift.sim.load import ScenarioError, load
from wattshift.sim.run import simulate

from tests.sim import scenario_files as files
from tests.sim import small

WINDOWS = files.GOOD[files.GOOD.index("windows:") :]
OSLO = "  price: {unit: EURPerMegawattHour, constant: 40}"


def read(folder, text, csv=None, **options):
    return load(files.write(folder, text, csv), environment={}, **options)


CONTRACT = (
    "{spec: {role: Complete, currency: EUR, timeZone: Europe/Oslo, %s, components: [{name: e, measure: "
    '{type: Energy, energy: {basis: Import}}, rate: "0.10", per: kWh}]}}'
)


def table(**changes):
    rows = {
        "sequences": "[8, 64]",
        "watts": "[100, 200]",
        "tokensPerSecond": "[500, 900]",
        "interTokenP50Milliseconds": "[10, 20]",
        "interTokenP99Milliseconds": "[20, 30]",
        "loadedIdleWatts": "50",
        "sequencesAtObjective": "64",
    } | changes
    listed = ", ".join(f"{key}: {value}" for key, value in rows.items())
    return f"tables: [{{name: t, devicesPerReplica: 1, {listed}}}]\nsettings:"


def noted(csv):
    """With a last column of notes, the first of them over two lines."""
    head, first, *rest = csv.splitlines()
    return "\n".join([f"{head},note", f'{first},"two\nlines"', *(f"{row}," for row in rest)])


REFUSED = {
    "a key twice": (OSLO, f"{OSLO}\n{OSLO}", r"tiny.yaml:23: the key 'price' is there twice"),
    "a key twice in a flow": ("days: 1}", "days: 1, days: 2}", "the key 'days' is there twice"),
    "rates that fall": ("settings:", table(tokensPerSecond="[500, 400]"), "tokensPerSecond must"),
    "rates that stay": ("settings:", table(tokensPerSecond="[500, 500]"), "tokensPerSecond must"),
    "p99 below p50": (
        "settings:",
        table(interTokenP99Milliseconds="[9, 30]"),
        "interTokenP99Milliseconds must not be below",
    ),
    "caps that fall": (
        "settings:",
        table(capThroughput="[[0.9, 0.5], [0.5, 0.9]]"),
        "capThroughput must rise",
    ),
    "events that last nothing": (
        "windows:",
        "events: {random: {count: 1, durationSeconds: {from: -5, to: 9}, reductionShare: "
        "{from: 0.1, to: 0.2}}}\nwindows:",
        r"durationSeconds.from must be above 0",
    ),
    "events of more than all": (
        "windows:",
        "events: {random: {count: 1, durationSeconds: {from: 5, to: 9}, reductionShare: "
        "{from: 0.1, to: 1.2}}}\nwindows:",
        "reductionShare must lie between 0 and 1",
    ),
    "shares of events": (
        "windows:",
        "events: {random: {count: 1, holdShare: 0.6, bandShare: 0.6, durationSeconds: {from: 5, "
        "to: 9}, reductionShare: {from: 0.1, to: 0.2}}}\nwindows:",
        "holdShare and bandShare",
    ),
    "an event called like a drawn one": (
        "windows:",
        "events: {listed: [{name: drawn-0000, siteName: oslo, startSeconds: 0, durationSeconds: 5, "
        "upperWatts: 3}], random: {count: 1, durationSeconds: {from: 5, to: 9}, reductionShare: "
        "{from: 0.1, to: 0.2}}}\nwindows:",
        "is the name of a drawn event",
    ),
    "a window called like a group": ("name: two", "name: all", r"'all' is a group of windows"),
    "a window in the wrong group": ("name: two", "name: development", "is a group of windows"),
    "the year 9999": ("2024-03-30T", "9999-12-30T", "line 3: startTime must lie between 1970"),
    "the year 1": ("2024-03-30T", "0001-03-30T", "startTime must lie between"),
    "a rule between fields has a line": (
        "days: 2",
        "days: 2\nplanEverySeconds: 1",
        "line 5: planEverySeconds must not be below",
    ),
    "devices twice": (
        OSLO,
        f"{OSLO}\n  devices: [{{resourceName: nvidia.com/gpu, count: 1}}, "
        "{resourceName: nvidia.com/gpu, count: 2}]",
        r"sites\[1\].devices\[1\]: 'nvidia.com/gpu' is there twice",
    ),
    "devices of another kind": (
        OSLO,
        f"{OSLO}\n  devices: [{{resourceName: a/b, count: 9}}]",
        "needs nvidia.com/gpu, of which the devices of 'oslo' have none",
    ),
    "more at the start than devices": (
        "maxReplicas: 4}]",
        "maxReplicas: 4, initialReplicas: 2}]",
        "starts with 2 replicas at 'oslo', whose devices leave room for 1",
        files.changed(OSLO, f"{OSLO}\n  devices: [{{resourceName: nvidia.com/gpu, count: 4}}]"),
    ),
    "more at the start than allowed": (
        "maxReplicas: 4",
        "maxReplicas: 4, initialReplicas: 9",
        "initialReplicas: must lie between",
    ),
    "a contract that ends before": (
        OSLO,
        OSLO.replace("price:", "contract:").replace(
            "{unit: EURPerMegawattHour, constant: 40}", CONTRACT
        )
        % 'validUntilTime: "2024-03-31T00:00:00Z"',
        r"validUntilTime: it is in force from 2000-01-01T00:00:00Z to 2024-03-31T00:00:00Z, the "
        "scenario .*energy would cost nothing",
    ),
    "a contract that begins after": (
        OSLO,
        OSLO.replace("price:", "contract:").replace(
            "{unit: EURPerMegawattHour, constant: 40}", CONTRACT
        )
        % 'validFromTime: "2026-01-01T00:00:00Z"',
        "it is in force from 2026-01-01T00:00:00Z to ",
    ),
    "a facility curve with two values": (
        OSLO,
        f"{OSLO}\n  temperature: {{unit: DegreeCelsius, constant: 9}}\n  facility: "
        "[{temperatureMillicelsius: 1000, fixedWatts: 5}, {temperatureMillicelsius: 1000}]",
        "has two points at 1000 millicelsius",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_says_two_things_or_nothing_possible_is_refused(tmp_path, case):
    old, new, message, *rest = REFUSED[case]
    with pytest.raises(ScenarioError, match=message):
        read(tmp_path, files.changed(old, new, *rest))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda t: t.replace(",55,", ",5_5,"),
            r"prices.csv:7: column 'berlin': '5_5' is no number",
        ),
        (lambda t: t.replace(",", ";"), "columns must be separated by commas"),
        (lambda t: t.replace(",", "\t"), "columns must be separated by commas"),
        # what is wrong is the row too many, not the 140 quarter hours that it seems to leave out
        (
            lambda t: t.replace("2024-03-30T04:00Z", "2024-03-30T03:15Z,1,1\n2024-03-30T04:00Z"),
            "prices.csv:6: 2024-03-30T03:15:00Z is off the grid of 3600 s",
        ),
        # lines are those of the file, empty ones and cells of several lines included
        (
            lambda t: t.replace("2024-03-30T02", "\n\n2024-03-30T02").replace(",55,", ",cheap,"),
            "prices.csv:9: column 'berlin': 'cheap'",
        ),
        (
            lambda t: noted(t).replace(",55,", ",cheap,"),
            "prices.csv:8: column 'berlin': 'cheap'",
        ),
    ],
)
def test_a_csv_is_refused_at_the_line_that_an_editor_shows(tmp_path, spoil, message):
    with pytest.raises(ScenarioError, match=message):
        read(tmp_path, files.GOOD, spoil(files.prices()))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_any_line_ending_and_a_byte_order_mark_read_the_same(tmp_path, ending, mark):
    plain = read(tmp_path, files.GOOD).sites[0].price.values
    path = files.write(tmp_path)
    (tmp_path / "prices.csv").write_bytes(
        (mark + files.prices().replace("\n", ending)).encode("utf-8")
    )

    assert (load(path, environment={}).sites[0].price.values == plain).all()


def test_anchors_may_be_merged_and_overruled(tmp_path):
    text = files.changed(OSLO, "  price: {<<: *p, constant: 41}")
    text = files.changed("  price:\n    unit: EURPerMegawattHour\n    csv: {file: prices.csv, column: "
                         "berlin}", "  price: &p {unit: EURPerMegawattHour, constant: 40}", text)  # fmt: skip

    assert [float(row.price.values[0]) for row in read(tmp_path, text).sites] == [0.04, 0.041]


def test_windows_of_parts_of_a_day_have_names_of_their_own(tmp_path):
    text = files.changed(WINDOWS, "windows: {every: {days: 0.25, warmUpDays: 0.5}}\n")
    names = [row.name for row in read(tmp_path, text).windows]

    assert names[:3] == ["day-0000-1200", "day-0000-1800", "day-0001"]
    assert len(set(names)) == len(names) == 6


def test_the_figures_of_every_window_are_told(tmp_path):
    text = files.changed(WINDOWS, "windows: {every: {days: 0.5, warmUpDays: 0}}\n")
    result = simulate(read(tmp_path, text), small.Local())

    assert list(result.to_json()["windows"]) == [
        "day-0000",
        "day-0000-1200",
        "day-0001",
        "day-0001-1200",
    ]


def test_thirds_of_the_demand_are_all_of_it(tmp_path):
    thirds = ", ".join(f"{{name: {name}, share: 0.333}}" for name in "abc")
    text = files.changed("  demand:\n", f"  latencyClasses: [{thirds}]\n  demand:\n")
    whole = read(tmp_path, files.GOOD).workloads[0].demand_tokens_per_second.sum()

    assert read(tmp_path, text).workloads[0].demand_tokens_per_second.sum() == pytest.approx(whole)


def test_a_rate_of_exchange_keeps_all_its_digits(tmp_path):
    text = files.changed(
        "{reportingCurrency: EUR}", "{reportingCurrency: EUR, exchangeRates: {IRR: 1.25e-11}}"
    )

    assert read(tmp_path, text).settings.exchange_rates == (("IRR", "0.0000000000125"),)


def test_the_start_never_has_more_replicas_than_devices(tmp_path):
    text = files.changed(OSLO, f"{OSLO}\n  devices: [{{resourceName: nvidia.com/gpu, count: 5}}]")
    placements = read(tmp_path, text).workloads[0].placements
    oslo = next(row for row in placements if row.site_name == "oslo")

    assert oslo.initial_replicas == 1  # four devices a replica


@pytest.mark.parametrize(
    ("start", "days", "names"),
    [
        ("2020-12-14", 30, ["2020-W51", "2020-W52", "2020-W53", "2021-W01"]),
        ("2024-02-26", 14, ["2024-W09", "2024-W10"]),
    ],
)
def test_weeks_of_a_leap_day_and_of_a_year_with_53_weeks(tmp_path, start, days, names):
    weeks = f"windows: {{weeks: {{reported: {len(names)}, warmUpDays: 0}}}}\n"
    text = files.changed(WINDOWS, weeks)
    text = files.changed("    csv: {file: prices.csv, column: berlin}", "    constant: 5", text)
    text = files.changed(
        "2024-03-30T", f"{start}T", files.changed("days: 2", f"days: {days}", text)
    )
    found = read(tmp_path, text).windows

    assert [row.name for row in found] == names
    assert all(row.last_step - row.first_step == 2016 for row in found)


def test_what_a_contract_orders_and_allows_at_most_is_kept(tmp_path):
    """Without it a demand charge of a first month has no price, and the limit is none."""
    point = (
        "points: [{siteName: any, connectionName: any, contractedWatts: 5000, maximumWatts: 9000}]"
    )
    text = files.changed(OSLO, OSLO.replace("price:", "contract:").replace(
        "{unit: EURPerMegawattHour, constant: 40}", CONTRACT) % point)  # fmt: skip
    contract = read(tmp_path, text).sites[1].contract

    assert [(row.site_name, row.connection_name) for row in contract.points] == [("oslo", "grid")]
    assert contract.contracted_watts == 5000
    assert contract.maximum_watts == 9000
