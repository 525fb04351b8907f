"""What only a real API server can say: examples apply, defaults, merging, explain, immutability."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.lab.client import ApiError
from tests.api.documents import ROOT, full, path_of, smallest, tariffs
from wattshift.api.crdgen import KINDS, structural_schema
from wattshift.api.validate import read

pytestmark = pytest.mark.lab


def _examples() -> list[Path]:
    ours = [
        path
        for path in sorted((ROOT / "examples").rglob("*.yaml"))
        if "apiVersion: wattshift.io/" in path.read_text(encoding="utf-8")
        and path.name != "event.yaml"  # an entry for an object that is there; below
    ]
    assert ours
    return ours


@pytest.mark.parametrize("path", _examples(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_applies_under_strict_validation(path, try_create):
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if not document or not document["apiVersion"].startswith("wattshift.io/"):
            continue
        if "namespace" in document["metadata"]:
            document["metadata"]["namespace"] = "team-chat"
        assert try_create(document) == ""
        assert read(document)[1] == []


@pytest.mark.parametrize("folder", ["east-west", "demand-response"])
def test_an_example_event_is_an_entry_of_its_own_writer(folder, server, request):
    event = yaml.safe_load((ROOT / "examples" / folder / "event.yaml").read_text(encoding="utf-8"))
    name = event["metadata"]["name"]
    sites = [path for path in _examples() if folder in path.parts and "site" in str(path)]
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sites]
    site = next(row for row in documents if row["metadata"]["name"] == name)
    _apply(server, site, "git")
    request.addfinalizer(lambda: server.delete(path_of(site)))
    _apply(server, event, "grid-operator")
    stored = _apply(server, site, "git")
    assert [row["name"] for row in stored["spec"]["events"]] == [event["spec"]["events"][0]["name"]]
    assert read(stored)[1] == []


def test_the_smallest_objects_are_small():
    lines = {
        path.stem: len(path.read_text().splitlines())
        for path in (ROOT / "examples/smallest").glob("*.yaml")
    }
    assert lines["site"] <= 13
    assert lines["workload"] <= 13


@pytest.mark.parametrize("name", tariffs())
def test_every_test_tariff_applies(name, try_create):
    assert try_create(tariffs()[name]) == ""
    assert read(tariffs()[name])[1] == []


def _defaults(schema: dict[str, Any], document: Any) -> None:
    """Fill in what a structural schema materialises."""
    if isinstance(document, list):
        for item in document:
            _defaults(schema["items"], item)
    elif isinstance(document, dict):
        for name, node in schema.get("properties", {}).items():
            if "default" in node and name not in document:
                document[name] = node["default"]
            if name in document:
                _defaults(node, document[name])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_server_and_models_agree_on_defaults(kind, server):
    document = full()[kind.__name__]
    document["metadata"]["name"] = "defaults"
    stored = server.request(
        "POST", path_of(document).rpartition("/")[0], document, query={"dryRun": "All"}
    )
    by_schema = json.loads(json.dumps(document["spec"]))
    _defaults(structural_schema(kind)["properties"]["spec"], by_schema)
    assert stored["spec"] == by_schema
    # Models fill in the same values: a parsed minimal document equals the parsed stored one.
    assert kind.parse(document).spec == kind.parse(stored).spec


def _kubectl(server, *arguments: str) -> str:
    return server.kubectl(*arguments)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("psite", ["A place where power arrives"]),
        ("psite.spec", ["allowedNamespaces\t<Object> -required-", "connections are the grid"]),
        ("psite.spec.signals", ["enum: EnergyPrice", "staleAfterSeconds is the age"]),
        ("econtract.spec.components.measure", ["energy in kWh", "-required-"]),
        ("econtract.status.marginalPriceUp", ["demandAdder is the expected cost"]),
        ("fw.spec.placements", ["siteName is the PowerSite", "baselineReplicas is the count"]),
        ("fw.status.move", ["destinationReplicas is the absolute target"]),
    ],
)
def test_kubectl_explain_reads_well(path, says, server):
    text = _kubectl(server, "explain", path)
    for part in says:
        assert part in text
    assert "<no description>" not in text


def test_kubectl_get_prints_the_columns_from_the_summary(server, request):
    document = full()["FlexibleWorkload"]
    document["metadata"]["name"] = "columns"
    server.create(path_of(document).rpartition("/")[0], document)
    request.addfinalizer(lambda: server.delete(path_of(document)))
    server.merge(
        path_of(document) + "/status",
        {"status": {"summary": {"replicas": "gansu 2/2", "power": "1.20 kW", "mode": "Observe"}}},
    )
    header, row = _kubectl(server, "get", "fw", "columns", "-n", "team-chat").splitlines()[:2]
    assert header.split() == ["NAME", "READY", "MODE", "REPLICAS", "POWER", "DECISION", "AGE"]
    assert "gansu 2/2" in row
    assert "columns" in _kubectl(server, "get", "wattshift", "-n", "team-chat")


def test_currency_is_immutable(server, request):
    document = full()["EnergyContract"]
    document["metadata"]["name"] = "immutable"
    server.create(path_of(document).rpartition("/")[0], document)
    request.addfinalizer(lambda: server.delete(path_of(document)))
    with pytest.raises(ApiError, match="currency is immutable: make a new EnergyContract"):
        server.merge(path_of(document), {"spec": {"currency": "EUR"}})


def _apply(server, document, manager: str) -> dict[str, Any]:
    return server.request(
        "PATCH",
        path_of(document),
        document,
        query={"fieldManager": manager},
        content_type="application/apply-patch+yaml",
    )


def test_an_override_of_the_cli_survives_the_next_apply_from_git(server, request):
    document = next(item for item in smallest() if item["kind"] == "FlexibleWorkload")
    document["metadata"] = {"name": "overridden", "namespace": "team-chat"}
    _apply(server, document, "git")
    request.addfinalizer(lambda: server.delete(path_of(document)))
    override = {
        "mode": "Hold",
        "untilTime": "2026-12-01T00:00:00Z",
        "reason": "r",
        "requestedBy": "a",
    }
    only = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    _apply(server, {**only, "spec": {"override": override}}, "wattshift-cli")
    document["spec"]["priority"] = 5
    stored = _apply(server, document, "git")
    assert stored["spec"]["override"] == override
    assert "override" not in _apply(server, only, "wattshift-cli")["spec"]


def test_each_writer_owns_its_own_events(server, request):
    document = full()["PowerSite"]
    document["metadata"]["name"] = "writers"
    _apply(server, document, "git")
    request.addfinalizer(lambda: server.delete(path_of(document)))
    event = {
        "name": "from-utility",
        "type": "Limit",
        "reference": "Absolute",
        "startTime": "2026-11-23T00:00:00Z",
        "endTime": "2026-11-23T01:00:00Z",
        "upperWatts": 5,
    }
    only = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
    _apply(server, {**only, "spec": {"events": [event]}}, "utility")
    stored = _apply(server, document, "git")
    assert [item["name"] for item in stored["spec"]["events"]] == ["dr-1122", "from-utility"]


def test_the_crds_fit_client_side_apply(server):
    text = _kubectl(server, "apply", "--dry-run=server", "-f", str(ROOT / "crds"))
    assert text.count("customresourcedefinition.apiextensions.k8s.io/") == 3
