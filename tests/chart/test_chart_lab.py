"""The chart on a real API server: admitted under `restricted`, installed, upgraded, removed."""

from __future__ import annotations

import subprocess

import pytest
import yaml
from helm_python import HelmError

from e2e.documented import run_steps, steps_of
from e2e.lab.client import Access, ApiError, KubectlFailed, kubectl_command, wait_for
from e2e.lab.control_plane import ControlPlane
from e2e.lab.fixtures import require_binaries
from e2e.lab import binaries, install
from e2e.lab.lab import ensure_namespace
from e2e.lab.process_node import ProcessNode

from .conftest import CI, ROOT, Rendered, values_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
SYSTEM = "wattshift-system"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMES = ("powersites", "energycontracts", "flexibleworkloads")
OTHERS = {"monitoring.coreos.com"}
"""Groups that are not on this server."""
VALUES: dict = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}
QUIET: dict = {"replicaCount": 0, "uninstall": {"restore": False}}
"""Without any pod: where only what Helm does is of interest."""


@pytest.fixture(scope="module")
def plane(request):
    # NB: its own: CRDs come and go here.
    require_binaries(binaries.LAB_MODE, request)
    with ControlPlane("chart", mode="full") as running:
        yield running


@pytest.fixture(scope="module")
def access(plane):
    for name in ("serving", "batch", "team-a", "team-b", "wattshift-credentials"):
        ensure_namespace(plane.access, name)
    ensure_namespace(plane.access, SYSTEM, RESTRICTED)
    return plane.access


@pytest.fixture(scope="module")
def node(plane):
    return ProcessNode(plane).start()


def crds_there(access) -> list[str]:
    return [name for name in NAMES if access.exists(f"{CRDS}/{name}.wattshift.io")]


def examples() -> list[dict]:
    return [
        row
        for path in sorted((ROOT / "examples" / "smallest").glob("*.yaml"))
        for row in yaml.safe_load_all(path.read_text())
    ]


def objects_there(access) -> int:
    text = access.kubectl("get", "psite,econtract,fw", "-A", "-o", "name", check=False)
    return len([line for line in text.splitlines() if "/" in line])


@pytest.mark.parametrize("name", sorted(CI))
def test_every_object_of_every_values_file_is_accepted_by_the_server(access, name):
    rendered = Rendered(values_of(name), namespace=SYSTEM)
    known = [row for row in rendered.objects if row["apiVersion"].split("/")[0] not in OTHERS]
    told = access.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-",
        stdin=known,
    )  # fmt: skip
    assert len(told.splitlines()) == len(known)


