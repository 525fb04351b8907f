"""Bad objects: each is a valid one with exactly one fault, and how it must be refused.

`at_apply`: a part of the API server's refusal (pydantic refuses it too). Otherwise the server takes
it, and `Accepted=False` has `reason` and a message with `says`.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

from tests.api.documents import Document, full

ABSENT = object()
SITE, CONTRACT, WORKLOAD = "PowerSite", "EnergyContract", "FlexibleWorkload"


@dataclass(frozen=True)
class Bad:
    """One fault: the value to put at a path, and the refusal."""

    kind: str
    fault: str
    path: str
    value: Any
    at_apply: str = ""
    reason: str = ""
    says: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.fault}"

    def document(self) -> Document:
        """The valid document of the kind with the fault in it."""
        document = copy.deepcopy(full()[self.kind])
        put(document, self.path, self.value)
        return document


def put(document: Document, path: str, value: Any) -> None:
    """Set (or remove, or append to `[]`) what `spec.list[name].field` or `list[0]` points to."""
    node: Any = document
    parts = re.findall(r"[^.\[\]]+|\[[^\]]*\]", path)
    for position, part in enumerate(parts):
        key: Any = part
        if part.startswith("["):
            token = part[1:-1]
            if token == "":
                node.append(value)
                return
            if token.isdigit():
                key = int(token)
            else:
                key = next(i for i, item in enumerate(node) if item.get("name") == token)
        if position == len(parts) - 1:
            if value is ABSENT:
                del node[key]
            else:
                node[key] = value
            return
        node = node[key]


def _apply(kind: str, fault: str, path: str, value: Any, text: str) -> Bad:
    return Bad(kind, fault, path, value, at_apply=text)


def _accepted(kind: str, fault: str, path: str, value: Any, reason: str, says: str) -> Bad:
    return Bad(kind, fault, path, value, reason=reason, says=says)


_LATER = "2026-11-22T22:00:00+08:00"
_ENERGY = {"type": "Energy", "energy": {"basis": "Import"}}

SITES = [
    _apply(SITE, "no location", "spec.location", ABSENT, "spec.location: Required value"),
    _apply(
        SITE,
        "no allowed namespaces",
        "spec.allowedNamespaces",
        ABSENT,
        "spec.allowedNamespaces: Required value",
    ),
    _apply(
        SITE,
        "selector without labels to match",
        "spec.allowedNamespaces.selector",
        ABSENT,
        "from Selector needs selector",
    ),
    _apply(SITE, "unknown field", "spec.power.capacity", 5, 'unknown field "spec.power.capacity"'),
    _apply(
        SITE, "watts as a string", "spec.power.itCapacityWatts", "4MW", "must be of type integer"
    ),
    _apply(
        SITE,
        "negative watts",
        "spec.power.itCapacityWatts",
        -1,
        "should be greater than or equal to 0",
    ),
    _apply(
        SITE,
        "offset as time zone",
        "spec.location.timeZone",
        "+08:00",
        "spec.location.timeZone in body should match",
    ),
    _apply(
        SITE,
        "two members of a source",
        "spec.signals[wind].source.constant",
        {"value": "1"},
        "must have at most 1 item",
    ),
    _apply(
        SITE,
        "no member of a source",
        "spec.signals[wind].source",
        {},
        "should have at least 1 properties",
    ),
    _apply(
        SITE,
        "no answer for stale",
        "spec.signals[wind].onStale",
        ABSENT,
        "set staleAfterSeconds and onStale",
    ),
    _apply(
        SITE,
        "fallback without value",
        "spec.signals[wind].onStale.type",
        "UseFallback",
        "UseFallback needs fallbackValue",
    ),
    _apply(SITE, "two signals of one name", "spec.signals[leak].name", "wind", "Duplicate value"),
    _apply(
        SITE,
        "curve that is no day",
        "spec.signals[wind-forecast].source.dailyCurve.stepMinutes",
        60,
        "must be 1440",
    ),
    _apply(
        SITE,
        "credentials in a URL",
        "spec.signals[wind].source.prometheus.url",
        "https://user:pw@scada.example",
        "url in body should match",
    ),
    _apply(
        SITE,
        "zone without its path",
        "spec.signals[wind].source",
        {"httpJson": {"url": "https://a.example/v", "valuePath": "v", "zone": "CN"}},
        "set zone and zonePath together",
    ),
    _apply(
        SITE,
        "points without times",
        "spec.signals[wind].source",
        {"httpJson": {"url": "https://a.example/v", "valuePath": "v", "itemsPath": "rows"}},
        "itemsPath needs timePath",
    ),
    _apply(
        SITE,
        "unit nobody knows",
        "spec.signals[wind].unit",
        "Horsepower",
        "unit in body should match",
    ),
    _apply(
        SITE, "quantity nobody knows", "spec.signals[wind].quantity", "Wind", "Unsupported value"
    ),
    _apply(
        SITE,
        "type of cluster without its reference",
        "spec.clusters[gs-a].type",
        "ClusterProfile",
        "ClusterProfile needs clusterProfileRef",
    ),
    _apply(
        SITE,
        "cluster on no feed of two",
        "spec.clusters[gs-a].connectionName",
        ABSENT,
        "with several connections each cluster needs connectionName",
    ),
    _apply(
        SITE,
        "event that ends before it starts",
        "spec.events[dr-1122].startTime",
        _LATER,
        "endTime must lie after startTime",
    ),
    _apply(
        SITE,
        "event with bounds exchanged",
        "spec.events[dr-1122].lowerWatts",
        4000000,
        "lowerWatts must not be greater than upperWatts",
    ),
    _apply(SITE, "limit without watts", "spec.events[dr-1122].upperWatts", ABSENT, "needs watts"),
    _apply(
        SITE,
        "level event without level",
        "spec.events[dr-1122].type",
        "Level",
        "type Level needs level",
    ),
    _apply(
        SITE,
        "time without offset",
        "spec.events[dr-1122].startTime",
        "2026-11-22T18:00:00",
        "must be of type date-time",
    ),
    _apply(
        SITE,
        "facility curve without points",
        "spec.power.facility",
        {"type": "Curve", "curve": []},
        "should have at least 1 items",
    ),
    _apply(
        SITE,
        "marginal PUE below one",
        "spec.power.facility.curve[0].marginalPermille",
        900,
        "should be greater than or equal to 1000",
    ),
    _apply(
        SITE,
        "storage without limits",
        "spec.supplies[battery].storage",
        ABSENT,
        "Storage needs storage",
    ),
    _apply(
        SITE,
        "envelope exchanged",
        "spec.cooling.envelope.minimumMillicelsius",
        30000,
        "must not be greater than maximumMillicelsius",
    ),
    _apply(
        SITE,
        "pin on a site",
        "spec.override",
        {"mode": "Pin", "replicas": 1, "untilTime": _LATER, "reason": "x", "requestedBy": "ada"},
        "a site cannot be pinned",
    ),
    _apply(
        SITE, "override without end", "spec.override.untilTime", ABSENT, "untilTime: Required value"
    ),
    _apply(SITE, "name longer than a label", "metadata.name", "g" * 64, "at most 63 characters"),
    _accepted(
        SITE,
        "zone that does not exist",
        "spec.location.timeZone",
        "Mars/Olympus",
        "UnknownTimeZone",
        "name one of the IANA data base",
    ),
    _accepted(
        SITE,
        "latitude off the globe",
        "spec.location.latitude",
        "139.7",
        "DecimalOutOfRange",
        "between -90 and 90",
    ),
    _accepted(
        SITE,
        "unit of another quantity",
        "spec.signals[wind].unit",
        "GramPerKilowattHour",
        "UnitDoesNotFit",
        "use one of Watt",
    ),
    _accepted(
        SITE,
        "plausible bounds exchanged",
        "spec.signals[carbon].plausible.minimum",
        "2000",
        "MinimumAboveMaximum",
        "minimum 2000 is greater than maximum 1500",
    ),
    _accepted(
        SITE,
        "fallback that cannot be",
        "spec.signals[wind].onStale",
        {"type": "UseFallback", "fallbackValue": "-5"},
        "DecimalOutOfRange",
        "between 0 and 1e",
    ),
    _accepted(
        SITE,
        "implausible fallback",
        "spec.signals[carbon].onStale.fallbackValue",
        "1700",
        "DecimalOutOfRange",
        "between 0 and 1500",
    ),
    _accepted(
        SITE,
        "schedule out of order",
        "spec.signals[outdoor].source.schedule.entries[0].fromTime",
        _LATER,
        "TimesNotAscending",
        "sort the entries",
    ),
    _accepted(
        SITE,
        "meter signal not declared",
        "spec.connections[feed-a].meterSignalName",
        "meter",
        "SignalUnknown",
        "add it to spec.signals",
    ),
    _accepted(
        SITE,
        "meter signal of another quantity",
        "spec.connections[feed-a].meterSignalName",
        "wind",
        "SignalQuantityMismatch",
        "Observation of SitePower",
    ),
    _accepted(
        SITE,
        "forecast that is an observation",
        "spec.supplies[wind].forecastSignalName",
        "wind",
        "SignalQuantityMismatch",
        "Forecast of SupplyPower",
    ),
    _accepted(
        SITE,
        "event on an unknown feed",
        "spec.events[dr-1122].connectionName",
        "feed-z",
        "ConnectionUnknown",
        "it has feed-a, feed-b",
    ),
    _accepted(
        SITE,
        "reduction from nothing",
        "spec.events[dr-1122].type",
        "Reduction",
        "EventNotSupported",
        "must say from what",
    ),
    _accepted(
        SITE,
        "intervals longer than the event",
        "spec.events[dr-1122].intervals",
        [{"durationSeconds": 7201, "upperWatts": 1}],
        "IntervalsExceedEvent",
        "shorten them",
    ),
    _accepted(
        SITE,
        "event source without adapter",
        "spec.eventSources",
        [{"name": "vtn", "type": "OpenADR3", "openADR3": {"url": "https://vtn.example"}}],
        "EventSourceNotAvailable",
        "write spec.events",
    ),
]

CONTRACTS = [
    _apply(CONTRACT, "no points", "spec.points", [], "should have at least 1 items"),
    _apply(CONTRACT, "no currency", "spec.currency", ABSENT, "spec.currency: Required value"),
    _apply(
        CONTRACT,
        "currency in small letters",
        "spec.currency",
        "cny",
        "currency in body should match",
    ),
    _apply(
        CONTRACT,
        "rate as a number",
        "spec.components[spot-part].signalRate.multiplier",
        0.1,
        "must be of type string",
    ),
    _apply(
        CONTRACT,
        "rate with a comma",
        "spec.components[max-demand].rate",
        "0,42",
        "rate in body should match",
    ),
    _apply(
        CONTRACT,
        "ends before it begins",
        "spec.validUntilTime",
        "2025-01-01T00:00:00+08:00",
        "validUntilTime must lie after validFromTime",
    ),
    _apply(
        CONTRACT,
        "contracted above maximum",
        "spec.points[0].contractedWatts",
        6000000,
        "contractedWatts must not be greater than maximumWatts",
    ),
    _apply(
        CONTRACT,
        "last band with a condition",
        "spec.calendars[tou].bands[Flat].months",
        [1],
        "last band must have no condition",
    ),
    _apply(
        CONTRACT,
        "window without minutes",
        "spec.calendars[tou].bands[Valley].windows[0]",
        "0-8",
        "windows[0] in body should be at least 11 chars",
    ),
    _apply(
        CONTRACT,
        "thirteenth month",
        "spec.calendars[tou].bands[Peak].months[0]",
        13,
        "should be less than or equal to 12",
    ),
    _apply(
        CONTRACT,
        "two kinds of rates",
        "spec.components[max-demand].blocks",
        [{"rate": "1"}],
        "set exactly one of rate",
    ),
    _apply(
        CONTRACT, "no rate", "spec.components[capacity].rate", ABSENT, "set exactly one of rate"
    ),
    _apply(
        CONTRACT,
        "rate of a share",
        "spec.components[power-factor].rate",
        "1",
        "Share and SmallestOf take none",
    ),
    _apply(CONTRACT, "rate without per", "spec.components[max-demand].per", ABSENT, "set per"),
    _apply(
        CONTRACT,
        "band rates without calendar",
        "spec.components[purchase].calendarName",
        ABSENT,
        "bandRates need calendarName",
    ),
    _apply(
        CONTRACT,
        "measure without its member",
        "spec.components[overrun].measure",
        {"type": "Overrun", "reactive": {}},
        "set the member that type names",
    ),
    _apply(
        CONTRACT,
        "two members of a measure",
        "spec.components[max-demand].measure.energy",
        {"basis": "Import"},
        "must have at most 2 items",
    ),
    _apply(
        CONTRACT,
        "share with factor and table",
        "spec.components[power-factor].measure.share",
        {
            "ofComponentNames": ["purchase"],
            "factor": "1",
            "table": "CN-standard-0.90",
            "powerFactor": "0.95",
        },
        "set exactly one of factor, table",
    ),
    _apply(
        CONTRACT,
        "ratchet above one",
        "spec.components[max-demand].measure.demand.ratchet.factor",
        "1.8",
        "factor in body should match",
    ),
    _apply(
        CONTRACT,
        "two components of one name",
        "spec.components[overrun].name",
        "purchase",
        "Duplicate value",
    ),
    _apply(
        CONTRACT,
        "direct supply without its name",
        "spec.positions[wind].supplyName",
        ABSENT,
        "needs supplyName",
    ),
    _apply(
        CONTRACT,
        "fixed volume without power",
        "spec.positions[rest].type",
        "FixedVolume",
        "need kilowatts",
    ),
    _apply(
        CONTRACT,
        "two settlements without prices",
        "spec.settlement.type",
        "TwoSettlement",
        "needs dayAheadSignalName",
    ),
    _apply(
        CONTRACT,
        "firm level without watts",
        "spec.programs[gs-peak].baselineMethod",
        "FirmServiceLevel",
        "needs baseline.firmServiceLevelWatts",
    ),
    _apply(
        CONTRACT,
        "four of three days",
        "spec.programs[gs-peak].baseline.ofDays",
        3,
        "days must not be greater than ofDays",
    ),
    _apply(
        CONTRACT,
        "obligation on an unknown quantity",
        "spec.obligations[hub80].terms[0].quantity",
        "Wind",
        "Unsupported value",
    ),
    _apply(
        CONTRACT, "unknown field", "spec.carbon.price", "95", 'unknown field "spec.carbon.price"'
    ),
    _accepted(
        CONTRACT,
        "zone that does not exist",
        "spec.timeZone",
        "Asia/Beijing",
        "UnknownTimeZone",
        "Asia/Beijing does not exist",
    ),
    _accepted(
        CONTRACT,
        "window over midnight",
        "spec.calendars[tou].bands[Peak].windows[0]",
        "22:00-06:00",
        "WindowEndsBeforeStart",
        "22:00-24:00 and 00:00-06:00",
    ),
    _accepted(
        CONTRACT,
        "day that does not exist",
        "spec.calendars[tou].holidayDates[0]",
        "2026-02-30",
        "InvalidDate",
        "2026-02-30 does not exist",
    ),
    _accepted(
        CONTRACT,
        "band that never matches",
        "spec.calendars[tou].bands",
        [{"name": "Peak"}, {"name": "Valley", "months": [1]}, {"name": "Flat"}],
        "BandUnreachable",
        "put it last",
    ),
    _accepted(
        CONTRACT,
        "rate of an unknown band",
        "spec.components[purchase].bandRates[]",
        {"bandName": "Sharp", "rate": "1"},
        "BandUnknown",
        "it has Flat, Peak, Valley",
    ),
    _accepted(
        CONTRACT,
        "band without rate",
        "spec.components[purchase].bandRates[0]",
        ABSENT,
        "BandWithoutRate",
        "bands Peak of calendar tou have no rate",
    ),
    _accepted(
        CONTRACT,
        "band with two rates",
        "spec.components[purchase].bandRates[]",
        {"bandName": "Peak", "rate": "1"},
        "BandDuplicate",
        "band Peak is named twice",
    ),
    _accepted(
        CONTRACT,
        "unknown calendar",
        "spec.shapes[0].calendarName",
        "seasons",
        "CalendarUnknown",
        "it has tou",
    ),
    _accepted(
        CONTRACT,
        "shape of an unknown component",
        "spec.shapes[0].ofComponentNames",
        ["fees"],
        "ComponentUnknown",
        "component fees does not exist",
    ),
    _accepted(
        CONTRACT,
        "unknown regime",
        "spec.components[capacity].regime.regimeName",
        "size",
        "RegimeUnknown",
        "it has use",
    ),
    _accepted(
        CONTRACT,
        "share of itself",
        "spec.components[power-factor].measure.share.ofComponentNames",
        ["power-factor"],
        "ComponentCycle",
        "break the circle",
    ),
    _accepted(
        CONTRACT,
        "overrun of an energy",
        "spec.components[overrun].measure.overrun.ofComponentName",
        "blocks",
        "MeasureMismatch",
        "name one that measures Demand",
    ),
    _accepted(
        CONTRACT,
        "demand per kWh",
        "spec.components[max-demand].per",
        "kWh",
        "PerDoesNotFit",
        "use kW-day, kW-month, kW-year",
    ),
    _accepted(
        CONTRACT,
        "blocks out of order",
        "spec.components[blocks].blocks[0].upTo",
        3000,
        "BlocksNotAscending",
        "sort them",
    ),
    _accepted(
        CONTRACT,
        "floor above cap",
        "spec.components[spot-part].signalRate.floor",
        "2",
        "MinimumAboveMaximum",
        "floor 2 is greater than cap 1.5",
    ),
    _accepted(
        CONTRACT,
        "rebate that adds",
        "spec.components[max-demand].rebates[0].factor",
        "1.1",
        "DecimalOutOfRange",
        "between 0 and 1",
    ),
    _accepted(
        CONTRACT,
        "signal in another currency",
        "spec.signals[spot].unit",
        "EURPerMegawattHour",
        "CurrencyMismatch",
        "currency CNY",
    ),
    _accepted(
        CONTRACT,
        "carbon as a price",
        "spec.positions[rest].signalRate.signalName",
        "carbon",
        "SignalQuantityMismatch",
        "EnergyPrice or ExportPrice",
    ),
    _accepted(
        CONTRACT,
        "two residuals",
        "spec.positions[]",
        {"name": "rest-2", "type": "Residual", "rate": "1"},
        "SharesExceedWhole",
        "keep one Residual",
    ),
    _accepted(
        CONTRACT,
        "exclusive with an unknown program",
        "spec.programs[gs-peak].exclusiveWith",
        ["spinning"],
        "ProgramUnknown",
        "it has gs-peak",
    ),
]

WORKLOADS = [
    _apply(WORKLOAD, "no posture", "spec.posture", ABSENT, "spec.posture: Required value"),
    _apply(WORKLOAD, "posture nobody knows", "spec.posture", "Chat", "Unsupported value"),
    _apply(WORKLOAD, "no placements", "spec.placements", [], "should have at least 1 items"),
    _apply(
        WORKLOAD,
        "nothing to scale",
        "spec.targetRef",
        ABSENT,
        "set targetRef, or targetRef or targets in every placement",
    ),
    _apply(
        WORKLOAD, "no engine", "spec.engine", ABSENT, "set engine, or engine in every placement"
    ),
    _apply(
        WORKLOAD,
        "port out of range",
        "spec.engine.port",
        70000,
        "should be less than or equal to 65535",
    ),
    _apply(
        WORKLOAD,
        "URL of a tenant",
        "spec.engine.url",
        "http://10.0.0.1",
        'unknown field "spec.engine.url"',
    ),
    _apply(
        WORKLOAD,
        "bounds of a placement exchanged",
        "spec.placements[gansu].minReplicas",
        9,
        "minReplicas must not be greater than maxReplicas",
    ),
    _apply(
        WORKLOAD,
        "bounds of the sum exchanged",
        "spec.replicas.min",
        11,
        "min must not be greater than max",
    ),
    _apply(
        WORKLOAD,
        "zero without a holder of work",
        "spec.replicas.min",
        0,
        "needs batch.dispatch of type External",
    ),
    _apply(
        WORKLOAD,
        "target by name and by role",
        "spec.placements[ascend].targets",
        [
            {
                "role": "Decode",
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            }
        ],
        "set targetRef or targets, not both",
    ),
    _apply(
        WORKLOAD,
        "two placements of one name",
        "spec.placements[ascend].name",
        "gansu",
        "Duplicate value",
    ),
    _apply(
        WORKLOAD,
        "route without its type",
        "spec.traffic.httpRoute",
        {"placementName": "gansu", "name": "r"},
        "HTTPRoute needs httpRoute",
    ),
    _apply(
        WORKLOAD,
        "signal without its type",
        "spec.demand.type",
        "EngineMetrics",
        "SiteSignal needs siteSignal",
    ),
    _apply(
        WORKLOAD,
        "every request must be good",
        "spec.objectives[0].attainmentPermille",
        1000,
        "should be less than or equal to 999",
    ),
    _apply(
        WORKLOAD,
        "two objectives on one metric",
        "spec.objectives[1].metric",
        "TimeToFirstToken",
        "Duplicate value",
    ),
    _apply(
        WORKLOAD,
        "action nobody knows",
        "spec.flexibility.actions[0]",
        "Delete",
        "Unsupported value",
    ),
    _apply(
        WORKLOAD,
        "flexibility without tier",
        "spec.flexibility.tier",
        ABSENT,
        "tier: Required value",
    ),
    _apply(WORKLOAD, "replicas as a string", "spec.replicas.max", "ten", "must be of type integer"),
    _apply(
        WORKLOAD,
        "pin without replicas",
        "spec.override.replicas",
        ABSENT,
        "mode Pin needs replicas",
    ),
    _apply(
        WORKLOAD,
        "override without a name",
        "spec.override.requestedBy",
        "",
        "should be at least 1 chars",
    ),
    _apply(
        WORKLOAD,
        "boundary that allows nothing",
        "spec.dataBoundary.allowedRegionNames",
        [],
        "should have at least 1 items",
    ),
    _apply(
        WORKLOAD,
        "deadline without offset",
        "spec.batch.deadlineTime",
        "tomorrow",
        "must be of type date-time",
    ),
    _apply(
        WORKLOAD,
        "site name that is none",
        "spec.placements[gansu].siteName",
        "Gansu 1",
        "siteName in body should match",
    ),
    _accepted(
        WORKLOAD,
        "target without scale",
        "spec.targetRef.kind",
        "Job",
        "TargetKindNotAvailable",
        "a Job has no scale subresource",
    ),
    _accepted(
        WORKLOAD,
        "one target twice",
        "spec.placements[ascend].targetRef",
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "qwen3-32b"},
        "PlacementDuplicate",
        "remove one",
    ),
    _accepted(
        WORKLOAD,
        "sum above what placements allow",
        "spec.replicas",
        {"min": 20, "max": 30},
        "ReplicasUnreachable",
        "lower replicas.min to 14",
    ),
    _accepted(
        WORKLOAD,
        "sum below what placements need",
        "spec.replicas",
        {"min": 1, "max": 1},
        "ReplicasUnreachable",
        "raise replicas.max to 2",
    ),
    _accepted(
        WORKLOAD,
        "shares above the whole",
        "spec.origins[]",
        {"name": "west-users", "sharePermille": 1},
        "SharesExceedWhole",
        "must not exceed 1000",
    ),
    _accepted(
        WORKLOAD,
        "traffic that is not there yet",
        "spec.traffic",
        {"type": "HTTPRoute", "httpRoute": {"placementName": "gansu", "name": "qwen3"}},
        "TrafficNotAvailable",
        "use None",
    ),
    _accepted(
        WORKLOAD,
        "pin of an unknown placement",
        "spec.override.placementName",
        "shanghai",
        "PlacementUnknown",
        "it has ascend, gansu",
    ),
    _accepted(
        WORKLOAD,
        "moving conversations",
        "spec.stateful",
        "Engine",
        "StatefulCannotMove",
        "remove Migrate",
    ),
    _accepted(
        WORKLOAD,
        "targets by role",
        "spec.placements[]",
        {
            "name": "split",
            "siteName": "gansu-1",
            "clusterName": "gs-a",
            "targets": [
                {
                    "role": "Decode",
                    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                }
            ],
        },
        "TargetKindNotAvailable",
        "name one object in targetRef",
    ),
]

BAD_OBJECTS = SITES + CONTRACTS + WORKLOADS
