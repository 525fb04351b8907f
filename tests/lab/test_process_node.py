"""The process node: pods as real processes, with kubelet's behaviour where it matters."""

from __future__ import annotations

import os
import time
import urllib.request

import pytest

from e2e.lab.client import wait_for
from e2e.lab.node.api import Api
from e2e.lab.node.volumes import Volumes

pytestmark = pytest.mark.lab

NODE = {"wattshift.io/lab-node": "process"}
# A server that is ready only once /ready was asked to be, and counts its SIGTERMs.
SERVER = """
import http.server, os, signal, sys, time
state = {"ready": False}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/make-ready": state["ready"] = True
        if self.path == "/make-unready": state["ready"] = False
        if self.path == "/make-dead": state["dead"] = True
        ok = {"/ready": state["ready"], "/live": "dead" not in state}.get(self.path, True)
        self.send_response(200 if ok else 503); self.end_headers(); self.wfile.write(b"x")
    def log_message(self, *a): pass
def term(*_):
    print("got SIGTERM", flush=True); time.sleep(float(os.environ.get("LINGER", "0"))); sys.exit(0)
signal.signal(signal.SIGTERM, term)
print("listening", flush=True)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8000), Handler).serve_forever()
"""


@pytest.fixture
def space(control_plane, process_node, make_namespace):
    access = control_plane.access
    name = make_namespace(access)
    path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for("service account", lambda: access.exists(path))
    wait_for(
        "root CA", lambda: access.exists(f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt")
    )
    return name


@pytest.fixture
def run_pod(control_plane, space):
    def run(name, *containers, **spec):
        spec = {"nodeSelector": NODE, "terminationGracePeriodSeconds": 5, **spec}
        spec["containers"] = list(containers)
        control_plane.access.create(
            f"/api/v1/namespaces/{space}/pods", {"metadata": {"name": name}, "spec": spec}
        )
        return lambda: control_plane.access.get(f"/api/v1/namespaces/{space}/pods/{name}")

    return run


def script(code, name="main", **more):
    return {"name": name, "image": "lab/python", "args": ["-c", code], **more}


def phase(get, wanted, timeout=30):
    return wait_for(
        f"phase {wanted}",
        lambda: (p := get())["status"].get("phase") == wanted and p,
        timeout_seconds=timeout,
    )


def ready(get):
    conditions = get()["status"].get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def call(pod, path):
    url = f"http://{pod['status']['podIP']}:8000{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=5).status


def test_pod_that_exits_zero_succeeds_and_its_log_is_kept(run_pod, process_node, control_plane):
    get = run_pod("once", script("print('hello')"), restartPolicy="Never")
    pod = phase(get, "Succeeded")
    assert process_node.log(pod) == "hello\n"
    assert "hello" in control_plane.kubectl(
        "logs", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"]
    )
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_pod_that_fails_without_restart_is_failed_with_its_exit_code(run_pod):
    pod = phase(run_pod("bad", script("raise SystemExit(3)"), restartPolicy="Never"), "Failed")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_failing_container_is_restarted_with_back_off(run_pod):
    get = run_pod("crash", script("raise SystemExit(1)"))
    waiting = wait_for(
        "back-off",
        lambda: (
            (s := get()["status"]["containerStatuses"][0])["restartCount"] >= 2
            and s["state"].get("waiting")
        ),
    )
    assert waiting["reason"] == "CrashLoopBackOff"


def test_readiness_follows_the_real_endpoint_on_an_address_of_its_own(run_pod):
    probe = {
        "httpGet": {"path": "/ready", "port": "http"},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    ports = [{"name": "http", "containerPort": 8000}]
    get = run_pod("web", script(SERVER, readinessProbe=probe, ports=ports))
    other = run_pod("web-2", script(SERVER, readinessProbe=probe, ports=ports))
    pod, second = phase(get, "Running"), phase(other, "Running")
    assert pod["status"]["podIP"] != second["status"]["podIP"]
    wait_for("answers", lambda: call(pod, "/") == 200)
    assert not ready(get)
    call(pod, "/make-ready")
    wait_for("ready", lambda: ready(get))
    assert not ready(other)
    call(pod, "/make-unready")
    wait_for("unready", lambda: not ready(get))


def test_liveness_failure_restarts_the_container(run_pod):
    probe = {"httpGet": {"path": "/live", "port": 8000}, "periodSeconds": 1, "failureThreshold": 2}
    get = run_pod("live", script(SERVER, livenessProbe=probe))
    pod = phase(get, "Running")
    wait_for("answers", lambda: call(pod, "/") == 200)
    call(pod, "/make-dead")
    wait_for("restarted", lambda: get()["status"]["containerStatuses"][0]["restartCount"] == 1)
    wait_for("answers again", lambda: call(pod, "/live") == 200)


def test_startup_probe_holds_back_the_others(run_pod):
    startup = {
        "httpGet": {"path": "/ready", "port": 8000},
        "periodSeconds": 1,
        "failureThreshold": 60,
    }
    liveness = {
        "httpGet": {"path": "/ready", "port": 8000},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    get = run_pod("slow", script(SERVER, startupProbe=startup, livenessProbe=liveness))
    pod = phase(get, "Running")
    wait_for("answers", lambda: call(pod, "/") == 200)
    status = get()["status"]["containerStatuses"][0]
    assert (status["started"], status["ready"], status["restartCount"]) == (False, False, 0)
    call(pod, "/make-ready")
    wait_for("ready", lambda: ready(get))
    assert get()["status"]["containerStatuses"][0]["restartCount"] == 0


def test_deletion_runs_the_hook_then_sigterm_and_waits_for_the_process(
    run_pod, control_plane, process_node, tmp_path
):
    mark = tmp_path / "hook"
    hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", f"date +%s%N > {mark}"]}}}
    get = run_pod("drain", script(SERVER, lifecycle=hook, env=[{"name": "LINGER", "value": "1"}]))
    pod = phase(get, "Running")
    wait_for("answers", lambda: call(pod, "/") == 200)
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/drain"
    control_plane.access.delete(path)
    wait_for("gone", lambda: not control_plane.access.exists(path))
    assert mark.exists()
    assert "got SIGTERM" in process_node.log(pod)
    with pytest.raises(OSError):
        call(pod, "/")


def test_process_that_ignores_sigterm_is_killed_after_the_grace(
    run_pod, control_plane, process_node
):
    code = "import signal, time; signal.signal(15, lambda *_: print('no', flush=True)); print('up', flush=True)\nwhile True: time.sleep(1)"
    get = run_pod("stubborn", script(code), terminationGracePeriodSeconds=2)
    pod = phase(get, "Running")
    wait_for("up", lambda: "up" in process_node.log(pod))
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/stubborn"
    control_plane.access.delete(path)
    wait_for("gone", lambda: not control_plane.access.exists(path), timeout_seconds=20)
    assert "no" in process_node.log(pod)


def test_variables_volumes_and_mount_paths_are_real(run_pod, control_plane, process_node, space):
    access = control_plane.access
    access.create(
        f"/api/v1/namespaces/{space}/configmaps",
        {"metadata": {"name": "cm"}, "data": {"a.txt": "A"}},
    )
    access.create(
        f"/api/v1/namespaces/{space}/secrets",
        {"metadata": {"name": "sec"}, "stringData": {"k": "S"}},
    )
    code = (
        "import os, sys, pathlib\n"
        "e = os.environ\n"
        "print(e['NAME'], e['IP'] == e['POD_IP'], e['CPU'], e['K'], e['MIX'])\n"
        "print(pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(e['SECRET'], 'k').read_text())\n"
        "print(pathlib.Path(e['LABELS']).read_text())\n"
        "pathlib.Path(e['TMPDIR'], 'x').write_text('x')\n"
    )
    main = script(code)
    main["args"].append("/etc/config/a.txt")
    main["resources"] = {"limits": {"cpu": "1500m"}}
    main["env"] = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "k"}}},
        {"name": "MIX", "value": "$(NAME)-$$x-$(UNKNOWN)"},
        {"name": "SECRET", "value": "/etc/secret"},
        {"name": "LABELS", "value": "/etc/podinfo/labels"},
    ]
    main["volumeMounts"] = [
        {"name": "c", "mountPath": "/etc/config"},
        {"name": "s", "mountPath": "/etc/secret"},
        {"name": "d", "mountPath": "/etc/podinfo"},
        {"name": "t", "mountPath": "/tmp"},
    ]
    volumes = [
        {"name": "c", "configMap": {"name": "cm"}},
        {"name": "s", "secret": {"secretName": "sec"}},
        {"name": "t", "emptyDir": {}},
        {
            "name": "d",
            "downwardAPI": {
                "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.name"}}]
            },
        },
    ]
    pod = phase(run_pod("vars", main, volumes=volumes, restartPolicy="Never"), "Succeeded")
    assert process_node.log(pod) == "vars True 2 S vars-$x-$(UNKNOWN)\nA S\nvars\n"


