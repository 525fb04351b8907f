"""The plant's books: energy, money, carbon and green use, integrated from the truth on grid time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Truth of one step; watts, currency per kWh, grams per kWh."""

    it_watts: float
    engine_watts: float
    facility_watts: float
    """Controlled load with its cooling and losses; without the uncontrolled load."""
    uncontrolled_watts: float
    supply_watts: float
    price_per_kwh: float
    supply_price_per_kwh: float
    carbon_grams_per_kwh: float
    cooling_limit_watts: float
    import_limit_watts: float
    tokens_per_second: float

    @property
    def load_watts(self) -> float:
        """All that the connection point carries."""
        return self.facility_watts + self.uncontrolled_watts

    @property
    def green_watts(self) -> float:
        """Own supply that is used at the same time."""
        return min(self.load_watts, self.supply_watts)

    @property
    def import_watts(self) -> float:
        """From the grid."""
        return self.load_watts - self.green_watts

    @property
    def surplus_watts(self) -> float:
        """Own supply that is not used: exported or curtailed."""
        return self.supply_watts - self.green_watts


@dataclass(slots=True)
class Books:
    """Totals since the start; energies in Wh, money in the site's currency, carbon in grams."""

    grid_seconds: float = 0.0
    it_watt_hours: float = 0.0
    engine_watt_hours: float = 0.0
    facility_watt_hours: float = 0.0
    uncontrolled_watt_hours: float = 0.0
    import_watt_hours: float = 0.0
    green_watt_hours: float = 0.0
    surplus_watt_hours: float = 0.0
    import_cost: float = 0.0
    supply_cost: float = 0.0
    carbon_grams: float = 0.0
    """Imported energy at the grid's intensity."""
    carbon_grams_location: float = 0.0
    """All energy at the grid's intensity, whatever own supply was used."""
    tokens: float = 0.0
    """Output tokens on grid time: a replay at speed s stands for s times those that were made."""
    over_import_limit_seconds: float = 0.0
    over_cooling_limit_seconds: float = 0.0
    peak_import_watts: float = 0.0
    intervals: dict[int, float] = field(default_factory=dict)
    """Start of each 15-minute interval of grid time -> imported Wh, for demand charges."""

    def add(self, moment: Moment, grid_time: float, grid_seconds: float) -> None:
        """Hold `moment` for `grid_seconds` that end at `grid_time`."""
        hours = grid_seconds / 3600
        self.grid_seconds += grid_seconds
        self.it_watt_hours += moment.it_watts * hours
        self.engine_watt_hours += moment.engine_watts * hours
        self.facility_watt_hours += moment.facility_watts * hours
        self.uncontrolled_watt_hours += moment.uncontrolled_watts * hours
        self.import_watt_hours += moment.import_watts * hours
        self.green_watt_hours += moment.green_watts * hours
        self.surplus_watt_hours += moment.surplus_watts * hours
        self.import_cost += moment.import_watts * hours / 1000 * moment.price_per_kwh
        self.supply_cost += moment.green_watts * hours / 1000 * moment.supply_price_per_kwh
        self.carbon_grams += moment.import_watts * hours / 1000 * moment.carbon_grams_per_kwh
        self.carbon_grams_location += moment.load_watts * hours / 1000 * moment.carbon_grams_per_kwh
        self.tokens += moment.tokens_per_second * grid_seconds
        if moment.import_watts > moment.import_limit_watts:
            self.over_import_limit_seconds += grid_seconds
        if moment.facility_watts > moment.cooling_limit_watts:
            self.over_cooling_limit_seconds += grid_seconds
        self.peak_import_watts = max(self.peak_import_watts, moment.import_watts)
        start = int(grid_time // 900 * 900)
        self.intervals[start] = self.intervals.get(start, 0.0) + moment.import_watts * hours

    def summary(self) -> dict[str, object]:
        """Totals in camelCase, with the ratios that reports ask for."""
        totals = {_camel(key): value for key, value in asdict(self).items() if key != "intervals"}
        used = self.facility_watt_hours + self.uncontrolled_watt_hours
        highest = max(self.intervals.values(), default=0.0) * 4
        return {
            **totals,
            "cost": self.import_cost + self.supply_cost,
            "greenShare": self.green_watt_hours / used if used else None,
            "powerUsageEffectiveness": (
                self.facility_watt_hours / self.it_watt_hours if self.it_watt_hours else None
            ),
            "peakQuarterHourImportWatts": highest,
        }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
