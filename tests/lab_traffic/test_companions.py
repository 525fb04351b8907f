"""The lab's servers as processes: addresses, control, and nothing left behind."""

from __future__ import annotations

import os
import signal
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.lab.client import wait_for
from e2e.lab.process import ProcessDied
from e2e.lab.traffic.companion import Companion, get_json, post

Start = Callable[..., Companion]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts companions and ends them with the test."""
    started: list[Companion] = []

    def begin(name: str, module: str, config: dict) -> Companion:
        started.append(Companion(name, f"e2e.lab.{module}", config, workdir=tmp_path))
        return started[-1]

    yield begin
    for companion in started:
        companion.stop()


QUEUE = {"model": "qwen", "url": "http://127.0.0.1:9", "initialUnits": 5, "name": "night"}


def test_dispatcher_tells_its_state_and_takes_orders(start: Start) -> None:
    url = start("queue", "traffic.dispatcher", QUEUE).wait().info["url"]
    assert get_json(f"{url}/state")["backlogUnits"] == 5
    post(f"{url}/submit?units=3")
    post(f"{url}/dispatch?open=false")
    state = get_json(f"{url}/state")
    assert (state["submittedUnits"], state["backlogUnits"], state["lostUnits"]) == (8, 8, 0)
    assert state["open"] is False


def test_killed_dispatcher_finds_its_backlog_again(start: Start, tmp_path: Path) -> None:
    config = {**QUEUE, "journal": str(tmp_path / "journal.jsonl")}
    first = start("queue-1", "traffic.dispatcher", config).wait()
    post(f"{first.info['url']}/submit?units=2")
    os.kill(first.process.pid, signal.SIGKILL)
    second = start("queue-2", "traffic.dispatcher", config).wait()
    assert get_json(f"{second.info['url']}/state")["backlogUnits"] == 7


def test_units_come_in_over_grid_time(start: Start) -> None:
    clock = {"startTime": "2026-11-22T00:00:00+08:00", "speed": 3600}
    config = {**QUEUE, "initialUnits": 0, "unitsPerGridHour": 4, "clock": clock}
    url = start("queue", "traffic.dispatcher", config).wait().info["url"]
    wait_for("eight units", lambda: get_json(f"{url}/state")["submittedUnits"] >= 8)


def test_companion_that_cannot_start_says_why(start: Start) -> None:
    with pytest.raises(ProcessDied, match="powerClasses"):
        start("plant", "plant", {"site": "s"}).wait()


def test_clients_print_their_summary_and_end(start: Start) -> None:
    loads = [{"model": "qwen", "url": "http://127.0.0.1:9", "rate": 20}]
    config = {"durationSeconds": 1, "loads": loads}
    config["bursts"] = [{"start_seconds": 0.5, "end_seconds": 1.0, "factor": 3}]
    summary = start("clients", "traffic.clients", config).join(timeout_seconds=60)["qwen"]
    assert summary["requests"] > 10
    assert summary["succeeded"] == 0
    assert set(summary["errors"]) == {"ClientConnectorError"}


@pytest.mark.engine
def test_killed_entry_takes_its_routers_with_it(start: Start) -> None:
    config = {"sites": [], "models": [{"name": "qwen", "selector": "app=qwen"}]}
    entry = start("entry", "traffic.entry", config).wait()
    pid = entry.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    os.kill(pid, signal.SIGKILL)
    wait_for("routers gone", lambda: not any(_runs(child) for child in children))


@pytest.mark.engine
def test_entry_refuses_an_unknown_fault_and_tells_its_workers(start: Start) -> None:
    config = {"sites": [{"name": "far", "roundTripMilliseconds": 30}]}
    config["models"] = [{"name": "qwen", "selector": "app=qwen", "sites": []}]
    control = start("entry", "traffic.entry", config).wait().info["control"]
    assert get_json(f"{control}/workers") == {"qwen": []}
    assert get_json(f"{control}/healthz") == {"qwen": True}
    post(f"{control}/fault?site=far&fault=refuse")
    post(f"{control}/distance?site=far&milliseconds=50")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(f"{control}/fault?site=far&fault=explode")


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
