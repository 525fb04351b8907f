"""Pure parts of the command line: tables, words, durations, reasons, arguments."""

from __future__ import annotations

import argparse
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from wattshift.api.reasons import REASONS
from wattshift.cli import doctor_checks, output, reasons
from wattshift.cli.connect import ObjectName, UsageError
from wattshift.cli.doctor_checks import replicas_in_git
from wattshift.cli.explain import render as explain
from wattshift.cli.giving_back import is_held, left_of
from wattshift.cli.main import COMMANDS, build_parser, main, module_of
from wattshift.cli.override_apply import grid_now, grid_speed, override_document, parse_duration
from wattshift.cli.refgen import generated
from wattshift.cli.status import render as status
from wattshift.core.reasons import Reason
from wattshift.kube.resources import FLEXIBLE_WORKLOADS, POWER_SITES


ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def condition(kind: str, truth: str, reason: str, message: str = "") -> dict:
    return {"type": kind, "status": truth, "reason": reason, "message": message}


def site(**status_fields) -> dict:
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "PowerSite",
        "metadata": {"name": "gansu"},
        "spec": {"clusters": [{"name": "gs-a", "type": "Local"}]},
        "status": {
            "summary": {"power": "3.10 MW", "limit": "4.00 MW Connection", "clusters": "1/1"},
            "conditions": [condition("Ready", "True", "Resolved")],
        }
        | status_fields,
    }


def contract() -> dict:
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "EnergyContract",
        "metadata": {"name": "gansu-2026"},
        "spec": {"points": [{"siteName": "gansu", "connectionName": "feed"}]},
        "status": {
            "summary": {"band": "Valley", "price": "0.2210 CNY/kWh"},
            "nextChange": {"time": "2026-11-22T08:00:00Z", "bandName": "Peak", "total": "0.61"},
            "conditions": [condition("Ready", "True", "Resolved")],
        },
    }


def workload(**status_fields) -> dict:
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "FlexibleWorkload",
        "metadata": {"name": "chat", "namespace": "team", "uid": "u1", "generation": 2},
        "spec": {"placements": [{"name": "gansu", "siteName": "gansu", "clusterName": "gs-a"}]},
        "status": {
            "observedGeneration": 2,
            "summary": {"replicas": "gansu 2/2", "mode": "Enforce", "decision": "Hold WithinDwell"},
            "effective": {"mode": "Enforce", "minDwellSeconds": 900},
            "lastChangeTime": "2026-11-22T06:00:00Z",
            "lastDecision": {
                "time": "2026-11-22T06:05:00Z",
                "action": "Hold",
                "reason": "WithinDwell",
                "message": "dwell has 600 s left",
                "planID": "0123456789ab",
                "placements": [{"name": "gansu", "replicas": 2}],
                "alternatives": [
                    {"action": "ScaleTo", "reason": "WithinDwell", "summary": "gansu 1: -0.4 CNY/h"}
                ],
            },
            "placements": [{"name": "gansu", "observed": 2, "ready": 2, "inService": 2}],
            "conditions": [
                condition("Ready", "True", "Resolved", "every target was found"),
                condition("AtBaseline", "True", "AsFound"),
            ],
        }
        | status_fields,
    }


def test_status_prints_three_compact_tables_and_says_what_is_missing():
    assert status([site()], [contract()], [workload()], scope="team", wide=False) == (
        "SITE    POWER     LIMIT                GREEN   PRICE   CARBON   EVENTS   CLUSTERS   READY\n"
        "gansu   3.10 MW   4.00 MW Connection   -       -       -        -        1/1        True\n"
        "\n"
        "CONTRACT     BAND     PRICE            NEXT   COST   PEAK   GREEN   READY\n"
        "gansu-2026   Valley   0.2210 CNY/kWh   -      -      -      -       True\n"
        "\n"
        "WORKLOAD   REPLICAS    MODE      DECISION           POWER   MOVE   LATENCY   READY\n"
        "chat       gansu 2/2   Enforce   Hold WithinDwell   -       -      -         True"
    )
    empty = status([], [], [], scope=None, wide=False)
    assert empty == "no PowerSite\n\nno EnergyContract\n\nno FlexibleWorkload in all namespaces"


def test_wide_status_names_conditions_that_are_wrong_and_a_replay_is_said():
    rows = [
        condition("Ready", "False", "SiteUnknown"),
        condition("AtBaseline", "False", "Deviates"),
    ]
    text = status([], [], [workload(conditions=rows, gridClockSpeed=60)], scope=None, wide=True)
    assert "False SiteUnknown   Ready=SiteUnknown" in text
    assert "Deviates" not in text
    assert text.endswith("the grid clock runs 60 x")


