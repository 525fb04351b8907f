"""Green ratio as policy counts it, and the stricter hourly-matched share beside it (contract.md 3).

Pure sums of integer Wh; a ratio without a base is None, never 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal


def green_power_trade(contract_wh: int, generation_wh: int, use_wh: int) -> int:
    """Green power trade that counts in a month: at most contract, generation and use."""
    return max(0, min(contract_wh, generation_wh, use_wh))


def policy_ratio(
    *,
    direct_generation_wh: int,
    export_wh: int,
    storage_loss_wh: int,
    trade_wh: Sequence[int],
    cancelled_certificate_wh: int,
    use_wh: int,
) -> Decimal | None:
    """`G = min(1, (E_self + sum GP_m + C) / E_use)` with `E_self = direct - export - storage loss`.

    Annual, at the facility meter; 1 certificate = 1 MWh. `trade_wh` are the months' counted trades.
    """
    if use_wh <= 0:
        return None
    own = max(0, direct_generation_wh - export_wh - storage_loss_wh)
    return min(Decimal(1), Decimal(own + sum(trade_wh) + cancelled_certificate_wh) / use_wh)


def matched_watt_hours(load_wh: int, supply_wh: int) -> int:
    """Load that the supply of the same hour and the same site covers."""
    return min(load_wh, supply_wh)


def hourly_matched_share(sites: Mapping[str, Sequence[tuple[int, int]]]) -> Decimal | None:
    """`sum_h min(L_h, M_h) / sum_h L_h` over all sites, hours as (load, matched supply) Wh.

    The minimum is taken per site: the surplus of one never covers the deficit of another.
    """
    load = sum(hour[0] for hours in sites.values() for hour in hours)
    if load == 0:
        return None
    matched = sum(matched_watt_hours(*hour) for hours in sites.values() for hour in hours)
    return Decimal(matched) / load


def carbon_free_score(hours: Sequence[tuple[int, int, Decimal]]) -> Decimal | None:
    """CFE score of one site: matched supply, and for the rest the grid's carbon-free share.

    Hours as (load Wh, matched supply Wh, carbon-free share of the grid 0..1).
    """
    load = sum(hour[0] for hour in hours)
    if load == 0:
        return None
    clean = Decimal(0)
    for load_wh, supply_wh, grid_share in hours:
        matched = matched_watt_hours(load_wh, supply_wh)
        clean += matched + (load_wh - matched) * grid_share
    return clean / load
