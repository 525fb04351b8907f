"""Replicas at the start of a scenario: what the file asks for, else what the origins need then.

Load goes to the nearest site that has room for it, the rest to the next one. Devices are used up as
workloads are read, but those that any of them asks for are kept for it. Neighbour: `load_workloads.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from wattshift.sim.load_text import Place, Text
from wattshift.sim.scenario import Array, ReplicaTable
from wattshift.sim.schema_sites import SiteSpec
from wattshift.sim.schema_workloads import PlacementSpec


class Starts:
    """Free devices of all sites, given to one workload after the other."""

    def __init__(
        self,
        *,
        text: Text,
        sites: Iterable[SiteSpec],
        tables: Mapping[str, ReplicaTable],
        carried: Mapping[str, float],
    ) -> None:
        """All devices free.

        Args:
            text: of the file, for errors.
            sites: with their devices; one that lists none has no bound.
            tables: by name.
            carried: tokens/s that a replica may begin with, by table.
        """
        self._text, self._tables, self._carried = text, tables, carried
        self._free = {
            site.name: {item.resource_name: item.count for item in site.devices}
            for site in sites
            if site.devices is not None
        }

    def reserve(self, at: Place, placements: Iterable[PlacementSpec]) -> None:
        """Keep the devices of the replicas that a workload asks for.

        Raises:
            ScenarioError: there are not enough.
        """
        for item in placements:
            fits, asked = self._fits(item), _asked(item)
            if asked > fits:
                raise self._text.error(
                    at,
                    f"starts with {asked} replicas at {item.site_name!r}, whose devices leave room "
                    f"for {fits:.0f}: raise sites.{item.site_name}.devices, or lower "
                    "initialReplicas or minReplicas",
                )
            self._take(item, asked)

    def counts(
        self, placements: Sequence[PlacementSpec], round_trips: Array, load: Mapping[int, float]
    ) -> list[int]:
        """Replicas of each placement of a workload whose devices are reserved.

        Args:
            placements: of the workload.
            round_trips: milliseconds [origins, placements].
            load: tokens/s at the start by number of the origin.
        """
        full = [self._most(item) * self._carried[item.profile_name] for item in placements]
        carries = [0.0] * len(placements)
        for number, tokens in load.items():
            left = tokens
            for place in np.argsort(round_trips[number], kind="stable").tolist():
                taken = min(left, max(0.0, full[place] - carries[place]))
                carries[place] += taken
                left -= taken
        found = []
        for item, tokens in zip(placements, carries, strict=True):
            asked = _asked(item)
            need = math.ceil(tokens / self._carried[item.profile_name] - 1e-9)
            count = asked if item.initial_replicas is not None else max(asked, need)
            self._take(item, count - asked)
            found.append(count)
        return found

    def _most(self, item: PlacementSpec) -> float:
        """Replicas that may stand at the start."""
        if item.initial_replicas is not None:
            return item.initial_replicas
        return min(item.max_replicas, _asked(item) + self._fits(item))

    def _fits(self, item: PlacementSpec) -> float:
        """Replicas for which devices are free; infinite where the site lists none."""
        if item.site_name not in self._free:
            return math.inf
        table = self._tables[item.profile_name]
        free = self._free[item.site_name].get(table.resource_name, 0)
        return free // table.devices_per_replica

    def _take(self, item: PlacementSpec, count: int) -> None:
        if item.site_name in self._free and count > 0:
            table = self._tables[item.profile_name]
            self._free[item.site_name][table.resource_name] -= count * table.devices_per_replica


def _asked(item: PlacementSpec) -> int:
    """Replicas that the file asks for."""
    return item.min_replicas if item.initial_replicas is None else item.initial_replicas
