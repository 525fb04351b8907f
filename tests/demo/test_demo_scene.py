"""What the demo changes in the example objects: addresses and periods, nothing else."""

from __future__ import annotations

import csv
from datetime import datetime
from decimal import Decimal

import pytest
import yaml

from e2e.demo import scene
from wattshift.api.validate import read

URL = "http://127.0.0.1:9999"


def examples() -> list[dict]:
    found = []
    for path in sorted(scene.EXAMPLES.rglob("*.yaml")):
        if path.name not in ("event.yaml", "kustomization.yaml", "member-secret.yaml"):
            found += list(yaml.safe_load_all(path.read_text()))
    return found


def changed_paths(old, new, path=""):
    if isinstance(old, dict):
        assert set(old) <= set(new)
        for key in new:
            yield from changed_paths(old.get(key), new[key], f"{path}.{key}")
    elif isinstance(old, list):
        assert len(old) == len(new)
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from changed_paths(left, right, f"{path}[{index}]")
    elif old != new:
        yield path


def test_only_addresses_and_periods_of_live_signals_are_substituted():
    documents = examples()
    found, words = scene.substitute(documents, prometheus=URL, speed=432)
    paths = {row.rpartition(".")[2] for row in changed_paths(documents, found)}
    assert paths == {"url", "pollPeriodSeconds", "staleAfterSeconds"}
    assert any(URL in row for row in words)
    assert scene.EXAMPLE_PROMETHEUS not in yaml.safe_dump_all(found)


def test_what_is_substituted_is_still_valid():
    found, _ = scene.substitute(examples(), prometheus=URL, speed=432)
    ours = [row for row in found if row["apiVersion"].startswith("wattshift.io/")]
    assert ours
    for document in ours:
        assert read(document)[1] == []


def test_live_readings_are_stale_by_the_wall_clock_at_any_speed():
    for speed in (1, 60, 432):
        found, _ = scene.substitute(examples(), prometheus=URL, speed=speed)
        site = next(row for row in found if row["metadata"]["name"] == "gansu")
        meter = next(row for row in site["spec"]["signals"] if row["name"] == "meter")
        assert meter["pollPeriodSeconds"] == speed
        assert meter["staleAfterSeconds"] == max(120, 30 * speed)


def test_the_original_documents_are_left_alone():
    documents = examples()
    before = yaml.safe_dump_all(documents)
    scene.substitute(documents, prometheus=URL, speed=432)
    assert yaml.safe_dump_all(documents) == before


@pytest.mark.parametrize(("speed", "ramp"), [(1, 900), (432, 6480)])
def test_an_event_s_ramp_leaves_engines_time_to_drain(speed, ramp):
    event = yaml.safe_load((scene.EXAMPLES / "event.yaml").read_text())
    found, words = scene.stretched_event(event, speed)
    assert found["spec"]["events"][0]["rampSeconds"] == ramp
    assert event["spec"]["events"][0]["rampSeconds"] == 900
    assert str(ramp) in words


def test_the_event_and_the_burst_lie_inside_the_shown_day():
    pace = scene.Pace()
    event = yaml.safe_load((scene.EXAMPLES / "event.yaml").read_text())["spec"]["events"][0]
    begin = datetime.fromisoformat(pace.start_time).timestamp()
    end = begin + pace.hours * 3600
    assert begin < datetime.fromisoformat(event["startTime"]).timestamp() < end
    assert begin < datetime.fromisoformat(event["endTime"]).timestamp() < end
    assert pace.start_hour < pace.burst_hour < pace.start_hour + pace.hours


def test_the_day_leaves_time_for_setting_up_within_five_minutes():
    assert scene.Pace().wall_seconds <= 216


def test_models_of_the_scene_are_the_workloads_of_the_examples():
    targets = {}
    for row in examples():
        if row["kind"] == "FlexibleWorkload":
            own = row["spec"]["targetRef"]["name"]
            for place in row["spec"]["placements"]:
                name = place.get("targetRef", {}).get("name", own)
                targets[row["metadata"]["name"], place["clusterName"]] = name
    ours = {
        (service.name, place): service.deployments.get(place, service.name)
        for service in scene.services()
        for place in service.replicas
    }
    assert ours == targets


def test_plants_and_objects_agree_on_what_everybody_may_know():
    profiles = next(row for row in examples() if row["metadata"]["name"] == "east-west-profiles")
    rows = yaml.safe_load(profiles["data"]["profiles.yaml"])["profiles"]
    for profile, engine in zip(rows, (scene.NVIDIA, scene.ASCEND), strict=True):
        for key in ("loadedIdleWatts", "floorWatts"):
            assert profile[key] == engine[key]
        slope = Decimal(profile["wattsPerOutputTokenPerSecond"])
        assert slope == Decimal(str(engine["wattsPerOutputTokenPerSecond"]))


@pytest.mark.parametrize(
    ("time", "column", "price"),
    [  # by hand from the tariffs
        ("03:00", "shanghai", "0.2777"),
        ("12:00", "shanghai", "0.5981"),
        ("14:30", "shanghai", "1.2175"),
        ("13:00", "inner_mongolia", "0.2599"),
        ("18:00", "inner_mongolia", "0.6114"),
        ("02:00", "inner_mongolia", "0.4264"),
    ],
)
def test_the_plants_bill_by_the_tariffs_of_the_examples(time, column, price):
    lines = [row for row in scene.PRICES.read_text().splitlines() if not row.startswith("#")]
    row = next(row for row in csv.DictReader(lines) if row["time"] == time)
    assert row[column] == price
