"""Pure parts: selectors, the patch of /scale, quantities, paths, families."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.errors import Bug, FenceLost, NeedsHuman, Transient, WattshiftError
from wattshift.kube.errors import SpokeUnreachable, api_error
from kubernetes.utils.quantity import parse_quantity
from wattshift.kube.resources import CRDS, DEPLOYMENTS, NAMESPACES, PODS, WELL_KNOWN
from wattshift.kube.scale import Scale, scale_patch
from wattshift.kube.selectors import MAX_VALUES, Requirement, Selector, covering, parse

KEYS = st.sampled_from(["app", "role", "tier", "example.io/model"])
VALUES = st.sampled_from(["a", "b", "c", ""])
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)
EXPRESSIONS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "key": KEYS,
                "operator": st.sampled_from(["In", "NotIn"]),
                "values": st.lists(VALUES, min_size=1, max_size=3),
            }
        ),
        st.fixed_dictionaries(
            {"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}
        ),
    ),
    max_size=3,
)
SELECTORS = st.fixed_dictionaries({"matchLabels": LABELS, "matchExpressions": EXPRESSIONS})


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({"matchLabels": {"app": "a"}}, {"app": "a", "x": "y"}, True),
        ({"matchLabels": {"app": "a"}}, {"app": "b"}, False),
        ({"matchLabels": {"app": "a", "r": "b"}}, {"app": "a"}, False),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]},
            {"a": "2"},
            True,
        ),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ("app=a,role in (x, y),!gone,there,tier!=t", {"app": "a", "role": "y", "there": ""}, True),
        ("app==a", {"app": "a"}, True),
        ("app notin (a)", {"app": "a"}, False),
        ({"app": "a"}, {"app": "a"}, True),  # a plain map, as ReplicationController has
    ],
)
def test_the_table_of_selectors(selector, labels, expected):
    assert parse(selector).matches(labels) is expected


@pytest.mark.parametrize("nothing", [{}, {"matchLabels": {}}, "", None, [], 7])
def test_no_selector_selects_nothing(nothing):
    assert not parse(nothing) and not parse(nothing).matches({"app": "a"})


@pytest.mark.parametrize("text", ["a in b", "=", "a=b c", "in (a)", "((", "a,,b"])
def test_text_that_is_no_selector_is_refused(text):
    with pytest.raises(ValueError, match="selector"):
        parse(text)


@given(SELECTORS, LABELS)
def test_text_and_structure_mean_the_same(selector, labels):
    parsed = parse(selector)
    assert parse(str(parsed)).matches(labels) == parsed.matches(labels)


@given(st.lists(SELECTORS, max_size=5), LABELS)
def test_covering_selectors_lose_no_pod(selectors, labels):
    parsed = [parse(s) for s in selectors]
    if any(s.matches(labels) for s in parsed):
        assert any(parse(text).matches(labels) for text in covering(parsed))


def test_many_targets_with_a_common_key_need_one_watch():
    found = covering([parse({"app": f"m{i}", "part": "engine"}) for i in range(40)])
    assert len(found) == 1 and found[0].startswith("app in (m0,m1,")


def test_a_watch_never_names_more_values_than_a_url_holds():
    found = covering([parse({"app": f"m{i:04}"}) for i in range(2 * MAX_VALUES + 1)])
    assert len(found) == 3 and all(len(text) < 4096 for text in found)


def test_without_a_common_key_each_selector_has_its_watch_and_order_does_not_matter():
    one, two = parse({"app": "a"}), parse({"role": "b"})
    assert covering([one, two]) == covering([two, one, Selector(), one]) == ["app=a", "role=b"]


def test_a_requirement_is_written_as_kubernetes_reads_it():
    assert str(Requirement("a", "In", ("1",))) == "a=1"
    assert str(Requirement("a", "NotIn", ("1", "2"))) == "a notin (1,2)"
    assert str(Requirement("a", "DoesNotExist")) == "!a"


# -- /scale ------------------------------------------------------------------------------


def run_patch(document: dict, operations: list[dict]) -> dict | None:
    """Just enough of RFC 6902 for these patches; None if a test fails."""
    for operation in operations:
        *parents, last = operation["path"].strip("/").split("/")
        place = document
        for part in parents:
            place = place[part]
        if operation["op"] == "test":
            if last not in place or place[last] != operation["value"]:
                return None
        else:
            place[last] = operation["value"]
    return document


def scale_body(uid: str, replicas: int) -> dict:
    # The server omits the field at zero.
    return {"metadata": {"uid": uid}, "spec": {"replicas": replicas} if replicas else {}}


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.booleans())
def test_a_scale_patch_applies_exactly_when_uid_and_observed_hold(actual, observed, target, same):
    body = scale_body("u" if same else "other", actual)
    result = run_patch(body, scale_patch(uid="u", observed=observed, target=target))
    if same and actual == observed:
        assert result["spec"]["replicas"] == target
    else:
        assert result is None


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_scale_patch_is_absolute_and_tests_before_it_writes(observed, target):
    operations = scale_patch(uid="u", observed=observed, target=target)
    assert [o["op"] == "test" for o in operations] == [True, True, False]
    assert operations[-1]["value"] == target
    assert json.dumps(operations)


@pytest.mark.parametrize(("observed", "target"), [(-1, 0), (0, -1)])
def test_negative_replicas_are_never_sent(observed, target):
    with pytest.raises(ValueError, match="negative"):
        scale_patch(uid="u", observed=observed, target=target)


def test_a_scale_without_replicas_is_at_zero():
    scale = Scale.parse({"metadata": {"uid": "u"}, "spec": {}, "status": {"replicas": 1}})
    assert (scale.spec_replicas, scale.status_replicas) == (0, 1)


# -- quantities, paths, families ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        (8, 8),
        ("500m", "0.5"),
        ("2Gi", 2 * 1024**3),
        ("1k", 1000),
        ("1e3", 1000),
        ("1E", 10**18),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("12e-1", "1.2"),
        ("100n", "1e-7"),
        ("1Ei", 2**60),
    ],
)
def test_the_table_of_quantities(text, value):
    assert parse_quantity(text) == Decimal(value)


def test_paths():
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path(namespace="n") == "/api/v1/namespaces/n/pods"
    path = "/apis/apps/v1/namespaces/n/deployments/d/scale"
    assert DEPLOYMENTS.path(namespace="n", name="d", subresource="scale") == path
    assert NAMESPACES.path(name="kube-system") == "/api/v1/namespaces/kube-system"
    assert CRDS.path(namespace="ignored").endswith("/customresourcedefinitions")
    assert PODS.path(namespace="a/../b", name="x?y") == "/api/v1/namespaces/a%2F..%2Fb/pods/x%3Fy"


def test_a_name_without_its_namespace_is_our_mistake():
    with pytest.raises(ValueError, match="namespace"):
        PODS.path(name="x")


def test_well_known_resources_are_found_by_their_own_names():
    assert all((r.api_version, r.kind) == key for key, r in WELL_KNOWN.items())


def test_every_error_belongs_to_exactly_one_family():
    found = [
        FenceLost("x"),
        SpokeUnreachable("x"),
        *(api_error(c, {}, where="") for c in range(300, 600)),
    ]
    for error in found:
        assert isinstance(error, WattshiftError)
        assert sum(isinstance(error, f) for f in (Transient, NeedsHuman, Bug)) == 1


@given(
    st.integers(300, 999),
    st.none()
    | st.text()
    | st.lists(st.integers())
    | st.dictionaries(
        st.sampled_from(["reason", "message", "code"]), st.none() | st.text() | st.integers()
    ),
)
def test_any_body_makes_an_error_with_a_reason_and_a_bounded_message(status, body):
    error = api_error(status, body, where="GET /x")
    assert error.status == status and error.reason and len(error.message) <= 512


def test_reasons_of_a_lost_member_are_those_that_the_api_documents():
    from wattshift.api.reasons import ConnectionReason
    from wattshift.kube import reasons

    documented = {r.value for r in ConnectionReason}
    errors = [api_error(c, {"reason": "Whatever"}, where="") for c in range(300, 600)]
    errors += [Transient("x", reason="New"), NeedsHuman("x"), Bug("x"), FenceLost("x")]
    assert {reasons.connection_reason(e) for e in errors} <= documented
    assert set(reasons._BY_REASON.values()) | {reasons.CONNECTED} <= documented
    found = {c: reasons.connection_reason(api_error(c, {}, where="")) for c in (401, 403, 404, 503)}
    assert found == {
        401: "Unauthorized",
        403: "Forbidden",
        404: "InvalidAnswer",
        503: "ServerError",
    }
