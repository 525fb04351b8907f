"""Reading audit logs and comparing them with rules; on lines as kube-apiserver writes them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.lab.audit import AuditLog, Grant, grants, service_account, unused_grants, unused_rules

USER = service_account("sys", "op")


def line(
    verb="get",
    resource="pods",
    *,
    group="",
    sub="",
    namespace="n",
    name="x",
    code=200,
    decision="allow",
    reason="",
    user=USER,
    body=None,
    when="2026-11-22T06:00:00.250000Z",
    stage="ResponseComplete",
    path="/api",
):
    reference = {"resource": resource, "namespace": namespace, "name": name, "apiGroup": group}
    if sub:
        reference["subresource"] = sub
    return {
        "stage": stage,
        "verb": verb,
        "user": {"username": user},
        "requestURI": path,
        "objectRef": reference if resource else None,
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": when,
        "requestObject": body,
        "userAgent": "t",
        "annotations": {
            "authorization.k8s.io/decision": decision,
            "authorization.k8s.io/reason": reason,
        },
    }


@pytest.fixture
def log(tmp_path):
    def write(*entries, tail=""):
        path = tmp_path / "audit.log"
        path.write_text("".join(json.dumps(e) + "\n" for e in entries) + tail)
        return AuditLog(path)

    return write


def test_line_being_written_is_left_for_the_next_read(log):
    assert len(log(line(), line(), tail='{"stage": "Resp').events()) == 2


def test_absent_log_has_no_events(tmp_path):
    assert AuditLog(tmp_path / "none").events() == []


def test_denied_are_refusals_of_permission_and_of_identity(log):
    found = log(
        line(code=403, decision="forbid"), line(code=401, decision=""), line(code=404), line()
    ).denied()
    assert [e.code for e in found] == [403, 401]


def test_conflict_or_quota_is_not_a_denial(log):
    entry = line("create", code=403, decision="allow")  # quota and admission answer 403 as well
    assert log(entry).denied() == []


def test_writes_are_successful_ones_unless_all_are_asked_for(log):
    entries = (line("patch"), line("patch", code=422), line("get"), line("delete"))
    assert [e.verb for e in log(*entries).writes()] == ["patch", "delete"]
    assert len(log(*entries).writes(successful=False)) == 3


def test_events_are_selected_by_user_time_target_and_name(log):
    audit = log(
        line("patch", "deployments", group="apps", sub="scale", name="a"),
        line("patch", "deployments", group="apps", name="a"),
        line(user="other"),
        line(when="2026-11-22T07:00:00.000000Z", name="late"),
    )
    assert len(audit.events(target="deployments/scale")) == 1
    assert len(audit.events(user="other")) == 1
    assert [e.name for e in audit.events(since=1795330000)] == ["late"]
    assert len(audit.events(name="a", verbs=["patch"])) == 2


def test_created_object_is_named_by_its_body(log):
    entry = line("create", "configmaps", name="", body={"metadata": {"name": "made"}})
    (event,) = log(entry).events()
    assert event.name == "made"


def test_json_patch_body_is_kept_as_it_is(log):
    patch = [{"op": "test", "path": "/metadata/uid", "value": "u"}]
    (event,) = log(line("patch", body=patch)).events()
    assert (event.body, event.name) == (patch, "x")


def test_binding_is_taken_from_the_reason(log):
    reason = 'RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "op/sys"'
    audit = log(line(reason=reason), line(reason=reason), line())
    assert audit.bindings(USER) == {"RoleBinding/b/n -> Role/r": 2}


RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
    {
        "apiGroups": [""],
        "resources": ["namespaces"],
        "resourceNames": ["kube-system"],
        "verbs": ["get"],
    },
    {"nonResourceURLs": ["/healthz/*"], "verbs": ["get"]},
]


def test_rules_come_apart_into_single_grants():
    assert [str(g) for g in grants(RULES)] == [
        "get /healthz/*", "get namespaces (kube-system)", "get pods", "list pods",
        "patch apps/deployments/scale",
    ]  # fmt: skip


def test_unused_grants_and_rules_are_those_nothing_needed(log):
    events = log(
        line("get"),
        line("get", "namespaces", name="other"),
        line("patch", "deployments", group="apps", sub="scale", code=403, decision="forbid"),
    ).events()
    unused = {str(g) for g in unused_grants(RULES, events)}
    assert "get pods" not in unused
    assert unused >= {"list pods", "get namespaces (kube-system)", "patch apps/deployments/scale"}
    assert unused_rules(RULES, events) == RULES[1:]


def test_use_of_paths_without_resources_counts(log):
    events = log(line("get", "", path="/healthz/etcd?x=1")).events()
    assert RULES[3] not in unused_rules(RULES, events)


def test_role_of_one_namespace_is_not_used_by_another(log):
    events = log(line("get", namespace="other"), line("list", namespace="n")).events()
    assert [str(g) for g in unused_grants(RULES[:1], events, namespace="n")] == ["get pods"]


@pytest.mark.parametrize(
    ("grant", "entry", "covered"),
    [
        (Grant("*", "", "pods"), line("delete"), True),
        (Grant("get", "*", "*"), line("get", "x", group="g"), True),
        (Grant("get", "", "pods"), line(sub="log"), False),
        (Grant("get", "", "pods/log"), line(sub="log"), True),
        (Grant("patch", "apps", "*/scale"), line("patch", "x", group="apps", sub="scale"), True),
        (Grant("get", "apps", "pods"), line(), False),
    ],
)
def test_grant_covers_as_rbac_does(log, grant, entry, covered):
    (event,) = log(entry).events()
    assert grant.covers(event) is covered


@given(verbs=st.lists(st.sampled_from(["get", "list", "patch"]), min_size=1, unique=True))
def test_grants_of_a_rule_are_as_many_as_its_combinations(verbs):
    rule = {"apiGroups": ["", "apps"], "resources": ["a", "b", "c"], "verbs": verbs}
    assert len(grants([rule])) == 6 * len(verbs)
