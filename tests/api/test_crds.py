"""Generated files: no drift, small enough to apply, lint clean; the generator refuses what it cannot say."""

from __future__ import annotations

import copy
import json
from typing import Literal

import pytest
import yaml
from pydantic import Field

from tests.api.documents import ROOT
from wattshift.api import crdgen, refgen
from wattshift.api.base import ApiModel, Resource
from wattshift.api.crdgen import KINDS, custom_resource_definition, structural_schema
from wattshift.api.lint import EXCEPTIONS, lint
from wattshift.api.rules import camel

KIND_NAMES = [kind.__name__ for kind in KINDS]


def test_crds_and_chart_do_not_drift_from_the_models():
    files = crdgen.generated(ROOT / "crds", ROOT / "charts/wattshift/templates/crds")
    assert crdgen.difference(files) == ""


def test_reference_does_not_drift_from_the_models():
    assert refgen.main(["--output", str(ROOT / "docs/reference/api.md"), "--check"]) == 0


def test_check_exits_1_and_shows_the_difference(tmp_path, capsys):
    assert crdgen.main(["--output", str(tmp_path)]) == 0
    assert crdgen.main(["--output", str(tmp_path), "--check"]) == 0
    path = next(tmp_path.glob("*.yaml"))
    path.write_text(path.read_text().replace("served: true", "served: false"))
    assert crdgen.main(["--output", str(tmp_path), "--check"]) == 1
    assert "-    served: false" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_crd_fits_client_side_apply(kind):
    assert len(json.dumps(custom_resource_definition(kind))) < 256 * 1024


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_schema_follows_the_conventions(kind):
    assert lint(structural_schema(kind)) == []


def test_every_lint_exception_is_needed(monkeypatch):
    monkeypatch.setattr("wattshift.api.lint.EXCEPTIONS", {})
    found = {
        tuple(fault.split(": ")[:2]) for kind in KINDS for fault in lint(structural_schema(kind))
    }
    unused = [(rule, path) for rule, path in EXCEPTIONS if (path, rule) not in found]
    assert unused == []


FIELD = {"type": "string", "maxLength": 5, "description": "field is a field"}


def _schema(name, field):
    """A schema without faults, apart from those of one field of spec."""
    conditions = {**FIELD, "description": "conditions are"}
    return {
        "properties": {
            "spec": {"type": "object", "description": "spec is", "properties": {name: field}},
            "status": {
                "type": "object",
                "description": "status is",
                "properties": {"conditions": conditions},
            },
        }
    }


FAULTS = {
    "commentstart": {"description": "A field"},
    "maxlength": {"maxLength": None},
    "nobools": {"type": "boolean", "maxLength": None},
    "nofloats": {"type": "number", "maxLength": None},
    "integers": {"type": "integer", "minimum": 0, "maximum": 1},
    "nonullable": {"nullable": True},
    "nomaps": {
        "type": "object",
        "maxProperties": 1,
        "additionalProperties": {"type": "string", "maxLength": 1},
    },
    "ssatags": {"type": "array", "maxItems": 1, "items": {"type": "string", "maxLength": 1}},
    "rules": {"x-kubernetes-validations": [{"rule": "true", "message": ""}]},
    "types": {"type": None},
}


@pytest.mark.parametrize("rule", FAULTS)
def test_lint_finds_one_fault_of_each_rule(rule):
    field = {**FIELD, **FAULTS[rule]}
    field = {key: value for key, value in field.items() if value is not None}
    faults = lint(_schema("field", field))
    assert [fault.split(": ")[1] for fault in faults] == [rule]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("pollPeriod", "nodurations"),
        ("createdTimestamp", "notimestamp"),
        ("phase", "nophase"),
        ("idlePower", "units"),
    ],
)
def test_lint_judges_names(name, rule):
    faults = lint(_schema(name, {**FIELD, "description": f"{name} is"}))
    assert [fault.split(": ")[1] for fault in faults] == [rule]


def test_defaults_never_reach_status():
    def walk(node):
        assert "default" not in node
        for child in node.get("properties", {}).values():
            walk(child)
        if "items" in node:
            walk(node["items"])

    for kind in KINDS:
        walk(structural_schema(kind)["properties"]["status"])


def test_mode_and_override_have_no_default():
    for name in ("PowerSite", "FlexibleWorkload"):
        kind = next(kind for kind in KINDS if kind.__name__ == name)
        spec = structural_schema(kind)["properties"]["spec"]
        assert "default" not in spec["properties"]["mode"]
        assert {"mode", "override"}.isdisjoint(spec["required"])


def test_a_model_that_contains_itself_is_an_error():
    with pytest.raises(ValueError, match="contains itself"):
        structural_schema(_resource(_Recursive))


def test_a_union_of_types_is_an_error():
    with pytest.raises(ValueError, match="union of 2 types"):
        structural_schema(_resource(_Union))


class _Recursive(ApiModel):
    child: _Recursive | None = None
    """child is of the same type."""


class _Union(ApiModel):
    value: int | str
    """value is a number or a string."""


def _resource(spec_model: type[ApiModel]) -> type[Resource]:
    class Sample(Resource):
        plural = "samples"
        short_name = "s"
        scope = "Cluster"
        columns = ()
        kind: Literal["Sample"]
        spec: spec_model
        status: spec_model | None = Field(default=None)

    Sample.model_rebuild(_types_namespace={**globals(), "spec_model": spec_model})
    return Sample


def test_chart_templates_differ_only_by_their_switches():
    for kind in KINDS:
        lines = crdgen.as_template(kind).splitlines()
        assert lines[0] == "{{- if .Values.crds.enabled }}"
        assert lines[-1] == "{{- end }}"
        plain = [
            line.replace("{{ `{{` }}", "{{")
            for line in lines
            if not line.strip().startswith(("{{-", "#"))
            and line.strip() not in {"annotations:", "helm.sh/resource-policy: keep"}
        ]
        assert yaml.safe_load("\n".join(plain)) == custom_resource_definition(kind)


def test_printer_columns_are_strings_and_at_most_six_by_default():
    for kind in KINDS:
        shown = [column for column in kind.columns if not column.priority]
        assert len(shown) <= 6
        assert shown[-1].name == "Age"
        assert {column.type for column in shown} <= {"string", "date"}
        schema = structural_schema(kind)
        for column in kind.columns:
            if column.json_path.startswith(".status.summary."):
                summary = schema["properties"]["status"]["properties"]["summary"]["properties"]
                assert column.json_path.rpartition(".")[2] in summary


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("target_uid", "targetUID"),
        ("from_", "from"),
        ("plan_id", "planID"),
        ("id", "id"),
        ("url", "url"),
        ("broker_url", "brokerURL"),
        ("open_adr2b", "openADR2b"),
        ("max_moves_per_day", "maxMovesPerDay"),
    ],
)
def test_json_names_keep_acronyms_in_one_case(attribute, name):
    assert camel(attribute) == name


def test_generating_does_not_change_the_models():
    before = copy.deepcopy(structural_schema(KINDS[0]))
    crdgen.as_template(KINDS[0])
    assert structural_schema(KINDS[0]) == before
