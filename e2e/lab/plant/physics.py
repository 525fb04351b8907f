"""Physics of a site: accelerators, facility, cooling, weather. Pure functions, no I/O, no clock.

The published figures of a class of engines are what everybody may know; `Hidden` says how this
site's truth differs from them, and only the plant knows it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

HIDDEN_SPREAD = 0.08
"""Half width of the hidden factors; published measurements of one server type differ so much."""
POD_SPREAD = 0.01
STARTING_SHARE = 0.8
"""Of the loaded-idle watts while weights load (memory and host are busy, the cores are not)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineClass:
    """Published figures of one replica (all its devices): watts, and watts per token a second."""

    name: str
    labels: Mapping[str, str]
    """A pod with these labels is of this class; none = any pod."""
    loaded_idle_watts: float
    floor_watts: float
    watts_per_output_token_per_second: float
    watts_per_prompt_token_per_second: float

    @classmethod
    def from_config(cls, document: Mapping[str, Any]) -> EngineClass:
        """Of `{name, labels, loadedIdleWatts, floorWatts, wattsPer...TokenPerSecond}`."""
        return cls(
            name=document["name"],
            labels=document.get("labels", {}),
            loaded_idle_watts=float(document["loadedIdleWatts"]),
            floor_watts=float(document["floorWatts"]),
            watts_per_output_token_per_second=float(document["wattsPerOutputTokenPerSecond"]),
            watts_per_prompt_token_per_second=float(
                document.get("wattsPerPromptTokenPerSecond", 0)
            ),
        )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with `labels` is of this class."""
        return all(labels.get(key) == value for key, value in self.labels.items())


@dataclass(frozen=True, slots=True)
class Activity:
    """What one engine did over the last interval."""

    duty: float
    """Share of the time with at least one sequence in work."""
    output_tokens_per_second: float
    prompt_tokens_per_second: float
    concurrency: float = 0.0


@dataclass(frozen=True, slots=True)
class Hidden:
    """Factors that this site's truth has over the published figures."""

    seed: str

    def factor(self, *key: str, spread: float = HIDDEN_SPREAD) -> float:
        """The same for the same key, uniform in 1 +- spread."""
        return 1 + random.Random("/".join((self.seed, *key))).uniform(-spread, spread)


def engine_watts(
    engine: EngineClass, activity: Activity | None, hidden: Hidden, pod: str = ""
) -> float:
    """Watts of one replica; `None` = loading weights.

    `P = loaded_idle + duty x (floor - loaded_idle) + a x output tok/s + b x prompt tok/s`, fitted on
    published measurements of a 70B model on four H100 to 2 % over 8-256 sequences.
    """
    name = engine.name
    idle = engine.loaded_idle_watts * hidden.factor(name, "idle")
    own = hidden.factor("pod", pod, spread=POD_SPREAD)
    if activity is None:
        return idle * STARTING_SHARE * own
    step = (engine.floor_watts - engine.loaded_idle_watts) * hidden.factor(name, "step")
    output = engine.watts_per_output_token_per_second * hidden.factor(name, "output")
    prompt = engine.watts_per_prompt_token_per_second * hidden.factor(name, "prompt")
    return own * (
        idle
        + min(1.0, max(0.0, activity.duty)) * step
        + output * activity.output_tokens_per_second
        + prompt * activity.prompt_tokens_per_second
    )


@dataclass(frozen=True, slots=True)
class FacilityPoint:
    """`facility = fixed + marginal x IT` at one outdoor temperature."""

    celsius: float
    fixed_watts: float
    marginal: float


@dataclass(frozen=True, slots=True)
class Facility:
    """Affine in IT watts, its terms linear between points of outdoor temperature, clamped."""

    points: Sequence[FacilityPoint]

    @classmethod
    def from_config(cls, document: Sequence[Mapping[str, Any]]) -> Facility:
        """Of `[{temperatureMillicelsius, fixedWatts, marginalPermille}]`."""
        return cls(
            tuple(
                sorted(
                    (
                        FacilityPoint(
                            float(item["temperatureMillicelsius"]) / 1000,
                            float(item["fixedWatts"]),
                            float(item["marginalPermille"]) / 1000,
                        )
                        for item in document
                    ),
                    key=lambda point: point.celsius,
                )
            )
        )

    def terms(self, celsius: float) -> tuple[float, float]:
        """(fixed watts, marginal) at a temperature."""
        points = self.points
        if celsius <= points[0].celsius:
            return points[0].fixed_watts, points[0].marginal
        for left, right in pairwise(points):
            if celsius <= right.celsius:
                share = (celsius - left.celsius) / (right.celsius - left.celsius)
                return (
                    left.fixed_watts + share * (right.fixed_watts - left.fixed_watts),
                    left.marginal + share * (right.marginal - left.marginal),
                )
        return points[-1].fixed_watts, points[-1].marginal


@dataclass(frozen=True, slots=True)
class Weather:
    """Outdoor temperature: a day's swing with its maximum in mid-afternoon, local time."""

    mean_celsius: float
    swing_celsius: float
    """Half the difference of day and night."""
    hottest_hour: float = 15.0
    zone_offset_hours: float = 0.0

    def celsius(self, grid_time: float) -> float:
        """Temperature at a grid time."""
        hour = (grid_time / 3600 + self.zone_offset_hours - self.hottest_hour) % 24
        return self.mean_celsius + self.swing_celsius * math.cos(hour / 24 * 2 * math.pi)


@dataclass(frozen=True, slots=True)
class Cooling:
    """Facility watts that the cooling plant can carry; it falls with heat and with a leak."""

    limit_watts: float
    derate_above_celsius: float = 30.0
    derate_per_celsius: float = 0.01
    leak_factor: float = 0.5

    def watts(self, celsius: float, *, leak: bool) -> float:
        """Limit now; 1 % a degree above 30 C is an assumption, not a measurement."""
        heat = max(0.0, celsius - self.derate_above_celsius) * self.derate_per_celsius
        return self.limit_watts * max(0.0, 1 - heat) * (self.leak_factor if leak else 1.0)
