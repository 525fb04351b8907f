"""Trust and identity from Secrets against a real TLS server that demands a client certificate."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.adapters.conftest import NOON, Secrets, signal
from wattshift.adapters.base import SourceContext
from wattshift.adapters.failures import SourceNeedsHuman, SourceTransient
from wattshift.adapters.grid.http_json import HttpJsonSource
from wattshift.adapters.http import HttpTarget
from wattshift.adapters.prometheus import PrometheusEndpoint
from wattshift.adapters.tls import TlsMaterial, ssl_context


def certificate(folder: Path, name: str) -> tuple[str, str]:
    key, cert = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {key} "
        f"-out {cert} -subj /CN={name} -addext subjectAltName=DNS:{name},IP:127.0.0.1".split(),
        check=True,
        capture_output=True,
    )
    return cert.read_text(), key.read_text()


@pytest.fixture
async def tls_server(tmp_path: Path, secrets: Secrets) -> AsyncIterator[str]:
    server_cert, _ = certificate(tmp_path, "meter.example")
    client_cert, client_key = certificate(tmp_path, "wattshift")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=client_cert)
    context.load_cert_chain(tmp_path / "meter.example.crt", tmp_path / "meter.example.key")
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(_: web.BaseRequest) -> web.Response:
        document = {"value": 7, "status": "success", "data": {"result": [1.0, "7"]}}
        return web.Response(text=json.dumps(document), content_type="application/json")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    host = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    for key, value in (("ca", server_cert), ("cert", client_cert), ("key", client_key)):
        secrets.values["tls", key] = (value, {host})
    try:
        yield f"https://{host}"
    finally:
        await runner.cleanup()


def tls(*names: str, **more: Any) -> dict[str, Any]:
    fields = {
        "ca": "authoritySecretRef",
        "cert": "clientCertificateSecretRef",
        "key": "clientKeySecretRef",
    }
    return {**{fields[name]: {"name": "tls", "key": name} for name in names}, **more}


async def by_json(context: SourceContext, url: str, trust: dict[str, Any]) -> float:
    spec = {"url": url, "valuePath": "value", "tls": trust, "timeoutSeconds": 3}
    fetched = await HttpJsonSource(signal({"httpJson": spec}), context).fetch(NOON)
    return fetched.observations[0].value


async def by_prometheus(context: SourceContext, url: str, trust: dict[str, Any]) -> float:
    target = HttpTarget.from_spec({"url": url, "tls": trust, "timeoutSeconds": 3})
    endpoint = PrometheusEndpoint(target.url, target.identity(context.credentials), 3.0)
    return (await context.prometheus.query(endpoint, "up"))[0].value


@pytest.mark.parametrize("read", [by_json, by_prometheus])
async def test_a_client_certificate_and_an_own_authority_are_used(
    read: Any, context: SourceContext, tls_server: str
) -> None:
    assert await read(context, tls_server, tls("ca", "cert", "key")) == 7.0
    named = tls("ca", "cert", "key", serverName="meter.example")
    assert await read(context, tls_server, named) == 7.0


@pytest.mark.parametrize("read", [by_json, by_prometheus])
@pytest.mark.parametrize(
    "trust",
    [{}, tls("cert", "key"), tls("ca"), tls("ca", "cert", "key", serverName="other.example")],
    ids=["nothing", "system-authorities", "no-client-certificate", "other-name"],
)
async def test_without_trust_or_identity_nothing_is_read(
    read: Any, trust: dict[str, Any], context: SourceContext, tls_server: str
) -> None:
    with pytest.raises(SourceTransient):
        await read(context, tls_server, trust)


@pytest.mark.parametrize(
    "material",
    [
        TlsMaterial(authority="not pem"),
        TlsMaterial(certificate="x"),
        TlsMaterial(certificate="x", key="y"),
    ],
)
def test_what_is_no_certificate_is_refused_without_repeating_it(material: TlsMaterial) -> None:
    with pytest.raises(SourceNeedsHuman) as caught:
        ssl_context(material)
    assert "not pem" not in caught.value.message
    assert "not pem" not in repr(material)


def test_contexts_always_verify() -> None:
    made = ssl_context(TlsMaterial())
    assert made.verify_mode is ssl.CERT_REQUIRED and made.check_hostname
