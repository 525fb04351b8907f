"""The engine launcher around a real simulator: addresses, gauges and the ways it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from e2e.lab.engine.__main__ import ENGINE_DEAD, find_binary, parse, simulator_arguments
from e2e.lab.plant.engines import parse_counters
from e2e.lab.traffic.request import Outcome, complete


def request(number: int = 1, tokens: int = 40) -> Outcome:
    return Outcome(
        id=str(number),
        model="qwen",
        client="test",
        scheduled_time=0.0,
        expected_tokens=tokens,
        prompt_tokens=8,
    )


async def gauges(url: str) -> dict[str, int]:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{url}/metrics") as reply,
    ):
        lines = (await reply.text()).splitlines()
    return {
        name: int(float(line.rsplit(" ", 1)[1]))
        for line in lines
        for name in ("running", "waiting")
        if line.startswith(f"vllm:num_requests_{name}{{")
    }


async def send(url: str, count: int, tokens: int) -> asyncio.Task[list[Outcome]]:
    """Start `count` streams together."""

    async def all_of_them() -> list[Outcome]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(trust_env=False, connector=connector) as session:
            return list(
                await asyncio.gather(
                    *(
                        complete(session, url, request(number, tokens), timeout_seconds=60)
                        for number in range(count)
                    )
                )
            )

    return asyncio.create_task(all_of_them())


async def until_running(url: str, count: int) -> None:
    async with asyncio.timeout(20):
        while (await gauges(url)).get("running", 0) < count:
            await asyncio.sleep(0.05)


def test_defaults_keep_the_simulator_offline_and_the_port_last() -> None:
    line = simulator_arguments(["--model", "m", "--mode", "echo"], 9)
    assert "--force-dummy-tokenizer" in line
    assert line[-2:] == ["--port", "9"]
    assert line.index("echo") > line.index("random")


def test_address_comes_from_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_IP", "127.9.9.9")
    assert parse(["--", "--model", "m"]).address == "127.9.9.9"
    assert parse(["--", "--model", "m"]).simulator == ["--model", "m"]


def test_arguments_of_a_real_deployment_need_no_separator() -> None:
    options = parse(["--model", "m", "--port", "8080", "--max-num-seqs", "8"])
    assert options.port == 8080
    assert options.simulator == ["--model", "m", "--max-num-seqs", "8"]


@pytest.mark.parametrize(("seconds", "mode"), [("0", "vllm-default"), ("30", "vllm-timeout:30.0")])
def test_shutdown_timeout_means_what_it_means_to_vllm(seconds: str, mode: str) -> None:
    assert parse(["--shutdown-timeout", seconds, "--model", "m"]).sigterm == mode


def test_absent_binary_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("WATTSHIFT_ENGINE_BINARY", raising=False)
    with pytest.raises(SystemExit, match="llm-d-inference-sim not found"):
        find_binary()


def test_dying_answer_is_well_formed_http() -> None:
    head, _, body = ENGINE_DEAD.partition(b"\r\n\r\n")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    assert length == len(body)


@pytest.mark.engine
async def test_two_engines_share_a_port_number_on_their_own_addresses(fleet) -> None:
    first, second = await fleet.start(2)
    assert first != second
    assert first.endswith(":8000")
    assert second.endswith(":8000")
    outcomes = [*(await (await send(first, 1, 5))), *(await (await send(second, 1, 5)))]
    assert all(item.ok for item in outcomes)
    for url in (first, second):
        assert (await counters(url))["prompt_tokens"] > 0


async def counters(url: str) -> dict[str, float]:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{url}/metrics") as reply,
    ):
        return parse_counters(await reply.text())


@pytest.mark.engine
async def test_overload_shows_as_running_at_the_limit_and_the_rest_waiting(fleet) -> None:
    (url,) = await fleet.start(1, seqs=4)
    streams = await send(url, 10, 150)
    await until_running(url, 4)
    assert await gauges(url) == {"running": 4, "waiting": 6}
    outcomes = await streams
    assert all(item.ok for item in outcomes)
    assert await gauges(url) == {"running": 0, "waiting": 0}


@pytest.mark.engine
async def test_counters_of_the_inter_token_histogram_rise_while_streams_run(fleet) -> None:
    (url,) = await fleet.start(1)
    streams = await send(url, 4, 150)
    await until_running(url, 4)
    before = await counters(url)
    async with asyncio.timeout(20):
        while (after := await counters(url))["itl_count"] <= before["itl_count"]:
            await asyncio.sleep(0.05)
    assert after["itl_sum"] > before["itl_sum"]
    assert not streams.done()
    await streams


@pytest.mark.engine
async def test_sigterm_lets_running_streams_finish_and_refuses_new_ones(fleet) -> None:
    (url,) = await fleet.start(1, sigterm="sim")
    streams = await send(url, 4, 100)
    await until_running(url, 4)
    fleet.processes[0].terminate()
    await asyncio.sleep(0.2)
    late = (await (await send(url, 1, 5)))[0]
    assert not late.ok
    assert all(item.ok for item in await streams)
    assert await fleet.processes[0].wait() == 0


@pytest.mark.engine
async def test_default_engine_fails_everything_in_flight_at_once(fleet) -> None:
    (url,) = await fleet.start(1, sigterm="vllm-default", seqs=2)
    streams = await send(url, 5, 200)
    await until_running(url, 2)
    async with asyncio.timeout(20):
        while (await counters(url))["itl_count"] < 4:
            await asyncio.sleep(0.05)
    fleet.processes[0].terminate()
    outcomes = await streams
    assert not any(item.ok for item in outcomes)
    assert [item.status for item in outcomes].count(500) == 3, "queued ones hear of it"
    assert await fleet.processes[0].wait() == 0


@pytest.mark.engine
async def test_time_out_drains_for_its_time_and_cuts_the_rest(fleet) -> None:
    (url,) = await fleet.start(1, sigterm="vllm-timeout:2")
    short = await send(url, 2, 30)
    long = await send(url, 2, 1000)
    await until_running(url, 4)
    fleet.processes[0].terminate()
    assert all(item.ok for item in await short)
    assert not any(item.ok for item in await long)
    assert await fleet.processes[0].wait() == 0


@pytest.mark.engine
async def test_killed_launcher_takes_the_simulator_with_it(fleet) -> None:
    await fleet.start(1)
    pid = fleet.processes[0].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(pid, signal.SIGKILL)
    await fleet.processes[0].wait()
    async with asyncio.timeout(5):
        while Path(f"/proc/{children[0]}/cmdline").exists() and _alive(children[0]):
            await asyncio.sleep(0.05)


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.engine
async def test_launcher_ends_when_the_simulator_dies(fleet) -> None:
    await fleet.start(1)
    pid = fleet.processes[0].pid
    child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(child, signal.SIGKILL)
    assert await asyncio.wait_for(fleet.processes[0].wait(), 10) != 0


@pytest.mark.engine
async def test_sigterm_during_the_start_delay_ends_quietly(fleet) -> None:
    starting = asyncio.create_task(fleet.start(1, extra=("--start-delay", "60")))
    async with asyncio.timeout(10):
        while not fleet.processes:
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    fleet.processes[0].terminate()
    assert await asyncio.wait_for(fleet.processes[0].wait(), 10) == 0
    starting.cancel()
