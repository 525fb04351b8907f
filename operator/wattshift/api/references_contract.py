"""References of an EnergyContract: points, supplies, overlapping contracts, currency."""

from __future__ import annotations

from collections.abc import Mapping

from wattshift.api.energycontract import EnergyContract, Role
from wattshift.api.findings import Finding, known
from wattshift.api.powersite import PowerSite
from wattshift.api.precedence import LATEST, no_site, older
from wattshift.api.reasons import ReferenceReason

_PARTS: dict[Role, frozenset[str]] = {
    Role.COMPLETE: frozenset({"supply", "network"}),
    Role.TENANT_PASS_THROUGH: frozenset({"supply", "network"}),
    Role.SUPPLY: frozenset({"supply"}),
    Role.NETWORK: frozenset({"network"}),
    Role.GENERATION: frozenset({"generation"}),
    Role.FLEXIBILITY: frozenset(),
}
"""Parts of a bill that a role covers; a part may be covered once. Flexibility adds up."""


def _overlap(one: EnergyContract, other: EnergyContract) -> bool:
    if not _PARTS[one.spec.role] & _PARTS[other.spec.role]:
        return False
    one_end = one.spec.valid_until_time or LATEST
    other_end = other.spec.valid_until_time or LATEST
    return one.spec.valid_from_time < other_end and other.spec.valid_from_time < one_end


def check_contract(
    contract: EnergyContract,
    *,
    sites: Mapping[str, PowerSite],
    contracts: Mapping[str, EnergyContract],
    reporting_currency: str = "",
    convertible: frozenset[str] = frozenset(),
) -> list[Finding]:
    """Faults in the references of an EnergyContract.

    `reporting_currency` and `convertible` (currencies with an exchange rate) are values of the
    chart; without a reporting currency that rule is not checked.
    """
    found: list[Finding] = []
    mine = {(point.site_name, point.connection_name) for point in contract.spec.points}
    for point in contract.spec.points:
        path = f"spec.points[{point.site_name}/{point.connection_name}]"
        site = sites.get(point.site_name)
        if site is None:
            found.append(no_site(point.site_name, f"{path}.siteName", sites))
            continue
        connections = [connection.name for connection in site.spec.connections]
        if point.connection_name not in connections:
            found.append(
                Finding(
                    ReferenceReason.SITE_CONNECTION_UNKNOWN,
                    f"{path}.connectionName",
                    f"PowerSite {site.key} has no connection {point.connection_name}: "
                    f"{known(connections)}",
                )
            )
    supplies = [
        supply.name
        for name in {site_name for site_name, _ in mine} & set(sites)
        for supply in sites[name].spec.supplies
    ]
    found += [
        Finding(
            ReferenceReason.SUPPLY_UNKNOWN,
            f"spec.positions[{position.name}].supplyName",
            f"no site of this contract has a supply {position.supply_name}: add it to "
            f"spec.supplies of the PowerSite, {known(supplies)}",
        )
        for position in contract.spec.positions
        if position.supply_name is not None and position.supply_name not in supplies
    ]
    for other in contracts.values():
        if other.metadata.name == contract.metadata.name or not older(other, contract):
            continue
        theirs = {(point.site_name, point.connection_name) for point in other.spec.points}
        if (common := sorted(mine & theirs)) and _overlap(contract, other):
            found.append(
                Finding(
                    ReferenceReason.CONTRACTS_OVERLAP,
                    "spec.points",
                    f"EnergyContract {other.key} ({other.spec.role}) covers "
                    f"{'/'.join(common[0])} at the same time: end one before the other begins, "
                    "or split supply and network by role",
                )
            )
    currency = contract.spec.currency
    if reporting_currency and currency not in {reporting_currency, *convertible}:
        found.append(
            Finding(
                ReferenceReason.CURRENCY_NOT_CONVERTIBLE,
                "spec.currency",
                f"{currency} cannot be converted to {reporting_currency}: set its exchange rate "
                "in the chart's values",
            )
        )
    return found
