"""Tokens of one replica against its sequences: the shape of the curve, learnt or published. Pure.

Decode shares one pass over the weights, so tokens/s grow more slowly than sequences. Only shares of the
curve are used, never its height: an engine that is slower or faster than a published one has the same
shape. Neighbours: `core/load/slowing.py` (learns it), `core/survey/full_load.py` (asks).
"""

from __future__ import annotations

from bisect import bisect_left

from wattshift.core.power.power_profile import PowerProfile

STRAIGHT = 1e-3
"""Share of itself by which a curve may bend and is a line yet: published points are rounded."""


def rate_share(
    profile: PowerProfile | None, slowing: float | None, sequences: float, full: float
) -> float | None:
    """Tokens/s of a replica that decodes `sequences` over those with `full`; None = as their sequences.

    That is so where nobody knows a curve, and where it is a line.

    What was learnt of these engines comes first, then the profile's points. No curve has its tokens/s
    fall, or grow faster than its sequences, whatever the points say.

    Args:
        profile: with published points, or without.
        slowing: as `core/load/slowing.py` learnt it; None = not yet.
        sequences: in decode on the replica.
        full: those of a full one.
    """
    if full <= 0 or sequences < 0:
        return None
    if slowing is not None:
        slowing = max(0.0, slowing)
        share = sequences / full * (1 + slowing * full) / (1 + slowing * sequences)
    else:
        points = () if profile is None else profile.output_tokens_per_second_by_concurrency
        top = _rate(points, full)
        if top <= 0:
            return None
        share = _rate(points, sequences) / top
    plain = sequences / full
    if abs(share - plain) <= STRAIGHT * plain:
        return None
    return min(max(share, min(plain, 1.0)), max(plain, 1.0))


def _rate(points: tuple[tuple[float, float], ...], sequences: float) -> float:
    """Tokens/s on the line through zero and the points; as the last one beyond it."""
    place = bisect_left(points, (sequences, 0.0))
    if not points or place >= len(points):
        return points[-1][1] if points else 0.0
    right, high = points[place]
    left, low = points[place - 1] if place else (0.0, 0.0)
    return low + (high - low) * (sequences - left) / (right - left) if right > left else high
