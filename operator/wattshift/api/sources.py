"""Where the value of a signal comes from: one union with exactly one member.

The full schema is fixed now; a source without an adapter yet leaves its signal Unknown with reason
`SourceNotAvailable`. Never a credential here, only references. Neighbour: `signals.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel, Rule, exactly_one, list_atomic, list_map, present
from wattshift.api.common import (
    Amount,
    Auth,
    ConfigMapRef,
    DecimalText,
    Host,
    HttpEndpoint,
    IntervalMinutes,
    LocalName,
    Port,
    SecretRef,
    Text,
    Time,
    Tls,
    Url,
    ZoneName,
)

JsonPath = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_$*\[\]().\-/@:]+$")
]
"""Dotted path into a JSON document: `data.items[0].price`."""
_INT32 = {"format": "int32"}


class TimeFormat(StrEnum):
    """How a document writes times."""

    RFC3339 = "RFC3339"
    EPOCH_SECONDS = "EpochSeconds"
    EPOCH_MILLISECONDS = "EpochMilliseconds"


class PrometheusSource(HttpEndpoint):
    """An instant query of a Prometheus server."""

    query: Annotated[str, Field(min_length=1, max_length=2048)]
    """query is PromQL that gives one sample."""


class HttpJsonSource(HttpEndpoint):
    """A JSON document over HTTP."""

    items_path: JsonPath | None = None
    """itemsPath leads to a list of points (for a forecast); absent = one value."""
    value_path: JsonPath
    """valuePath leads to the value, from the document or from each item."""
    time_path: JsonPath | None = None
    """timePath leads to the source's time; absent = the time of the request."""
    time_format: TimeFormat = TimeFormat.RFC3339
    """timeFormat is how times are written."""


class ElectricityMapsSource(ApiModel):
    """Electricity Maps."""

    zone: Annotated[str, Field(min_length=2, max_length=32, pattern=r"^[A-Z0-9-]+$")]
    """zone is the zone key, such as CN or US-CAL-CISO."""
    auth: Auth
    """auth is the API token."""
    url: Url | None = None
    """url replaces the public address."""


class WattTimeSource(ApiModel):
    """WattTime."""

    region: Annotated[str, Field(min_length=2, max_length=64)]
    """region is the balancing authority, such as CAISO_NORTH."""
    signal_type: Annotated[str, Field(min_length=1, max_length=32)] = "co2_moer"
    """signalType is the WattTime signal."""
    auth: Auth
    """auth is the login: type Basic."""
    url: Url | None = None
    """url replaces the public address."""


class EntsoeSource(ApiModel):
    """ENTSO-E transparency platform."""

    domain: Annotated[str, Field(min_length=16, max_length=16, pattern=r"^[A-Z0-9-]+$")]
    """domain is the EIC code of the bidding zone."""
    document_type: Annotated[str, Field(min_length=3, max_length=3, pattern=r"^A[0-9]{2}$")] = "A44"
    """documentType is the code of the document: A44 = day-ahead prices."""
    auth: Auth
    """auth is the security token: type Query."""
    url: Url | None = None
    """url replaces the public address."""


class CarbonAwareSdkSource(HttpEndpoint):
    """Carbon Aware SDK of the Green Software Foundation."""

    location: Annotated[str, Field(min_length=1, max_length=64)]
    """location is the SDK's name of the region."""


class RedfishSource(HttpEndpoint):
    """A sensor of a Redfish service."""

    resource_path: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^/redfish/v1/")]
    """resourcePath is the resource, such as /redfish/v1/Chassis/1/EnvironmentMetrics."""
    value_path: JsonPath
    """valuePath leads to the value, such as PowerWatts.Reading."""


class ModbusRegisterType(StrEnum):
    """Tables of Modbus."""

    HOLDING = "Holding"
    INPUT = "Input"


class ModbusDataType(StrEnum):
    """How registers form a number."""

    INT16 = "Int16"
    UINT16 = "UInt16"
    INT32 = "Int32"
    UINT32 = "UInt32"
    FLOAT32 = "Float32"
    INT64 = "Int64"
    FLOAT64 = "Float64"


class WordOrder(StrEnum):
    """Which register comes first."""

    BIG_ENDIAN = "BigEndian"
    LITTLE_ENDIAN = "LittleEndian"


