"""Values: what the schema refuses, and that it agrees with the operator's own settings."""

from __future__ import annotations

import json

import pytest
import yaml
from helm_python import HelmError

from scripts import chart_values
from wattshift.control.config import Config, load
from wattshift.errors import NeedsHuman

from .conftest import CHART, Rendered, values_of

NOT_IN_THE_CHART = {
    "hub.kubeconfig": "in a pod it is the service account",
    "lease.name": "the role names it",
    "podName": "from the pod",
    "relistSeconds": "an inner matter",
    "server.apiBindAddress": "loopback, by design",
    "server.bindAddress": "a pod's own address",
    "workers": "an inner matter",
}
"""Settings that the chart leaves alone, and why."""
REFUSED = [
    # a typing error at each level of ours
    ({"modee": "Enforce"}, "modee"),
    ({"planner": {"intervallSeconds": 60}}, "intervallSeconds"),
    ({"member": {"namespace": ["a"]}}, "namespace"),
    ({"image": {"repo": "x"}}, "repo"),
    ({"crds": {"keeep": True}}, "keeep"),
    ({"networkPolicy": {"egress": []}}, "egress"),
    ({"leaderElection": {"name": "mine"}}, "name"),
    ({"replay": {"start": "2026-01-01T00:00:00Z"}}, "start"),
    # values that mean nothing
    ({"mode": "enforce"}, "mode"),
    ({"mode": "Enforced"}, "mode"),
    ({"reportingCurrency": "RMB "}, "reportingCurrency"),
    ({"exchangeRates": [{"currency": "USD"}]}, "rate"),
    ({"exchangeRates": [{"currency": "USD", "rate": 7.1}]}, "rate"),
    ({"planner": {"intervalSeconds": 0}}, "intervalSeconds"),
    ({"planner": {"headRoomPermille": 5000}}, "headRoomPermille"),
    ({"planner": {"minSavingPerMove": 3}}, "minSavingPerMove"),
    ({"planner": {"carbonPricePerTonne": "1,5"}}, "carbonPricePerTonne"),
    ({"governor": {"intervalSeconds": "2s"}}, "intervalSeconds"),
    ({"log": {"level": "trace"}}, "level"),
    ({"recorder": {"steps": 0}}, "steps"),
    ({"replicaCount": -1}, "replicaCount"),
    ({"replicaCount": "2"}, "replicaCount"),
    ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
    ({"member": {"namespaces": "serving"}}, "namespaces"),
    ({"member": {"namespaces": ["a", "a"]}}, "namespaces"),
    ({"member": {"subjects": [{"kind": "Robot", "name": "x"}]}}, "kind"),
    ({"credentialsNamespace": "a/b"}, "credentialsNamespace"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"service": {"port": 80}}, "port"),
    ({"uninstall": {"deadlineSeconds": 1}}, "deadlineSeconds"),
    ({"replay": {"speed": 60}}, "startTime"),
    ({"podLabels": {"a": 1}}, "podLabels"),
]


@pytest.mark.parametrize(("values", "word"), REFUSED, ids=[json.dumps(v) for v, _ in REFUSED])
def test_a_wrong_value_is_refused_by_name(values, word):
    with pytest.raises(HelmError) as refusal:
        Rendered(values)
    assert word in str(refusal.value)


def test_the_global_values_of_a_parent_chart_are_let_through():
    Rendered({"global": {"anything": True}})


def test_the_operator_accepts_the_settings_of_every_values_file(rendered, example, tmp_path):
    if not values_of(example).get("hub", {}).get("enabled", True):
        assert rendered.all("ConfigMap") == []
        return
    path = tmp_path / "config.yaml"
    path.write_text(rendered.one("ConfigMap")["data"]["config.yaml"])
    config = load(str(path), {"POD_NAME": "wattshift-0"})
    assert config.mode == values_of(example).get("mode", "Observe")
    assert config.own_namespace == "power"


