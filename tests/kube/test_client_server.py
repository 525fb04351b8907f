"""ClusterClient against a real kube-apiserver: what the server really does with what we send."""

from __future__ import annotations

import pytest

from wattshift.errors import Bug, FenceLost, NeedsHuman, Transient
from wattshift.kube.errors import RefusedApiError, RejectedApiError, ScaleConflict
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, PODS, SECRETS

pytestmark = pytest.mark.lab


def config_map(namespace: str, name: str, **data: str) -> dict:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def deployment(namespace: str, name: str, replicas: int | None = 2, **labels: str) -> dict:
    spec = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "engine", "image": "engine"}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}


async def test_the_server_says_its_version_and_the_cluster_its_identity(admin, api_server):
    assert (await admin.version()).startswith("v1.")
    expected = api_server.access.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert await admin.cluster_uid() == expected


async def test_the_audit_log_names_wattshift_as_user_agent(admin, api_server, namespace):
    await admin.list(CONFIG_MAPS, namespace=namespace)
    lines = [x for x in api_server.audit_log.read_text().splitlines() if namespace in x]
    assert any('"userAgent":"wattshift/' in line for line in lines)


async def test_a_created_object_is_read_replaced_and_deleted(admin, namespace):
    created = await admin.create(
        CONFIG_MAPS, config_map(namespace, "a", x="1"), namespace=namespace
    )
    created["data"] = {"x": "2"}
    await admin.replace(CONFIG_MAPS, created)
    assert (await admin.get(CONFIG_MAPS, "a", namespace=namespace))["data"] == {"x": "2"}
    await admin.delete(CONFIG_MAPS, "a", namespace=namespace, uid=created["metadata"]["uid"])
    with pytest.raises(RefusedApiError) as caught:
        await admin.get(CONFIG_MAPS, "a", namespace=namespace)
    assert caught.value.is_not_found and isinstance(caught.value, NeedsHuman)


async def test_deleting_what_is_gone_is_success(admin, namespace):
    await admin.delete(CONFIG_MAPS, "never-there", namespace=namespace)


async def test_deleting_by_another_objects_uid_is_a_conflict(admin, namespace):
    await admin.create(CONFIG_MAPS, config_map(namespace, "a"), namespace=namespace)
    with pytest.raises(Transient) as caught:
        await admin.delete(CONFIG_MAPS, "a", namespace=namespace, uid="not-its-uid")
    assert caught.value.is_conflict


async def test_creating_twice_is_told_from_a_conflict(admin, namespace):
    await admin.create(CONFIG_MAPS, config_map(namespace, "a"), namespace=namespace)
    with pytest.raises(Transient) as caught:
        await admin.create(CONFIG_MAPS, config_map(namespace, "a"), namespace=namespace)
    assert caught.value.is_already_exists and not caught.value.is_conflict


async def test_replacing_with_an_old_resource_version_is_a_conflict(admin, namespace):
    first = await admin.create(CONFIG_MAPS, config_map(namespace, "a"), namespace=namespace)
    await admin.replace(CONFIG_MAPS, {**first, "data": {"x": "1"}})
    with pytest.raises(Transient) as caught:
        await admin.replace(CONFIG_MAPS, {**first, "data": {"x": "2"}})
    assert caught.value.is_conflict


async def test_replace_without_a_resource_version_is_refused_before_it_is_sent(admin, namespace):
    with pytest.raises(ValueError, match="resourceVersion"):
        await admin.replace(CONFIG_MAPS, config_map(namespace, "a"))


async def test_apply_owns_its_fields_as_wattshift(admin, namespace):
    await admin.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"))
    body = await admin.get(CONFIG_MAPS, "a", namespace=namespace)
    entry = body["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"]) == ("wattshift", "Apply")


async def test_apply_does_not_take_a_field_of_another_manager_unless_forced(admin, namespace):
    await admin.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), field_manager="git")
    with pytest.raises(Transient) as caught:
        await admin.apply(CONFIG_MAPS, config_map(namespace, "a", x="2"))
    assert caught.value.is_conflict
    await admin.apply(CONFIG_MAPS, config_map(namespace, "a", x="2"), force=True)
    assert (await admin.get(CONFIG_MAPS, "a", namespace=namespace))["data"] == {"x": "2"}