def test_pod_acts_with_its_own_service_account_and_nothing_more(
    run_pod, control_plane, process_node, space
):
    access = control_plane.access
    access.create(f"/api/v1/namespaces/{space}/serviceaccounts", {"metadata": {"name": "reader"}})
    access.kubectl("create", "role", "r", "--verb=list", "--resource=pods", "-n", space)
    access.kubectl(
        "create", "rolebinding", "r", "--role=r", f"--serviceaccount={space}:reader", "-n", space
    )
    code = (
        "import subprocess, sys\n"
        "for words in (['auth', 'whoami'], ['get', 'pods', '-o', 'name'], ['get', 'secrets']):\n"
        "    print(subprocess.run(['kubectl', *words], capture_output=True, text=True))\n"
    )
    get = run_pod("who", script(code), serviceAccountName="reader", restartPolicy="Never")
    log = process_node.log(phase(get, "Succeeded"))
    assert f"system:serviceaccount:{space}:reader" in log
    assert "pod/who" in log
    assert "cannot list resource" in log


def test_pod_without_token_gets_no_kubeconfig(run_pod, process_node):
    get = run_pod(
        "bare",
        script("import os; print(os.environ.get('KUBECONFIG'))"),
        automountServiceAccountToken=False,
        restartPolicy="Never",
    )
    assert process_node.log(phase(get, "Succeeded")) == "None\n"


