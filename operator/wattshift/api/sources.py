"""Where the value of a signal comes from: one union with exactly one member.

The full schema is fixed now; a source without an adapter yet leaves its signal Unknown with reason
`SourceNotAvailable`. Neighbours: `sources_http.py`, `sources_device.py`, `signals.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import DecimalText, IntervalMinutes, LocalName, Text, Time, ZoneName
from wattshift.api.endpoints import ConfigMapRef, SecretRef
from wattshift.api.lists import list_atomic, list_map
from wattshift.api.rules import Rule, exactly_one, present
from wattshift.api.sources_device import (
    _INT32,
    BacnetSource,
    ModbusSource,
    MqttSource,
    NutSource,
    OpcUaSource,
    SnmpSource,
)
from wattshift.api.sources_http import (
    CarbonAwareSdkSource,
    ElectricityMapsSource,
    EntsoeSource,
    HttpJsonSource,
    PrometheusSource,
    RedfishSource,
    WattTimeSource,
)


class FileSource(ApiModel):
    """A CSV document in a ConfigMap of the operator's namespace."""

    rules = (
        Rule(
            cel="has(self.timeColumn) != has(self.stepMinutes)",
            message="set exactly one of timeColumn, stepMinutes",
            check=lambda self: present(self, "time_column") != present(self, "step_minutes"),
        ),
    )

    config_map_ref: ConfigMapRef
    """configMapRef names the document; its first line has the names of the columns."""
    time_column: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """timeColumn has the times (RFC 3339, or local in `timeZone`); a row holds until the next."""
    step_minutes: IntervalMinutes | None = None
    """stepMinutes says that the rows are the steps of every day, from midnight on."""
    value_column: Annotated[str, Field(min_length=1, max_length=64)]
    """valueColumn has the values."""
    time_zone: ZoneName | None = None
    """timeZone is the zone of local times; absent = the zone of the site or contract."""


class DailyCurveSource(ApiModel):
    """The same curve every day."""

    rules = (
        Rule(
            cel="self.stepMinutes * size(self.values) == 1440",
            message="stepMinutes times the number of values must be 1440, one day",
            check=lambda self: self.step_minutes * len(self.values) == 1440,
        ),
    )

    step_minutes: Annotated[int, Field(strict=True, ge=15, le=1440, json_schema_extra=_INT32)]
    """stepMinutes is the length of a step."""
    values: Annotated[list[DecimalText], list_atomic(96, 1)]
    """values are the steps from midnight on, local time of the site or contract."""


class ScheduleEntry(ApiModel):
    """A value from a time on."""

    from_time: Time
    """fromTime is when the value begins to hold."""
    value: DecimalText
    """value is the value."""


class ScheduleSource(ApiModel):
    """Values at times, each until the next."""

    entries: Annotated[list[ScheduleEntry], list_atomic(96, 1)]
    """entries are ordered by time."""
    until_time: Time | None = None
    """untilTime ends the last entry; absent = it holds on."""


class ConstantSource(ApiModel):
    """One value, always."""

    value: DecimalText
    """value is the value."""


class PluginParameter(ApiModel):
    """A parameter of a plug-in."""

    name: LocalName
    """name is the name of the parameter."""
    value: Text
    """value is its value; never a credential."""


class PluginSource(ApiModel):
    """A source that an installed package provides (entry point `wattshift.sources`)."""

    name: LocalName
    """name is the name of the entry point."""
    parameters: Annotated[list[PluginParameter], list_map("name", max_items=16)] = Field(
        default_factory=list
    )
    """parameters are handed to the plug-in."""
    secret_ref: SecretRef | None = None
    """secretRef is a credential for the plug-in."""


class Source(ApiModel):
    """Where a signal's value comes from: exactly one member."""

    atomic = True

    min_properties = 1
    max_properties = 1
    rules = (
        replace(
            exactly_one(
                "prometheus",
                "http_json",
                "electricity_maps",
                "watt_time",
                "entsoe",
                "carbon_aware_sdk",
                "redfish",
                "modbus",
                "mqtt",
                "snmp",
                "opcua",
                "bacnet",
                "nut",
                "file",
                "daily_curve",
                "schedule",
                "constant",
                "plugin",
            ),
            schema_only=True,
        ),
    )

    prometheus: PrometheusSource | None = None
    """prometheus is a query of a Prometheus server."""
    http_json: HttpJsonSource | None = None
    """httpJson is a JSON document over HTTP."""
    electricity_maps: ElectricityMapsSource | None = None
    """electricityMaps is carbon intensity of Electricity Maps."""
    watt_time: WattTimeSource | None = None
    """wattTime is marginal carbon intensity of WattTime."""
    entsoe: EntsoeSource | None = None
    """entsoe is a document of the ENTSO-E transparency platform."""
    carbon_aware_sdk: CarbonAwareSdkSource | None = None
    """carbonAwareSdk is the Carbon Aware SDK."""
    redfish: RedfishSource | None = None
    """redfish is a sensor of a Redfish service."""
    modbus: ModbusSource | None = None
    """modbus is a register over Modbus TCP."""
    mqtt: MqttSource | None = None
    """mqtt is a topic of an MQTT broker."""
    snmp: SnmpSource | None = None
    """snmp is an object of an SNMP agent."""
    opcua: OpcUaSource | None = None
    """opcua is a node of an OPC UA server."""
    bacnet: BacnetSource | None = None
    """bacnet is a property of a BACnet/IP object."""
    nut: NutSource | None = None
    """nut is a variable of a Network UPS Tools server."""
    file: FileSource | None = None
    """file is a CSV document in a ConfigMap."""
    daily_curve: DailyCurveSource | None = None
    """dailyCurve is the same curve every day."""
    schedule: ScheduleSource | None = None
    """schedule is values at times."""
    constant: ConstantSource | None = None
    """constant is one value, always."""
    plugin: PluginSource | None = None
    """plugin is a source of an installed package."""

    @property
    def member(self) -> str:
        """JSON name of the member that is set."""
        return next(
            field.alias or name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) is not None
        )
