"""Starts and ends the lab's processes, so that none outlives the lab, however the lab ends.

Three nets: each child dies with its parent (prctl); a reaper process notices the lab's death and
ends whatever carries its mark in the environment (grandchildren too); the next lab sweeps the rest.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MARK = "WATTSHIFT_LAB"
_LAUNCH = str(Path(__file__).resolve().parent / "launch.py")
# NB: the kernel sends the death signal when the *thread* that forked ends, not the process. All
# children are therefore forked by one thread that lives as long as the interpreter.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-forker")


class ProcessDied(RuntimeError):
    """A lab process ended although it should run; the message has the end of its log."""


class Process:
    """One named process in its own session, with a log file and a pid file in its lab's folder."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        workdir: Path,
        lab: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log_path = workdir / f"{name}.log"
        self.pid_path = workdir / f"{name}.pid"
        line = [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), *map(str, command)]
        variables = {**(os.environ if environment is None else environment), MARK: lab}
        with self.log_path.open("ab") as log:
            self._popen = _forker.submit(
                subprocess.Popen,
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=workdir,
                env=variables,
                start_new_session=True,
            ).result()
        self.pid_path.write_text(f"{self.pid}\n")

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._popen.pid

    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def require_running(self) -> None:
        """Raise ProcessDied with the end of the log when it has ended."""
        if (status := self.exit_status()) is not None:
            raise ProcessDied(f"{self.name} ended with status {status}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of its output."""
        with contextlib.suppress(OSError):
            text = self.log_path.read_text(errors="replace").replace("\0", "")
            return "\n".join(line[:500] for line in text.splitlines()[-lines:])
        return ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group; nothing happens when it is gone."""
        if self.exit_status() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP: the process exists, its sockets accept, nothing answers."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after the grace (at once with grace 0); returns when it is gone."""
        if grace_seconds > 0:
            self.thaw()
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # the group outlives its leader
        self._popen.wait(30)
        self.pid_path.unlink(missing_ok=True)


def marked_processes(lab: str) -> list[int]:
    """Ids of all processes that descend from this lab: they inherited its mark."""
    wanted = f"{MARK}={lab}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_marked(
    lab: str, *, spare: frozenset[int] = frozenset(), deadline_seconds: float = 10
) -> int:
    """SIGKILL everything that carries the lab's mark; returns how many were seen.

    Two empty scans end it: in the middle of an exec a process shows no environment at all.
    """
    seen: set[int] = set()
    empty = 0
    limit = time.monotonic() + deadline_seconds
    while empty < 2:
        remaining = [pid for pid in marked_processes(lab) if pid not in spare]
        empty = 0 if remaining else empty + 1
        seen.update(remaining)
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > limit:
            break
        time.sleep(0.05)
    return len(seen)
