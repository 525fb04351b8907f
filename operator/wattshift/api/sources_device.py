"""Sources over protocols of devices: Modbus, MQTT, SNMP, OPC UA, BACnet, NUT.

Neighbour: `sources.py` (the union).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import Amount, DecimalText, Host, Port
from wattshift.api.endpoints import Auth, SecretRef, Tls
from wattshift.api.sources_http import JsonPath

_INT32 = {"format": "int32"}


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
