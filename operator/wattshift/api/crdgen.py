"""CustomResourceDefinitions from the models: `python -m wattshift.api.crdgen --output crds/ --chart DIR`.

Turns pydantic's JSON schema into a structural schema of Kubernetes; an unknown construct is an error,
never a silent loss. `--check` shows the difference to the files and exits 1. Neighbour: `lint.py`.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import sys
from pathlib import Path
from typing import Any

import yaml

from wattshift.api import GROUP, VERSION
from wattshift.api.base import Column, Resource
from wattshift.api.energycontract import EnergyContract
from wattshift.api.flexibleworkload import FlexibleWorkload
from wattshift.api.powersite import PowerSite

KINDS: tuple[type[Resource], ...] = (PowerSite, EnergyContract, FlexibleWorkload)
_KEEP = frozenset(
    {
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "default",
        "format",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    }
)
_FORBIDDEN = ("oneOf", "prefixItems", "patternProperties", "allOf", "not")
_NAME_RULE = {
    "rule": "size(self.metadata.name) <= 63",
    "message": "metadata.name must have at most 63 characters, so that references and labels fit",
}
_HEADER = "# Generated from operator/wattshift/api by `make generate`; do not edit.\n"


def _resolve(
    node: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Replace `$ref` and `X | None` by what they mean; the node's own keys win."""
    while True:
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            if name in path:
                raise ValueError(f"{name} contains itself: schemas cannot recurse")
            own = {key: value for key, value in node.items() if key != "$ref"}
            node = {**copy.deepcopy(definitions[name]), **own}
            path = (*path, name)
        elif "anyOf" in node:
            members = [member for member in node["anyOf"] if member.get("type") != "null"]
            if len(members) != 1:
                raise ValueError(f"union of {len(members)} types: use members and a rule")
            own = {key: value for key, value in node.items() if key != "anyOf"}
            if own.get("default", 0) is None:
                del own["default"]
            node = {**members[0], **own}
        else:
            return node, path


def _walk(node: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]) -> Any:
    node, path = _resolve(node, definitions, path)
    for key in _FORBIDDEN:
        if key in node:
            raise ValueError(f"{key} is not used in these schemas")
    if "const" in node:
        node["enum"] = [node.pop("const")]
    for bound, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in node:
            node[inclusive], node[bound] = node[bound], True
    schema = {key: node[key] for key in node if key in _KEEP or key.startswith("x-kubernetes-")}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if isinstance(schema.get("additionalProperties"), bool):
        del schema["additionalProperties"]
    if "properties" in schema:
        schema["properties"] = {
            name: _walk(child, definitions, path) for name, child in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if key in schema:
            schema[key] = _walk(schema[key], definitions, path)
    return schema


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Status has no defaults: a default would appear in objects nobody wrote it to."""
    schema.pop("default", None)
    for child in schema.get("properties", {}).values():
        _without_defaults(child)
    for key in ("items", "additionalProperties"):
        if key in schema:
            _without_defaults(schema[key])
    return schema


def structural_schema(kind: type[Resource]) -> dict[str, Any]:
    """The `openAPIV3Schema` of a kind.

    Raises:
        ValueError: a model uses a construct that a structural schema cannot express.
    """
    document = kind.model_json_schema(by_alias=True, mode="validation")
    definitions = document.pop("$defs", {})
    document["properties"]["metadata"] = {"type": "object"}
    for name in ("apiVersion", "kind"):
        node = document["properties"][name]
        node.pop("const", None)
        node["type"] = "string"
    document["required"] = ["spec"]
    schema: dict[str, Any] = _walk(document, definitions, ())
    schema["x-kubernetes-validations"] = [_NAME_RULE]
    _without_defaults(schema["properties"]["status"])
    return schema


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
    }
    if column.priority:
        entry["priority"] = column.priority
    return entry


def custom_resource_definition(kind: type[Resource]) -> dict[str, Any]:
    """The CRD of a kind."""
    name = kind.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "wattshift"},
        },
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["wattshift"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": structural_schema(kind)},
                }
            ],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Repeats shared nodes instead of writing aliases, which some tools refuse."""

    def ignore_aliases(self, data: Any) -> bool:
        """No aliases."""
        del data
        return True


def as_yaml(document: dict[str, Any]) -> str:
    """Stable YAML: the order of the models, no aliases."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def as_template(kind: type[Resource]) -> str:
    """The CRD as a template of the chart: switched by `crds.enabled`, kept by `crds.keep`."""
    document = custom_resource_definition(kind)
    body = as_yaml(document).replace("{{", "{{ `{{` }}")
    head, rest = body.split("spec:\n", 1)
    keep = (
        "  {{- if .Values.crds.keep }}\n"
        "  annotations:\n"
        "    helm.sh/resource-policy: keep\n"
        "  {{- end }}\n"
    )
    return f"{{{{- if .Values.crds.enabled }}}}\n{_HEADER}{head}{keep}spec:\n{rest}{{{{- end }}}}\n"


def generated(output: Path | None, chart: Path | None) -> dict[Path, str]:
    """Every generated file and its text."""
    files: dict[Path, str] = {}
    for kind in KINDS:
        name = f"{GROUP}_{kind.plural}.yaml"
        if output is not None:
            files[output / name] = _HEADER + as_yaml(custom_resource_definition(kind))
        if chart is not None:
            files[chart / name] = as_template(kind)
    return files


def difference(files: dict[Path, str]) -> str:
    """Unified diff from the files on disk to what would be generated; empty = no drift."""
    parts: list[str] = []
    for path, text in files.items():
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        parts += difflib.unified_diff(
            current.splitlines(keepends=True),
            text.splitlines(keepends=True),
            fromfile=str(path),
            tofile=f"{path} (generated)",
        )
    return "".join(parts)


def write_or_check(files: dict[Path, str], *, check: bool) -> int:
    """Write the files, or show the drift; the exit status."""
    if check:
        drift = difference(files)
        sys.stdout.write(drift)
        return 1 if drift else 0
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wattshift.api.crdgen", description=__doc__)
    parser.add_argument("--output", type=Path, help="folder of the plain CRDs")
    parser.add_argument("--chart", type=Path, help="folder of the chart's CRD templates")
    parser.add_argument(
        "--check", action="store_true", help="show drift and exit 1 if there is any"
    )
    options = parser.parse_args(arguments)
    return write_or_check(generated(options.output, options.chart), check=options.check)


if __name__ == "__main__":
    sys.exit(main())
