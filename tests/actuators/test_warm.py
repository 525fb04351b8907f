"""Warm evidence: probes to the very pod, then its own counters; restarts and replacements."""

from __future__ import annotations

import asyncio

import pytest

from wattshift.actuators.warm import WarmBook
from wattshift.adapters.latency.probe import PROBES_NEEDED, ProbeOutcome, ProbeResult
from wattshift.core.engine import Metric, PodCounters
from wattshift.core.model import Objective
from wattshift.kube.views import PodView

OBJECTIVE = (
    Objective(
        metric=Metric.TIME_TO_FIRST_TOKEN,
        threshold_milliseconds=1000,
        attainment_permille=950,
        window_seconds=600,
    ),
)
GOOD = ProbeResult(outcome=ProbeOutcome.OK, first_token_milliseconds=100.0)
SLOW = ProbeResult(outcome=ProbeOutcome.OK, first_token_milliseconds=900.0)
BAD = ProbeResult(outcome=ProbeOutcome.UNREACHABLE, message="refused")


def pod(uid: str = "p1", *, ready: bool = True, terminating: bool = False) -> PodView:
    return PodView(
        name=uid,
        namespace="team",
        uid=uid,
        ip="10.0.0.1",
        node="n",
        phase="Running",
        ready=ready,
        terminating=terminating,
        scheduled=True,
        ports={},
        labels={},
        annotations={},
        created_time=0.0,
        start_time=0.0,
        grace_seconds=30,
        restarts=0,
    )


def counters(success: int, at: float, *, uid: str = "p1", running: int = 0) -> PodCounters:
    return PodCounters(
        pod_uid=uid,
        pod_name=uid,
        scrape_wall_time=at,
        running=running,
        waiting=0,
        success_total=success,
        aborted_total=0,
        prompt_tokens_total=0,
        generation_tokens_total=0,
    )


class Scene:
    """Probes answer from a list, then as the last one did; the clock stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.answers: list[ProbeResult] = []
        self.usual = GOOD
        self.probed: list[str] = []
        self.book = WarmBook(probe=self.probe, monotonic=lambda: self.now)

    async def probe(self, view: PodView) -> ProbeResult:
        self.probed.append(view.uid)
        return self.answers.pop(0) if self.answers else self.usual

    async def round(self, *views: PodView) -> None:
        self.book.probe(views or (pod(),), OBJECTIVE)
        for _ in range(3 * PROBES_NEEDED):
            await asyncio.sleep(0)

    def evidence(self, view: PodView | None = None):
        return self.book.evidence([view or pod()])[0]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_pod_is_warm_after_five_good_probes_and_carries_nothing_yet(scene):
    await scene.round()
    found = scene.evidence()
    assert found.warm and found.requests_since_warm == 0 and not found.busy
    assert len(scene.probed) == PROBES_NEEDED and scene.book.problem("p1") == ""


async def test_a_pod_that_was_never_probed_is_not_warm(scene):
    assert not scene.evidence().warm
    assert scene.book.problem("p1") == "not probed yet"


async def test_a_pod_that_is_not_ready_is_not_probed(scene):
    await scene.round(pod(ready=False))
    assert scene.probed == [] and not scene.evidence(pod(ready=False)).warm


async def test_a_failed_probe_ends_the_round_and_the_next_one_may_pass(scene):
    scene.answers = [GOOD, BAD]
    await scene.round()
    assert len(scene.probed) == 2 and not scene.evidence().warm and scene.book.problem("p1")
    await scene.round()
    assert scene.evidence().warm


async def test_slow_answers_are_not_warm_until_they_are_fast(scene):
    scene.usual = SLOW
    await scene.round()
    assert not scene.evidence().warm
    scene.usual = GOOD
    await scene.round()
    assert scene.evidence().warm


async def test_a_warm_pod_is_left_alone(scene):
    await scene.round()
    await scene.round()
    assert len(scene.probed) == PROBES_NEEDED


async def test_probes_do_not_count_as_traffic(scene):
    scene.book.observe([counters(0, 90.0)])
    await scene.round()
    scene.book.observe([counters(PROBES_NEEDED, 101.0)])
    assert scene.evidence().requests_since_warm == 0
    scene.book.observe([counters(PROBES_NEEDED + 3, 106.0)])
    assert scene.evidence().requests_since_warm == 3


async def test_a_scrape_from_before_the_last_probe_is_no_base_line(scene):
    await scene.round()
    scene.book.observe([counters(2, 99.0)])
    assert scene.evidence().requests_since_warm == 0
    scene.book.observe([counters(PROBES_NEEDED, 105.0)])
    assert scene.evidence().requests_since_warm == 0


async def test_running_requests_show_a_pod_busy_only_after_its_base_line(scene):
    await scene.round()
    scene.book.observe([counters(5, 99.0, running=2)])
    assert not scene.evidence().busy
    scene.book.observe([counters(5, 101.0, running=2)])
    assert scene.evidence().busy


async def test_an_engine_that_restarted_in_its_pod_proves_itself_again(scene):
    await scene.round()
    scene.book.observe([counters(50, 101.0)])
    scene.book.observe([counters(60, 106.0)])
    assert scene.evidence().requests_since_warm == 10
    scene.book.observe([counters(4, 111.0)])
    assert not scene.evidence().warm and scene.evidence().requests_since_warm == 0
    assert scene.book.problem("p1") == "the engine restarted"
    scene.now = 112.0
    await scene.round()
    scene.book.observe([counters(9, 113.0)])
    scene.book.observe([counters(11, 118.0)])
    assert scene.evidence().warm and scene.evidence().requests_since_warm == 2


async def test_a_pod_that_took_the_place_of_another_starts_from_nothing(scene):
    await scene.round()
    scene.book.forget({"p2"})
    assert not scene.evidence().warm
    await scene.round(pod("p2"))
    assert scene.evidence(pod("p2")).warm


async def test_a_new_process_takes_the_evidence_again(scene):
    await scene.round()
    fresh = Scene()
    assert not fresh.evidence().warm


async def test_a_terminating_pod_is_not_ready_evidence(scene):
    await scene.round()
    assert not scene.evidence(pod(terminating=True)).ready


async def test_a_probe_under_way_is_not_started_twice_and_is_cancelled_at_the_end():
    asked = []

    async def hang(view: PodView) -> ProbeResult:
        asked.append(view.uid)
        await asyncio.Event().wait()
        return GOOD

    book = WarmBook(probe=hang, monotonic=lambda: 0.0)
    for _ in range(3):
        book.probe([pod()], OBJECTIVE)
        await asyncio.sleep(0)
    assert asked == ["p1"]
    await book.close()
    await asyncio.sleep(0)
    assert not book.evidence([pod()])[0].warm


async def test_counters_of_pods_that_nobody_moves_are_ignored(scene):
    scene.book.observe([counters(5, 100.0, uid="stranger")])
    assert not scene.evidence(pod("stranger")).warm
