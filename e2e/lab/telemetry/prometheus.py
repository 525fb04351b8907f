"""A real Prometheus for the lab: plants, routers, queues and engine pods scraped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from e2e.lab.binaries import ensure
from e2e.lab.traffic.child import free_port, spawn, stop

READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeUrl:
    """One fixed target, such as a plant, a router or the dispatcher."""

    job: str
    url: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def job_config(self) -> dict[str, Any]:
        """Entry of `scrape_configs`."""
        parts = urlsplit(self.url)
        return {
            "job_name": self.job,
            "metrics_path": parts.path or "/metrics",
            "static_configs": [{"targets": [parts.netloc], "labels": dict(self.labels)}],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeFile:
    """Targets that come and go, in a file (`targets.py` writes one of a cluster's engine pods)."""

    job: str
    path: Path

    def job_config(self) -> dict[str, Any]:
        """Entry of `scrape_configs`."""
        return {
            "job_name": self.job,
            "file_sd_configs": [{"files": [str(self.path)], "refresh_interval": "2s"}],
        }


class Prometheus:
    """One Prometheus process with its own folder and port."""

    def __init__(
        self,
        targets: Sequence[ScrapeUrl | ScrapeFile],
        *,
        workdir: Path,
        scrape_seconds: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.host = host
        self.port = port
        self._targets = targets
        self._workdir = workdir
        self._scrape_seconds = scrape_seconds
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def config(self) -> dict[str, Any]:
        """What prometheus.yml says."""
        interval = f"{self._scrape_seconds}s"
        return {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [target.job_config() for target in self._targets],
        }

    def command(self, binary: Path | str) -> list[str]:
        """Write the configuration and return the command line (for other supervisors)."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port(self.host)
        path = self._workdir / "prometheus.yml"
        path.write_text(yaml.safe_dump(self.config(), sort_keys=False))
        return [
            str(binary),
            f"--config.file={path}",
            f"--storage.tsdb.path={self._workdir / 'tsdb'}",
            "--storage.tsdb.retention.time=6h",
            f"--web.listen-address={self.host}:{self.port}",
            "--log.level=warn",
        ]

    async def start(self) -> None:
        """Start and wait until it is ready. Raises RuntimeError when it ends first."""
        binary = (await asyncio.to_thread(ensure, ["prometheus"]))["prometheus"]
        log = self._workdir / "prometheus.log"
        self._process = await spawn(self.command(binary), log=log)
        async with (
            asyncio.timeout(READY_SECONDS),
            aiohttp.ClientSession(trust_env=False) as session,
        ):
            while True:
                try:
                    async with session.get(f"{self.url}/-/ready") as reply:
                        if reply.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                if self._process.returncode is not None:
                    raise RuntimeError(f"prometheus ended: {log.read_text()[-800:]}")
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End the process."""
        await stop(self._process)

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Instant query: labels and value of each series."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=timeout) as session,
            session.get(f"{self.url}/api/v1/query", params={"query": expression}) as reply,
        ):
            reply.raise_for_status()
            document = await reply.json()
        return [(item["metric"], float(item["value"][1])) for item in document["data"]["result"]]
