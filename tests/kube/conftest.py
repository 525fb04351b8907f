"""Clients of the lab's real API servers, and a thin fault server at the wire."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.transport import ClientTimings

FAST = ClientTimings(
    connect=2.0,
    read=2.0,
    write=2.0,
    watch_establish=1.0,
    watch_inactivity=0.5,
    retry_base=0.01,
    retry_after_limit=1.0,
    body_limit_bytes=1024 * 1024,
)
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(
    status: int,
    body: object = None,
    *,
    headers: dict[str, str] | None = None,
    length: int | None = None,
) -> Answer:
    """A whole answer; `length` beyond the body's is a body cut short."""
    raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    head = {"Content-Type": "application/json", **(headers or {})}
    head["Content-Length"] = str(len(raw) if length is None else length)

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in head.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + raw)
        if length is not None:
            writer.close()

    return answer


def stream(*events: object, then: str = "end") -> Answer:
    """A watch: these events (raw bytes or objects), then `end` or `silence`."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        )
        for event in events:
            writer.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
            await writer.drain()
        if then == "silence":
            await asyncio.Event().wait()
        writer.close()

    return answer


async def silence(writer: asyncio.StreamWriter) -> None:
    """Accepted, never answered."""
    await asyncio.Event().wait()


async def headers_then_silence(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def not_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    writer.close()


HTML = http(200, b"<html>Sign in</html>", headers={"Content-Type": "text/html"})


@dataclass
class FaultServer:
    """Answers from a list, then with `default`; remembers what was asked. Not an API server."""

    default: Answer
    answers: list[Answer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """`METHOD /path?query`."""
    heads: list[str] = field(default_factory=list)
    url: str = ""
    ca_pem: bytes | None = None
    server: asyncio.Server | None = None
    tasks: set = field(default_factory=set)

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self.server
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                for line in head.split("\r\n"):
                    if line.lower().startswith("content-length:"):
                        await reader.readexactly(int(line.split(":")[1]))
                self.heads.append(head)
                self.requests.append(head.split(" HTTP/")[0])
                answer = self.answers.pop(0) if self.answers else self.default
                await answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    @property
    def access(self) -> Access:
        return Access(server=self.url, ca_pem=self.ca_pem, token_text="t0ken")


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1, valid now."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "tls.crt", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=fault",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="session")
def expired_tls(tmp_path_factory) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1 that ended in 2021."""
    folder = tmp_path_factory.mktemp("expired")
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\n"
        "rand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n"
        "[p]\ncommonName=supplied\n[x]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=CA:true\n"
    )
    key, request, cert = folder / "tls.key", folder / "tls.csr", folder / "tls.crt"
    make = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]
    sign = ["openssl", "ca", "-batch", "-selfsign", "-config", folder / "ca.cnf", "-keyfile", key]
    sign += ["-in", request, "-out", cert, "-notext"]
    sign += ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
    run = {"check": True, "capture_output": True}
    subprocess.run([*make, "-subj", "/CN=old", "-keyout", key, "-out", request], **run)
    subprocess.run(sign, **run)
    return cert, key


@pytest.fixture
async def fault_server(self_signed) -> AsyncIterator[Callable[..., Awaitable[FaultServer]]]:
    """`await fault_server(default, *first_answers, tls=False)`; tls: True, or (certificate, key)."""
    servers: list[FaultServer] = []

    async def start(default: Answer, *answers: Answer, tls=False) -> FaultServer:
        server = FaultServer(default, list(answers))
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            pair = self_signed if tls is True else tls
            context.load_cert_chain(*pair)
            server.ca_pem = pair[0].read_bytes()
        await server.start(context)
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., ClusterClient]]:
    """Build clients that are closed after the test."""
    clients: list[ClusterClient] = []

    def build(access: Access, **options) -> ClusterClient:
        client = ClusterClient(
            name=options.pop("name", "test"), access=access, clock=time.monotonic, **options
        )
        clients.append(client)
        return client

    yield build
    await asyncio.gather(*(client.close() for client in clients))


@pytest.fixture
def admin(api_server, connect) -> ClusterClient:
    """Admin's client of the shared API server."""
    return connect(load_hub_files([api_server.kubeconfig]))


@pytest.fixture
def wire():
    """The vocabulary of faults, for tests (files here cannot import each other)."""
    import types

    return types.SimpleNamespace(
        http=http,
        stream=stream,
        silence=silence,
        headers_then_silence=headers_then_silence,
        reset=reset,
        not_http=not_http,
        HTML=HTML,
        FAST=FAST,
    )


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """`await eventually(condition, "what")`: waits for a condition, fails with its name."""

    async def wait(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"never happened: {what}")
            await asyncio.sleep(0.02)

    return wait