class ModbusSource(ApiModel):
    """A register over Modbus TCP."""

    host: Host
    """host is the device or gateway."""
    port: Port = 502
    """port is the TCP port."""
    unit_number: Annotated[int, Field(strict=True, ge=0, le=255, json_schema_extra=_INT32)] = 1
    """unitNumber is the Modbus unit identifier."""
    register_type: ModbusRegisterType = ModbusRegisterType.HOLDING
    """registerType is the table."""
    address: Annotated[int, Field(strict=True, ge=0, le=65_535, json_schema_extra=_INT32)]
    """address is the first register, counted from 0."""
    data_type: ModbusDataType
    """dataType is how registers form the number."""
    word_order: WordOrder = WordOrder.BIG_ENDIAN
    """wordOrder is which register comes first."""
    scale_factor: DecimalText | None = None
    """scaleFactor multiplies the number; absent = 1."""


class MqttSource(ApiModel):
    """A topic of an MQTT broker."""

    broker_url: Annotated[str, Field(min_length=8, max_length=256, pattern=r"^mqtts?://[^\s/@]+$")]
    """brokerURL is mqtt://host:port or mqtts://host:port."""
    topic: Annotated[str, Field(min_length=1, max_length=256)]
    """topic is the topic, without wildcards."""
    value_path: JsonPath | None = None
    """valuePath leads to the value in a JSON payload; absent = the payload is the number."""
    time_path: JsonPath | None = None
    """timePath leads to the source's time; absent = the time of arrival."""
    auth: Auth | None = None
    """auth is the login: type Basic."""
    tls: Tls | None = None
    """tls is trust and identity."""


class SnmpVersion(StrEnum):
    """Versions of SNMP."""

    V2C = "V2c"
    V3 = "V3"


class SnmpSource(ApiModel):
    """An object of an SNMP agent."""

    host: Host
    """host is the agent."""
    port: Port = 161
    """port is the UDP port."""
    object_identifier: Annotated[
        str, Field(min_length=3, max_length=128, pattern=r"^[0-9]+(\.[0-9]+)+$")
    ]
    """objectIdentifier is the numeric OID."""
    version: SnmpVersion = SnmpVersion.V3
    """version is V3, or V2c where the device knows no other."""
    secret_ref: SecretRef
    """secretRef is the community (V2c) or the user's JSON document (V3)."""
    scale_factor: DecimalText | None = None
    """scaleFactor multiplies the number; absent = 1."""


class OpcUaSource(ApiModel):
    """A node of an OPC UA server."""

    endpoint_url: Annotated[
        str, Field(min_length=10, max_length=256, pattern=r"^opc\.tcp://[^\s@]+$")
    ]
    """endpointURL is opc.tcp://host:port/path."""
    node_id: Annotated[str, Field(min_length=3, max_length=256)]
    """nodeID is the node, such as ns=2;s=Feed.Power."""
    auth: Auth | None = None
    """auth is the login: type Basic."""
    tls: Tls | None = None
    """tls is trust and identity; absent = an unsecured channel."""


class BacnetSource(ApiModel):
    """A property of a BACnet/IP object."""

    host: Host
    """host is the device."""
    port: Port = 47_808
    """port is the UDP port."""
    object_type: Annotated[str, Field(min_length=1, max_length=64)]
    """objectType is the type, such as analog-input."""
    object_instance: Amount
    """objectInstance is the number of the object."""
    property_name: Annotated[str, Field(min_length=1, max_length=64)] = "present-value"
    """propertyName is the property."""


class NutSource(ApiModel):
    """A variable of a Network UPS Tools server."""

    host: Host
    """host is the server."""
    port: Port = 3493
    """port is the TCP port."""
    ups_name: Annotated[str, Field(min_length=1, max_length=64)]
    """upsName is the name of the UPS."""
    variable: Annotated[str, Field(min_length=1, max_length=64)]
    """variable is the variable, such as ups.status or ups.realpower."""
    auth: Auth | None = None
    """auth is the login: type Basic."""


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

    step_minutes: Annotated[int, Field(strict=True, ge=5, le=1440, json_schema_extra=_INT32)]
    """stepMinutes is the length of a step."""
    values: Annotated[list[DecimalText], list_atomic(288, 1)]
    """values are the steps from midnight on, local time of the site or contract."""


class ScheduleEntry(ApiModel):
    """A value from a time on."""

    from_time: Time
    """fromTime is when the value begins to hold."""
    value: DecimalText
    """value is the value."""


class ScheduleSource(ApiModel):
    """Values at times, each until the next."""

    entries: Annotated[list[ScheduleEntry], list_atomic(192, 1)]
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

    rules = (
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
