"""What a site draws and where it comes from: facility curve, own supply, storage, meter.

Truth as [steps, sites] arrays; the power of one span as integers' worth of physics in float64.
Neighbours: `plant.py` (IT watts), `books.py` (money). Formulas: contract.md 1 (affine facility).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattshift.core.contract.model import SurplusUse
from wattshift.sim.scenario import Array, Scenario, Signal, SimSite


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """True series of all sites, [steps, sites]; NaN where a site has no such quantity."""

    fixed: Array
    marginal: Array
    """Facility watts = fixed + marginal x IT watts."""
    supply: Array
    """W of own supply that is available; 0 without one."""
    uncontrolled: Array
    cooling_limit: Array
    price: Array
    export_price: Array
    carbon: Array
    green_share: Array
    import_limit: Array
    """[sites]"""
    exports: Array
    """[sites] 1 where surplus is sold, else it is curtailed."""


def truth_of(scenario: Scenario) -> Truth:
    """The true series of a scenario."""
    steps, sites = scenario.steps, scenario.sites

    def series(pick: str, default: float) -> Array:
        columns = []
        for site in sites:
            signal: Signal | None = getattr(site, pick)
            column = np.full(steps, default) if signal is None else signal.values[:steps]
            columns.append(np.asarray(column, dtype=float))
        return np.stack(columns, axis=1) if columns else np.zeros((steps, 0))

    terms = [facility_series(site, steps) for site in sites]
    return Truth(
        fixed=np.stack([row[0] for row in terms], axis=1) if terms else np.zeros((steps, 0)),
        marginal=np.stack([row[1] for row in terms], axis=1) if terms else np.zeros((steps, 0)),
        supply=series("supply", 0.0),
        uncontrolled=series("uncontrolled", 0.0),
        cooling_limit=series("cooling_limit", np.inf),
        price=series("price", np.nan),
        export_price=series("export_price", 0.0),
        carbon=series("carbon", np.nan),
        green_share=series("green_share", 0.0),
        import_limit=np.asarray(
            [np.inf if s.import_limit_watts is None else s.import_limit_watts for s in sites]
        ),
        exports=np.asarray([float(_sells(site)) for site in sites]),
    )


def facility_series(site: SimSite, steps: int) -> tuple[Array, Array]:
    """(fixed watts, marginal factor) by step at the true temperature, clamped at both ends."""
    points = site.facility
    if not points:
        return np.zeros(steps), np.ones(steps)
    celsius = np.asarray([row.temperature_millicelsius / 1000 for row in points])
    fixed = np.asarray([float(row.fixed_watts) for row in points])
    factor = np.asarray([row.marginal_permille / 1000 for row in points])
    if site.temperature is None or len(points) == 1:
        return np.full(steps, fixed[0]), np.full(steps, factor[0])
    now = np.asarray(site.temperature.values[:steps], dtype=float)
    return np.interp(now, celsius, fixed), np.interp(now, celsius, factor)


def _sells(site: SimSite) -> bool:
    if site.export_price is not None:
        return True
    positions = site.contract.positions if site.contract is not None else ()
    return any(
        row.surplus is not None and row.surplus.use is SurplusUse.EXPORT for row in positions
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Watts of one span by site. `facility + uncontrolled + charge = taken + imported + discharge`."""

    it: Array
    facility: Array
    uncontrolled: Array
    supply: Array
    """Available."""
    taken: Array
    """Of the supply, used on site (load or charging)."""
    charge: Array
    discharge: Array
    imported: Array
    exported: Array
    curtailed: Array

    @property
    def load(self) -> Array:
        """What the operator's site meter shows: all use behind the connection."""
        return self.facility + self.uncontrolled


class Sources:
    """Own supply and storage behind the meter; keeps the state of charge."""

    def __init__(self, scenario: Scenario, truth: Truth) -> None:
        stores = [site.storage for site in scenario.sites]
        self._truth = truth
        self._has = any(row is not None for row in stores)
        self._capacity = np.asarray([0.0 if r is None else r.energy_watt_hours for r in stores])
        self._power = np.asarray([0.0 if r is None else r.power_watts for r in stores])
        self._charge_eff = np.asarray([1.0 if r is None else r.charge_efficiency for r in stores])
        self._give_eff = np.asarray([1.0 if r is None else r.discharge_efficiency for r in stores])
        self._reserve = self._capacity * np.asarray(
            [0.0 if r is None else r.reserve_share for r in stores]
        )
        self.charge = self._reserve.copy()
        """Wh stored."""

    def flows(self, step: int, seconds: float, it_watts: Array) -> Flows:
        """Meet the load of a span: own supply first, then storage, then the grid."""
        truth = self._truth
        facility = truth.fixed[step] + truth.marginal[step] * it_watts
        other = truth.uncontrolled[step]
        load = facility + other
        supply = truth.supply[step]
        direct = np.minimum(load, supply)
        surplus, short = supply - direct, load - direct
        charge, discharge = np.zeros_like(load), np.zeros_like(load)
        if self._has:
            hours = seconds / 3600.0
            room = np.maximum(0.0, self._capacity - self.charge)
            charge = np.minimum(surplus, self._power)
            charge = np.minimum(charge, room / (hours * self._charge_eff))
            held = np.maximum(0.0, self.charge - self._reserve)
            discharge = np.minimum(np.minimum(short, self._power), held * self._give_eff / hours)
            self.charge = (
                self.charge + charge * hours * self._charge_eff - discharge * hours / self._give_eff
            )
        rest = surplus - charge
        exported = rest * truth.exports
        return Flows(
            it=it_watts,
            facility=facility,
            uncontrolled=other,
            supply=supply,
            taken=direct + charge,
            charge=charge,
            discharge=discharge,
            imported=short - discharge,
            exported=exported,
            curtailed=rest - exported,
        )
