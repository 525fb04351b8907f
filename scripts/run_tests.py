"""Runs everything that has to pass: checks and tests/ in front, e2e/ and the gate on decisions beside them.

Scenarios mostly wait for leases, drains and outages; tests/ run at a lower priority and take the time that
they leave, the gate what is then left. Checks are over while the scenarios' clusters still start. `WORKERS=0` runs one thing after the other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Command = Sequence[str]
NICENESS = 10
"""Of tests/, beside scenarios that measure time-outs: their labs must not wait for a property test."""
IDLE_NICENESS = 19
"""Of what asserts no time at all."""
LOOK_SECONDS = 0.5
DEMO = "e2e/demo"
"""Two minutes on a lab of its own: the other scenarios, the longest stream, need not wait for it."""
WORKERS = 3
"""Of tests/, on two cores: tests of a lab wait for their API servers half of the time."""


def _pytest(*options: str) -> Command:
    return [sys.executable, "-m", "pytest", "-q", *options]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What runs at the same time as the front, with a log of its own that is printed afterwards."""

    title: str
    command: Command
    niceness: int = 0
    """0: in a session of its own, so that the kernel shares time between it and the front."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is run: `front` in its order until one fails, `beside` at the same time.

    The last of `front` yields to what is beside it, which it outlasts; checks before it do not.
    """

    front: tuple[Command, ...]
    beside: tuple[Beside, ...]


def suite(workers: int) -> Suite:
    """All checks and tests with `workers` processes for tests/."""
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"] if workers else []
    alone = ["--processes", "1"] if workers else []
    return Suite(
        front=(["make", "--no-print-directory", "lint", "verify"], _pytest("tests", *spread)),
        beside=(
            Beside(
                title="gate on decisions (e2e/bench/gate.yaml)",
                command=[sys.executable, "-m", "e2e.bench.gate", *alone],
                niceness=IDLE_NICENESS,
            ),
            Beside(title="demo (e2e/demo)", command=_pytest(DEMO)),
            Beside(title="scenarios (e2e/)", command=_pytest("e2e", f"--ignore={DEMO}")),
        ),
    )


def in_turn(wanted: Suite) -> int:
    """One command after the other: a failed check ends it, failed tests do not hide what follows."""
    status = _front(wanted.front)
    if status.failed_early:
        return status.code
    codes = [subprocess.run(row.command, check=False).returncode for row in wanted.beside]
    return _first((status.code, *codes))


def together(wanted: Suite) -> int:
    """All streams at once; the output of each of `beside` follows that of `front`.

    When a check in front fails before the tests have begun, what runs beside is ended at once.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for row in wanted.beside:
            log = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                [*_nice(row.niceness), *row.command],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=not row.niceness,
                process_group=0 if row.niceness else None,
            )
            stack.callback(_end, process)
            running.append((row.title, log, process))
        status = _front(wanted.front, niceness=NICENESS)
        if status.failed_early:
            return status.code
        codes = [status.code]
        for title, log, process in running:
            print(f"{title}, begun together with tests/:", flush=True)
            _follow(log, process)
            codes.append(process.wait())
        return _first(codes)


def _first(codes: Sequence[int]) -> int:
    return next((code for code in codes if code), 0)


def _nice(niceness: int) -> Command:
    nice = shutil.which("nice") if niceness else None
    return [nice, "-n", str(niceness)] if nice else []


@dataclass(frozen=True, kw_only=True)
class _Status:
    code: int
    failed_early: bool


def _front(commands: tuple[Command, ...], *, niceness: int = 0) -> _Status:
    for index, command in enumerate(commands):
        last = index == len(commands) - 1
        yielding = _nice(niceness) if last else []
        code = subprocess.run([*yielding, *command], check=False).returncode
        if code:
            return _Status(code=code, failed_early=not last)
    return _Status(code=0, failed_early=False)


def _follow(log: IO[bytes], process: subprocess.Popen[bytes]) -> None:
    """Print what a process wrote and writes, until it has ended."""
    place = 0
    while True:
        ended = process.poll() is not None
        text = os.pread(log.fileno(), 1 << 20, place)
        place += len(text)
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
        if ended and not text:
            return
        if not text:
            time.sleep(LOOK_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a stream with what it started; labs clean up after SIGINT."""
    if process.poll() is not None:
        return
    for kind, seconds in ((signal.SIGINT, 60.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def main() -> int:
    """Exit status: of the first that failed, else 0."""
    os.chdir(Path(__file__).resolve().parents[1])
    workers = int(os.environ.get("WORKERS") or WORKERS)
    wanted = suite(workers)
    return together(wanted) if workers else in_turn(wanted)


if __name__ == "__main__":
    sys.exit(main())