def test_explain_says_decision_inputs_alternatives_and_what_would_change_it():
    text = explain(workload(), [site()], [contract()], None)
    assert (
        "Last decision: Hold because WithinDwell, 2026-11-22T06:05:00Z, plan 0123456789ab" in text
    )
    assert "rejected: ScaleTo because WithinDwell: gansu 1: -0.4 CNY/h" in text
    assert "contract gansu-2026: band Valley, price 0.2210 CNY/kWh" in text
    assert "the dwell time ends 2026-11-22T06:15:00Z" in text
    assert "contract gansu-2026 changes 2026-11-22T08:00:00Z to Peak at 0.61/kWh" in text
    assert "Ready=True Resolved: every target was found" in text


def test_explain_of_an_object_that_nobody_has_seen_is_no_error():
    bare = workload()
    del bare["status"]
    text = explain(bare, [], [], None)
    assert "No decision yet" in text
    assert "none yet: the operator has not seen it" in text


def test_explain_says_whether_a_capacity_is_believed_or_learnt_and_from_what():
    body, first, second = workload(), "gansu", "shanghai"
    body["spec"]["placements"].append({"name": second, "siteName": "sh", "clusterName": "sh-a"})
    assert f"{first}: prior (0.7 x power profile), no sample of latency yet" in explain(
        body, [], [], None
    )
    body["status"]["learnt"] = {
        "capacities": [
            {
                "key": "k",
                "placementNames": [first],
                "sequences": 25,
                "source": "Learnt",
                "samples": 3120,
                "message": "holds at 20.3 sequences, fails from 26.9 on",
                "bins": "{}",
            },
            {
                "key": "l",
                "placementNames": [second],
                "sequences": 14,
                "source": "Prior",
                "samples": 12,
                "message": "holds at 5.0 sequences",
                "bins": "{}",
            },
        ],
        "growth": {"permille": 150, "samples": 900, "horizonSeconds": 300, "bins": "{}"},
    }
    text = explain(body, [], [], None)
    assert f"{first}: 25 sequences, learnt, 3120 samples: holds at 20.3" in text
    assert f"{second}: 14 sequences, prior (0.7 x power profile), 12 samples" in text
    assert "load grows by up to 15 % in 300 s (95th percentile of 900 samples)" in text
    assert "backlog" not in text
    body["status"]["learnt"]["batch"] = {"looks": "{}", "arrivalsPerHour": "35"}
    text = explain(body, [], [], None)
    assert "35 units come in an hour, one replica completes an unknown number of units" in text


def test_explain_adds_what_the_server_knows():
    live = {
        "planID": "p1",
        "gridTime": "2026-11-22T06:05:00Z",
        "text": ["team/chat: Hold: WithinDwell", "  score: energy +0.1"],
        "outcomes": [],
    }
    text = explain(workload(), [], [], live)
    assert "Live (plan p1, grid time 2026-11-22T06:05:00Z):" in text
    assert "  score: energy +0.1" in text


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("1h30m", 5400), ("90s", 90), ("1d", 86_400)]
)
def test_durations_are_those_of_kubectl(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "31d", "2 h", "1.5h"])
def test_other_durations_are_refused(text):
    with pytest.raises(UsageError):
        parse_duration(text)


def test_grid_time_is_real_time_outside_of_a_replay():
    assert grid_now([workload(), site()], 123.0) == 123.0
    assert grid_speed([workload()]) == 1


def test_grid_time_in_a_replay_follows_the_newest_status():
    body = workload(gridClockSpeed=60)
    body["metadata"]["managedFields"] = [
        {"subresource": "status", "time": "2026-11-22T10:00:00Z", "manager": "wattshift"}
    ]
    written = 1_795_341_600.0  # 2026-11-22T10:00:00Z
    decided = written - 4 * 3600 + 300
    assert grid_now([body], written + 10) == decided + 600
    assert grid_speed([body]) == 60


def test_an_override_document_has_what_the_api_demands_and_cuts_what_is_too_long():
    row = override_document("Pin", 1_795_341_600.0, "r" * 300, "u" * 200, 3, "east")
    assert row["untilTime"] == "2026-11-22T10:00:00Z"
    assert (len(row["reason"]), len(row["requestedBy"])) == (256, 128)
    assert (row["replicas"], row["placementName"]) == (3, "east")
    assert "replicas" not in override_document("Hold", 0.0, "r", "u")


