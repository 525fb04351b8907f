"""Plans and replays without a cluster: recorded snapshots, manifests in their place, other times."""

from __future__ import annotations

import importlib.util
import io
import json
import stat
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from wattshift.cli import offline
from wattshift.cli.connect import hint
from wattshift.cli.exec_credential import run_exec
from wattshift.cli.main import main
from wattshift.cli.plan import load_any_snapshot
from wattshift.cli.replay import differences
from wattshift.control.record.recorder import Recorder, Step, dump_snapshot, dump_step, load_step
from wattshift.core.governor.governor import govern
from wattshift.core.planner.planner import plan
from wattshift.errors import NeedsHuman
from wattshift.kube.errors import api_error

_PATH = Path(__file__).resolve().parents[1] / "core" / "build.py"
_spec = importlib.util.spec_from_file_location("core_tests_build", _PATH)
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


def run(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def snapshot():
    return build.snapshot()


@pytest.fixture
def snapshot_file(snapshot, tmp_path):
    path = tmp_path / "snapshot.json"
    path.write_bytes(dump_snapshot(snapshot))
    return path


def step_of(snapshot) -> Step:
    return Step(snapshot=snapshot, plan=plan(snapshot, snapshot.grid_time))


def test_a_recorded_plan_is_the_same_when_it_is_made_again(snapshot, tmp_path):
    recorder = Recorder(directory=tmp_path)
    recorder.record(step_of(snapshot))
    files = list(tmp_path.glob("step-*-plan-*.json"))
    code, out, _ = run("replay", *files)
    assert code == 0
    assert out.startswith("same ")
    assert out.endswith("1 of 1 steps are the same\n")


def test_a_plan_that_differs_is_shown_and_fails(snapshot, tmp_path):
    step = step_of(snapshot)
    first = replace(step.plan.decisions[0], message="something else")
    path = tmp_path / "step.json"
    changed = replace(step.plan, decisions=(first, *step.plan.decisions[1:]))
    path.write_bytes(dump_step(replace(step, plan=changed)))
    code, out, _ = run("replay", path)
    assert code == 1
    assert "DIFFERS" in out
    assert "something else" in out


def test_a_governor_step_is_replayed_with_the_plan_whose_prices_it_used(snapshot):
    before = plan(snapshot, snapshot.grid_time)
    decided = govern(snapshot, before, snapshot.grid_time)
    step = Step(snapshot=snapshot, plan_before=before, governance=decided)
    assert differences(load_step(dump_step(step))) == []


def test_infinity_in_a_recording_loads_again(snapshot):
    site = snapshot.sites[0]
    lost = replace(site.members[0], age_seconds=float("inf"))
    odd = replace(snapshot, sites=(replace(site, members=(lost,)), *snapshot.sites[1:]))
    again = load_step(dump_step(step_of(odd)))
    assert again.snapshot == odd
    assert differences(again) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"formatVersion": 99}',
        '{"formatVersion": 1}',
        '{"formatVersion": 1, "step": 7}',
        "[" * 100_000,
        "not json",
    ],
)
def test_a_file_that_is_no_recording_is_said_in_one_line(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    code, _, err = run("replay", path)
    assert code == 1
    assert "NotARecording" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["{}", "7", '{"snapshot": null}', "[" * 100_000, "\udcff"])
