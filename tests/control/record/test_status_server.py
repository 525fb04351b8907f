"""The status book, finalizers and events against a real API server, with a clock that tests move."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from wattshift.control.clock import ManualClock
from wattshift.control.hub.conditions import condition
from wattshift.control.record.events import EventRecorder
from wattshift.control.hub.finalizer import (
    IN_USE,
    ORIGINALS,
    RESTORE,
    hold_site,
    let_go_of_site,
    originals_annotation,
    parse_originals,
    protect_workload,
    unprotect_workload,
)
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.records import PlacementRecord, SiteRecord, TotalsRecord
from wattshift.control.record.status import StatusBook
from wattshift.core.model import Original
from wattshift.errors import FenceLost, NeedsHuman, Transient
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.resources import EVENTS

pytestmark = pytest.mark.lab
GROUP = "/apis/wattshift.io/v1alpha1"
ORIGINAL = Original(
    placement_name="here",
    cluster_uid="c-1",
    target_uid="t-1",
    replicas=3,
    captured_time=1_790_000_000.0,
)


@pytest.fixture
async def hub(api_server, crds) -> AsyncIterator[ClusterClient]:
    client = ClusterClient(
        name="hub", access=load_hub_files([api_server.kubeconfig]), clock=time.monotonic
    )
    yield client
    await client.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(utc=1_790_000_000.0)


class Bench:
    """A workload on the server and a book that has seen it."""

    def __init__(self, access, hub, clock, namespace, objects, **options) -> None:
        self.access, self.clock = access, clock
        self.path = f"{GROUP}/namespaces/{namespace}/flexibleworkloads/chat"
        self.key = ObjectKey.workload(f"{namespace}/chat")
        access.apply(objects.workload(namespace, "chat", "s1"))
        self.flips: list[tuple[str, str]] = []
        self.book = StatusBook(
            client=hub,
            clock=clock,
            on_flip=lambda _key, row: self.flips.append((row.type, row.status.value)),
            **options,
        )
        self.see()

    def see(self) -> None:
        body = self.access.get(self.path)
        self.book.observe(
            self.key,
            uid=body["metadata"]["uid"],
            generation=body["metadata"]["generation"],
            version=body["metadata"]["resourceVersion"],
            status=body.get("status") or {},
        )

    def version(self) -> str:
        return self.access.get(self.path)["metadata"]["resourceVersion"]

    def status(self) -> dict:
        return self.access.get(self.path).get("status") or {}


@pytest.fixture
def bench(crds, hub, clock, namespace, objects) -> Bench:
    return Bench(crds, hub, clock, namespace, objects)


async def test_what_is_persisted_is_on_the_server_when_the_call_returns(bench):
    record = bench.book.workload(bench.key)
    row = PlacementRecord(name="here", desired_replicas=3, target_uid="t-1", cluster_uid="c-1")
    bench.book.update(
        bench.key, replace(record, originals=(ORIGINAL,), placements=record.with_placement(row))
    )
    await bench.book.persist_now(bench.key)
    status = bench.status()
    assert status["placements"][0]["desiredReplicas"] == 3
    assert status["originals"][0]["replicas"] == 3


async def test_persisting_twice_writes_once(bench):
    bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
    await bench.book.persist_now(bench.key)
    version = bench.version()
    await bench.book.persist_now(bench.key)
    assert await bench.book.flush() == 0
    assert bench.version() == version


async def test_two_updates_in_turn_keep_each_other(bench):
    bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
    await bench.book.persist_now(bench.key)
    record = bench.book.workload(bench.key)
    bench.book.update(bench.key, replace(record, moves_today=1, moves_day="2026-11-22"))
    await bench.book.persist_now(bench.key)
    status = bench.status()
    assert status["conditions"][0]["type"] == "Accepted"
    assert status["movesToday"]["count"] == 1


async def test_a_restart_loads_the_records_and_keeps_transition_times(bench, hub):
    record = bench.book.workload(bench.key)
    bench.book.set_conditions(bench.key, condition("Ready", True, "Resolved"))
    bench.book.update(
        bench.key, replace(record, originals=(ORIGINAL,), paused_since_time=1_790_000_000.0)
    )
    await bench.book.persist_now(bench.key)
    version = bench.version()
    bench.clock.advance(500)
    bench.book = StatusBook(client=hub, clock=bench.clock)
    bench.see()
    assert bench.book.workload(bench.key).originals == (ORIGINAL,)
    assert bench.book.workload(bench.key).paused_since_time == 1_790_000_000.0
    bench.book.set_conditions(bench.key, condition("Ready", True, "Resolved"))
    assert await bench.book.flush() == 0
    assert bench.version() == version


async def test_telemetry_waits_for_the_minute_and_a_flip_does_not(bench):
    record = bench.book.workload(bench.key)
    bench.book.set_conditions(bench.key, condition("Ready", True, "Resolved"))
    bench.book.update(bench.key, replace(record, power_watts=1000))
    assert await bench.book.flush() == 1
    bench.book.set_conditions(bench.key, condition("Ready", True, "Resolved", "other words"))
    bench.clock.advance(30)
    assert await bench.book.flush() == 0
    bench.clock.advance(31)
    assert await bench.book.flush() == 1
    bench.book.set_conditions(bench.key, condition("Ready", False, "SiteUnknown"))
    assert await bench.book.flush() == 1
    assert bench.flips == [("Ready", "False")]


async def test_a_deleted_object_is_not_created_again_and_the_act_is_told(bench):
    bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
    bench.access.delete(bench.path)
    with pytest.raises(NeedsHuman) as caught:
        await bench.book.persist_now(bench.key)
    assert caught.value.reason == "ObjectGone"
    assert not bench.access.exists(bench.path)
    with pytest.raises(NeedsHuman):
        await bench.book.persist_now(bench.key)


async def test_a_namesake_does_not_get_the_status_of_the_object_before_it(
    bench, namespace, objects
):
    bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
    bench.access.delete(bench.path)
    bench.access.apply(objects.workload(namespace, "chat", "s1"))
    with pytest.raises(NeedsHuman) as caught:
        await bench.book.persist_now(bench.key)
    assert caught.value.reason == "ObjectGone"
    assert bench.status() == {}
    bench.see()
    assert bench.book.condition(bench.key, "Accepted") is None


async def test_damage_by_others_is_repaired_and_additions_of_others_are_not_damage(bench):
    bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
    await bench.book.persist_now(bench.key)
    bench.access.merge(f"{bench.path}/status", {"status": {"powerWatts": 7}})
    bench.see()
    bench.clock.advance(120)
    assert await bench.book.flush() == 0
    bench.access.merge(f"{bench.path}/status", {"status": {"conditions": []}})
    bench.see()
    assert await bench.book.flush() == 1
    assert bench.status()["conditions"][0]["type"] == "Accepted"


async def test_without_the_lease_nothing_is_written_and_the_record_stays(
    api_server, crds, clock, namespace, objects
):
    def refuse() -> None:
        raise FenceLost("not ours")

    client = ClusterClient(
        name="hub",
        access=load_hub_files([api_server.kubeconfig]),
        clock=time.monotonic,
        write_guard=refuse,
    )
    try:
        bench = Bench(crds, client, clock, namespace, objects)
        bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
        for write in (bench.book.persist_now(bench.key), bench.book.flush()):
            with pytest.raises(Transient):
                await write
        assert bench.status() == {}
    finally:
        await client.close()


async def test_an_unknown_object_has_an_empty_record_and_a_record_of_another_kind_is_a_bug(bench):
    assert bench.book.site(ObjectKey.site("none")) == SiteRecord()
    with pytest.raises(TypeError):
        bench.book.site(bench.key)


# ---- finalizers ------------------------------------------------------------------------------


async def test_finalizer_and_originals_come_and_go_in_one_request(bench, hub):
    uid = bench.access.get(bench.path)["metadata"]["uid"]
    await protect_workload(hub, bench.key, uid=uid, originals=[ORIGINAL])
    metadata = bench.access.get(bench.path)["metadata"]
    assert metadata["finalizers"] == [RESTORE]
    assert parse_originals(metadata["annotations"][ORIGINALS]) == (ORIGINAL,)
    version = metadata["resourceVersion"]
    await protect_workload(hub, bench.key, uid=uid, originals=[ORIGINAL])
    assert bench.version() == version
    await unprotect_workload(hub, bench.key, uid=uid)
    metadata = bench.access.get(bench.path)["metadata"]
    assert "finalizers" not in metadata
    assert ORIGINALS not in metadata.get("annotations", {})


async def test_finalizers_of_others_stay(bench, hub):
    bench.access.merge(bench.path, {"metadata": {"finalizers": ["example.com/theirs"]}})
    uid = bench.access.get(bench.path)["metadata"]["uid"]
    await protect_workload(hub, bench.key, uid=uid, originals=[ORIGINAL])
    assert bench.access.get(bench.path)["metadata"]["finalizers"] == ["example.com/theirs", RESTORE]
    await unprotect_workload(hub, bench.key, uid=uid)
    assert bench.access.get(bench.path)["metadata"]["finalizers"] == ["example.com/theirs"]


async def test_an_object_that_is_being_deleted_or_was_replaced_is_not_protected(bench, hub):
    with pytest.raises(NeedsHuman) as caught:
        await protect_workload(hub, bench.key, uid="another", originals=[ORIGINAL])
    assert caught.value.reason == "ObjectReplaced"
    bench.access.merge(bench.path, {"metadata": {"finalizers": ["example.com/theirs"]}})
    bench.access.delete(bench.path)
    uid = bench.access.get(bench.path)["metadata"]["uid"]
    with pytest.raises(NeedsHuman) as caught:
        await protect_workload(hub, bench.key, uid=uid, originals=[ORIGINAL])
    assert caught.value.reason == "Deleting"


async def test_a_protected_object_survives_its_deletion_until_it_is_let_go(bench, hub):
    uid = bench.access.get(bench.path)["metadata"]["uid"]
    await protect_workload(hub, bench.key, uid=uid, originals=[ORIGINAL])
    bench.access.delete(bench.path)
    assert bench.access.exists(bench.path)
    await unprotect_workload(hub, bench.key, uid=uid)
    assert not bench.access.exists(bench.path)
    assert await unprotect_workload(hub, bench.key, uid=uid) is None


async def test_a_site_is_held_while_in_use(crds, hub, objects):
    crds.apply(objects.site("s1"))
    path, key = f"{GROUP}/powersites/s1", ObjectKey.site("s1")
    uid = crds.get(path)["metadata"]["uid"]
    await hold_site(hub, key, uid=uid)
    await hold_site(hub, key, uid=uid)
    assert crds.get(path)["metadata"]["finalizers"] == [IN_USE]
    crds.delete(path)
    await let_go_of_site(hub, key, uid=uid)
    assert not crds.exists(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '[{"placementName": "a"}]',
        originals_annotation([ORIGINAL]).replace("3", "-3"),
    ],
)
def test_an_annotation_that_somebody_edited_is_refused_and_never_guessed(text):
    if text == "{}":
        assert parse_originals(text) == ()
        return
    with pytest.raises(NeedsHuman) as caught:
        parse_originals(text)
    assert caught.value.reason == "OriginalsUnknown"


# ---- events ----------------------------------------------------------------------------------


async def test_a_repeat_becomes_a_series_and_reaches_the_server_now_and_then(hub, clock, namespace):
    results: list[str] = []
    recorder = EventRecorder(
        client=hub, clock=clock, instance="op-1", on_result=results.append, series_seconds=300
    )
    key = ObjectKey.workload(f"{namespace}/chat")

    async def tell(note: str) -> None:
        recorder.emit(key, "u-1", reason="SiteLimit", action="Scale", note=note, warning=True)
        await recorder.drain()

    await tell("4 to 3")
    for _ in range(5):
        clock.advance(10)
        await tell("3 to 2")
    clock.advance(300)
    await tell("2 to 1")
    assert results == ["created", "series", "series"]
    (event,) = (await hub.list(EVENTS, namespace=namespace)).items
    assert event["series"]["count"] == 7
    assert (event["reason"], event["action"], event["type"]) == ("SiteLimit", "Scale", "Warning")
    assert event["regarding"]["kind"] == "FlexibleWorkload"
    assert event["reportingController"] == "wattshift.io/controller"
    clock.advance(3600)
    await tell("again")
    assert len((await hub.list(EVENTS, namespace=namespace)).items) == 2


async def test_a_long_note_is_cut_and_a_flood_is_dropped_and_counted(hub, clock, namespace):
    results: list[str] = []
    recorder = EventRecorder(
        client=hub, clock=clock, instance="op-1", capacity=2, on_result=results.append
    )
    key = ObjectKey.workload(f"{namespace}/chat")
    for number in range(5):
        recorder.emit(key, "u-1", reason=f"R{number}", action="Scale", note="功" * 2000)
    assert results == ["dropped"] * 3
    await recorder.drain()
    events = (await hub.list(EVENTS, namespace=namespace)).items
    assert sorted(row["reason"] for row in events) == ["R0", "R1"]
    assert all(len(row["note"].encode()) <= 1024 for row in events)


async def test_events_of_cluster_scoped_objects_are_kept_in_default(hub, clock):
    recorder = EventRecorder(client=hub, clock=clock, instance="op-1")
    recorder.emit(ObjectKey.site("s-event"), "u-2", reason="EventLimit", action="Govern", note="x")
    await recorder.drain()
    names = [
        row["regarding"]["name"]
        for row in (await hub.list(EVENTS, namespace="default")).items
        if "regarding" in row
    ]
    assert "s-event" in names


async def test_at_the_end_sums_that_would_wait_for_the_hour_are_written(bench):
    record = bench.book.workload(bench.key)
    bench.book.update(bench.key, replace(record, totals=TotalsRecord(since_time=0.0)))
    assert await bench.book.flush() == 1
    record = bench.book.workload(bench.key)
    bench.book.update(
        bench.key, replace(record, totals=TotalsRecord(since_time=0.0, watt_hours=700))
    )
    bench.clock.advance(120)
    assert await bench.book.flush() == 0
    await bench.book.flush_sums()
    assert bench.status()["totals"]["wattHours"] == 700
    version = bench.version()
    await bench.book.flush_sums()
    assert bench.version() == version


async def test_a_status_that_cannot_be_composed_keeps_no_other_from_being_written(bench):
    poison = ObjectKey.site("aaa")
    bench.book.observe(poison, uid="u", generation=1, version="1", status={})
    bench.book.update(poison, replace(bench.book.site(poison), active_events=("no event",)))
    first = dict.fromkeys([poison, bench.key])
    bench.book._pages = {key: bench.book._pages[key] for key in first}
    bench.book.set_conditions(bench.key, condition("Accepted", True, "Valid"))
    with pytest.raises(AttributeError):
        await bench.book.flush()
    assert bench.status()["conditions"][0]["type"] == "Accepted"
    await bench.book.flush_sums()
