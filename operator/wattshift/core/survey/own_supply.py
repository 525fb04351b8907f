"""Own supply of a site by the connection behind which it feeds: the load there draws it before it imports."""

from __future__ import annotations

from wattshift.core.freshness import value_of
from wattshift.core.model import SiteState, SupplyState


def supplies_behind(site: SiteState, connection_name: str | None) -> tuple[SupplyState, ...]:
    """Supplies behind one connection; None = all of the site.

    A supply without a name of its connection feeds behind the site's first.
    """
    if connection_name is None or not site.connections:
        return site.supplies
    first = site.connections[0].name
    return tuple(row for row in site.supplies if (row.connection_name or first) == connection_name)


def own_supply_watts(
    site: SiteState, now: float, lead_seconds: float = 0.0, *, connection_name: str | None = None
) -> float:
    """Own supply of a site, or behind one of its connections; unknown = none.

    Over a lead the least of now and of what is forecast for its end counts.
    """
    total = 0.0
    for row in supplies_behind(site, connection_name):
        watts = max(0.0, value_of(row.power, now) or 0.0)
        forecast = row.forecast.forecast if row.forecast is not None else None
        if lead_seconds > 0 and forecast is not None:
            ahead = forecast.at(now + lead_seconds)
            watts = watts if ahead is None else min(watts, max(0.0, ahead))
        total += watts
    return total


def is_supply_lost(site: SiteState, now: float, connection_name: str | None = None) -> bool:
    """Whether a supply that is measured can't be read now, so that nobody knows the import."""
    return any(
        row.power is not None and value_of(row.power, now) is None
        for row in supplies_behind(site, connection_name)
    )
