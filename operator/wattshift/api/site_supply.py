"""Supplies of a PowerSite: direct connections, generation on site, storage.

Physics only; what their energy costs is in `positions` of an EnergyContract.
"""

from __future__ import annotations

from enum import StrEnum

from wattshift.api.base import ApiModel
from wattshift.api.common import LocalName, Permille, PositiveDecimalText, Watts
from wattshift.api.rules import union


class SupplyType(StrEnum):
    """Kinds of supply that the site owns or is directly connected to."""

    DIRECT_WIND = "DirectWind"
    DIRECT_SOLAR = "DirectSolar"
    DIRECT_HYDRO = "DirectHydro"
    DIRECT_NUCLEAR = "DirectNuclear"
    ON_SITE_SOLAR = "OnSiteSolar"
    ON_SITE_WIND = "OnSiteWind"
    ON_SITE_GAS = "OnSiteGas"
    ON_SITE_DIESEL = "OnSiteDiesel"
    ON_SITE_FUEL_CELL = "OnSiteFuelCell"
    STORAGE = "Storage"


class ExportPolicy(StrEnum):
    """What may happen to surplus."""

    ALLOWED = "Allowed"
    FORBIDDEN = "Forbidden"


class ChargeFrom(StrEnum):
    """What may charge a storage."""

    SUPPLIES = "Supplies"
    GRID = "Grid"
    ANY = "Any"


class Storage(ApiModel):
    """A battery or other storage."""

    atomic = True

    energy_watt_hours: Watts
    """energyWattHours is the usable energy."""
    max_charge_watts: Watts
    """maxChargeWatts is the largest charging power."""
    max_discharge_watts: Watts
    """maxDischargeWatts is the largest discharging power."""
    charge_efficiency_permille: Permille
    """chargeEfficiencyPermille is energy stored per energy taken."""
    discharge_efficiency_permille: Permille
    """dischargeEfficiencyPermille is energy given per energy stored."""
    wear_per_kilowatt_hour: PositiveDecimalText | None = None
    """wearPerKilowattHour is the cost of wear per kWh discharged, in the reporting currency."""
    reserve_permille: Permille | None = None
    """reservePermille is the share of energy kept for outages."""
    charge_from: ChargeFrom = ChargeFrom.SUPPLIES
    """chargeFrom is what may charge it."""
    state_of_charge_signal_name: LocalName | None = None
    """stateOfChargeSignalName is the StateOfCharge signal."""


class Supply(ApiModel):
    """A source of power that the site owns or is directly connected to."""

    atomic = True

    rules = (union(Storage="storage"),)

    name: LocalName
    """name is what contracts call the supply."""
    type: SupplyType
    """type is the kind of supply."""
    capacity_watts: Watts
    """capacityWatts is the largest power."""
    connection_name: LocalName | None = None
    """connectionName is the connection behind which it feeds; absent = the only one."""
    power_signal_name: LocalName | None = None
    """powerSignalName is the SupplyPower signal of what is produced."""
    available_power_signal_name: LocalName | None = None
    """availablePowerSignalName is the SupplyPower signal of what could be produced."""
    delivered_power_signal_name: LocalName | None = None
    """deliveredPowerSignalName is the SupplyPower signal of what reaches the site."""
    forecast_signal_name: LocalName | None = None
    """forecastSignalName is a SupplyPower signal of kind Forecast."""
    export_policy: ExportPolicy | None = None
    """exportPolicy says whether surplus may leave; absent = as the contract says."""
    carbon_grams_per_kilowatt_hour: PositiveDecimalText | None = None
    """carbonGramsPerKilowattHour is its carbon intensity; absent = 0 for wind, solar, hydro, nuclear."""
    storage: Storage | None = None
    """storage are the limits of a Storage."""
