"""Sources over HTTP: Prometheus, JSON documents, services with grid data.

Never a credential here, only references. Neighbour: `sources.py` (the union).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import Url
from wattshift.api.endpoints import Auth, HttpEndpoint
from wattshift.api.rules import Rule, present

JsonPath = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_$*\[\]().\-/@:]+$")
]
"""Dotted path into a JSON document: `data.items[0].price`."""


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

    rules = (
        Rule(
            cel="has(self.zone) == has(self.zonePath)",
            message="set zone and zonePath together: the zone that is meant, and where the answer "
            "says its own",
            check=lambda self: present(self, "zone") == present(self, "zone_path"),
        ),
        Rule(
            cel="!has(self.itemsPath) || has(self.timePath)",
            message="itemsPath needs timePath: each point has its own time",
            check=lambda self: not present(self, "items_path") or present(self, "time_path"),
        ),
    )

    items_path: JsonPath | None = None
    """itemsPath leads to a list of points (for a forecast); absent = one value."""
    value_path: JsonPath
    """valuePath leads to the value, from the document or from each item."""
    time_path: JsonPath | None = None
    """timePath leads to the source's time; absent = the time of the request."""
    time_format: TimeFormat = TimeFormat.RFC3339
    """timeFormat is how times are written."""
    unit_path: JsonPath | None = None
    """unitPath leads to the unit that the answer itself names; another than `unit` is refused."""
    zone_path: JsonPath | None = None
    """zonePath leads to the zone that the answer is for; another than `zone` is refused."""
    zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """zone is the zone that is meant, as the server writes it."""


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
