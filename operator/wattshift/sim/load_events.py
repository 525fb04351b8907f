"""Events, faults and windows of a scenario file; what is drawn comes from a seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from wattshift.sim.load_grid import Grid
from wattshift.sim.load_sites import unique
from wattshift.sim.load_synthetic import generator
from wattshift.sim.load_text import ScenarioError, Text
from wattshift.sim.scenario import Fault, FaultKind, SimEvent, Window
from wattshift.sim.schema import Between, ChosenWeeks, RandomEvents, ScenarioFile

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
        made += _drawn(file, text, grid, file.events.random, seed)
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


# ---- windows ----------------------------------------------------------------------------------


def windows(file: ScenarioFile, text: Text, grid: Grid) -> tuple[Window, ...]:
    """The windows by start; they never overlap.

    Raises:
        ScenarioError: two overlap, one leaves the scenario, or there are too few weeks.
    """
    spec = file.windows
    if spec is None:
        return (Window(name="all", first_step=0, last_step=grid.steps),)
    if spec.weeks is not None:
        return _weeks(text, grid, spec.weeks)
    if spec.months is not None:
        return _months(text, grid)
    made = []
    for index, item in enumerate(spec.listed or ()):
        first = round(item.start_day * 86400 / grid.step)
        last = first + max(1, round(item.days * 86400 / grid.step))
        if last > grid.steps:
            raise text.error(
                ("windows", "listed", index),
                f"ends on day {item.start_day + item.days:g}, the scenario on day "
                f"{grid.steps * grid.step / 86400:g}",
            )
        made.append(
            Window(name=item.name, first_step=first, last_step=last, development=item.development)
        )
    unique(text, ("windows", "listed"), [item.name for item in made])
    made.sort(key=lambda item: item.first_step)
    for one, two in pairwise(made):
        if two.first_step < one.last_step:
            raise text.error(("windows", "listed"), f"{one.name!r} and {two.name!r} overlap")
    return tuple(made)


def _week_name(stamp: float) -> str:
    year, week, _ = datetime.fromtimestamp(stamp, UTC).isocalendar()
    return f"{year}-W{week:02d}"


def _weeks(text: Text, grid: Grid, spec: ChosenWeeks) -> tuple[Window, ...]:
    """Weeks from Monday 00:00 UTC, shared out over the quarters: each quarter in turn gives one."""
    earliest = grid.start + spec.warm_up_days * 86400
    monday = datetime.fromtimestamp(earliest, UTC)
    days = (7 - monday.weekday()) % 7 if monday.hour + monday.minute + monday.second == 0 else 0
    if monday.weekday() or monday.hour or monday.minute or monday.second:
        days = 7 - monday.weekday()
    first = datetime(monday.year, monday.month, monday.day, tzinfo=UTC) + timedelta(days=days)
    quarters: dict[tuple[int, int], list[float]] = {}
    stamp = first.timestamp()
    while stamp + _WEEK_SECONDS <= grid.end:
        middle = datetime.fromtimestamp(stamp + _WEEK_SECONDS / 2, UTC)
        quarters.setdefault((middle.year, (middle.month - 1) // 3), []).append(stamp)
        stamp += _WEEK_SECONDS
    available = sum(len(weeks) for weeks in quarters.values())
    if available < spec.development + spec.reported:
        raise text.error(
            ("windows", "weeks"),
            f"{spec.development} + {spec.reported} weeks are wanted, {available} full weeks lie after "
            f"the first {spec.warm_up_days:g} days",
        )
    draw = generator(spec.draw, "weeks")
    piles = [draw.permutation(weeks).tolist() for _, weeks in sorted(quarters.items())]
    order = draw.permutation(len(piles)).tolist()
    chosen: list[tuple[float, bool]] = []
    for wanted, development in ((spec.reported, False), (spec.development, True)):
        turn, given = 0, 0
        while given < wanted:
            pile = piles[order[turn % len(order)]]
            turn += 1
            if pile:
                chosen.append((float(pile.pop()), development))
                given += 1
    return tuple(
        Window(
            name=_week_name(stamp),
            first_step=round((stamp - grid.start) / grid.step),
            last_step=round((stamp + _WEEK_SECONDS - grid.start) / grid.step),
            development=development,
        )
        for stamp, development in sorted(chosen)
    )


def _months(text: Text, grid: Grid) -> tuple[Window, ...]:
    made = []
    begin = datetime.fromtimestamp(grid.start, UTC)
    month = datetime(begin.year, begin.month, 1, tzinfo=UTC)
    while month.timestamp() < grid.end:
        after = (month + timedelta(days=32)).replace(day=1)
        if month.timestamp() >= grid.start and after.timestamp() <= grid.end:
            made.append(
                Window(
                    name=month.strftime("%Y-%m"),
                    first_step=round((month.timestamp() - grid.start) / grid.step),
                    last_step=round((after.timestamp() - grid.start) / grid.step),
                )
            )
        month = after
    if not made:
        raise text.error(("windows", "months"), "the scenario holds no full month of UTC")
    return tuple(made)


def chosen_windows(all_windows: tuple[Window, ...], names: tuple[str, ...]) -> tuple[Window, ...]:
    """The windows of these names, or numbers from 1; `development`, `reported`, `all` are groups.

    Raises:
        ScenarioError: there is no such window.
    """
    if not names:
        return all_windows
    picked: set[str] = set()
    for name in names:
        if name in ("development", "reported", "all"):
            picked |= {
                window.name
                for window in all_windows
                if name == "all" or window.development == (name == "development")
            }
        elif any(window.name == name for window in all_windows):
            picked.add(name)
        elif name.isdecimal() and 1 <= int(name) <= len(all_windows):
            picked.add(all_windows[int(name) - 1].name)
        else:
            known = ", ".join(window.name for window in all_windows)
            raise ScenarioError(
                f"--weeks {name!r}: no such window; there are: {known}, and the groups "
                "development, reported, all"
            )
    return tuple(window for window in all_windows if window.name in picked)
