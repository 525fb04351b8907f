"""Demand charges at the margin: what a kW more of billed peak costs, and whether now would set it.

Formulas: contract.md 2.5. At the start of a month every block is a new peak; Pr(X <= D), the chance
that no later peak exceeds this one anyway, keeps that from pricing every kWh as a peak. Without an
earlier period it grows with the part of this one that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from wattshift.core.contract.bill import billed_watts, rebate_factor
from wattshift.core.contract.calendar import block_start, days_between, local, span_bounds
from wattshift.core.contract.model import (
    Basis,
    Component,
    Contract,
    DemandMeasure,
    OverrunMeasure,
    Per,
    Ratchet,
    Span,
)
from wattshift.core.contract.period import Period
from wattshift.core.contract.quote import DemandTerm, SiteState

PREVIOUS_PERIOD = "PreviousPeriod"
PERIOD_SO_FAR = "PeriodSoFar"
CONTRACTED_WATTS = "ContractedWatts"
NO_PEAK_HISTORY = "NoPeakHistory"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandMargin:
    """A demand term and what one kW more or less of its basis costs now, if it lasts the block."""

    term: DemandTerm
    up_per_kilowatt: Decimal
    down_per_kilowatt: Decimal

    def per_kilowatt_hour(self, per_kilowatt: Decimal) -> Decimal:
        """As a price of one kWh in one block: it raises that block's average by 1/hours kW."""
        return per_kilowatt * 60 / self.term.averaging_minutes


def basis_watts(site: SiteState, basis: Basis) -> int | None:
    """Power now of the basis of a demand charge; None when it is not measured."""
    if basis is Basis.IMPORT:
        return max(0, site.import_watts)
    if basis is Basis.GROSS_USE:
        return site.load_watts
    return site.it_watts if basis is Basis.IT_LOAD else None


def demand_margin(
    contract: Contract,
    component: Component,
    period: Period,
    now: float,
    *,
    site: SiteState,
    bands: Mapping[str, str],
    share_factor: Decimal,
) -> DemandMargin:
    """Term and adders of one demand component.

    Price per kW at level D: `r x 1[D >= K] x Pr(X <= D)`, once, however long D lasts.
    """
    measure = component.measure
    assert isinstance(measure, DemandMeasure)
    in_window = not measure.bands or bands[component.calendar_name] in measure.bands
    binding = billed_watts(contract, component, period)
    watts = basis_watts(site, measure.basis)
    level, allowed = _block(contract, component, period, now, watts, binding)
    # below K a block costs nothing: then the chance is that of the next kW of billed peak
    probability, source = _probability(contract, component, period, now, max(level, binding))
    rate = component.rate if component.rate is not None else Decimal(0)
    rate *= _times(contract, component, period) * rebate_factor(contract, component, period)
    if measure.ratchet is not None:
        rate *= _ratchet_now(contract, component, period, now, level)
    over_up, over_down = _overrun_rates(contract, component, now, level)
    expected = share_factor * probability
    sets_up = in_window and watts is not None and level >= binding
    sets_down = in_window and watts is not None and level > binding
    return DemandMargin(
        term=DemandTerm(
            component=component.name,
            basis=measure.basis,
            rate_per_kilowatt=(rate + over_up) * share_factor,
            binding_watts=binding,
            averaging_minutes=measure.averaging_minutes,
            probability=probability,
            probability_source=source,
            in_window=in_window,
            block_allowed_watts=allowed,
            level_watts=None if watts is None else level,
        ),
        up_per_kilowatt=(rate + over_up) * expected if sets_up else Decimal(0),
        down_per_kilowatt=(rate + over_down) * expected if sets_down else Decimal(0),
    )


def ratchet_multiplier(ratchet: Ratchet, probabilities: Sequence[Decimal]) -> Decimal:
    """`1 + sum_j phi x Pr(phi x D > K_j)` over the months that the ratchet reaches."""
    return 1 + ratchet.factor * sum(probabilities[: ratchet.months], Decimal(0))


def peak_probability(sub_peaks: Sequence[int], level_watts: int, remaining: int) -> Decimal:
    """Pr(X <= D): no day (month) of the `remaining` ones exceeds D, each drawn from the last period's."""
    below = sum(1 for peak in sub_peaks if peak <= level_watts)
    return (Decimal(below) / len(sub_peaks)) ** remaining


