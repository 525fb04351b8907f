"""Obligations of an EnergyContract: linear forms over a period, and the price of carbon."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import Count, DecimalText, LocalName, PositiveDecimalText
from wattshift.api.demand import Period
from wattshift.api.lists import list_map, list_set


class ObligationQuantity(StrEnum):
    """Quantities of obligations."""

    GREEN = "Green"
    GROSS_USE = "GrossUse"
    SELF_USE = "SelfUse"
    AVAILABLE = "Available"
    EXPORT = "Export"
    IMPORT = "Import"
    CURTAILED = "Curtailed"


class ObligationTerm(ApiModel):
    """One term of a linear form."""

    quantity: ObligationQuantity
    """quantity in kWh of the period."""
    coefficient: DecimalText
    """coefficient of the quantity."""


class Instrument(StrEnum):
    """What counts as green."""

    DIRECT_SELF_USE = "DirectSelfUse"
    GREEN_POWER_TRADE = "GreenPowerTrade"
    CANCELLED_CERTIFICATE = "CancelledCertificate"


class ObligationEnforcement(StrEnum):
    """How binding an obligation is in plans."""

    PRICED = "Priced"
    HARD = "Hard"


class Obligation(ApiModel):
    """A linear form that must not be negative at the end of the period."""

    atomic = True

    name: LocalName
    """name is the name of the obligation."""
    period: Period
    """period at whose end it is judged."""
    terms: Annotated[list[ObligationTerm], list_map("quantity", max_items=7, min_items=1)]
    """terms: sum of coefficient x quantity >= 0."""
    eligible: Annotated[list[Instrument], list_set(3)] = Field(default_factory=list)
    """eligible are the instruments that count as Green."""
    shortfall_rate: PositiveDecimalText | None = None
    """shortfallRate per missing kWh."""
    enforcement: ObligationEnforcement = ObligationEnforcement.PRICED
    """enforcement is Priced, or Hard."""
    vintage_months: Count | None = None
    """vintageMonths is the greatest age of a certificate; absent = any."""


class CarbonMethod(StrEnum):
    """Which carbon factor is priced in decisions; reports keep both books."""

    LOCATION_BASED = "LocationBased"
    MARKET_BASED = "MarketBased"
    MARGINAL = "Marginal"


class Carbon(ApiModel):
    """Price of carbon in decisions."""

    atomic = True

    method: CarbonMethod
    """method is which factor counts."""
    rate_per_tonne: PositiveDecimalText
    """ratePerTonne of CO2 equivalent, in the contract's currency."""
