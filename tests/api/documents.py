"""Valid documents of the three kinds for tests: full ones, minimal ones and maximal ones."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PLURALS = {
    "PowerSite": "powersites",
    "EnergyContract": "energycontracts",
    "FlexibleWorkload": "flexibleworkloads",
}


def full() -> dict[str, Document]:
    """One valid document per kind that uses most of the schema; they refer to each other."""
    documents = yaml.safe_load_all((HERE / "full.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def smallest() -> list[Document]:
    """The documents of examples/smallest."""
    folder = ROOT / "examples/smallest"
    return [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))
    ]


def tariffs() -> dict[str, Document]:
    """Test tariffs T1 to T12 as EnergyContracts."""
    documents = yaml.safe_load_all((HERE / "tariffs.yaml").read_text(encoding="utf-8"))
    return {document["metadata"]["name"]: document for document in documents}


def path_of(document: Document) -> str:
    """Path of the object on an API server."""
    kind, metadata = document["kind"], document["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    plural = PLURALS[kind]
    return f"/apis/wattshift.io/v1alpha1{namespace}/{plural}/{metadata['name']}"


def _signal(index: int) -> Document:
    return {
        "name": f"signal-{index}",
        "quantity": "EnergyPrice",
        "unit": "CNYPerMegawattHour",
        "rank": index % 16,
        "source": {
            "dailyCurve": {"stepMinutes": 96, "values": [f"{hour}.5" for hour in range(15)]}
        },
        "staleAfterSeconds": 600,
        "onStale": {"type": "UseFallback", "fallbackValue": "400"},
        "plausible": {"minimum": "-500", "maximum": "3000"},
    }


def maximal() -> dict[str, Document]:
    """One document per kind with every list at its maximum length."""
    documents = full()
    site = documents["PowerSite"]["spec"]
    site["signals"] = [_signal(index) for index in range(32)]
    for item in site["connections"]:
        item.pop("meterSignalName", None)
        item.pop("uncontrolledLoadSignalName", None)
    site["eventSources"] = [
        {"name": "vtn", "type": "OpenADR3", "openADR3": {"url": "https://vtn.example"}}
    ]
    _repeat(site, clusters=16, connections=4, supplies=8, events=16, eventSources=4)
    site["accelerators"] = [
        {"resourceName": "nvidia.com/gpu", "profileName": f"profile-{index}", "count": 8}
        for index in range(16)
    ]
    site["originLatencies"] = [
        {"originName": f"origin-{index}", "roundTripMilliseconds": index} for index in range(32)
    ]
    for event in site["events"]:
        event["intervals"] = [
            {"durationSeconds": 60, "lowerWatts": 0, "upperWatts": 1000 + index}
            for index in range(6)
        ]
    contract = documents["EnergyContract"]["spec"]
    contract["signals"] = [_signal(index) for index in range(16)]
    contract["points"] = [
        {"siteName": "gansu-1", "connectionName": f"feed-{index}", "contractedWatts": 1}
        for index in range(16)
    ]
    calendar = contract["calendars"][0]
    calendar["bands"] = [
        {
            "name": f"band-{index}",
            "months": list(range(1, 13)),
            "windows": [f"{hour:02d}:00-{hour + 1:02d}:00" for hour in range(6)],
        }
        for index in range(5)
    ] + [{"name": "Flat"}]
    calendar["holidayDates"] = [
        f"2026-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 21)
    ]
    component = {
        "measure": {"type": "Energy", "energy": {"basis": "Import"}},
        "calendarName": calendar["name"],
        "bandRates": [{"bandName": f"band-{index}", "rate": "0.5"} for index in range(2)]
        + [{"bandName": "Flat", "rate": "0.4"}],
        "per": "kWh",
    }
    contract["components"] = [{"name": f"component-{index}", **component} for index in range(48)]
    _repeat(contract, calendars=6, regimes=8, positions=8, obligations=8, programs=8)
    contract["shapes"] = [copy.deepcopy(contract["shapes"][0]) for _ in range(8)]
    workload = documents["FlexibleWorkload"]["spec"]
    _repeat(workload, placements=16, models=16, origins=16)
    workload["objectives"] = [
        {"metric": metric, "thresholdMilliseconds": 100}
        for metric in ("TimeToFirstToken", "InterTokenLatency", "RequestLatency", "QueueTime")
    ]
    return documents


def _repeat(spec: Document, **counts: int) -> None:
    for name, count in counts.items():
        first = spec[name][0]
        spec[name] = [{**copy.deepcopy(first), "name": f"{name.lower()}-{i}"} for i in range(count)]
