"""Bad files: every one is refused with file, place and what to change; none ends in a traceback."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sim import scenario_files as files
from wattshift.sim.load import ScenarioError, load

BAD_YAML = {
    "not yaml": ("days: 2", "days: [2", r"tiny.yaml:\d+: is no YAML"),
    "a list": (files.GOOD, "- a\n- b\n", "must be an object"),
    "empty": (files.GOOD, "", "must be an object"),
    "unknown field": ("days: 2", "days: 2\nsteps: 5", r"line 5: steps: is no field"),
    "misspelt inside": ("timeZone: Europe/Oslo", "timezone: Europe/Oslo", r"sites\[1\].timeZone"),
    "missing name": ("name: tiny\n", "", "name: is required"),
    "missing start": ('startTime: "2024-03-30T00:00:00Z"\n', "", "startTime: is required"),
    "no offset in start": ("00:00:00Z", "00:00:00", "line 3: startTime: needs an offset"),
    "start within an hour": ("T00:00:00Z", "T00:10:00Z", "full hour"),
    "no days": ("days: 2", "days: 0", "days: Input should be greater than 0"),
    "days no number": ("days: 2", "days: two", "line 4: days"),
    "days too many": ("days: 2", "days: 1e9", "days"),
    "days nan": ("days: 2", "days: .nan", "days"),
    "days no whole step": ("days: 2", "days: 0.9999", "whole number of steps"),
    "step does not divide": ("days: 2", "days: 2\nstepSeconds: 700", "divide an hour"),
    "negative step": ("days: 2", "days: 2\nstepSeconds: -5", "stepSeconds"),
    "governor slower than steps": ("days: 2", "days: 2\ngovernEverySeconds: 900", "governEvery"),
    "no sources": ("- {name: made up, licence: none needed}", "", "sources"),
    "no sites": ("sites:\n", "sites: []\nx-rest:\n", "sites"),
    "no time zone": ("Europe/Berlin", "Mars/Olympus", r"tiny.yaml:\d+: sites\[0\].timeZone.*IANA"),
    "twice the same site": ("name: oslo", "name: berlin", r"sites\[1\].name.*twice"),
    "latitude": ("latitude: 52.5", "latitude: 152.5", "latitude"),
    "latitude missing": ("  latitude: 52.5\n", "", "latitude and longitude"),
    "wrong unit": ("GramPerKilowattHour", "Kilowatt", "does not measure CarbonIntensity"),
    "unknown unit": ("GramPerKilowattHour", "Grams", r"sites\[0\].carbon.unit"),
    "wrong scale of carbon": ("constant: 350", "constant: 350000", "cannot be g/kWh"),
    "negative carbon": ("constant: 350", "constant: -5", "cannot be g/kWh"),
    "other currency": ("unit: EURPerMegawattHour, c", "unit: USDPerMegawattHour, c", "currency EUR"),
    "no exchange rate": ("settings: {reportingCurrency: EUR}\n", "", "exchangeRates.EUR"),
    "two sources of a series": ("{unit: EURPerMegawattHour, constant: 40}",
        "{unit: EURPerMegawattHour, constant: 40, dailyCurve: [1]}", "exactly one of csv, constant"),
    "no source of a series": (", constant: 40", "", "exactly one of csv, constant"),
    "no column": ("column: berlin", "column: rome", r"prices.csv:1: has no column 'rome'.*berlin"),
    "no file": ("file: prices.csv", "file: price.csv", "no file 'price.csv'"),
    "file outside": ("file: prices.csv", "file: ../prices.csv", "below the scenario"),
    "absolute file": ("file: prices.csv", "file: /etc/passwd", "below the scenario"),
    "csv too short": ("days: 2", "days: 3", "covers 2024-03-30.*change startTime and days"),
    "csv too late": ("2024-03-30T", "2024-03-29T", "covers 2024-03-30"),
    "floor above ceiling": ("constant: 40", "constant: 40, floor: 3, ceiling: 2", "floor"),
    "no table": ("profileName: reference-64", "profileName: nothing", "no table 'nothing'.*llama"),
    "no such site": ('siteName: "*"', "siteName: rome", "no site 'rome'"),
    "placement twice": ('[{siteName: "*"', '[{siteName: oslo, profileName: reference-64, '
        'maxReplicas: 1}, {siteName: "*"', "two placements"),
    "min above max": ("maxReplicas: 4", "minReplicas: 5, maxReplicas: 4", "minReplicas"),
    "shares of classes": ("  demand:\n", "  latencyClasses: [{name: a, share: 0.4}]\n  demand:\n",
        "add up to 0.4000"),
    "nobody in reach": ("  demand:\n", "  latencyClasses: [{name: a, share: 1, "
        "maxRoundTripMilliseconds: 1}]\n  demand:\n", "no placement is within 1 ms"),
    "negative demand": ("[1, 2, 3, 2]", "[1, 2, -3, 2]", "below zero"),
    "no demand at all": ("[1, 2, 3, 2]", "[0, 0]", "zero everywhere"),
    "fold without csv": ("  demand:\n", "  demand:\n    fold: MeanDay\n", "fold needs a csv"),
    "no work": ("  demand:\n", "  x:\n", r"workloads\[0\]"),
    "windows overlap": ("startDay: 1, days: 1", "startDay: 0.5, days: 1", "'one' and 'two' overlap"),
    "window too late": ("startDay: 1, days: 1", "startDay: 1.5, days: 1", "ends on day 2.5"),
    "windows of one name": ("name: two", "name: one", "twice"),
    "too few weeks": ("  listed:\n  - {name: one, startDay: 0, days: 1, development: true}\n"
        "  - {name: two, startDay: 1, days: 1}\n", "  weeks: {reported: 3}\n", "0 full weeks"),
    "no full month": ("  listed:\n  - {name: one, startDay: 0, days: 1, development: true}\n"
        "  - {name: two, startDay: 1, days: 1}\n", "  months: {}\n", "no full month"),
    "event at no site": ("windows:", "events: {listed: [{name: e, siteName: rome, startSeconds: 0, "
        "durationSeconds: 5, upperWatts: 3}]}\nwindows:", "no site 'rome'"),
    "event without bound": ("windows:", "events: {listed: [{name: e, siteName: oslo, startSeconds: 0,"
        " durationSeconds: 5}]}\nwindows:", "set upperWatts"),
    "event after the end": ("windows:", "events: {listed: [{name: e, siteName: oslo, startSeconds: "
        "999999, durationSeconds: 5, upperWatts: 3}]}\nwindows:", "ends after the scenario"),
    "contradictory event": ("windows:", "events: {listed: [{name: e, siteName: oslo, startSeconds: 0,"
        " durationSeconds: 5, upperWatts: 3, lowerWatts: 4}]}\nwindows:", "above upperWatts"),
    "events do not fit": ("windows:", "events: {random: {count: 99, durationSeconds: {from: 9999, to: "
        "9999}, reductionShare: {from: 0.1, to: 0.2}}}\nwindows:", "need .* h more"),
    "range upside down": ("windows:", "events: {random: {count: 1, durationSeconds: {from: 9, to: 1},"
        " reductionShare: {from: 0.1, to: 0.2}}}\nwindows:", "from must not be above to"),
    "fault of nothing": ("windows:", "faults: [{kind: NaN, siteName: oslo, startSeconds: 0, "
        "durationSeconds: 9}]\nwindows:", "quantity"),
    "fault unknown": ("windows:", "faults: [{kind: Gremlin, siteName: oslo, startSeconds: 0, "
        "durationSeconds: 9}]\nwindows:", "kind"),
    "fault at no site": ("windows:", "faults: [{kind: SiteLoss, siteName: rome, startSeconds: 0, "
        "durationSeconds: 9}]\nwindows:", "no site 'rome'"),
    "contract field": ("  carbon: {unit: GramPerKilowattHour, constant: 350}",
        "  contract: {spec: {role: Complete, currency: EUR, timeZone: UTC, tariff: 3}}", "tariff"),
    "contract without signal": ("  price: {unit: EURPerMegawattHour, constant: 40}",
        "  contract: {spec: {role: Complete, currency: EUR, timeZone: UTC, positions: [{name: spot, "
        "type: Residual, signalRate: {signalName: x}}]}}", "give a price"),
    "contract in another currency": ("  price: {unit: EURPerMegawattHour, constant: 40}",
        "  contract: {spec: {role: Complete, currency: CNY, timeZone: UTC, positions: [{name: spot, "
        'type: Residual, rate: "0.5"}]}}', "exchangeRates.CNY"),
    "cooling without weather": ("  price: {unit: EURPerMegawattHour, constant: 40}",
        "  cooling: {itWatts: 5, fallsAboveCelsius: 30, fallSharePerCelsius: 0.01}", "temperature"),
    "matrix with a hole": ("{greatCircle: {}}", "{matrix: {berlin: {berlin: 2, oslo: 9}}}",
        "no round trip from 'oslo'"),
    "two round trips": ("{greatCircle: {}}", "{greatCircle: {}, csv: x.csv}", "exactly one of matrix"),
    "repeat without index": ("- name: chat\n", "- name: chat\n  repeat: {count: 2}\n", "{index}"),
    "repeat of too many": ("- name: chat\n", "- name: c-{index}\n  repeat: {count: 99999999}\n",
        "100000"),
    "random placements": ('  placements: [{siteName: "*", profileName: reference-64, maxReplicas: 4}]',
        "  randomPlacements: {count: 3, profileName: reference-64, maxReplicas: 4}",
        "3 sites are wanted"),
    "table that falls": ("settings:", "tables: [{name: t, devicesPerReplica: 1, sequences: [4, 2], "
        "watts: [1, 2], tokensPerSecond: [1, 2], interTokenP50Milliseconds: [1, 2], "
        "interTokenP99Milliseconds: [1, 2], loadedIdleWatts: 1, sequencesAtObjective: 2}]\nsettings:",
        "sequences must rise"),
}  # fmt: skip

BAD_CSV = {
    "blank cell": (lambda t: t.replace(",55,", ",,"), "1 step has no value.*2024-03-30T05:00"),
    "nan": (lambda t: t.replace(",55,", ",nan,"), "no value"),
    "inf": (lambda t: t.replace(",55,", ",inf,"), r"prices.csv:7: .*infinite"),
    "words": (lambda t: t.replace(",55,", ",cheap,"), r"prices.csv:7: column 'berlin': 'cheap'"),
    "gap": (lambda t: re.sub(r"2024-03-30T05.*\n", "", t), "no value, the first at 2024-03-30T05"),
    "same time twice": (lambda t: t.replace("T06:00Z", "T05:00Z", 1), r"prices.csv:8: .* repeats"),
    "times fall": (lambda t: t.replace("T06:00Z", "T02:00Z", 1), r"prices.csv:8: .* earlier"),
    "off the grid": (lambda t: t.replace("T06:00Z", "T06:07Z", 1), "off the grid"),
    "no offset": (lambda t: t.replace("Z,", ","), "prices.csv:2: .*no offset.*when clocks change"),
    "one without offset": (lambda t: t.replace("T06:00Z", "T06:00"), "prices.csv:8: .*no offset"),
    "no time": (lambda t: t.replace("2024-03-30T06:00Z", "noon", 1), "prices.csv:8: .*no time"),
    "31 february": (lambda t: t.replace("2024-03-30T06", "2024-02-31T06"), "no time"),
    "short row": (lambda t: t.replace(",55,5", ",55"), "prices.csv:7: has 2 cells"),
    "long row": (lambda t: t.replace(",55,5", ",55,5,5"), "prices.csv:7: has 4 cells"),
    "only the header": (lambda t: t.splitlines()[0], "two are needed"),
    "empty": (lambda _: "", "two are needed"),
    "column twice": (lambda t: t.replace("oslo", "berlin", 1), "'berlin' 2 times"),
    "no time column": (lambda t: t.replace("datetime_utc", "time"), "no column 'datetime_utc'"),
    "wrong unit": (lambda t: re.sub(r",(\d+),", r",\g<1>00000000000,", t), "check unit"),
    "open quote": (lambda t: t.replace(",55,", ',"55,'), "is no CSV"),
    "zero bytes": (lambda t: t.replace(",55,", ",\0,"), "prices.csv"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_a_bad_field_is_refused_with_its_place(tmp_path, case):
    old, new, message = BAD_YAML[case]
    with pytest.raises(ScenarioError, match=message) as caught:
        load(files.write(tmp_path, files.changed(old, new)), environment={})
    assert str(tmp_path) in caught.value.message


@pytest.mark.parametrize("case", BAD_CSV)
def test_a_bad_csv_is_refused_with_its_line(tmp_path, case):
    spoil, message = BAD_CSV[case]
    path = files.write(tmp_path, csv=spoil(files.prices()))
    with pytest.raises(ScenarioError, match=message):
        load(path, environment={})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "write key=value"),
        ("=3", "write key=value"),
        ("sites.rome.price=null", "no item 'rome' in sites"),
        ("sites.7.price=null", "number below 2"),
        ("name.first=3", "name has no fields"),
        ("margin=[", "no YAML"),
        ("margin=2", "margin"),
        ("variant=big", "no variant 'big'; there are: none"),
        ("nothing=3", "is no field here"),
    ],
)
def test_a_bad_override_says_what_there_is(tmp_path, override, message):
    with pytest.raises(ScenarioError, match=message):
        load(files.write(tmp_path), overrides=[override])


FIXED = (
    "apiVersion: wattshift.io/v1alpha1\nkind: EnergyContract\nmetadata: {name: NAME}\nspec: {role: "
    "Complete, currency: EUR, timeZone: UTC, components: [{name: energy, measure: {type: Energy, "
    'energy: {basis: Import}}, rate: "0.10", per: kWh}]}\n'
)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ("", "has 0 EnergyContracts"),
        ("a: [", "contract.yaml: is no YAML"),
        ("- 1\n", "has 0 EnergyContracts"),
        (FIXED + "---\n" + FIXED.replace("NAME", "other"), "has 2 EnergyContracts: set `name`"),
        (FIXED.replace("spec:", "x:"), "has no EnergyContract 'NAME'"),
        (
            FIXED.replace("metadata: {name: NAME}", "metadata: 3").replace("EUR", "EURO"),
            "spec.currency",
        ),
        (FIXED.replace("role: Complete", "role: King"), "contract.yaml: spec.role"),
        (FIXED.replace('"0.10"', "0.10"), "contract.yaml: spec.components"),
        (FIXED.replace("timeZone: UTC", "timeZone: Mars/Base"), "Mars/Base|timeZone"),
        (FIXED.replace("basis: Import", "basis: Moon"), "contract.yaml: spec.components"),
    ],
)
def test_a_bad_contract_file_is_refused(tmp_path, contract, message):
    (tmp_path / "contract.yaml").write_text(contract)
    text = files.changed(
        "  carbon: {unit: GramPerKilowattHour, constant: 350}", "  contract: {file: contract.yaml}"
    )
    with pytest.raises(ScenarioError, match=message):
        load(files.write(tmp_path, text))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("origin,berlin,oslo\nberlin,2,9\n", "two are needed"),
        ("origin,berlin\nberlin,2\noslo,9\n", "no column 'oslo'"),
        ("origin,berlin,oslo\nberlin,2,9\nrome,9,2\n", "no row for the origin 'oslo'"),
        ("origin,berlin,oslo\nberlin,2,-9\noslo,9,2\n", "not negative"),
        ("origin,berlin,oslo\nberlin,2,\noslo,9,2\n", "must be milliseconds"),
        ("origin,berlin,oslo\nberlin,2,far\noslo,9,2\n", "trips.csv:2: column 'oslo': 'far'"),
    ],
)
def test_bad_round_trips_are_refused(tmp_path, table, message):
    (tmp_path / "trips.csv").write_text(table)
    text = files.changed("{greatCircle: {}}", "{csv: trips.csv}")
    with pytest.raises(ScenarioError, match=message):
        load(files.write(tmp_path, text))


def test_round_trips_of_a_file_are_taken_as_they_are(tmp_path):
    (tmp_path / "trips.csv").write_text("origin,oslo,berlin\noslo,2,19\nberlin,9,3\n")
    text = files.changed("{greatCircle: {}}", "{csv: trips.csv}")
    assert load(files.write(tmp_path, text)).round_trip_milliseconds.tolist() == [[3, 9], [19, 2]]


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("stampedLateByOffsetOf: Mars/Base", "no IANA time zone"),
        ("stampedLateByOffsetOf: ''", "no IANA time zone"),
        ("timeFormat: Seconds, timeColumn: berlin", "covers|repeats|off the grid"),
        ("timeFormat: YearMonthDayPeriod", "no column 'Year'"),
        ("timeFormat: Sundial", "timeFormat"),
        ("yearShift: 9000", "yearShift"),
        ("utcOffsetHours: 99", "utcOffsetHours"),
        ("maxGapSeconds: 0", "maxGapSeconds"),
        ("missing: Guess", "missing"),
    ],
)
def test_bad_words_about_a_csv_are_refused(tmp_path, csv, message):
    text = files.changed("column: berlin}", f"column: berlin, {csv}}}")
    with pytest.raises(ScenarioError, match=message):
        load(files.write(tmp_path, text))


def test_a_wrong_name_lists_the_shipped_scenarios():
    with pytest.raises(ScenarioError, match="no shipped scenario: .*s1-small"):
        load("s1-tiny")


def test_a_folder_or_binary_file_is_no_scenario(tmp_path):
    with pytest.raises(ScenarioError):
        load(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(ScenarioError, match="UTF-8"):
        load(tmp_path / "x.yaml")


def test_a_hole_longer_than_allowed_stays_an_error(tmp_path):
    lines = files.prices().splitlines()
    csv = "\n".join(lines[:5] + lines[12:]) + "\n"
    text = files.changed("column: berlin}", "column: berlin, missing: Hold, maxGapSeconds: 3600}")
    with pytest.raises(ScenarioError, match="no value for 7 h from 2024-03-30T04:00"):
        load(files.write(tmp_path, text, csv))


def test_yaml_bombs_do_not_eat_the_memory(tmp_path):
    bomb = "x-a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for one, two in zip("abcdefghi", "bcdefghij", strict=True):
        bomb += f"x-{two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n"
    with pytest.raises(ScenarioError, match="too many values"):
        load(files.write(tmp_path, bomb + files.GOOD))
    deep = "x-a: " + "[" * 5000 + "]" * 5000 + "\n"
    with pytest.raises(ScenarioError):
        load(files.write(tmp_path, deep + files.GOOD))


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    text = files.changed("days: 2", "days: zero\nmargins: 3")
    with pytest.raises(ScenarioError, match="2 faults") as caught:
        load(files.write(tmp_path, text))
    assert "line 4: days" in caught.value.message
    assert "line 5: margins" in caught.value.message


# ---- nothing but ScenarioError, whatever the file ---------------------------------------------

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(),
    st.sampled_from(["", "*", "a", "{index}", "2024-02-30T00:00:00Z", "../x", "\0", "1e9", "Ω"]),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(st.sampled_from(["name", "csv", "count", "x"]), st.integers(-1, 5), max_size=2),
)


def _paths(node: object, path: tuple = ()) -> list[tuple]:
    found = [path] if path else []
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        found += _paths(value, (*path, key))
    return found


@settings(
    max_examples=150, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_any_value_at_any_place_loads_or_is_refused(tmp_path: Path, data: st.DataObject):
    document = yaml.safe_load(files.GOOD)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_paths(document)))
        node = document
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = data.draw(_LEAVES)
        if data.draw(st.booleans()) and isinstance(node, dict):
            node[data.draw(st.sampled_from(["unknown", "repeat", "labels", "csv"]))] = data.draw(
                _LEAVES
            )
    text = yaml.safe_dump(document, allow_unicode=True)
    try:
        scenario = load(files.write(tmp_path, text), environment={})
    except ScenarioError as error:
        assert error.message
    else:
        assert scenario.steps > 0


@settings(
    max_examples=100, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
def test_spoilt_bytes_load_or_are_refused(tmp_path: Path, seed: int, count: int):
    draw = random.Random(seed)
    for name, text in (("yaml", files.GOOD), ("csv", files.prices())):
        spoilt = bytearray(text.encode())
        for _ in range(count):
            place = draw.randrange(len(spoilt))
            match draw.randrange(3):
                case 0:
                    spoilt[place] = draw.randrange(256)
                case 1:
                    del spoilt[place : place + draw.randrange(30)]
                case 2:
                    spoilt[place:place] = draw.choice(
                        [b"-", b"\n", b": ", b"{", b"1e99", b"\xf0", b"&a"]
                    )
        path = files.write(tmp_path)
        (path if name == "yaml" else tmp_path / "prices.csv").write_bytes(bytes(spoilt))
        try:
            load(path, environment={})
        except ScenarioError as error:
            assert error.message
