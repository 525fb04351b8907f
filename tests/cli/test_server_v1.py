"""`/v1` with real tokens of a real API server, and the commands on real objects."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from e2e.lab.client import wait_for

pytestmark = pytest.mark.lab
GROUP = "/apis/wattshift.io/v1alpha1"


def fetch(url: str, token: str = "", scheme: str = "Bearer") -> tuple[int, dict]:
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"{scheme} {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def account(crds, namespace: str, name: str, **token) -> str:
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    if not crds.exists(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"):
        crds.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)
    return crds.service_account_token(namespace, name, **token)


def grant(crds, namespace: str, name: str, resources: list[str], *, everywhere: bool) -> None:
    kind = "ClusterRole" if everywhere else "Role"
    where = {} if everywhere else {"namespace": namespace}
    role = f"{namespace}-{name}"
    rules = [{"apiGroups": ["wattshift.io"], "resources": resources, "verbs": ["get", "list"]}]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    api = "rbac.authorization.k8s.io/v1"
    crds.apply(
        {"apiVersion": api, "kind": kind, "metadata": {"name": role, **where}, "rules": rules},
        {
            "apiVersion": api,
            "kind": f"{kind}Binding",
            "metadata": {"name": role, **where},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [subject],
        },
    )


@pytest.fixture
def served(crds, namespace, start_whole_operator, objects):
    """An operator with a plan about one workload, and the address of its /v1."""
    crds.apply(
        objects.site("s1"),
        objects.contract("c1", "s1"),
        objects.deployment(namespace, "chat"),
        objects.workload(namespace, "chat", "s1", powerProfileName="h100-llama-3-1-70b"),
    )
    operator = start_whole_operator().wait_ready()
    path = f"{GROUP}/namespaces/{namespace}/flexibleworkloads/chat"
    objects.condition_is(crds, path, "Ready", "True")
    wait_for(
        "a decision in status",
        lambda: crds.get(path).get("status", {}).get("lastDecision"),
        timeout_seconds=40,
    )
    return operator, operator.api_url()


def test_v1_asks_the_hub_who_calls_and_what_he_may_read(served, crds, namespace):
    _, url = served
    nobody, tenant = (account(crds, namespace, name) for name in ("nobody", "tenant"))
    admin = account(crds, namespace, "reader")
    grant(crds, namespace, "tenant", ["flexibleworkloads"], everywhere=False)
    kinds = ["flexibleworkloads", "powersites", "energycontracts"]
    grant(crds, namespace, "reader", kinds, everywhere=True)
    views = ("status", "plan", "snapshot", "steps", f"explain/{namespace}/chat")
    for view in views:
        assert fetch(f"{url}/v1/{view}")[0] == 401
        assert fetch(f"{url}/v1/{view}", "not-a-token")[0] == 401
        assert fetch(f"{url}/v1/{view}", admin, scheme="Basic")[0] == 401
        assert fetch(f"{url}/v1/{view}", nobody)[0] == 403
        assert fetch(f"{url}/v1/{view}", admin)[0] == 200
    # A tenant sees his own workload, and nothing of the sites that others share.
    for view in views[:-1]:
        assert fetch(f"{url}/v1/{view}", tenant)[0] == 403
    status, body = fetch(f"{url}/v1/explain/{namespace}/chat", tenant)
    assert status == 200
    assert body["decision"]["workload_key"] == f"{namespace}/chat"
    assert "sites" not in body
    assert "signals" not in body
    assert fetch(f"{url}/v1/explain/kube-system/other", tenant)[0] == 403
    assert "sites" in fetch(f"{url}/v1/explain/{namespace}/chat", admin)[1]
    assert fetch(f"{url}/v1/explain/{namespace}/none", admin)[0] == 404
    # Tokens made for /v1 alone are as good, those made for somebody else are not.
    assert (
        fetch(f"{url}/v1/plan", account(crds, namespace, "reader", audiences=["wattshift"]))[0]
        == 200
    )
    assert (
        fetch(f"{url}/v1/plan", account(crds, namespace, "reader", audiences=["vault"]))[0] == 401
    )
    text = json.dumps([fetch(f"{url}/v1/{view}", admin)[1] for view in views])
    assert admin not in text
    assert "BEGIN" not in text


def test_the_commands_explain_what_the_operator_did_and_a_step_replays_equal(
    served, crds, namespace, wattshift, tmp_path
):
    operator, url = served
    kinds = ["flexibleworkloads", "powersites", "energycontracts"]
    token = account(crds, namespace, "reader")
    grant(crds, namespace, "reader", kinds, everywhere=True)
    token_file = tmp_path / "token"
    token_file.write_text(token)
    server = ("--server", url, "--token-file", str(token_file))

    shown = wattshift("status", "-n", namespace)
    assert shown.status == 0, shown
    assert "chat" in shown.out
    assert "s1" in shown.out
    assert "\033" not in shown.out
    assert wattshift("status", "-A", "-o", "name").out.splitlines()[-1].endswith("/chat")
    assert wattshift("status", "-A", "-o", "json").json()["kind"] == "List"

    bare = wattshift("explain", "fw/chat", "-n", namespace)
    assert bare.status == 0, bare
    assert "Last decision:" in bare.out
    rich = wattshift("explain", "fw/chat", "-n", namespace, *server)
    assert rich.status == 0, rich
    assert "Live (plan " in rich.out
    assert f"{namespace}/chat: " in rich.out

    live = wattshift("plan", *server)
    assert live.status == 0, live
    assert live.out.startswith("plan ")

    snapshot = tmp_path / "snapshot.json"
    snapshot.write_text(json.dumps(fetch(f"{url}/v1/snapshot", token)[1]))
    again = wattshift("plan", "--snapshot", str(snapshot), "-o", "json")
    assert again.status == 0, again
    assert again.json()["plan"]["decisions"][0]["workload_key"] == f"{namespace}/chat"

    number = fetch(f"{url}/v1/steps", token)[1]["steps"][-1]["number"]
    step = tmp_path / "step.json"
    step.write_text(json.dumps(fetch(f"{url}/v1/steps/{number}", token)[1]))
    files = [str(path) for path in sorted((tmp_path / "steps").glob("step-*.json"))]
    assert files
    replayed = wattshift("replay", str(step), *files)
    assert replayed.status == 0, replayed

    gone = wattshift("explain", "fw/none", "-n", namespace)
    assert gone.status == 1
    assert "not found" in gone.err

    health = wattshift("doctor", "-n", namespace, "--operator-namespace", namespace)
    assert "leader: op-a" in health.out, health
    assert "CRD powersites.wattshift.io: serves v1alpha1, same fields" in health.out
    assert f"workload {namespace}/chat GitOps: spec.replicas of chat is in what wattshift-lab" in (
        health.out
    )
    assert health.status == 0, health
    operator.kill()
    dead = wattshift("doctor", "-n", namespace, "--operator-namespace", "kube-public")
    assert dead.status == 1
    assert "no Lease in kube-public" in dead.out


def test_who_may_read_nothing_is_told_so_and_not_shown_a_trace(
    crds, namespace, wattshift, tmp_path
):
    account(crds, namespace, "poor")
    access = crds.as_service_account(namespace, "poor", tmp_path / "poor.kubeconfig")
    env = {"KUBECONFIG": str(access.kubeconfig)}
    shown = wattshift("status", "-n", namespace, env=env)
    assert shown.status == 0, shown
    assert "note: flexibleworkloads: you may not list them" in shown.out
    denied = wattshift("explain", "fw/chat", "-n", namespace, env=env)
    assert denied.status == 1
    assert denied.err.startswith("wattshift: Forbidden:")
    health = wattshift("doctor", "-n", namespace, env=env)
    assert "right to patch flexibleworkloads: missing" in health.out
