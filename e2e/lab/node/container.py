"""One container of a pod as a real process: start, probes, hooks, termination, restarts.

Knows nothing of the API server; it tells its pod by `changed()` that its status moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from e2e.lab.node.api import Document
from e2e.lab.node.probes import http_get, watch_probe

_LAUNCH = str(Path(__file__).resolve().parents[1] / "launch.py")
READY_POLL_SECONDS = 0.05


def timestamp() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What to run: command line and environment, with everything resolved."""

    command: list[str]
    environment: dict[str, str]


class ConfigurationError(Exception):
    """The container cannot be started as configured; `reason` as kubelet names it."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Container:
    """Supervises one container; `status()` is its containerStatuses entry."""

    def __init__(
        self,
        spec: Document,
        *,
        address: str,
        folder: Path,
        prepare: Callable[[Document], Awaitable[Prepared]],
        changed: Callable[[], None],
        grace_seconds: float,
        backoff: tuple[float, float, float],
        restart_count: int = 0,
    ) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.address = address
        self.ready = False
        self.started = False
        self.restart_count = restart_count
        self._folder = folder
        self._prepare = prepare
        self._changed = changed
        self._grace = grace_seconds
        self._backoff_first, self._backoff_most, self._backoff_reset = backoff
        self._state: Document = {"waiting": {"reason": "ContainerCreating"}}
        self._last: Document = {}
        self._process: asyncio.subprocess.Process | None = None
        self._prepared = Prepared([], {})
        self._stopping = False
        self._stopped = asyncio.Event()

    # -- status ----------------------------------------------------------------------

    @property
    def exit_code(self) -> int | None:
        """Exit code once it has ended for good (or between restarts), else None."""
        ended = self._state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return "running" in self._state

    @property
    def process_id(self) -> int | None:
        """Id of the running process."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def status(self) -> Document:
        """The containerStatuses entry."""
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": "" if "waiting" in self._state else f"lab://{self.spec['image']}",
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restart_count,
            "state": self._state,
            "lastState": self._last,
        }

    def _set(self, state: Document, *, ready: bool = False, started: bool = False) -> None:
        self._state, self.ready, self.started = state, ready, started
        self._changed()

    # -- life ------------------------------------------------------------------------

    async def supervise(self, policy: str) -> int:
        """Run, and run again as `policy` (Always, OnFailure, Never) says; the last exit code."""
        delay = 0.0
        while True:
            began = time.monotonic()
            code = await self._run_once()
            if self._stopping or policy == "Never" or (policy == "OnFailure" and code == 0):
                return code
            if time.monotonic() - began > self._backoff_reset:
                delay = 0.0
            self._last = self._state
            if delay:
                await self._back_off(delay)
            delay = min(self._backoff_most, delay * 2 or self._backoff_first)
            if self._stopping:
                self._set(self._last)
                return code
            self.restart_count += 1

    async def _back_off(self, delay: float) -> None:
        message = f"back-off {delay:g}s restarting failed container {self.name}"
        self._set({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), delay)

    async def _run_once(self) -> int:
        while True:
            if self._stopping:
                return self._ended(137, timestamp(), "ContainerStatusUnknown")
            try:
                self._prepared = await self._prepare(self.spec)
                break
            except ConfigurationError as problem:
                self._set({"waiting": {"reason": problem.reason, "message": str(problem)}})
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), 2.0)
        if self._stopping:
            return self._ended(137, timestamp(), "ContainerStatusUnknown")
        log = self.log_path(self.restart_count)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._process = await self._spawn(self._prepared.command, out)
        if self._stopping:  # terminated while it was being forked
            self._kill_group()
        began = timestamp()
        self._set(
            {"running": {"startedAt": began}},
            started="startupProbe" not in self.spec,
            ready="startupProbe" not in self.spec and "readinessProbe" not in self.spec,
        )
        probes = asyncio.create_task(self._probe_all(), name=f"probes {self.name}")
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        after = asyncio.create_task(self._hook(hook)) if hook else None
        try:
            code = await self._process.wait()
        finally:
            self._kill_group()  # what the main process left behind goes with it, as in a container
            probes.cancel()
            if after:
                after.cancel()
            await asyncio.gather(probes, *filter(None, [after]), return_exceptions=True)
        return self._ended(code if code >= 0 else 128 - code, began)

    def _ended(self, code: int, began: str, reason: str | None = None) -> int:
        self._set(
            {
                "terminated": {
                    "exitCode": code,
                    "reason": reason or ("Completed" if code == 0 else "Error"),
                    "startedAt": began,
                    "finishedAt": timestamp(),
                }
            }
        )
        return code

    async def _spawn(self, command: list[str], out: object) -> asyncio.subprocess.Process:
        work = self.spec.get("workingDir")
        folder = Path(work) if work and Path(work).is_dir() else self._folder
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,  # type: ignore[arg-type]
            stderr=asyncio.subprocess.STDOUT,
            cwd=folder,
            env=self._prepared.environment,
            start_new_session=True,
        )  # fmt: skip

    def log_path(self, run: int) -> Path:
        """Output of the n-th run (0 is the first)."""
        return self._folder / "logs" / self.name / f"{run}.log"

    # -- probes and hooks --------------------------------------------------------------

    async def _probe_all(self) -> None:
        if startup := self.spec.get("startupProbe"):
            passed = asyncio.Event()

            def report(state: bool, message: str) -> None:
                if state:
                    passed.set()
                else:
                    self._unhealthy("Startup", message, startup)

            first = asyncio.create_task(self._watch(startup, report))
            try:
                await passed.wait()
            finally:
                first.cancel()
            self._set(self._state, started=True, ready="readinessProbe" not in self.spec)
        async with asyncio.TaskGroup() as group:
            if readiness := self.spec.get("readinessProbe"):
                group.create_task(self._watch(readiness, lambda state, _: self._readiness(state)))
            if liveness := self.spec.get("livenessProbe"):

                def dead(state: bool, message: str) -> None:
                    if not state:
                        self._unhealthy("Liveness", message, liveness)

                group.create_task(self._watch(liveness, dead))

    async def _watch(self, probe: Document, report: Callable[[bool, str], None]) -> None:
        await watch_probe(probe, self.spec, self.address, self._run_in, report)

    def _readiness(self, state: bool) -> None:
        if self.ready != state and self.running:
            self._set(self._state, started=True, ready=state)

    def _unhealthy(self, which: str, message: str, probe: Document) -> None:
        """Kill the container; `supervise` restarts it. Termination under way wins."""
        if self._stopping or self._process is None:
            return
        print(f"{self.name}: {which} probe failed: {message}; killing", flush=True)
        grace = float(probe.get("terminationGracePeriodSeconds") or self._grace)
        task = asyncio.create_task(self._terminate(self._process, grace))
        self._killing = task  # a task needs an owner until it has ended

    async def _run_in(self, command: list[str], seconds: float) -> bool:
        process = await self._spawn(command, asyncio.subprocess.DEVNULL)
        try:
            return await asyncio.wait_for(process.wait(), seconds) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def _hook(self, hook: Document) -> None:
        """A lifecycle hook; its failure does not stop a termination (kubelet emits an event)."""
        with contextlib.suppress(Exception):
            if "sleep" in hook:
                await asyncio.sleep(float(hook["sleep"]["seconds"]))
            elif "exec" in hook:
                await self._run_in(hook["exec"]["command"], 3600)
            elif "httpGet" in hook:
                await http_get(hook["httpGet"], self.spec, self.address)

    # -- end -------------------------------------------------------------------------

    async def terminate(self, grace_seconds: float) -> None:
        """preStop, SIGTERM, wait, SIGKILL; never restarted afterwards. Idempotent.

        The hook's time counts towards the grace, as kubelet has it.
        """
        self._stopping = True
        self._stopped.set()
        if self._process is not None and self._process.returncode is None:
            await self._terminate(self._process, grace_seconds)

    async def _terminate(self, process: asyncio.subprocess.Process, grace: float) -> None:
        limit = time.monotonic() + grace
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook and grace > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hook(hook), grace)
        if process.returncode is None and grace > 0:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            # kubelet grants 2 s more when a hook used up the whole grace
            rest = max(limit - time.monotonic(), 2.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), rest)
        self._kill_group()

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
