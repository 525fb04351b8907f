"""The alerts in a real Prometheus: every rule loads and evaluates; nobody leading is noticed."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import yaml

from e2e.lab.binaries import unavailable_reason
from e2e.lab.telemetry.prometheus import Prometheus

from .conftest import Rendered, values_of

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        unavailable_reason(["prometheus"]) is not None, reason="no prometheus binary"
    ),
]


class WithRules(Prometheus):
    """One that evaluates the chart's rules every second."""

    def config(self):
        spec = Rendered(values_of("full")).one("PrometheusRule")["spec"]
        path = self._workdir / "rules.yml"
        path.write_text(yaml.safe_dump(spec))
        more = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(path)]}
        return {**super().config(), **more}


async def rules(prometheus: Prometheus) -> list[dict]:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{prometheus.url}/api/v1/rules") as reply,
    ):
        groups = (await reply.json())["data"]["groups"]
    return [row for group in groups for row in group["rules"]]


async def test_every_alert_loads_evaluates_and_the_absent_leader_is_seen(tmp_path):
    prometheus = WithRules([], workdir=tmp_path)
    await prometheus.start()
    try:
        async with asyncio.timeout(60):
            while True:
                found = await rules(prometheus)
                if all(row["health"] != "unknown" for row in found):
                    break
                await asyncio.sleep(0.3)
        assert {row["name"]: row["health"] for row in found} == {row["name"]: "ok" for row in found}
        assert len(found) >= 9
        states = {row["name"]: row["state"] for row in found}
        assert states.pop("WattshiftNoLeader") == "pending"
        assert set(states.values()) == {"inactive"}
    finally:
        await prometheus.stop()
