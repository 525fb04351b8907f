"""Learning in the operator: fed by engine windows, keyed by kind of replica, kept over a restart."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from dataclasses import replace

import pytest

from tests.api.documents import full
from tests.core.build import PROFILE, engine
from tests.control.inputs.value_book import Book
from wattshift.api.validate import read
from wattshift.api.workload_status import FlexibleWorkloadStatus
from wattshift.control.clock import ManualClock
from wattshift.control.hub.keys import Kind, ObjectKey, member_name
from wattshift.control.hub.store import Store
from wattshift.control.inputs.gather_workload import target_key
from wattshift.control.inputs.learning import MOST_KINDS, Learning
from wattshift.control.inputs.world import Found
from wattshift.control.record.changes import Urgency, compare
from wattshift.control.record.documents import compose
from wattshift.control.record.records import WorkloadRecord
from wattshift.core.load.learn import LoadWindow
from wattshift.kube.views import TargetView

CLOCK = 1_790_000_000.0


class Engines:
    """Engines that carry so much per replica, and miss so many of 60."""

    def __init__(self) -> None:
        self.each, self.bad, self.steady = 20.0, 0, True
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.load_now, self.pods, self.slowing = 40.0, 6, 0.0
        self.by_workload: Counter[str] = Counter()
        self.broken: set[str] = set()

    def stats(self, workload_key, placement_name):
        del workload_key, placement_name
        return engine(self.load_now, pods=self.pods)

    def load(self, workload_key, placement_name, objectives, seconds):
        if workload_key in self.broken:
            raise ArithmeticError("nobody thought of this")
        self.by_workload[workload_key] += 1
        self.asked.append((placement_name, tuple(row.threshold_milliseconds for row in objectives)))
        return LoadWindow(
            seconds=seconds,
            replicas=2,
            concurrency=2 * self.each,
            prompt_tokens_per_second=400.0,
            samples=((self.bad, 60),) * len(objectives),
            output_tokens_per_second=2 * self.each / (0.02 * (1 + self.slowing * self.each)),
            steady=self.steady,
        )


class World:
    """Targets by member and key; one template for all."""

    def __init__(self) -> None:
        self.digest = "template-1"
        self.seen = True

    def find(self, member, key):
        if not self.seen:
            return None
        return Found(
            member_name=member,
            cluster_uid="c",
            target=TargetView(
                key=key,
                uid=f"t-{member}",
                resource_version="1",
                replicas_spec=2,
                replicas_total=2,
                replicas_ready=2,
                replicas_updated=2,
                generation=1,
                observed_generation=1,
                labels={},
                annotations={},
                selector="app=chat",
                grace_seconds=30,
                has_readiness_probe=True,
                rollout_in_progress=False,
                paused=False,
                deleting=False,
                template_digest=self.digest,
            ),
            pods=None,
            replicas=2,
        )


class Bench:
    """One operator's learning, with hands on its world."""

    def __init__(self, **spec) -> None:
        document = copy.deepcopy(full()["FlexibleWorkload"])
        document["metadata"] |= {
            "uid": "w-1",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        document["spec"] |= spec
        self.store, self.book = Store(read=read), Book()
        self.document = document
        self.store.put(Kind.FLEXIBLE_WORKLOAD, document)
        (stored,) = self.store.workloads()
        self.key, self.spec = stored.key, stored.spec
        self.engines, self.world = Engines(), World()
        self.clock = ManualClock(utc=CLOCK)
        names = {row.power_profile_name for row in self.spec.placements}
        names.add(self.spec.power_profile_name)
        self.profiles = tuple(replace(PROFILE, name=name) for name in sorted(filter(None, names)))
        self.first = self.spec.placements[0].name
        self.restart()

    def restart(self) -> None:
        self.learning = Learning(
            store=self.store,
            book=self.book,
            clock=self.clock,
            world=self.world,
            engines=self.engines,
            profiles=lambda: self.profiles,
        )
        self.learning.advance()

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(60.0)
            self.learning.advance()

    def add(self, count: int) -> None:
        """More workloads like the first."""
        for index in range(count):
            other = copy.deepcopy(self.document)
            other["metadata"] |= {"name": f"more-{index:04d}", "uid": f"more-{index}"}
            self.store.put(Kind.FLEXIBLE_WORKLOAD, other)

    def learnt(self) -> float | None:
        return self.learning.concurrency(self.key.path, self.first)

    def status(self) -> dict:
        record = self.book.workload(self.key)
        return compose(Kind.FLEXIBLE_WORKLOAD, record, (), generation=1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_capacity_comes_from_the_engines_minute_by_minute(bench):
    assert bench.learnt() is None
    bench.minutes(2)
    assert bench.learnt() is None, "three minutes are evidence"
    bench.minutes(2)
    assert bench.learnt() == pytest.approx(25.0), "1.25 x the 20 that were observed"


def test_nothing_is_asked_twice_within_a_minute(bench):
    bench.minutes(1)
    asked = len(bench.engines.asked)
    for _ in range(20):
        bench.clock.advance(2.0)
        bench.learning.advance()
    assert len(bench.engines.asked) == asked


def test_bad_latency_takes_capacity_away(bench):
    bench.engines.each, bench.engines.bad = 10.0, 30
    bench.minutes(5)
    assert bench.learnt() is not None
    assert bench.learnt() < 10


def test_a_new_image_begins_from_the_prior_and_the_old_one_is_remembered(bench):
    bench.minutes(5)
    assert bench.learnt() is not None
    bench.world.digest = "template-2"
    bench.engines.steady = False
    bench.minutes(2)
    assert bench.learnt() is None
    bench.world.digest = "template-1"
    bench.minutes(1)
    assert bench.learnt() == pytest.approx(25.0), "rolled back"


def test_another_objective_or_model_is_another_key():
    one = Bench()
    objectives = [row | {"thresholdMilliseconds": 77} for row in one.document["spec"]["objectives"]]
    keys = set()
    for other in (one, Bench(objectives=objectives), Bench(models=[{"name": "other"}])):
        other.minutes(12)
        keys |= {row["key"] for row in other.status()["learnt"]["capacities"]}
    assert len(keys) >= 3


def test_a_restart_knows_what_was_noted(bench):
    bench.minutes(30)
    before = bench.learnt()
    bench.restart()
    bench.engines.steady = False
    bench.minutes(2)
    assert bench.learnt() == pytest.approx(before, rel=0.01)


def test_a_restart_waits_for_no_minute_to_know_what_was_noted(bench):
    bench.minutes(30)
    before = bench.learnt()
    bench.restart()
    assert bench.learnt() == pytest.approx(before, rel=0.01)


def test_what_was_noted_is_in_force_as_soon_as_its_target_is_seen(bench):
    bench.minutes(30)
    before = bench.learnt()
    bench.world.seen = False
    bench.restart()
    assert bench.learnt() is None
    bench.world.seen = True
    bench.clock.advance(5.0)
    bench.learning.advance()
    assert bench.learnt() == pytest.approx(before, rel=0.01)


def test_a_target_that_is_not_seen_for_a_while_is_what_it_was(bench):
    bench.minutes(5)
    before = bench.learnt()
    bench.world.seen = bench.engines.steady = False
    bench.minutes(5)
    assert bench.learnt() == pytest.approx(before, rel=0.01)
    # nobody knows what a changed spec makes of a target that is not seen
    changed = copy.deepcopy(bench.document)
    changed["metadata"]["generation"] = 2
    bench.store.put(Kind.FLEXIBLE_WORKLOAD, changed)
    bench.minutes(2)
    assert bench.learnt() is None


def test_all_of_many_workloads_learn():
    bench = Bench()
    bench.add(199)
    for _ in range(10):
        bench.clock.advance(31.0)
        bench.learning.advance()
    assert len(bench.engines.by_workload) == 200


def test_what_goes_wrong_with_one_workload_keeps_no_other_from_learning(bench, caplog):
    bench.add(3)
    bench.engines.broken = {bench.key.path.split("/")[0] + "/more-0000"}
    bench.minutes(5)
    assert bench.learnt() == pytest.approx(25.0)
    assert "learning begins anew" in caplog.text


def test_what_goes_wrong_once_takes_nothing_that_was_learnt(bench, caplog):
    bench.minutes(30)
    before = bench.learnt()
    bench.engines.broken = {bench.key.path}
    bench.minutes(2)
    assert bench.learnt() == pytest.approx(before, rel=0.01)
    bench.engines.broken = set()
    bench.minutes(1)
    assert bench.learnt() == pytest.approx(before, rel=0.01)
    assert "nothing is learnt" in caplog.text
    assert "begins anew" not in caplog.text


def test_counts_beyond_all_sense_fit_the_schema_of_status(bench):
    bench.minutes(30)
    record = bench.book.workload(bench.key)
    cells = [[20 + i, 5, 1e9, 1e9, 0, 1e9] + [0, 1e9] * 3 for i in range(40)]
    huge = []
    for row in record.learnt.capacities:
        few = len(bench.spec.objectives)
        body = {"v": 1, "t": CLOCK, "m": 10, "c": [cell[: 4 + 2 * few] for cell in cells]}
        huge.append(row.model_copy(update={"bins": json.dumps(body, separators=(",", ":"))}))
    learnt = record.learnt.model_copy(update={"capacities": huge})
    bench.book.update(bench.key, replace(record, learnt=learnt))
    bench.restart()
    bench.minutes(2)
    FlexibleWorkloadStatus.model_validate(bench.status())
    (row,) = (
        r for r in bench.status()["learnt"]["capacities"] if bench.first in r["placementNames"]
    )
    assert row["samples"] == 1_000_000_000


def test_edited_bins_begin_from_the_prior_and_say_so(bench, caplog):
    bench.minutes(30)
    record = bench.book.workload(bench.key)
    broken = [row.model_copy(update={"bins": "{}"}) for row in record.learnt.capacities]
    bench.book.update(
        bench.key, replace(record, learnt=record.learnt.model_copy(update={"capacities": broken}))
    )
    bench.engines.steady = False
    bench.restart()
    bench.minutes(2)
    assert bench.learnt() is None
    assert "begins from its prior" in caplog.text


def test_status_is_valid_small_and_waits_for_the_hour(bench):
    bench.minutes(60)
    first = bench.status()
    FlexibleWorkloadStatus.model_validate(first)
    (row,) = [row for row in first["learnt"]["capacities"] if bench.first in row["placementNames"]]
    assert (row["source"], row["sequences"]) == ("Learnt", 25)
    assert row["samples"] >= 3000
    assert len(row["bins"]) < 500
    writes = bench.book.writes
    assert writes <= 7, "into the book every ten minutes"
    bench.engines.each = 24.0
    bench.minutes(30)
    assert compare(first, bench.status(), ratio=0.02) is Urgency.TOTALS


def test_a_capacity_that_fell_far_is_in_status_within_ten_minutes(bench):
    bench.minutes(60)
    first = bench.status()
    bench.engines.bad = 40
    bench.minutes(20)
    assert compare(first, bench.status(), ratio=0.02) is Urgency.DRIFT


def test_a_load_that_stands_still_is_written_with_the_totals_only(bench):
    bench.minutes(60)
    before = bench.status()
    for _ in range(6):
        bench.minutes(10)
        assert compare(before, bench.status(), ratio=0.02) is Urgency.TOTALS


@pytest.mark.parametrize(("each", "bad"), [(20.0, 0), (10.0, 30), (6.0, 0), (17.0, 3)])
def test_status_says_what_decisions_use(bench, each, bad):
    bench.engines.each, bench.engines.bad = each, bad
    bench.minutes(21)
    used, rows = bench.learnt(), bench.status()["learnt"]["capacities"]
    (row,) = (row for row in rows if bench.first in row["placementNames"])
    assert (row["source"] == "Learnt") is (used is not None)
    prior = 0.7 * PROFILE.max_concurrency_at_objective
    assert row["sequences"] == math.floor(used or prior)


def test_growth_of_the_load_is_learnt_and_survives(bench):
    for index in range(1200):
        bench.engines.load_now = 60.0 if index % 20 == 19 else 40.0
        bench.clock.advance(30.0)
        bench.learning.advance()
    assert bench.learning.growth(bench.key.path) == 500
    bench.restart()
    assert bench.learning.growth(bench.key.path) == 500
    assert bench.status()["learnt"]["growth"]["horizonSeconds"] == PROFILE.cold_start_seconds


def slowed(bench, minutes=40):
    """So many minutes of loads between 10 and 20 on replicas whose tokens take longer with each."""
    bench.engines.slowing = 0.05
    for index in range(minutes):
        bench.engines.each = 10.0 + 10 * (index % 2)
        bench.minutes(1)


def test_how_much_sequences_slow_each_other_down_is_learnt_and_survives(bench):
    slowed(bench, 20)
    assert bench.learning.slowing(bench.key.path, bench.first) is None, "half an hour is evidence"
    slowed(bench)
    assert bench.learning.slowing(bench.key.path, bench.first) == pytest.approx(0.05, rel=1e-3)
    bench.restart()
    assert bench.learning.slowing(bench.key.path, bench.first) == pytest.approx(0.05, rel=1e-3)
    assert bench.learning.slowing(bench.key.path, "nowhere") is None
    assert bench.learning.slowing("team/nobody", bench.first) is None


def test_replicas_that_go_are_no_growth_of_the_load(bench):
    slowed(bench)
    assert bench.learning.slowing(bench.key.path, bench.first) is not None
    for index in range(1200):
        # one demand on six replicas and on five: fuller ones hold more of it
        pods = bench.engines.pods = 5 if index % 20 == 19 else 6
        each = 36 / pods
        bench.engines.load_now = pods * each / (1 - 0.05 * each)
        bench.clock.advance(30.0)
        bench.learning.advance()
    assert bench.learning.growth(bench.key.path) <= 50


def test_kinds_of_before_are_few(bench):
    for index in range(20):
        bench.world.digest = f"template-{index}"
        bench.minutes(2)
    bench.minutes(12)
    assert len(bench.status()["learnt"]["capacities"]) <= MOST_KINDS


def test_a_target_or_profile_that_is_not_known_teaches_nothing(bench):
    bench.profiles = ()
    bench.restart()
    bench.minutes(5)
    assert bench.learnt() is None
    assert bench.engines.asked == []


def test_a_workload_that_went_is_forgotten_and_a_namesake_begins_anew(bench):
    bench.minutes(5)
    bench.store.remove(bench.key)
    bench.learning.advance()
    assert bench.learnt() is None
    again = copy.deepcopy(bench.document)
    again["metadata"]["uid"] = "w-2"
    bench.book.records.clear()
    bench.store.put(Kind.FLEXIBLE_WORKLOAD, again)
    bench.minutes(2)
    assert bench.learnt() is None


def test_the_world_is_asked_for_the_target_of_the_placement(bench):
    row = bench.spec.placements[0]
    key = target_key(bench.key.namespace, bench.spec, row)
    assert key is not None
    assert bench.world.find(member_name(row.site_name, row.cluster_name), key).target.key == key
