"""The only file that touches kopf's settings: a watch of our three kinds, and nothing more.

No peering (our own Lease), no scanning, no posting, no finalizers, no change handlers: kopf writes
nothing. Start it after the lease is acquired. Reasons for each setting: `docs/adr/` and kopf's
issues named there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import kopf

from wattshift.control.clock import Clock
from wattshift.control.hub.handlers import Bridge, Intake, on_event
from wattshift.control.hub.keys import RESOURCES
from wattshift.kube.auth import Access

_STOP_SECONDS = 2.0
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
) -> None:
    """Run kopf in a thread and loop of its own until cancelled; its errors are raised here.

    In our loop it would take SIGTERM over from us, and cancel every task younger than itself.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    runner = _Runner(
        access=access,
        clock=clock,
        bridge=Bridge(loop=asyncio.get_running_loop(), intake=intake),
        namespaces=tuple(namespaces),
        ended=ended,
    )
    threading.Thread(target=runner.run, name="kopf", daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        runner.stop()
        async with asyncio.timeout(_STOP_SECONDS):
            await asyncio.shield(ended)
        raise


class _Runner:
    """Body of kopf's thread."""

    def __init__(
        self,
        *,
        access: Access,
        clock: Clock,
        bridge: Bridge,
        namespaces: tuple[str, ...],
        ended: asyncio.Future[None],
    ) -> None:
        self._access = access
        self._clock = clock
        self._bridge = bridge
        self._namespaces = namespaces
        self._ended = ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopped_early = threading.Event()

    def stop(self) -> None:
        """Ask kopf to end; from our loop's thread."""
        self._stopped_early.set()
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)

    def run(self) -> None:
        """Run kopf to its end and tell our loop how it ended."""
        error: BaseException | None = None
        try:
            asyncio.run(self._operate())
        except BaseException as caught:  # noqa: BLE001 - carried over to our loop
            error = caught
        self._bridge.call(self._tell, error)

    async def _operate(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stopped_early.is_set():
            return
        await kopf.operator(
            registry=registry_for(self._access, self._clock),
            settings=settings(),
            memo=self._bridge,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
        )

    def _tell(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
