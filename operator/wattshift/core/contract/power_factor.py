"""China's power-factor adjustment (tables of 1983): factor on a bill by its average power factor.

Three standards by kind of customer. The average is rounded half up to two places before the table.
"""

from __future__ import annotations

from decimal import Decimal

# name -> (standard, highest reward)
TABLES: dict[str, tuple[Decimal, Decimal]] = {
    "CN-standard-0.90": (Decimal("0.90"), Decimal("-0.0075")),
    "CN-standard-0.85": (Decimal("0.85"), Decimal("-0.0110")),
    "CN-standard-0.80": (Decimal("0.80"), Decimal("-0.0130")),
}
_KNEE = Decimal("0.90")


def adjustment(table: str, power_factor: Decimal) -> Decimal:
    """Factor on the amounts; negative = reduction. `power_factor` has two decimal places.

    Above the standard: 0.10 % for each 0.01 up to 0.90, 0.15 % beyond, until the table's highest
    reward. Below it: 0.5 % for each of twenty steps, 1 % for each of the next five, then 2 %.
    """
    standard, highest = TABLES[table]
    if power_factor >= standard:
        low = min(power_factor, _KNEE) - standard
        high = max(power_factor - _KNEE, Decimal(0))
        return max(highest, -(max(low, Decimal(0)) * Decimal("0.10") + high * Decimal("0.15")))
    steps = (standard - power_factor) * 100
    first = min(steps, Decimal(20))
    second = min(max(steps - 20, Decimal(0)), Decimal(5))
    third = max(steps - 25, Decimal(0))
    return (first * Decimal("0.5") + second + third * 2) / 100
