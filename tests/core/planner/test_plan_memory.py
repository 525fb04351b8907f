"""What the last plans saw: a load that trembles, prices that turn, and memory that is bounded."""

import math
import random
from dataclasses import replace

import pytest
from tests.core.build import NOW, connection, engine, placement, quote, site, snapshot, workload
from tests.core.loop import Loop
from wattshift.core.decision import Action
from wattshift.core.planner.plan_memory import (
    LEAST_LOADS,
    LOADS_SECONDS,
    PRICES_SECONDS,
    PlanMemory,
    high_of,
)
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason

HOUR = 3600.0


def ring(values, step=300.0):
    count = len(values)
    return [(NOW - (count - 1 - k) * step, value) for k, value in enumerate(values)]


# ---- loads


@pytest.mark.parametrize("slope", [0.0, 0.5, -0.5])
def test_a_load_that_changes_steadily_does_not_tremble(slope):
    rows = ring([100 + slope * k for k in range(12)])
    assert high_of(rows, NOW) == pytest.approx(rows[-1][1])


def test_a_load_that_trembles_is_expected_at_its_crests():
    draw = random.Random(5)
    rows = ring([100 * draw.uniform(0.9, 1.1) for _ in range(12)])
    found = high_of(rows, NOW)
    assert found is not None
    assert 104 <= found <= 116


def test_what_is_old_is_forgotten_and_too_little_says_nothing():
    rows = ring([200.0] * 6, step=60.0) + [(NOW, 100.0)]
    late = [(time - 2 * LOADS_SECONDS, load) for time, load in rows]
    assert high_of(late, NOW) is None
    assert high_of(ring([100.0] * (LEAST_LOADS - 1)), NOW) is None


def test_a_saving_leaves_room_for_a_load_that_trembles():
    """Three replicas of 14 where two suffice now; the crests of the last hour need the third."""
    rows = (placement("east", 3, engine=engine(concurrency=22.0)),)
    calm = workload(placements=rows)
    here = snapshot((calm,), (site("east"),))
    assert plan(here, NOW).decisions[0].action is Action.SCALE_TO
    restless = replace(calm, load_high=26.0)
    assert plan(replace(here, workloads=(restless,)), NOW).decisions[0].action is Action.HOLD


def test_a_trembling_load_raises_nothing_by_itself():
    rows = (placement("east", 2, engine=engine(concurrency=22.0)),)
    restless = workload(placements=rows, load_high=60.0)
    assert plan(snapshot((restless,), (site("east"),)), NOW).decisions[0].action is Action.HOLD


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_ten_percent_on_any_load_starts_and_stops_next_to_nothing(seed):
    draw = random.Random(seed)
    level = draw.uniform(15.0, 60.0)
    price = site("east", price="0.5")
    loop = Loop(
        {("chat", "east"): 4},
        lambda t: (price,),
        lambda t, loop: {"chat": level * draw.uniform(0.9, 1.1)},
    ).run(12 * HOUR)
    assert loop.reversals() <= 1


def test_a_fall_is_followed_within_the_window():
    """The caution has an end: a load that halves loses its replicas."""
    price = site("east", price="0.5")
    loop = Loop(
        {("chat", "east"): 5},
        lambda t: (price,),
        lambda t, loop: {"chat": 50.0 if t < 4 * HOUR else 25.0},
    ).run(4 * HOUR + LOADS_SECONDS + 600)
    assert loop.counts[("chat", "east")] == 3


# ---- prices


def two(east, west, **more):
    """Two sites; `more` are prices of east ahead."""
    feeds = (connection(price=quote(east), **more), connection(price=quote(west)))
    return (site("east", feed=feeds[0]), site("west", feed=feeds[1]))


def wave(period, low="0.30", high="0.80", published=True):
    """East is dear now, and takes turns with west."""

    def ahead(first, second):
        rows = [(NOW + k * period / 2, (first, second)[k % 2]) for k in range(1, 40)]
        return tuple((time, quote(price)) for time, price in rows) if published else ()

    east = connection(price=quote(high), price_ahead=ahead(high, low))
    west = connection(price=quote(low), price_ahead=ahead(low, high))
    return (site("east", feed=east), site("west", feed=west))