@pytest.mark.parametrize("name", [name for name in sorted(CI) if name != "member-only"])
def test_pods_are_admitted_where_the_restricted_profile_is_enforced(access, name):
    for kind, spec in Rendered(values_of(name), namespace=SYSTEM).pods().items():
        # The account and the priority are other admission's business.
        pod = {
            k: v for k, v in spec.items() if k not in ("serviceAccountName", "priorityClassName")
        }
        body = {"metadata": {"name": f"try-{kind.lower()}"}, "spec": pod}
        made = access.request("POST", f"/api/v1/namespaces/{SYSTEM}/pods?dryRun=All", body)
        assert made["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_profile_that_admits_them_refuses_others(access):
    body = {"metadata": {"name": "try"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        access.request("POST", f"/api/v1/namespaces/{SYSTEM}/pods?dryRun=All", body)


def test_a_wrong_value_changes_nothing_on_the_server(access):
    with pytest.raises(HelmError, match="intervallSeconds"):
        install.install(access, values={"planner": {"intervallSeconds": 1}}, wait=False)
    assert crds_there(access) == []


def test_objects_survive_upgrade_and_uninstall_while_crds_are_kept(access, node):
    release = install.install(access, namespace=SYSTEM, values=VALUES)
    assert crds_there(access) == list(NAMES)
    access.apply(*examples())
    uids = {r["metadata"]["uid"] for r in access.items("/apis/wattshift.io/v1alpha1/powersites")}

    upgraded = {**VALUES, "mode": "Recommend", "api": {"enabled": True}}
    release.upgrade(install.CHART, upgraded)
    same = access.items("/apis/wattshift.io/v1alpha1/powersites")
    assert {row["metadata"]["uid"] for row in same} == uids

    release.uninstall()
    assert crds_there(access) == list(NAMES)
    assert objects_there(access) == 3
    deployments = access.items(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments")
    roles = access.items("/apis/rbac.authorization.k8s.io/v1/clusterroles")
    assert deployments == []
    assert [r for r in roles if r["metadata"]["name"].startswith("wattshift-")] == []
    for row in access.items("/apis/wattshift.io/v1alpha1/flexibleworkloads"):
        assert not row["metadata"].get("finalizers"), "nothing holds what nobody looks after"


def test_a_later_install_takes_kept_objects_over_and_crds_go_with_keep_false(access, node):
    # NB: follows the test above on the same server: kept CRDs are there.
    assert crds_there(access) == list(NAMES)
    release = install.install(access, namespace=SYSTEM, values={**VALUES, "crds": {"keep": False}})
    assert objects_there(access) == 3

    release.uninstall()
    wait_for("no CRD", lambda: not crds_there(access), timeout_seconds=60)


def test_crds_of_somebody_else_are_left_alone(access):
    access.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    release = install.install(
        access, namespace=SYSTEM, values={**QUIET, "crds": {"enabled": False}}
    )
    release.uninstall()
    assert crds_there(access) == list(NAMES)
    access.kubectl("delete", "-f", str(ROOT / "crds"))


def test_the_chart_refuses_a_second_copy_under_another_name_without_touching_the_first(access):
    release = install.install(access, namespace=SYSTEM, values=QUIET)
    try:
        with pytest.raises((HelmError, KubectlFailed), match="a wattshift operator of this"):
            install.install(access, name="second", namespace=SYSTEM, values=QUIET, wait=False)
        assert release.status()["status"] == "deployed"
    finally:
        release.uninstall()


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ([], [], True),
        (["serving"], [], True),
        ([], ["batch"], True),
        (["serving", "batch"], ["batch"], True),
        (["serving"], ["batch"], False),
    ],
)
def test_two_operators_may_not_have_a_namespace_in_common(access, first, second, refused):
    def put(name, namespace, watch, crds):
        ensure_namespace(access, namespace, RESTRICTED)
        values = {**QUIET, "watchNamespaces": watch, "crds": {"enabled": crds}}
        return install.install(access, name=name, namespace=namespace, values=values, wait=False)

    releases = [put("wattshift", SYSTEM, first, crds=True)]
    try:
        if refused:
            with pytest.raises(
                (HelmError, KubectlFailed), match=f"release wattshift in namespace {SYSTEM} is"
            ):
                put("two", "wattshift-second", second, crds=False)
        else:
            releases.append(put("two", "wattshift-second", second, crds=False))
        releases.append(
            put("wattshift", SYSTEM, first, crds=True)
        )  # an upgrade is no second release
    finally:
        for release in {release.name: release for release in releases}.values():
            release.uninstall()


# ---- a member, by the words of docs/install.md --------------------------------------------------


@pytest.fixture(scope="module")
def member(access, plane, tmp_path_factory):
    """Runs the steps with `hub` and `west` on one server; the kubeconfig of the Secret."""
    release = install.install(access, namespace=SYSTEM, values=values_of("member-only"), wait=False)
    secret = f"/api/v1/namespaces/{SYSTEM}/secrets/wattshift-token"
    wait_for("the token", lambda: "token" in access.get(secret).get("data", {}))
    folder = tmp_path_factory.mktemp("member")
    script = steps_of("install.md", "member").replace("https://api.west.example:6443", access.url)
    run_steps(script, {"hub": access, "west": access}, folder)
    text = access.kubectl(
        "get",
        "secret",
        "west",
        "-n",
        SYSTEM,
        "-o",
        "go-template={{.data.kubeconfig | base64decode}}",
    )
    path = folder / "member"
    path.write_text(text)
    yield path
    release.uninstall()


def can(access, kubeconfig, *words: str) -> bool:
    done = subprocess.run(
        [kubectl_command(), f"--kubeconfig={kubeconfig}", "auth", "can-i", *words],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout.strip().startswith("yes")


def test_the_operator_accepts_the_secret_that_the_steps_make(access, member):
    from wattshift.kube.hosts import host_allowed
    from wattshift.kube.secrets import project_secret

    secret = access.get(f"/api/v1/namespaces/{SYSTEM}/secrets/west")
    record = project_secret(secret)
    assert record is not None
    assert host_allowed(access.url.removeprefix("https://"), record.allowed)
    assert "kubeconfig" in record.content


@pytest.mark.parametrize(
    ("words", "may"),
    [
        (("patch", "deployments.apps", "--subresource=scale", "-n", "serving"), True),
        (("patch", "statefulsets.apps", "--subresource=scale", "-n", "serving"), True),
        (("patch", "deployments.apps", "--subresource=scale", "-n", "default"), False),
        (("patch", "deployments.apps", "--subresource=scale", "-n", SYSTEM), False),
        (("patch", "deployments.apps", "-n", "serving"), False),
        (("update", "deployments.apps", "--subresource=scale", "-n", "serving"), False),
        (("list", "deployments.apps", "-A"), True),
        (("list", "pods", "-n", "serving"), True),
        (("list", "pods", "-n", "default"), False),
        (("create", "pods", "-n", "serving"), False),
        (("patch", "pods", "-n", "serving"), False),
        (("delete", "pods", "-n", "serving"), False),
        (("create", "pods", "--subresource=exec", "-n", "serving"), False),
        (("get", "secrets", "-n", "serving"), False),
        (("list", "secrets", "-n", SYSTEM), False),
        (("get", "namespaces/kube-system"), True),
        (("list", "namespaces"), False),
        (("create", "serviceaccounts", "--subresource=token", "-n", SYSTEM), False),
        (("create", "rolebindings.rbac.authorization.k8s.io", "-n", "serving"), False),
        (("patch", "nodes"), False),
    ],
    ids=lambda row: " ".join(row) if isinstance(row, tuple) else str(row),
)
def test_a_members_token_may_do_this_and_no_more(access, member, words, may):
    assert can(access, member, *words) is may


def test_a_members_token_scales_and_reads_the_identity(access, member):
    access.kubectl("create", "deployment", "d", "--image=x", "--replicas=0", "-n", "serving")
    wait_for("it", lambda: access.exists("/apis/apps/v1/namespaces/serving/deployments/d"))
    token = yaml.safe_load(member.read_text())["users"][0]["user"]["token"]
    hub = Access(access.url, access.ca_file, token, member)
    # NB: without reading it first, as the operator writes: `get` on the scale is not granted.
    hub.merge("/apis/apps/v1/namespaces/serving/deployments/d/scale", {"spec": {"replicas": 1}})
    assert hub.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert access.get("/apis/apps/v1/namespaces/serving/deployments/d")["spec"]["replicas"] == 1


def test_deleting_the_tokens_secret_revokes_it(access, member):
    # NB: the last one that uses the token.
    assert can(access, member, "list", "deployments.apps", "-A")
    access.kubectl("delete", "secret", "wattshift-token", "-n", SYSTEM)
    command = [kubectl_command(), f"--kubeconfig={member}", "get", "deployments", "-A"]

    def refused() -> bool:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode != 0 and "Unauthorized" in done.stderr + done.stdout

    wait_for("401", refused, timeout_seconds=60)
