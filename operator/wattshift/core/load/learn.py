"""Capacity of one replica learnt from its own latency: which concurrency kept the objectives.

Bins of log2 concurrency and log2 prompt tokens/s hold decayed counts; latency only worsens with both,
so evidence is pooled upwards for "it holds" and downwards for "it fails". Pure; `control/` feeds it
windows and keeps the state. Neighbours: `latency.py` (the same test), `isotonic.py`, `demand.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from wattshift.core.load import slowing
from wattshift.core.load.beta import share_above, share_at_most
from wattshift.core.load.isotonic import rising
from wattshift.core.load.slowing import Slowing

HALF_LIFE_SECONDS = 7 * 86400.0
"""After a week a sample counts half: models, prompts and neighbours change."""
ROWS_PER_OCTAVE = 4
"""Bins of concurrency per doubling: a bin spans 19 %."""
EXTRAPOLATION = 1.25
"""Nobody trusts a capacity further than this times the concurrency that was observed to hold."""
DOUBT_HOLDS = 0.1
"""One-sided error of "it holds", as the guard's removal test."""
DOUBT_FAILS = 0.01
"""One-sided error of "it fails": it takes capacity away, and the guard protects users meanwhile."""
WINDOWS_NEEDED = 2.5
"""Samples of one minute share its accidents: evidence comes from three, less what has decayed."""
FLOOR_SHARE = 0.25
"""Of the prior: a fault that is not load (a wrong objective, a slow disk) must not multiply replicas."""
LIGHTEST = 0.5
"""Decayed windows below which a bin is forgotten."""
MOST_CELLS = 48
JUMP = 0.5
"""Share of its highest load by which the load of a window may change."""
CHANCE = 4.0
"""Square roots of the load that a constant demand passes within a minute once in thousands: requests that
come by chance and stay some seconds are Poisson."""
MIX_WEIGHT = 0.05
"""Weight of a new window in the running mix of prompt tokens per sequence: twenty minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadWindow:
    """One stretch of a placement's life: what it carried, and how many samples missed."""

    seconds: float
    replicas: int
    """In service all the time."""
    concurrency: float
    """Mean sequences in decode over all replicas, exact."""
    prompt_tokens_per_second: float
    """Uncached, over all replicas."""
    samples: tuple[tuple[int, int], ...]
    """(bad, effective samples) per objective; the cut bucket and what waits too long are bad."""
    output_tokens_per_second: float = 0.0
    """Over all replicas; 0 = the engine does not count them."""
    steady: bool = True
    """Every replica scraped, none vanished, none new: the samples belong to this concurrency."""
    running: tuple[float, float] | None = None
    """Fewest and most sequences over all replicas at any scrape; None = not known."""

    @property
    def jumped(self) -> bool:
        """Whether the load changed so much that its mean stands for none of it.

        Speed and latency bend with the load: their means over two loads lie beside the curve.
        """
        least, most = self.running or (0.0, 0.0)
        return most - least > max(JUMP * most, CHANCE * math.sqrt(most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One bin."""

    row: int
    """floor(4 x log2 of sequences per replica)."""
    column: int
    """0 below one prompt token/s per replica, else 1 + floor(log2 of them)."""
    windows: float
    sequences: float
    """Mean sequences per replica of its windows."""
    samples: tuple[tuple[float, float], ...]
    """(bad, effective samples) per objective, decayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """All that is known under one key; a changed key begins with `Learnt(key=...)`: the prior."""

    key: str = ""
    """Digest of model, image, arguments, accelerator, adapters and objectives."""
    time: float = 0.0
    """UTC seconds to which the counts are decayed."""
    mix: float = 0.0
    """Uncached prompt tokens/s per sequence in decode: where on the plane of bins the load moves."""
    cells: tuple[Cell, ...] = ()
    """By row and column."""
    slowing: Slowing = field(default_factory=Slowing)
    """How much its sequences slow each other down."""

    @property
    def windows(self) -> float:
        """Decayed windows in all."""
        return sum(cell.windows for cell in self.cells)

    @property
    def samples(self) -> int:
        """Decayed effective samples of the objective that has most."""
        rows = zip(*((n for _, n in cell.samples) for cell in self.cells), strict=False)
        return round(max((sum(row) for row in rows), default=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one replica carries inside the objectives, and why that is believed."""

    sequences: float
    learnt: bool
    """False = nothing contradicts or confirms the prior yet."""
    samples: int
    message: str


def row_of(sequences: float) -> int:
    """Bin of a concurrency."""
    return math.floor(ROWS_PER_OCTAVE * math.log2(max(sequences, 2**-4)) + 1e-9)


def edge_of(row: int) -> float:
    """Lowest concurrency of a bin."""
    return float(2 ** (row / ROWS_PER_OCTAVE))


def column_of(prompt_tokens_per_second: float) -> int:
    """Bin of a prompt load."""
    if prompt_tokens_per_second < 1:
        return 0
    return 1 + math.floor(math.log2(prompt_tokens_per_second) + 1e-9)


def update(state: Learnt, window: LoadWindow, now: float) -> Learnt:
    """Add one window.

    One that is not steady, whose load jumped, that carries nothing or has no sample teaches nothing:
    its samples do not belong to one concurrency. `now` is UTC seconds; a clock that was set back decays
    nothing.
    """
    if not window.steady or window.jumped:
        return state
    if window.replicas <= 0 or window.concurrency <= 0 or window.seconds <= 0:
        return state
    if not any(total > 0 for _, total in window.samples):
        return state
    each = window.concurrency / window.replicas
    prompts = max(0.0, window.prompt_tokens_per_second) / window.replicas
    aged = decayed(state, now)
    found = {(cell.row, cell.column): cell for cell in aged.cells}
    key = (row_of(each), column_of(prompts))
    old = found.get(key)
    if old is None or len(old.samples) != len(window.samples):
        old = Cell(
            row=key[0],
            column=key[1],
            windows=0.0,
            sequences=each,
            samples=((0.0, 0.0),) * len(window.samples),
        )
    weight = old.windows + 1.0
    found[key] = replace(
        old,
        windows=weight,
        sequences=old.sequences + (each - old.sequences) / weight,
        samples=tuple(
            (bad + new_bad, total + new_total)
            for (bad, total), (new_bad, new_total) in zip(old.samples, window.samples, strict=True)
        ),
    )
    mix = prompts / each
    share = max(MIX_WEIGHT, 1.0 / (state.windows + 1.0))
    return Learnt(
        key=state.key,
        time=now,
        mix=state.mix + share * (mix - state.mix),
        cells=_kept(found.values(), key),
        slowing=slowing.update(
            aged.slowing, each, window.output_tokens_per_second / window.replicas
        ),
    )


def decayed(state: Learnt, now: float) -> Learnt:
    """The state with its counts aged to `now`; bins that weigh nothing any more are forgotten."""
    if now <= state.time:
        return replace(state, time=now)
    factor = 0.5 ** ((now - state.time) / HALF_LIFE_SECONDS)
    cells = tuple(
        replace(
            cell,
            windows=cell.windows * factor,
            samples=tuple((bad * factor, total * factor) for bad, total in cell.samples),
        )
        for cell in state.cells
        if cell.windows * factor >= LIGHTEST
    )
    return replace(state, time=now, cells=cells, slowing=slowing.decayed(state.slowing, factor))


def _kept(cells: Iterable[Cell], newest: tuple[int, int]) -> tuple[Cell, ...]:
    """At most `MOST_CELLS`: the lightest go, never the one just written."""
    rows = sorted(
        cells, key=lambda cell: ((cell.row, cell.column) == newest, cell.windows), reverse=True
    )
    return tuple(sorted(rows[:MOST_CELLS], key=lambda cell: (cell.row, cell.column)))


def capacity(state: Learnt, *, prior: float, allowed: tuple[float, ...]) -> Capacity:
    """Sequences that one replica carries inside its objectives.

    Args:
        state: decayed to about now.
        prior: believed without evidence (0.7 x profile).
        allowed: bad share that each objective allows, in the order of the samples.

    The largest bin on the ray of the present prompt mix that passes the removal test, and up to 1.25 x
    of it while nothing above speaks against it; never above a bin that is shown to fail.
    """
    cells = [cell for cell in state.cells if len(cell.samples) == len(allowed)]
    if not cells or not allowed:
        return Capacity(sequences=prior, learnt=False, samples=0, message="no sample yet")
    ray = _Ray(cells, state.mix, allowed)
    holds, fails = ray.highest_that_holds(), ray.lowest_that_fails()
    ceiling = math.inf if fails is None else max(edge_of(fails), FLOOR_SHARE * prior)
    if holds is None:
        words = "no concurrency is shown to hold"
        if ceiling < prior:
            words = f"fails from {edge_of(fails or 0):.1f} sequences on"
        return Capacity(
            sequences=min(prior, ceiling),
            learnt=ceiling < prior,
            samples=state.samples,
            message=words,
        )
    known = ray.sequences(holds)
    reach = EXTRAPOLATION * known
    doubtful = ray.lowest_in_doubt(above=holds)
    if doubtful is not None:
        reach = max(known, min(reach, edge_of(doubtful)))
    # what holds under harder loads outweighs an accident at an easier one
    value = min(max(prior, reach), max(ceiling, known))
    words = f"holds at {known:.1f} sequences"
    if fails is not None:
        words = f"{words}, fails from {edge_of(fails):.1f} on"
    # below the prior evidence of good latency teaches nothing new
    learnt = reach > prior or ceiling < prior
    return Capacity(sequences=value, learnt=learnt, samples=state.samples, message=words)


class _Ray:
    """The bins as load grows with its present mix of prompts: more replicas gone, more of both."""

    def __init__(self, cells: list[Cell], mix: float, allowed: tuple[float, ...]) -> None:
        self._cells = cells
        self._mix = mix
        self._allowed = allowed
        self._rows = sorted({cell.row for cell in cells})

    def _column(self, row: int, slack: float) -> int:
        """Prompt bin of a row; what was observed counts for loads up to `slack` beyond it."""
        middle = edge_of(row) * 2 ** (0.5 / ROWS_PER_OCTAVE)
        return column_of(middle * self._mix / slack)

    def sequences(self, row: int) -> float:
        """Mean concurrency of what was observed in a bin, over all mixes."""
        rows = [cell for cell in self._cells if cell.row == row]
        weight = sum(cell.windows for cell in rows)
        return sum(cell.sequences * cell.windows for cell in rows) / weight

    def highest_that_holds(self) -> int | None:
        """Largest bin where the upper limit of the bad share is inside, for every objective."""
        shares = self.shares()
        for row in reversed(self._rows):
            fit = shares.get(row)
            if (fit is None or not self._over(fit)) and self._holds(row):
                return row
        return None

    def _holds(self, row: int) -> bool:
        """Whether some pool of bins at least as hard as this one passes."""
        column = self._column(row, EXTRAPOLATION)
        harder = [cell for cell in self._cells if cell.row >= row and cell.column >= column]
        if not any(cell.row == row for cell in harder):
            return False
        for top in sorted({cell.row for cell in harder}):
            for right in sorted({cell.column for cell in harder}):
                pool = [cell for cell in harder if cell.row <= top and cell.column <= right]
                if self._passes(pool):
                    return True
        return False

    def _passes(self, pool: list[Cell]) -> bool:
        if sum(cell.windows for cell in pool) < WINDOWS_NEEDED:
            return False
        for index, most in enumerate(self._allowed):
            bad = math.ceil(sum(cell.samples[index][0] for cell in pool) - 1e-9)
            total = math.floor(sum(cell.samples[index][1] for cell in pool) + 1e-9)
            if not share_at_most(bad, total, most, DOUBT_HOLDS):
                return False
        return True

    def lowest_that_fails(self) -> int | None:
        """Smallest bin that some pool of bins at most as hard shows to be outside.

        Only where the isotonic share says so too: an accident at a low load fits no rising share.
        """
        shares = self.shares()
        for row in self._rows:
            fit = shares.get(row)
            if fit is not None and not self._over(fit):
                continue
            column = self._column(row, 1.0)
            easier = [cell for cell in self._cells if cell.row <= row and cell.column <= column]
            for bottom in sorted({cell.row for cell in easier}, reverse=True):
                pool = [cell for cell in easier if cell.row >= bottom]
                if pool and self._misses(pool):
                    return row
        return None

    def _misses(self, pool: list[Cell]) -> bool:
        if sum(cell.windows for cell in pool) < WINDOWS_NEEDED:
            return False
        for index, most in enumerate(self._allowed):
            bad = math.floor(sum(cell.samples[index][0] for cell in pool) + 1e-9)
            total = math.ceil(sum(cell.samples[index][1] for cell in pool) - 1e-9)
            if share_above(bad, total, most, DOUBT_FAILS):
                return True
        return False

    def lowest_in_doubt(self, *, above: int) -> int | None:
        """Smallest bin above one that holds whose isotonic bad share is over what is allowed."""
        shares = self.shares()
        for row in self._rows:
            fit = shares.get(row) if row > above else None
            if fit is not None and self._over(fit):
                return row
        return None

    def _over(self, fit: tuple[float, ...]) -> bool:
        return any(part > most + 1e-12 for part, most in zip(fit, self._allowed, strict=True))

    def shares(self) -> Mapping[int, tuple[float, ...]]:
        """Isotonic bad share by row, one per objective, from the bins next to the ray."""
        near: dict[int, list[Cell]] = {}
        for cell in self._cells:
            if abs(cell.column - self._column(cell.row, 1.0)) <= 1:
                near.setdefault(cell.row, []).append(cell)
        rows = sorted(near)
        fits = []
        for index in range(len(self._allowed)):
            bad = [sum(cell.samples[index][0] for cell in near[row]) for row in rows]
            total = [sum(cell.samples[index][1] for cell in near[row]) for row in rows]
            fits.append(rising(bad, total))
        return {row: tuple(fit[place] for fit in fits) for place, row in enumerate(rows)}
