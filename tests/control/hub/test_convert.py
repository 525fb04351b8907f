"""Effective values: presets, bounds that follow from each other, modes, overrides with an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.validate import read
from wattshift.control.hub.convert import (
    PRESETS,
    effective_values,
    most_careful,
    replica_bounds,
    site_state,
    workload_state,
)
from wattshift.control.hub.keys import Kind
from wattshift.control.hub.store import Store, Stored
from wattshift.core.model import Mode, OverrideMode, Posture, Tier

NOW = 1_795_276_800.0  # 2026-11-21T16:00:00Z


def workload_spec(**spec) -> dict:
    return {
        "posture": "Interactive",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
        "engine": {"type": "VLLM", "port": 8000},
        "powerProfileName": "h20",
        "placements": [
            {"name": "a", "siteName": "s1", "clusterName": "x", "maxReplicas": 4},
            {"name": "b", "siteName": "s2", "clusterName": "y", "maxReplicas": 2, "minReplicas": 1},
        ],
    } | spec


def parsed(spec: dict) -> FlexibleWorkloadSpec:
    return FlexibleWorkloadSpec.model_validate(spec)


def stored(kind: Kind, spec: dict) -> Stored:
    metadata = {
        "name": "it",
        "uid": "u",
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-22T10:00:00Z",
    }
    if kind is Kind.FLEXIBLE_WORKLOAD:
        metadata["namespace"] = "team"
    body = {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": kind.value,
        "metadata": metadata,
        "spec": spec,
    }
    found, _ = Store(read=read).put(kind, body)
    assert found.spec is not None, found.findings
    return found


def state(spec: dict, **options):
    given_options = {
        "accepted": True,
        "installation": Mode.ENFORCE,
        "site_modes": {"s1": Mode.ENFORCE, "s2": Mode.ENFORCE},
        "now": NOW,
    } | options
    return workload_state(stored(Kind.FLEXIBLE_WORKLOAD, spec), **given_options)


@given(st.lists(st.sampled_from([*Mode, None])))
def test_the_most_careful_mode_wins_and_nothing_set_means_observe(modes):
    order = [Mode.OBSERVE, Mode.RECOMMEND, Mode.ENFORCE]
    known = [mode for mode in modes if mode is not None]
    assert most_careful(modes) == (min(known, key=order.index) if known else Mode.OBSERVE)


def test_a_site_that_is_not_known_makes_a_workload_observe():
    assert state(workload_spec(), site_modes={"s1": Mode.ENFORCE}).mode is Mode.OBSERVE
    assert state(workload_spec()).mode is Mode.ENFORCE
    assert state(workload_spec(mode="Recommend")).mode is Mode.RECOMMEND
    assert state(workload_spec(), installation=Mode.OBSERVE).mode is Mode.OBSERVE


@pytest.mark.parametrize("posture", list(Posture))
def test_every_posture_has_a_preset_that_explicit_values_overrule(posture):
    extra = {"posture": posture.value}
    found = state(workload_spec(**extra))
    assert found.min_dwell_seconds == PRESETS[posture].min_dwell_seconds
    assert (found.tier, [str(a) for a in found.actions]) == (Tier.FIRM, ["Scale"])
    flexibility = {
        "tier": "High",
        "actions": ["Migrate", "Scale"],
        "minDwellSeconds": 0,
        "maxMovesPerDay": 3,
    }
    found = state(workload_spec(**extra, flexibility=flexibility))
    assert (found.min_dwell_seconds, found.max_moves_per_day) == (0, 3)
    assert (found.tier, [str(a) for a in found.actions]) == (Tier.HIGH, ["Migrate", "Scale"])
    assert found.max_drain_seconds == PRESETS[posture].max_drain_seconds


def test_a_decision_never_counts_on_an_entry_that_nobody_steers():
    actions = ["Migrate", "Scale", "ShiftTraffic"]
    found = state(workload_spec(flexibility={"tier": "Low", "actions": actions}))
    assert [str(action) for action in found.actions] == ["Migrate", "Scale"]


@pytest.mark.parametrize(
    ("spec", "found", "bounds"),
    [
        ({}, {}, (1, 6)),
        ({"replicas": {"min": 3, "max": 5}}, {}, (3, 5)),
        ({"replicas": {"min": 0}, "batch": {"dispatch": {"type": "External"}}}, {}, (1, 6)),
        (
            {"placements": [{"name": "a", "siteName": "s1", "clusterName": "x"}]},
            {"a": 3},
            (1, 3),
        ),
        ({"placements": [{"name": "a", "siteName": "s1", "clusterName": "x"}]}, {}, (1, 1)),
        (
            {
                "placements": [
                    {"name": "a", "siteName": "s1", "clusterName": "x", "baselineReplicas": 5}
                ]
            },
            {"a": 9},
            (1, 5),
        ),
        (
            {
                "placements": [{"name": "a", "siteName": "s1", "clusterName": "x"}],
                "batch": {"dispatch": {"type": "External"}},
            },
            {"a": 2},
            (0, 2),
        ),
    ],
)
def test_bounds_of_the_sum(spec, found, bounds):
    assert replica_bounds(parsed(workload_spec(**spec)), found) == bounds


def test_batch_work_is_taken_as_it_is_told():
    told = {"dispatch": {"type": "External"}, "tokensPerUnit": 800}
    told["deadlineTime"] = "2026-11-22T18:00:00Z"
    batch = state(workload_spec(batch=told)).batch
    assert batch.external_dispatch
    assert (batch.tokens_per_unit, batch.deadline_time) == (800, 1_795_370_400.0)


@given(st.dictionaries(st.sampled_from("ab"), st.integers(0, 50)), st.integers(0, 5))
def test_without_a_maximum_nothing_is_grown_beyond_what_was_found(found, minimum):
    placements = [
        {"name": name, "siteName": "s1", "clusterName": "x", "minReplicas": minimum}
        for name in "ab"
    ]
    least, most = replica_bounds(parsed(workload_spec(placements=placements)), found)
    assert least <= most == max(least, sum(found.values()))


def test_an_override_lasts_until_its_end_on_the_grid_clock():
    override = {
        "mode": "Pin",
        "untilTime": "2026-11-22T00:00:00+08:00",
        "reason": "launch",
        "requestedBy": "li",
        "replicas": 4,
    }
    spec = workload_spec(override=override)
    found = state(spec, now=NOW - 1).override
    assert found is not None
    assert (found.mode, found.replicas, found.requested_by) == (OverrideMode.PIN, (("", 4),), "li")
    assert state(spec, now=NOW).override is None


def test_effective_values_are_published_with_the_release_deadline():
    shown = effective_values(
        parsed(workload_spec()), installation=Mode.ENFORCE, site_modes={}, found_replicas={}
    )
    assert shown.release_deadline_seconds == 1800
    assert shown.mode == "Observe"


def test_placements_take_the_workloads_defaults_and_are_ordered_by_name():
    spec = workload_spec(replicas={"max": 9})
    spec["placements"] = [
        spec["placements"][1],
        {"name": "a", "siteName": "s1", "clusterName": "x"},
    ]
    placements = state(spec).placements
    assert [row.name for row in placements] == ["a", "b"]
    assert (placements[0].max_replicas, placements[0].profile_name) == (9, "h20")
    assert placements[0].observed_replicas is None


def test_a_site_keeps_its_physics_and_knows_nothing_of_now():
    spec = {
        "location": {"regionName": "CN-GS", "timeZone": "Asia/Shanghai"},
        "allowedNamespaces": {"from": "All"},
        "connections": [{"name": "b", "importLimitWatts": 5}, {"name": "a", "importLimitWatts": 7}],
        "power": {
            "itCapacityWatts": 100,
            "facility": {
                "type": "Curve",
                "curve": [
                    {"temperatureMillicelsius": 30000, "fixedWatts": 3, "marginalPermille": 1190},
                    {"temperatureMillicelsius": 5000, "fixedWatts": 2, "marginalPermille": 1060},
                ],
            },
        },
        "mode": "Recommend",
    }
    found = site_state(
        stored(Kind.POWER_SITE, spec), accepted=True, installation=Mode.ENFORCE, now=NOW
    )
    assert [row.name for row in found.connections] == ["a", "b"]
    assert all(row.metered is None and row.price is None for row in found.connections)
    assert [row.temperature_millicelsius for row in found.facility] == [5000, 30000]
    assert found.mode is Mode.RECOMMEND
