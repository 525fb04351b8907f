"""Obligations: slack to date, pace, what a shortfall costs, and the price it puts on a kWh.

Each is a linear form `sum(coefficient x quantity) >= 0` over a month or year (contract.md 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from wattshift.core.contract.calendar import span_bounds
from wattshift.core.contract.model import Basis, Contract, Instrument, Obligation, Span
from wattshift.core.contract.period import Period
from wattshift.core.contract.rates import cents

_INSTRUMENT_BASIS = {
    Instrument.DIRECT_SELF_USE: Basis.SELF_USE,
    Instrument.GREEN_POWER_TRADE: Basis.GREEN_POWER_TRADE,
    Instrument.CANCELLED_CERTIFICATE: Basis.CANCELLED_CERTIFICATE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObligationState:
    """How one obligation stands in its period to date."""

    name: str
    period: Span
    hard: bool
    slack_watt_hours: int
    """Value of the form; negative = short so far."""
    share: Decimal | None
    """What the target quantity is of its base so far (`Green / GrossUse`); None without a base."""
    target: Decimal | None
    """The share it must reach (or stay under, when `upper`); None for other forms than a share."""
    upper: bool
    required_share: Decimal | None
    """Share that the rest of the period must have (may have at most, when `upper`)."""
    on_track: bool
    shortfall_cost: Decimal
    """What the shortfall to date would cost, rounded to 0.01; 0 for a Hard one."""


def quantity(obligation: Obligation, basis: Basis, watt_hours: Mapping[str, int]) -> int:
    """Wh of a quantity to date; `Green` is the sum of the eligible instruments."""
    if basis is Basis.GREEN:
        return sum(watt_hours.get(_INSTRUMENT_BASIS[item].value, 0) for item in obligation.eligible)
    return watt_hours.get(basis.value, 0)


def slack(obligation: Obligation, watt_hours: Mapping[str, int]) -> Decimal:
    """Value of the form in Wh, exact; negative = short."""
    return sum(
        (factor * quantity(obligation, basis, watt_hours) for basis, factor in obligation.terms),
        Decimal(0),
    )


def watt_hours_of(obligation: Obligation, period: Period) -> Mapping[str, int]:
    """The quantities to date of the obligation's own period."""
    return (period.month if obligation.period is Span.MONTH else period.year).watt_hours


def shortfall_cost(obligation: Obligation, watt_hours: Mapping[str, int]) -> Decimal:
    """Price of the shortfall to date at the shortfall rate, rounded to 0.01; 0 when there is none."""
    value = slack(obligation, watt_hours)
    if value >= 0 or obligation.shortfall_rate is None:
        return Decimal(0)
    return cents((-value).scaleb(-3) * obligation.shortfall_rate)


def share_form(obligation: Obligation) -> tuple[Basis, Basis, Decimal, bool] | None:
    """(part, base, target, upper) of a form that is a share; None for any other form.

    `1 x part - tau x base` is `part/base >= tau`; `tau x base - 1 x part` is `part/base <= tau`.
    """
    if len(obligation.terms) != 2:
        return None
    (first, a), (second, b) = sorted(obligation.terms, key=lambda term: -term[1])
    if not a > 0 > b:
        return None
    if b == -1 and a != 1:
        return second, first, a, True
    return first, second, -b / a, False


def required_share(
    target: Decimal, part: Decimal, base: Decimal, base_remaining: Decimal
) -> Decimal | None:
    """`(tau (B + B_rem) - A) / B_rem`: share the rest must have; None when nothing remains."""
    if base_remaining <= 0:
        return None
    return (target * (base + base_remaining) - part) / base_remaining


def states(
    contract: Contract,
    period: Period,
    now: float,
    base_remaining_watt_hours: Mapping[str, int] | None = None,
    reachable_share: Mapping[str, Decimal] | None = None,
) -> tuple[ObligationState, ...]:
    """State of every obligation.

    `base_remaining_watt_hours` gives, by obligation, the base still expected in the period; without
    it the base goes on as it has so far. `reachable_share` is what a forecast says the rest can have
    (its p90, the p10 of an upper bound). On track: the slack is not negative, or the share that the
    rest needs is within reach.
    """
    expected, reachable = base_remaining_watt_hours or {}, reachable_share or {}
    return tuple(
        _state(
            contract,
            obligation,
            period,
            now,
            expected.get(obligation.name),
            reachable.get(obligation.name),
        )
        for obligation in contract.obligations
    )


def _state(  # noqa: PLR0917 - one caller, in the order of `states`
    contract: Contract,
    obligation: Obligation,
    period: Period,
    now: float,
    base_remaining: int | None,
    reachable: Decimal | None,
) -> ObligationState:
    sums = watt_hours_of(obligation, period)
    value = slack(obligation, sums)
    form = share_form(obligation)
    share = target = remaining = None
    upper = False
    if form is not None:
        part_basis, base_basis, target, upper = form
        part = Decimal(quantity(obligation, part_basis, sums))
        base = Decimal(quantity(obligation, base_basis, sums))
        share = part / base if base else None
        rest = (
            Decimal(base_remaining)
            if base_remaining is not None
            else _remaining_base(contract, obligation, period, now, base)
        )
        remaining = required_share(target, part, base, rest)
    on_track = value >= 0
    if not on_track and remaining is not None and reachable is not None:
        on_track = remaining >= reachable if upper else remaining <= reachable
    return ObligationState(
        name=obligation.name,
        period=obligation.period,
        hard=obligation.hard,
        slack_watt_hours=int(value),
        share=share,
        target=target,
        upper=upper,
        required_share=remaining,
        on_track=on_track,
        shortfall_cost=shortfall_cost(obligation, sums),
    )


def _remaining_base(
    contract: Contract, obligation: Obligation, period: Period, now: float, base: Decimal
) -> Decimal:
    """Base that the rest of the period adds at the average of the metered time."""
    totals = period.month if obligation.period is Span.MONTH else period.year
    _, end = span_bounds(contract.time_zone, obligation.period, totals.start_time)
    if contract.valid_until is not None:
        end = min(end, contract.valid_until)
    if totals.metered_seconds == 0:
        return Decimal(0)
    return base * max(0, int(end - now)) / totals.metered_seconds


def adder(
    obligation: Obligation,
    change: Mapping[Basis, int],
    probability_short: Decimal,
    instrument_price: Decimal | None = None,
    dual: Decimal | None = None,
) -> Decimal:
    """What the obligation adds to a kWh that changes quantities by `change` (-1, 0 or 1 each).

    `-lambda x sum(coefficient x change)`, with `lambda = min(instrument price, shortfall rate) x
    Pr(short at the end)`; a Hard one uses the planner's dual (0 until the planner has one).
    """
    if obligation.hard:
        price = dual if dual is not None else Decimal(0)
    else:
        price = obligation.shortfall_rate or Decimal(0)
        if instrument_price is not None:
            price = min(price, instrument_price)
        price *= probability_short
    form = sum((factor * change.get(basis, 0) for basis, factor in obligation.terms), Decimal(0))
    return -price * form
