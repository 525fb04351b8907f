"""Operators with all their loops against the lab's real API server, and the CLI beside them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from e2e.lab.client import Access, wait_for

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location(
    "control_tests_conftest", ROOT / "tests" / "control" / "conftest.py"
)
control = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(control)
crds, objects, GROUP = control.crds, control.objects, control.GROUP


class Operator(control.OperatorProcess):
    """The whole operator: `wattshift operator`."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path, name: str, **extra) -> None:
        self.port = control.free_port()
        self.config = folder / f"{name}.yaml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "mode": "Enforce",
                    "namespace": namespace,
                    "podName": name,
                    "hub": {"kubeconfig": str(kubeconfig)},
                    "server": {
                        "bindAddress": "127.0.0.1",
                        "healthPort": self.port,
                        "apiPort": 0,
                    },
                    "status": {"minimumSeconds": 1},
                    "planner": {"intervalSeconds": 5, "minimumWallSeconds": 0.5},
                    "governor": {"intervalSeconds": 0.5},
                    "recorder": {"directory": str(folder / "steps")},
                }
                | extra
            )
        )
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wattshift.cli.main", "operator", "--config", self.config],
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )

    def api_url(self) -> str:
        def found() -> str | None:
            match = re.search(r"/v1 at (http://[0-9.]+:\d+)", self.log.read_text())
            return match.group(1) if match else None

        return wait_for("/v1 is served", found, timeout_seconds=30)


@pytest.fixture
def start_whole_operator(
    api_server, namespace: str, crds: Access, tmp_path: Path
) -> Iterator[Callable[..., Operator]]:
    started: list[Operator] = []

    def start(name: str = "op-a", **extra) -> Operator:
        process = Operator(api_server.kubeconfig, namespace, tmp_path, name, **extra)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.process.poll() is None:
            process.kill()


class Ran:
    def __init__(self, done: subprocess.CompletedProcess) -> None:
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"status {self.status}\n{self.out}\n{self.err}"


@pytest.fixture
def wattshift(api_server, namespace: str) -> Callable[..., Ran]:
    """Run the command as a user does, with the administrator's kubeconfig."""

    def run(*words: str, timeout: float = 120, env: dict | None = None) -> Ran:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WATTSHIFT_")}
        done = subprocess.run(
            [sys.executable, "-m", "wattshift.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env={**clean, "KUBECONFIG": str(api_server.kubeconfig), **(env or {})},
        )
        return Ran(done)

    return run
