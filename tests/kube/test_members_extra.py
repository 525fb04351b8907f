"""Targets of other kinds, single namespaces, and questions about callers, on a real API server."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from e2e.lab.client import ApiError
from wattshift.errors import NeedsHuman
from wattshift.kube.errors import ScaleConflict
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.pool import Pool
from wattshift.kube.reviews import authenticate, may
from wattshift.kube.sources import MemberSource, Sources, SourceType
from wattshift.kube.timings import PoolTimings
from wattshift.kube.views import TargetKey

pytestmark = pytest.mark.lab


def crd(group: str) -> dict:
    return {
        "metadata": {"name": f"engines.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": "engines", "singular": "engine", "kind": "Engine"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                }
            ],
        },
    }


@pytest.fixture
def group() -> str:
    """An API group of its own: deleting a kind takes the server a while."""
    return f"{uuid.uuid4().hex[:8]}.lab.example"


@pytest.fixture
async def engines(api_server, eventually, group):
    """A custom kind with /scale, served; its path in a namespace."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api_server.access.create(path, crd(group))

    def served() -> bool:
        try:
            return "items" in api_server.access.get(f"/apis/{group}/v1/engines")
        except ApiError as error:  # 404 before it is served, 429 while its storage starts
            assert error.code in (404, 429)
            return False

    await eventually(served, "the kind is served")
    yield lambda namespace: f"/apis/{group}/v1/namespaces/{namespace}/engines"
    api_server.access.delete(f"{path}/engines.{group}")


@pytest.fixture
async def local_pool(api_server):
    sources = Sources(hub=load_hub_files([api_server.kubeconfig]), credentials=None)
    timings = PoolTimings(probe_interval=0.3, recheck=0.3)
    async with Pool(sources=sources, clock=time.monotonic, timings=timings) as pool:
        yield pool


def engine(group: str, name: str, replicas: int) -> dict:
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Engine",
        "metadata": {"name": name, "labels": {"wattshift.io/flexible": ""}},
        "spec": {"replicas": replicas},
    }


async def test_another_kind_with_scale_is_followed_and_scaled_to_zero_and_back(
    api_server, engines, group, local_pool, namespace, eventually
):
    made = api_server.access.create(engines(namespace), engine(group, "e", 3))
    kinds = ((f"{group}/v1", "Engine"),)
    local_pool.reconcile({"here": MemberSource(type=SourceType.LOCAL, extra_kinds=kinds)})
    key = TargetKey(f"{group}/v1", "Engine", namespace, "e")
    await eventually(lambda: key in local_pool.view("here").targets, "target")
    uid = made["metadata"]["uid"]
    async with local_pool.acting("here") as client:
        resource = await client.discover(key.api_version, key.kind)
        assert resource.has_scale
        args = {"namespace": namespace, "uid": uid}
        await client.patch_scale(resource, "e", **args, observed=3, target=0)
        await eventually(lambda: local_pool.view("here").targets[key].replicas_spec == 0, "zero")
        with pytest.raises(ScaleConflict):
            await client.patch_scale(resource, "e", **args, observed=3, target=1)
        scale = await client.get_scale(resource, "e", namespace=namespace)
        assert scale.spec_replicas == 0
    assert key not in local_pool.view("here").pods  # no selector: unknown, not none


async def test_scaling_a_custom_kind_back_from_zero(
    api_server, engines, group, local_pool, namespace, eventually
):
    # A custom resource keeps `replicas: 0` in its spec, while its Scale omits the field.
    uid = api_server.access.create(engines(namespace), engine(group, "e", 0))["metadata"]["uid"]
    local_pool.reconcile({"here": MemberSource(type=SourceType.LOCAL)})
    await eventually(lambda: local_pool.view("here").usable, "ready")
    async with local_pool.acting("here") as client:
        resource = await client.discover(f"{group}/v1", "Engine")
        after = await client.patch_scale(
            resource, "e", namespace=namespace, uid=uid, observed=0, target=2
        )
    assert after.spec_replicas == 2


