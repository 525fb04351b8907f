"""The elector: timings that make sense, and two candidates on a real API server.

Durations are scaled down by the injected timings; a frozen process is a clock that jumps.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.control.leader import CLIENT_TIMINGS, Elector, LeaseTimings
from wattshift.errors import FenceLost, NeedsHuman
from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.resources import LEASES

SHORT = LeaseTimings(lease=2.0, renew_deadline=1.4, retry=0.25, fence_margin=0.6)
DEADLINE_SECONDS = 20.0


class SkewedClock:
    """Monotonic time that a test can push forward, as a process sees it after SIGSTOP."""

    def __init__(self) -> None:
        self.skew = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skew


class Candidate:
    """One elector with its own client, clock and record of what it was told."""

    def __init__(
        self, access: Access, namespace: str, identity: str, timings: LeaseTimings = SHORT
    ):
        self.clock = SkewedClock()
        self.client = ClusterClient(
            name="hub", access=access, clock=self.clock, timings=CLIENT_TIMINGS
        )
        self.lost: list[str] = []
        self.acquired = 0
        self.elector = Elector(
            client=self.client,
            namespace=namespace,
            identity=identity,
            clock=self.clock,
            epoch=time.time,
            timings=timings,
            on_lost=self.lost.append,
            on_acquired=self.count,
            rng=random.Random(7),
        )
        self.task = asyncio.create_task(self.elector.run())

    def count(self) -> None:
        self.acquired += 1

    async def leads(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.elector.wait_acquired()

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.task

    async def kill(self) -> None:
        """As SIGKILL: nothing is released."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def candidate(api_server, namespace):
    access = load_hub_files([api_server.kubeconfig])
    found: list[Candidate] = []

    def build(identity: str, **options) -> Candidate:
        found.append(Candidate(options.pop("access", access), namespace, identity, **options))
        return found[-1]

    yield build
    for one in found:
        await one.kill()
        await one.client.close()


def lease(api_server, namespace) -> dict:
    path = LEASES.path(namespace=namespace, name="wattshift")
    return api_server.access.get(path)["spec"]


async def until(condition, what: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


# -- timings -----------------------------------------------------------------------------


def test_the_default_timings_are_those_of_the_design():
    timings = LeaseTimings()
    assert (timings.lease, timings.renew_deadline, timings.retry) == (15, 10, 2)
    assert timings.fence_margin == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease": 10.0, "renew_deadline": 10.0},
        {"renew_deadline": 2.0, "retry": 2.0},
        {"renew_deadline": 2.3, "retry": 2.0},
        {"retry": 0.0},
        {"lease": 0.5, "renew_deadline": 0.4, "retry": 0.1, "fence_margin": 0.1},
        {"fence_margin": 13.0},
        {"fence_margin": 0.0},
    ],
)
def test_timings_that_would_allow_two_leaders_or_none_are_refused(wrong):
    with pytest.raises(NeedsHuman) as caught:
        LeaseTimings(**wrong)
    assert caught.value.reason == "LeaseTimingsInvalid"


@given(
    lease=st.floats(0.1, 100),
    deadline=st.floats(0.1, 100),
    retry=st.floats(0.01, 50),
    margin=st.floats(0.01, 50),
)
def test_accepted_timings_always_leave_time_to_act_and_to_stop(lease, deadline, retry, margin):
    try:
        LeaseTimings(lease=lease, renew_deadline=deadline, retry=retry, fence_margin=margin)
    except NeedsHuman:
        return
    assert retry < deadline < lease  # it stops before another may start
    assert lease - retry > margin  # between two renewals there is time to act


# -- one elector -------------------------------------------------------------------------


@pytest.mark.lab
async def test_a_candidate_alone_leads_and_writes_a_complete_record(
    candidate, api_server, namespace
):
    one = candidate("one")
    with pytest.raises(FenceLost):
        one.elector.fence()
    await one.leads()
    one.elector.fence()
    assert one.elector.is_leader and one.elector.healthy() and one.acquired == 1
    spec = lease(api_server, namespace)
    assert spec["holderIdentity"] == "one"
    assert spec["leaseDurationSeconds"] == 2
    assert spec["acquireTime"] and spec["renewTime"]


@pytest.mark.lab
async def test_renewals_move_the_deadline_and_keep_the_acquire_time(
    candidate, api_server, namespace
):
    one = candidate("one")
    await one.leads()
    before, until_before = lease(api_server, namespace), one.elector.valid_until
    await until(lambda: one.elector.valid_until > until_before, "renewed")
    after = lease(api_server, namespace)
    assert (
        after["acquireTime"] == before["acquireTime"] and after["renewTime"] > before["renewTime"]
    )


@pytest.mark.lab
async def test_the_lease_counts_from_before_the_renewal_was_sent(candidate):
    one = candidate("one")
    start = one.clock()
    await one.leads()
    assert one.elector.valid_until <= one.clock() + SHORT.lease
    assert one.elector.valid_until >= start + SHORT.lease


@pytest.mark.lab
async def test_a_lease_deleted_by_somebody_is_made_again_by_the_leader(
    candidate, api_server, namespace
):
    one = candidate("one")
    await one.leads()
    api_server.access.delete(LEASES.path(namespace=namespace, name="wattshift"))
    renewed = one.elector.valid_until
    await until(lambda: one.elector.valid_until > renewed, "made again")
    assert lease(api_server, namespace)["holderIdentity"] == "one" and one.lost == []


