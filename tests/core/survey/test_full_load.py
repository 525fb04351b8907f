"""One demand is one load, however many replicas carry it; planner and governor agree about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.build import NOW, PROFILE, engine, idle_engine, placement, reading, site, snapshot
from tests.core.build import workload as built
from tests.core.worlds import targets

from wattshift.core.planner.cover import owed_to
from wattshift.core.survey.full_load import on_full
from wattshift.core.governor.governor import govern
from wattshift.core.model import Allowed, Origin
from wattshift.core.planner.planner import plan
from wattshift.core.survey.survey import survey
from wattshift.core.load.throughput import rate_share

FULL = 100.0
SLOWING = 0.01
"""A token takes twice as long beside a hundred sequences as alone."""
POINTS = ((8.0, 470.0), (64.0, 2511.0), (128.0, 3876.0), (256.0, 4915.0))


def in_flight(demand: float, replicas: int, slowing: float = SLOWING) -> float:
    """Sequences per replica that decode `demand` x the rate of one alone, shared by `replicas`."""
    each = demand / replicas
    assert each * slowing < 1, "beyond what the replicas can decode"
    return each / (1 - slowing * each)


def standing(demand: float, replicas: int, *, slowing: float | None = SLOWING, **more):
    """A workload at one site with its demand on so many replicas."""
    each = in_flight(demand, replicas)
    values = {"learned_concurrency": FULL, "learned_slowing": slowing, "max_replicas": 60} | more
    stats = engine(replicas * each, pods=replicas, running=0)
    return built(
        placements=(placement("east", replicas, engine=stats, **values),),
        actions=(Allowed.SCALE,),
        max_replicas=60,
    )


def job_of(state, **more):
    return survey(snapshot((state,), (site("east"),), **more), NOW).jobs[0]


@settings(max_examples=60, deadline=None)
@given(st.floats(1, 400), st.floats(1e-4, 0.1), st.integers(1, 40), st.integers(1, 40))
def test_the_need_is_the_same_on_any_number_of_replicas(demand, slowing, one, other):
    rows = []
    for count in (one, other):
        if demand / count * slowing >= 0.99:
            return
        stats = engine(count * in_flight(demand, count, slowing), pods=count, running=0)
        row = placement(
            "east", count, engine=stats, learned_concurrency=FULL, learned_slowing=slowing
        )
        rows.append(job_of(built(placements=(row,))))
    assert rows[0].need == pytest.approx(rows[1].need, rel=1e-6)
    assert rows[0].load.concurrency == pytest.approx(rows[1].load.concurrency, rel=1e-6)


def test_without_a_curve_sequences_are_what_they_are():
    job = job_of(standing(300, 8, slowing=None))
    seen = 8 * in_flight(300, 8)
    assert job.load.concurrency == pytest.approx(seen)
    assert job.need == pytest.approx(1.2 * seen)


def test_full_replicas_carry_what_they_hold():
    demand = 4 * FULL / (1 + SLOWING * FULL)
    assert job_of(standing(demand, 4)).load.concurrency == pytest.approx(4 * FULL)


def test_head_room_is_sequences_that_a_replica_may_still_take():
    # replicas at 1/1.2 of their full sequences are what the need asks for, no more and no less
    each = FULL / 1.2
    demand = 6 * each / (1 + SLOWING * each)
    assert job_of(standing(demand, 6)).need == pytest.approx(6 * FULL)


def test_what_the_planner_lowers_the_governor_does_not_raise_again():
    before = standing(250, 12)
    world = snapshot((before,), (site("east", price="0.80"),))
    decided = plan(world, NOW)
    left = targets(decided.decisions[0])["east"]
    assert left < 12
    after = snapshot((standing(250, left),), (site("east", price="0.80"),))
    assert govern(after, decided, NOW).decisions == ()
    assert owed_to(survey(after, NOW).jobs[0]) is None
    # counted in sequences it is one too many: that is what a curve is for
    blind = standing(250, 12, slowing=None)
    fewer = targets(plan(snapshot((blind,), (site("east", price="0.80"),)), NOW).decisions[0])
    owed = job_of(standing(250, fewer["east"], slowing=None))
    assert owed_to(owed) is not None


def test_a_second_plan_of_the_same_demand_changes_nothing():
    count = 20
    for _ in range(2):
        world = snapshot((standing(250, count),), (site("east", price="0.80"),))
        count = targets(plan(world, NOW).decisions[0])["east"]
    world = snapshot((standing(250, count),), (site("east", price="0.80"),))
    assert targets(plan(world, NOW).decisions[0])["east"] == count


def test_growth_is_answered_in_the_same_tick():
    full = standing(300, 6)
    assert in_flight(300, 6) > 0.95 * FULL
    found = govern(snapshot((full,), (site("east"),)), None, NOW)
    assert targets(found.decisions[0])["east"] > 6


@pytest.mark.parametrize("more", [{"waiting": 40}, {"bad": 400}])
def test_what_waits_and_what_is_too_slow_takes_nothing_off(more):
    stats = engine(2 * 3 * FULL, pods=2, running=0, **more)
    row = placement("east", 2, engine=stats, learned_concurrency=FULL, learned_slowing=SLOWING)
    job = job_of(built(placements=(row,)))
    assert job.load.concurrency == pytest.approx(6 * FULL + more.get("waiting", 0))


def test_overfull_replicas_are_between_full_and_what_they_hold():
    stats = engine(2 * 3 * FULL, pods=2, running=0)
    row = placement("east", 2, engine=stats, learned_concurrency=FULL, learned_slowing=SLOWING)
    load = job_of(built(placements=(row,))).load.concurrency
    assert 2 * FULL < load < 6 * FULL


def test_a_profiles_points_serve_until_something_is_learnt():
    points = replace(PROFILE, output_tokens_per_second_by_concurrency=POINTS)
    stats = engine(4 * 64.0, pods=4, running=0)
    row = placement("east", 4, engine=stats, learned_concurrency=128.0)
    job = job_of(built(placements=(row,)), profiles=(points,))
    assert job.load.concurrency == pytest.approx(4 * 128 * 2511 / 3876)


def test_a_demand_signal_is_taken_at_its_word():
    state = replace(standing(250, 12), demand=reading(77.0, unit="Count"))
    job = job_of(state)
    assert job.load.concurrency == 77
    assert job.need == pytest.approx(1.2 * 77)


def test_idle_and_unscraped_placements_add_nothing():
    rows = (
        placement("east", 2, engine=idle_engine(2), learned_concurrency=FULL, learned_slowing=0.1),
        placement("west", 0, learned_concurrency=FULL, learned_slowing=0.1),
    )
    world = snapshot((built(placements=rows),))
    job = survey(world, NOW).jobs[0]
    assert job.load.concurrency == 0
    assert job.need == 0


def test_what_only_the_entry_counts_is_taken_like_what_engines_tell():
    each = in_flight(40, 4)
    row = {"learned_concurrency": FULL, "learned_slowing": SLOWING}
    places = (
        placement("east", 4, engine=engine(4 * each, pods=4, running=0), **row),
        placement("west", 4, engine=engine(4 * each, pods=4, running=0, age=600.0), **row),
    )
    both = (("users", 8 * each),)
    seen = job_of_two(built(placements=places, origin_loads=both))
    told = replace(places[1], engine=replace(places[1].engine, age_seconds=1.0))
    known = job_of_two(built(placements=(places[0], told), origin_loads=both))
    assert seen.load.source.startswith("the entry")
    assert seen.load.concurrency == pytest.approx(known.load.concurrency)


def job_of_two(state):
    return survey(snapshot((state,)), NOW).jobs[0]


def test_an_origin_counts_by_the_placements_that_serve_it():
    from wattshift.core.fleet.classes import by_origin  # noqa: PLC0415

    far, near = in_flight(40, 8), in_flight(40, 1)
    rows = tuple(
        placement(
            name,
            count,
            engine=engine(count * each, pods=count, running=0),
            learned_concurrency=FULL,
            learned_slowing=SLOWING,
        )
        for name, count, each in (("east", 8, far), ("west", 1, near))
    )
    state = built(
        placements=rows,
        origins=tuple(
            Origin(name=name, share_permille=500, max_round_trip_milliseconds=None)
            for name in ("a", "b")
        ),
        # the same demand of both, counted on emptier and on fuller replicas
        origin_loads=(("a", 8 * far), ("b", near)),
        split=(("a", (("east", 1.0),)), ("b", (("west", 1.0),))),
        actions=(Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
    )
    found = by_origin(survey(snapshot((state,)), NOW).jobs[0])
    assert found["a"] == pytest.approx(found["b"])
    # nobody was told a split yet: all count alike
    found = by_origin(survey(snapshot((replace(state, split=()),)), NOW).jobs[0])
    assert found["a"] / found["b"] == pytest.approx(8 * far / near)


@given(
    st.floats(0, 1e4),
    st.floats(1e-3, 1e3),
    st.one_of(st.none(), st.floats(0, 10)),
    st.sampled_from([(), POINTS, ((1.0, 1.0),), ((1.0, 5.0), (2.0, 50.0))]),
)
def test_a_share_lies_between_the_count_and_a_full_replica(sequences, full, slowing, points):
    profile = replace(PROFILE, output_tokens_per_second_by_concurrency=points)
    share = rate_share(profile, slowing, sequences, full)
    if share is None:
        return
    plain = sequences / full
    assert min(plain, 1) <= share <= max(plain, 1)


def test_a_line_is_the_count_itself_whatever_its_points_were_rounded_to():
    line = replace(PROFILE, output_tokens_per_second_by_concurrency=((8, 313.9), (64, 2511)))
    for sequences in (0.0, 3.0, 8.0, 57.6, 64.0):
        assert rate_share(line, None, sequences, 64.0) is None
    assert rate_share(PROFILE, None, 5.0, 10.0) is None
    assert rate_share(PROFILE, 0.0, 5.0, 10.0) is None


@pytest.mark.parametrize(
    ("sequences", "replicas", "capacity"), [(5.0, 0, 10.0), (5.0, 2, 0.0), (0.0, 2, 10.0)]
)
def test_nothing_to_compare_with_leaves_the_count(sequences, replicas, capacity):
    found = on_full(PROFILE, 0.1, sequences, replicas=replicas, capacity=capacity)
    assert found == sequences
