"""Child processes of the traffic plane: they end with their parent, even when it is killed.

Only light imports: the engine launcher uses this too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """In the child, before exec: SIGKILL when the parent dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now; another process may still take it first."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


async def spawn(
    command: Sequence[str], *, log: Path | None = None, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start `command`, output appended to `log` (or thrown away), dying with this process."""
    output = log.open("ab") if log else None
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output or asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.STDOUT if output else asyncio.subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            preexec_fn=die_with_parent,
        )
    finally:
        if output:
            output.close()


async def stop(process: asyncio.subprocess.Process | None, *, grace_seconds: float = 5) -> None:
    """SIGTERM, then SIGKILL after the grace; returns when it is gone."""
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace_seconds)
        except TimeoutError:
            process.kill()
    await process.wait()
