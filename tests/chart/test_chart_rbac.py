"""Permissions: what no combination of values may contain, and what each switch adds."""

from __future__ import annotations

import pytest

from scripts import chart_rbac

from .conftest import CHART, Rendered, values_of

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
FORBIDDEN_VERBS = {"*", "escalate", "bind", "impersonate", "deletecollection"}
FORBIDDEN_WRITES = {
    "pods", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers",
    "pods/eviction", "nodes", "namespaces", "secrets", "configmaps", "serviceaccounts",
    "serviceaccounts/token", "deployments", "statefulsets", "leaderworkersets", "replicasets",
    "jobs", "roles", "clusterroles", "rolebindings", "clusterrolebindings",
    "customresourcedefinitions", "horizontalpodautoscalers", "endpointslices", "services",
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
}  # fmt: skip
FORBIDDEN_READS = {"pods/exec", "pods/attach", "pods/portforward", "pods/log", "nodes/proxy"}
PEOPLE = ("-view", "-edit")


def rules(rendered):
    """(role, rule) of every role that a program has; those for people are looked at apart."""
    return [
        (row, rule)
        for row in rendered.all("Role", "ClusterRole")
        for rule in row["rules"]
        if not row["metadata"]["name"].endswith(PEOPLE)
    ]


def test_no_wildcard_and_no_verb_that_raises_rights(rendered):
    for row in rendered.all("Role", "ClusterRole"):
        for rule in row["rules"]:
            assert not FORBIDDEN_VERBS & set(rule["verbs"]), row["metadata"]["name"]
            for part in ("apiGroups", "resources", "verbs"):
                assert not [word for word in rule[part] if "*" in word], row["metadata"]["name"]
            assert "nonResourceURLs" not in rule


def test_nothing_of_other_people_is_written_but_the_scale(rendered):
    for row, rule in rules(rendered):
        if WRITES & set(rule["verbs"]):
            assert not FORBIDDEN_WRITES & set(rule["resources"]), row["metadata"]["name"]


def test_nothing_reaches_into_pods(rendered):
    for row, rule in rules(rendered):
        assert not FORBIDDEN_READS & set(rule["resources"]), row["metadata"]["name"]


def test_secrets_are_read_by_a_role_in_one_namespace_only(rendered, example):
    values = values_of(example)
    found = [row for row, rule in rules(rendered) if "secrets" in rule["resources"]]
    if not values.get("hub", {}).get("enabled", True):
        assert found == []
        return
    (role,) = found
    assert role["kind"] == "Role"
    assert role["metadata"]["namespace"] == values.get("credentialsNamespace", "power")
    bindings = [
        row
        for row in rendered.all("RoleBinding", "ClusterRoleBinding")
        if row["roleRef"]["name"] == role["metadata"]["name"]
    ]
    assert [row["metadata"]["namespace"] for row in bindings] == [role["metadata"]["namespace"]]


def test_the_scale_is_bound_in_the_listed_namespaces_and_never_cluster_wide(rendered, example):
    member = values_of(example).get("member", {})
    scaling = {
        row["metadata"]["name"]
        for row, rule in rules(rendered)
        if any(name.endswith("/scale") for name in rule["resources"])
    }
    bound = [
        row
        for row in rendered.all("RoleBinding", "ClusterRoleBinding")
        if row["roleRef"]["name"] in scaling
    ]
    assert {row["kind"] for row in bound} <= {"RoleBinding"}
    wanted = member.get("namespaces", []) if member.get("enabled", True) else []
    assert sorted(row["metadata"]["namespace"] for row in bound) == sorted(wanted)


def test_a_scale_can_be_patched_and_nothing_else(rendered):
    for _, rule in rules(rendered):
        if any(name.endswith("/scale") for name in rule["resources"]):
            assert rule["verbs"] == ["patch"]
            assert all(name.endswith("/scale") for name in rule["resources"])


def test_the_lease_is_written_by_name_only(render):
    found = [rule for _, rule in rules(render({})) if "leases" in rule["resources"]]
    for rule in found:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["wattshift"]


def test_the_lease_that_the_role_names_is_the_one_the_operator_uses(render):
    from wattshift.control.config import Config

    rendered = render({})
    assert "name" not in rendered.config()["lease"]
    assert Config().lease.name == "wattshift"


def test_a_cluster_identity_is_the_one_namespace_that_a_member_may_get(render):
    for row, rule in rules(render(values_of("member-only"))):
        if "namespaces" in rule["resources"]:
            assert (rule["verbs"], rule["resourceNames"]) == (["get"], ["kube-system"]), row


def test_tenants_may_not_write_sites_and_contracts(render):
    for row in render({}).all("ClusterRole"):
        if row["metadata"]["name"].endswith(PEOPLE):
            for rule in row["rules"]:
                if WRITES & set(rule["verbs"]):
                    assert rule["resources"] == ["flexibleworkloads"]


def test_roles_for_people_never_touch_status_or_finalizers(render):
    for row in render({}).all("ClusterRole"):
        if row["metadata"]["name"].endswith(PEOPLE):
            assert not [r for rule in row["rules"] for r in rule["resources"] if "/" in r]


@pytest.mark.parametrize(
    ("values", "added"),
    [
        ({"api": {"enabled": True}}, {"tokenreviews", "subjectaccessreviews"}),
        (
            {"member": {"leaderWorkerSets": True}},
            {"leaderworkersets", "leaderworkersets/scale"},
        ),
        ({"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}, set()),
        ({"recorder": {"directory": "/data"}, "replicaCount": 3, "mode": "Enforce"}, set()),
    ],
)
def test_a_switch_adds_exactly_this(render, values, added):
    def resources(of):
        return {name for _, rule in rules(render(of)) for name in rule["resources"]}

    assert resources(values) - resources({}) == added


def test_every_role_says_what_it_is_for(rendered):
    silent = [
        row["metadata"]["name"]
        for row in rendered.all("Role", "ClusterRole")
        if not row["metadata"].get("annotations", {}).get(chart_rbac.DESCRIPTION)
    ]
    assert silent == []


def test_the_table_has_a_row_for_every_rule_of_every_values_file(example):
    table = chart_rbac.table(CHART)
    if "nameOverride" in values_of(example):
        return  # other names of the same roles
    for row in Rendered(values_of(example)).all("Role", "ClusterRole"):
        for rule in row["rules"]:
            assert chart_rbac.words(rule) in table


def test_the_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="lacks"):
        chart_rbac.page("# Security\n", CHART)
