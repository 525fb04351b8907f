"""The only file that touches kopf's settings: a watch of our three kinds, and nothing more.

No peering (our own Lease), no scanning, no posting, no finalizers, no change handlers: kopf writes
nothing. Start it after the lease is acquired. Reasons for each setting: `docs/adr/` and kopf's
issues named there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import kopf

from wattshift.control.clock import Clock
from wattshift.control.handlers import Intake, on_event
from wattshift.control.keys import RESOURCES
from wattshift.kube.auth import Access

_TOKEN_LIFE_SECONDS = 600.0
"""kopf asks our login handler again after this long; kubelet renews tokens in time."""


def registry_for(access: Access, clock: Clock) -> kopf.OperatorRegistry:
    """A registry of our own: nothing that other imports may have put into kopf's default one."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY)
    async def login(**_: object) -> kopf.ConnectionInfo:
        return connection(access, clock)

    for resource in RESOURCES.values():
        group, version = resource.api_version.split("/")
        kopf.on.event(group, version, resource.plural, registry=registry, id="enqueue")(on_event)
    return registry


def connection(access: Access, clock: Clock) -> kopf.ConnectionInfo:
    """Our credential in kopf's words; never a proxy variable, never an unverified server."""
    token = access.token(clock.monotonic).get()
    expiration = None
    if access.token_path is not None:
        expiration = datetime.fromtimestamp(clock.utc() + _TOKEN_LIFE_SECONDS, UTC)
    return kopf.ConnectionInfo(
        server=access.server,
        ca_data=access.ca_pem.decode() if access.ca_pem else None,
        scheme="Bearer" if token else None,
        token=token or None,
        certificate_data=access.cert_pem.decode() if access.cert_pem else None,
        private_key_data=access.key_pem.decode() if access.key_pem else None,
        default_namespace=access.namespace,
        trust_env=False,
        expiration=expiration,
    )


def settings() -> kopf.OperatorSettings:
    """Settings that were tried; each line has a story (kubernetes platform notes, kopf section)."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 310
    chosen.watching.connect_timeout = 10
    chosen.watching.chunk_size = 500
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.queueing.worker_limit = None
    chosen.persistence.finalizer = "wattshift.io/kopf"  # must never appear
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(
        prefix="kopf.wattshift.io", key="last"
    )
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(
        prefix="kopf.wattshift.io"
    )
    chosen.execution.max_workers = 2
    chosen.process.ultimate_exiting_timeout = 25
    return chosen


async def watch(
    *,
    access: Access,
    clock: Clock,
    intake: Intake,
    namespaces: Sequence[str],
    stop: asyncio.Event,
) -> None:
    """Run kopf until `stop` is set; an error that leaves it means that the watch is dead."""
    await kopf.operator(
        registry=registry_for(access, clock),
        settings=settings(),
        memo=intake,
        standalone=True,
        clusterwide=not namespaces,
        namespaces=tuple(namespaces),
        stop_flag=stop,
    )