def test_a_file_that_is_no_snapshot_is_said_in_one_line(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    code, _, err = run("plan", "--snapshot", path)
    assert code == 1
    assert "NotASnapshot" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"kind: Deployment\nspec: {replicas: 2}\n", "a Deployment has no name or no spec"),
        (b"kind: Deployment\nmetadata: {generateName: a-}\nspec: {}\n", "no name"),
        (b"kind: Deployment\nmetadata: {name: a}\nspec: {replicas: two}\n", "'two' is no count"),
        (b"kind: PowerSite\nmetadata: [a]\nspec: {}\n", "a PowerSite has no name or no spec"),
        (b"kind: PowerSite\nmetadata: {name: a}\nspec: 7\n", "a PowerSite has no name or no spec"),
        (b"kind: PowerSite\n metadata: {name: a}\n", "is no YAML"),
        (b"name: \xff\xfe\n", "is no YAML"),
        (b"[" * 100_000, "is no YAML"),
    ],
)
def test_a_broken_manifest_is_said_with_its_file(content, part, snapshot_file, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    code, _, err = run("plan", "--snapshot", snapshot_file, "-f", path)
    assert code == 1
    assert "ManifestInvalid" in err
    assert "broken.yaml" in err
    assert part in err


@pytest.mark.parametrize(
    "content",
    [
        "kind: [Deployment]\n",
        "kind: Kustomization\nresources: [a.yaml]\n",
        "kind: List\n",
        "kind: List\nitems: {a: 1}\n",
        "kind: Deployment\nmetadata: {name: a}\nspec: {replicas: null}\n",
        "- 1\n- 2\n",
        "",
    ],
)
def test_what_says_nothing_to_a_plan_is_passed_over(content, snapshot_file, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(content)
    assert run("plan", "--snapshot", snapshot_file, "-f", path)[0] == 0


def test_a_manifest_that_is_not_there_is_named(snapshot_file, tmp_path):
    code, _, err = run("plan", "--snapshot", snapshot_file, "-f", tmp_path / "absent.yaml")
    assert code == 1
    assert "absent.yaml: No such file" in err


def test_an_offline_plan_prints_decisions_a_diff_of_replicas_and_the_saving(snapshot_file):
    code, out, _ = run("plan", "--snapshot", snapshot_file, "--holds")
    assert code == 0
    assert out.startswith("plan ")
    assert "REPLICAS" in out or "no replicas would change" in out


def test_an_offline_plan_is_the_operators_own(snapshot, snapshot_file, tmp_path):
    code, out, _ = run("plan", "--snapshot", snapshot_file, "-o", "json")
    assert code == 0
    wanted = plan(snapshot, snapshot.grid_time)
    assert json.loads(out)["plan"]["id"] == wanted.id
    step = tmp_path / "step.json"
    step.write_bytes(dump_step(step_of(snapshot)))
    answer = tmp_path / "v1.json"
    answer.write_text(json.dumps({"snapshot": json.loads(snapshot_file.read_text())}))
    for path in (step, answer):
        assert load_any_snapshot(path) == snapshot


def workload_manifest(snapshot, **spec) -> dict:
    """The snapshot's first workload as a user would write it."""
    state = snapshot.workloads[0]
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "FlexibleWorkload",
        "metadata": {"name": state.name, "namespace": state.namespace},
        "spec": {
            "posture": "Interactive",
            "mode": "Enforce",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": state.name},
            "engine": {"type": "VLLM", "port": 8000},
            "powerProfileName": state.placements[0].profile_name,
            "placements": [
                {
                    "name": row.name,
                    "siteName": row.site_name,
                    "clusterName": row.cluster_name,
                    "maxReplicas": row.max_replicas,
                }
                for row in state.placements
            ],
        }
        | spec,
    }


def test_a_manifest_takes_the_place_of_its_object_and_keeps_what_was_seen(snapshot, tmp_path):
    manifest = workload_manifest(snapshot, replicas={"min": 2, "max": 5})
    world = offline.build(snapshot, [manifest], None)
    old, new = snapshot.workloads[0], world.snapshot.workloads[0]
    assert (new.min_replicas, new.max_replicas) == (2, 5)
    assert [row.observed_replicas for row in new.placements] == [
        row.observed_replicas for row in old.placements
    ]
    assert [row.engine for row in new.placements] == [row.engine for row in old.placements]
    assert world.notes == []


def test_a_pin_in_a_manifest_shows_as_a_diff(snapshot, snapshot_file, tmp_path):
    name = snapshot.workloads[0].placements[0].name
    override = {
        "mode": "Pin",
        "replicas": 4,
        "placementName": name,
        "untilTime": "2099-01-01T00:00:00Z",
        "reason": "what if",
        "requestedBy": "me",
    }
    path = tmp_path / "fw.yaml"
    path.write_text(yaml.safe_dump(workload_manifest(snapshot, override=override)))
    code, out, _ = run("plan", "-f", path, "--snapshot", snapshot_file)
    assert code == 0, out
    assert "OverridePin" in out
    assert "6 -> 4" in out


def test_a_deployment_beside_it_gives_the_counts_of_a_new_workload(snapshot):
    manifest = workload_manifest(snapshot)
    manifest["metadata"]["name"] = "new"
    target = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": snapshot.workloads[0].name,
            "namespace": manifest["metadata"]["namespace"],
        },
        "spec": {"replicas": 3},
    }
    world = offline.build(snapshot, [manifest, target], None)
    new = next(row for row in world.snapshot.workloads if row.name == "new")
    assert [row.observed_replicas for row in new.placements][:1] == [3]
    bare = offline.build(snapshot, [manifest], None)
    assert any("is not in the snapshot" in note for note in bare.notes)


def test_an_event_in_a_manifest_limits_the_plan(snapshot):
    site = snapshot.sites[0]
    connection = site.connections[0].name
    start = "2025-10-09T08:00:00Z"
    manifest = {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "PowerSite",
        "metadata": {"name": site.name},
        "spec": {
            "location": {"regionName": "CN-SH", "timeZone": "Asia/Shanghai"},
            "allowedNamespaces": {"from": "All"},
            "clusters": [{"name": site.members[0].name, "type": "Local"}],
            "connections": [{"name": connection, "importLimitWatts": 500_000}],
            "power": {"itCapacityWatts": 400_000},
            "events": [
                {
                    "name": "dr",
                    "type": "Limit",
                    "reference": "Absolute",
                    "connectionName": connection,
                    "startTime": start,
                    "endTime": "2025-10-09T12:00:00Z",
                    "upperWatts": 1000,
                }
            ],
        },
    }
    world = offline.build(snapshot, [manifest], None)
    new = next(row for row in world.snapshot.sites if row.name == site.name)
    assert [(row.name, row.active, row.upper_watts) for row in new.events] == [("dr", True, 1000)]
    assert new.connections[0].metered == site.connections[0].metered
    assert new.connections[0].import_limit_watts == 500_000