@pytest.mark.parametrize(
    ("period", "action"),
    [
        (600.0, Action.HOLD),
        (1200.0, Action.HOLD),
        (2400.0, Action.HOLD),
        (14_400.0, Action.MIGRATE),
    ],
)
def test_an_advantage_that_is_known_to_end_soon_moves_nothing(period, action):
    job = workload(placements=(placement("east", 2, engine=engine()), placement("west", 0)))
    found = plan(snapshot((job,), wave(period)), NOW).decisions[0]
    assert found.action is action


def test_what_begins_in_a_moment_and_lasts_is_prepared():
    job = workload(placements=(placement("east", 2, engine=engine()), placement("west", 0)))
    ahead = ((NOW + 300, quote("0.90")),)
    found = plan(snapshot((job,), two("0.30", "0.30", price_ahead=ahead)), NOW).decisions[0]
    assert found.action is Action.MIGRATE


def before(rows):
    return tuple((NOW - age, price) for age, price in rows)


@pytest.mark.parametrize(
    ("rows", "action"),
    [
        ((), Action.MIGRATE),  # no memory: what is seen counts
        (((6000, 0.8),), Action.MIGRATE),  # it has been so all the time
        # it takes turns every five minutes, and has just begun again
        (tuple((6000 - 300 * k, (0.2, 0.8)[k % 2]) for k in range(21)), Action.HOLD),
        # twice is no pattern: a price that changes for good must not wait for half an hour
        (
            ((6600, 0.2), (6000, 0.8), (5400, 0.2), (4800, 0.8), (4200, 0.2), (300, 0.8)),
            Action.MIGRATE,
        ),
        # it took turns, but now it has lasted for half an hour
        (tuple((6000 - 300 * k, (0.2, 0.8)[k % 2]) for k in range(14)), Action.MIGRATE),
        # spells of an hour and a half: enough is left
        (((7000, 0.8), (6900, 0.2), (6600, 0.8), (1200, 0.2), (600, 0.8)), Action.MIGRATE),
    ],
)
def test_without_a_forecast_an_advantage_lasts_as_long_as_it_did_lately(rows, action):
    job = workload(placements=(placement("east", 2, engine=engine()), placement("west", 0)))
    here = two("0.80", "0.30")
    if rows:
        east = replace(here[0].connections[0], prices_before=before(rows))
        west = replace(here[1].connections[0], prices_before=before(((7100, 0.3),)))
        here = (replace(here[0], connections=(east,)), replace(here[1], connections=(west,)))
    found = plan(snapshot((job,), here), NOW)
    assert found.decisions[0].action is action
    if action is Action.HOLD:
        assert found.decisions[0].reason is Reason.PAYBACK_TOO_LONG


def test_a_site_over_its_bound_is_left_however_short_the_advantage():
    job = workload(placements=(placement("east", 6, engine=engine()), placement("west", 0)))
    east, west = wave(600.0)
    tight = replace(east.connections[0], import_limit_watts=700)
    found = plan(snapshot((job,), (replace(east, connections=(tight,)), west)), NOW).decisions[0]
    assert found.action is not Action.HOLD


# ---- the memory itself


def test_memory_is_bounded_forgets_what_is_gone_and_what_a_clock_took_back():
    kept = PlanMemory()
    for k in range(400):
        price = f"{0.3 + 0.01 * (k % 7):.2f}"
        here = replace(snapshot(sites=two(price, "0.3")), grid_time=NOW + 300.0 * k)
        kept.note(plan(here, here.grid_time))
    after = kept.remembered(here)
    assert after.workloads[0].load_high is not None
    row = after.sites[0].connections[0].prices_before
    assert 2 <= len(row) <= PRICES_SECONDS / 300 + 2
    assert all(a[0] < b[0] for a, b in zip(row, row[1:], strict=False))
    past = replace(here, grid_time=NOW)
    kept.note(plan(past, NOW))
    assert kept.remembered(past).sites[0].connections[0].prices_before[-1][0] == NOW
    gone = replace(here, workloads=(), sites=here.sites[1:])
    kept.note(plan(gone, gone.grid_time))
    assert kept.remembered(here).workloads[0].load_high is None
    assert kept.remembered(here).sites[0].connections[0].prices_before == ()


def test_what_somebody_put_in_is_kept():
    kept = PlanMemory()
    for k in range(12):
        here = replace(snapshot(), grid_time=NOW + 300.0 * k)
        kept.note(plan(here, here.grid_time))
    mine = replace(here, workloads=(replace(here.workloads[0], load_high=7.0),))
    assert kept.remembered(mine).workloads[0].load_high == 7.0
    assert not math.isnan(kept.remembered(here).workloads[0].load_high)
