"""Events, faults and windows of a scenario file; what is drawn comes from a seed."""

from __future__ import annotations

import numpy as np

from wattshift.sim.load_grid import Grid
from wattshift.sim.load_sites import unique
from wattshift.sim.load_synthetic import generator
from wattshift.sim.load_text import Text
from wattshift.sim.scenario import Fault, FaultKind, SimEvent
from wattshift.sim.schema import (
    Between,
    RandomEvents,
    ScenarioFile,
)

_WEEK_SECONDS = 7 * 86400
_NEEDS_QUANTITY = {
    FaultKind.STALE,
    FaultKind.MISSING,
    FaultKind.NAN,
    FaultKind.NEGATIVE,
    FaultKind.SPIKE,
    FaultKind.BIAS,
}


def events(file: ScenarioFile, text: Text, grid: Grid, seed: int) -> tuple[SimEvent, ...]:
    """Listed and drawn events, by start.

    Raises:
        ScenarioError: an unknown site, an event outside of the scenario, or no room to draw.
    """
    sites = {site.name for site in file.sites}
    unique(text, ("events", "listed"), [item.name for item in file.events.listed])
    made: list[SimEvent] = []
    for index, item in enumerate(file.events.listed):
        place = ("events", "listed", index)
        if item.site_name not in sites:
            raise text.error((*place, "siteName"), f"no site {item.site_name!r}")
        if item.start_seconds + item.duration_seconds > grid.step * grid.steps:
            raise text.error((*place, "startSeconds"), "the event ends after the scenario")
        if (
            item.upper_watts is not None
            and item.lower_watts is not None
            and item.lower_watts > item.upper_watts
        ):
            raise text.error((*place, "lowerWatts"), "must not be above upperWatts")
        made.append(
            SimEvent(
                name=item.name,
                site_name=item.site_name,
                start_seconds=item.start_seconds,
                duration_seconds=item.duration_seconds,
                notice_seconds=item.notice_seconds,
                upper_watts=item.upper_watts,
                lower_watts=item.lower_watts,
                reduction_share=item.reduction_share,
                lower_share=item.lower_share,
                ramp_seconds=item.ramp_seconds,
                firmness=item.firmness,
            )
        )
    if file.events.random is not None:
        drawn = _drawn(file, text, grid, file.events.random, seed)
        taken = {item.name for item in drawn}
        for index, event in enumerate(made):
            if event.name in taken:
                raise text.error(
                    ("events", "listed", index, "name"),
                    f"{event.name!r} is the name of a drawn event: choose another",
                )
        made += drawn
    return tuple(sorted(made, key=lambda item: (item.start_seconds, item.name)))


def _between(draw: np.random.Generator, between: Between) -> float:
    if between.logarithmic:
        return float(np.exp(draw.uniform(np.log(between.from_), np.log(between.to))))
    return float(draw.uniform(between.from_, between.to))


def _drawn(
    file: ScenarioFile, text: Text, grid: Grid, spec: RandomEvents, seed: int
) -> list[SimEvent]:
    """Events in turn over the sites; the free time of each site is shared out at random."""
    names = spec.site_names or [site.name for site in file.sites]
    known = {site.name for site in file.sites}
    for index, name in enumerate(names):
        if name not in known:
            raise text.error(("events", "random", "siteNames", index), f"no site {name!r}")
    draw = generator(seed if spec.seed is None else spec.seed, "events")
    made: list[SimEvent] = []
    number = 0
    for turn, name in enumerate(names):
        count = len(range(turn, spec.count, len(names)))
        lengths = [round(_between(draw, spec.duration_seconds), 1) for _ in range(count)]
        room = grid.step * grid.steps - spec.first_seconds
        free = room - sum(lengths) - spec.gap_seconds * count
        if free < 0:
            raise text.error(
                ("events", "random"),
                f"{count} events at {name!r} need {-free / 3600:.1f} h more than the scenario has: "
                "lower count, durationSeconds or gapSeconds, or raise days",
            )
        starts = np.sort(draw.uniform(0, free, count))
        begin = spec.first_seconds
        for length, start in zip(lengths, starts.tolist(), strict=True):
            share = _between(draw, spec.reduction_share)
            lot = float(draw.uniform())
            hold = lot < spec.hold_share
            band = not hold and lot < spec.hold_share + spec.band_share
            lower = _between(draw, spec.hold_level) if hold else None
            if band:
                lower = max(0.0, 1 - share - spec.band_width)
            made.append(
                SimEvent(
                    name=f"drawn-{number:04d}",
                    site_name=name,
                    start_seconds=round(begin + start, 1),
                    duration_seconds=length,
                    notice_seconds=spec.notice_seconds,
                    upper_watts=None,
                    lower_watts=None,
                    reduction_share=None if hold else round(share, 4),
                    lower_share=None if lower is None else round(lower, 4),
                    ramp_seconds=spec.ramp_seconds,
                    firmness=spec.firmness,
                )
            )
            begin += length + spec.gap_seconds
            number += 1
    return made


def faults(file: ScenarioFile, text: Text, grid: Grid, seed: int) -> tuple[Fault, ...]:
    """The faults, one for each site that they hit."""
    names = [site.name for site in file.sites]
    made: list[Fault] = []
    for index, item in enumerate(file.faults):
        place = ("faults", index)
        if item.site_name != "*" and item.site_name not in names:
            raise text.error((*place, "siteName"), f"no site {item.site_name!r}; or `*` for all")
        if item.kind in _NEEDS_QUANTITY and not item.quantity:
            raise text.error((*place, "quantity"), f"is needed for {item.kind.value}")
        if item.start_seconds >= grid.step * grid.steps:
            raise text.error((*place, "startSeconds"), "the fault begins after the scenario")
        draw = generator(seed, f"fault {index}")
        for name in names if item.site_name == "*" else [item.site_name]:
            spread = item.per_site_spread
            factor = item.factor + (float(draw.uniform(-spread, spread)) if spread else 0.0)
            made.append(
                Fault(
                    kind=item.kind,
                    site_name=name,
                    quantity=item.quantity,
                    start_seconds=item.start_seconds,
                    duration_seconds=item.duration_seconds,
                    factor=factor,
                )
            )
    return tuple(made)
