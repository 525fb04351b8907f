"""PowerSite: where power arrives, what limits it, which clusters use it. Cluster-scoped, `psite`.

Parts: `site_power.py`, `site_clusters.py`, `site_events.py` (events), `signals.py` (signals);
status in `site_status.py`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wattshift.api.base import ApiModel, Column, Resource
from wattshift.api.common import Mode, Override, OverrideMode
from wattshift.api.lists import list_map
from wattshift.api.rules import Rule, budget
from wattshift.api.signals import SIGNAL_BUDGETS, Signals
from wattshift.api.site_clusters import (
    Accelerator,
    AllowedNamespaces,
    Cluster,
    Location,
    OriginLatency,
)
from wattshift.api.site_events import EventSource, PowerEvent
from wattshift.api.site_power import Connection, Cooling, Power
from wattshift.api.site_status import PowerSiteStatus
from wattshift.api.site_supply import Supply


class PowerSiteSpec(ApiModel):
    """What the site has and what limits it."""

    rules = (
        *SIGNAL_BUDGETS,
        budget("events", "intervals", 96, "the intervals of events"),
        Rule(
            cel="!has(self.connections) || size(self.connections) < 2 || !has(self.clusters) "
            "|| self.clusters.all(c, has(c.connectionName))",
            message="with several connections each cluster needs connectionName",
            check=lambda self: (
                len(self.connections) < 2
                or all(cluster.connection_name is not None for cluster in self.clusters)
            ),
        ),
        Rule(
            cel="!has(self.override) || self.override.mode != 'Pin'",
            message="a site cannot be pinned: use Hold or Release, or Pin on a FlexibleWorkload",
            check=lambda self: self.override is None or self.override.mode is not OverrideMode.PIN,
        ),
    )

    location: Location
    """location is where the site is."""
    allowed_namespaces: AllowedNamespaces
    """allowedNamespaces says which namespaces may place workloads here; there is no default."""
    clusters: Annotated[list[Cluster], list_map("name", max_items=16)] = Field(default_factory=list)
    """clusters are the Kubernetes clusters that the site feeds."""
    connections: Annotated[list[Connection], list_map("name", max_items=4)] = Field(
        default_factory=list
    )
    """connections are the grid connection points."""
    power: Power
    """power is the electrical capacity."""
    signals: Signals = Field(default_factory=list)
    """signals are the quantities that are read for the site."""
    supplies: Annotated[list[Supply], list_map("name", max_items=8)] = Field(default_factory=list)
    """supplies are sources of power that the site owns or is directly connected to."""
    cooling: Cooling | None = None
    """cooling is the limit of the cooling plant."""
    accelerators: Annotated[
        list[Accelerator], list_map("resource_name", "profile_name", max_items=16)
    ] = Field(default_factory=list)
    """accelerators are the devices at the site."""
    origin_latencies: Annotated[list[OriginLatency], list_map("origin_name", max_items=32)] = Field(
        default_factory=list
    )
    """originLatencies are network distances from users to the site."""
    events: Annotated[list[PowerEvent], list_map("name", max_items=16)] = Field(
        default_factory=list
    )
    """events are orders and requests that people or other systems wrote."""
    event_sources: Annotated[list[EventSource], list_map("name", max_items=4)] = Field(
        default_factory=list
    )
    """eventSources bring events by a protocol."""
    mode: Mode | None = None
    """mode limits how far wattshift may go here; absent = as the installation says."""
    override: Override | None = None
    """override is a person's order with an end."""


class PowerSite(Resource):
    """A place where power arrives and clusters run: its limits, supplies, signals and events."""

    plural: ClassVar[str] = "powersites"
    short_name: ClassVar[str] = "psite"
    scope: ClassVar[Literal["Cluster", "Namespaced"]] = "Cluster"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Power", ".status.summary.power"),
        Column("Limit", ".status.summary.limit"),
        Column("Green", ".status.summary.green"),
        Column("Events", ".status.summary.events"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Clusters", ".status.summary.clusters", priority=1),
        Column("Price", ".status.summary.price", priority=1),
        Column("Carbon", ".status.summary.carbon", priority=1),
    )

    kind: Literal["PowerSite"]
    """kind is PowerSite."""
    spec: PowerSiteSpec
    """spec is what the site has and what limits it."""
    status: PowerSiteStatus | None = None
    """status is what wattshift sees and does."""
