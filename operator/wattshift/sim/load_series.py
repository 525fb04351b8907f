"""Series of a file as `Signal`s: source, scale, limits and unit, each fault with its field.

Values end in the canonical unit of their quantity (`core/units.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.units import Quantity, UnitError, price_currency, to_canonical
from wattshift.sim import load_synthetic as made
from wattshift.sim.load_csv import Files, regular
from wattshift.sim.load_grid import Grid
from wattshift.sim.load_text import Place, Text
from wattshift.sim.scenario import Array, Forecasting, ForecastModel, Signal
from wattshift.sim.schema_series import CsvColumn, ForecastSpec, Interpolation, Series, Synthetic

CANONICAL = {
    Quantity.CARBON_INTENSITY_AVERAGE: "g/kWh",
    Quantity.GREEN_SHARE: "ratio",
    Quantity.SUPPLY_POWER: "W",
    Quantity.UNCONTROLLED_POWER: "W",
    Quantity.OUTDOOR_TEMPERATURE: "degC",
    Quantity.BACKLOG_UNITS: "count",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a series belongs: its label for draws, zone of its local time, and place on earth."""

    label: str
    zone: str
    position: tuple[float, float] | None = None


def frozen(values: Array) -> Array:
    """A read-only, contiguous float64 array."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    values.setflags(write=False)
    return values


def forecasting(spec: ForecastSpec | None) -> Forecasting:
    """The forecast model; absent = none, known at once after the telemetry delay."""
    if spec is None:
        return Forecasting()
    return Forecasting(
        model=ForecastModel(spec.model),
        delay_seconds=spec.delay_seconds,
        horizon_seconds=spec.horizon_seconds,
        published_at_hour=spec.published_at_hour,
        relative_error=spec.relative_error,
        bias=spec.bias,
    )


class SeriesReader:
    """Turns series of one file into arrays."""

    def __init__(self, text: Text, files: Files, grid: Grid) -> None:
        self.text, self.files, self.grid = text, files, grid
        self._columns: dict[tuple[CsvColumn, Interpolation], Array] = {}

    def signal(
        self, series: Series, quantity: Quantity, place: Place, origin: Origin, currency: str = ""
    ) -> Signal:
        """The series in the canonical unit of its quantity.

        Raises:
            ScenarioError: the unit does not measure it, or the data are not fit.
        """
        try:
            to_canonical(quantity, 1.0, series.unit)
        except UnitError as error:
            raise self.text.error((*place, "unit"), str(error)) from None
        if quantity is Quantity.ENERGY_PRICE and price_currency(series.unit) != currency:
            raise self.text.error(
                (*place, "unit"), f"{series.unit!r} is not in the site's currency {currency}"
            )
        values = self.values(series, place, origin)
        zero = to_canonical(quantity, 0.0, series.unit)
        factor = to_canonical(quantity, 1.0, series.unit) - zero
        unit = f"{currency}/kWh" if quantity is Quantity.ENERGY_PRICE else CANONICAL[quantity]
        canonical = frozen(values * factor + zero)
        self._check(canonical, quantity, place)
        return Signal(values=canonical, unit=unit, forecasting=forecasting(series.forecast))

    def _check(self, values: Array, quantity: Quantity, place: Place) -> None:
        low, high = float(values.min()), float(values.max())
        limits = {
            Quantity.ENERGY_PRICE: (-1e4, 1e5, "a price per kWh"),
            Quantity.CARBON_INTENSITY_AVERAGE: (0.0, 3000.0, "g/kWh"),
            Quantity.GREEN_SHARE: (0.0, 1.0, "a share from 0 to 1"),
            Quantity.SUPPLY_POWER: (0.0, 1e13, "W"),
            Quantity.UNCONTROLLED_POWER: (0.0, 1e13, "W"),
            Quantity.OUTDOOR_TEMPERATURE: (-90.0, 70.0, "degrees Celsius"),
            Quantity.BACKLOG_UNITS: (0.0, 1e15, "a number of units"),
        }[quantity]
        if low < limits[0] or high > limits[1]:
            raise self.text.error(
                place,
                f"values from {low:g} to {high:g} cannot be {limits[2]}: check unit, scale and add",
            )

    def values(self, series: Series, place: Place, origin: Origin) -> Array:
        """The series on the steps, in its own unit."""
        values = self._source(series, place, origin)
        if series.scale_maximum_to is not None:
            highest = float(values.max())
            if highest <= 0:
                raise self.text.error((*place, "scaleMaximumTo"), "the series is never above 0")
            values = values * (series.scale_maximum_to / highest)
        values = values * series.scale + series.add
        if series.floor is not None or series.ceiling is not None:
            values = np.clip(values, series.floor, series.ceiling)
        if not np.isfinite(values).all():
            raise self.text.error(place, "gives values that are not finite: check scale and add")
        return values

    def _source(self, series: Series, place: Place, origin: Origin) -> Array:
        if series.csv is not None:
            return self.column(series.csv, series.interpolation, (*place, "csv"))
        if series.constant is not None:
            return np.full(self.grid.steps, series.constant)
        if series.daily_curve is not None:
            points = np.array([*series.daily_curve, series.daily_curve[0]])
            where = self.grid.hour_of_day(origin.zone) / 24 * len(series.daily_curve)
            if series.interpolation is Interpolation.LINEAR:
                return np.asarray(np.interp(where, np.arange(len(points)), points))
            return np.asarray(points[np.floor(where + 1e-9).astype(np.int64)])
        assert series.synthetic is not None
        return self._synthetic(series.synthetic, (*place, "synthetic"), origin)

    def column(self, csv: CsvColumn, interpolation: Interpolation, place: Place) -> Array:
        """A CSV column on the steps, read once."""
        key = (csv, interpolation)
        if key not in self._columns:
            table = self.files.table(csv.file, (*place, "file"))
            points = regular(table, csv, self.grid.start)
            what = f"{table.path}: column {csv.column!r}"
            self._columns[key] = self.grid.sample(points, interpolation, what)
        return self._columns[key]

    def _synthetic(self, spec: Synthetic, place: Place, origin: Origin) -> Array:
        if spec.shaped is not None:
            return made.shaped(self.grid, spec.shaped, origin.zone, spec.seed, origin.label)
        if spec.wind is not None:
            return made.wind(self.grid, spec.wind, spec.seed, origin.label)
        assert spec.solar is not None
        latitude, longitude = spec.solar.latitude, spec.solar.longitude
        if latitude is None or longitude is None:
            if origin.position is None:
                raise self.text.error(
                    (*place, "solar"), "needs latitude and longitude, here or at the site"
                )
            latitude, longitude = origin.position
        return made.solar(self.grid, spec.solar, (latitude, longitude), spec.seed, origin.label)
