"""Marginal price up and down now, its next change, and the look-ahead for the planner."""

from __future__ import annotations

from wattshift.core.contract.quote import Adders, DemandTerm, Origin, PriceQuote, SiteState

__all__ = ["Adders", "DemandTerm", "Origin", "PriceQuote", "SiteState"]