# -- two electors ------------------------------------------------------------------------


@pytest.mark.lab
async def test_only_one_of_two_leads_and_the_other_is_a_healthy_standby(candidate):
    pair = [candidate("a"), candidate("b")]
    await until(lambda: any(c.elector.is_leader for c in pair), "a leader")
    await until(lambda: all(c.elector.holder for c in pair), "both see the holder")
    leaders = [c for c in pair if c.elector.is_leader]
    standby = next(c for c in pair if not c.elector.is_leader)
    assert len(leaders) == 1
    assert standby.elector.healthy() and standby.elector.holder == leaders[0].elector.identity
    with pytest.raises(FenceLost):
        standby.elector.fence()


@pytest.mark.lab
async def test_a_released_lease_is_taken_over_without_waiting_for_its_duration(
    candidate, api_server, namespace
):
    # The lease would last 60 s: taking over inside the deadline proves that release was honoured.
    long = LeaseTimings(lease=60.0, renew_deadline=40.0, retry=0.3, fence_margin=5.0)
    first = candidate("first", timings=long)
    await first.leads()
    second = candidate("second", timings=long)
    await until(lambda: second.elector.holder == "first", "seen")
    await first.elector.release()
    assert not first.elector.is_leader and first.lost == []
    with pytest.raises(FenceLost):
        first.elector.fence()
    await second.leads()
    spec = lease(api_server, namespace)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)
    await first.ended()  # released: it returns without calling on_lost
    assert first.lost == []


@pytest.mark.lab
async def test_release_writes_an_empty_holder_and_one_second(candidate, api_server, namespace):
    one = candidate("one")
    await one.leads()
    await one.elector.release()
    spec = lease(api_server, namespace)
    assert spec.get("holderIdentity", "") == "" and spec["leaseDurationSeconds"] == 1
    await one.elector.release()  # idempotent


@pytest.mark.lab
async def test_release_by_a_standby_touches_nothing(candidate, api_server, namespace):
    first = candidate("first")
    await first.leads()
    second = candidate("second")
    await until(lambda: second.elector.holder == "first", "seen")
    await second.elector.release()
    assert lease(api_server, namespace)["holderIdentity"] == "first" and first.elector.is_leader


@pytest.mark.lab
async def test_after_a_kill_the_standby_waits_for_the_record_to_run_out_as_it_saw_it(candidate):
    first = candidate("first")
    await first.leads()
    second = candidate("second")
    await until(lambda: second.elector.holder == "first", "seen")
    await first.kill()
    valid_until = first.elector.valid_until
    await second.leads()
    # Never before the dead leader's own fence has closed; both clocks are the same machine's.
    assert second.elector.valid_until - SHORT.lease >= valid_until
    assert second.elector.holder == "second"


@pytest.mark.lab
async def test_a_frozen_leader_loses_its_fence_at_once_and_calls_on_lost(candidate):
    frozen = candidate("frozen")
    await frozen.leads()
    frozen.clock.skew += 3.0  # SIGSTOP for longer than the lease, then SIGCONT
    with pytest.raises(FenceLost):
        frozen.elector.fence()
    assert not frozen.elector.is_leader
    await frozen.ended()
    assert len(frozen.lost) == 1 and "not renewed" in frozen.lost[0]


@pytest.mark.lab
async def test_a_leader_that_wakes_up_behind_another_one_says_who_took_it(
    candidate, api_server, namespace
):
    deposed = candidate("deposed")
    await deposed.leads()
    path = LEASES.path(namespace=namespace, name="wattshift")
    api_server.access.merge(path, {"spec": {"holderIdentity": "thief", "leaseTransitions": 9}})
    await deposed.ended()
    assert deposed.lost == ["taken by thief"]
    with pytest.raises(FenceLost):
        deposed.elector.fence()


@pytest.mark.lab
async def test_the_fence_closes_before_the_lease_ends(candidate):
    one = candidate("one")
    await one.leads()
    await one.kill()
    one.clock.skew = one.elector.valid_until - SHORT.fence_margin / 2 - time.monotonic()
    assert one.elector.is_leader  # still ours, but a write could land after its end
    with pytest.raises(FenceLost, match="nothing is written"):
        one.elector.fence()


@pytest.mark.lab
async def test_without_the_hub_a_leader_gives_up_at_its_deadline(two_api_servers, candidate):
    hub = two_api_servers[0]
    from e2e.lab.control_plane import drop_namespace, new_namespace

    space = new_namespace(hub.access)
    one = Candidate(load_hub_files([hub.kubeconfig]), space, "one")
    try:
        await one.leads()
        hub.freeze()
        try:
            await one.ended()
        finally:
            hub.thaw()
        assert len(one.lost) == 1 and not one.elector.is_leader
    finally:
        await one.kill()
        await one.client.close()
        drop_namespace(hub.access, space)


@pytest.mark.lab
async def test_a_candidate_that_may_not_touch_the_lease_says_so_and_is_not_healthy(
    candidate, api_server
):
    access = load_hub_files([api_server.kubeconfig])
    wrong = Access(server=access.server, ca_pem=access.ca_pem, token_text="nobody")
    one = candidate("one", access=wrong)
    await until(lambda: one.elector.failure is not None, "failure")
    assert isinstance(one.elector.failure, NeedsHuman)
    assert not one.elector.healthy() and not one.elector.is_leader
