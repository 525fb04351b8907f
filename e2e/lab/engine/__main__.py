"""`python -m e2e.lab.engine [--sigterm MODE] [options] -- SIMULATOR ARGUMENTS`: one engine.

Starts the simulator (llm-d-inference-sim, which can only bind every address) on a free port and
listens for it on POD_IP:containerPort, so that many pods may share a port number. Plays the ways
in which engines die (`--sigterm`); computes nothing itself: queueing, limits and counters are the
simulator's. With `--direct` it becomes the simulator (network namespaces give the address then).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from e2e.lab.traffic.child import die_with_parent, free_port
from e2e.lab.traffic.splice import Splice

BINARY = "llm-d-inference-sim"
STARTS = 3
"""Attempts: another process may take the free port before the simulator does."""
_DEAD_BODY = (
    b'{"error":{"message":"EngineCore encountered an issue. See stack trace.",'
    b'"type":"InternalServerError","code":500}}'
)
ENGINE_DEAD = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_DEAD_BODY), _DEAD_BODY)
)
"""What vLLM answers to requests in flight at SIGTERM without a shutdown time-out."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what is not the launcher's own goes to the simulator unchanged."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.lab.engine", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--address", default=os.environ.get("POD_IP", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--sigterm",
        default=os.environ.get("WATTSHIFT_ENGINE_SIGTERM", "sim"),
        help="sim: drain as the simulator does; vllm-default: requests in flight fail at once; "
        "vllm-timeout[:SECONDS]: drain for SECONDS (30), then cut",
    )
    parser.add_argument(
        "--shutdown-timeout", type=float, help="as vLLM's: 0 = vllm-default, else vllm-timeout"
    )
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds before listening")
    parser.add_argument("--binary", default="", help=f"path of {BINARY}")
    parser.add_argument("--direct", action="store_true", help="exec the simulator, no launcher")
    options, simulator = parser.parse_known_args(argv)
    options.simulator = [word for word in simulator if word != "--"]
    if options.shutdown_timeout is not None:
        seconds = options.shutdown_timeout
        options.sigterm = f"vllm-timeout:{seconds}" if seconds > 0 else "vllm-default"
    return options


def find_binary(given: str = "") -> str:
    """Path of the simulator: option, environment, test assets, lab cache, PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    for path in (given, os.environ.get("WATTSHIFT_ENGINE_BINARY", ""), f"{assets}/{BINARY}"):
        if path and Path(path).is_file():
            return path
    from e2e.lab.binaries import find  # noqa: PLC0415 - costs memory; only when nothing said where

    if found := find(BINARY) or shutil.which(BINARY):
        return str(found)
    raise SystemExit(f"{BINARY} not found: set WATTSHIFT_ENGINE_BINARY or run `make lab` once")


def simulator_arguments(extra: list[str], port: int) -> list[str]:
    """Defaults that keep it offline and quiet, then the user's, then the port."""
    defaults = ["--force-dummy-tokenizer", "--mode", "random", "--v", "0"]
    return [*defaults, *extra, "--port", str(port)]


class Engine:
    """Launcher of one simulator and owner of its wire."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.mode, _, seconds = options.sigterm.partition(":")
        self.drain_seconds = float(seconds or 30)
        if self.mode not in {"sim", "vllm-default", "vllm-timeout"}:
            raise SystemExit(f"--sigterm {options.sigterm}: sim, vllm-default or vllm-timeout[:S]")
        self.process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()

    async def run(self) -> int:
        """Start, serve until SIGTERM or the simulator's end; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), self.options.start_delay or 0.001)
        if self.stopping.is_set():
            return 0
        port = await self._start()
        splice = Splice("127.0.0.1", port)
        await splice.start(self.options.address, self.options.port)
        assert self.process is not None
        ended = asyncio.create_task(self.process.wait())
        asked = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not ended.done():
            await self._stop(splice, ended)
        await splice.close()
        code = self.process.returncode or 0
        return 0 if self.stopping.is_set() else (code if code > 0 else 128 - code) or 1

    async def _start(self) -> int:
        """Start the simulator and wait until it answers; returns its port."""
        for _ in range(STARTS):
            port = free_port("0.0.0.0")
            self.process = await asyncio.create_subprocess_exec(
                find_binary(self.options.binary),
                *simulator_arguments(self.options.simulator, port),
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=die_with_parent,
            )
            while self.process.returncode is None and not self.stopping.is_set():
                if await _answers(port):
                    return port
                await asyncio.sleep(0.1)
            if self.stopping.is_set():
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
                raise SystemExit(0)
        raise SystemExit(f"{BINARY} ended {STARTS} times before it answered")

    async def _stop(self, splice: Splice, ended: asyncio.Task[int]) -> None:
        """The way this engine dies."""
        assert self.process is not None
        if self.mode != "vllm-default":
            self.process.terminate()
            limit = self.drain_seconds if self.mode == "vllm-timeout" else None
            await asyncio.wait({ended}, timeout=limit)
        if not ended.done():
            splice.cut(ENGINE_DEAD)
            self.process.kill()
            await ended


async def _answers(port: int) -> bool:
    """Whether /health says 200 (no HTTP library: one of these runs beside every engine)."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in line


def main() -> None:
    """Entry point."""
    options = parse()
    if options.direct:
        binary = find_binary(options.binary)
        os.execv(binary, [binary, *simulator_arguments(options.simulator, options.port)])
    sys.exit(asyncio.run(Engine(options).run()))


if __name__ == "__main__":
    main()
