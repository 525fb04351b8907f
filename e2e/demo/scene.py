"""What the demo shows: places, models, plants, load, and the few values that a fast clock needs.

The objects are those of `examples/east-west/`, rendered by `kubectl kustomize`; `substitute` changes
addresses and poll periods only, and returns what it changed in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.lab.client import Document
from e2e.lab.paths import REPOSITORY
from e2e.powered import DATA, Place, Service

EXAMPLES = REPOSITORY / "examples" / "east-west"
PRICES = Path(__file__).parent / "data" / "price_day.csv"
NAMESPACE = "inference"
DAY_START = "2026-07-15T00:00:00+08:00"
DAY_SECONDS = 86_400
ZONE_HOURS = 8
EXAMPLE_PROMETHEUS = "http://prometheus.monitoring:9090"
LIVE_WALL_SECONDS = 30
"""A live reading may be this old, on the wall clock, before it is stale."""
RAMP_WALL_SECONDS = 15
"""Engines drain, and meters lag, on the wall clock: what an event's ramp must leave them."""
SITES = ("shanghai", "gansu", "inner-mongolia")
CHAT, CODE, BATCH = "qwen3-32b", "code-assistant", "document-summaries"
WORKLOADS = (CHAT, CODE, BATCH)

NVIDIA = {
    "name": "nvidia-4",
    "loadedIdleWatts": 456,
    "floorWatts": 1707,
    "wattsPerOutputTokenPerSecond": 1.5,
}
ASCEND = {
    "name": "ascend-8",
    "loadedIdleWatts": 832,
    "floorWatts": 1760,
    "wattsPerOutputTokenPerSecond": 1.5,
}
"""Published figures; each plant adds hidden deviations of its own."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the day runs, and how much of it."""

    speed: float = 432.0
    start_hour: float = 0.0
    hours: float = 24.0
    burst_hour: float = 15.5
    """Grid hour from which on the burst of load may begin."""
    burst_seconds: float = 6.0
    burst_overload: float = 2.0
    """Requests of the burst, as a multiple of what the replicas that run then can finish."""

    @property
    def wall_seconds(self) -> float:
        """Length of the show."""
        return self.hours * 3600 / self.speed

    @property
    def start_time(self) -> str:
        """Where the grid clock starts, RFC 3339."""
        hour, minute = divmod(round(self.start_hour * 60), 60)
        return f"{DAY_START[:11]}{hour:02d}:{minute:02d}:00+08:00"


def places() -> list[Place]:
    """The three sites; the hub is Shanghai's cluster."""
    return [
        Place(
            name="shanghai",
            site="shanghai",
            round_trip_milliseconds=3,
            plant=_plant("shanghai", NVIDIA, (28, 4), 40_000, wind_watts=0),
        ),
        Place(
            name="gansu",
            site="gansu",
            resource="huawei.com/Ascend910",
            round_trip_milliseconds=38,
            plant=_plant("gansu", ASCEND, (22, 7), 40_000, wind_watts=8000),
        ),
        Place(
            name="inner-mongolia",
            site="inner-mongolia",
            round_trip_milliseconds=26,
            plant=_plant("inner_mongolia", NVIDIA, (20, 7), 40_000, wind_watts=9000),
        ),
    ]


def _plant(
    column: str,
    engine: Mapping[str, Any],
    weather: tuple[float, float],
    limit_watts: int,
    *,
    wind_watts: int,
) -> dict[str, Any]:
    marginal = {
        "shanghai": (1100, 1220),
        "gansu": (1060, 1150),
        "inner_mongolia": (1050, 1140),
    }[column]
    supplies = [
        {
            "name": "wind",
            "type": "Wind",
            "capacityWatts": wind_watts,
            "share": {"csv": str(DATA / "wind_day.csv"), "column": column},
        }
    ]
    return {
        "zoneOffsetHours": ZONE_HOURS,
        "powerClasses": [dict(engine)],
        "facility": [
            {"temperatureMillicelsius": 5000, "fixedWatts": 300, "marginalPermille": marginal[0]},
            {"temperatureMillicelsius": 35000, "fixedWatts": 500, "marginalPermille": marginal[1]},
        ],
        "weather": {"meanCelsius": weather[0], "swingCelsius": weather[1]},
        "supplies": supplies if wind_watts else [],
        "pricePerKilowattHour": {"csv": str(PRICES), "column": column},
        "supplyPricePerKilowattHour": 0.2844 if column == "inner_mongolia" else 0.245,
        "carbonGramsPerKilowattHour": {
            "csv": str(EXAMPLES / "data" / "carbon.csv"),
            "column": column,
        },
        "importLimitWatts": limit_watts,
        "meters": {"lagSeconds": 1, "noisePermille": 4, "biasPermille": 5},
    }


