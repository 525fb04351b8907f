"""Exact binomial tails in pure Python: the tests of the latency guard (Clopper-Pearson).

The regularised incomplete beta function by its continued fraction (Lentz's method; Numerical
Recipes 6.4, DLMF 8.17.22); results are cached, since most windows repeat.
"""

from __future__ import annotations

import math
from functools import lru_cache

MEDIAN = 0.49
"""A median of a binomial distribution is between floor(np) and ceil(np); less than a half, for rounding."""
_TINY = 1e-300
_PRECISION = 1e-13
_ITERATIONS = 10_000


@lru_cache(maxsize=65536)
def share_at_most(bad: int, samples: int, share: float, doubt: float) -> bool:
    """Whether the Clopper-Pearson upper limit of the bad share is at most `share`.

    One-sided with error `doubt` (0.1 = 90 %): equivalent to P(X <= bad | samples, share) <= doubt,
    with zero bad true from n >= ln(doubt) / ln(1 - share). False without samples.
    """
    if samples <= 0:
        return False
    if share >= 1:
        return True
    if share <= 0 or bad >= samples:
        return False
    # P(X <= k) = I_{1-p}(n - k, k + 1), DLMF 8.17.5
    return incomplete_beta(samples - bad, bad + 1, 1 - share) <= doubt


def share_above(bad: int, samples: int, share: float, doubt: float) -> bool:
    """Whether the Clopper-Pearson lower limit of the bad share is above `share`.

    Equivalent to P(X >= bad | samples, share) < doubt. False without bad samples; more of them than
    samples, as torn histograms may say, count as all.
    """
    bad = min(bad, samples)
    if samples <= 0 or bad <= 0 or share >= 1:
        return False
    if share <= 0:
        return True
    if bad <= math.floor(samples * share) and doubt < MEDIAN:
        return False  # up to the median, P(X >= k) is at least a half: no series needed
    return _above(bad, samples, share, doubt)


@lru_cache(maxsize=65536)
def _above(bad: int, samples: int, share: float, doubt: float) -> bool:
    # P(X >= k) = I_p(k, n - k + 1)
    return incomplete_beta(bad, samples - bad + 1, share) < doubt


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 <= x <= 1."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return min(1.0, front * _fraction(a, b, x) / a)
    return max(0.0, 1.0 - front * _fraction(b, a, 1 - x) / b)


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    result = d
    for m in range(1, _ITERATIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + term / c
            c = c if abs(c) > _TINY else _TINY
            step = d * c
            result *= step
        if abs(step - 1.0) < _PRECISION:
            break
    return result
