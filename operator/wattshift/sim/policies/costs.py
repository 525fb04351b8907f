"""What baselines know of prices, carbon and power limits, from the snapshot's own readings."""

from __future__ import annotations

import math

from wattshift.core.freshness import value_of
from wattshift.core.model import SiteState, Snapshot
from wattshift.core.power.watts import facility_terms
from wattshift.core.survey.prices import carbon_intensity, price_of
from wattshift.sim.policies.jobs import Job


def rates(snapshot: Snapshot) -> dict[str, tuple[float, float]]:
    """(money, grams) per kWh of import by site; what is unknown counts like the worst known."""
    now, settings = snapshot.grid_time, snapshot.settings
    money: dict[str, float | None] = {}
    grams: dict[str, float | None] = {}
    for site in snapshot.sites:
        grams[site.name] = carbon_intensity(site, now)
        connection = site.connections[0] if site.connections else None
        price = price_of(site, connection, settings, now, load_watts=None, grams=None)
        money[site.name] = None if price.grid is None else price.grid.energy
    dearest = max((row for row in money.values() if row is not None), default=0.0)
    dirtiest = max((row for row in grams.values() if row is not None), default=0.0)
    return {
        name: (
            dearest if (row := money[name]) is None else row,
            dirtiest if (gram := grams[name]) is None else gram,
        )
        for name in money
    }


def per_sequence(
    job: Job, by_site: dict[str, tuple[float, float]], snapshot: Snapshot
) -> list[float]:
    """Money per hour of a sequence in flight at each spot, on full replicas, carbon priced in."""
    carbon = float(snapshot.settings.carbon_price_per_tonne) / 1e6
    costs = []
    for spot in job.spots:
        money, grams = by_site[spot.site.name]
        marginal = facility_terms(spot.site, snapshot.grid_time).marginal
        watts = float(spot.profile.busy_watts or 0) / spot.sequences
        costs.append((money + carbon * grams) * marginal * watts / 1000)
    return costs


def room_watts(site: SiteState, now: float) -> float:
    """IT watts that import limits, running events, cooling and own supply leave; may be infinite."""
    terms = facility_terms(site, now)
    limits = []
    for connection in site.connections:
        rows = [connection.import_limit_watts, connection.contract_maximum_watts]
        rows += [
            event.upper_watts
            for event in site.events
            if event.active and event.connection_name == connection.name
        ]
        limits.append(min((float(row) for row in rows if row is not None), default=math.inf))
        limits[-1] -= value_of(connection.uncontrolled, now) or 0.0
    bound = sum(limits) if limits else math.inf
    bound += sum(value_of(row.power, now) or 0.0 for row in site.supplies)
    it = (bound - terms.fixed_watts) / terms.marginal
    cooling = value_of(site.cooling_limit, now)
    if cooling is not None:
        it = min(it, cooling)
    return max(0.0, it)
