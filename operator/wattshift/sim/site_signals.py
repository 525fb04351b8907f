"""Signals of a site as the operator would declare them: names, units, staleness, issuers.

Neighbours: `observed.py` (one signal), `sites_seen.py`.
"""

from __future__ import annotations

from dataclasses import replace

from wattshift.core.signal import OnStale
from wattshift.core.units import Quantity
from wattshift.sim.forecasts import Issuer
from wattshift.sim.observed import Config, Observed
from wattshift.sim.scenario import Forecasting, ForecastModel, Scenario, Signal

PUBLISHED_STALE_SECONDS = 2 * 3600.0
"""Market and grid data are stale two hours after they should have come."""

_FAULT_NAMES = {
    Quantity.ENERGY_PRICE: ("Price", "price"),
    Quantity.EXPORT_PRICE: ("Price", "export-price"),
    Quantity.CARBON_INTENSITY_AVERAGE: ("Carbon", "carbon"),
    Quantity.GREEN_SHARE: ("Carbon", "green-share"),
    Quantity.OUTDOOR_TEMPERATURE: ("Temperature", "temperature"),
    Quantity.SUPPLY_POWER: ("Supply", "supply"),
    Quantity.COOLING_LIMIT_POWER: ("Temperature", "cooling-limit"),
    Quantity.UNCONTROLLED_POWER: ("Power", "uncontrolled"),
}
_UNITS = {
    Quantity.CARBON_INTENSITY_AVERAGE: "GramPerKilowattHour",
    Quantity.GREEN_SHARE: "Ratio",
    Quantity.OUTDOOR_TEMPERATURE: "DegreeCelsius",
    Quantity.SUPPLY_POWER: "Watt",
    Quantity.COOLING_LIMIT_POWER: "Watt",
    Quantity.UNCONTROLLED_POWER: "Watt",
}
_TELEMETRY = frozenset(
    {Quantity.SUPPLY_POWER, Quantity.COOLING_LIMIT_POWER, Quantity.UNCONTROLLED_POWER}
)
_ON_STALE = {
    Quantity.ENERGY_PRICE: OnStale.ASSUME_WORST,
    Quantity.EXPORT_PRICE: OnStale.IGNORE,
    Quantity.CARBON_INTENSITY_AVERAGE: OnStale.ASSUME_WORST,
    Quantity.SUPPLY_POWER: OnStale.ASSUME_WORST,
    Quantity.COOLING_LIMIT_POWER: OnStale.ASSUME_WORST,
}


def observed(
    scenario: Scenario, index: int, signal: Signal | None, quantity: Quantity, seed: int
) -> Observed | None:
    """The signal of one quantity of a site; None where the scenario has none."""
    if signal is None:
        return None
    site = scenario.sites[index]
    how = seen_late(signal.forecasting, scenario)
    steps = _FAULT_NAMES[quantity]
    telemetry = quantity in _TELEMETRY
    stale = max(PUBLISHED_STALE_SECONDS, 3 * scenario.step_seconds)
    if telemetry:
        stale = max(60.0, 3 * scenario.step_seconds)
    unit = _UNITS.get(quantity, "")
    if quantity in (Quantity.ENERGY_PRICE, Quantity.EXPORT_PRICE):
        unit = f"{site.currency}PerKilowattHour"
    config = Config(
        name=steps[1],
        quantity=quantity,
        fault_name=steps[0],
        unit=unit,
        on_stale=_ON_STALE.get(quantity, OnStale.HOLD),
        stale_after_seconds=stale + how.delay_seconds,
    )
    issuer = Issuer(
        signal.values,
        how,
        step_seconds=scenario.step_seconds,
        start_time=scenario.start_time,
        time_zone=site.time_zone,
        seed=_seed(seed, index, steps[1]),
    )
    return Observed(scenario, site.name, config, issuer)


def seen_late(how: Forecasting, scenario: Scenario) -> Forecasting:
    """Nobody sees a quantity before telemetry does, unless it was published ahead."""
    if how.model is ForecastModel.PUBLISHED:
        return how
    return replace(how, delay_seconds=max(how.delay_seconds, scenario.telemetry_delay_seconds))


def _seed(seed: int, index: int, name: str) -> int:
    """One stream per site and quantity, the same whatever else the scenario has."""
    mixed = (seed * 1_000_003 + index) * 1_000_003 + sum(
        ord(c) << (i % 16) for i, c in enumerate(name)
    )
    return mixed & 0x7FFF_FFFF
