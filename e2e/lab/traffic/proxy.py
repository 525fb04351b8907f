"""Distance between the entry and a site: one delaying TCP proxy per worker, with faults.

The router gets the proxy's address as the worker's URL. A proxy outlives its worker's place in the
router until its last stream ends, so that taking a worker out breaks nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from e2e.lab.traffic.splice import Splice, known_fault

LINGER_SECONDS = 600.0
"""A retired proxy with open connections is cut after this."""
QUIET_SECONDS = 5.0
"""A retired proxy whose idle kept-alive connections linger is closed this long after the last byte."""


@dataclass(slots=True)
class Distance:
    """How far a site is; changeable while running."""

    round_trip_milliseconds: float = 0.0
    always_proxied: bool = False
    """A proxy even at distance 0, so that the link can be given a fault later."""
    fault: str = ""

    @property
    def one_way_seconds(self) -> float:
        """Half the round trip."""
        return self.round_trip_milliseconds / 2000


@dataclass(slots=True)
class _Link:
    site: str
    splice: Splice
    url: str
    retired_time: float | None = None


@dataclass(slots=True)
class Distances:
    """Proxies of all workers by their real URL."""

    sites: dict[str, Distance] = field(default_factory=dict)
    listen_host: str = "127.0.0.1"
    _links: dict[str, _Link] = field(default_factory=dict)
    _retired: list[_Link] = field(default_factory=list)

    async def url_for(self, site: str, worker_url: str) -> str:
        """URL under which the router reaches the worker: a proxy's, or its own when near."""
        distance = self.sites.get(site, Distance())
        if not (distance.round_trip_milliseconds or distance.always_proxied):
            return worker_url
        if worker_url not in self._links:
            parts = urlsplit(worker_url)
            splice = Splice(
                parts.hostname or "", parts.port or 80, delay_seconds=distance.one_way_seconds
            )
            splice.fault = distance.fault
            port = await splice.start(self.listen_host)
            url = f"http://{self.listen_host}:{port}"
            self._links[worker_url] = _Link(site, splice, url)
        return self._links[worker_url].url

    def retire(self, worker_url: str) -> None:
        """The worker left the router: close its proxy when its last stream has ended."""
        if link := self._links.pop(worker_url, None):
            link.retired_time = time.monotonic()
            self._retired.append(link)

    async def sweep(self) -> None:
        """Close retired proxies that carry nothing any more."""
        now = time.monotonic()
        for link in list(self._retired):
            age = now - (link.retired_time or now)
            busy = any(wire.answer_owed or wire.streaming for wire in link.splice.wires)
            over = (age > QUIET_SECONDS and not busy) or age > LINGER_SECONDS
            # NB: every router's keeper sweeps, and closing lets another one in between.
            if over and link in self._retired:
                self._retired.remove(link)
                await link.splice.close()

    def set_round_trip(self, site: str, milliseconds: float) -> None:
        """Move a site; connections that are open feel it too."""
        distance = self.sites.setdefault(site, Distance())
        distance.round_trip_milliseconds = milliseconds
        for link in (*self._links.values(), *self._retired):
            if link.site == site:
                link.splice.delay_seconds = distance.one_way_seconds

    def set_fault(self, site: str, fault: str) -> None:
        """Break a site's link (`drop`, `refuse`) or mend it (``)."""
        distance = self.sites.setdefault(site, Distance())
        distance.fault = known_fault(fault)
        for link in (*self._links.values(), *self._retired):
            if link.site == site:
                link.splice.set_fault(fault)

    async def close(self) -> None:
        """Close every proxy."""
        await asyncio.gather(
            *(item.splice.close() for item in (*self._links.values(), *self._retired))
        )
        self._links.clear()
        self._retired.clear()
