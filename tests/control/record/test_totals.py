"""Totals per workload: nothing saved when nothing was done, counters that reset, restarts, gaps."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

from tests.core.build import NOW, Original, engine, placement, snapshot, workload
from wattshift.control.clock import ManualClock
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.status import StatusBook
from wattshift.control.record.totals import LONGEST_SECONDS, Totals
from wattshift.core.engine import PodCounters

KEY = ObjectKey.workload("team/chat")


def pod(tokens: int, uid: str = "p1") -> PodCounters:
    return PodCounters(
        pod_uid=uid,
        pod_name=uid,
        scrape_wall_time=0.0,
        running=0,
        waiting=0,
        success_total=0,
        aborted_total=0,
        prompt_tokens_total=0,
        generation_tokens_total=tokens,
    )


class Scene:
    def __init__(self, book: StatusBook | None = None) -> None:
        self.book = book or StatusBook(client=None, clock=ManualClock())
        if book is None:
            self.book.observe(KEY, uid="u", generation=1, version="1", status={})
        self.totals = Totals(runtime=SimpleNamespace(book=self.book))
        self.now = NOW

    def step(
        self, seconds: float = 60.0, replicas: int = 6, *, original: int | None = None, **more
    ):
        self.now += seconds
        tokens = more.pop("tokens", 0)
        pods = more.pop("pods", (pod(tokens),))
        rows = (placement("east", replicas, engine=replace(engine(), pods=pods)),)
        held = ()
        if original is not None:
            held = (
                Original(
                    placement_name="east",
                    cluster_uid="c",
                    target_uid="t",
                    replicas=original,
                    captured_time=NOW,
                ),
            )
        uid = more.pop("uid", "u")
        given = snapshot(workloads=(workload(placements=rows, originals=held, uid=uid),))
        self.totals.advance(replace(given, grid_time=self.now, **more))

    @property
    def shown(self):
        return self.book.workload(KEY).totals


def test_doing_nothing_saves_exactly_nothing():
    scene = Scene()
    for _ in range(50):
        scene.step(61.7)
    assert scene.shown.watt_hours > 0 and Decimal(scene.shown.cost) > 0
    assert scene.shown.saved_watt_hours == scene.shown.saved_carbon_grams == 0
    assert scene.shown.saved_cost == "0"


def test_fewer_replicas_than_were_found_save_energy_and_money():
    scene = Scene()
    for _ in range(20):
        scene.step(replicas=4, original=6)
    assert scene.shown.saved_watt_hours > 0 and Decimal(scene.shown.saved_cost) > 0


def test_short_ticks_are_gathered_to_a_minute():
    scene = Scene()
    for _ in range(30):
        scene.step(2.0)
    assert scene.shown is None
    scene.step(2.0)
    assert scene.shown.watt_hours > 0


def test_a_restart_adds_to_what_status_had():
    scene = Scene()
    for _ in range(20):
        scene.step()
    first = scene.shown
    again = Scene(scene.book)
    again.now = scene.now
    for _ in range(20):
        again.step()
    assert again.shown.since_time == first.since_time
    assert abs(again.shown.watt_hours - 2 * first.watt_hours) <= first.watt_hours / 10 + 1


def test_a_long_pause_is_a_gap_that_nobody_valued():
    scene = Scene()
    scene.step()
    scene.step()
    before = scene.shown
    scene.step(LONGEST_SECONDS + 1, tokens=500)
    assert scene.shown == before
    scene.step(tokens=600)
    assert scene.shown.output_tokens == 100


def test_a_clock_that_was_set_back_books_nothing():
    scene = Scene()
    scene.step()
    scene.step()
    before = scene.shown
    scene.step(-3_000)
    assert scene.shown == before
    scene.step()
    assert scene.shown.watt_hours >= before.watt_hours


def test_tokens_are_counted_from_counters_that_may_begin_anew():
    scene = Scene()
    for tokens in (1_000, 1_500, 200, 300):
        scene.step(tokens=tokens)
    assert scene.shown.output_tokens == 500 + 200 + 100


def test_in_a_replay_a_second_stands_for_many_and_so_do_its_tokens():
    scene = Scene()
    scene.step(speed=60.0, tokens=100)
    scene.step(speed=60.0, tokens=110)
    assert scene.shown.output_tokens == 600


def test_a_pod_seen_for_the_first_time_brings_no_tokens_from_before():
    scene = Scene()
    scene.step(pods=(pod(100),))
    scene.step(pods=(pod(150), pod(9_000, "old")))
    assert scene.shown.output_tokens == 50


def test_a_namesake_that_was_made_anew_begins_its_own_totals():
    scene = Scene()
    for _ in range(10):
        scene.step(tokens=100)
    assert scene.shown.watt_hours > 0
    scene.book.forget(KEY)
    scene.book.observe(KEY, uid="v", generation=1, version="9", status={})
    old = scene.totals.books.workloads["team/chat"].facility_joules
    scene.step(uid="v", tokens=100)
    assert 0 < scene.shown.watt_hours < old // 3600
    assert scene.shown.since_time == scene.now