async def test_apply_with_the_uid_of_a_deleted_object_does_not_create_one(admin, namespace):
    body = config_map(namespace, "gone", x="1")
    body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises((Transient, RefusedApiError)):
        await admin.apply(CONFIG_MAPS, body)
    with pytest.raises(RefusedApiError):
        await admin.get(CONFIG_MAPS, "gone", namespace=namespace)


async def test_a_wrong_object_is_our_bug_with_the_servers_words(admin, namespace):
    with pytest.raises(RejectedApiError) as caught:
        await admin.create(CONFIG_MAPS, config_map(namespace, "Bad_Name"), namespace=namespace)
    assert isinstance(caught.value, Bug) and caught.value.is_invalid
    assert "RFC 1123" in caught.value.message


async def test_a_list_in_chunks_has_every_object_once(admin, namespace):
    for i in range(7):
        await admin.create(CONFIG_MAPS, config_map(namespace, f"c{i}"), namespace=namespace)
    result = await admin.list(CONFIG_MAPS, namespace=namespace, chunk_size=2)
    names = [item["metadata"]["name"] for item in result.items]
    assert sorted(n for n in names if n.startswith("c")) == [f"c{i}" for i in range(7)]
    assert int(result.resource_version) > 0


async def test_a_merge_patch_with_the_resource_version_conflicts_when_it_is_old(admin, namespace):
    first = await admin.create(CONFIG_MAPS, config_map(namespace, "a"), namespace=namespace)
    version = first["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "data": {"x": "1"}}
    await admin.merge_patch(CONFIG_MAPS, "a", patch, namespace=namespace)
    with pytest.raises(Transient) as caught:
        await admin.merge_patch(CONFIG_MAPS, "a", patch | {"data": {"x": "2"}}, namespace=namespace)
    assert caught.value.is_conflict


async def test_scale_moves_from_the_observed_to_the_absolute_target(admin, namespace):
    await admin.create(DEPLOYMENTS, deployment(namespace, "d", 2), namespace=namespace)
    before = await admin.get_scale(DEPLOYMENTS, "d", namespace=namespace)
    assert (before.spec_replicas, before.selector) == (2, "app=d")
    args = {"namespace": namespace, "uid": before.uid}
    after = await admin.patch_scale(DEPLOYMENTS, "d", **args, observed=2, target=5)
    assert (after.spec_replicas, after.uid) == (5, before.uid)
    spec = (await admin.get(DEPLOYMENTS, "d", namespace=namespace))["spec"]
    assert spec["replicas"] == 5


async def test_scale_goes_to_zero_and_back_although_the_field_is_then_absent(admin, namespace):
    await admin.create(DEPLOYMENTS, deployment(namespace, "d", 3), namespace=namespace)
    uid = (await admin.get_scale(DEPLOYMENTS, "d", namespace=namespace)).uid
    args = {"namespace": namespace, "uid": uid}
    zero = await admin.patch_scale(DEPLOYMENTS, "d", **args, observed=3, target=0)
    assert zero.spec_replicas == 0
    assert (
        await admin.patch_scale(DEPLOYMENTS, "d", **args, observed=0, target=0)
    ).spec_replicas == 0
    back = await admin.patch_scale(DEPLOYMENTS, "d", **args, observed=0, target=4)
    assert back.spec_replicas == 4


@pytest.mark.parametrize(("actual", "observed"), [(3, 2), (0, 2), (3, 0)])
async def test_scale_refuses_when_somebody_else_changed_the_count(
    admin, namespace, actual, observed
):
    await admin.create(DEPLOYMENTS, deployment(namespace, "d", actual), namespace=namespace)
    uid = (await admin.get_scale(DEPLOYMENTS, "d", namespace=namespace)).uid
    with pytest.raises(ScaleConflict) as caught:
        await admin.patch_scale(
            DEPLOYMENTS, "d", namespace=namespace, uid=uid, observed=observed, target=7
        )
    assert isinstance(caught.value, Transient) and caught.value.reason == "ScaleConflict"
    assert (await admin.get_scale(DEPLOYMENTS, "d", namespace=namespace)).spec_replicas == actual


async def test_scale_refuses_another_object_of_the_same_name(admin, namespace):
    await admin.create(DEPLOYMENTS, deployment(namespace, "d", 2), namespace=namespace)
    with pytest.raises(ScaleConflict):
        await admin.patch_scale(
            DEPLOYMENTS, "d", namespace=namespace, uid="older-uid", observed=2, target=1
        )


async def test_scale_survives_status_writes_of_others_in_between(admin, namespace):
    await admin.create(DEPLOYMENTS, deployment(namespace, "d", 2), namespace=namespace)
    before = await admin.get_scale(DEPLOYMENTS, "d", namespace=namespace)
    await admin.merge_patch(
        DEPLOYMENTS, "d", {"status": {"replicas": 1}}, namespace=namespace, subresource="status"
    )
    after = await admin.patch_scale(
        DEPLOYMENTS, "d", namespace=namespace, uid=before.uid, observed=2, target=3
    )
    assert after.resource_version != before.resource_version and after.spec_replicas == 3


async def test_a_fence_that_refuses_lets_no_write_leave(api_server, connect, namespace):
    def refuse() -> None:
        raise FenceLost("not the leader")

    fenced = connect(load_hub_files([api_server.kubeconfig]), write_guard=refuse)
    writes = [
        fenced.create(CONFIG_MAPS, config_map(namespace, "a"), namespace=namespace),
        fenced.apply(CONFIG_MAPS, config_map(namespace, "a")),
        fenced.delete(CONFIG_MAPS, "a", namespace=namespace),
        fenced.json_patch(CONFIG_MAPS, "a", [], namespace=namespace),
        fenced.merge_patch(CONFIG_MAPS, "a", {}, namespace=namespace),
        fenced.patch_scale(DEPLOYMENTS, "d", namespace=namespace, uid="u", observed=1, target=2),
    ]
    for write in writes:
        with pytest.raises(FenceLost):
            await write
    names = [
        i["metadata"]["name"] for i in (await fenced.list(CONFIG_MAPS, namespace=namespace)).items
    ]
    assert "a" not in names
    assert await fenced.can_i(["get"], PODS, namespace=namespace)  # reviews are no writes


async def test_kinds_are_found_by_discovery_with_their_scale(admin):
    found = await admin.discover("apps/v1", "ReplicaSet")
    assert (found.plural, found.namespaced, found.has_scale) == ("replicasets", True, True)
    assert (await admin.discover("v1", "Service")).plural == "services"
    assert not (await admin.discover("v1", "Service")).has_scale


@pytest.mark.parametrize(("group", "kind"), [("apps/v1", "Nope"), ("no.such.group/v9", "Thing")])
async def test_a_kind_that_is_not_served_is_not_found(admin, group, kind):
    with pytest.raises(RefusedApiError) as caught:
        await admin.discover(group, kind)
    assert caught.value.is_not_found


async def test_asking_for_permission_leaves_no_denied_line(
    api_server, connect, namespace, tmp_path
):
    api_server.access.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "nobody"}}
    )
    as_nobody = api_server.access.as_service_account(namespace, "nobody", tmp_path / "config")
    client = connect(load_hub_files([as_nobody.kubeconfig]))
    assert not await client.can_i(["list", "watch"], SECRETS, namespace=namespace)
    user = f"system:serviceaccount:{namespace}:nobody"
    lines = [x for x in api_server.audit_log.read_text().splitlines() if user in x]
    assert lines and not any('"forbid"' in line for line in lines)
    with pytest.raises(RefusedApiError) as caught:
        await client.list(SECRETS, namespace=namespace)
    assert caught.value.is_forbidden and isinstance(caught.value, NeedsHuman)


async def test_a_wrong_token_is_unauthorized_and_needs_a_human(api_server, connect):
    access = load_hub_files([api_server.kubeconfig])
    wrong = type(access)(server=access.server, ca_pem=access.ca_pem, token_text="wrong-token")
    with pytest.raises(NeedsHuman) as caught:
        await connect(wrong).list(LEASES)
    assert caught.value.is_unauthorized and "wrong-token" not in str(caught.value)
