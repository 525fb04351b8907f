"""The objects that scenarios apply, as a user would write them; every builder takes what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from e2e.lab.client import Document
from e2e.lab.lab import SYSTEM_NAMESPACE

GROUP = "wattshift.io/v1alpha1"
PROFILE = "lab-4-devices"
CLASS = {
    "name": "4-devices",
    "loadedIdleWatts": 456,
    "floorWatts": 1707,
    "wattsPerOutputTokenPerSecond": 0.5,
}
"""What the plants use; each adds its own hidden deviation."""


def profile(
    name: str = PROFILE, resource: str = "nvidia.com/gpu", concurrency: int = 8
) -> Document:
    """ConfigMap with the power profile of the lab's engines: published figures, small concurrency."""
    text = f"""
profiles:
- name: {name}
  resourceName: {resource}
  devicesPerReplica: 4
  loadedIdleWatts: 456
  floorWatts: 1707
  wattsPerOutputTokenPerSecond: "0.5"
  busyWatts: 2002
  outputTokensPerSecondAtObjective: "400"
  maxConcurrencyAtObjective: {concurrency}
  coldStartSeconds: 10
  source: "lab engines: figures of Llama-3.1-70B on 4xH100, concurrency of the simulator"
"""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"profile-{name}",
            "namespace": SYSTEM_NAMESPACE,
            "labels": {"wattshift.io/power-profile": "true"},
        },
        "data": {"profiles.yaml": text},
    }


def site(
    name: str,
    cluster: str,
    *,
    prometheus: str = "",
    local: bool = False,
    limit_watts: int = 200_000,
    carbon: Sequence[int] = (),
    wind_watts: int = 0,
    round_trip_milliseconds: int = 5,
    events: Sequence[Mapping[str, Any]] = (),
    **spec: Any,
) -> Document:
    """A PowerSite with one cluster and one feed; metered where a Prometheus is given."""
    member: dict[str, Any] = {"name": cluster, "type": "Local" if local else "KubeconfigSecret"}
    if not local:
        member["kubeconfigSecretRef"] = {"name": cluster}
    member["engineMetrics"] = {"type": "Direct"}
    feed: dict[str, Any] = {"name": "feed", "importLimitWatts": limit_watts}
    signals: list[dict[str, Any]] = []
    supplies: list[dict[str, Any]] = []
    if prometheus:
        feed["meterSignalName"] = "meter"
        signals.append(
            {
                "name": "meter",
                "quantity": "SitePower",
                "unit": "Watt",
                "source": {
                    "prometheus": {
                        "url": prometheus,
                        "query": f'sum(site_meter_watts{{site="{name}"}})',
                    }
                },
                "pollPeriodSeconds": 1,
                "staleAfterSeconds": 86_400,
                "onStale": {"type": "AssumeWorst"},
            }
        )
    if prometheus and wind_watts:
        signals.append(
            {
                "name": "wind",
                "quantity": "SupplyPower",
                "unit": "Watt",
                "source": {
                    "prometheus": {
                        "url": prometheus,
                        "query": f'sum(farm_power_watts{{site="{name}"}})',
                    }
                },
                "pollPeriodSeconds": 1,
                "staleAfterSeconds": 86_400,
                "onStale": {"type": "AssumeWorst"},
            }
        )
        supplies.append(
            {
                "name": "wind",
                "type": "DirectWind",
                "capacityWatts": wind_watts,
                "powerSignalName": "wind",
            }
        )
    if carbon:
        signals.append(
            {
                "name": "carbon",
                "quantity": "CarbonIntensityAverage",
                "unit": "GramPerKilowattHour",
                "source": {
                    "dailyCurve": {
                        "stepMinutes": 1440 // len(carbon),
                        "values": [str(value) for value in carbon],
                    }
                },
            }
        )
    return {
        "apiVersion": GROUP,
        "kind": "PowerSite",
        "metadata": {"name": name},
        "spec": {
            "location": {"regionName": "CN-SH", "timeZone": "Asia/Shanghai"},
            "allowedNamespaces": {"from": "All"},
            "clusters": [member],
            "connections": [feed],
            "power": {
                "itCapacityWatts": 150_000,
                "facility": {
                    "type": "Constant",
                    "constant": {"fixedWatts": 500, "marginalPermille": 1150},
                },
            },
            "signals": signals,
            "supplies": supplies,
            "originLatencies": [
                {"originName": "users", "roundTripMilliseconds": round_trip_milliseconds}
            ],
            "events": [dict(event) for event in events],
            **spec,
        },
    }


def contract(
    name: str, site_name: str, bands: Sequence[tuple[str, str, str]], **spec: Any
) -> Document:
    """A contract by time of use: (band, window or "", rate); the last band has no window."""
    return {
        "apiVersion": GROUP,
        "kind": "EnergyContract",
        "metadata": {"name": name},
        "spec": {
            "role": "Complete",
            "points": [{"siteName": site_name, "connectionName": "feed"}],
            "currency": "CNY",
            "timeZone": "Asia/Shanghai",
            "intervalMinutes": 15,
            "validFromTime": "2026-01-01T00:00:00+08:00",
            "calendars": [
                {
                    "name": "tou",
                    "bands": [
                        {"name": band, **({"windows": [window]} if window else {})}
                        for band, window, _ in bands
                    ],
                }
            ],
            "components": [
                {
                    "name": "energy",
                    "measure": {"type": "Energy", "energy": {"basis": "Import"}},
                    "calendarName": "tou",
                    "bandRates": [{"bandName": band, "rate": rate} for band, _, rate in bands],
                    "per": "kWh",
                }
            ],
            **spec,
        },
    }


def workload(
    name: str,
    namespace: str,
    placements: Sequence[Mapping[str, Any]],
    **spec: Any,
) -> Document:
    """A FlexibleWorkload on Deployments of its own name, with the lab's engine and profile."""
    return {
        "apiVersion": GROUP,
        "kind": "FlexibleWorkload",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "posture": "Interactive",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "engine": {"type": "VLLM", "port": 8000},
            "powerProfileName": PROFILE,
            "placements": [dict(row) for row in placements],
            "flexibility": {
                "tier": "Low",
                "actions": ["Scale", "Migrate"],
                "minDwellSeconds": 300,
                "maxMovesPerDay": 20,
            },
            **spec,
        },
    }