def test_init_containers_run_in_order_before_the_others(run_pod, process_node):
    get = run_pod(
        "init",
        script("print('main')"),
        initContainers=[script("print('one')", "a"), script("print('two')", "b")],
        restartPolicy="Never",
    )
    pod = phase(get, "Succeeded")
    times = [c["state"]["terminated"]["finishedAt"] for c in pod["status"]["initContainerStatuses"]]
    assert times == sorted(times)
    assert process_node.log(pod, "main") == "main\n"


def test_unknown_image_is_an_image_pull_error(run_pod):
    get = run_pod("nope", {"name": "x", "image": "registry.invalid/nothing:1"})
    wait_for(
        "reason",
        lambda: (
            get()["status"]["containerStatuses"][0]["state"]["waiting"].get("reason")
            == "ErrImagePull"
        ),
    )


def test_missing_config_map_keeps_the_pod_waiting_until_it_appears(run_pod, control_plane, space):
    volumes = [{"name": "c", "configMap": {"name": "late"}}]
    get = run_pod("late", script("print(1)"), volumes=volumes, restartPolicy="Never")
    wait_for("says why", lambda: "late" in (get()["status"].get("message") or ""))
    control_plane.access.create(
        f"/api/v1/namespaces/{space}/configmaps", {"metadata": {"name": "late"}, "data": {}}
    )
    phase(get, "Succeeded")


def test_job_completes_and_its_pod_process_is_gone(control_plane, process_node, space):
    access = control_plane.access
    access.create(
        f"/apis/batch/v1/namespaces/{space}/jobs",
        {
            "metadata": {"name": "job"},
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "nodeSelector": NODE,
                        "containers": [script("print('done')")],
                    }
                }
            },
        },
    )
    path = f"/apis/batch/v1/namespaces/{space}/jobs/job"
    wait_for("job complete", lambda: access.get(path)["status"].get("succeeded") == 1)
    assert process_node.log((space, "job-")) == "done\n"


def test_killed_container_process_is_seen_and_restarted(run_pod, control_plane, process_node):
    get = run_pod(
        "victim", script("import os, time; print(os.getpid(), flush=True); time.sleep(999)")
    )
    pod = phase(get, "Running")
    wait_for("up", lambda: process_node.log(pod).strip())
    os.kill(int(process_node.log(pod).split()[0]), 9)
    status = wait_for(
        "restarted",
        lambda: (s := get()["status"]["containerStatuses"][0])["restartCount"] == 1 and s,
    )
    assert status["lastState"]["terminated"]["exitCode"] == 137