def test_the_defaults_of_the_chart_are_those_of_the_operator(render, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(render({}).one("ConfigMap")["data"]["config.yaml"])
    config = load(str(path), {"POD_NAME": "x"})
    from_chart, own = config.model_dump(by_alias=True), Config().model_dump(by_alias=True)
    for key in ("namespace", "credentialsNamespace", "podName"):
        from_chart.pop(key)
        own.pop(key)
    assert from_chart == own


def test_every_setting_of_the_operator_can_be_set_or_is_left_alone_on_purpose(render):
    def leaves(schema, root, path=()):
        while "$ref" in schema or "anyOf" in schema:
            schema = (
                root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
                if "$ref" in schema
                else next(row for row in schema["anyOf"] if row.get("type") != "null")
            )
        if "properties" not in schema:
            yield ".".join(path)
        for name, child in schema.get("properties", {}).items():
            yield from leaves(child, root, (*path, name))

    def given(value, path=()):
        yield ".".join(path)
        if isinstance(value, dict):
            for key, child in value.items():
                yield from given(child, (*path, key))

    root = Config.model_json_schema(by_alias=True)
    set_by_chart = set(given(render(values_of("full")).config()))
    missing = {name for name in leaves(root, root) if name not in set_by_chart}
    assert missing == set(NOT_IN_THE_CHART)


@pytest.mark.parametrize(
    "part", ["planner", "governor", "status", "log", "leaderElection", "recorder"]
)
def test_a_part_that_is_set_to_null_falls_back_to_the_operators_defaults(render, tmp_path, part):
    path = tmp_path / "config.yaml"
    path.write_text(render({part: None}).one("ConfigMap")["data"]["config.yaml"])
    assert load(str(path), {"POD_NAME": "x"}).planner == Config().planner


def test_names_that_look_like_numbers_stay_names(render, tmp_path):
    path = tmp_path / "config.yaml"
    rendered = render({"watchNamespaces": ["007"], "credentialsNamespace": "10"}, namespace="123")
    path.write_text(rendered.one("ConfigMap")["data"]["config.yaml"])
    config = load(str(path), {"POD_NAME": "x"})
    assert (config.namespace, config.credentials_namespace, config.namespaces) == (
        "123",
        "10",
        ("007",),
    )


def test_what_the_schema_lets_through_the_operator_still_checks(tmp_path):
    # A rule between two values is not in the schema: it fails at the start, with its name.
    path = tmp_path / "config.yaml"
    rendered = Rendered({"leaderElection": {"renewDeadlineSeconds": 20}})
    path.write_text(rendered.one("ConfigMap")["data"]["config.yaml"])
    with pytest.raises(NeedsHuman, match="durationSeconds > renewDeadlineSeconds"):
        load(str(path), {})


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"podLabels": {"app.kubernetes.io/component": "x"}}, "podLabels may not set"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels may not set"),
        ({"api": {"enabled": True, "port": 8080}}, "must differ"),
    ],
)
def test_values_that_make_a_pod_that_cannot_run_are_refused(values, word):
    with pytest.raises(Exception, match=word):
        Rendered(values)


@pytest.mark.parametrize(
    "name", ["mode", "reportingCurrency", "exchangeRates", "watchNamespaces", "podLabels"]
)
def test_a_value_that_is_set_to_null_is_the_default(name, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(Rendered({name: None}).one("ConfigMap")["data"]["config.yaml"])
    assert load(str(path), {}).mode == "Observe"


# ---- the generator ---------------------------------------------------------------------------


def written(tmp_path, text):
    path = tmp_path / "values.yaml"
    path.write_text(text)
    return path


def test_every_value_has_a_description_in_schema_and_readme():
    schema = json.loads((CHART / "values.schema.json").read_text())
    readme = (CHART / "README.md").read_text()

    def check(node, path):
        assert node["description"], path
        assert f"`{path}`" in readme or path == "global"
        if node.get("additionalProperties") is False and node.get("default") != {}:
            for name, child in node["properties"].items():
                if "description" in child:
                    check(child, f"{path}.{name}")

    for name, node in schema["properties"].items():
        check(node, name)


def test_all_our_levels_are_closed():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    free = {"resources", "nodeSelector", "affinity", "podAnnotations", "podLabels"}
    assert schema["additionalProperties"] is False
    for name, value in values.items():
        if isinstance(value, dict) and name not in free:
            assert schema["properties"][name]["additionalProperties"] is False, name


def test_a_value_without_a_comment_is_refused_by_the_generator(tmp_path):
    with pytest.raises(ValueError, match="a.b: no comment"):
        chart_values.settings(written(tmp_path, "# A.\na:\n  b: 1\n"))


def test_an_empty_map_that_nothing_describes_is_refused_by_the_generator(tmp_path):
    with pytest.raises(ValueError, match="a: empty"):
        chart_values.settings(written(tmp_path, "# A.\na: {}\n"))


def test_a_setting_that_the_operator_does_not_have_is_refused_by_the_generator(tmp_path):
    rows = chart_values.settings(written(tmp_path, "# A.\n# @config planer\na: 1\n"))
    with pytest.raises(ValueError, match="planer: the operator has no such setting"):
        chart_values.schema(rows)


def test_children_of_a_setting_take_their_rules_from_the_operator(tmp_path):
    text = "# A.\n# @config governor\na:\n  # B.\n  intervalSeconds: 2\n"
    schema = json.loads(chart_values.schema(chart_values.settings(written(tmp_path, text))))
    node = schema["properties"]["a"]["properties"]["intervalSeconds"]
    assert (node["minimum"], node["maximum"], node["default"]) == (0.2, 60, 2)
