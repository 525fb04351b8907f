"""One site's truth over time: engines + facility + uncontrolled load + supply, and its meters."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.lab.plant.books import Books, Moment
from e2e.lab.plant.engines import Engines
from e2e.lab.plant.meter import Meter
from e2e.lab.plant.physics import Cooling, EngineClass, Facility, Hidden, Weather, engine_watts
from e2e.lab.telemetry.clock import GridClock, clock_from
from e2e.lab.telemetry.curve import Curve, constant, read_curve

UNLIMITED = math.inf
FLAT_FACILITY = [{"temperatureMillicelsius": 20000, "fixedWatts": 0, "marginalPermille": 1150}]


@dataclass(slots=True)
class Supply:
    """Own generation: capacity times a day curve of shares; `factor` scales it while injected."""

    name: str
    kind: str
    capacity_watts: float
    curve: Curve
    factor: float = 1.0
    factor_until: float = math.inf

    def watts(self, grid_time: float, wall: float) -> float:
        """Power now."""
        if wall >= self.factor_until:
            self.factor, self.factor_until = 1.0, math.inf
        return max(0.0, self.capacity_watts * self.curve.at(grid_time) * self.factor)


@dataclass(slots=True)
class Injected:
    """A change of the truth until a wall time."""

    value: float = 0.0
    until: float = -math.inf

    def at(self, wall: float) -> float:
        """Value now, 0 when over."""
        return self.value if wall < self.until else 0.0


class SitePlant:
    """Everything physical of one site; `step` moves it to now."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        base: Path = Path(),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = str(config["site"])
        self.clock: GridClock = clock_from(config.get("clock"), wall)
        self.engines = Engines()
        self.books = Books()
        self.moment: Moment | None = None
        self.workloads: dict[str, dict[str, float]] = {}
        """`namespace/app` -> watt-hours of its engines and their output tokens, on grid time."""
        self._wall = wall
        self._last_wall: float | None = None
        seed = f"{config.get('seed', 1)}/{self.name}"
        self.hidden = Hidden(seed)
        self.classes = [EngineClass.from_config(item) for item in config["powerClasses"]]
        self.base_it_watts = float(config.get("baseItWatts", 0)) * self.hidden.factor("base")
        self.facility = Facility.from_config(config.get("facility", FLAT_FACILITY))
        zone = self._zone_hours = float(config.get("zoneOffsetHours", 0))
        weather = config.get("weather", {})
        self.weather = Weather(
            float(weather.get("meanCelsius", 15)),
            float(weather.get("swingCelsius", 5)),
            zone_offset_hours=zone,
        )
        cooling = config.get("cooling", {})
        self.cooling = Cooling(
            float(cooling.get("limitWatts", UNLIMITED)),
            float(cooling.get("derateAboveCelsius", 30)),
            float(cooling.get("deratePermillePerCelsius", 10)) / 1000,
            float(cooling.get("leakPermille", 500)) / 1000,
        )

        def curve(document: Any, *, step: bool = False) -> Curve:
            if isinstance(document, Mapping):
                return read_curve(
                    base / document["csv"],
                    document["column"],
                    time_column=document.get("timeColumn", "time"),
                    scale=float(document.get("scale", 1)),
                    zone_offset_seconds=float(document.get("zoneOffsetHours", zone)) * 3600,
                    step=step,
                )
            return constant(float(document))

        self.supplies = [
            Supply(
                item["name"],
                item.get("type", "Wind"),
                float(item["capacityWatts"]),
                curve(item["share"]),
            )
            for item in config.get("supplies", [])
        ]
        uncontrolled = config.get("uncontrolled", {})
        self._uncontrolled_watts = float(uncontrolled.get("watts", 0))
        self._uncontrolled_swing = float(uncontrolled.get("swingPermille", 0)) / 1000
        self._price = curve(config.get("pricePerKilowattHour", 0), step=True)
        self._supply_price = float(config.get("supplyPricePerKilowattHour", 0))
        self._carbon = curve(config.get("carbonGramsPerKilowattHour", 0))
        self.import_limit_watts = float(config.get("importLimitWatts", UNLIMITED))
        self.step_watts = Injected()
        self.leak = Injected()
        meters = config.get("meters", {})
        lag, noise = (
            float(meters.get("lagSeconds", 2)),
            float(meters.get("noisePermille", 4)) / 1000,
        )
        source = random.Random(f"{seed}/noise")
        self.meters: dict[str, Meter] = {
            name: Meter(
                lag if name in {"site", "it"} else 0.0,
                noise,
                self.hidden.factor(
                    "meter", name, spread=float(meters.get("biasPermille", 5)) / 1000
                ),
                source,
            )
            for name in ("site", "it", "uncontrolled", *(f"farm:{s.name}" for s in self.supplies))
        }
        self.readings: dict[str, float | None] = {}

    def class_of(self, labels: Mapping[str, str]) -> EngineClass | None:
        """First class that a pod with `labels` matches."""
        return next((item for item in self.classes if item.matches(labels)), None)

    def parts(self) -> list[dict[str, Any]]:
        """Watts of each live engine."""
        found = []
        for uid, engine in self.engines.live.items():
            kind = self.class_of(engine.pod.labels)
            if kind is None:
                continue
            loading = engine.state == "Starting"
            watts = engine_watts(kind, None if loading else engine.activity, self.hidden, uid)
            activity = asdict(engine.activity) if engine.activity else {}
            found.append(
                {
                    "pod": engine.pod.name,
                    "namespace": engine.pod.namespace,
                    "uid": uid,
                    "workload": f"{engine.pod.namespace}/{engine.pod.labels.get('app', '')}",
                    "class": kind.name,
                    "state": engine.state,
                    "watts": watts,
                    "tokens": engine.tokens,
                    **{key: round(value, 4) for key, value in activity.items()},
                }
            )
        return found

    def step(self) -> Moment:
        """Truth now, held for the time since the last step: activity is that interval's mean."""
        wall = self._wall()
        grid = self.clock.now()
        celsius = self.weather.celsius(grid)
        parts = self.parts()
        engine = sum(part["watts"] for part in parts)
        it = engine + self.base_it_watts
        fixed, marginal = self.facility.terms(celsius)
        fixed *= self.hidden.factor("facility", "fixed")
        marginal = 1 + (marginal - 1) * self.hidden.factor("facility", "marginal")
        hour = (grid / 3600 + self._zone_hours) % 24
        swing = 1 + self._uncontrolled_swing * math.sin(hour / 24 * 2 * math.pi)
        moment = Moment(
            it_watts=it,
            engine_watts=engine,
            facility_watts=fixed + marginal * it,
            uncontrolled_watts=max(
                0.0, self._uncontrolled_watts * swing + self.step_watts.at(wall)
            ),
            supply_watts=sum(item.watts(grid, wall) for item in self.supplies),
            price_per_kwh=self._price.at(grid),
            supply_price_per_kwh=self._supply_price,
            carbon_grams_per_kwh=self._carbon.at(grid),
            cooling_limit_watts=self.cooling.watts(celsius, leak=self.leaking(wall)),
            import_limit_watts=self.import_limit_watts,
            tokens_per_second=sum(part.get("output_tokens_per_second", 0.0) for part in parts),
        )
        seconds = wall - self._last_wall if self._last_wall is not None else 0.0
        if seconds > 0:
            self.books.add(moment, grid, seconds * self.clock.speed)
            self._book_workloads(parts, seconds * self.clock.speed)
        self._last_wall, self.moment = wall, moment
        self._measure(moment, grid, wall, seconds)
        return moment

    def _book_workloads(self, parts: list[dict[str, Any]], grid_seconds: float) -> None:
        for part in parts:
            books = self.workloads.setdefault(part["workload"], {"wattHours": 0.0, "tokens": 0.0})
            books["wattHours"] += part["watts"] * grid_seconds / 3600
            books["tokens"] += part.get("output_tokens_per_second", 0.0) * grid_seconds

    def leaking(self, wall: float) -> bool:
        """Whether the coolant leaks now."""
        return self.leak.at(wall) > 0

    def _measure(self, moment: Moment, grid: float, wall: float, seconds: float) -> None:
        truths = {
            "site": moment.load_watts,
            "it": moment.it_watts,
            "uncontrolled": moment.uncontrolled_watts,
            **{f"farm:{item.name}": item.watts(grid, wall) for item in self.supplies},
        }
        self.readings = {
            name: self.meters[name].read(truth, wall, seconds) for name, truth in truths.items()
        }

    def inject(self, kind: str, *, seconds: float, watts: float = 0.0, factor: float = 1.0) -> None:
        """Change the truth (`step`, `leak`, `supply`) or break the site meter (other kinds).

        Raises ValueError for an unknown kind.
        """
        wall = self._wall()
        if kind == "step":
            self.step_watts = Injected(watts, wall + seconds)
        elif kind == "leak":
            self.leak = Injected(1.0, wall + seconds)
        elif kind == "supply":
            for item in self.supplies:
                item.factor, item.factor_until = factor, wall + seconds
        else:
            self.meters["site"].break_it(kind, wall, seconds, factor)
            if kind == "clear":
                self.step_watts = self.leak = Injected()
                for item in self.supplies:
                    item.factor = 1.0

    def metrics(self) -> str:
        """Prometheus text: what instruments of this site show; nothing hidden."""
        wall, grid = self._wall(), self.clock.now()
        celsius = self.weather.celsius(grid)
        lines: list[str] = []

        def gauge(name: str, value: float | None, extra: str = "") -> None:
            if value is not None:
                lines.append(f'{name}{{site="{self.name}"{extra}}} {value!r}')

        gauge("site_meter_watts", self.readings.get("site"))
        gauge("site_it_watts", self.readings.get("it"))
        gauge("uncontrolled_watts", self.readings.get("uncontrolled"))
        for item in self.supplies:
            extra = f',farm="{item.name}",type="{item.kind}"'
            gauge("farm_power_watts", self.readings.get(f"farm:{item.name}"), extra)
        gauge("outdoor_temperature_celsius", celsius)
        limit = self.cooling.watts(celsius, leak=self.leaking(wall))
        gauge("cooling_limit_watts", limit if math.isfinite(limit) else None)
        gauge("leak_state", float(self.leaking(wall)))
        gauge("grid_clock_seconds", grid)
        return "\n".join(lines) + "\n"

    def truth(self) -> dict[str, Any]:
        """Everything, for reports: never shown to the operator."""
        moment = self.moment
        fixed, marginal = self.facility.terms(self.weather.celsius(self.clock.now()))
        now = (
            {} if moment is None else {key: _finite(value) for key, value in asdict(moment).items()}
        )
        if moment is not None:
            now |= {
                "load_watts": moment.load_watts,
                "import_watts": moment.import_watts,
                "green_watts": moment.green_watts,
                "surplus_watts": moment.surplus_watts,
                "meter_watts": _finite(self.readings.get("site")),
            }
        return {
            "site": self.name,
            "gridTime": self.clock.now(),
            "wallTime": self._wall(),
            "now": now,
            "published": {"fixedWatts": fixed, "marginal": marginal},
            "parts": [*self.parts(), {"pod": "", "class": "base", "watts": self.base_it_watts}],
            "workloads": self.workloads,
            "totals": {key: _finite(value) for key, value in self.books.summary().items()},
        }

    def reset(self) -> None:
        """Start the books again."""
        self.books = Books()
        self.workloads = {}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
