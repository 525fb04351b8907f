"""On kind clusters: image loaded, chart installed, scales seen by kubectl, as found after uninstall."""

from __future__ import annotations

import subprocess

import pytest

from e2e.kind.steps import REPLICAS, SERVING, Installation
from e2e.lab.client import wait_for
from e2e.lab.lab import SYSTEM_NAMESPACE

pytestmark = [pytest.mark.kind, pytest.mark.timeout(1800)]


def test_the_image_runs_read_only_without_rights_and_without_a_package_client(image: str) -> None:
    hard = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")

    def run(*words: str) -> str:
        done = subprocess.run(
            ["docker", "run", "--rm", *hard, *words],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert run(image, "--version").startswith("wattshift ")
    shell = ("--entrypoint", "sh", image, "-c")
    assert run(*shell, "id -u; id -g").split() == ["65532", "65532"]
    # Clusters that choose a uid: libraries ask for the name of the user and must find one.
    named = ("--user=1000777", "--entrypoint", "python", image, "-c")
    assert run(*named, "import getpass; print(getpass.getuser())") == "wattshift"
    assert run(*shell, "command -v pip pip3 uv || true") == ""
    probe = "import importlib.util as u; print([m for m in ('pip', 'ensurepip') if u.find_spec(m)])"
    assert run("--entrypoint", "python", image, "-c", probe) == "[]"
    settings = run(
        *shell, "env; ls /etc/pip.conf /etc/xdg/pip /etc/apt/auth.conf 2>/dev/null || true"
    )
    assert not [word for word in settings.split() if "PIP_" in word or word.endswith(".conf")]


def test_scales_at_home_and_in_a_member_and_leaves_everything_as_found(
    installation: Installation,
) -> None:
    hub, west = installation.hub, installation.west
    for access in (hub, west):
        installation.deploy(access)
    release = installation.install_hub()
    installation.add_member()
    pods = hub.kubectl("get", "pods", "-n", SYSTEM_NAMESPACE, "-o", "wide")
    print(f"\n$ kubectl get pods -n {SYSTEM_NAMESPACE} -o wide\n{pods}")
    installation.describe()

    try:
        for name, access in (("nightly-home", hub), ("nightly-west", west)):
            wait_for(
                f"{name} paused",
                lambda a=access: installation.replicas(a)[0] == 0,  # type: ignore[misc]
                timeout_seconds=240,
            )
            wait_for(
                f"{name} says why",
                lambda n=name: installation.status(n).get("lastDecision"),  # type: ignore[misc]
            )
            told = installation.status(name)["lastDecision"]
            # NB: the next plan may say already that it stays as it is, for the same reason.
            assert told["reason"] == "ExpensivePower"
            assert told["action"] in {"Pause", "Hold"}
    finally:
        for words in (("psite,econtract",), ("fw", "-n", SERVING, "-o", "wide")):
            print(f"\n$ kubectl get {' '.join(words)}\n{hub.kubectl('get', *words)}")
        for place, access in (("hub", hub), ("west", west)):
            shown = access.kubectl("get", "deployment", "-n", SERVING, check=False)
            print(f"\n{place}$ kubectl get deployment -n {SERVING}\n{shown}")
        print(f"\noperator:\n{installation.log()}")

    seconds = release.uninstall(timeout_seconds=300)
    print(f"\nhelm uninstall: {seconds:.1f} s")
    for access in (hub, west):
        assert installation.replicas(access)[0] == REPLICAS
        access.kubectl(
            "rollout", "status", "deployment/nightly", "-n", SERVING, "--timeout=60s",
            timeout_seconds=70,
        )  # fmt: skip
        metadata = access.get(f"/apis/apps/v1/namespaces/{SERVING}/deployments/nightly")["metadata"]
        assert not [key for key in metadata.get("annotations", {}) if "wattshift" in key]
    left = hub.kubectl("get", "fw,psite,econtract", "-A", "-o", "name").split()
    assert len(left) == 6, "crds.keep: the objects stay"
    for row in hub.items(f"/apis/wattshift.io/v1alpha1/namespaces/{SERVING}/flexibleworkloads"):
        assert not row["metadata"].get("finalizers")
    print(f"$ kubectl get deployment -n {SERVING}")
    print(hub.kubectl("get", "deployment", "-n", SERVING))
