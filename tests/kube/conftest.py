"""Clients of the lab's real API servers, and a thin fault server at the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from wattshift.kube.auth import Access
from wattshift.kube.client import ClusterClient
from wattshift.kube.kubeconfig import load_hub_files
from wattshift.kube.transport import ClientTimings

FAST = ClientTimings(
    connect=2.0,
    read=2.0,
    write=2.0,
    watch_establish=2.0,
    watch_inactivity=1.0,
    retry_base=0.01,
    retry_after_limit=1.0,
)


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
