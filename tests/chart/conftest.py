"""Renders the chart by Helm's own engine for each values file in charts/wattshift/ci."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "wattshift"
CI = {
    path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*.yaml"))
}
Document = dict[str, Any]


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CRD = "CustomResourceDefinition"


@lru_cache(maxsize=64)
def rendered_files(values: str, name: str, namespace: str) -> dict[str, str]:
    with Chart.load(CHART) as chart:
        return chart.render(json.loads(values), name=name, namespace=namespace)


class Rendered:
    """The objects of one rendering; the CRDs, which are large, are parsed only when asked for."""

    def __init__(
        self, values: Document, *, name: str = "wattshift", namespace: str = "power"
    ) -> None:
        self.files = rendered_files(json.dumps(values, sort_keys=True), name, namespace)
        self.notes = next(text for path, text in self.files.items() if path.endswith("NOTES.txt"))
        self.objects = self._parsed(crds=False)

    def _parsed(self, *, crds: bool) -> list[Document]:
        return [
            row
            for path, text in sorted(self.files.items())
            if path.endswith(".yaml") and ("/templates/crds/" in path) is crds
            for row in yaml.load_all(text, Loader=LOADER)
            if row
        ]

    def crds(self) -> list[Document]:
        return self._parsed(crds=True)

    def all(self, *kinds: str) -> list[Document]:
        assert CRD not in kinds, "use crds()"
        return [row for row in self.objects if row["kind"] in kinds]

    def one(self, kind: str) -> Document:
        (found,) = self.all(kind)
        return found

    def names(self) -> set[str]:
        return {f"{row['kind']}/{row['metadata']['name']}" for row in self.objects}

    def pods(self) -> dict[str, Document]:
        """Kind -> pod spec of everything that makes pods."""
        return {
            row["kind"]: row["spec"]["template"]["spec"] for row in self.all("Deployment", "Job")
        }

    def config(self) -> Document:
        return yaml.safe_load(self.one("ConfigMap")["data"]["config.yaml"])


def values_of(name: str) -> Document:
    return yaml.safe_load(CI[name].read_text()) or {}


@pytest.fixture
def render():
    return Rendered


@pytest.fixture(params=sorted(CI))
def example(request) -> str:
    """The name of each values file."""
    return request.param


@pytest.fixture
def rendered(example) -> Rendered:
    return Rendered(values_of(example))
