"""Isotonic regression of shares: the non-decreasing fit of counts, by pooling adjacent violators.

Ayer et al. 1955: the maximum-likelihood fit of binomial shares that must not fall. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence


def rising(bad: Sequence[float], total: Sequence[float]) -> tuple[float, ...]:
    """Non-decreasing shares that fit `bad` of `total` best; a bin without samples takes the one below.

    Args:
        bad: counts by bin, in the order in which the share may only rise.
        total: samples by bin, as long as `bad`.
    """
    blocks: list[list[float]] = []
    """[bad, total, bins] of each block."""
    for part, whole in zip(bad, total, strict=True):
        if whole <= 0 and blocks:
            blocks[-1][2] += 1
            continue
        blocks.append([max(0.0, part), max(0.0, whole), 1])
        while len(blocks) > 1 and _share(blocks[-2]) > _share(blocks[-1]):
            last = blocks.pop()
            for place in range(3):
                blocks[-1][place] += last[place]
    return tuple(_share(block) for block in blocks for _ in range(round(block[2])))


def _share(block: list[float]) -> float:
    return block[0] / block[1] if block[1] > 0 else 0.0
