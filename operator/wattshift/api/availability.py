"""What this version can do of what the schema can say; later versions only add to it.

The schema is complete from the start, so that objects need no change when a backend arrives. What
is absent here is refused (`Accepted=False`) or Unknown (`SourceNotAvailable`), never ignored.
"""

from __future__ import annotations

from wattshift.api.site_events import EventSourceType
from wattshift.api.workload_policy import TrafficType

SOURCES = frozenset({"prometheus", "httpJson", "file", "dailyCurve", "schedule", "constant"})
"""Members of `source` that have an adapter."""
EVENT_SOURCES: frozenset[EventSourceType] = frozenset()
"""Event sources that have an adapter."""
TRAFFIC: frozenset[TrafficType] = frozenset({TrafficType.NONE})
"""Traffic backends that have an actuator."""
KINDS_WITHOUT_SCALE = frozenset({"Job", "CronJob", "DaemonSet", "Pod", "Service"})
"""Kinds that have no scale subresource; every other kind is asked for it in its cluster."""
