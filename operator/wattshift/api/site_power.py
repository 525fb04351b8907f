"""Power of a PowerSite: grid connection points, facility power, cooling.

Physics only; money is in the EnergyContract. Watts are integers at the named point of measurement.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import IntervalMinutes, LocalName, Millicelsius, Watts
from wattshift.api.lists import list_map
from wattshift.api.rules import ordered, union

_INT32 = {"format": "int32"}


class Redundancy(StrEnum):
    """What stays when a feed fails."""

    NONE = "None"
    N_PLUS_ONE = "NPlusOne"
    TWO_N = "TwoN"


class Connection(ApiModel):
    """A grid connection point: where the utility meters and limits."""

    atomic = True

    name: LocalName
    """name is what contracts, clusters and events call the connection."""
    import_limit_watts: Watts
    """importLimitWatts is the hard limit of import, averaged over averagingMinutes."""
    import_limit_volt_amperes: Watts | None = None
    """importLimitVoltAmperes is the hard limit of apparent power."""
    export_limit_watts: Watts | None = None
    """exportLimitWatts is the limit of export; absent = no export."""
    averaging_minutes: IntervalMinutes = 15
    """averagingMinutes is the averaging time of the limits."""
    redundancy: Redundancy | None = None
    """redundancy is what stays when the feed fails."""
    meter_signal_name: LocalName | None = None
    """meterSignalName is the SitePower signal of the meter."""
    export_meter_signal_name: LocalName | None = None
    """exportMeterSignalName is the SitePower signal of the export meter; absent = no export."""
    uncontrolled_load_signal_name: LocalName | None = None
    """uncontrolledLoadSignalName is the UncontrolledPower signal: other load on the meter."""


class AffinePower(ApiModel):
    """Facility power = fixedWatts + marginalPermille / 1000 x IT power."""

    fixed_watts: Watts
    """fixedWatts is the power at zero IT load."""
    marginal_permille: Annotated[
        int, Field(strict=True, ge=1000, le=4000, json_schema_extra=_INT32)
    ]
    """marginalPermille is the facility power of one more IT watt, in thousandths."""


class FacilityPoint(AffinePower):
    """Facility power at an outdoor temperature."""

    temperature_millicelsius: Millicelsius
    """temperatureMillicelsius is the outdoor temperature."""


class FacilityType(StrEnum):
    """How facility power follows IT power."""

    CONSTANT = "Constant"
    CURVE = "Curve"
    MEASURED = "Measured"


class Facility(ApiModel):
    """How facility power follows IT power: affine, because the average PUE overstates savings."""

    atomic = True

    rules = (union(Constant="constant", Curve="curve", Measured="facility_power_signal_name"),)

    type: FacilityType
    """type is Constant, Curve (over outdoor temperature) or Measured."""
    constant: AffinePower | None = None
    """constant is the same line at every temperature."""
    curve: Annotated[
        list[FacilityPoint], list_map("temperature_millicelsius", max_items=16, min_items=1)
    ] = Field(default_factory=list)
    """curve is interpolated between points and clamped at its ends."""
    outdoor_temperature_signal_name: LocalName | None = None
    """outdoorTemperatureSignalName is the signal for the curve; unknown = its worst point."""
    facility_power_signal_name: LocalName | None = None
    """facilityPowerSignalName is the SitePower signal of Measured."""


class Power(ApiModel):
    """Electrical capacity of the site."""

    it_capacity_watts: Watts
    """itCapacityWatts is the power that racks may draw."""
    ramp_up_watts_per_minute: Watts | None = None
    """rampUpWattsPerMinute limits how fast load may rise."""
    ramp_down_watts_per_minute: Watts | None = None
    """rampDownWattsPerMinute limits how fast load may fall, outside of emergencies."""
    facility: Facility | None = None
    """facility is how facility power follows IT power; absent = IT power, said in status."""


class CoolingClass(StrEnum):
    """ASHRAE thermal guidelines: air A1 to A4, liquid W17 to W45."""

    A1 = "A1"
    A2 = "A2"
    A3 = "A3"
    A4 = "A4"
    W17 = "W17"
    W27 = "W27"
    W32 = "W32"
    W40 = "W40"
    W45 = "W45"


class CoolingEnvelope(ApiModel):
    """Supply temperatures that are allowed."""

    atomic = True

    rules = (ordered("minimum_millicelsius", "maximum_millicelsius"),)

    minimum_millicelsius: Millicelsius | None = None
    """minimumMillicelsius is the lowest supply temperature."""
    maximum_millicelsius: Millicelsius
    """maximumMillicelsius is the highest supply temperature."""


class DeratingPoint(ApiModel):
    """Heat that cooling can remove at an outdoor temperature."""

    temperature_millicelsius: Millicelsius
    """temperatureMillicelsius is the outdoor temperature."""
    limit_watts: Watts
    """limitWatts is the largest IT power that can be cooled."""


class LeakReaction(StrEnum):
    """What happens when a leak is reported."""

    WARN = "Warn"
    STOP_ADDING = "StopAdding"
    EVACUATE = "Evacuate"


class Cooling(ApiModel):
    """Limits of the cooling plant."""

    limit_signal_name: LocalName | None = None
    """limitSignalName is the CoolingLimitPower signal."""
    supply_temperature_signal_name: LocalName | None = None
    """supplyTemperatureSignalName is the SupplyTemperature signal."""
    outdoor_temperature_signal_name: LocalName | None = None
    """outdoorTemperatureSignalName is the OutdoorTemperature signal of the derating."""
    leak_signal_name: LocalName | None = None
    """leakSignalName is the LeakState signal."""
    thermal_class: CoolingClass | None = None
    """thermalClass is the ASHRAE class whose recommended envelope holds."""
    envelope: CoolingEnvelope | None = None
    """envelope replaces the envelope of the class."""
    derating: Annotated[list[DeratingPoint], list_map("temperature_millicelsius", max_items=16)] = (
        Field(default_factory=list)
    )
    """derating is interpolated between points and clamped at its ends; unknown = the worst point."""
    leak_reaction: LeakReaction | None = None
    """leakReaction is Warn, StopAdding (the default) or Evacuate."""
