"""The wire between two places: order, distance, faults."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from e2e.lab.traffic.child import free_port
from e2e.lab.traffic.proxy import Distance, Distances
from e2e.lab.traffic.splice import BUFFERED_BYTES_LIMIT, Splice


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """Port of a server that sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def round_trips(port: int, count: int) -> float:
    """Mean seconds of a round trip on a warm connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"warm")
    await reader.readexactly(4)
    started = time.perf_counter()
    for _ in range(count):
        writer.write(b"ping")
        await reader.readexactly(4)
    writer.close()
    return (time.perf_counter() - started) / count


async def test_every_byte_arrives_in_order_whatever_the_delay(echo: int) -> None:
    splice = Splice("127.0.0.1", echo, delay_seconds=0.01)
    port = await splice.start("127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = b"".join(number.to_bytes(4, "big") for number in range(20_000))
    for start in range(0, len(sent), 777):
        writer.write(sent[start : start + 777])
        if start % 5 == 0:
            await asyncio.sleep(0)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()
    await splice.close()


async def test_more_than_the_buffer_passes_a_slow_far_link(echo: int) -> None:
    splice = Splice("127.0.0.1", echo, delay_seconds=0.02)
    port = await splice.start("127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = bytes(2 * BUFFERED_BYTES_LIMIT)

    async def send() -> None:
        writer.write(sent)
        await writer.drain()

    _, got = await asyncio.gather(send(), reader.readexactly(len(sent)))
    assert got == sent
    writer.close()
    await splice.close()


async def test_twice_the_distance_takes_about_twice_as_long(echo: int) -> None:
    near, far = (Splice("127.0.0.1", echo, delay_seconds=delay) for delay in (0.04, 0.08))
    near_port, far_port = await near.start("127.0.0.1"), await far.start("127.0.0.1")
    ratio = await round_trips(far_port, 5) / await round_trips(near_port, 5)
    assert 1.5 < ratio < 2.5
    await near.close()
    await far.close()


async def test_distance_can_change_under_an_open_connection(echo: int) -> None:
    splice = Splice("127.0.0.1", echo, delay_seconds=0.0)
    port = await splice.start("127.0.0.1")
    close_by = await round_trips(port, 5)
    splice.delay_seconds = 0.1
    assert await round_trips(port, 2) > 5 * close_by
    await splice.close()


async def test_refused_link_resets_what_is_open_and_what_comes(echo: int) -> None:
    splice = Splice("127.0.0.1", echo)
    port = await splice.start("127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    splice.set_fault("refuse")
    with contextlib.suppress(ConnectionError):
        assert await reader.read(1) == b""
    later, _ = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(later.read(1), 5) == b""
    splice.set_fault("")
    assert await round_trips(port, 1) > 0
    await splice.close()


async def test_dropping_link_swallows_silently_and_recovers(echo: int) -> None:
    splice = Splice("127.0.0.1", echo)
    port = await splice.start("127.0.0.1")
    splice.set_fault("drop")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"lost")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    splice.set_fault("")
    writer.write(b"back")
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"back"
    writer.close()
    await splice.close()


async def test_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Splice("127.0.0.1", 1).set_fault("explode")


async def test_absent_upstream_ends_the_client_connection() -> None:
    splice = Splice("127.0.0.1", free_port())
    port = await splice.start("127.0.0.1")
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(1), 5) == b""
    await splice.close()


async def test_no_wire_stays_behind_a_closed_connection(echo: int) -> None:
    splice = Splice("127.0.0.1", echo, delay_seconds=0.01)
    port = await splice.start("127.0.0.1")
    for _ in range(5):
        await round_trips(port, 1)
    async with asyncio.timeout(5):
        while splice.wires:
            await asyncio.sleep(0.02)
    await splice.close()


async def test_last_words_reach_only_clients_that_wait_for_an_answer() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    splice = Splice("127.0.0.1", server.sockets[0].getsockname()[1])
    port = await splice.start("127.0.0.1")
    waiting, waiting_writer = await asyncio.open_connection("127.0.0.1", port)
    idle, _ = await asyncio.open_connection("127.0.0.1", port)
    waiting_writer.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(5):
        while not any(wire.answer_owed for wire in splice.wires):
            await asyncio.sleep(0.01)
    splice.cut(b"sorry")
    assert await waiting.read() == b"sorry"
    with contextlib.suppress(ConnectionError):
        assert await idle.read() == b""
    await splice.close()
    server.close()


async def test_near_sites_are_reached_directly_and_far_ones_by_a_proxy(echo: int) -> None:
    distances = Distances({"near": Distance(), "far": Distance(30), "watched": Distance(0, True)})
    worker = f"http://127.0.0.1:{echo}"
    assert await distances.url_for("near", worker) == worker
    far = await distances.url_for("far", worker)
    assert far != worker
    assert await distances.url_for("far", worker) == far
    assert await distances.url_for("watched", f"http://127.0.0.1:{echo}/") != worker
    await distances.close()


async def test_proxy_of_a_retired_worker_lives_until_its_stream_ends(echo: int) -> None:
    distances = Distances({"far": Distance(10)})
    url = await distances.url_for("far", f"http://127.0.0.1:{echo}")
    port = int(url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"ping")
    distances.retire(f"http://127.0.0.1:{echo}")
    await distances.sweep()
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"ping"
    writer.write(b"more")
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"more"
    writer.close()
    await distances.close()


async def test_several_keepers_may_sweep_at_once(
    echo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2e.lab.traffic.proxy.QUIET_SECONDS", -1.0)
    distances = Distances({"far": Distance(10)})
    workers = [f"http://127.0.0.1:{echo}/{index}" for index in range(4)]
    for worker in workers:
        await distances.url_for("far", worker)
        distances.retire(worker)
    await asyncio.gather(*(distances.sweep() for _ in range(3)))
    await distances.close()
