"""Billed peaks as blocks of a price curve: below `K` power is free of the demand charge, above it is not.

A quote says what the next kW costs at the power of this moment; a move of many kW passes `K` on the
way up, or falls below it on the way down. What a peak costs is paid once. Neighbours: `core/survey/prices.py`
(the curves), `core/fleet/limits.py` and `core/fleet/agenda.py` (the steps to come).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from wattshift.core.contract.model import Basis
from wattshift.core.contract.quote import Adders, DemandTerm, PriceQuote

PEAK_HOURS = 3.0
"""Over which the price of a new billed peak is spread where steps are priced one by one."""

Ahead = Sequence[tuple[float, PriceQuote]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kink:
    """Where a demand charge begins (on the way up) or ends (on the way down)."""

    watts: float
    """From the present power."""
    per_kilowatt_hour: float
    """In the contract's currency, over the horizon that was asked for."""


def kinks(
    quote: PriceQuote,
    ahead: Ahead,
    now: float,
    end: float,
    *,
    load_watts: float | None,
    own_watts: float,
    up: bool,
) -> tuple[Kink, ...]:
    """Kinks of the curve in one direction over `[now, end]`, nearest first.

    Up: charges that the quote does not hold yet. Down: those that it holds, and that end.

    Args:
        quote: the present one; of a component that is not in its window now, the first that is.
        ahead: quotes to come.
        now: grid seconds.
        end: of the horizon.
        load_watts: facility watts committed; None = unknown, then the metered level counts.
        own_watts: own supply behind the connection.
        up: direction.
    """
    terms: dict[str, DemandTerm] = {}
    later = [row for start, row in ahead if now < start < end] if end > now else []
    for row in (quote, *later):
        for term in row.demand_terms:
            if term.in_window and term.rate_per_kilowatt > 0:
                terms.setdefault(term.component, term)
    found = []
    for term in terms.values():
        level = term.level_watts
        if level is None or (level >= term.binding_watts if up else level <= term.binding_watts):
            continue
        price = _spread(term, end - now)
        if price <= 0:
            continue
        if not up:
            found.append(Kink(watts=float(level - term.binding_watts), per_kilowatt_hour=price))
            continue
        present = float(level)
        if load_watts is not None and term.basis is Basis.IMPORT:
            present = max(0.0, load_watts - own_watts)
        elif load_watts is not None and term.basis is Basis.GROSS_USE:
            present = load_watts
        gap = max(0.0, term.binding_watts - present)
        found.append(Kink(watts=gap, per_kilowatt_hour=price))
    return tuple(sorted(found, key=lambda row: row.watts))


def _spread(term: DemandTerm, seconds: float) -> float:
    """Price per kWh of a change that lasts `seconds`: the peak is set once."""
    once = term.expected_per_kilowatt
    adders = Adders(
        energy=None,
        demand_adder=once * 60 / term.averaging_minutes,
        demand_per_kilowatt=once,
    )
    return float(adders.demand_over(seconds))


def free_of_peaks(quote: PriceQuote) -> tuple[float, float]:
    """(power in W that sets no new billed peak, contract currency per kWh above it), steps priced one by one.

    Of several charges in their window the lowest peak counts, at the price of all.
    """
    terms = [
        row
        for row in quote.demand_terms
        if row.in_window and row.basis is not Basis.IT_LOAD and row.expected_per_kilowatt > 0
    ]
    once = sum((row.expected_per_kilowatt for row in terms), Decimal(0))
    return min((float(row.binding_watts) for row in terms), default=math.inf), float(
        once
    ) / PEAK_HOURS


def peak_watts(quote: PriceQuote | None, own_watts: float) -> float | None:
    """Load in W that sets no new billed peak: the lowest that binds in this window; None = no such price.

    What is charged by the import leaves own supply to the load on top; a charge by the IT load says
    nothing of the load at the connection.
    """
    if quote is None:
        return None
    known = [
        term.binding_watts + (own_watts if term.basis is Basis.IMPORT else 0.0)
        for term in quote.demand_terms
        if term.in_window
        and term.basis is not Basis.IT_LOAD
        and term.binding_watts > 0
        and term.expected_per_kilowatt > 0
    ]
    return min(known, default=None)