def test_a_workload_is_held_while_any_trace_of_ours_is_on_it():
    assert not is_held(workload())
    finalizer = workload()
    finalizer["metadata"]["finalizers"] = ["wattshift.io/restore"]
    annotated = workload()
    annotated["metadata"]["annotations"] = {"wattshift.io/originals": "[]"}
    deviating = workload(conditions=[condition("AtBaseline", "False", "Deviates", "holds gansu")])
    assert is_held(finalizer)
    assert is_held(annotated)
    assert is_held(deviating)
    used = site()
    used["metadata"]["finalizers"] = ["wattshift.io/in-use"]
    left = left_of([workload(), deviating], [used, site()])
    assert (len(left.held), len(left.sites), left.nothing_held) == (1, 1, False)
    assert left.words() == "team/chat (holds gansu)"


def test_a_workload_whose_override_nobody_saw_is_unseen():
    row = workload(observedGeneration=1)
    assert left_of([row], []).unseen == (row,)
    bare = workload()
    del bare["status"]
    assert left_of([bare], []).words() == "the operator to see 1 override(s)"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("override", "fw/x"),
        ("override", "pod/x", "--hold"),
        ("override", "fw/x", "--hold"),
        ("override", "fw/x", "--hold", "--for", "2h"),
        ("override", "fw/x", "--pin", "a", "--for", "2h", "--reason", "r"),
        ("override", "fw/x", "--pin", "1@", "--for", "2h", "--reason", "r"),
        ("override", "fw/x", "--hold", "--pin", "1", "--for", "2h", "--reason", "r"),
        ("override", "fw/x", "--clear", "--for", "2h"),
        ("override", "psite/x", "--release", "--for", "2h", "--reason", "r"),
        ("override", "econtract/x", "--hold", "--for", "2h", "--reason", "r"),
        ("release",),
        ("release", "fw/x", "--all"),
        ("release", "psite/x"),
        ("release", "--all", "--deadline", "0"),
        ("explain", "psite/x"),
        ("plan",),
        ("plan", "-f", "x.yaml"),
        ("plan", "--server", "ftp://127.0.0.1"),
        ("plan", "--server", "http://operator.example:8090"),
        ("reasons", "NoSuchReason"),
        ("status", "--outp", "json"),
    ],
)
def test_wrong_arguments_end_with_status_2_and_one_word_of_why(words):
    code, _, err = run(*words)
    assert code == 2
    assert err.strip()


def test_a_token_is_never_sent_in_clear_text_over_a_network():
    code, _, err = run("explain", "fw/x", "--server", "http://10.0.0.1:8090", "--kubeconfig", "/no")
    assert code in (1, 2)
    code, _, err = run("plan", "--server", "http://10.0.0.1:8090")
    assert code == 2
    assert "clear text" in err


def test_a_missing_kubeconfig_is_said_in_one_line():
    code, _, err = run("status", "--kubeconfig", "/does/not/exist")
    assert code == 1
    assert err.count("\n") == 1
    assert "KubeConfigInvalid" in err


def test_object_names_are_read_as_kubectl_writes_them():
    assert ObjectName.parse("fw/a").resource is FLEXIBLE_WORKLOADS
    assert ObjectName.parse("flexibleworkloads.wattshift.io/a").name == "a"
    assert ObjectName.parse("psite/b").resource is POWER_SITES
    assert str(ObjectName.parse("fw/a")) == "flexibleworkloads.wattshift.io/a"
    for text in ("a", "fw/", "/a", "deployment/a"):
        with pytest.raises(argparse.ArgumentTypeError):
            ObjectName.parse(text)


def test_every_reason_is_printed_with_a_meaning_and_the_right_one():
    rows = reasons.meanings()
    known = {name for name, _, _ in rows}
    assert {str(row) for row in Reason} <= known
    assert {str(row) for kind in REASONS for row in kind} <= known
    assert all(meaning.endswith((".", ")")) for _, _, meaning in rows)
    code, out, _ = run("reasons", "CheaperPower")
    assert code == 0
    assert "Replicas follow a lower all-in marginal price." in out


def test_a_reason_that_is_nearly_right_is_suggested():
    _, _, err = run("reasons", "Dwell")
    assert "WithinDwell" in err


