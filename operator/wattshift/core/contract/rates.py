"""Unit prices at a moment: rate, band rate, index or tier, times the shapes of the band.

Shared by `meter` (what was used) and `marginal` (what comes next), so that both price alike.
Prices are per kWh in the contract's currency; None means an index is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal

from wattshift.core.contract.calendar import band_at
from wattshift.core.contract.model import Component, Contract, Position, PositionType, SignalRate

Indices = Mapping[str, Decimal | None]
CENT = Decimal("0.01")
_INDEX_STEP = Decimal("1e-9")
_INDEX_LIMIT = 1e12
"""Per kWh; beyond it is no price in any currency but a fault of the source."""
_WIDE = Context(prec=100)
"""For rounding: the default 28 digits refuse an amount of 26 digits before the point."""


def cents(amount: Decimal) -> Decimal:
    """Rounded to 0.01, half up, as bills are."""
    return amount.quantize(CENT, ROUND_HALF_UP, _WIDE)


def index_value(value: float) -> Decimal | None:
    """Index per kWh from a reading (a float at the edge), to 1e-9: finer than any market's tick.

    None where the value can be no price: not a number, infinite, or beyond 1e12.
    """
    if not -_INDEX_LIMIT <= value <= _INDEX_LIMIT:
        return None
    return Decimal(repr(float(value))).quantize(_INDEX_STEP, ROUND_HALF_EVEN).normalize()


def per_kilowatt_hour(watt_hours: int, price: Decimal) -> Decimal:
    """Exact cost of integer Wh at a price per kWh."""
    return (watt_hours * price).scaleb(-3)


def bands_at(contract: Contract, epoch: float) -> dict[str, str]:
    """Band of every calendar at a moment."""
    return {calendar.name: band_at(calendar, epoch)[0] for calendar in contract.calendars}


def shape_factor(contract: Contract, name: str, bands: Mapping[str, str], epoch: float) -> Decimal:
    """Product of the shapes in force that name a component or position."""
    factor = Decimal(1)
    for shape in contract.shapes:
        if name in shape.of_components and shape.in_force(epoch):
            factor *= shape.factor(bands[shape.calendar_name])
    return factor


def signal_price(rate: SignalRate, indices: Indices) -> Decimal | None:
    """Price of an index rate; None while the index is unknown."""
    index = indices.get(rate.signal_name)
    return None if index is None else rate.of(index)


def unit_price(
    contract: Contract,
    part: Component | Position,
    bands: Mapping[str, str],
    epoch: float,
    indices: Indices,
) -> Decimal | None:
    """Price per kWh of an untiered energy component or a position, shapes in, losses not."""
    price = part.rate
    if isinstance(part, Position) and part.type is PositionType.CONTRACT_FOR_DIFFERENCE:
        reference = indices.get(part.reference_signal_name)
        price = None if price is None or reference is None else price - reference
    elif part.signal_rate is not None:
        price = signal_price(part.signal_rate, indices)
    elif isinstance(part, Component) and part.band_rates:
        price = dict(part.band_rates)[bands[part.calendar_name]]
    return None if price is None else price * shape_factor(contract, part.name, bands, epoch)


def tier_cost(component: Component, before_watt_hours: int, watt_hours: int) -> Decimal:
    """Cost of the next Wh of a tiered rate, after `before_watt_hours` of the month."""
    cost = Decimal(0)
    position, left = before_watt_hours, watt_hours
    for block in component.blocks:
        if left == 0:
            break
        if block.upto_watt_hours is not None and position >= block.upto_watt_hours:
            continue
        room = left if block.upto_watt_hours is None else block.upto_watt_hours - position
        part = min(left, room)
        cost += per_kilowatt_hour(part, block.rate)
        position += part
        left -= part
    return cost


def tier_price(component: Component, expected_watt_hours: int) -> Decimal:
    """Price of the tier in which the month is expected to end: that is what one kWh more costs."""
    for block in component.blocks:
        if block.upto_watt_hours is None or expected_watt_hours < block.upto_watt_hours:
            return block.rate
    return component.blocks[-1].rate
