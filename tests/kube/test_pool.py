"""Members on real API servers: what is seen, what is lost, and that a stuck one delays nobody."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import yaml

from e2e.lab.control_plane import drop_namespace, new_namespace
from wattshift.errors import FenceLost, NeedsHuman, Transient
from wattshift.kube.cache import Backoff
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ClusterIdentityChanged, SpokeUnreachable
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.pool import Pool
from wattshift.kube.resources import DEPLOYMENTS
from wattshift.kube.secrets import CredentialStore
from wattshift.kube.sources import MemberSource, Sources, SourceType
from wattshift.kube.timings import PoolTimings
from wattshift.kube.views import MemberState, TargetKey

pytestmark = pytest.mark.lab
LOCAL = MemberSource(type=SourceType.LOCAL)


def secret_source(name: str, **options) -> MemberSource:
    return MemberSource(type=SourceType.KUBECONFIG_SECRET, secret_name=name, **options)


def kubeconfig(url: str, ca_pem: bytes | None, token: str, **cluster) -> bytes:
    body = {"server": url, **cluster}
    if ca_pem:
        body["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": body}],
            "users": [{"name": "it", "user": {"token": token}}],
        }
    ).encode()


class World:
    """A hub with a credentials namespace, and a pool under test."""

    def __init__(self, hub, namespace: str, wire, stack: AsyncExitStack):
        self.hub, self.namespace, self.stack = hub, namespace, stack
        self.access = load_hub_files([hub.kubeconfig])
        self.timings = PoolTimings(
            probe_interval=0.3,
            probe_timeout=2.0,
            lost_after=1.0,
            probe_backoff=Backoff(minimum=0.2, maximum=0.5),
            watch_backoff=Backoff(minimum=0.1, maximum=0.5),
            recheck=0.3,
            # The only short one is a watch's silence: the others are no test of time-outs here.
            client=replace(wire.FAST, read=10.0, write=20.0, watch_establish=5.0),
        )
        self.fenced = False
        self.changes: list[str] = []

    async def start(self) -> None:
        client = ClusterClient(name="hub", access=self.access, clock=time.monotonic)
        self.stack.push_async_callback(client.close)
        self.store = CredentialStore(client=client, namespace=self.namespace)
        follow = asyncio.create_task(self.store.run())
        self.stack.callback(follow.cancel)
        self.pool = Pool(
            sources=Sources(hub=self.access, credentials=self.store),
            clock=time.monotonic,
            write_guard=self.guard,
            timings=self.timings,
            on_change=self.changes.append,
        )
        await self.stack.enter_async_context(self.pool)

    def guard(self) -> None:
        if self.fenced:
            raise FenceLost("deposed")

    def put_secret(self, name: str, data: bytes, *, hosts: str = "127.0.0.1") -> None:
        metadata = {
            "name": name,
            "labels": {"wattshift.io/credential": "kubeconfig"},
            "annotations": {"wattshift.io/allowed-hosts": hosts},
        }
        body = {"metadata": metadata, "data": {"kubeconfig": base64.b64encode(data).decode()}}
        path = f"/api/v1/namespaces/{self.namespace}/secrets"
        if self.hub.access.exists(f"{path}/{name}"):
            self.hub.access.merge(f"{path}/{name}", body)
        else:
            self.hub.access.create(path, body)

    def delete_secret(self, name: str) -> None:
        self.hub.access.delete(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")

    def add_member(self, name: str, plane) -> MemberSource:
        self.put_secret(name, kubeconfig(plane.url, plane.ca_file.read_bytes(), plane.access.token))
        return secret_source(name)

    def state(self, name: str) -> MemberState:
        return self.pool.view(name).state


@pytest.fixture
async def world(api_server, namespace, wire):
    async with AsyncExitStack() as stack:
        world = World(api_server, namespace, wire, stack)
        await world.start()
        yield world


@pytest.fixture
def spaces():
    """`spaces(plane)`: a fresh namespace with a default service account, dropped at the end."""
    made = []

    def make(plane) -> str:
        name = new_namespace(plane.access)
        made.append((plane, name))
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        if not plane.access.exists(f"{path}/default"):
            plane.access.create(path, {"metadata": {"name": "default"}})
        return name

    yield make
    for plane, name in made:
        drop_namespace(plane.access, name)


def put_deployment(
    plane, namespace: str, name: str, *, flexible: str | None = "true", **spec
) -> dict:
    labels = {} if flexible is None else {"wattshift.io/flexible": flexible}
    limits = {"nvidia.com/gpu": "2", "cpu": "500m"}
    container = {
        "name": "engine",
        "image": "engine",
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
        "resources": {"limits": limits},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 77},
    }
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            **spec,
        },
    }
    return plane.access.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)


def put_pod(plane, namespace: str, name: str, app: str, *, ready: bool = True) -> dict:
    path = f"/api/v1/namespaces/{namespace}/pods"
    container = {"name": "engine", "image": "e", "ports": [{"name": "http", "containerPort": 8000}]}
    body = {
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"nodeName": "node-1", "containers": [container]},
    }
    made = plane.access.create(path, body)
    status = {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    plane.access.request(
        "PATCH",
        f"{path}/{name}/status",
        {"status": status},
        content_type="application/merge-patch+json",
    )
    return made


def deployment_key(namespace: str, name: str) -> TargetKey:
    return TargetKey("apps/v1", "Deployment", namespace, name)


# -- what is seen ------------------------------------------------------------------------


async def test_the_hub_itself_becomes_ready_with_its_identity(world, eventually):
    world.pool.reconcile({"here": LOCAL})
    assert world.state("here") is MemberState.CONNECTING
    await eventually(lambda: world.state("here") is MemberState.READY, "ready")
    view = world.pool.view("here")
    uid = world.hub.access.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert (view.uid, view.reason, view.usable) == (uid, "Connected", True)
    assert view.server_version.startswith("v1.") and view.age_seconds < 20
    assert "here" in world.changes


async def test_only_opted_in_targets_are_seen_with_everything_a_plan_needs(
    world, spaces, eventually, api_server
):
    space = spaces(api_server)
    made = put_deployment(api_server, space, "chat")
    put_deployment(api_server, space, "private", flexible=None)
    put_deployment(api_server, space, "opted-out", flexible="false")
    world.pool.reconcile({"here": LOCAL})
    key = deployment_key(space, "chat")
    await eventually(lambda: key in world.pool.view("here").targets, "target")
    seen = [k for k in world.pool.view("here").targets if k.namespace == space]
    assert seen == [key]
    target = world.pool.view("here").targets[key]
    assert target.uid == made["metadata"]["uid"] and target.replicas_spec == 2
    assert target.selector == "app=chat" and target.grace_seconds == 77
    assert target.has_readiness_probe and target.accelerators == {"nvidia.com/gpu": 2}
    assert target.hpa_name is None and target.owner_refs == ()


async def test_a_target_follows_scale_writes_and_opting_out(world, spaces, eventually, api_server):
    space = spaces(api_server)
    uid = put_deployment(api_server, space, "chat")["metadata"]["uid"]
    world.pool.reconcile({"here": LOCAL})
    key = deployment_key(space, "chat")
    await eventually(lambda: key in world.pool.view("here").targets, "target")
    async with world.pool.acting("here") as client:
        await client.patch_scale(
            DEPLOYMENTS, "chat", namespace=space, uid=uid, observed=2, target=5
        )
    await eventually(lambda: world.pool.view("here").targets[key].replicas_spec == 5, "scaled")
    path = f"/apis/apps/v1/namespaces/{space}/deployments/chat"
    api_server.access.merge(path, {"metadata": {"labels": {"wattshift.io/flexible": None}}})
    await eventually(lambda: key not in world.pool.view("here").targets, "opted out")


async def test_pods_of_targets_are_seen_and_bystanders_are_not(
    world, spaces, eventually, api_server
):
    space = spaces(api_server)
    for name in ("chat", "embed"):
        put_deployment(api_server, space, name)
    chat = put_pod(api_server, space, "chat-1", "chat")
    put_pod(api_server, space, "chat-2", "chat", ready=False)
    put_pod(api_server, space, "embed-1", "embed")
    put_pod(api_server, space, "database-0", "database")
    world.pool.reconcile({"here": LOCAL})
    chat_key, embed_key = deployment_key(space, "chat"), deployment_key(space, "embed")

    def pods(key):
        return {p.name: p for p in world.pool.view("here").pods.get(key, ())}

    await eventually(lambda: len(pods(chat_key)) == 2 and len(pods(embed_key)) == 1, "pods")
    one = pods(chat_key)["chat-1"]
    assert one.uid == chat["metadata"]["uid"] and one.ip == "10.1.2.3" and one.ready
    assert one.ports == {"http": 8000} and one.node == "node-1" and one.scheduled
    assert not pods(chat_key)["chat-2"].ready
    # A third target makes other watches necessary; nothing known may vanish meanwhile.
    put_deployment(api_server, space, "late")
    put_pod(api_server, space, "late-1", "late")
    late = deployment_key(space, "late")
    seen_fewer = []
    world.pool.subscribe(lambda _: seen_fewer.append(len(pods(chat_key)) < 2))
    await eventually(lambda: len(pods(late)) == 1, "late pods")
    assert not any(seen_fewer)
    assert all("database-0" not in pods(k) for k in (chat_key, embed_key, late))


async def test_a_target_without_pods_has_none_and_that_is_known(
    world, spaces, eventually, api_server
):
    space = spaces(api_server)
    put_deployment(api_server, space, "empty")
    world.pool.reconcile({"here": LOCAL})
    key = deployment_key(space, "empty")
    await eventually(lambda: world.pool.view("here").pods.get(key) == (), "known to be none")


async def test_an_autoscaler_and_endpoint_slices_are_attached(
    world, spaces, eventually, api_server
):
    space = spaces(api_server)
    put_deployment(api_server, space, "chat")
    pod = put_pod(api_server, space, "chat-1", "chat")
    api_server.access.create(
        f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers",
        {
            "metadata": {"name": "chat-hpa"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
                "minReplicas": 2,
                "maxReplicas": 9,
            },
        },
    )
    reference = {"kind": "Pod", "name": "chat-1", "namespace": space, "uid": pod["metadata"]["uid"]}
    api_server.access.create(
        f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices",
        {
            "metadata": {"name": "chat-x", "labels": {"kubernetes.io/service-name": "chat-svc"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.1.2.3"], "conditions": {"ready": True}, "targetRef": reference}
            ],
            "ports": [{"port": 8000}],
        },
    )
    world.pool.reconcile({"here": LOCAL})
    key = deployment_key(space, "chat")

    def attached() -> bool:
        view = world.pool.view("here")
        target, pods = view.targets.get(key), view.pods.get(key)
        return bool(target and target.hpa and pods and pods[0].services == ("chat-svc",))

    await eventually(attached, "hpa and service")
    hpa = world.pool.view("here").targets[key].hpa
    assert (hpa.name, hpa.min_replicas, hpa.max_replicas) == ("chat-hpa", 2, 9)


async def test_nodes_that_may_be_read_give_allocatable_accelerators(world, eventually, api_server):
    world.pool.reconcile({"here": LOCAL})
    path = "/api/v1/nodes"
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "allocatable": {"cpu": "8", "huawei.com/Ascend910": "8"},
        "capacity": {"cpu": "8", "huawei.com/Ascend910": "8"},
    }
    api_server.access.create(path, {"metadata": {"name": "npu-1"}, "status": status})
    try:
        api_server.access.request(
            "PATCH",
            f"{path}/npu-1/status",
            {"status": status},
            content_type="application/merge-patch+json",
        )
        # Without a controller the not-ready taint and the cordon stay as written here.
        api_server.access.merge(f"{path}/npu-1", {"spec": {"unschedulable": None}})
        await eventually(
            lambda: (world.pool.view("here").allocatable or {}).get("huawei.com/Ascend910") == 8,
            "accelerators",
        )
        api_server.access.merge(f"{path}/npu-1", {"spec": {"unschedulable": True}})
        await eventually(lambda: world.pool.view("here").allocatable == {}, "cordoned")
    finally:
        api_server.access.delete(f"{path}/npu-1")


# -- with the roles of a spoke -----------------------------------------------------------


async def test_with_the_default_role_nothing_is_denied_and_nodes_are_unknown(
    world, spaces, eventually, api_server, tmp_path
):
    space = spaces(api_server)
    put_deployment(api_server, space, "chat")
    put_pod(api_server, space, "chat-1", "chat")
    account = api_server.access
    account.create(f"/api/v1/namespaces/{space}/serviceaccounts", {"metadata": {"name": "ws"}})
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": "ws", "namespace": space}
    reads = {"verbs": ["get", "list", "watch"]}
    spoke = {
        "metadata": {"name": f"spoke-{space}"},
        "rules": [
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], **reads},
            {
                "apiGroups": [""],
                "resources": ["namespaces"],
                "resourceNames": ["kube-system"],
                "verbs": ["get"],
            },
        ],
    }
    observe = {
        "metadata": {"name": "observe"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], **reads}],
    }
    role = {"apiGroup": "rbac.authorization.k8s.io"}
    account.create(f"{rbac}/clusterroles", spoke)
    account.create(
        f"{rbac}/clusterrolebindings",
        {
            "metadata": spoke["metadata"],
            "subjects": [subject],
            "roleRef": {**role, "kind": "ClusterRole", "name": f"spoke-{space}"},
        },
    )
    bound = {
        "metadata": {"name": "observe"},
        "subjects": [subject],
        "roleRef": {**role, "kind": "Role", "name": "observe"},
    }
    try:
        token = account.as_service_account(space, "ws", tmp_path / "config").token
        ca_pem = api_server.ca_file.read_bytes()
        world.put_secret("spoke", kubeconfig(api_server.url, ca_pem, token))
        world.pool.reconcile({"spoke": secret_source("spoke")})
        key = deployment_key(space, "chat")
        await eventually(lambda: world.state("spoke") is MemberState.READY, "ready")
        await eventually(lambda: f"Pod in {space}" in world.pool.view("spoke").missing, "said")
        view = world.pool.view("spoke")
        assert key in view.targets and key not in view.pods  # unknown, not zero
        assert view.allocatable is None
        # Granting the observe role is noticed without a restart.
        account.create(f"{rbac}/namespaces/{space}/roles", observe)
        account.create(f"{rbac}/namespaces/{space}/rolebindings", bound)
        await eventually(lambda: len(world.pool.view("spoke").pods.get(key, ())) == 1, "pods")
        user = f"system:serviceaccount:{space}:ws"
        denied = [
            line
            for line in api_server.audit_log.read_text().splitlines()
            if user in line and '"authorization.k8s.io/decision":"forbid"' in line
        ]
        assert denied == []
    finally:
        account.delete(f"{rbac}/clusterroles/spoke-{space}")
        account.delete(f"{rbac}/clusterrolebindings/spoke-{space}")


# -- credentials and identity ------------------------------------------------------------


async def test_a_bad_kubeconfig_is_refused_with_its_reason_and_mended_without_restart(
    world, eventually, api_server
):
    ca_pem, token = api_server.ca_file.read_bytes(), api_server.access.token
    bad = kubeconfig(api_server.url, ca_pem, token, **{"insecure-skip-tls-verify": True})
    world.put_secret("m", bad)
    world.pool.reconcile({"m": secret_source("m")})
    await eventually(lambda: world.pool.view("m").reason == "InsecureKubeConfig", "refused")
    view = world.pool.view("m")
    assert view.state is MemberState.LOST and "insecure-skip-tls-verify" in view.message
    assert token not in repr(view)
    with pytest.raises(NeedsHuman):
        world.pool.client("m")
    world.put_secret("m", kubeconfig(api_server.url, ca_pem, token))
    await eventually(lambda: world.state("m") is MemberState.READY, "mended")


async def test_a_host_that_is_not_allowed_is_refused(world, eventually, api_server):
    data = kubeconfig(api_server.url, api_server.ca_file.read_bytes(), api_server.access.token)
    world.put_secret("m", data, hosts="elsewhere.example")
    world.pool.reconcile({"m": secret_source("m")})
    await eventually(lambda: world.pool.view("m").reason == "InsecureKubeConfig", "refused")
    assert "wattshift.io/allowed-hosts" in world.pool.view("m").message


async def test_a_missing_secret_says_its_name_and_is_picked_up_when_it_comes(
    world, eventually, api_server
):
    world.pool.reconcile({"m": secret_source("m")})
    await eventually(lambda: world.pool.view("m").reason == "SecretNotFound", "missing")
    assert "m" in world.pool.view("m").message
    world.add_member("m", api_server)
    await eventually(lambda: world.state("m") is MemberState.READY, "ready")


async def test_the_last_credential_stays_in_use_when_its_secret_is_deleted(
    world, eventually, api_server
):
    world.pool.reconcile({"m": world.add_member("m", api_server)})
    await eventually(lambda: world.state("m") is MemberState.READY, "ready")
    world.delete_secret("m")
    await eventually(lambda: any("Secret m" in x for x in world.pool.view("m").missing), "said")
    # a probe that a busy machine answers late makes it Degraded for a moment: it has to come back
    await eventually(lambda: world.state("m") is MemberState.READY, "still ready")
    assert any("Secret m" in x for x in world.pool.view("m").missing)
    await eventually(lambda: _client(world, "m"), "a client")
    assert await _client(world, "m").cluster_uid(timeout_seconds=20)


async def test_a_rotated_token_is_used_without_losing_sight(world, spaces, eventually, api_server):
    space = spaces(api_server)
    put_deployment(api_server, space, "chat")
    account = api_server.access
    world.pool.reconcile({"m": world.add_member("m", api_server)})
    key = deployment_key(space, "chat")
    await eventually(lambda: key in world.pool.view("m").targets, "target")
    gone = []
    world.pool.subscribe(lambda _: gone.append(key not in world.pool.view("m").targets))
    first = world.pool.client("m")
    other = api_server.access_as("lab-node").token
    world.put_secret("m", kubeconfig(api_server.url, api_server.ca_file.read_bytes(), other))
    await eventually(lambda: first.name and _client(world, "m") not in (None, first), "new client")
    assert account and not any(gone)


def _client(world, name):
    try:
        return world.pool.client(name)
    except (Transient, NeedsHuman):
        return None


async def test_another_cluster_behind_the_same_name_is_not_written_to(
    world, eventually, api_server, two_api_servers
):
    member = two_api_servers[1]
    world.pool.reconcile({"m": world.add_member("m", api_server)})
    await eventually(lambda: world.state("m") is MemberState.READY, "ready")
    world.add_member("m", member)  # re-pointed
    await eventually(lambda: world.pool.view("m").reason == "ClusterIdentityChanged", "noticed")
    assert world.state("m") is MemberState.LOST
    with pytest.raises(ClusterIdentityChanged):
        world.pool.client("m")
    with pytest.raises(ClusterIdentityChanged):
        async with world.pool.acting("m"):
            pass
    world.add_member("m", api_server)
    await eventually(lambda: world.state("m") is MemberState.READY, "back")


async def test_the_recorded_identity_is_compared_from_the_start(world, eventually):
    world.pool.reconcile({"m": MemberSource(type=SourceType.LOCAL, expected_uid="recorded-before")})
    await eventually(lambda: world.pool.view("m").reason == "ClusterIdentityChanged", "noticed")
    with pytest.raises(ClusterIdentityChanged):
        world.pool.client("m")
    world.pool.reconcile({"m": LOCAL})
    await eventually(lambda: world.state("m") is MemberState.READY, "corrected record")


# -- loss and return ---------------------------------------------------------------------


async def test_a_frozen_member_is_lost_since_its_first_failure_keeps_its_view_and_returns(
    world, spaces, eventually, two_api_servers
):
    member = two_api_servers[1]
    space = spaces(member)
    put_deployment(member, space, "chat")
    world.pool.reconcile({"m": world.add_member("m", member), "here": LOCAL})
    key = deployment_key(space, "chat")
    await eventually(lambda: key in world.pool.view("m").targets, "target")
    await eventually(lambda: world.state("m") is MemberState.READY, "ready")
    member.freeze()
    try:
        await eventually(lambda: world.state("m") is MemberState.DEGRADED, "degraded")
        since = world.pool.view("m").since
        await eventually(lambda: world.state("m") is MemberState.LOST, "lost")
        lost = world.pool.view("m")
        assert lost.since == since  # the first failure, not the moment patience ended
        assert lost.reason == "Unreachable" and "no answer" in lost.message and key in lost.targets
        with pytest.raises(SpokeUnreachable):
            world.pool.client("m")
        age = lost.age_seconds
        await asyncio.sleep(0.5)
        again = world.pool.view("m")
        assert again.since == since and again.age_seconds > age
        await eventually(lambda: world.state("here") is MemberState.READY, "the others go on")
        assert world.state("m") is MemberState.LOST
    finally:
        member.thaw()
    await eventually(lambda: world.state("m") is MemberState.READY, "back")
    member.access.merge(
        f"/apis/apps/v1/namespaces/{space}/deployments/chat", {"spec": {"replicas": 7}}
    )
    await eventually(lambda: world.pool.view("m").targets[key].replicas_spec == 7, "follows again")


async def test_a_restarted_member_is_followed_again(world, spaces, eventually, two_api_servers):
    member = two_api_servers[1]
    space = spaces(member)
    put_deployment(member, space, "chat")
    world.pool.reconcile({"m": world.add_member("m", member)})
    key = deployment_key(space, "chat")
    await eventually(lambda: key in world.pool.view("m").targets, "target")
    await asyncio.to_thread(member.stop_api_server, kill=True)
    await eventually(lambda: world.state("m") is MemberState.LOST, "lost")
    assert world.pool.view("m").reason == "Unreachable"
    await asyncio.to_thread(member.start_api_server)
    await eventually(lambda: world.state("m") is MemberState.READY, "back")
    member.access.merge(
        f"/apis/apps/v1/namespaces/{space}/deployments/chat", {"spec": {"replicas": 6}}
    )
    await eventually(lambda: world.pool.view("m").targets[key].replicas_spec == 6, "follows again")


async def test_one_stuck_member_delays_nobody(
    world, spaces, eventually, two_api_servers, fault_server, wire
):
    """Hang, 401, 503, garbage and a dead port beside two healthy members and the hub."""
    stuck = {
        "hang": await fault_server(wire.silence, tls=True),
        "half": await fault_server(wire.headers_then_silence, tls=True),
        "unauthorized": await fault_server(wire.http(401, {"reason": "Unauthorized"}), tls=True),
        "unavailable": await fault_server(wire.http(503, {}), tls=True),
        "garbage": await fault_server(wire.HTML, tls=True),
        "dead": await fault_server(wire.silence, tls=True),
    }
    await stuck["dead"].stop()
    desired = {}
    for name, server in stuck.items():
        world.put_secret(name, kubeconfig(server.url, server.ca_pem, "t0ken"))
        desired[name] = secret_source(name)
    spaces_of = {}
    for name, plane in zip(("east", "west"), two_api_servers, strict=True):
        spaces_of[name] = (plane, spaces(plane))
        put_deployment(plane, spaces_of[name][1], "chat")
        desired[name] = world.add_member(name, plane)
    desired["here"] = LOCAL

    world.pool.reconcile(desired)
    for name in ("east", "west", "here"):
        await eventually(lambda name=name: world.state(name) is MemberState.READY, f"{name} ready")
    expected = {
        "hang": "Unreachable",
        "half": "Unreachable",
        "unauthorized": "Unauthorized",
        "unavailable": "ServerError",
        "garbage": "InvalidAnswer",
        "dead": "Unreachable",
    }

    def as_expected() -> bool:
        views = {name: world.pool.view(name) for name in stuck}
        lost = all(view.state is MemberState.LOST for view in views.values())
        return lost and {name: view.reason for name, view in views.items()} == expected

    await eventually(as_expected, "each lost for its own reason")
    # While all of them are stuck, the healthy ones are read and written.
    for name, (plane, space) in spaces_of.items():
        key = deployment_key(space, "chat")
        uid = world.pool.view(name).targets[key].uid
        async with world.pool.acting(name) as client:
            await client.patch_scale(
                DEPLOYMENTS, "chat", namespace=space, uid=uid, observed=2, target=4
            )
        await eventually(
            lambda name=name, key=key: world.pool.view(name).targets[key].replicas_spec == 4, "seen"
        )
        assert world.pool.view(name).age_seconds < 20
    # Stopping stuck members does not wait for them either: reconcile is not even a coroutine.
    world.pool.reconcile({"here": LOCAL})
    assert list(world.pool.views()) == ["here"]


async def test_a_throttled_member_is_not_lost(world, eventually, api_server, fault_server, wire):
    busy = wire.http(429, {"reason": "TooManyRequests"})
    namespace_body = wire.http(200, {"metadata": {"uid": "uid-1"}})
    server = await fault_server(busy, namespace_body, tls=True)
    world.put_secret("busy", kubeconfig(server.url, server.ca_pem, "t0ken"))
    world.pool.reconcile({"busy": secret_source("busy")})
    await eventually(lambda: world.pool.view("busy").uid == "uid-1", "identified")
    await eventually(lambda: len(server.requests) > 12, "kept asking")
    member = world.pool._members["busy"][0]
    assert member._failure is None  # the probe saw 429: alive


async def test_the_fence_stands_before_every_write_to_a_member(
    world, spaces, eventually, api_server
):
    space = spaces(api_server)
    uid = put_deployment(api_server, space, "chat")["metadata"]["uid"]
    world.pool.reconcile({"here": LOCAL})
    await eventually(lambda: world.state("here") is MemberState.READY, "ready")
    world.fenced = True
    with pytest.raises(FenceLost):
        async with world.pool.acting("here") as client:
            await client.patch_scale(
                DEPLOYMENTS, "chat", namespace=space, uid=uid, observed=2, target=1
            )
    path = f"/apis/apps/v1/namespaces/{space}/deployments/chat"
    assert api_server.access.get(path)["spec"]["replicas"] == 2


async def test_writes_at_once_are_bounded_per_member(world, eventually):
    world.pool.reconcile({"here": LOCAL})
    await eventually(lambda: world.state("here") is MemberState.READY, "ready")
    inside, most = 0, 0

    async def act() -> None:
        nonlocal inside, most
        async with world.pool.acting("here"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)  # a turn for the others
            inside -= 1

    await asyncio.gather(*(act() for _ in range(20)))
    assert most == world.timings.writes_at_once


async def test_unknown_members_are_unreachable_and_have_no_view(world):
    assert world.pool.view("nobody") is None
    with pytest.raises(SpokeUnreachable):
        world.pool.client("nobody")
    world.pool.kick("nobody")
