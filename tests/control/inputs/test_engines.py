"""Engines of many sites: one that cannot be read keeps nobody else from being read."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import aiohttp
import pytest

from tests.api.documents import full
from wattshift.adapters.latency.engine import PrometheusReader, RefusedReader
from wattshift.adapters.prometheus import PrometheusPool
from wattshift.api.validate import read
from wattshift.control.clock import SystemClock
from wattshift.control.config import Config
from wattshift.control.hub.keys import Kind
from wattshift.control.hub.store import Store
from wattshift.control.inputs.engines import EngineLoop


def site(name: str, url: str) -> dict:
    document = copy.deepcopy(full()["PowerSite"])
    cluster = document["spec"]["clusters"][0]
    cluster["engineMetrics"] = {"type": "Prometheus", "prometheus": {"url": url}}
    document["spec"]["clusters"] = [cluster]
    document["metadata"] = {
        "name": name,
        "uid": name,
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return document


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://[::1", "https://p.example/?a=b"])
async def test_a_site_with_a_forbidden_server_leaves_the_others_their_readers(url, caplog):
    store, clock = Store(read=read), SystemClock()
    for document in (site("bad", url), site("good", "https://prom.example/")):
        store.put(Kind.POWER_SITE, document)
    pool = PrometheusPool(wall_clock=clock.monotonic)
    async with aiohttp.ClientSession() as session:
        loop = EngineLoop(
            runtime=SimpleNamespace(config=Config(), store=store, clock=clock),
            world=SimpleNamespace(),
            session=session,
            prometheus=pool,
            credentials=lambda *_: "",
        )
        readers = loop._reader_of_members()
        again = loop._reader_of_members()
    pool.close()
    (bad,) = (row for name, row in readers.items() if name.startswith("bad"))
    (good,) = (row for name, row in readers.items() if name.startswith("good"))
    assert isinstance(bad, RefusedReader)
    assert isinstance(good, PrometheusReader)
    assert again == readers
    assert caplog.text.count("are not read") == 1
    assert "bad" in caplog.text
