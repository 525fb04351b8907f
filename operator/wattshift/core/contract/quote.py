"""What a kilowatt-hour costs at the margin: the values that `marginal` computes and others read.

Two directions, because kinks differ: `up` prices the next watts more, `down` the next watts less.
Money is `Decimal` per kWh in the contract's currency; a price that is not known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from wattshift.core.contract.model import Basis


class Origin(StrEnum):
    """Where the next watt comes from, or the last watt came from."""

    GRID = "Grid"
    DIRECT_SUPPLY = "DirectSupply"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """Power at the contract's points now, integer W."""

    import_watts: int
    load_watts: int
    """All use behind the points (`GrossUse`)."""
    direct_supply_watts: int | None = None
    """What the direct supply could deliver now; None = unknown, or there is none."""
    it_watts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adders:
    """Parts of the marginal price of one direction, currency per kWh."""

    energy: Decimal | None
    demand_adder: Decimal = Decimal(0)
    """For a kWh inside one metering block. NB: a change that lasts sets the peak once, not in every
    block: price it by `demand_per_kilowatt`, or by `demand_over` its length."""
    obligation_adder: Decimal = Decimal(0)
    origin: Origin = Origin.GRID
    demand_per_kilowatt: Decimal = Decimal(0)
    """Expected cost of one kW more (or what one less saves) of billed peak, once."""

    @property
    def total(self) -> Decimal | None:
        """Sum of the parts; None while the energy part is unknown."""
        if self.energy is None:
            return None
        return self.energy + self.demand_adder + self.obligation_adder

    def demand_over(self, seconds: float) -> Decimal:
        """Demand part per kWh of a change that lasts `seconds`; the block's own price if shorter."""
        if seconds <= 0 or self.demand_per_kilowatt == 0:
            return self.demand_adder
        spread = self.demand_per_kilowatt * 3600 / Decimal(str(seconds))
        return min(self.demand_adder, spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandTerm:
    """A demand charge as the planner needs it: what one more kW of billed peak costs, and when."""

    component: str
    basis: Basis
    rate_per_kilowatt: Decimal
    """All-in for one kW more of billed peak: rebates, shares and ratchet are in it."""
    binding_watts: int
    """`K`: highest of peak so far, floor and ratchet; below it a block costs nothing."""
    averaging_minutes: int
    probability: Decimal
    """Pr(X <= D): that no later peak of the period exceeds this block (below `K`: exceeds `K`) anyway."""
    probability_source: str
    """`PreviousPeriod`, `PeriodSoFar`, `ContractedWatts` or `NoPeakHistory`."""
    in_window: bool
    """Whether the component's bands include this moment."""
    block_allowed_watts: int | None = None
    """Power for the rest of the open metering block that keeps its average at `K`."""
    level_watts: int | None = None
    """`D`: average of the open block if the power stays as it is; None = not measured."""

    @property
    def expected_per_kilowatt(self) -> Decimal:
        """Expected cost of one kW more of billed peak, once."""
        return self.rate_per_kilowatt * self.probability


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceQuote:
    """Marginal price of one contract at one moment."""

    known: bool
    reason: str
    """Empty when known; else `PriceUnknown` or `ContractNotInForce`."""
    message: str
    currency: str
    band: str
    """Band of the calendar that the energy price follows; empty when it has none."""
    up: Adders
    down: Adders
    grid_energy: Decimal | None
    """Energy part for a kWh that is imported."""
    direct_energy: Decimal | None
    """Energy part for a kWh of direct supply used instead of its surplus rule; None = no supply."""
    next_change_time: float | None
    next_band: str
    next_grid_energy: Decimal | None
    """Grid energy price after the change; None when an index decides it."""
    valid_until: float | None
    demand_terms: tuple[DemandTerm, ...] = ()
    grid_obligation: Decimal = Decimal(0)
    """Obligation adder of a kWh that is imported."""
    direct_obligation: Decimal | None = None
    """Obligation adder of a kWh of direct supply; None = no supply."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with decimal strings; `quote_from_json` is the inverse."""
        return quote_to_json(self)


def quote_to_json(quote: PriceQuote) -> dict[str, Any]:
    """Plain JSON document of a quote: decimals as strings, times as numbers."""
    return {
        "known": quote.known,
        "reason": quote.reason,
        "message": quote.message,
        "currency": quote.currency,
        "band": quote.band,
        "up": _adders_to_json(quote.up),
        "down": _adders_to_json(quote.down),
        "gridEnergy": _text(quote.grid_energy),
        "directEnergy": _text(quote.direct_energy),
        "gridObligation": str(quote.grid_obligation),
        "directObligation": _text(quote.direct_obligation),
        "nextChangeTime": quote.next_change_time,
        "nextBand": quote.next_band,
        "nextGridEnergy": _text(quote.next_grid_energy),
        "validUntil": quote.valid_until,
        "demandTerms": [
            {
                "component": term.component,
                "basis": term.basis.value,
                "ratePerKilowatt": str(term.rate_per_kilowatt),
                "bindingWatts": term.binding_watts,
                "averagingMinutes": term.averaging_minutes,
                "probability": str(term.probability),
                "probabilitySource": term.probability_source,
                "inWindow": term.in_window,
                "blockAllowedWatts": term.block_allowed_watts,
                "levelWatts": term.level_watts,
            }
            for term in quote.demand_terms
        ],
    }


def quote_from_json(document: Mapping[str, Any]) -> PriceQuote:
    """The quote that `quote_to_json` wrote."""
    return PriceQuote(
        known=document["known"],
        reason=document["reason"],
        message=document["message"],
        currency=document["currency"],
        band=document["band"],
        up=_adders_from_json(document["up"]),
        down=_adders_from_json(document["down"]),
        grid_energy=_decimal(document["gridEnergy"]),
        direct_energy=_decimal(document["directEnergy"]),
        grid_obligation=Decimal(document["gridObligation"]),
        direct_obligation=_decimal(document["directObligation"]),
        next_change_time=document["nextChangeTime"],
        next_band=document["nextBand"],
        next_grid_energy=_decimal(document["nextGridEnergy"]),
        valid_until=document["validUntil"],
        demand_terms=tuple(
            DemandTerm(
                component=term["component"],
                basis=Basis(term["basis"]),
                rate_per_kilowatt=Decimal(term["ratePerKilowatt"]),
                binding_watts=term["bindingWatts"],
                averaging_minutes=term["averagingMinutes"],
                probability=Decimal(term["probability"]),
                probability_source=term["probabilitySource"],
                in_window=term["inWindow"],
                block_allowed_watts=term["blockAllowedWatts"],
                level_watts=term.get("levelWatts"),
            )
            for term in document["demandTerms"]
        ),
    )


def _adders_to_json(adders: Adders) -> dict[str, Any]:
    return {
        "energy": _text(adders.energy),
        "demandAdder": str(adders.demand_adder),
        "obligationAdder": str(adders.obligation_adder),
        "total": _text(adders.total),
        "origin": adders.origin.value,
        "demandPerKilowatt": str(adders.demand_per_kilowatt),
    }


def _adders_from_json(document: Mapping[str, Any]) -> Adders:
    return Adders(
        energy=_decimal(document["energy"]),
        demand_adder=Decimal(document["demandAdder"]),
        obligation_adder=Decimal(document["obligationAdder"]),
        origin=Origin(document["origin"]),
        demand_per_kilowatt=Decimal(document["demandPerKilowatt"]),
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
