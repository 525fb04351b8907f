"""Evidence of new pods: probes to that very pod, then its own counters, taken again after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from wattshift.actuators.warm import WarmBook
from wattshift.adapters.latency.probe import PROBES_NEEDED, ProbeOutcome, ProbeResult
from wattshift.core.engine import Metric, PodCounters
from wattshift.core.model import Objective
from wattshift.kube.views import PodView

OBJECTIVES = (
    Objective(
        metric=Metric.TIME_TO_FIRST_TOKEN,
        threshold_milliseconds=800,
        attainment_permille=950,
        window_seconds=600,
    ),
)


class Engine:
    """Answers probes as told; counts them."""

    def __init__(self) -> None:
        self.first_token = 100.0
        self.outcome = ProbeOutcome.OK
        self.probes: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def probe(self, pod: PodView) -> ProbeResult:
        self.probes.append(pod.uid)
        await self.gate.wait()
        return ProbeResult(
            outcome=self.outcome,
            first_token_milliseconds=self.first_token,
            inter_token_milliseconds=10.0,
            completion_tokens=8,
        )


class Wall:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def pod(uid: str = "a", **more) -> PodView:
    fields = {
        "name": f"pod-{uid}",
        "namespace": "serving",
        "uid": uid,
        "ip": "127.0.0.9",
        "node": "n",
        "phase": "Running",
        "ready": True,
        "terminating": False,
        "scheduled": True,
        "ports": {"http": 8000},
        "labels": {},
        "annotations": {},
        "created_time": 0.0,
        "start_time": 0.0,
        "grace_seconds": 30,
        "restarts": 0,
    }
    return PodView(**(fields | more))


def scrape(uid: str = "a", at: float = 0.0, success: int = 0, running: int = 0) -> PodCounters:
    return PodCounters(
        pod_uid=uid,
        pod_name=f"pod-{uid}",
        scrape_wall_time=at,
        running=running,
        waiting=0,
        success_total=success,
        aborted_total=0,
        prompt_tokens_total=0,
        generation_tokens_total=0,
    )


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def book(engine, wall):
    made = WarmBook(probe=engine.probe, monotonic=wall)
    yield made
    await made.close()


async def settle() -> None:
    for _ in range(4 * PROBES_NEEDED):
        await asyncio.sleep(0)


async def probed(book: WarmBook, *pods: PodView) -> None:
    book.probe(pods, OBJECTIVES)
    await settle()


async def test_a_pod_that_was_never_probed_is_cold(book):
    (row,) = book.evidence([pod()])
    assert not row.warm
    assert row.requests_since_warm == 0
    assert book.problem("a") == "not probed yet"


async def test_good_probes_make_it_warm_and_no_more_are_sent(book, engine):
    await probed(book, pod())
    (row,) = book.evidence([pod()])
    assert row.warm
    assert len(engine.probes) == PROBES_NEEDED
    await probed(book, pod())
    assert len(engine.probes) == PROBES_NEEDED


async def test_a_pod_that_is_not_ready_is_not_probed(book, engine):
    await probed(book, pod(ready=False))
    assert engine.probes == []


async def test_probing_never_waits_and_never_runs_twice_for_one_pod(book, engine):
    engine.gate.clear()
    book.probe([pod()], OBJECTIVES)
    await settle()
    book.probe([pod()], OBJECTIVES)
    await settle()
    assert engine.probes == ["a"]


async def test_a_slow_pod_is_cold_says_why_and_is_tried_again(book, engine):
    engine.first_token = 500.0  # more than half of the objective
    await probed(book, pod())
    assert not book.evidence([pod()])[0].warm
    assert "first token" in book.problem("a")
    engine.first_token = 100.0
    await probed(book, pod())
    assert book.evidence([pod()])[0].warm
    assert book.problem("a") == ""


async def test_a_failed_probe_ends_the_round(book, engine):
    engine.outcome = ProbeOutcome.REFUSED
    await probed(book, pod())
    assert len(engine.probes) == 1
    assert not book.evidence([pod()])[0].warm


async def test_our_own_probes_are_not_users(book, wall):
    await probed(book, pod())
    book.observe([scrape(at=wall.now - 1, success=3)])  # before the last probe was counted
    book.observe([scrape(at=wall.now + 1, success=PROBES_NEEDED)])
    assert book.evidence([pod()])[0].requests_since_warm == 0
    book.observe([scrape(at=wall.now + 2, success=PROBES_NEEDED + 2)])
    assert book.evidence([pod()])[0].requests_since_warm == 2


async def test_running_requests_count_as_carrying_load_only_after_the_base_line(book, wall):
    await probed(book, pod())
    book.observe([scrape(at=wall.now - 1, running=1)])
    assert not book.evidence([pod()])[0].busy, "that may be our own probe"
    book.observe([scrape(at=wall.now + 1, running=1)])
    assert book.evidence([pod()])[0].busy


async def test_an_engine_that_restarted_counts_from_zero(book, wall):
    await probed(book, pod())
    book.observe([scrape(at=wall.now + 1, success=100)])
    book.observe([scrape(at=wall.now + 2, success=3)])
    assert book.evidence([pod()])[0].requests_since_warm == 3


async def test_counters_of_other_pods_are_ignored(book, wall):
    await probed(book, pod())
    book.observe([scrape("b", at=wall.now + 1, success=9)])
    assert book.evidence([pod()])[0].requests_since_warm == 0


async def test_a_terminating_pod_is_not_ready_whatever_its_condition_says(book):
    await probed(book, pod())
    assert not book.evidence([replace(pod(), terminating=True)])[0].ready


async def test_forgotten_pods_start_over(book, engine):
    await probed(book, pod(), pod("b"))
    book.forget({"b"})
    assert [row.warm for row in book.evidence([pod(), pod("b")])] == [False, True]


async def test_a_restart_takes_the_evidence_again(engine, wall, book):
    await probed(book, pod())
    again = WarmBook(probe=engine.probe, monotonic=wall)
    assert not again.evidence([pod()])[0].warm


async def test_closing_cancels_what_is_under_way(engine, wall):
    engine.gate.clear()
    made = WarmBook(probe=engine.probe, monotonic=wall)
    made.probe([pod()], OBJECTIVES)
    await settle()
    await made.close()
    assert not made.evidence([pod()])[0].warm
