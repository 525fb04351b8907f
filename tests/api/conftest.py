"""The CRDs on the lab's API server, and a kept-alive connection for measuring."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from e2e.lab.client import Access, ApiError
from tests.api.documents import Document, path_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server(api_server) -> Access:
    """Administrator of an API server that serves the three kinds and has namespace team-chat."""
    access = api_server.access
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        access.request(
            "PATCH",
            f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}",
            crd,
            query={"fieldManager": "tests", "force": "true"},
            content_type="application/apply-patch+yaml",
        )
    for plural in ("powersites", "energycontracts", "flexibleworkloads"):
        _until(lambda plural=plural: access.exists(f"/apis/wattshift.io/v1alpha1/{plural}"))
    if not access.exists("/api/v1/namespaces/team-chat"):
        access.create("/api/v1/namespaces", {"metadata": {"name": "team-chat"}})
    return access


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        try:
            if holds():
                return
        except ApiError as problem:  # 429 while the storage of a new kind is made
            if problem.code not in {429, 503}:
                raise
        time.sleep(0.05)
    raise TimeoutError


@pytest.fixture
def try_create(server) -> Callable[[Document], str]:
    """Create an object under strict validation as a dry run; the refusal, or an empty string."""

    def create(document: Document) -> str:
        collection = path_of(document).rpartition("/")[0]
        try:
            server.request(
                "POST", collection, document, query={"dryRun": "All", "fieldValidation": "Strict"}
            )
        except ApiError as refusal:
            assert refusal.code in {400, 422}, refusal
            return str(refusal)
        return ""

    return create


class Connection:
    """One kept-alive connection, so that a measured request costs no handshake."""

    def __init__(self, access: Access) -> None:
        address = urlsplit(access.url)
        self._headers = {"Authorization": f"Bearer {access.token}"}
        self._connection = http.client.HTTPSConnection(
            address.hostname,
            address.port,
            timeout=60,
            context=ssl.create_default_context(cafile=str(access.ca_file)),
        )

    def apply_status(self, document: Document, generation: int) -> float:
        """Apply a status as the operator does, with something new in it; the seconds it took."""
        payload = json.dumps(
            {
                "apiVersion": document["apiVersion"],
                "kind": document["kind"],
                "metadata": {"name": document["metadata"]["name"]},
                "status": {"observedGeneration": generation},
            }
        )
        began = time.perf_counter()
        self._connection.request(
            "PATCH",
            path_of(document) + "/status?fieldManager=wattshift&force=true",
            payload,
            {**self._headers, "Content-Type": "application/apply-patch+yaml"},
        )
        answer = self._connection.getresponse()
        text = answer.read()
        elapsed = time.perf_counter() - began
        assert answer.status == 200, text[:500]
        return elapsed

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def connection(server) -> Iterator[Connection]:
    """A kept-alive connection to `server`."""
    one = Connection(server)
    yield one
    one.close()
