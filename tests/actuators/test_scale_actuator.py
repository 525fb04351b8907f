"""The write on `/scale`: what each ending of the wire means, and what it never does."""

from __future__ import annotations

import pytest

from wattshift.actuators.base import Result, ScaleOrder
from wattshift.actuators.registry import ACTUATORS
from wattshift.actuators.scale import ScaleActuator
from wattshift.errors import Bug, FenceLost, NeedsHuman
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import SpokeUnreachable, api_error
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.views import TargetKey


def order(namespace: str, uid: str, observed: int, replicas: int, name: str = "chat") -> ScaleOrder:
    return ScaleOrder(
        target=TargetKey("apps/v1", "Deployment", namespace, name),
        target_uid=uid,
        observed_replicas=observed,
        replicas=replicas,
    )


@pytest.fixture
async def client(api_server):
    made = ClusterClient(
        name="member", access=load_hub_files([api_server.kubeconfig]), clock=lambda: 0.0
    )
    yield made
    await made.close()


@pytest.fixture
def target(api_server, namespace):
    container = {"name": "engine", "image": "engine"}
    body = {
        "metadata": {"name": "chat"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "chat"}},
            "template": {
                "metadata": {"labels": {"app": "chat"}},
                "spec": {"containers": [container]},
            },
        },
    }
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    return api_server.access.create(path, body)["metadata"]["uid"]


@pytest.mark.lab
async def test_counts_go_up_down_to_zero_and_back(client, namespace, target):
    actuator = ScaleActuator()
    for observed, wanted in ((2, 5), (5, 0), (0, 3), (3, 3)):
        outcome = await actuator.carry_out(client, order(namespace, target, observed, wanted))
        assert (outcome.result, outcome.replicas) == (Result.DONE, wanted), outcome


@pytest.mark.lab
@pytest.mark.parametrize("fault", ["count", "uid", "zero"])
async def test_a_target_that_is_not_as_observed_is_a_conflict(client, namespace, target, fault):
    made = {
        "count": order(namespace, target, 3, 1),
        "uid": order(namespace, "another", 2, 1),
        "zero": order(namespace, target, 0, 1),
    }[fault]
    outcome = await ScaleActuator().carry_out(client, made)
    assert outcome.result is Result.CONFLICT and outcome.replicas is None


@pytest.mark.lab
async def test_a_target_that_is_gone_is_refused(client, namespace):
    outcome = await ScaleActuator().carry_out(client, order(namespace, "x", 2, 1, name="gone"))
    assert outcome.result in (Result.REFUSED, Result.CONFLICT) and outcome.message


@pytest.mark.lab
async def test_a_lost_fence_is_refused_before_anything_is_sent(api_server, namespace, target):
    def fence() -> None:
        raise FenceLost("deposed")

    client = ClusterClient(
        name="member",
        access=load_hub_files([api_server.kubeconfig]),
        clock=lambda: 0.0,
        write_guard=fence,
    )
    outcome = await ScaleActuator().carry_out(client, order(namespace, target, 2, 1))
    await client.close()
    assert outcome.result is Result.REFUSED and outcome.message == "deposed"
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/chat"
    assert api_server.access.get(path)["spec"]["replicas"] == 2


class Wire:
    """A client whose server ends the request in a given way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def discover(self, *_: str) -> None:
        raise self.error


@pytest.mark.parametrize("error", [NeedsHuman("no"), Bug("oops"), FenceLost("deposed")])
async def test_every_family_of_errors_becomes_a_refusal(error):
    outcome = await ScaleActuator().carry_out(Wire(error), order("team", "u", 2, 1))
    assert outcome.result is Result.REFUSED and outcome.message == error.message


def test_every_actuator_says_what_it_needs_and_whether_it_can_be_undone():
    for name, actuator in ACTUATORS.items():
        assert actuator.name == name and actuator.rules and actuator.reversible
        assert all(rule.resource.endswith("/scale") for rule in actuator.rules)


class Answer:
    """A client whose server is asked for the kind, and then answers the write in a given way."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def discover(self, *_: str) -> None:
        return None

    async def patch_scale(self, *_: object, **__: object) -> None:
        raise api_error(self.status, {}, where="PATCH scale")


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (500, Result.UNKNOWN),
        (503, Result.UNKNOWN),
        (504, Result.UNKNOWN),
        (408, Result.UNKNOWN),
        (429, Result.REFUSED),
        (403, Result.REFUSED),
        (404, Result.REFUSED),
    ],
)
async def test_a_server_that_gives_up_may_have_written_and_one_that_refuses_has_not(status, result):
    outcome = await ScaleActuator().carry_out(Answer(status), order("team", "u", 2, 1))
    assert outcome.result is result and outcome.message


async def test_a_kind_that_cannot_be_asked_for_is_a_refusal_because_nothing_was_sent():
    outcome = await ScaleActuator().carry_out(
        Wire(SpokeUnreachable("silence")), order("team", "u", 2, 1)
    )
    assert outcome.result is Result.REFUSED