def succession_probability(seen_seconds: float, left_seconds: float) -> Decimal:
    """Pr(X <= K) without an earlier period: the highest of all falls into what was seen already.

    Laplace's rule of succession for maxima: of `n + m` exchangeable stretches of time the highest is among
    the first `n` with probability `n / (n + m)`.
    """
    seen, left = Decimal(int(max(0.0, seen_seconds))), Decimal(int(max(0.0, left_seconds)))
    return seen / (seen + left) if seen + left > 0 else Decimal(0)


def _block(  # noqa: PLR0917 - one caller
    contract: Contract,
    component: Component,
    period: Period,
    now: float,
    watts: int | None,
    binding: int,
) -> tuple[int, int | None]:
    """(block average if the power stays as it is, power that keeps the average at K), in W."""
    measure = component.measure
    assert isinstance(measure, DemandMeasure)
    if watts is None:
        return binding, None
    length = measure.averaging_minutes * 60
    begin = block_start(contract.time_zone, int(now), measure.averaging_minutes)
    elapsed = int(now) - begin
    block = period.blocks.get(component.name)
    joules, covered = 0, 0
    if block is not None and block.start_time == begin:
        joules, covered = block.watt_hours * 3600, min(block.seconds, elapsed)
    # Time since the last reading is assumed to be at the present power.
    spent = joules + watts * (elapsed - covered)
    level = (spent + watts * (length - elapsed)) // length
    return level, max(0, (binding * length - spent) // (length - elapsed))


def _probability(
    contract: Contract, component: Component, period: Period, now: float, level: int
) -> tuple[Decimal, str]:
    measure = component.measure
    assert isinstance(measure, DemandMeasure)
    # a day without a reading says nothing about the days to come
    peaks = [row for row in period.previous_sub_peaks.get(component.name, ()) if row >= 0]
    start, end = span_bounds(contract.time_zone, measure.period, int(now))
    if peaks:
        if measure.period is Span.MONTH:
            remaining = days_between(contract.time_zone, max(start, int(now)), end)
        else:
            remaining = 13 - local(contract.time_zone, now).month
        return peak_probability(peaks, level, remaining), PREVIOUS_PERIOD
    threshold = contract.contracted_watts if measure.basis is Basis.IMPORT else None
    for other in contract.components:
        over = other.measure
        if (
            isinstance(over, OverrunMeasure)
            and over.of_component == component.name
            and other.in_force(now)
        ):
            threshold = over.above_watts
    if threshold is not None and level >= threshold:
        return Decimal(1), CONTRACTED_WATTS
    totals = period.month if measure.period is Span.MONTH else period.year
    if totals.metered_seconds <= 0:
        return Decimal(0), NO_PEAK_HISTORY if threshold is None else CONTRACTED_WATTS
    ends = (end, contract.valid_until, component.until_time)
    left = min(float(row) for row in ends if row is not None) - now
    return succession_probability(totals.metered_seconds, left), PERIOD_SO_FAR


def _times(contract: Contract, component: Component, period: Period) -> Decimal:
    if component.per is not Per.KILOWATT_DAY:
        return Decimal(1)
    start, end = span_bounds(contract.time_zone, Span.MONTH, period.month.start_time)
    return Decimal(days_between(contract.time_zone, start, end))


def _ratchet_now(
    contract: Contract, component: Component, period: Period, now: float, level: int
) -> Decimal:
    """Multiplier of a peak set now; the months to come are taken to be like the ones known."""
    measure = component.measure
    assert isinstance(measure, DemandMeasure)
    assert measure.ratchet is not None
    ratchet = measure.ratchet
    if ratchet.from_months and local(contract.time_zone, now).month not in ratchet.from_months:
        return Decimal(1)
    known = [peak for _, name, peak in period.peak_history if name == component.name]
    known += period.previous_sub_peaks.get(component.name, ())
    binds = ratchet.factor * level > max(known, default=0)
    return ratchet_multiplier(ratchet, [Decimal(int(binds))] * ratchet.months)


def _overrun_rates(
    contract: Contract, component: Component, now: float, level: int
) -> tuple[Decimal, Decimal]:
    """Rates per kW of the overruns in force that a block at this level is in, up and down."""
    up = down = Decimal(0)
    for other in contract.components:
        measure = other.measure
        if not other.in_force(now):
            continue
        if isinstance(measure, OverrunMeasure) and measure.of_component == component.name:
            limit = measure.above_watts * (1 + measure.tolerance)
            rate = other.rate if other.rate is not None else Decimal(0)
            up += rate if level >= limit else 0
            down += rate if level > limit else 0
    return up, down
