"""The chart's roles are what the operator uses: nothing denied, no default rule unused.

Judged by the audit logs of all servers over the scenarios that ran before; and by what a stolen
member credential can do.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from e2e.lab.audit import AuditEvent, unused_grants
from e2e.lab.client import Access, ApiError, Document
from e2e.lab.lab import MEMBER_ACCOUNT, SYSTEM_NAMESPACE
from e2e.scenarios.world import NAMESPACES, PLACES, World

pytestmark = pytest.mark.e2e
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SCENARIOS = 11
NOT_USED_HERE = {
    "patch apps/statefulsets/scale": "no StatefulSet in these scenarios; the code is one with Deployments",
}


def ours(world: World, place: str) -> list[AuditEvent]:
    return world.audit(place).events(user=world.identity(place))


def test_nothing_was_denied_to_the_operator(world: World) -> None:
    for place in (row.name for row in PLACES):
        events = ours(world, place)
        assert events, f"{place}: the operator was never here"
        assert world.denied(place) == [], place


def test_no_rule_of_the_operator_was_without_use(world: World) -> None:
    if world.cases < SCENARIOS:
        pytest.skip("needs the scenarios that run before it")
    unused: dict[str, list[str]] = {}
    for place in ("hub", "west"):
        access, events = world.lab.access(place), ours(world, place)
        for role, rules, namespace in bound_rules(access, world.identity(place)):
            left = [
                str(grant)
                for grant in unused_grants(rules, events, namespace=namespace)
                if str(grant) not in NOT_USED_HERE
            ]
            if left:
                unused[f"{place}: {role}"] = left
    assert unused == {}


def bound_rules(access: Access, user: str) -> list[tuple[str, list[Document], str | None]]:
    """(role, rules, namespace of a Role) of everything that is bound to a service account."""
    _, _, space, name = user.split(":")
    found: dict[str, tuple[str, list[Document], str | None]] = {}
    for kind in ("clusterrolebindings", "rolebindings"):
        for row in access.items(f"{RBAC}/{kind}"):
            subjects = row.get("subjects") or []
            if not any(s.get("name") == name and s.get("namespace") == space for s in subjects):
                continue
            reference, where = row["roleRef"], row["metadata"].get("namespace")
            if reference["kind"] == "ClusterRole":
                rules = access.get(f"{RBAC}/clusterroles/{reference['name']}")["rules"]
                where = None  # one use in any namespace is use of the rule
            else:
                rules = access.get(f"{RBAC}/namespaces/{where}/roles/{reference['name']}")["rules"]
            found[reference["name"]] = (reference["name"], rules, where)
    return list(found.values())


SCALE = "application/json-patch+json"
FORBIDDEN: tuple[tuple[str, str, Document | list[Document] | None], ...] = (
    ("GET", "/api/v1/secrets", None),
    ("GET", "/api/v1/namespaces/{space}/secrets", None),
    ("GET", "/api/v1/namespaces/{space}/configmaps", None),
    ("GET", "/api/v1/nodes", None),
    ("GET", "/api/v1/namespaces", None),
    ("GET", "/api/v1/namespaces/default", None),
    ("GET", "/api/v1/namespaces/default/pods", None),
    ("GET", "/api/v1/pods", None),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", None),
    ("POST", "/api/v1/namespaces/{space}/pods", {"metadata": {"name": "x"}}),
    ("POST", "/api/v1/namespaces/{space}/secrets", {"metadata": {"name": "x"}}),
    ("POST", "/api/v1/namespaces/{space}/pods/x/exec", {}),
    ("POST", "/api/v1/namespaces/{space}/pods/x/eviction", {}),
    ("GET", "/api/v1/namespaces/{space}/pods/x/proxy/pause", None),
    ("GET", "/api/v1/namespaces/{space}/pods/x/log", None),
    ("DELETE", "/api/v1/namespaces/{space}/pods/x", None),
    ("PATCH", "/api/v1/namespaces/{space}/pods/x", []),
    ("PATCH", "/apis/apps/v1/namespaces/{space}/deployments/x", []),
    ("PUT", "/apis/apps/v1/namespaces/{space}/deployments/x", {"metadata": {"name": "x"}}),
    ("PUT", "/apis/apps/v1/namespaces/{space}/deployments/x/scale", {"metadata": {"name": "x"}}),
    ("DELETE", "/apis/apps/v1/namespaces/{space}/deployments/x", None),
    ("POST", "/apis/apps/v1/namespaces/{space}/deployments", {"metadata": {"name": "x"}}),
    ("PATCH", "/apis/apps/v1/namespaces/{space}/replicasets/x/scale", []),
    ("PATCH", "/apis/apps/v1/namespaces/default/deployments/x/scale", []),
    ("PATCH", "/apis/apps/v1/namespaces/kube-system/deployments/x/scale", []),
    ("PATCH", "/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/x", []),
    (
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/rolebindings",
        {"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "admin"}},
    ),
    (
        "POST",
        "/api/v1/namespaces/{system}/serviceaccounts/wattshift-hub/token",
        {"spec": {"expirationSeconds": 3600}},
    ),
)


@pytest.mark.parametrize(("method", "path", "body"), FORBIDDEN)
def test_a_stolen_member_credential_may_not(
    world: World, method: str, path: str, body: Document | None
) -> None:
    thief = stolen(world)
    with pytest.raises(ApiError) as refused:
        thief.request(
            method,
            path.format(space=NAMESPACES[0], system=SYSTEM_NAMESPACE),
            body,
            content_type=SCALE if method == "PATCH" else "application/json",
        )
    assert refused.value.code == 403, refused.value


def test_a_stolen_member_credential_may_scale_where_it_was_opted_in(world: World) -> None:
    with world.case("stolen", {"west": 1}, traffic=False) as case:
        path = f"/apis/apps/v1/namespaces/{case.namespace}/deployments/{case.name}/scale"
        patch = [{"op": "replace", "path": "/spec/replicas", "value": 2}]
        stolen(world).request("PATCH", path, patch, content_type=SCALE)
        assert case.counts() == {"west": 2}


def stolen(world: World) -> Access:
    """The hub's access to the member `west`, as a thief would have it."""
    admin = world.lab.access("west")
    token = admin.service_account_token(SYSTEM_NAMESPACE, MEMBER_ACCOUNT)
    return replace(admin, token=token)
