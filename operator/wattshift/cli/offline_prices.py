"""Prices of an offline plan: of another time from the look-ahead, or of a contract in a manifest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from wattshift.control.hub.store import Stored
from wattshift.core.contract.errors import ContractError
from wattshift.core.contract.marginal import price_curve, quote
from wattshift.core.contract.meter import opening_period
from wattshift.core.contract.parse import from_spec
from wattshift.core.contract.quote import SiteState as Load
from wattshift.core.model import ConnectionState, Snapshot
from wattshift.errors import NeedsHuman


def priced_at(row: ConnectionState, at: float) -> ConnectionState:
    """The connection with the price that the look-ahead has for a time; else as it is."""
    past = [price for start, price in row.price_ahead if start <= at]
    ahead = tuple(step for step in row.price_ahead if step[0] > at)
    return replace(row, price=past[-1] if past else row.price, price_ahead=ahead)


def repriced(snapshot: Snapshot, stored: Stored, notes: list[str]) -> Snapshot:
    """The snapshot with the prices of a contract from a manifest at its points.

    Indices come from constant signals of the manifest; others are unknown, and so is the price.

    Raises:
        NeedsHuman: reason ManifestInvalid: the contract does not fit.
    """
    try:
        contract = from_spec(stored.key.name, stored.document)
    except ContractError as error:
        raise NeedsHuman(f"contract {stored.key.name}: {error}", reason="ManifestInvalid") from None
    now = snapshot.grid_time
    if not contract.in_force(now):
        notes.append(f"contract {contract.name} is not in force at that time: not used")
        return snapshot
    indices = _indices(stored.document)
    unknown = sorted(name for name, value in indices.items() if value is None)
    if unknown:
        notes.append(f"contract {contract.name}: unknown offline: {', '.join(unknown)}")
    points = {(row.site_name, row.connection_name): row for row in contract.points}
    load = _load(snapshot, points)
    period = opening_period(contract, int(now))
    price = quote(contract, period, now, indices, load)
    series = {name: [(now, value)] for name, value in indices.items()}
    ahead = price_curve(contract, period, now, snapshot.settings.horizon_seconds, series, site=load)
    sites = []
    for site in snapshot.sites:
        rows = []
        for row in site.connections:
            point = points.get((site.name, row.name))
            if point is None:
                rows.append(row)
                continue
            rows.append(
                replace(
                    row,
                    price=price,
                    price_ahead=ahead,
                    contract_name=contract.name,
                    contract_maximum_watts=point.maximum_watts,
                )
            )
        sites.append(replace(site, connections=tuple(rows)))
    return replace(snapshot, sites=tuple(sites))


def _indices(document: Any) -> dict[str, Decimal | None]:
    found: dict[str, Decimal | None] = {}
    for row in document.get("signals") or ():
        constant = (row.get("source") or {}).get("constant") or {}
        per_megawatt = str(row.get("unit", "")).endswith("PerMegawattHour")
        value = Decimal(str(constant["value"])) if "value" in constant else None
        if value is not None and per_megawatt:
            value /= 1000
        found[row["name"]] = value
    return found


def _load(snapshot: Snapshot, points: Any) -> Load:
    """Metered power at the points; what is not metered counts as nothing."""
    watts = 0
    for site in snapshot.sites:
        for row in site.connections:
            if (site.name, row.name) in points and row.metered is not None:
                watts += max(0, round(row.metered.value or 0))
    return Load(import_watts=watts, load_watts=watts)
