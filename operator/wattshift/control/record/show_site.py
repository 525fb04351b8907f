"""What status says of a site and of a contract: rounded figures, strings for people, conditions.

Pure: snapshot and plan in, documents and conditions out. Neighbour: `show.py` puts them in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from wattshift.api.common import MAX_WATTS
from wattshift.api.conditions import EnergyContractCondition, PowerSiteCondition
from wattshift.api.site_status import (
    BindingLimit,
    PowerSiteSummary,
    SitePowerStatus,
    SiteShadowPrices,
)
from wattshift.control.hub.conditions import Condition, condition, format_utc
from wattshift.core.contract.bill import bill
from wattshift.core.contract.model import Contract
from wattshift.core.contract.obligation import ObligationState, states
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import Adders, PriceQuote
from wattshift.core.decision import SiteOutlook
from wattshift.core.model import SiteState
from wattshift.core.reasons import Reason
from wattshift.core.units import Quantity

_BINDING = {
    "feed": BindingLimit.CONNECTION,
    "contract": BindingLimit.CONTRACT,
    "cooling": BindingLimit.COOLING,
    "it": BindingLimit.IT_CAPACITY,
    "ramp": BindingLimit.RAMP,
    "event": BindingLimit.EVENT,
    "emergency": BindingLimit.COOLING,
}
_MEGAWATT, _KILOWATT = 1_000_000, 1_000
_TEXT = 256
_LARGEST = Decimal(999999999999)
"""Digits before the point that the schema takes."""


def watts_text(watts: float | None) -> str:
    """`3.12 MW`, `640 kW`, `912 W`, or `unknown`."""
    if watts is None:
        return "unknown"
    if abs(watts) >= _MEGAWATT:
        return f"{watts / _MEGAWATT:.2f} MW"
    if abs(watts) >= 10 * _KILOWATT:
        return f"{watts / _KILOWATT:.0f} kW"
    if abs(watts) >= _KILOWATT:
        return f"{watts / _KILOWATT:.1f} kW"
    return f"{watts:.0f} W"


def fixed_text(value: Decimal | float | None, places: int = 4) -> str | None:
    """Decimal string that the schema takes, without trailing zeros; None stays None."""
    if value is None:
        return None
    inside = min(max(Decimal(str(value)), -_LARGEST), _LARGEST)
    text = f"{inside:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def power_status(site: SiteState, rows: tuple[SiteOutlook, ...]) -> SitePowerStatus:
    """Power of the site over its connections; the tightest head room names the limit."""
    all_metered = bool(rows) and all(row.measured_watts is not None for row in rows)
    seen = [_seen(row) for row in rows]
    known = [value for value in seen if value is not None]
    facility = _inside(sum(known)) if rows and len(known) == len(seen) else None
    limited = [row for row in rows if row.upper_watts is not None]
    tightest = min(limited, key=_tightness, default=None)
    green = [row.power.value for row in site.supplies if row.power and row.power.value is not None]
    it = next(
        (
            signal.reading.value
            for signal in site.signals
            if signal.quantity is Quantity.IT_POWER and signal.reading is not None
        ),
        None,
    )
    return SitePowerStatus(
        it_watts=None if it is None else _inside(it),
        facility_watts=facility,
        limit_watts=_limit(tightest),
        binding_limit=_BINDING.get(tightest.binding.split(" ")[0])
        if tightest is not None
        else None,
        headroom_watts=_head_room(tightest) if tightest is not None else None,
        green_supply_watts=_inside(sum(green)) if green else None,
        quality=None if facility is None else "Measured" if all_metered else "Estimated",
    )


def _seen(row: SiteOutlook) -> int | None:
    """Metered, else estimated; None = unknown, which is not zero."""
    return row.measured_watts if row.measured_watts is not None else row.estimated_watts


def _inside(watts: float, least: int = 0) -> int:
    """Whole watts that the schema takes: a reading without bounds of its own may be anything."""
    return round(min(max(watts, least), MAX_WATTS))


def _limit(row: SiteOutlook | None) -> int | None:
    return None if row is None or row.upper_watts is None else _inside(row.upper_watts)


def _head_room(row: SiteOutlook) -> int | None:
    seen = _seen(row)
    return None if seen is None else _inside((row.upper_watts or 0) - seen, least=-MAX_WATTS)


def _tightness(row: SiteOutlook) -> tuple[bool, int]:
    """Least head room first; where the power is unknown, by the limit itself and last."""
    room = _head_room(row)
    return (room is None, (row.upper_watts or 0) if room is None else room)


def site_summary(
    site: SiteState, power: SitePowerStatus, rows: tuple[SiteOutlook, ...], currency: str
) -> PowerSiteSummary:
    """Strings for the printer columns."""
    ready = sum(1 for member in site.members if member.phase.value == "Ready")
    active = [event.name for event in site.events if event.active]
    price = next(
        (
            row.shadow_price_per_kilowatt_hour
            for row in rows
            if row.shadow_price_per_kilowatt_hour is not None
        ),
        None,
    )
    carbon = next(
        (
            signal.reading.value
            for signal in site.signals
            if signal.quantity is Quantity.CARBON_INTENSITY_AVERAGE and signal.reading is not None
        ),
        None,
    )
    limit = watts_text(power.limit_watts) if power.limit_watts is not None else "none"
    if power.binding_limit is not None:
        limit += f" {power.binding_limit.value}"
    green = "-"
    if power.green_supply_watts is not None:
        green = watts_text(power.green_supply_watts)
        if power.facility_watts:
            share = min(1.0, power.green_supply_watts / power.facility_watts)
            green += f" {share * 100:.0f} %"
    words = {
        "power": watts_text(power.facility_watts),
        "limit": limit,
        "green": green,
        "events": ", ".join(active) or "-",
        "clusters": f"{ready}/{len(site.members)}",
        "price": "unknown" if price is None else f"{price:.4f} {currency}/kWh",
        "carbon": "unknown" if carbon is None else f"{carbon:.0f} g/kWh",
    }
    return PowerSiteSummary(**{name: text[:_TEXT] for name, text in words.items()})


def shadow_prices(rows: tuple[SiteOutlook, ...]) -> SiteShadowPrices | None:
    """The highest price over the connections."""
    known = [
        row.shadow_price_per_kilowatt_hour
        for row in rows
        if row.shadow_price_per_kilowatt_hour is not None
    ]
    if not known:
        return None
    return SiteShadowPrices(facility_kilowatt_hour=fixed_text(max(known), 6))


class Doubts:
    """Which sites' power model is in doubt for long enough to say so.

    A meter that trembles about the threshold would flip the condition every few seconds: doubt
    must last for `STEADY_TICKS` ticks before it is told, and be gone for as many before it ends.
    """

    STEADY_TICKS = 5

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._told: set[str] = set()

    def told(self, site_name: str, rows: tuple[SiteOutlook, ...]) -> bool:
        """Take one tick; returns whether the doubt is to be told."""
        step = 1 if any(row.suspect for row in rows) else -1
        count = min(self.STEADY_TICKS, max(0, self._counts.get(site_name, 0) + step))
        self._counts[site_name] = count
        if count == self.STEADY_TICKS:
            self._told.add(site_name)
        elif count == 0:
            self._told.discard(site_name)
        return site_name in self._told


def within_limit(
    site: SiteState, rows: tuple[SiteOutlook, ...], *, doubted: bool | None = None
) -> Condition:
    """Whether power is inside every bound; Unknown while the model and the meter disagree.

    `doubted` is what `Doubts` says; None = as the rows say.
    """
    kind = PowerSiteCondition.WITHIN_LIMIT
    if any(row.suspect for row in rows) if doubted is None else doubted:
        return condition(
            kind,
            None,
            Reason.POWER_MODEL_SUSPECT,
            "power model and meter disagree by more than 10 %: check profiles and the meter",
        )
    unknown = ""
    for row in rows:
        seen = _seen(row)
        if seen is None:
            bounded = row.upper_watts is not None or row.lower_watts is not None
            unknown = unknown or (row.connection_name or site.name if bounded else "")
            continue
        if row.upper_watts is not None and seen > row.upper_watts:
            return condition(
                kind,
                False,
                Reason.SITE_LIMIT,
                f"{watts_text(seen)} above {row.binding} {watts_text(row.upper_watts)}",
            )
        if row.lower_watts is not None and seen < row.lower_watts:
            return condition(
                kind,
                False,
                Reason.EVENT_FLOOR,
                f"{watts_text(seen)} below {row.binding} {watts_text(row.lower_watts)}",
            )
    if site.emergency:
        return condition(kind, False, Reason.EMERGENCY, site.emergency)
    if unknown:
        return condition(kind, None, Reason.POWER_UNKNOWN, f"the power at {unknown} is not known")
    return condition(kind, True, "WithinLimit", "power is inside every bound")


def cooling_healthy(site: SiteState) -> Condition | None:
    """Only where the site says something of its cooling."""
    leak = next((s for s in site.signals if s.quantity is Quantity.LEAK_STATE), None)
    if leak is None and site.cooling_limit is None:
        return None
    kind = PowerSiteCondition.COOLING_HEALTHY
    if leak is not None and leak.reading is not None and (leak.reading.value or 0) > 0:
        return condition(kind, False, "LeakReported", "a coolant leak is reported")
    if leak is not None and (leak.reading is None or leak.reading.value is None):
        return condition(kind, None, "LeakStateUnknown", "whether coolant leaks is not known")
    if site.cooling_limit is not None and site.cooling_limit.value is None:
        return condition(kind, None, site.cooling_limit.reason or "Unknown", "limit is unknown")
    return condition(kind, True, "Healthy", "no leak is reported")


# ---- contracts --------------------------------------------------------------------------------


def contract_document(
    contract: Contract, period: Period, price: PriceQuote, now: float
) -> dict[str, Any]:
    """Fields of EnergyContractStatus besides conditions and period; unknown ones are left out."""
    shown: dict[str, Any] = {}
    if price.band:
        shown["bandName"] = price.band
    for name, adders in (("marginalPriceUp", price.up), ("marginalPriceDown", price.down)):
        row = _adders(adders)
        if row is not None:
            shown[name] = row
    if price.next_change_time is not None:
        change: dict[str, Any] = {"time": format_utc(price.next_change_time)}
        if price.next_band:
            change["bandName"] = price.next_band
        total = fixed_text(price.next_grid_energy, 6)
        if total is not None:
            change["total"] = total
        shown["nextChange"] = change
    so_far = bill(contract, period)
    cost = shown["cost"] = {
        "total": fixed_text(so_far.total, 2),
        "currency": contract.currency,
        "lines": [
            {"name": line.name[:63], "amount": fixed_text(line.amount, 2)} for line in so_far.lines
        ],
    }
    paces = states(contract, period, now) if contract.obligations else ()
    shown["pace"] = [_pace(row) for row in paces]
    shown["summary"] = _contract_summary(contract, period, price, cost, paces)
    return shown


def _adders(adders: Adders) -> Mapping[str, str] | None:
    if adders.energy is None or adders.total is None:
        return None
    return {
        "energy": fixed_text(adders.energy, 6) or "0",
        "demandAdder": fixed_text(adders.demand_adder, 6) or "0",
        "obligationAdder": fixed_text(adders.obligation_adder, 6) or "0",
        "total": fixed_text(adders.total, 6) or "0",
    }


def _pace(row: ObligationState) -> dict[str, Any]:
    document: dict[str, Any] = {"name": row.name, "slackWattHours": round(row.slack_watt_hours)}
    for name, value in (("share", row.share), ("requiredShare", row.required_share)):
        text = fixed_text(value, 4)
        if text is not None:
            document[name] = text
    return document


def _contract_summary(
    contract: Contract,
    period: Period,
    price: PriceQuote,
    cost: Mapping[str, Any],
    paces: tuple[ObligationState, ...],
) -> dict[str, str]:
    total = price.up.total
    summary = {
        "price": "unknown" if total is None else f"{total:.4f} {contract.currency}/kWh",
        "band": price.band or "-",
    }
    if price.next_change_time is not None:
        summary["next"] = f"{price.next_band or 'change'} {format_utc(price.next_change_time)}"
    summary["cost"] = f"{cost['total']} {contract.currency}"
    peaks = period.peak_watts.values()
    if peaks:
        summary["peak"] = watts_text(max(peaks))
    shares = [row for row in paces if row.share is not None]
    if shares:
        summary["green"] = f"{float(shares[0].share or 0) * 100:.1f} %"
    return summary


def price_known(price: PriceQuote) -> Condition:
    """Whether the marginal price is known."""
    return condition(
        EnergyContractCondition.PRICE_KNOWN,
        price.known,
        "Known" if price.known else price.reason,
        price.message or "every part of the price is known",
    )


def within_capacity(contract: Contract, load_watts: Mapping[str, int]) -> Condition:
    """Whether the power at every point stays below the contract's maximum.

    Args:
        contract: with its points.
        load_watts: import by `site/connection`.
    """
    kind = EnergyContractCondition.WITHIN_CAPACITY
    for point in contract.points:
        place = f"{point.site_name}/{point.connection_name}"
        seen = load_watts.get(place)
        if point.maximum_watts is None or seen is None:
            continue
        if seen > point.maximum_watts:
            words = f"{place}: {watts_text(seen)} above {watts_text(point.maximum_watts)}"
            return condition(kind, False, "MaximumExceeded", words)
    return condition(kind, True, "WithinCapacity", "power is below the maximum at every point")


def green_on_track(paces: tuple[ObligationState, ...]) -> Condition:
    """Whether every obligation keeps its pace."""
    if not paces:
        return condition(
            EnergyContractCondition.GREEN_ON_TRACK, True, "NoObligations", "nothing is promised"
        )
    behind = [row for row in paces if not row.on_track]
    if not behind:
        return condition(
            EnergyContractCondition.GREEN_ON_TRACK, True, "OnTrack", "every obligation is met"
        )
    words = "; ".join(
        f"{row.name} is {-round(row.slack_watt_hours / 1000)} kWh behind" for row in behind
    )
    return condition(EnergyContractCondition.GREEN_ON_TRACK, False, "Behind", words)
