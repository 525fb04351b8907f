"""Starts the lab's own servers (entry, plant, dispatcher, clients) as supervised processes.

Each prints one JSON line with its addresses once it serves; `info` is that line.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.lab.paths import REPOSITORY
from e2e.lab.process import Process

READY_SECONDS = 60.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Companion:
    """One `python -m MODULE --config FILE`, its configuration written into `workdir`."""

    def __init__(
        self, name: str, module: str, config: Mapping[str, Any], *, workdir: Path, lab: str = ""
    ) -> None:
        path = workdir / f"{name}.json"
        path.write_text(json.dumps(config, indent=1))
        self.name = name
        self.process = Process(
            name,
            [sys.executable, "-m", module, "--config", path],
            workdir=workdir,
            lab=lab,
            environment={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        )
        self.info: dict[str, Any] = {}

    def wait(self, *, timeout_seconds: float = READY_SECONDS) -> Companion:
        """Wait for its line. Raises ProcessDied or TimeoutError with the end of its log."""
        limit = time.monotonic() + timeout_seconds
        while time.monotonic() < limit:
            if found := self.lines():
                self.info = found[0]
                return self
            self.process.require_running()
            time.sleep(0.05)
        raise TimeoutError(f"{self.name} does not serve:\n{self.process.log_tail()}")

    def lines(self) -> list[dict[str, Any]]:
        """All JSON lines it printed (clients print their summary last)."""
        found = []
        for line in self.process.log_path.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                found.append(json.loads(line))
        return found

    def join(self, *, timeout_seconds: float) -> dict[str, Any]:
        """Wait until it ends by itself (clients); its last JSON line.

        Raises TimeoutError when it goes on, RuntimeError when it fails.
        """
        limit = time.monotonic() + timeout_seconds
        while (status := self.process.exit_status()) is None:
            if time.monotonic() > limit:
                raise TimeoutError(f"{self.name} goes on after {timeout_seconds} s")
            time.sleep(0.1)
        if status:
            raise RuntimeError(f"{self.name} ended with {status}:\n{self.process.log_tail()}")
        return self.lines()[-1]

    def stop(self) -> None:
        """End it."""
        self.process.stop()


def get_json(url: str) -> Any:
    """GET a companion's JSON."""
    with _OPENER.open(url, timeout=5) as reply:
        return json.load(reply)


def post(url: str) -> None:
    """POST without a body, such as `/inject?kind=step&watts=1000`. Raises HTTPError."""
    with _OPENER.open(urllib.request.Request(url, method="POST"), timeout=5):
        pass