def test_crds_are_printed_as_yaml_documents_of_the_three_kinds(tmp_path):
    code, out, _ = run("crds")
    assert code == 0
    assert [row["spec"]["names"]["kind"] for row in yaml.safe_load_all(out)] == [
        "PowerSite",
        "EnergyContract",
        "FlexibleWorkload",
    ]
    code, out, _ = run("crds", "--output", str(tmp_path))
    assert len(out.splitlines()) == 3 == len(list(tmp_path.glob("*.yaml")))


def test_the_reference_on_disk_is_what_would_be_generated():
    for path, text in generated(ROOT).items():
        assert path.read_text() == text, "run `make generate`"


def test_every_command_has_help_and_an_entry_in_the_parser():
    parser = build_parser()
    for name in COMMANDS:
        module = module_of(name)
        assert module.HELP[0].islower()
        assert name in parser.format_help()


def test_as_a_plugin_it_names_itself_as_people_call_it(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-wattshift"])
    _, out, _ = run("status", "--help")
    assert out.startswith("usage: kubectl wattshift status")


def test_nothing_is_coloured_where_nobody_looks():
    assert output.coloured("fail") == "fail"
    with redirect_stdout(io.StringIO()):
        assert "\033" not in output.coloured("ok")


def test_names_and_lists_are_those_of_kubectl():
    assert output.names([site(), workload()]) == (
        "powersite.wattshift.io/gansu\nflexibleworkload.wattshift.io/chat"
    )
    body = workload()
    body["metadata"]["managedFields"] = [{}]
    listed = output.object_list([body])
    assert listed["kind"] == "List"
    assert "managedFields" not in listed["items"][0]["metadata"]


# ---- doctor ----------------------------------------------------------------------------------


def levels(rows) -> dict[str, str]:
    return {row.what: row.level for row in rows}


def test_doctor_finds_lost_members_and_stale_signals():
    body = site(
        clusters=[
            {"name": "gs-a", "state": "Lost", "reason": "Unreachable", "message": "no route"}
        ],
        signals=[
            {"name": "wind", "quality": "Stale", "reason": "SourceTimedOut"},
            {"name": "feed", "quality": "Measured", "value": "1"},
        ],
    )
    found = levels(doctor_checks.sites([body]))
    assert found["site gansu cluster gs-a"] == "fail"
    assert found["site gansu signals"] == "warn"
    assert levels(doctor_checks.sites([]))["sites"] == "warn"


def test_doctor_finds_targets_that_are_not_opted_in_rivals_and_overrides():
    body = workload(
        conditions=[
            condition("Ready", "False", "TargetNotOptedIn", "label it"),
            condition("TargetsResolved", "False", "TargetNotOptedIn", "label it"),
            condition("Conflict", "True", "ReleasedToOwner", "an HPA set 4"),
        ],
        lastDecision={"reason": "ProfileHasNoPower", "message": "no watts"},
    )
    body["spec"]["override"] = {
        "mode": "Hold",
        "requestedBy": "ann",
        "untilTime": "2026-11-22T12:00:00Z",
    }
    found = levels(doctor_checks.workloads([body]))
    assert found["workload team/chat targets"] == "fail"
    assert found["workload team/chat conflict"] == "warn"
    assert found["workload team/chat profile"] == "fail"
    assert found["workload team/chat override"] == "warn"


def test_doctor_knows_this_versions_crds_from_others():
    served = {}
    for body in yaml.safe_load_all(run("crds")[1]):
        served[body["metadata"]["name"]] = body
    assert set(levels(doctor_checks.crds(served)).values()) == {"ok"}
    name = "flexibleworkloads.wattshift.io"
    schema = served[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["posture"]
    assert levels(doctor_checks.crds(served))[f"CRD {name}"] == "warn"
    del served[name]
    assert levels(doctor_checks.crds(served))[f"CRD {name}"] == "fail"


def test_doctor_warns_where_git_owns_the_replicas():
    target = {
        "metadata": {
            "name": "chat",
            "annotations": {"argocd.argoproj.io/tracking-id": "x"},
            "managedFields": [
                {
                    "manager": "argocd-controller",
                    "operation": "Apply",
                    "fieldsV1": {"f:spec": {"f:replicas": {}}},
                }
            ],
        }
    }
    found = replicas_in_git("team/chat", target)
    assert found.level == "warn"
    assert "Argo CD resets it" in found.message
    target["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": {"f:template": {}}}
    assert replicas_in_git("team/chat", target).level == "ok"
    target["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": '{"spec":{"replicas":2}}'
    }
    assert "kubectl apply" in replicas_in_git("team/chat", target).message
