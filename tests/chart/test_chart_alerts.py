"""Alerts: expressions name metrics and labels that exist, and each has its runbook."""

from __future__ import annotations

import re

import pytest
from prometheus_client.metrics import MetricWrapperBase

from wattshift.actuators.base import Result
from wattshift.api.conditions import CONDITIONS
from wattshift.api.site_status import ClusterState
from wattshift.obs.metrics import Metrics

from .conftest import ROOT, values_of


@pytest.fixture
def alerts(render):
    rendered = render(values_of("full"))
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    return {row["alert"]: row for row in group["rules"]}


def declared() -> dict[str, set[str]]:
    found = {}
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffix = "_total" if family.type == "counter" else ""
            found[family.name + suffix] = set(metric._labelnames)
    return found


def test_alerts_are_off_unless_asked_for(render):
    assert render({}).all("PrometheusRule", "ServiceMonitor") == []


def test_every_alert_names_a_metric_that_the_operator_has_with_its_labels(alerts):
    metrics = declared()
    target = {"job", "namespace"}
    for name, alert in alerts.items():
        found = re.findall(r"(wattshift_\w+)\{([^}]*)\}", alert["expr"])
        assert found, name
        for metric, selector in found:
            labels = set(re.findall(r"(\w+)=~?\"", selector))
            assert labels - target <= metrics[metric], name
            assert target <= labels, f"{name} would mix installations"
            grouped = re.search(r"by \(([^)]*)\)", alert["expr"])
            if grouped:
                assert {w.strip() for w in grouped[1].split(",")} <= metrics[metric], name


def test_values_that_alerts_compare_with_exist(alerts):
    text = " ".join(alert["expr"] for alert in alerts.values())
    types = {member.value for kind in CONDITIONS.values() for member in kind}
    assert set(re.findall(r'type="(\w+)"', text)) <= types
    assert set(re.findall(r'state="(\w+)"', text)) <= {state.value for state in ClusterState}
    assert set(re.findall(r'result="(\w+)"', text)) <= {result.value for result in Result}


def test_every_alert_links_to_a_section_of_the_runbooks(alerts):
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.M)
    anchors = {re.sub(r"[^a-z0-9 -]", "", row.lower()).replace(" ", "-") for row in headings}
    for name, alert in alerts.items():
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page.endswith("docs/runbooks.md")
        assert anchor in anchors, name


def test_every_alert_has_a_severity_and_says_what_is_the_case(alerts):
    for alert in alerts.values():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"].endswith(".")


def test_templates_of_alerts_reach_prometheus_unchanged(alerts):
    assert "{{ $labels.cluster }}" in alerts["WattshiftMemberLost"]["annotations"]["summary"]


def test_labels_by_which_a_prometheus_chooses_are_on_both(render):
    rendered = render(values_of("full"))
    for kind in ("PrometheusRule", "ServiceMonitor"):
        assert rendered.one(kind)["metadata"]["labels"]["release"] == "prometheus"


def test_the_job_of_the_alerts_is_the_service_that_is_scraped(render, alerts):
    service = render(values_of("full")).one("Service")["metadata"]["name"]
    for alert in alerts.values():
        assert f'job="{service}"' in alert["expr"]
