"""A lab that stays after the command that started it: a process of its own, and its state file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from e2e.lab import binaries
from e2e.lab.lab import Lab
from e2e.lab.paths import REPOSITORY, cache_root
from e2e.lab.progress import say, ticking
from e2e.lab.providers.choose import choose_provider

START_SECONDS = 300.0
STOP_SECONDS = 60.0
NAMESPACE = "serving"


def up(name: str, *, sites: int, install: bool) -> int:
    """Start the lab `name` in the background and print how to reach it."""
    if (state := _state(name)) and _alive(name):
        say(f"{name} runs already")
        _print(name, state)
        return 0
    if choose_provider().name == "local":
        binaries.ensure(binaries.LAB_MODE)  # in the foreground, where its progress is seen
    _state_path(name).unlink(missing_ok=True)
    log_path = _state_path(name).with_suffix(".log")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "e2e.lab", "serve", "--name", name, "--sites", str(sites)]
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [*command, *([] if install else ["--no-install"])],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    limit = time.monotonic() + START_SECONDS
    with ticking(f"starting {sites} clusters"):
        while (state := _state(name)) is None and server.poll() is None:
            if time.monotonic() > limit:
                server.terminate()
                break
            time.sleep(0.2)
    if state is None:
        say(f"did not start, log in {log_path}:\n{_tail(log_path)}")
        return 1
    _print(name, state)
    return 0


def serve(name: str, *, sites: int, install: bool) -> int:
    """Hold the lab until SIGTERM or SIGINT."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    path = _state_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with Lab(sites) as lab:
            if install:
                lab.install_hub(namespaces=[NAMESPACE])
                for member in lab.members:
                    lab.install_member(member.name, namespaces=[NAMESPACE])
            state = {
                "pid": os.getpid(),
                "folder": str(lab.folder),
                "installed": install,
                "clusters": {
                    c.name: {"url": c.access.url, "kubeconfig": str(c.access.kubeconfig)}
                    for c in lab.clusters.values()
                },
            }
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(state, indent=1))
            fresh.replace(path)
            while not over.wait(1.0):
                pass
        path.unlink(missing_ok=True)
    return 0


def down(name: str) -> int:
    """End the lab `name` and wait until it is gone."""
    state = _state(name)
    if state is None or not _alive(name):
        say(f"{name} does not run")
        _state_path(name).unlink(missing_ok=True)
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(state["pid"], signal.SIGTERM)
    limit = time.monotonic() + STOP_SECONDS
    with ticking(f"stopping {name}"):
        while _alive(name) and time.monotonic() < limit:
            time.sleep(0.1)
    return 1 if _alive(name) else 0


def status(name: str) -> int:
    """Print what runs; exit status 1 when nothing does."""
    state = _state(name)
    if state is None or not _alive(name):
        say(f"{name} does not run; start it with: python -m e2e.lab up")
        return 1
    _print(name, state)
    return 0


def _state_path(name: str) -> Path:
    return cache_root() / "resident" / f"{name}.json"


def _state(name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(_state_path(name).read_text())
    except (OSError, ValueError):
        return None
    return found


def _alive(name: str) -> bool:
    """Whether its process holds the lock; safe against reused process ids."""
    try:
        with _state_path(name).with_suffix(".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-20:])


def _print(name: str, state: dict[str, Any]) -> None:
    print(f"files   {state['folder']}")
    for site, cluster in state["clusters"].items():
        print(f"{site:7} {cluster['url']}  export KUBECONFIG={cluster['kubeconfig']}")
    print("end it with: python -m e2e.lab down" + ("" if name == "lab" else f" --name {name}"))
