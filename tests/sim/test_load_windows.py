"""Windows: whole weeks over the quarters, months of a zone, equal spans; they never overlap."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import scenario_files as files
from wattshift.sim.load import ScenarioError, load, parse
from wattshift.sim.load_grid import Grid
from wattshift.sim.load_text import Text
from wattshift.sim.load_windows import chosen_windows, windows
from wattshift.sim.scenario import Window
from wattshift.sim.schema import ScenarioFile, WindowsSpec

LISTED = files.GOOD[files.GOOD.index("windows:") :]
YEAR = 366


def made(tmp_path, spec: dict, *, days: int = YEAR, start: str = "2024-01-01T00:00:00+00:00"):
    text = Text(files.write(tmp_path))
    file: ScenarioFile = parse(text).model_copy(
        update={"windows": WindowsSpec.model_validate(spec)}
    )
    grid = Grid(datetime.fromisoformat(start).timestamp(), 300.0, days * 288)
    return windows(file, text, grid), grid


def quarter(grid: Grid, window: Window) -> tuple[int, int]:
    middle = grid.start + grid.step * (window.first_step + window.last_step) / 2
    moment = datetime.fromtimestamp(middle, UTC)
    return moment.year, (moment.month - 1) // 3


def weeks_by_quarter(grid: Grid, warm_up_days: float) -> Counter:
    """Full weeks from Monday 00:00 UTC after the warm-up, by the quarter of their middle."""
    counts: Counter = Counter()
    for first in range(0, grid.steps - 7 * 288 + 1, 288):
        begin = datetime.fromtimestamp(grid.start + grid.step * first, UTC)
        if (begin.weekday(), begin.hour, begin.minute) != (0, 0, 0):
            continue
        if first * grid.step >= warm_up_days * 86400 - 1e-6:
            week = Window(name="w", first_step=first, last_step=first + 7 * 288)
            counts[quarter(grid, week)] += 1
    return counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("windows")


@settings(max_examples=60, deadline=None)
@given(
    development=st.integers(0, 12),
    reported=st.integers(1, 20),
    draw=st.integers(0, 1000),
    shift=st.integers(0, 6),
    warm=st.floats(0, 30),
)
def test_weeks_are_whole_disjoint_and_balanced(folder, development, reported, draw, shift, warm):
    spec = {"weeks": {"development": development, "reported": reported, "draw": draw,
                      "warmUpDays": warm}}  # fmt: skip
    found, grid = made(folder, spec, days=2 * 365, start=f"2023-01-{1 + shift:02d}T00:00:00+00:00")
    assert sum(window.development for window in found) == development
    assert sum(not window.development for window in found) == reported
    for one, two in zip(found, found[1:], strict=False):
        assert one.last_step <= two.first_step
    for window in found:
        begin = datetime.fromtimestamp(grid.start + grid.step * window.first_step, UTC)
        assert (begin.weekday(), begin.hour, begin.minute) == (0, 0, 0)
        assert window.last_step - window.first_step == 7 * 288
        assert window.first_step * grid.step >= warm * 86400 - 1e-6
        assert window.last_step <= grid.steps
        assert window.name == f"{begin.isocalendar().year}-W{begin.isocalendar().week:02d}"
    counts = Counter(quarter(grid, window) for window in found if not window.development)
    for name, full in weeks_by_quarter(grid, warm).items():
        # a quarter gives as many as the others, or all that it has (the year's edges have few)
        assert counts[name] >= min(full, max(counts.values()) - 1), name


def test_another_draw_is_another_choice(tmp_path):
    one, _ = made(tmp_path, {"weeks": {"reported": 6, "draw": 1}})
    two, _ = made(tmp_path, {"weeks": {"reported": 6, "draw": 2}})
    assert [w.name for w in one] != [w.name for w in two]


def test_weeks_with_a_summer_time_change_have_as_many_steps(tmp_path):
    found, _ = made(tmp_path, {"weeks": {"reported": 48, "warmUpDays": 14}})
    names = {window.name for window in found}
    assert {"2024-W13", "2024-W10", "2024-W43"} & names
    assert {window.last_step - window.first_step for window in found} == {7 * 288}


def test_months_follow_the_clock_of_their_zone(tmp_path):
    found, _ = made(tmp_path, {"months": {"timeZone": "Europe/Berlin", "development": ["2024-03"]}},
                    start="2023-12-31T23:00:00+00:00")  # fmt: skip
    length = {window.name: (window.last_step - window.first_step) / 12 for window in found}
    assert length["2024-01"] == 744
    assert length["2024-03"] == 743  # the night of 31 March has one hour less
    assert length["2024-10"] == 745
    assert [window.name for window in found if window.development] == ["2024-03"]
    for one, two in zip(found, found[1:], strict=False):
        assert one.last_step == two.first_step


def test_only_full_months_count(tmp_path):
    found, _ = made(tmp_path, {"months": {}}, days=70, start="2024-01-10T00:00:00+00:00")
    assert [window.name for window in found] == ["2024-02"]


def test_an_unknown_development_month_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match="2025-01"):
        made(tmp_path, {"months": {"development": ["2025-01"]}})


def test_equal_spans_begin_after_the_warm_up(tmp_path):
    found, _ = made(tmp_path, {"every": {"days": 30, "warmUpDays": 14}})
    assert len(found) == 11
    assert found[0].first_step == 14 * 288
    assert {window.last_step - window.first_step for window in found} == {30 * 288}
    assert found[-1].last_step <= YEAR * 288


def test_spans_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match="no window fits"):
        made(tmp_path, {"every": {"days": 400}})


def test_no_windows_means_all_of_it(tmp_path):
    scenario = load(files.write(tmp_path, files.GOOD.replace(LISTED, "")))
    assert [(w.name, w.first_step, w.last_step) for w in scenario.windows] == [("all", 0, 576)]


def test_groups_and_names_can_be_mixed():
    rows = tuple(
        Window(name=str(n), first_step=n, last_step=n + 1, development=n < 3)
        for n in range(5, 0, -1)
    )
    rows = tuple(sorted(rows, key=lambda row: row.first_step))
    assert [w.name for w in chosen_windows(rows, ("reported", "1"))] == ["1", "3", "4", "5"]
    assert [w.name for w in chosen_windows(rows, ("all",))] == ["1", "2", "3", "4", "5"]
    assert chosen_windows(rows, ()) == rows
