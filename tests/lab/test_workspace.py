"""No process and no folder of a lab outlives it, however it ends; labs do not collide."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.lab import binaries
from e2e.lab.client import wait_for
from e2e.lab.control_plane import ControlPlane
from e2e.lab.fixtures import require_binaries
from e2e.lab.leases import AddressBlock, Lease, PortLease
from e2e.lab.paths import REPOSITORY
from e2e.lab.process import Process, ProcessDied, marked_processes
from e2e.lab.workspace import Workspace, sweep

# A lab with a grandchild that left its session, as an engine's own child might.
OWNER = """
import sys, time
from e2e.lab.control_plane import ControlPlane
plane = ControlPlane("crash", mode="api").start()
plane.attach("stray", ["/bin/sh", "-c", "setsid sleep 600 & wait"])
print(plane.lab, plane.workdir.parent, flush=True)
time.sleep(600)
"""


# A whole cluster with a pod whose process has a child in a session of its own.
SITE = """
import sys, time
from e2e.lab.lab import Lab, ensure_namespace
from e2e.lab.providers.base import SiteSpec
lab = Lab([SiteSpec("solo")]).start()
access = lab.hub.access
ensure_namespace(access, "x")
code = "import subprocess, time; subprocess.Popen(['setsid', 'sleep', '600']); time.sleep(600)"
access.create("/api/v1/namespaces/x/pods", {"metadata": {"name": "p"}, "spec": {
    "nodeSelector": lab.hub.node_selector,
    "containers": [{"name": "c", "image": "lab/python", "args": ["-c", code]}]}})
while access.get("/api/v1/namespaces/x/pods/p")["status"].get("phase") != "Running":
    time.sleep(0.2)
print(lab.folder.name, lab.folder, flush=True)
time.sleep(600)
"""


@pytest.fixture
def lab_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WATTSHIFT_LAB_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.lab
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_owner_killed_leaves_no_process_and_no_folder(lab_folder, request, ending):
    require_binaries(binaries.API_MODE, request)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    lab, folder = owner.stdout.readline().split()
    assert len(wait_for("stray", lambda: len(p := marked_processes(lab)) >= 4 and p)) >= 4
    owner.send_signal(ending)
    owner.wait(20)
    wait_for("all processes gone", lambda: not marked_processes(lab), timeout_seconds=20)
    wait_for("folder gone", lambda: not Path(folder).exists(), timeout_seconds=20)


@pytest.mark.lab
def test_owner_killed_takes_the_pods_processes_with_it(lab_folder, request):
    require_binaries(binaries.LAB_MODE, request)
    owner = subprocess.Popen(
        [sys.executable, "-c", SITE], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    lab, folder = owner.stdout.readline().split()
    # etcd, API server, two controllers, kwok, the node, the container and its child
    wait_for("all up", lambda: len(marked_processes(lab)) >= 8)
    owner.kill()
    owner.wait(20)
    wait_for("all processes gone", lambda: not marked_processes(lab), timeout_seconds=20)
    wait_for("folder gone", lambda: not Path(folder).exists(), timeout_seconds=20)


@pytest.mark.lab
def test_two_labs_at_once_do_not_collide(request):
    require_binaries(binaries.API_MODE, request)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ControlPlane("twin", mode="api").start(), range(2))
    try:
        assert first.url != second.url
        assert first.workdir != second.workdir
        first.stop()
        assert second.access.get("/readyz")["text"] == "ok"
    finally:
        first.stop()
        second.stop()


def test_sweep_removes_a_dead_lab_and_spares_a_living_one(lab_folder):
    living = Workspace.create("living")
    dead = lab_folder / "wattshift-lab-dead-x"
    dead.mkdir()
    (dead / "owner.lock").touch()
    stray = subprocess.Popen(
        ["sleep", "600"], env={**os.environ, "WATTSHIFT_LAB": dead.name}, start_new_session=True
    )
    try:
        assert sweep() == [dead.name]
        assert stray.wait(10) == -signal.SIGKILL
        assert not dead.exists()
        assert living.folder.exists()
    finally:
        living.close()
    assert not living.folder.exists()


def test_closing_keeps_the_logs_when_asked(lab_folder):
    lab = Workspace.create("kept")
    (lab.folder / "x.log").write_text("line")
    lab.close(keep_files=True)
    assert (lab.folder / "x.log").read_text() == "line"
    assert sweep() == []


def test_process_that_cannot_start_says_why(tmp_path):
    process = Process("ghost", ["/nowhere/ghost"], workdir=tmp_path, lab="none")
    wait_for("ended", lambda: process.exit_status() is not None)
    with pytest.raises(ProcessDied, match="status 127"):
        process.require_running()
    assert "/nowhere/ghost" in process.log_tail()


def test_process_that_ignores_sigterm_is_killed(tmp_path):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    process = Process("deaf", [sys.executable, "-c", code], workdir=tmp_path, lab="none")
    wait_for("up", lambda: "up" in process.log_tail())
    process.stop(grace_seconds=0.2)
    assert process.exit_status() == -signal.SIGKILL
    assert not process.pid_path.exists()


def test_leases_are_exclusive_and_come_back(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lease = Lease("thing")
    with pytest.raises(BlockingIOError):
        Lease("thing")
    lease.release()
    Lease("thing").release()
    ports = [PortLease() for _ in range(20)]
    assert len({p.port for p in ports}) == 20
    blocks = [AddressBlock() for _ in range(20)]
    assert len({b.prefix for b in blocks}) == 20
    for held in (*ports, *blocks):
        held.release()
