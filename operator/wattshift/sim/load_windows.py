"""Windows of a scenario file: weeks over the quarters, months, equal spans, or listed ones.

Which weeks are for development and which are reported is drawn once and never by the scenario's seed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from wattshift.sim.load_grid import Grid
from wattshift.sim.load_sites import check_zone, unique
from wattshift.sim.load_synthetic import generator
from wattshift.sim.load_text import ScenarioError, Text
from wattshift.sim.scenario import Window
from wattshift.sim.schema import ChosenWeeks, EverySpec, MonthsSpec, ScenarioFile, WindowSpec

_WEEK_SECONDS = 7 * 86400
GROUPS = ("development", "reported", "all")
"""What `--weeks` takes beside names."""


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
        return _months(text, grid, spec.months)
    if spec.every is not None:
        return _every(text, grid, spec.every)
    made = []
    for index, item in enumerate(spec.listed or ()):
        _check_name(text, index, item)
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


def _check_name(text: Text, index: int, item: WindowSpec) -> None:
    """`--weeks` takes names and groups: a window may be called like its own group only."""
    group = "development" if item.development else "reported"
    if item.name in GROUPS and item.name != group:
        raise text.error(
            ("windows", "listed", index, "name"),
            f"{item.name!r} is a group of windows for --weeks: choose another name",
        )


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


def _months(text: Text, grid: Grid, spec: MonthsSpec) -> tuple[Window, ...]:
    """Full months of a zone; a month's edge must fall on a step."""
    check_zone(text, ("windows", "months", "timeZone"), spec.time_zone)
    zone = ZoneInfo(spec.time_zone)
    made: list[Window] = []
    begin = datetime.fromtimestamp(grid.start, zone)
    month = datetime(begin.year, begin.month, 1, tzinfo=zone)
    while month.timestamp() < grid.end:
        after = (month + timedelta(days=32)).replace(day=1)
        first = (month.timestamp() - grid.start) / grid.step
        last = (after.timestamp() - grid.start) / grid.step
        if first >= 0 and last <= grid.steps:
            if first % 1 or last % 1:
                raise text.error(("stepSeconds",), f"a month of {spec.time_zone} begins in a step")
            name = month.strftime("%Y-%m")
            made.append(
                Window(
                    name=name,
                    first_step=int(first),
                    last_step=int(last),
                    development=name in spec.development,
                )
            )
        month = after
    if not made:
        raise text.error(("windows", "months"), "the scenario holds no full month")
    for name in spec.development:
        if name not in {window.name for window in made}:
            raise text.error(("windows", "months", "development"), f"no full month {name!r}")
    return tuple(made)


def _every(text: Text, grid: Grid, spec: EverySpec) -> tuple[Window, ...]:
    length = round(spec.days * 86400 / grid.step)
    first = round(spec.warm_up_days * 86400 / grid.step)
    if length < 1 or first + length > grid.steps:
        raise text.error(("windows", "every"), "no window fits into the scenario")
    return tuple(
        Window(name=_day_name(begin * grid.step), first_step=begin, last_step=begin + length)
        for begin in range(first, grid.steps - length + 1, length)
    )


def _day_name(seconds: float) -> str:
    """Day since the start, with the time where it does not begin with the day: `day-0003-0600`."""
    day, rest = divmod(round(seconds), 86400)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    name = f"day-{day:04d}"
    if hour or minute or second:
        name += f"-{hour:02d}{minute:02d}"
    return f"{name}{second:02d}" if second else name


def chosen_windows(all_windows: tuple[Window, ...], names: tuple[str, ...]) -> tuple[Window, ...]:
    """The windows of these names, or numbers from 1; `development`, `reported`, `all` are groups.

    Raises:
        ScenarioError: there is no such window.
    """
    if not names:
        return all_windows
    picked: set[str] = set()
    for name in names:
        if name in GROUPS:
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
