"""Power, bounds and shadow price of a connection as status and explanations show them."""

from __future__ import annotations

from wattshift.core.decision import SiteOutlook
from wattshift.core.survey.survey import Feed, Survey


def outlook(feed: Feed, world: Survey, horizon_seconds: float) -> SiteOutlook:
    """Power, bounds and shadow price of one feed, rounded to watts."""
    power, limits = feed.power, feed.limits
    present = world.price(feed, 0.0)
    return SiteOutlook(
        site_name=power.site_name,
        connection_name=power.connection_name,
        measured_watts=None if power.metered_watts is None else round(power.metered_watts),
        estimated_watts=None if power.committed_watts is None else round(power.committed_watts),
        upper_watts=None if limits.upper_watts is None else round(limits.upper_watts),
        lower_watts=None if limits.lower_watts is None else round(limits.lower_watts),
        binding=limits.binding,
        shadow_price_per_kilowatt_hour=world.price(feed, horizon_seconds).shadow,
        suspect=power.suspect,
        uncapped_watts=None
        if power.committed_watts is None
        else round(power.committed_watts + power.cap_saved_committed_watts),
        import_price_per_kilowatt_hour=None if present.grid is None else present.grid.volumetric,
        forecast_trust=_trust(feed),
    )


def _trust(feed: Feed) -> tuple[tuple[str, float, float], ...]:
    """Forecasts of the site that were corrected; told with its first connection."""
    site = feed.site
    if feed.connection is not None and feed.connection is not site.connections[0]:
        return ()
    supplies = [(f"{row.name} supply", row.forecast) for row in site.supplies]
    rows = [*((row.name, row) for row in site.signals), *supplies]
    return tuple(
        (name, row.forecast.factor, row.forecast.weight)
        for name, row in rows
        if row is not None
        and row.forecast is not None
        and (row.forecast.factor, row.forecast.weight) != (1.0, 1.0)
    )
