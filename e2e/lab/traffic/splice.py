"""TCP splice with an optional delay each way: the wire between two places of the lab.

Copies bytes and never looks inside them, but notes whether an answer is owed, so that an owner who
cuts the wire can say how. Used by the engine launcher (no delay) and by `proxy.py` (distance). Only
asyncio is imported: one of these runs beside every engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import cast

FAULTS = ("", "drop", "refuse")
"""None; bytes vanish; connections are reset."""
BUFFERED_BYTES_LIMIT = 4 << 20
"""Per direction; beyond it the sender is paused, as a full TCP window would."""


def known_fault(fault: str) -> str:
    """`fault` itself. Raises ValueError when it is none of FAULTS."""
    if fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}: one of {FAULTS}")
    return fault


class _Half(asyncio.Protocol):
    """One end of a spliced connection; what it receives goes to `peer` after the delay."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.transport: asyncio.Transport | None = None
        self.peer: _Half | None = None
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0
        self._reading = True
        self._eof = False
        self._peer_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.wire.connected(self)

    def data_received(self, data: bytes) -> None:
        if self.wire.swallow():
            return
        self.wire.saw(self, data)
        delay = self.wire.delay_seconds(self)
        if not self._queue and delay <= 0 and self.peer is not None and self.peer.transport:
            self.peer.transport.write(data)
            return
        due = max(self._last_due, self.wire.loop.time() + delay)
        self._last_due = due
        self._queue.append((due, data))
        self._queued_bytes += len(data)
        self._throttle()
        self._arm()

    def flush(self) -> None:
        """Deliver what is due; called by the timer and when the peer appears."""
        self._timer = None
        peer = self.peer.transport if self.peer else None
        if peer is None:
            return
        now = self.wire.loop.time()
        while self._queue and self._queue[0][0] <= now + 0.0005:
            data = self._queue.popleft()[1]
            self._queued_bytes -= len(data)
            peer.write(data)
        self._throttle()
        if self._queue:
            self._arm()
        elif self._eof:
            _close(peer)

    def _arm(self) -> None:
        if self._timer is None and self._queue:
            self._timer = self.wire.loop.call_at(self._queue[0][0], self.flush)

    def _throttle(self) -> None:
        full = self._peer_full or self._queued_bytes > BUFFERED_BYTES_LIMIT
        if full == self._reading and self.transport and not self.transport.is_closing():
            self._reading = not full
            (self.transport.pause_reading if full else self.transport.resume_reading)()

    def pause_writing(self) -> None:
        if self.peer:
            self.peer._peer_full = True
            self.peer._throttle()

    def resume_writing(self) -> None:
        if self.peer:
            self.peer._peer_full = False
            self.peer._throttle()

    def eof_received(self) -> bool:
        self._eof = True
        if not self._queue:
            self.flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = True
        if exc is not None and self.peer and self.peer.transport:
            self.peer.transport.abort()
        elif not self._queue:
            self.flush()
        self.wire.ended(self)


def _close(transport: asyncio.Transport) -> None:
    with contextlib.suppress(Exception):
        transport.close()


class Wire:
    """One client connection and its upstream connection."""

    def __init__(self, owner: Splice, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = owner
        self.loop = loop
        self.client = _Half(self)
        self.upstream = _Half(self)
        self.answer_owed = False
        """A request came in and no byte of its answer went out yet."""
        self.streaming = False
        """The last bytes on the wire were an answer's: it may be unfinished."""
        self._first = True
        self._open = 2

    def connected(self, half: _Half) -> None:
        """A half is up; the client's calls for the upstream one."""
        if half is self.client:
            self.owner.dial(self)

    def swallow(self) -> bool:
        """Whether bytes vanish (a fault that looks like a dead link)."""
        return self.owner.fault == "drop"

    def saw(self, half: _Half, data: bytes) -> None:
        """Note the direction of the last bytes."""
        if half is self.client:
            self.answer_owed, self.streaming = True, False
        else:
            self.answer_owed = False
            self.streaming = not data.endswith(b"0\r\n\r\n")

    def delay_seconds(self, half: _Half) -> float:
        """One way; the first bytes of a connection also wait for the handshake's round trip."""
        delay = self.owner.delay_seconds
        if half is self.client and self._first:
            self._first = False
            return 3 * delay
        return delay

    def ended(self, half: _Half) -> None:
        """One half is gone."""
        self._open -= 1
        if half is self.client and self.upstream.transport is None:
            self._open -= 1
        if self._open <= 0:
            self.owner.wires.discard(self)

    def cut(self, last_words: bytes = b"") -> None:
        """End both halves at once; `last_words` go to a client that still waits for an answer."""
        if self.upstream.transport:
            self.upstream.transport.abort()
        client = self.client.transport
        if client is None:
            return
        if last_words and self.answer_owed and not client.is_closing():
            client.write(last_words)
            client.close()
        else:
            client.abort()


class Splice:
    """Listener that connects each client to `upstream`, with delay and faults changeable live."""

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        delay_seconds: float = 0.0,
        on_refused: Callable[[], None] | None = None,
    ) -> None:
        self.upstream_host = upstream_host
        self.upstream_port = upstream_port
        self.delay_seconds = delay_seconds
        self.fault = ""
        """One of FAULTS."""
        self.wires: set[Wire] = set()
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._dials: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int = 0) -> int:
        """Listen on `host:port`; returns the port (chosen free for 0)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._accept(loop), host, port, backlog=512)
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self, loop: asyncio.AbstractEventLoop) -> _Half:
        wire = Wire(self, loop)
        self.wires.add(wire)
        return wire.client

    def dial(self, wire: Wire) -> None:
        """Connect `wire` upstream, owned by this listener."""
        task = wire.loop.create_task(self._dial(wire, wire.loop))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        if self.fault == "refuse":
            wire.cut()
            return
        try:
            async with asyncio.timeout(5):
                await loop.create_connection(
                    lambda: wire.upstream, self.upstream_host, self.upstream_port
                )
        except (OSError, TimeoutError):
            wire.cut()
            if self._on_refused:
                self._on_refused()
            return
        wire.client.peer, wire.upstream.peer = wire.upstream, wire.client
        wire.client.flush()

    def set_fault(self, fault: str) -> None:
        """Set one of FAULTS from now on; `refuse` also resets what is open."""
        self.fault = known_fault(fault)
        if fault == "refuse":
            self.cut()

    def cut(self, last_words: bytes = b"") -> None:
        """Cut every open connection."""
        for wire in list(self.wires):
            wire.cut(last_words)

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server:
            self._server.close()
        for task in list(self._dials):
            task.cancel()
        self.cut()
        await asyncio.sleep(0)
