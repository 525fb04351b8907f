"""Examples: valid one by one, and as a set whose references resolve; their data says where it is from."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from wattshift.adapters.power.loader import load_profiles
from wattshift.api.references import Others, check_references
from wattshift.api.validate import read

EXAMPLES = Path(__file__).parents[2] / "examples"
SETS = ["smallest", "east-west", "demand-response"]
LABELS = {"default": {}, "inference": {"kubernetes.io/metadata.name": "inference"}}


def documents(folder: str) -> list[dict[str, Any]]:
    """Objects of ours in a set; entries of other writers are left out."""
    found = []
    for path in sorted((EXAMPLES / folder).rglob("*.yaml")):
        if path.name != "event.yaml":
            rows = yaml.safe_load_all(path.read_text(encoding="utf-8"))
            found += [row for row in rows if str(row.get("apiVersion")).startswith("wattshift.io/")]
    return found


@pytest.mark.parametrize("folder", SETS)
def test_every_object_of_a_set_is_valid_and_every_reference_resolves(folder):
    resources = []
    for document in documents(folder):
        resource, findings = read(document)
        assert findings == []
        assert resource is not None
        resources.append(resource)
    by_kind: dict[str, dict[str, Any]] = {}
    for resource in resources:
        metadata = resource.metadata
        key = f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name
        by_kind.setdefault(type(resource).__name__, {})[key] = resource
    others = Others(
        sites=by_kind["PowerSite"],
        contracts=by_kind["EnergyContract"],
        workloads=by_kind["FlexibleWorkload"],
        namespace_labels=LABELS,
        reporting_currency="CNY",
    )
    assert [row for item in resources for row in check_references(item, others)] == []


def test_the_east_west_set_has_what_its_readme_promises():
    found = {(row["kind"], row["metadata"]["name"]): row["spec"] for row in documents("east-west")}
    assert {name for kind, name in found if kind == "PowerSite"} == {
        "shanghai",
        "gansu",
        "inner-mongolia",
    }
    chat = found["FlexibleWorkload", "qwen3-32b"]["placements"]
    assert {row.get("engine", {}).get("type", "VLLM") for row in chat} == {"VLLM", "VLLMAscend"}
    batch = found["FlexibleWorkload", "document-summaries"]
    assert batch["batch"]["dispatch"] == {"type": "External"}
    for name in ("gansu-2026", "inner-mongolia-2026"):
        spec = found["EnergyContract", name]
        assert "hub80" in [row["name"] for row in spec["obligations"]]
        assert spec["positions"][0]["supplyName"] == "wind"


@pytest.mark.parametrize("folder", SETS)
def test_every_placement_of_an_example_has_a_power_profile_that_exists(folder):
    maps = {}
    for path in (EXAMPLES / folder).rglob("*.yaml"):
        for row in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if row["kind"] == "ConfigMap" and "data" in row:
                maps[row["metadata"]["name"]] = row["data"]
    known = set(load_profiles(maps).profiles)
    for row in documents(folder):
        if row["kind"] == "FlexibleWorkload":
            spec = row["spec"]
            for placement in spec["placements"]:
                name = placement.get("powerProfileName") or spec.get("powerProfileName")
                assert name in known, (row["metadata"]["name"], placement["name"])


def test_an_event_names_what_is_there():
    for folder in ("east-west", "demand-response"):
        event = yaml.safe_load((EXAMPLES / folder / "event.yaml").read_text(encoding="utf-8"))
        rows = {(row["kind"], row["metadata"]["name"]): row["spec"] for row in documents(folder)}
        site = rows["PowerSite", event["metadata"]["name"]]
        whole = {**event, "spec": {**site, "events": event["spec"]["events"]}}
        assert read(whole)[1] == []
        for entry in event["spec"]["events"]:
            if program := entry.get("program"):
                contract = rows["EnergyContract", program["contractName"]]
                assert program["programName"] in [row["name"] for row in contract["programs"]]


def test_shipped_data_is_what_its_generator_makes(tmp_path, monkeypatch):
    folder = EXAMPLES / "east-west" / "data"
    module = runpy.run_path(str(folder / "make_data.py"))
    assert "\n".join(module["carbon"]()) + "\n" == (folder / "carbon.csv").read_text()
    assert "\n".join(module["spot"]()) + "\n" == (folder / "gansu-spot.csv").read_text()


@pytest.mark.parametrize(
    ("column", "factor"), [("shanghai", 574), ("gansu", 447), ("inner_mongolia", 648)]
)
def test_the_mean_of_a_day_is_the_province_s_published_factor(column, factor):
    with (EXAMPLES / "east-west" / "data" / "carbon.csv").open(encoding="utf-8") as source:
        values = [float(row[column]) for row in csv.DictReader(source)]
    assert sum(values) / len(values) == pytest.approx(factor, abs=1)


def test_every_folder_with_data_says_where_it_comes_from():
    for path in EXAMPLES.rglob("*.csv"):
        text = (path.parent / "SOURCE.md").read_text(encoding="utf-8")
        assert path.name in text
        assert "Licence" in text