async def test_a_kind_that_is_installed_later_is_found_without_a_restart(
    api_server, group, namespace, eventually, request
):
    skew = 0.0
    sources = Sources(hub=load_hub_files([api_server.kubeconfig]), credentials=None)
    timings = PoolTimings(probe_interval=0.3, recheck=0.3)
    kinds = ((f"{group}/v1", "Engine"),)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    key = TargetKey(f"{group}/v1", "Engine", namespace, "late")
    async with Pool(
        sources=sources, clock=lambda: time.monotonic() + skew, timings=timings
    ) as pool:
        pool.reconcile({"here": MemberSource(type=SourceType.LOCAL, extra_kinds=kinds)})
        await eventually(lambda: pool.view("here").usable, "ready without the kind")
        assert pool.view("here").missing == ()  # a kind that is not installed is no fault
        api_server.access.create(path, crd(group))
        request.addfinalizer(lambda: api_server.access.delete(f"{path}/engines.{group}"))
        collection = f"/apis/{group}/v1/namespaces/{namespace}/engines"

        def created() -> bool:
            try:
                return bool(api_server.access.create(collection, engine(group, "late", 1)))
            except ApiError as error:  # 404 before it is served, 429 while its storage starts
                assert error.code in (404, 429)
                return False

        await eventually(created, "served")
        skew = 120.0  # absence is remembered for a minute
        await eventually(lambda: key in pool.view("here").targets, "found")


async def test_a_source_of_named_namespaces_sees_only_them(
    api_server, local_pool, make_namespace, eventually
):
    seen, unseen = make_namespace(api_server.access), make_namespace(api_server.access)
    body = {
        "metadata": {"name": "chat", "labels": {"wattshift.io/flexible": "true"}},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    for namespace in (seen, unseen):
        api_server.access.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    source = MemberSource(type=SourceType.LOCAL, namespaces=(seen,))
    local_pool.reconcile({"here": source})
    await eventually(lambda: local_pool.view("here").targets, "target")
    assert {k.namespace for k in local_pool.view("here").targets} == {seen}


async def test_stopping_the_pool_ends_its_tasks_and_closes_its_clients(api_server, eventually):
    before = len(asyncio.all_tasks())
    sources = Sources(hub=load_hub_files([api_server.kubeconfig]), credentials=None)
    async with Pool(sources=sources, clock=time.monotonic) as pool:
        pool.reconcile({"here": MemberSource(type=SourceType.LOCAL)})
        await eventually(lambda: pool.view("here").usable, "ready")
        client = pool.client("here")
    assert len(asyncio.all_tasks()) == before
    with pytest.raises(Exception, match="closed"):
        await client.version()


async def test_a_listener_that_fails_does_not_harm_the_member(api_server, eventually, caplog):
    sources = Sources(hub=load_hub_files([api_server.kubeconfig]), credentials=None)

    def broken(_name: str) -> None:
        raise RuntimeError("listener")

    async with Pool(sources=sources, clock=time.monotonic, on_change=broken) as pool:
        pool.reconcile({"here": MemberSource(type=SourceType.LOCAL)})
        await eventually(lambda: pool.view("here").usable, "ready")
    assert "listener of here" in caplog.text


async def test_without_credential_secrets_only_the_hub_can_be_reached(local_pool, eventually):
    source = MemberSource(type=SourceType.KUBECONFIG_SECRET, secret_name="x")
    local_pool.reconcile({"m": source})
    await eventually(lambda: local_pool.view("m").reason == "SecretNotFound", "refused")
    with pytest.raises(NeedsHuman):
        local_pool.client("m")


# -- callers -----------------------------------------------------------------------------


async def test_a_known_token_is_resolved_and_an_unknown_one_is_nobody(admin, api_server):
    caller = await authenticate(admin, api_server.access.token)
    assert caller.name == "lab-admin" and "system:masters" in caller.groups
    assert await authenticate(admin, "nonsense") is None


async def test_a_token_for_another_audience_is_refused(admin, api_server, namespace):
    api_server.access.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "cli"}}
    )
    token = api_server.access.service_account_token(namespace, "cli", audiences=["wattshift"])
    assert await authenticate(admin, token) is None  # not for the API server itself
    caller = await authenticate(admin, token, audiences=("wattshift",))
    assert caller.name == f"system:serviceaccount:{namespace}:cli"
    assert await authenticate(admin, token, audiences=("another",)) is None


async def test_permissions_of_callers_are_those_of_the_cluster(admin, api_server, namespace):
    api_server.access.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "cli"}}
    )
    token = api_server.access.service_account_token(namespace, "cli")
    nobody = await authenticate(admin, token)
    master = await authenticate(admin, api_server.access.token)
    question = {"group": "wattshift.io", "resource": "powersites"}
    assert await may(admin, master, "get", **question)
    assert not await may(admin, nobody, "get", **question)
    assert await may(admin, nobody, "get", path="/version")
    assert not await may(admin, nobody, "get", path="/metrics")