def services() -> list[Service]:
    """Three models as an administrator found them: sized for the peak, all day."""
    engine: dict[str, Any] = {
        "namespace": NAMESPACE,
        "time_to_first_token": "60ms",
        "inter_token_latency": "20ms",
        "max_sequences": MAX_SEQUENCES,
        "start_delay_seconds": 1.0,
        "grace_seconds": 15,
    }
    return [
        Service(
            name=CHAT,
            replicas={"shanghai": 4, "gansu": 0},
            deployments={"gansu": f"{CHAT}-ascend"},
            **engine,
        ),
        Service(name=CODE, replicas={"shanghai": 3, "inner-mongolia": 0}, **engine),
        Service(name=BATCH, replicas={"inner-mongolia": 2}, **engine),
    ]


BURST_REPLICAS = 4
"""The burst waits until no more than these run, so that there is capacity to give."""
MAX_SEQUENCES = 4
SERVICE_SECONDS = 0.75
"""First token, and 34 tokens at 20 ms, of a request of the burst."""


def burst_load(url: str, replicas: int, overload: float) -> dict[str, Any]:
    """A crowd that asks the code assistant for `overload` times what its replicas can finish."""
    return {
        **client_load(CODE, url),
        "client": "burst",
        "curve": None,
        "rate": overload * max(1, replicas) * MAX_SEQUENCES / SERVICE_SECONDS,
        "scale": 1.0,
        "outputTokens": {"median": 34, "sigma": 0.05, "maximum": 40},
    }


def client_load(model: str, url: str) -> dict[str, Any]:
    """Requests of the day for an interactive model; objectives are those of its FlexibleWorkload."""
    column, scale = {CHAT: ("chat", 6.0), CODE: ("code", 4.0)}[model]
    return {
        "client": f"users-{model}",
        "model": model,
        "url": url,
        "curve": {
            "csv": str(DATA / "requests_day.csv"),
            "column": column,
            "zoneOffsetHours": ZONE_HOURS,
        },
        "scale": scale,
        "promptTokens": {"median": 96, "sigma": 0.5, "maximum": 256},
        "outputTokens": {"median": 32, "sigma": 0.4, "maximum": 80},
        "objectives": {"ttftMilliseconds": 1000},
        "timeoutSeconds": 60,
        "seed": 20260715,
    }


def chart_values(pace: Pace, clock: Mapping[str, Any], recorder: str) -> Document:
    """Values of the chart: the mode, the fast clock, and loops as quick as it needs."""
    return {
        "mode": "Enforce",
        "replay": {
            "startTime": clock["startTime"],
            "speed": pace.speed,
            "wallStartTime": clock["wallStartText"],
        },
        "planner": {"intervalSeconds": 300, "minimumWallSeconds": 1},
        "governor": {"intervalSeconds": 1},
        "engineMetrics": {"intervalSeconds": 1, "timeoutSeconds": 2},
        "status": {"minimumSeconds": 2},
        "extraEnv": [{"name": "WATTSHIFT_RECORDER_DIRECTORY", "value": recorder}],
    }


def substitute(
    documents: Iterable[Document], *, prometheus: str, speed: float
) -> tuple[list[Document], list[str]]:
    """The example objects with this lab's addresses, and what was changed, in words.

    Live readings are polled once a second of the wall clock, and are stale after
    `LIVE_WALL_SECONDS` of it, which is `speed` times as much on the grid clock.
    """
    changed: dict[str, int] = {}
    found = []
    for document in documents:
        copy = _walked(document, prometheus, speed, changed)
        found.append(copy)
    words = [f"{what} ({count} x)" for what, count in sorted(changed.items())]
    return found, words


def stretched_event(document: Document, speed: float) -> tuple[Document, str]:
    """The order of the grid with a ramp that leaves engines time to drain on the wall clock."""
    copy: Document = json.loads(json.dumps(document))
    event = copy["spec"]["events"][0]
    given = int(event["rampSeconds"])
    event["rampSeconds"] = max(given, round(RAMP_WALL_SECONDS * speed))
    words = (
        f"event {event['name']}: rampSeconds {given} -> {event['rampSeconds']} "
        f"({RAMP_WALL_SECONDS} s on the wall)"
    )
    return copy, words


def _walked(node: Any, prometheus: str, speed: float, changed: dict[str, int]) -> Any:
    if isinstance(node, list):
        return [_walked(item, prometheus, speed, changed) for item in node]
    if not isinstance(node, dict):
        if node == EXAMPLE_PROMETHEUS:
            words = f"{EXAMPLE_PROMETHEUS} -> {prometheus}"
            changed[words] = changed.get(words, 0) + 1
            return prometheus
        return node
    copy = {key: _walked(value, prometheus, speed, changed) for key, value in node.items()}
    if "prometheus" in (copy.get("source") or {}):
        stale = max(int(copy.get("staleAfterSeconds", 0)), round(LIVE_WALL_SECONDS * speed))
        copy |= {"pollPeriodSeconds": max(1, round(speed)), "staleAfterSeconds": stale}
        words = f"live signals: polled each wall second, stale after {LIVE_WALL_SECONDS} of them"
        changed[words] = changed.get(words, 0) + 1
    return copy