def test_a_wrong_manifest_is_named_with_its_fault(snapshot):
    manifest = workload_manifest(snapshot, posture="Nonsense")
    with pytest.raises(NeedsHuman, match="posture"):
        offline.build(snapshot, [manifest], None)


def test_a_contract_in_a_manifest_sets_the_price_of_its_points(snapshot):
    site = snapshot.sites[0]
    manifest = {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "EnergyContract",
        "metadata": {"name": "what-if"},
        "spec": {
            "role": "Complete",
            "points": [{"siteName": site.name, "connectionName": site.connections[0].name}],
            "currency": "CNY",
            "timeZone": "Asia/Shanghai",
            "validFromTime": "2020-01-01T00:00:00+08:00",
            "components": [
                {
                    "name": "energy",
                    "measure": {"type": "Energy", "energy": {"basis": "Import"}},
                    "rate": "3.5",
                    "per": "kWh",
                }
            ],
        },
    }
    world = offline.build(snapshot, [manifest], None)
    price = world.snapshot.sites[0].connections[0].price
    assert str(price.up.total) == "3.5"
    assert world.snapshot.sites[0].connections[0].contract_name == "what-if"


def test_another_time_takes_the_price_of_that_time_and_keeps_readings_fresh(snapshot):
    later = snapshot.grid_time + 7200
    connection = snapshot.sites[0].connections[0]
    dear = build.quote("9")
    ahead = replace(connection, price_ahead=((later - 60, dear),))
    site = replace(snapshot.sites[0], connections=(ahead,))
    moved = offline.moved_to(replace(snapshot, sites=(site, *snapshot.sites[1:])), later)
    row = moved.sites[0].connections[0]
    assert (moved.grid_time, row.price, row.price_ahead) == (later, dear, ())
    if connection.metered is not None and connection.metered.valid_until is not None:
        assert row.metered.valid_until == connection.metered.valid_until + 7200


@pytest.mark.parametrize("text", ["yesterday", "2026-11-22T18:00:00"])
def test_a_time_without_an_offset_is_refused(text, snapshot_file):
    code, _, err = run("plan", "--snapshot", snapshot_file, "--at", text)
    assert code == 2
    assert "--at" in err


def script(tmp_path, body: str) -> str:
    path = tmp_path / "credential"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_credential_command_of_a_kubeconfig_gives_its_token(tmp_path):
    answer = {"kind": "ExecCredential", "status": {"token": "t0k"}}
    command = script(tmp_path, f"test -n \"$KUBERNETES_EXEC_INFO\" && echo '{json.dumps(answer)}'")
    assert run_exec({"command": command}) == {"token": "t0k"}


@pytest.mark.parametrize("body", ["exit 3", "echo nothing", "echo '{\"status\": {}}'"])
def test_a_credential_command_that_fails_is_named_and_nothing_of_it_shown(body, tmp_path):
    with pytest.raises(NeedsHuman) as caught:
        run_exec({"command": script(tmp_path, body)})
    assert caught.value.reason == "ExecCredentialFailed"
    assert "nothing" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["nonsense", "http://[::1", "http://127.0.0.1:99999", "ftp://x", "http://"]
)
def test_a_server_that_is_no_url_is_a_wrong_use(url, tmp_path):
    token = tmp_path / "token"
    token.write_text("abc")
    code, _, err = run("plan", "--server", url, "--token-file", token)
    assert code == 2
    assert "is not an http or https URL" in err


def test_a_cluster_without_our_kinds_says_what_to_do():
    absent = api_error(404, None, where="GET /apis/wattshift.io/v1alpha1/powersites")
    assert "install the chart" in hint(absent).lower()
    known = {"reason": "NotFound", "message": 'flexibleworkloads.wattshift.io "x" not found'}
    assert not hint(api_error(404, known, where="GET /apis/x"))
    assert not hint(api_error(403, None, where="GET /apis/x"))


def test_crds_that_cannot_be_written_are_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("crds", "--output", tmp_path / "file" / "below")
    assert code == 1
    assert "NotWritable" in err
    assert err.count("\n") == 1


def test_settings_in_another_encoding_are_refused_with_their_path(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe")
    code, _, err = run("operator", "--config", path)
    assert code == 2
    assert "config.yaml" in err
    assert "Traceback" not in err
