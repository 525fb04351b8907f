"""The Snapshot on a real API server: unknown stays unknown, problems by name, caches that let go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.control.bench import GROUP
from wattshift.api.site_status import ClusterStatus
from wattshift.control.hub.conditions import format_utc, parse_utc
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.record.recorder import (
    Step,
    dump_snapshot,
    dump_step,
    load_snapshot,
    load_step,
)
from wattshift.core.model import MemberPhase, Mode, OverrideMode
from wattshift.core.planner.planner import plan
from wattshift.core.reasons import Reason
from wattshift.kube.views import TargetKey
from wattshift.obs.metrics import Metrics

pytestmark = pytest.mark.lab


def east(bench):
    return bench.workload().placements[0]


async def test_a_target_that_is_not_visible_has_no_count_at_all(bench):
    bench.access.delete(bench.deployment("east"))
    await bench.until(lambda: not bench.pool.view("east/hub").targets.keys() & {_key(bench)})
    row = east(bench)
    assert (row.target_found, row.target_problem) == (False, str(Reason.TARGET_NOT_FOUND))
    assert row.observed_replicas is row.ready_replicas is row.in_service_replicas is None


def _key(bench):
    return TargetKey("apps/v1", "Deployment", bench.namespace, "chat-east")


async def test_in_service_are_ready_pods_that_are_not_terminating(bench):
    row = east(bench)
    assert (row.observed_replicas, row.ready_replicas, row.in_service_replicas) == (4, 4, 4)
    path = f"/api/v1/namespaces/{bench.namespace}/pods/east-0"
    bench.access.merge(
        f"{path}/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    )
    await bench.until(lambda: east(bench).in_service_replicas == 3)


async def test_each_problem_of_a_target_has_its_reason(bench):
    owner = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "name": "x",
        "uid": "u",
        "controller": True,
    }
    bench.access.merge(bench.deployment("west"), {"metadata": {"ownerReferences": [owner]}})
    await bench.until(lambda: bench.workload().placements[1].target_problem == str(Reason.CONFLICT))
    path = bench.deployment("east")
    bench.access.merge(path, {"spec": {"paused": True}})
    await bench.until(lambda: east(bench).target_problem == str(Reason.ROLLOUT_IN_PROGRESS))
    container = {"name": "engine", "image": "engine", "readinessProbe": None}
    bench.access.merge(path, {"spec": {"template": {"spec": {"containers": [container]}}}})
    await bench.until(lambda: east(bench).target_problem == "ReadinessUnknown")


async def test_an_autoscaler_owns_its_target(bench):
    hpa = {
        "metadata": {"name": "chat"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat-east"},
            "maxReplicas": 9,
        },
    }
    path = f"/apis/autoscaling/v2/namespaces/{bench.namespace}/horizontalpodautoscalers"
    bench.access.create(path, hpa)
    await bench.until(lambda: east(bench).target_problem == str(Reason.CONFLICT))


async def test_a_cluster_that_is_another_one_than_recorded_is_lost(bench):
    key = ObjectKey.site("east")
    record = bench.book.site(key)
    other = ClusterStatus.model_construct(name="hub", uid="00000000-0000-0000-0000-000000000009")
    bench.book.update(key, replace(record, clusters=(other,)))
    snapshot = bench.snapshot()
    assert snapshot.sites[0].members[0].phase is MemberPhase.LOST
    assert east(bench).target_problem == "ClusterIdentityChanged"


async def test_the_static_part_is_converted_once_and_anew_when_it_must(bench):
    bench.snapshot()
    first = bench.gather._statics[bench.key].state
    bench.snapshot()
    assert bench.gather._statics[bench.key].state is first
    bench.access.merge(bench.path, {"spec": {"priority": 7}})
    await bench.see()
    assert bench.workload().priority == 7
    second = bench.gather._statics[bench.key].state
    assert second is not first
    bench.access.merge(f"{GROUP}/powersites/east", {"spec": {"mode": "Observe"}})
    await bench.see()
    assert bench.workload().mode is Mode.OBSERVE


async def test_an_override_ends_by_itself(bench):
    until = bench.clock.grid() + 600
    override = {
        "mode": "Hold",
        "untilTime": format_utc(until),
        "reason": "r",
        "requestedBy": "ops",
    }
    bench.access.merge(bench.path, {"spec": {"override": override}})
    await bench.see()
    assert bench.workload().override.mode is OverrideMode.HOLD
    bench.clock.advance(601)
    assert bench.workload().override is None


async def test_a_deleted_workload_leaves_nothing_behind(bench):
    bench.snapshot()
    assert bench.gather._statics
    bench.access.delete(bench.path)
    await bench.see()
    assert bench.snapshot().workloads == () and not bench.gather._statics


async def test_one_copy_missing_is_doubt_only_while_something_deviates(bench):
    await bench.set("east", 2)
    await bench.settled()
    bench.access.merge(bench.path, {"metadata": {"annotations": {"wattshift.io/originals": None}}})
    await bench.settled()
    assert not bench.workload().originals_known
    bench.set_replicas("east", 4)
    await bench.settled()
    assert bench.workload().originals_known


async def test_an_event_that_could_not_be_recorded_is_acted_on_by_nobody(bench):
    event = {
        "name": "dr",
        "type": "Limit",
        "reference": "Absolute",
        "startTime": "2026-09-21T00:00:00Z",
        "endTime": "2026-09-22T00:00:00Z",
        "upperWatts": 3000,
    }
    bench.access.merge(f"{GROUP}/powersites/east", {"spec": {"events": [event]}})
    await bench.see()
    bench.clock.advance(parse_utc("2026-09-21T06:00:00Z") - bench.clock.utc())
    bench.fenced = True
    for _ in range(2):
        await bench.gather.persist_events()
        assert bench.snapshot().sites[0].events == ()
    bench.fenced = False
    await bench.gather.persist_events()
    (row,) = bench.snapshot().sites[0].events
    assert row.active and row.upper_watts == 3000
    status = bench.access.get(f"{GROUP}/powersites/east")["status"]
    assert status["activeEvents"][0]["state"] == "Active"


async def test_what_is_gathered_comes_back_from_json_and_plans_the_same(bench):
    await bench.set("east", 2)
    snapshot = bench.snapshot()
    assert load_snapshot(dump_snapshot(snapshot)) == snapshot
    decided = plan(snapshot, snapshot.grid_time)
    back = load_step(dump_step(Step(snapshot=snapshot, plan=decided)))
    assert plan(back.snapshot, back.snapshot.grid_time) == decided == back.plan


async def test_equal_worlds_are_equal_snapshots(bench):
    first, second = bench.snapshot(), bench.snapshot()
    assert (first.workloads, first.profiles) == (second.workloads, second.profiles)


async def test_an_object_that_cannot_be_gathered_is_told_once_and_stops_no_other(bench, caplog):
    bench.runtime.metrics = Metrics()
    whole = bench.snapshot()
    record = bench.book.site(ObjectKey.site("east"))
    bench.book.update(ObjectKey.site("east"), replace(record, active_events=("no event",)))
    for _ in range(3):
        await bench.gather.persist_events()
        assert [row.name for row in bench.snapshot().sites] == ["west"]
    assert len(bench.snapshot().workloads) == len(whole.workloads)
    assert caplog.text.count("left out") == 1


async def test_an_event_at_the_end_of_time_keeps_nobody_from_being_governed(bench):
    event = {
        "name": "for-ever",
        "type": "Limit",
        "reference": "Absolute",
        "connectionName": "feed",
        "startTime": "0001-01-01T00:00:00+14:00",
        "endTime": "9999-12-31T23:59:59-14:00",
        "upperWatts": 3000,
    }
    bench.access.merge(f"{GROUP}/powersites/east", {"spec": {"events": [event]}})
    await bench.see()
    await bench.gather.persist_events()
    (row,) = bench.snapshot().sites[0].events
    assert row.active and row.upper_watts == 3000


async def test_a_change_that_lies_ahead_because_the_clock_was_set_back_is_no_dwell(bench):
    await bench.set("east", 2)
    await bench.settled()
    assert bench.workload().last_change_time is not None
    bench.clock.set_by(-86_400)
    workload = bench.workload()
    assert workload.last_change_time is None
    assert all(row.last_write_time is None for row in workload.placements)


async def test_a_supply_that_is_declared_and_not_read_is_known_as_unknown(bench):
    supply = {"name": "wind", "type": "DirectWind", "powerSignalName": "wind"}
    signal = {
        "name": "wind",
        "quantity": "SupplyPower",
        "unit": "Watt",
        "source": {"constant": {"value": "900"}},
    }
    spec = {"signals": [signal], "supplies": [supply | {"capacityWatts": 1000}]}
    bench.access.merge(f"{GROUP}/powersites/east", {"spec": spec})
    await bench.see()
    flows = bench.gather.flows()
    assert not flows["east", "feed"].supply_known and flows["west", "feed"].supply_known