def test_pods_survive_an_outage_of_the_api_server(run_pod, control_plane, process_node):
    get = run_pod("steady", script(SERVER))
    pod = phase(get, "Running")
    wait_for("answers", lambda: call(pod, "/") == 200)
    control_plane.stop_api_server(kill=True)
    try:
        time.sleep(2)
        assert call(pod, "/") == 200
    finally:
        control_plane.start_api_server()
    control_plane.access.delete(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/steady")
    wait_for(
        "gone",
        lambda: (
            not control_plane.access.exists(
                f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/steady"
            )
        ),
    )
    assert get


def test_changed_config_map_reaches_the_running_pod(run_pod, control_plane, process_node, space):
    path = f"/api/v1/namespaces/{space}/configmaps"
    control_plane.access.create(path, {"metadata": {"name": "cm"}, "data": {"f": "one"}})
    code = (
        "import pathlib, sys, time\n"
        "last = None\n"
        "while True:\n"
        "    text = pathlib.Path(sys.argv[1]).read_text()\n"
        "    if text != last: print(text, flush=True); last = text\n"
        "    time.sleep(0.2)\n"
    )
    main = script(code, volumeMounts=[{"name": "c", "mountPath": "/etc/c"}])
    main["args"].append("/etc/c/f")
    get = run_pod("follow", main, volumes=[{"name": "c", "configMap": {"name": "cm"}}])
    pod = phase(get, "Running")
    wait_for("first", lambda: process_node.log(pod) == "one\n")
    control_plane.access.merge(f"{path}/cm", {"data": {"f": "two"}})
    wait_for("second", lambda: process_node.log(pod) == "one\ntwo\n")


async def test_projected_token_is_renewed_before_it_expires(
    control_plane, process_node, space, run_pod, tmp_path
):
    pod = phase(run_pod("held", script("import time; time.sleep(99)")), "Running")
    access = control_plane.access
    async with Api(access.url, str(access.ca_file), access.token) as api:
        volumes = Volumes(api, pod, tmp_path)
        await volumes.materialise()
        (token,) = tmp_path.glob("*/token")
        first = token.read_text()
        await volumes.materialise()
        assert token.read_text() == first
        volumes._renew_at[token] = 0.0
        await volumes.materialise()
        assert token.read_text() != first
        assert token.stat().st_mode & 0o077 == 0


def test_readiness_gate_holds_the_pod_back(run_pod, control_plane, space):
    get = run_pod("gated", script(SERVER), readinessGates=[{"conditionType": "wattshift.io/x"}])
    phase(get, "Running")
    wait_for(
        "containers ready",
        lambda: any(
            c["type"] == "ContainersReady" and c["status"] == "True"
            for c in get()["status"]["conditions"]
        ),
    )
    assert not ready(get)
    control_plane.access.request(
        "PATCH",
        f"/api/v1/namespaces/{space}/pods/gated/status",
        {"status": {"conditions": [{"type": "wattshift.io/x", "status": "True"}]}},
        content_type="application/strategic-merge-patch+json",
    )
    wait_for("ready", lambda: ready(get))


def test_forced_deletion_ends_the_process_at_once(run_pod, control_plane, process_node, space):
    get = run_pod(
        "forced", script("import os, time; print(os.getpid(), flush=True); time.sleep(999)")
    )
    pod = phase(get, "Running")
    wait_for("up", lambda: process_node.log(pod).strip())
    process = int(process_node.log(pod))
    control_plane.kubectl("delete", "pod", "forced", "-n", space, "--force", "--grace-period=0")
    wait_for("process gone", lambda: not os.path.exists(f"/proc/{process}"))


def test_what_a_container_leaves_behind_ends_with_it(run_pod, control_plane, process_node, space):
    code = (
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)\n"
    )
    pod = phase(run_pod("parent", script(code)), "Running")
    wait_for("up", lambda: process_node.log(pod).strip())
    child = int(process_node.log(pod))
    control_plane.access.delete(f"/api/v1/namespaces/{space}/pods/parent")
    wait_for("child gone", lambda: not os.path.exists(f"/proc/{child}"))


def test_sidecar_runs_beside_and_ends_after_the_main_container(run_pod):
    sidecar = script("import time; time.sleep(600)", "side", restartPolicy="Always")
    get = run_pod("sc", script("print(1)"), initContainers=[sidecar], restartPolicy="Never")
    phase(get, "Succeeded")


def test_missing_secret_of_a_variable_is_named_and_waited_for(run_pod, control_plane, space):
    reference = {"secretKeyRef": {"name": "later", "key": "k"}}
    main = script("print(1)", env=[{"name": "K", "valueFrom": reference}])
    get = run_pod("needs", main, restartPolicy="Never")
    state = wait_for(
        "waiting",
        lambda: (
            (s := get()["status"]["containerStatuses"][0]["state"]["waiting"])["reason"]
            == "CreateContainerConfigError"
            and s
        ),
    )
    assert "later" in state["message"]
    control_plane.access.create(
        f"/api/v1/namespaces/{space}/secrets",
        {"metadata": {"name": "later"}, "stringData": {"k": "v"}},
    )
    phase(get, "Succeeded")


def test_restarted_node_runs_its_pods_again(run_pod, process_node):
    get = run_pod("again", script(SERVER))
    pod = phase(get, "Running")
    wait_for("answers", lambda: call(pod, "/") == 200)
    process_node.stop()
    process_node.start()
    wait_for("moved", lambda: get()["status"]["podIP"] != pod["status"]["podIP"])
    wait_for("answers again", lambda: call(get(), "/") == 200)
    assert get()["status"]["containerStatuses"][0]["restartCount"] == 1
