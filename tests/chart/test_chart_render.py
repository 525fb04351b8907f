"""What the chart makes of every values file: valid, complete, and nothing that was not asked for."""

from __future__ import annotations

import pytest
import yaml

from e2e.lab.install import lint
from wattshift import __version__

from .conftest import CHART, CI, LOADER, ROOT, Rendered, values_of

CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding"}
CRD_NAMES = {
    "powersites.wattshift.io",
    "energycontracts.wattshift.io",
    "flexibleworkloads.wattshift.io",
}


def test_helm_and_the_api_schemas_have_no_complaint(example):
    assert lint(CHART, values_of(example)) == []


def test_the_lint_sees_an_object_that_the_api_schema_refuses():
    assert lint(CHART, {"extraEnv": [{"name": "A", "valeu": "b"}]}) != []


def test_every_object_carries_the_labels_of_the_release(rendered, example):
    wanted = values_of(example).get("nameOverride", "wattshift")
    for row in rendered.objects:
        labels = row["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == wanted
        assert labels["app.kubernetes.io/instance"] == "wattshift"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/version"] == __version__


def test_namespaced_objects_name_their_namespace_and_others_do_not(rendered):
    for row in rendered.objects:
        assert ("namespace" in row["metadata"]) is (row["kind"] not in CLUSTER_SCOPED), row[
            "metadata"
        ]


def test_no_two_objects_have_the_same_name(rendered):
    keys = [
        (row["kind"], row["metadata"].get("namespace"), row["metadata"]["name"])
        for row in rendered.objects
    ]
    assert len(keys) == len(set(keys))


def test_bindings_name_roles_that_exist_here(rendered):
    roles = {(r["kind"], r["metadata"]["name"]) for r in rendered.all("Role", "ClusterRole")}
    for binding in rendered.all("RoleBinding", "ClusterRoleBinding"):
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles


def test_accounts_that_are_bound_exist_unless_they_are_the_users(rendered, example):
    made = {
        (r["metadata"]["namespace"], r["metadata"]["name"]) for r in rendered.all("ServiceAccount")
    }
    theirs = values_of(example).get("member", {}).get("subjects", [])
    for binding in rendered.all("RoleBinding", "ClusterRoleBinding"):
        for subject in binding["subjects"]:
            if subject not in theirs:
                assert (subject["namespace"], subject["name"]) in made


def test_the_version_of_the_chart_is_that_of_the_package():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_tag_of_the_image_is_the_app_version_and_a_digest_wins():
    image = Rendered({}).pods()["Deployment"]["containers"][0]["image"]
    assert image == f"ghcr.io/wattshift/wattshift:{__version__}"
    tagged = Rendered({"image": {"tag": "nightly"}}).pods()["Deployment"]["containers"][0]["image"]
    assert tagged.endswith(":nightly")
    digest = "sha256:" + "a" * 64
    both = Rendered({"image": {"tag": "nightly", "digest": digest}}).pods()
    assert {pod["containers"][0]["image"].partition("@")[2] for pod in both.values()} == {digest}


def test_hook_and_operator_run_the_same_image_with_the_same_account(render):
    pods = render(values_of("full")).pods()
    assert set(pods) == {"Deployment", "Job"}
    assert len({pod["containers"][0]["image"] for pod in pods.values()}) == 1
    assert len({pod["serviceAccountName"] for pod in pods.values()}) == 1


def test_the_uninstall_hook_runs_before_deletion_and_waits_longer_than_its_own_deadline(render):
    job = render({"uninstall": {"deadlineSeconds": 300}}).one("Job")
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-delete"
    assert "hook-failed" not in annotations["helm.sh/hook-delete-policy"], "a failure must be seen"
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--deadline") + 1] == "300"
    assert job["spec"]["activeDeadlineSeconds"] > 300


def test_the_hook_is_a_command_that_exists(render):
    from wattshift.cli.main import COMMANDS, build_parser

    job = render({}).one("Job")
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    options = build_parser(COMMANDS).parse_args(arguments)
    assert options.command == "release"
    deployment = render({}).one("Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["operator"]


def test_no_hook_where_restoring_is_not_wanted(render):
    rendered = render({"uninstall": {"restore": False}})
    assert rendered.all("Job") == []
    assert "release --all" in rendered.notes


def test_a_change_of_settings_rolls_the_pods(render):
    def checksum(values):
        return render(values).one("Deployment")["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]

    assert checksum({}) == checksum({})
    assert checksum({}) != checksum({"planner": {"horizonSeconds": 7200}})


@pytest.mark.parametrize("replicas", [0, 1])
def test_no_disruption_budget_at_one_replica_or_none(render, replicas):
    assert render({"replicaCount": replicas}).all("PodDisruptionBudget") == []


def test_a_disruption_budget_and_a_spread_above_one_replica(render):
    rendered = render({"replicaCount": 2})
    budget = rendered.one("PodDisruptionBudget")
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert budget["spec"]["minAvailable"] == 1
    (spread,) = rendered.pods()["Deployment"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    off = render({"replicaCount": 2, "podDisruptionBudget": {"enabled": False}})
    assert off.all("PodDisruptionBudget") == []


def test_the_budget_does_not_count_the_pod_of_the_hook(render):
    rendered = render({"replicaCount": 2})
    hook = rendered.one("Job")["spec"]["template"]["metadata"]["labels"]
    wanted = rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert not wanted.items() <= hook.items()
    service = rendered.one("Service")["spec"]["selector"]
    assert not service.items() <= hook.items()


def test_the_network_policy_covers_operator_and_hook_and_lets_in_metrics_only(render):
    rendered = render({"networkPolicy": {"extraEgress": [{"ports": [{"port": 8428}]}]}})
    policy = rendered.one("NetworkPolicy")["spec"]
    for kind in ("Deployment", "Job"):
        labels = rendered.one(kind)["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["ingress"] == [{"ports": [{"port": "health"}]}]
    assert policy["egress"][-1] == {"ports": [{"port": 8428}]}
    assert all("ports" in rule for rule in policy["egress"]), "no rule without a port"
    assert render({"networkPolicy": {"enabled": False}}).all("NetworkPolicy") == []


def test_probes_reach_the_port_that_the_settings_name(render):
    rendered = render({"service": {"port": 9443}})
    assert rendered.config()["server"]["healthPort"] == 9443
    container = rendered.pods()["Deployment"]["containers"][0]
    assert container["ports"] == [{"name": "health", "containerPort": 9443}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "health"
    assert rendered.one("Service")["spec"]["ports"][0]["targetPort"] == "health"


def test_the_crds_are_those_of_the_folder(render):
    found = {row["metadata"]["name"]: row for row in render({}).crds()}
    assert set(found) == CRD_NAMES
    for path in (ROOT / "crds").glob("*.yaml"):
        plain = yaml.load(path.read_text(), Loader=LOADER)
        row = found[plain["metadata"]["name"]]
        annotations = row["metadata"].pop("annotations")
        assert annotations == {"helm.sh/resource-policy": "keep"}
        assert row == plain


def test_crds_are_kept_or_not_or_left_alone_as_asked(render):
    keep = "helm.sh/resource-policy"
    dropped = render({"crds": {"keep": False}}).crds()
    assert [keep in row["metadata"].get("annotations", {}) for row in dropped] == [False] * 3
    assert render({"crds": {"enabled": False}}).crds() == []


def test_a_member_gets_its_account_roles_and_token_and_nothing_of_the_hub(render):
    rendered = render(values_of("member-only"))
    assert rendered.names() == {
        "ServiceAccount/wattshift",
        "Secret/wattshift-token",
        "ClusterRole/wattshift-member-read",
        "ClusterRoleBinding/wattshift-member-read",
        "ClusterRole/wattshift-member-scale",
        "RoleBinding/wattshift-member-scale",
    }
    assert rendered.crds() == []
    secret = rendered.one("Secret")
    assert secret["type"] == "kubernetes.io/service-account-token"
    assert "data" not in secret, "the cluster fills it in"
    assert "get secret wattshift-token" in rendered.notes


def test_a_member_with_subjects_of_its_own_gets_no_account(render):
    subject = {"kind": "User", "name": "hub", "apiGroup": "rbac.authorization.k8s.io"}
    rendered = render(
        {"hub": {"enabled": False}, "crds": {"enabled": False}, "member": {"subjects": [subject]}}
    )
    assert rendered.all("ServiceAccount") == []
    assert rendered.one("ClusterRoleBinding")["subjects"] == [subject]


def test_a_token_is_refused_where_it_makes_no_sense():
    from helm_python import HelmError

    with pytest.raises(HelmError, match="hub.enabled: false"):
        Rendered({"member": {"createToken": True}})
    with pytest.raises(HelmError, match="leave member.subjects empty"):
        Rendered(
            {
                "hub": {"enabled": False},
                "member": {"createToken": True, "subjects": [{"kind": "User", "name": "hub"}]},
            }
        )


def test_notes_say_the_mode_and_what_is_missing(render):
    assert "changes nothing until" in render({}).notes
    assert "nothing can be scaled in this cluster yet" in render({}).notes
    assert "nothing can be scaled" not in render(values_of("hub-and-member")).notes
    assert "runs 240 times as fast" in render(values_of("full")).notes
    assert "an uninstall deletes all PowerSites" in render(values_of("full")).notes


def test_names_of_two_releases_do_not_collide(render):
    one, two = render({}, name="east"), render({}, name="west")
    assert one.names() & two.names() == set()


def test_every_example_is_named_in_the_readme():
    text = (CHART / "README.md").read_text()
    assert [name for name in CI if f"ci/{name}-values.yaml" not in text] == []


def test_examples_cover_every_top_level_value():
    known = set(yaml.safe_load((CHART / "values.yaml").read_text()))
    used = {key for name in CI for key in values_of(name)}
    # NB: what has a default that every rendering uses, or two names for one thing.
    assert known - used <= {"podDisruptionBudget", "rbac", "fullnameOverride"}


def test_the_rest_of_the_values_is_covered_here(render):
    rendered = render({"fullnameOverride": "power-shift", "rbac": {"aggregate": False}})
    assert "Deployment/power-shift" in rendered.names()
    assert [name for name in rendered.names() if name.endswith(("-view", "-edit"))] == []
