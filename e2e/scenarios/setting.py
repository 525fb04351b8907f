"""Places, clock and values of the scenarios' lab."""

from __future__ import annotations

from datetime import timedelta, timezone

from e2e.lab.audit import service_account
from e2e.lab.client import Document
from e2e.lab.lab import MEMBER_ACCOUNT, SYSTEM_NAMESPACE
from e2e.powered import Place

START = "2026-07-15T09:00:00+08:00"
SPEED = 60.0
ZONE = timezone(timedelta(hours=8))
PLACES = (
    Place(name="hub", site="east"),
    Place(name="west", site="west", round_trip_milliseconds=10),
    Place(name="north", site="north", round_trip_milliseconds=20),
)
"""Cluster and site by the same order everywhere; the first is the hub."""
SITES = {place.name: place.site for place in PLACES}
KINDS = {
    "powersites": "PowerSite",
    "energycontracts": "EnergyContract",
    "flexibleworkloads": "FlexibleWorkload",
}
NAMESPACES = tuple(f"serving-{number}" for number in range(1, 8))
"""Opted in at installation; cases take them in turn."""
OPERATOR = service_account(SYSTEM_NAMESPACE, "wattshift")
MEMBER = service_account(SYSTEM_NAMESPACE, MEMBER_ACCOUNT)
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/wattshift"
WARM_UP_SECONDS = 10.0
PLANT = {
    "meters": {"lagSeconds": 0.5},
    "facility": [
        {"temperatureMillicelsius": 20000, "fixedWatts": 500, "marginalPermille": 1150},
    ],
}
VALUES: Document = {
    "mode": "Enforce",
    "planner": {"intervalSeconds": 300, "minimumWallSeconds": 1},
    "governor": {"intervalSeconds": 1},
    "engineMetrics": {"intervalSeconds": 1, "timeoutSeconds": 2},
}
