"""How much sequences slow each other down on one replica, learnt from its own token rate.

A decode step reads the weights once and the cache of every sequence: the time of a token is a line in
the sequences (within 4 % on the published points of Llama-3.1-70B on 4 H100, 8 to 1024 sequences).
Least squares over decayed windows; a dozen numbers, whatever the time. Pure; `core/load/learn.py` keeps it
with the capacity of the same kind of replica. Neighbour: `core/load/throughput.py` (uses it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

WINDOWS_NEEDED = 30.0
"""Decayed windows of a minute from which a line is believed."""
SPREAD_NEEDED = 0.15
"""Standard deviation of the sequences over their mean in so many windows: one load alone tells no line,
and a day of it takes nothing from what was known."""
MOST = 1.0
"""Share per sequence that is believed at most: two sequences take twice as long as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowing:
    """Decayed means and sums of products of (sequences, seconds per token) of one replica."""

    windows: float = 0.0
    sequences: float = 0.0
    seconds: float = 0.0
    spread: float = 0.0
    """Sum of squared deviations of the sequences."""
    joint: float = 0.0
    """Sum of products of both deviations."""

    @property
    def share(self) -> float | None:
        """Share of its time alone by which each sequence makes a token longer; None until learnt."""
        if self.windows < WINDOWS_NEEDED:
            return None
        if self.spread <= 0 or self.spread < WINDOWS_NEEDED * (SPREAD_NEEDED * self.sequences) ** 2:
            return None
        each = max(0.0, self.joint / self.spread)
        alone = self.seconds - each * self.sequences
        return min(MOST, each / alone) if alone > 0 else MOST


def update(state: Slowing, sequences: float, tokens_per_second: float) -> Slowing:
    """Add one window of one replica; without sequences or tokens it teaches nothing."""
    if sequences <= 0 or tokens_per_second <= 0:
        return state
    windows = state.windows + 1.0
    seconds = sequences / tokens_per_second  # Little's law
    off = sequences - state.sequences
    mean = state.sequences + off / windows
    pace = state.seconds + (seconds - state.seconds) / windows
    return Slowing(
        windows=windows,
        sequences=mean,
        seconds=pace,
        spread=state.spread + off * (sequences - mean),
        joint=state.joint + off * (seconds - pace),
    )


def decayed(state: Slowing, factor: float) -> Slowing:
    """The state with every window weighing `factor` of what it did."""
    return replace(
        state,
        windows=state.windows * factor,
        spread=state.spread * factor,
        joint=state.joint * factor,
    )
