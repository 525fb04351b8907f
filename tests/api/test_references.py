"""References between objects: each fault has its reason, and the oldest of two claimants wins."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.api.bad_objects import ABSENT, put
from tests.api.documents import full
from wattshift.api.endpoints import LabelRequirement, LabelSelector
from wattshift.api.energycontract import EnergyContract
from wattshift.api.flexibleworkload import FlexibleWorkload
from wattshift.api.powersite import PowerSite
from wattshift.api.reasons import ReferenceReason
from wattshift.api.references import Others, check_references
from wattshift.api.references_workload import matches

KINDS = {
    "PowerSite": PowerSite,
    "EnergyContract": EnergyContract,
    "FlexibleWorkload": FlexibleWorkload,
}
ALLOWED = {"team-chat": {"wattshift.io/sites": "west"}}
OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def make(kind: str, created: str = OLD, /, **changes: Any):
    """A valid object with changes; `spec__mode` stands for path `spec.mode`."""
    document = copy.deepcopy(full()[kind])
    document["metadata"]["creationTimestamp"] = created
    for path, value in changes.items():
        put(document, path.replace("__", "."), value)
    return KINDS[kind].parse(document)


def world(*objects, **options: Any) -> Others:
    """Others with the valid three, replaced or extended by objects."""
    everything = [make(kind) for kind in KINDS] + list(objects)
    by = {
        kind: {item.key: item for item in everything if type(item) is model}
        for kind, model in KINDS.items()
    }
    return Others(
        sites=by["PowerSite"],
        contracts=by["EnergyContract"],
        workloads=by["FlexibleWorkload"],
        namespace_labels=options.pop("namespace_labels", ALLOWED),
        **options,
    )


def changed(kind: str, path: str, value: Any):
    document = copy.deepcopy(full()[kind])
    put(document, path, value)
    return KINDS[kind].parse(document)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_that_refer_to_each_other_have_no_fault(kind):
    assert check_references(make(kind), world()) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "reason", "says"),
    [
        (
            "PowerSite",
            "spec.events[dr-1122].program.contractName",
            "other",
            "ContractUnknown",
            "it has gansu-2026",
        ),
        (
            "PowerSite",
            "spec.events[dr-1122].program.programName",
            "other",
            "ContractProgramUnknown",
            "it has gs-peak",
        ),
        ("EnergyContract", "spec.points[0].siteName", "gansu-9", "SiteUnknown", "it has gansu-1"),
        (
            "EnergyContract",
            "spec.points[0].connectionName",
            "feed-z",
            "SiteConnectionUnknown",
            "it has feed-a, feed-b",
        ),
        (
            "EnergyContract",
            "spec.positions[wind].supplyName",
            "sun",
            "SupplyUnknown",
            "it has battery, wind",
        ),
        (
            "FlexibleWorkload",
            "spec.placements[gansu].siteName",
            "gansu-9",
            "SiteUnknown",
            "create it or correct",
        ),
        (
            "FlexibleWorkload",
            "spec.placements[gansu].clusterName",
            "gs-z",
            "ClusterUnknown",
            "it has gs-a",
        ),
        (
            "FlexibleWorkload",
            "spec.origins[0].name",
            "moon-users",
            "OriginUnknown",
            "spec.originLatencies",
        ),
        (
            "FlexibleWorkload",
            "spec.dataBoundary.allowedRegionNames",
            ["CN-SH"],
            "RegionNotAllowed",
            "refuses region CN-GS",
        ),
        (
            "FlexibleWorkload",
            "spec.demand.siteSignal.siteName",
            "gansu-9",
            "SiteUnknown",
            "it has gansu-1",
        ),
        (
            "FlexibleWorkload",
            "spec.demand.queueSignal.signalName",
            "wind",
            "SiteSignalUnknown",
            "it has backlog",
        ),
        (
            "FlexibleWorkload",
            "spec.batch.backlog.signalName",
            "wind",
            "SiteSignalUnknown",
            "it has backlog",
        ),
    ],
)
def test_one_fault_gives_its_reason(kind, path, value, reason, says):
    findings = check_references(changed(kind, path, value), world())
    if kind == "EnergyContract" and reason == "SiteUnknown":
        # without its site, the contract's supply is not found either
        findings = [finding for finding in findings if finding.reason != "SupplyUnknown"]
    assert findings
    assert {finding.reason for finding in findings} == {reason}
    assert all(says in finding.message for finding in findings)


def test_a_program_of_a_contract_without_a_point_at_the_site_is_refused():
    contract = make("EnergyContract", spec__points=[{"siteName": "other", "connectionName": "c"}])
    findings = check_references(make("PowerSite"), world(contract))
    assert [finding.reason for finding in findings] == ["ContractProgramUnknown"]
    assert "has no point at this site" in findings[0].message


@pytest.mark.parametrize(
    "labels", [{}, {"team-chat": {}}, {"team-chat": {"wattshift.io/sites": "east"}}]
)
def test_a_namespace_that_the_site_does_not_select_is_not_allowed(labels):
    findings = check_references(make("FlexibleWorkload"), world(namespace_labels=labels))
    assert {finding.reason for finding in findings} == {ReferenceReason.NAMESPACE_NOT_ALLOWED}
    assert "label the namespace" in findings[0].message


def test_a_site_for_all_namespaces_allows_one_whose_labels_are_not_known():
    site = make("PowerSite", spec__allowedNamespaces={"from": "All"})
    assert check_references(make("FlexibleWorkload"), world(site, namespace_labels={})) == []


def test_the_oldest_workload_keeps_a_target():
    old = make("FlexibleWorkload", OLD)
    new = make("FlexibleWorkload", NEW, metadata__name="second")
    others = world(old, new)
    assert check_references(old, others) == []
    findings = check_references(new, others)
    assert {finding.reason for finding in findings} == {"TargetClaimedByOther"}
    assert "team-chat/qwen3-32b is older" in findings[0].message


def test_names_decide_between_workloads_of_one_age():
    a = make("FlexibleWorkload", metadata__name="a")
    b = make("FlexibleWorkload", metadata__name="b")
    others = Others(
        sites=world().sites,
        contracts=world().contracts,
        workloads={a.key: a, b.key: b},
        namespace_labels=ALLOWED,
    )
    assert check_references(a, others) == []
    assert check_references(b, others) != []


def test_versions_of_one_group_name_the_same_target():
    old = make("FlexibleWorkload", OLD)
    new = make(
        "FlexibleWorkload", NEW, metadata__name="second", spec__targetRef__apiVersion="apps/v2"
    )
    claimed = check_references(new, world(old, new))
    assert "spec.placements[gansu]" in {finding.path for finding in claimed}


def test_the_same_name_in_another_namespace_is_another_target():
    other = make("FlexibleWorkload", NEW, metadata__namespace="team-search")
    labels = {**ALLOWED, "team-search": ALLOWED["team-chat"]}
    assert check_references(other, world(other, namespace_labels=labels)) == []


@pytest.mark.parametrize(
    ("role", "other", "overlap"),
    [
        ("Complete", "Complete", True),
        ("Complete", "Supply", True),
        ("Complete", "Network", True),
        ("Complete", "TenantPassThrough", True),
        ("Complete", "Generation", False),
        ("Complete", "Flexibility", False),
        ("Supply", "Network", False),
        ("Supply", "Supply", True),
        ("Generation", "Generation", True),
        ("Flexibility", "Flexibility", False),
    ],
)
def test_contracts_overlap_where_they_bill_the_same_part(role, other, overlap):
    old = make("EnergyContract", OLD, spec__role=role)
    new = make("EnergyContract", NEW, metadata__name="second", spec__role=other)
    others = world(old, new)
    assert check_references(old, others) == []
    expected = [ReferenceReason.CONTRACTS_OVERLAP] if overlap else []
    assert [finding.reason for finding in check_references(new, others)] == expected


def test_a_contract_that_begins_when_the_other_ends_does_not_overlap():
    end = "2026-06-01T00:00:00+08:00"
    old = make("EnergyContract", OLD, spec__validUntilTime=end)
    new = make("EnergyContract", NEW, metadata__name="second", spec__validFromTime=end)
    assert check_references(new, world(old, new)) == []


def test_an_open_contract_overlaps_everything_after_it():
    old = make("EnergyContract", OLD, spec__validUntilTime=ABSENT)
    new = make(
        "EnergyContract", NEW, metadata__name="second", spec__validFromTime="2026-12-01T00:00:00Z"
    )
    assert [finding.reason for finding in check_references(new, world(old, new))] == [
        "ContractsOverlap"
    ]


def test_a_cluster_belongs_to_the_older_site():
    old = make("PowerSite", OLD)
    new = make("PowerSite", NEW, metadata__name="gansu-2", spec__events=[])
    others = world(old, new)
    assert check_references(old, others) == []
    findings = check_references(new, others)
    assert [finding.reason for finding in findings] == ["ClusterInTwoSites"]
    assert "PowerSite gansu-1" in findings[0].message


def test_two_names_for_one_cluster_within_a_site_are_refused():
    cluster = copy.deepcopy(full()["PowerSite"]["spec"]["clusters"][0])
    site = changed("PowerSite", "spec.clusters[]", {**cluster, "name": "again"})
    findings = check_references(site, world(site))
    assert [finding.path for finding in findings] == ["spec.clusters[again]"]


def test_the_uid_of_kube_system_finds_a_cluster_behind_two_secrets():
    def status(name):
        return {"clusters": [{"name": "gs-a", "uid": "uid-1", "state": "Ready"}]}

    old = make("PowerSite", OLD, status=status("gs-a"))
    new = make(
        "PowerSite",
        NEW,
        metadata__name="gansu-2",
        spec__events=[],
        status=status("gs-a"),
        **{"spec__clusters[gs-a]__kubeconfigSecretRef__name": "other-secret"},
    )
    findings = check_references(new, world(old, new))
    assert [finding.reason for finding in findings] == ["ClusterInTwoSites"]
    assert "UID uid-1" in findings[0].message


@pytest.mark.parametrize(
    ("reporting", "convertible", "fault"),
    [("", set(), False), ("CNY", set(), False), ("EUR", {"CNY"}, False), ("EUR", {"USD"}, True)],
)
def test_a_currency_needs_an_exchange_rate(reporting, convertible, fault):
    others = world(reporting_currency=reporting, convertible=frozenset(convertible))
    findings = check_references(make("EnergyContract"), others)
    assert bool(findings) is fault


@pytest.mark.parametrize(
    ("operator", "values", "labels", "held"),
    [
        ("In", ["a", "b"], {"k": "a"}, True),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {}, True),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("Exists", [], {"k": ""}, True),
        ("Exists", [], {}, False),
        ("DoesNotExist", [], {}, True),
        ("DoesNotExist", [], {"k": "a"}, False),
    ],
)
def test_selectors_judge_labels_as_kubernetes_does(operator, values, labels, held):
    requirement = LabelRequirement(key="k", operator=operator, values=values)
    assert matches(LabelSelector(match_expressions=[requirement]), labels) is held


def test_an_empty_selector_matches_everything():
    assert matches(LabelSelector(), {})
