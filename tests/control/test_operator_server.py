"""The operator process against a real API server, loops left out: objects in, conditions out."""

from __future__ import annotations

import json
import time

import pytest

from e2e.lab.client import wait_for

pytestmark = pytest.mark.lab
GROUP = "/apis/wattshift.io/v1alpha1"


def fw(namespace: str, name: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/flexibleworkloads/{name}"


def test_good_objects_become_ready_and_bad_ones_say_why(crds, namespace, start_operator, objects):
    crds.apply(
        objects.site("s1"),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1"),
        objects.workload(namespace, "lost", "nowhere"),
        objects.site(
            "s2", location={"regionName": "CN-SH", "timeZone": "Asia/Atlantis"}, clusters=[]
        ),
    )
    operator = start_operator().wait_ready()
    site = objects.condition_is(crds, f"{GROUP}/powersites/s1", "Ready", "True")
    assert objects.conditions(site)["ClustersConnected"]["status"] == "True"
    assert site["status"]["clusters"][0]["uid"]
    contract = objects.condition_is(crds, f"{GROUP}/energycontracts/c1", "Ready", "True")
    assert objects.conditions(contract)["InForce"]["status"] == "True"
    chat = objects.condition_is(crds, fw(namespace, "chat"), "Ready", "True")
    assert objects.conditions(chat)["TargetsResolved"]["reason"] == "Resolved"
    assert chat["status"]["effective"]["mode"] == "Enforce"
    assert chat["status"]["observedGeneration"] == chat["metadata"]["generation"]
    assert "finalizers" not in chat["metadata"]
    objects.condition_is(crds, fw(namespace, "lost"), "Accepted", "False", "SiteUnknown")
    objects.condition_is(crds, f"{GROUP}/powersites/s2", "Accepted", "False", "UnknownTimeZone")
    assert operator.probe("/livez")[0] == 200


def test_a_reference_that_appears_later_heals_the_object(crds, namespace, start_operator, objects):
    start_operator().wait_ready()
    crds.apply(objects.workload(namespace, "chat", "late"))
    refused = objects.condition_is(crds, fw(namespace, "chat"), "Accepted", "False", "SiteUnknown")
    crds.apply(objects.site("late"), objects.deployment(namespace, "chat", flexible=False))
    healed = objects.condition_is(crds, fw(namespace, "chat"), "Accepted", "True", "Valid")
    times = [
        objects.conditions(body)["Accepted"]["lastTransitionTime"] for body in (refused, healed)
    ]
    assert times[0] <= times[1]
    objects.condition_is(crds, fw(namespace, "chat"), "Ready", "False", "TargetNotOptedIn")
    crds.apply(objects.deployment(namespace, "chat"))
    objects.condition_is(crds, fw(namespace, "chat"), "Ready", "True")

    def told() -> bool:
        rows = crds.items(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
        return any(row["reason"] == "SiteUnknown" and row["type"] == "Warning" for row in rows)

    wait_for("an event about the refusal", told, timeout_seconds=10)


def test_nothing_is_written_while_nothing_changes(
    crds, namespace, api_server, start_operator, objects
):
    crds.apply(
        objects.site(
            "s1",
            signals=[
                {
                    "name": "carbon",
                    "quantity": "CarbonIntensityAverage",
                    "unit": "GramPerKilowattHour",
                    "source": {"constant": {"value": "620"}},
                },
            ],
        ),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1"),
    )
    start_operator().wait_ready()
    objects.condition_is(crds, fw(namespace, "chat"), "Ready", "True")
    objects.condition_is(crds, f"{GROUP}/powersites/s1", "SignalsFresh", "True")
    time.sleep(12)  # two visits, so that all that was on its way has been written
    start = len(api_server.audit_log.read_text().splitlines())
    time.sleep(12)
    writes = [
        json.loads(line)["requestURI"]
        for line in api_server.audit_log.read_text().splitlines()[start:]
        if '"userAgent":"wattshift/' in line
        and json.loads(line)["verb"] in ("create", "update", "patch", "delete")
        and "/leases/" not in json.loads(line)["requestURI"]
    ]
    assert writes == []


def test_a_restart_changes_no_condition_and_tells_nothing(crds, namespace, start_operator, objects):
    selected = {"from": "Selector", "selector": {"matchLabels": {"wattshift.io/sites": "west"}}}
    label = {"metadata": {"labels": {"wattshift.io/sites": "west"}}}
    crds.merge(f"/api/v1/namespaces/{namespace}", label)
    crds.apply(
        objects.site("s1", allowedNamespaces=selected),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1"),
    )
    first = start_operator("op-a").wait_ready()
    paths = (f"{GROUP}/powersites/s1", f"{GROUP}/energycontracts/c1", fw(namespace, "chat"))
    for path in paths:
        objects.condition_is(crds, path, "Ready", "True")
    objects.condition_is(crds, paths[2], "TargetsResolved", "True")
    time.sleep(2)
    assert first.terminate() == 0
    before = [crds.get(path)["metadata"]["resourceVersion"] for path in paths]
    second = start_operator("op-b").wait_ready()
    time.sleep(5)
    assert [crds.get(path)["metadata"]["resourceVersion"] for path in paths] == before
    assert second.metric('wattshift_events_total{result="created"}') == 0


def test_a_status_that_somebody_damaged_is_repaired(crds, namespace, start_operator, objects):
    crds.apply(objects.site("s1"))
    start_operator().wait_ready()
    path = f"{GROUP}/powersites/s1"
    objects.condition_is(crds, path, "Ready", "True")
    crds.merge(f"{path}/status", {"status": {"conditions": [], "clusters": None}})
    objects.condition_is(crds, path, "Ready", "True")


def test_an_object_deleted_in_between_is_not_created_again(crds, start_operator, objects):
    operator = start_operator().wait_ready()
    for round_number in range(5):
        crds.apply(objects.site("gone", power={"itCapacityWatts": 1000 + round_number}))
        crds.delete(f"{GROUP}/powersites/gone")
    time.sleep(3)
    assert not crds.exists(f"{GROUP}/powersites/gone")
    assert operator.probe("/livez")[0] == 200


def test_a_standby_writes_nothing_and_takes_over_within_seconds_of_sigterm(
    crds, namespace, start_operator, objects
):
    crds.apply(objects.site("s1"))
    leader = start_operator("op-a").wait_ready("leading")
    objects.condition_is(crds, f"{GROUP}/powersites/s1", "Ready", "True")
    standby = start_operator("op-b").wait_ready("standby")
    assert standby.metric('wattshift_status_writes_total{kind="PowerSite",result="written"}') == 0
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/wattshift"
    assert crds.get(lease)["spec"]["holderIdentity"].startswith("op-a")
    before = crds.get(f"{GROUP}/powersites/s1")
    begun = time.monotonic()
    leader.process.terminate()
    wait_for(
        "the standby leads",
        lambda: crds.get(lease)["spec"]["holderIdentity"].startswith("op-b"),
        timeout_seconds=10,
    )
    print(f"lease handed over after {time.monotonic() - begun:.1f} s")
    assert leader.process.wait(10) == 0, leader.tail()
    standby.wait_ready("leading")
    after = crds.get(f"{GROUP}/powersites/s1")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_leader_that_cannot_renew_ends_at_once(crds, namespace, start_operator):
    operator = start_operator(
        lease={
            "durationSeconds": 3,
            "renewDeadlineSeconds": 2,
            "retryPeriodSeconds": 0.5,
            "fenceMarginSeconds": 1,
        }
    ).wait_ready()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/wattshift"
    crds.merge(lease, {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}})
    assert operator.process.wait(20) == 1
    assert crds.get(lease)["spec"]["holderIdentity"] == "thief"


def test_wrong_settings_are_named_and_end_the_process(crds, start_operator):
    operator = start_operator(mode="Yolo")
    assert operator.process.wait(20) != 0
    assert "mode" in operator.tail()


def test_each_broken_rule_between_objects_has_its_own_reason_and_stops_nobody_else(
    crds, namespace, start_operator, objects
):
    closed = {"from": "Selector", "selector": {"matchLabels": {"wattshift.io/sites": "west"}}}
    no_clusters = {"clusters": []}
    crds.apply(
        objects.site("s1", originLatencies=[{"originName": "east", "roundTripMilliseconds": 9}]),
        objects.site("s-closed", allowedNamespaces=closed, **no_clusters),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1"),
    )
    operator = start_operator().wait_ready()
    objects.condition_is(crds, fw(namespace, "chat"), "Ready", "True")
    same_target = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}}
    west = [{"name": "west", "sharePermille": 1000}]
    crds.apply(
        objects.contract("c2", "s1"),
        objects.contract("c3", "s-closed", currency="USD"),
        objects.site("s2"),
        objects.workload(namespace, "twin", "s1", **same_target),
        objects.workload(namespace, "far", "s1", origins=west),
        objects.workload(
            namespace,
            "outside",
            "s1",
            placements=[{"name": "a", "siteName": "s-closed", "clusterName": "none"}],
        ),
    )
    for path, reason in (
        (f"{GROUP}/energycontracts/c2", "ContractsOverlap"),
        (f"{GROUP}/energycontracts/c3", "CurrencyNotConvertible"),
        (f"{GROUP}/powersites/s2", "ClusterInTwoSites"),
        (fw(namespace, "twin"), "TargetClaimedByOther"),
        (fw(namespace, "far"), "OriginUnknown"),
    ):
        body = objects.condition_is(crds, path, "Accepted", "False", reason)
        assert objects.conditions(body)["Ready"]["status"] == "False"
    outside = objects.condition_is(crds, fw(namespace, "outside"), "Accepted", "False")
    assert "does not allow namespace" in objects.conditions(outside)["Accepted"]["message"]
    for path in (f"{GROUP}/powersites/s1", f"{GROUP}/energycontracts/c1", fw(namespace, "chat")):
        objects.condition_is(crds, path, "Ready", "True")
    crds.delete(fw(namespace, "chat"))
    objects.condition_is(crds, fw(namespace, "twin"), "Accepted", "True")
    crds.merge(
        f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"wattshift.io/sites": "west"}}}
    )
    objects.condition_is(crds, fw(namespace, "outside"), "Accepted", "False", "ClusterUnknown")
    assert operator.metric('wattshift_objects_count{accepted="true",kind="PowerSite"}') == 2


def test_the_whole_operator_plans_governs_and_ends_gracefully(
    crds, namespace, start_operator, objects
):
    crds.apply(
        objects.site("s1"),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1"),
    )
    operator = start_operator(whole=True).wait_ready()
    objects.condition_is(crds, fw(namespace, "chat"), "Ready", "True")

    def loops_run() -> bool:
        return all(
            operator.metric(f'wattshift_loop_duration_seconds_count{{loop="{name}"}}') >= count
            for name, count in (("planner", 1), ("governor", 2))
        )

    try:
        wait_for("both loops run", loops_run, timeout_seconds=30)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{operator.tail()}") from error
    assert operator.metric('wattshift_bugs_total{part="planner"}') == 0, operator.tail()
    assert operator.metric('wattshift_bugs_total{part="governor"}') == 0, operator.tail()
    assert operator.probe("/livez")[0] == 200
    assert operator.terminate() == 0, operator.tail()
