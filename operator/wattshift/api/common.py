"""Scalar types shared by the three kinds: names, decimals, times, integers with limits.

Every type has a maximum, because the API server prices CEL rules by it. Units are in field names.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, WithJsonSchema

from wattshift.api.base import ApiModel
from wattshift.api.lists import list_map
from wattshift.api.rules import Rule, present

_INT32 = {"format": "int32"}
_INT64 = {"format": "int64"}

NAME_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$"
LocalName = Annotated[str, Field(min_length=1, max_length=63, pattern=NAME_PATTERN)]
"""Name inside an object: letters, digits and dashes."""
ObjectName = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""Name of a Kubernetes object; 63 characters at most, so that it fits a label."""
Text = Annotated[str, Field(max_length=256)]
Message = Annotated[str, Field(max_length=1024)]
ReasonName = Annotated[
    str, Field(max_length=128, pattern=r"^([A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?)?$")
]
Uid = Annotated[str, Field(max_length=64)]
Url = Annotated[
    str, Field(min_length=8, max_length=512, pattern=r"^https?://[^\s/?#@]+(/[^\s]*)?$")
]
"""http or https URL without credentials in it."""
Host = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$")
]
ZoneName = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$"),
]
"""IANA time zone such as Asia/Shanghai; whether it exists is checked by the operator."""
Currency = Annotated[str, Field(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")]
DateText = Annotated[
    str, Field(min_length=10, max_length=10, pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]$")
]
WindowText = Annotated[
    str,
    Field(
        min_length=11,
        max_length=11,
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
    ),
]
"""Local times of day, start inclusive and end exclusive: 18:00-23:00, at most until 24:00."""
TimeOfDayText = Annotated[
    str, Field(min_length=5, max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
]
UNITS = (
    "Watt|Kilowatt|Megawatt|Milliwatt|GramPerKilowattHour|KilogramPerMegawattHour"
    "|KilogramPerKilowattHour|PoundPerMegawattHour|Ratio|Percent|Permille|DegreeCelsius"
    "|Millicelsius|DegreeFahrenheit|Kelvin|State|Count"
)
"""Closed list; `core/units.py` converts exactly these (a test compares the two)."""
UnitName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        pattern=rf"^({UNITS}|[A-Z]{{3}}(Cent)?Per(KilowattHour|MegawattHour))$",
    ),
]
DecimalText = Annotated[
    str, Field(min_length=1, max_length=24, pattern=r"^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$")
]
"""Decimal number as a string: exact, unlike a float."""
PositiveDecimalText = Annotated[
    str, Field(min_length=1, max_length=24, pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$")
]
"""Decimal number without a sign."""
FractionText = Annotated[
    str, Field(min_length=1, max_length=12, pattern=r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$")
]
"""Decimal number from 0 to 1."""

_RFC3339 = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$")


def _rfc3339(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC3339.match(value)):
        return value
    raise ValueError("must be a time such as 2026-11-22T18:00:00+08:00")


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc3339),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 time with its offset; `.timestamp()` gives the epoch seconds of `core`."""

MAX_WATTS = 1_000_000_000_000
Watts = Annotated[int, Field(strict=True, ge=0, le=MAX_WATTS, json_schema_extra=_INT64)]
SignedWatts = Annotated[
    int, Field(strict=True, ge=-MAX_WATTS, le=MAX_WATTS, json_schema_extra=_INT64)
]
WattHours = Annotated[int, Field(strict=True, ge=-(10**15), le=10**15, json_schema_extra=_INT64)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000, json_schema_extra=_INT32)]
Amount = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000, json_schema_extra=_INT64)]
Replicas = Annotated[int, Field(strict=True, ge=0, le=10_000, json_schema_extra=_INT32)]
Port = Annotated[int, Field(strict=True, ge=1, le=65_535, json_schema_extra=_INT32)]
Permille = Annotated[int, Field(strict=True, ge=0, le=1000, json_schema_extra=_INT32)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=31_622_400, json_schema_extra=_INT32)]
PositiveSeconds = Annotated[int, Field(strict=True, ge=1, le=31_622_400, json_schema_extra=_INT32)]
Milliseconds = Annotated[int, Field(strict=True, ge=0, le=86_400_000, json_schema_extra=_INT32)]
IntervalMinutes = Annotated[int, Field(strict=True, ge=1, le=1440, json_schema_extra=_INT32)]
Millicelsius = Annotated[int, Field(strict=True, ge=-100_000, le=200_000, json_schema_extra=_INT32)]
Month = Annotated[int, Field(strict=True, ge=1, le=12, json_schema_extra=_INT32)]
Generation = Annotated[int, Field(strict=True, ge=0, le=2**62, json_schema_extra=_INT64)]


class Mode(StrEnum):
    """How far wattshift may go; the most careful of installation, site and workload counts."""

    OBSERVE = "Observe"
    RECOMMEND = "Recommend"
    ENFORCE = "Enforce"


class OverrideMode(StrEnum):
    """What a person asked for until a time."""

    HOLD = "Hold"
    PIN = "Pin"
    RELEASE = "Release"


class Override(ApiModel):
    """A person's order with an end, a reason and a name; written by the CLI as `wattshift-cli`."""

    atomic = True

    rules = (
        Rule(
            cel="(self.mode == 'Pin') == has(self.replicas)",
            message="mode Pin needs replicas, and only Pin takes it",
            check=lambda self: (self.mode is OverrideMode.PIN) == present(self, "replicas"),
        ),
    )

    mode: OverrideMode
    """mode is Hold (write nothing), Pin (keep `replicas`) or Release (restore the original)."""
    until_time: Time
    """untilTime is when the override ends by itself."""
    reason: Annotated[str, Field(min_length=1, max_length=256)]
    """reason says why, for the people who find it."""
    requested_by: Annotated[str, Field(min_length=1, max_length=128)]
    """requestedBy is the name of the person or system that asked."""
    replicas: Replicas | None = None
    """replicas is the count to keep with Pin: in all, or of `placementName`."""
    placement_name: LocalName | None = None
    """placementName limits Pin to one placement."""


class ConditionStatus(StrEnum):
    """Status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One observation about the object, as in Kubernetes' own kinds."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """type names the condition."""
    status: ConditionStatus
    """status is True, False or Unknown."""
    observed_generation: Generation | None = None
    """observedGeneration is the generation of the spec that was judged."""
    last_transition_time: Time
    """lastTransitionTime is when the status last changed."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """reason is one CamelCase word of the list in the reference."""
    message: Message
    """message says for people what is the case and what to change."""


Conditions = Annotated[list[Condition], list_map("type", max_items=16)]
