"""The one write of the default role, on a real API server: what each answer becomes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from wattshift.actuators.base import Result, ScaleOrder
from wattshift.actuators.scale import ScaleActuator
from wattshift.errors import FenceLost
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.transport import ClientTimings
from wattshift.kube.views import TargetKey

pytestmark = pytest.mark.lab
TIMINGS = ClientTimings(connect=2.0, read=3.0, write=3.0)


def make(api_server, **more) -> ClusterClient:
    access = load_hub_files([api_server.kubeconfig])
    return ClusterClient(name="test", access=access, clock=time.monotonic, timings=TIMINGS, **more)


@pytest.fixture
async def client(api_server) -> AsyncIterator[ClusterClient]:
    made = make(api_server)
    yield made
    await made.close()


@pytest.fixture
def order(api_server, namespace) -> ScaleOrder:
    body = {
        "metadata": {"name": "chat"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "chat"}},
            "template": {
                "metadata": {"labels": {"app": "chat"}},
                "spec": {"containers": [{"name": "engine", "image": "engine"}]},
            },
        },
    }
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = api_server.access.create(path, body)
    return ScaleOrder(
        target=TargetKey("apps/v1", "Deployment", namespace, "chat"),
        target_uid=made["metadata"]["uid"],
        observed_replicas=4,
        replicas=2,
    )


def replicas(api_server, order: ScaleOrder) -> int:
    path = f"/apis/apps/v1/namespaces/{order.target.namespace}/deployments/{order.target.name}"
    return api_server.access.get(path)["spec"]["replicas"]


async def test_the_absolute_count_is_written_and_acknowledged(api_server, client, order):
    outcome = await ScaleActuator().carry_out(client, order)
    assert (outcome.result, outcome.replicas) == (Result.DONE, 2)
    assert "from 4 to 2" in outcome.message
    assert replicas(api_server, order) == 2


async def test_zero_and_back(api_server, client, order):
    actuator = ScaleActuator()
    await actuator.carry_out(client, replace(order, replicas=0))
    outcome = await actuator.carry_out(client, replace(order, observed_replicas=0, replicas=3))
    assert outcome.result is Result.DONE
    assert replicas(api_server, order) == 3


@pytest.mark.parametrize("changed", [{"observed_replicas": 3}, {"target_uid": "another"}])
async def test_another_count_or_object_than_observed_is_a_conflict(
    api_server, client, order, changed
):
    outcome = await ScaleActuator().carry_out(client, replace(order, **changed))
    assert outcome.result is Result.CONFLICT
    assert replicas(api_server, order) == 4


async def test_a_target_that_is_gone_is_no_success(client, order):
    gone = replace(order, target=order.target._replace(name="gone"))
    outcome = await ScaleActuator().carry_out(client, gone)
    assert outcome.result in (Result.REFUSED, Result.CONFLICT)
    assert outcome.message


async def test_a_lost_fence_refuses_before_anything_leaves(api_server, order):
    def lost() -> None:
        raise FenceLost("not the leader")

    client = make(api_server, write_guard=lost)
    outcome = await ScaleActuator().carry_out(client, order)
    await client.close()
    assert (outcome.result, outcome.message) == (Result.REFUSED, "not the leader")
    assert replicas(api_server, order) == 4


async def test_no_answer_is_unknown_neither_done_nor_refused(two_api_servers, order_on_second):
    _, second = two_api_servers
    client = make(second)
    await ScaleActuator().carry_out(client, replace(order_on_second, observed_replicas=9))
    second.freeze()
    try:
        outcome = await ScaleActuator().carry_out(client, order_on_second)
    finally:
        second.thaw()
        await client.close()
    assert outcome.result is Result.UNKNOWN


@pytest.fixture
def order_on_second(two_api_servers, make_namespace) -> ScaleOrder:
    _, second = two_api_servers
    namespace = make_namespace(second.access)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = second.access.create(
        path,
        {
            "metadata": {"name": "chat"},
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": {"app": "chat"}},
                "template": {
                    "metadata": {"labels": {"app": "chat"}},
                    "spec": {"containers": [{"name": "engine", "image": "engine"}]},
                },
            },
        },
    )
    return ScaleOrder(
        target=TargetKey("apps/v1", "Deployment", namespace, "chat"),
        target_uid=made["metadata"]["uid"],
        observed_replicas=4,
        replicas=2,
    )
