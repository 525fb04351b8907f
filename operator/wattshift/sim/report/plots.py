"""What the page draws over time: power, replicas beside price and carbon, latency margin.

At most seven days of the first window; means over enough steps that a line has a few hundred points.
Neighbours: `plots_frontier.py`, `plots_events.py`, `page.py`, `svg.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from wattshift.sim.bounds.rates import prices_of
from wattshift.sim.facility import truth_of
from wattshift.sim.report.plots_events import events
from wattshift.sim.report.plots_frontier import frontier
from wattshift.sim.report.sections import Section, legend_of, line_of, name_of, pooled
from wattshift.sim.report.study import Run, Study
from wattshift.sim.report.svg import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    Chart,
    Heat,
    chart,
    heat,
)
from wattshift.sim.result import WindowResult
from wattshift.sim.scenario import Array, Scenario

MOST_DAYS = 7.0
MOST_POINTS = 340
MOST_SITES = 18
HOUR, DAY = 3600.0, 86400.0
_MONEY = ("#f4f7fa", "#8fc1de", "#0b5f94", "#06243d")
_CARBON = ("#f6f5f0", "#e5c07b", "#a6611a", "#3d2106")
_REPLICAS = ("#f3f6f3", "#8ccfa7", "#12784a", "#04331d")


def sections(study: Study, run: Run, baseline: Run | None) -> list[Section]:
    """All that the study has data for, in reading order."""
    view = _View(study, run, baseline)
    found = [
        frontier(study),
        view.power(),
        view.where(),
        view.latency(),
        events(study, run, baseline),
    ]
    return [row for row in found if row is not None]


class _View:
    def __init__(self, study: Study, run: Run, baseline: Run | None) -> None:
        self._study, self._run, self._baseline = study, run, baseline
        scenario = study.scenario
        self._scenario: Scenario = scenario
        window = run.result.windows[0]
        self._window = window
        rows = len(window.sums.series.get("importWatts", ()))
        most = max(1, round(MOST_DAYS * DAY / scenario.step_seconds))
        self._steps = min(rows, most)
        self._first = window.first_step
        self._pool = max(1, -(-self._steps // MOST_POINTS))
        count = -(-self._steps // self._pool)
        middles: Array = np.arange(count, dtype=np.float64) + 0.5
        self._days: Array = middles * (self._pool * scenario.step_seconds / DAY)
        self._days[-1:] = np.minimum(self._days[-1:], self._length)
        self._name = name_of(run.policy)

    @property
    def _length(self) -> float:
        return self._steps * self._scenario.step_seconds / DAY

    def _series(self, window: WindowResult, name: str) -> Array:
        return np.asarray(window.sums.series[name][: self._steps])

    def _twin(self) -> WindowResult | None:
        """The same window under B0."""
        if self._baseline is None:
            return None
        rows = self._baseline.result.windows
        return next((row for row in rows if row.name == self._window.name), None)

    def _ticks(self, *, most: int) -> list[tuple[float, str]]:
        """(day, words) at midnights UTC, or at hours where the view is shorter than two days."""
        begin = self._scenario.time(self._first)
        hours = 24.0
        for hours in (1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0):
            if self._length * 24 / hours <= most:
                break
        places = np.arange(
            np.ceil(begin / HOUR / hours) * hours * HOUR,
            begin + self._length * DAY + 1,
            hours * HOUR,
        )
        found = []
        for stamp in places:
            moment = datetime.fromtimestamp(stamp, UTC)
            form = "%d %b" if moment.hour == 0 and moment.minute == 0 else "%H:%M"
            found.append(((stamp - begin) / DAY, moment.strftime(form)))
        return found

    def _legend(self, more: list[tuple[str, str, str]]) -> str:
        return legend_of(self._run.policy, more, baseline=self._baseline is not None)

    # ---- power ----------------------------------------------------------------------------------

    def power(self) -> Section | None:
        """Import by site, with what it may draw."""
        if not self._steps:
            return None
        scenario, twin = self._scenario, self._twin()
        mine = pooled(self._series(self._window, "importWatts"), self._pool) / 1000
        other = (
            None if twin is None else pooled(self._series(twin, "importWatts"), self._pool) / 1000
        )
        drawn = np.argsort(-mine.sum(axis=0), kind="stable")[:MOST_SITES]
        few = len(drawn) <= 4
        pictures, limited = [], False
        for s in sorted(drawn):
            site = scenario.sites[s]
            lines = []
            if other is not None:
                lines.append(line_of("B0", GREY, self._days, other[:, s], width=1.1))
            lines.append(line_of(self._name, BLUE, self._days, mine[:, s]))
            limit, peak = site.import_limit_watts, float(mine[:, s].max(initial=0.0))
            note = ""
            if limit is not None:
                if limit / 1000 <= 2.5 * max(peak, 1e-9):
                    lines.append(
                        line_of(
                            "limit", RED, self._days[[0, -1]], np.full(2, limit / 1000), dash="5 4"
                        )
                    )
                    limited = True
                else:
                    note = f"limit {limit / 1000:,.0f} kW"
            bounds = self._event_bounds(site.name)
            if bounds is not None:
                lines.append(line_of("event bound", ORANGE, self._days, bounds, width=2.2))
                limited = True
            pictures.append(
                chart(
                    Chart(
                        title=f"{site.name}, kW",
                        lines=lines,
                        ticks=self._ticks(most=7 if few else 4),
                        x_range=(0.0, self._length),
                        width=430 if few else 285,
                        height=160 if few else 118,
                        note=note,
                    )
                )
            )
        more = [("import limit", RED, "5 4")] if limited else []
        if any(event.upper_watts is not None for event in scenario.events):
            more.append(("upper bound of an event", ORANGE, ""))
        left = len(scenario.sites) - len(drawn)
        words = f"Power drawn from the grid, mean of {self._span()}, UTC.{self._part()}"
        if left > 0:
            words += f" The {len(drawn)} sites that draw most; {left} are not drawn."
        if all(site.import_limit_watts is None for site in scenario.sites):
            words += " The scenario sets no limit on import."
        return Section(
            title="Power by site", words=words, pictures=tuple(pictures), legend=self._legend(more)
        )

    def _part(self) -> str:
        """What of all that was run is drawn here and below."""
        several = len(self._study.windows) > 1
        rows = len(self._window.sums.series.get("importWatts", ()))
        if not several and rows <= self._steps:
            return ""
        days = f"the first {self._length:g} days" if rows > self._steps else "all"
        return f" Drawn here and below: {days} of window {self._window.name}."

    def _event_bounds(self, site: str) -> Array | None:
        """Tightest fixed upper bound in kW by drawn point; None without any."""
        scenario = self._scenario
        found = np.full(len(self._days), np.nan)
        begin = self._first * scenario.step_seconds
        seconds = begin + self._days * DAY
        for event in scenario.events:
            if event.site_name != site or event.upper_watts is None:
                continue
            inside = (seconds >= event.start_seconds) & (
                seconds < event.start_seconds + event.duration_seconds
            )
            found[inside] = np.fmin(found[inside], event.upper_watts / 1000)
        return found if np.isfinite(found).any() else None

    def _span(self) -> str:
        minutes = self._pool * self._scenario.step_seconds / 60
        return f"{minutes:g} min" if minutes < 120 else f"{minutes / 60:g} h"

    # ---- replicas, price, carbon ----------------------------------------------------------------

    def where(self) -> Section | None:
        """Three heat maps over the same hours, so that one sees load follow what is cheap or clean."""
        if not self._steps:
            return None
        scenario = self._scenario
        truth = truth_of(scenario)
        part = slice(self._first, self._first + self._steps)
        replicas = pooled(self._series(self._window, "replicas"), self._pool)
        most = self._most_replicas()
        share = np.divide(replicas, most, out=np.zeros_like(replicas), where=most > 0)
        order = np.argsort(-share.sum(axis=0), kind="stable")[:40]
        names = [scenario.sites[s].name for s in order]
        ticks = [
            (day / max(self._length, 1e-9) * len(share), words)
            for day, words in self._ticks(most=9)
        ]
        pictures = [
            heat(
                Heat(
                    title=f"Replicas in service under {self._name}, share of the site's most",
                    rows=names,
                    values=(100 * share[:, order].T).tolist(),
                    ticks=ticks,
                    colours=_REPLICAS,
                    low=0.0,
                    high=100.0,
                    unit="%",
                )
            )
        ]
        price = np.stack([prices_of(scenario, site).grid for site in scenario.sites], axis=1)
        currency = scenario.settings.reporting_currency
        for values, words, unit, colours in (
            (
                1000 * price[part],
                "Price of a further kWh, contracts included",
                f"{currency}/MWh",
                _MONEY,
            ),
            (truth.carbon[part], "Carbon intensity", "g/kWh", _CARBON),
        ):
            if not np.isfinite(values).any():
                continue
            drawn = pooled(values, self._pool)[:, order]
            absent = [column for column, s in enumerate(order) if np.isnan(values[:, s]).all()]
            drawn[:, absent] = np.nan
            pictures.append(
                heat(
                    Heat(
                        title=f"{words}, {unit}",
                        rows=names,
                        values=drawn.T.tolist(),
                        ticks=ticks,
                        colours=colours,
                        low=_round(float(np.nanpercentile(drawn, 2))),
                        high=_round(float(np.nanpercentile(drawn, 98))),
                        unit="",
                    )
                )
            )
        return Section(
            title="Replicas, price and carbon",
            words=(
                "The same hours and the same order of sites in each; sites with most replicas on top. "
                f"Dark = many, dear or dirty. Mean of {self._span()}, UTC."
            ),
            pictures=tuple(pictures),
        )

    def _most_replicas(self) -> Array:
        most = np.zeros(len(self._scenario.sites))
        index = {site.name: s for s, site in enumerate(self._scenario.sites)}
        for workload in self._scenario.workloads:
            for place in workload.placements:
                most[index[place.site_name]] += place.max_replicas
        own = pooled(self._series(self._window, "replicas"), self._pool).max(axis=0, initial=0.0)
        if len(self._scenario.workloads) > 1:
            # where devices are shared, all workloads together never have their most at once
            most = np.where(most > 2 * own, np.maximum(own, 1.0), most)
        return most

    # ---- latency --------------------------------------------------------------------------------

    def latency(self) -> Section | None:
        """Points of requests inside their objective above what is promised."""
        if not self._window.groups or "requests" not in self._window.sums.series:
            return None
        twin = self._twin()
        promised = self._promised()
        pictures = []
        mine = self._inside(self._window)
        other = None if twin is None else self._inside(twin)
        for k, (objective, group) in enumerate(self._window.groups[:9]):
            level = promised.get(objective, 0.95)
            lines = []
            if other is not None:
                lines.append(
                    line_of("B0", GREY, self._days, 100 * (other[:, k] - level), width=1.1)
                )
            lines.append(line_of(self._name, BLUE, self._days, 100 * (mine[:, k] - level)))
            where = "anywhere" if group == "any" else f"within {group}"
            pictures.append(
                chart(
                    Chart(
                        title=f"{_short(objective)}, {where}",
                        lines=lines,
                        ticks=self._ticks(most=4),
                        x_range=(0.0, self._length),
                        width=285,
                        height=130,
                        level=0.0,
                    )
                )
            )
        return Section(
            title="Latency margin",
            words=(
                "Share of requests inside their objective less the share that is promised, in "
                f"percentage points, by class of users; under 0 the promise is broken. Over {self._span()}."
            ),
            pictures=tuple(pictures),
            legend=self._legend([]),
        )

    def _inside(self, window: WindowResult) -> Array:
        """[points, groups] share of good requests; NaN where there was none."""
        rows = []
        for name in ("requests", "badRequests"):
            counted = self._series(window, name)
            held = np.concatenate([np.zeros((1, counted.shape[1])), counted])
            edges = np.append(np.arange(0, len(counted), self._pool), len(counted))
            rows.append(np.diff(held[edges], axis=0))
        good = np.full(rows[0].shape, np.nan)
        np.divide(rows[0] - rows[1], rows[0], out=good, where=rows[0] > 0)
        return good

    def _promised(self) -> dict[str, float]:
        return {
            f"{row.metric.value} {row.threshold_milliseconds} ms": row.attainment_permille / 1000
            for workload in self._scenario.workloads
            for row in workload.objectives
        }


def _round(value: float) -> float:
    if not value:
        return 0.0
    digits = 1 - int(np.floor(np.log10(abs(value))))
    return float(round(value, digits))


def _short(objective: str) -> str:
    return (
        objective.replace("InterTokenLatency", "Token time")
        .replace("TimeToFirstToken", "First token")
        .replace("EndToEnd", "Answer")
    )
