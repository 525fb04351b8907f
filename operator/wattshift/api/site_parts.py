"""Parts of a PowerSite: clusters, connection points, power, supplies, cooling, accelerators.

Physics only; money is in the EnergyContract. Watts are integers at the named point of measurement.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel, Rule, list_map, ordered, present, union
from wattshift.api.common import (
    Count,
    DecimalText,
    HttpEndpoint,
    IntervalMinutes,
    LabelSelector,
    LocalName,
    Millicelsius,
    Milliseconds,
    ObjectName,
    Permille,
    PositiveDecimalText,
    Watts,
    ZoneName,
)

_INT32 = {"format": "int32"}


class Location(ApiModel):
    """Where the site is."""

    region_name: Annotated[str, Field(min_length=2, max_length=32, pattern=r"^[A-Za-z0-9-]+$")]
    """regionName is the region, such as CN-GS; data boundaries of workloads name it."""
    time_zone: ZoneName
    """timeZone is the IANA zone of local times."""
    grid_zone_name: LocalName | None = None
    """gridZoneName is the grid zone for hourly matching; absent = regionName."""
    latitude: DecimalText | None = None
    """latitude is in degrees, north positive."""
    longitude: DecimalText | None = None
    """longitude is in degrees, east positive."""


class NamespacesFrom(StrEnum):
    """Which namespaces may place workloads here."""

    ALL = "All"
    SELECTOR = "Selector"


class AllowedNamespaces(ApiModel):
    """Which namespaces of the hub may place workloads at the site."""

    rules = (
        Rule(
            cel="(self.from == 'Selector') == has(self.selector)",
            message="from Selector needs selector, and only Selector takes it",
            check=lambda self: (self.from_ is NamespacesFrom.SELECTOR) == present(self, "selector"),
        ),
    )

    from_: NamespacesFrom
    """from is All, or Selector for the namespaces that `selector` matches."""
    selector: LabelSelector | None = None
    """selector matches labels of namespaces."""


class EngineMetricsType(StrEnum):
    """How the hub reads the inference engines of a cluster."""

    PROMETHEUS = "Prometheus"
    DIRECT = "Direct"


class EngineMetrics(ApiModel):
    """How the hub reads the inference engines of a cluster."""

    rules = (union(Prometheus="prometheus"),)

    type: EngineMetricsType
    """type is Prometheus, or Direct (the pods; a hand-over within 60 s needs Direct)."""
    prometheus: HttpEndpoint | None = None
    """prometheus is the server that scrapes the engines."""


class ClusterType(StrEnum):
    """How a cluster is reached."""

    LOCAL = "Local"
    KUBECONFIG_SECRET = "KubeconfigSecret"  # noqa: S105
    CLUSTER_PROFILE = "ClusterProfile"


class KubeconfigSecretRef(ApiModel):
    """A Secret with the key `kubeconfig` in the operator's credentials namespace."""

    name: ObjectName
    """name is the name of the Secret."""


class ClusterProfileRef(ApiModel):
    """A ClusterProfile of the multicluster API."""

    namespace: ObjectName
    """namespace is the namespace of the ClusterProfile."""
    name: ObjectName
    """name is the name of the ClusterProfile."""


class Cluster(ApiModel):
    """One Kubernetes cluster of the site."""

    rules = (union(KubeconfigSecret="kubeconfig_secret_ref", ClusterProfile="cluster_profile_ref"),)

    name: LocalName
    """name is what workloads call the cluster."""
    type: ClusterType
    """type is Local (the hub itself), KubeconfigSecret or ClusterProfile."""
    kubeconfig_secret_ref: KubeconfigSecretRef | None = None
    """kubeconfigSecretRef is the credential of KubeconfigSecret."""
    cluster_profile_ref: ClusterProfileRef | None = None
    """clusterProfileRef is the profile of ClusterProfile."""
    connection_name: LocalName | None = None
    """connectionName is the connection that feeds it; needed where the site has several."""
    engine_metrics: EngineMetrics | None = None
    """engineMetrics is how engines are read; absent = Direct."""


class Redundancy(StrEnum):
    """What stays when a feed fails."""

    NONE = "None"
    N_PLUS_ONE = "NPlusOne"
    TWO_N = "TwoN"


class Connection(ApiModel):
    """A grid connection point: where the utility meters and limits."""

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

    rules = (union(Constant="constant", Curve="curve", Measured="facility_power_signal_name"),)

    type: FacilityType
    """type is Constant, Curve (over outdoor temperature) or Measured."""
    constant: AffinePower | None = None
    """constant is the same line at every temperature."""
    curve: Annotated[list[FacilityPoint], list_map("temperature_millicelsius", max_items=16)] = (
        Field(default_factory=list)
    )
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


class Accelerator(ApiModel):
    """Devices of one kind at the site."""

    resource_name: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    ]
    """resourceName is the extended resource, such as nvidia.com/gpu."""
    profile_name: LocalName
    """profileName is the power profile of the device."""
    count: Count
    """count is the number of devices."""


class OriginLatency(ApiModel):
    """Network distance from users to the site."""

    origin_name: LocalName
    """originName is the origin that workloads name."""
    round_trip_milliseconds: Milliseconds
    """roundTripMilliseconds is the round trip from those users."""
