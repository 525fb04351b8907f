"""How far a forecast is believed, from what it said and what came: a factor for its bias, a weight for its skill.

Both begin at 1, trust, and leave it only as far as chance cannot explain. Errors that last for hours count
as fewer observations, by their correlation from one to the next. Neighbour: `core/planner/forecast_errors.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

LEAST = 8
"""Observations from which anything is corrected: of fewer nobody can tell how long their errors last."""
BIAS_ERRORS, SKILL_ERRORS = 2.0, 3.0
"""Standard errors up to which a bias, and a lack of skill, may be chance; frozen on development weeks of S1.
More for the skill: what is compared lies a few hours ahead, and later the present value says less still."""
BOTH_SIGNS = 0.5
"""Sum of predictions, as a share of their amounts, below which a factor means nothing: prices around 0."""
MOST = 4.0
"""Factor up to which a forecast is corrected either way; beyond, it is of another quantity or in another unit,
and is left out."""
LEFT_OUT = 0.0
"""The factor of a forecast that says nothing."""

Row = tuple[float, float, float]
"""(predicted, observed, value that was known when it was predicted)."""


def factor_of(rows: Sequence[Row]) -> float:
    """What a forecast is multiplied with: the ratio of what came to what was said, as far as it is certain.

    The estimate is drawn towards 1 by its own noise (positive-part James-Stein shrinkage; Efron and Morris
    1973). `LEFT_OUT` where it is beyond `MOST` either way.
    """
    count = len(rows)
    total, amount = sum(p for p, _, _ in rows), sum(abs(p) for p, _, _ in rows)
    if count < LEAST or total <= BOTH_SIGNS * amount or total <= 0:
        return 1.0
    ratio = sum(o for _, o, _ in rows) / total
    chance = BIAS_ERRORS**2 * _variance([o - ratio * p for p, o, _ in rows]) * count / total**2
    bias = ratio - 1
    if bias * bias <= chance:
        return 1.0
    factor = 1 + bias - chance / bias
    return factor if 1 / MOST <= factor <= MOST else LEFT_OUT


def weight_of(rows: Sequence[Row], factor: float) -> float:
    """Weight of a forecast against staying at what is known: 1 = it is right, 0 = it says nothing of changes.

    Least squares of what changed on what was said to change (combination of forecasts: Bates and Granger
    1969), at the upper end of its error.
    """
    said = [factor * p - known for p, _, known in rows]
    came = [o - known for _, o, known in rows]
    power = sum(x * x for x in said)
    if len(rows) < LEAST or power <= 0:
        return 1.0
    slope = sum(x * y for x, y in zip(said, came, strict=True)) / power
    rest = [y - slope * x for x, y in zip(said, came, strict=True)]
    weight = slope + SKILL_ERRORS * math.sqrt(_variance(rest) / power)
    return min(1.0, max(0.0, weight))


def _variance(rest: list[float]) -> float:
    """Variance of residuals, more where each resembles the one before."""
    power = sum(row * row for row in rest)
    joint = sum(a * b for a, b in pairwise(rest))
    lasting = min(0.95, max(0.0, joint / power)) if power > 0 else 0.0
    return power / (len(rest) - 1) * (1 + lasting) / (1 - lasting)
