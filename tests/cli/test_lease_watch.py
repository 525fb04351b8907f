"""When nobody is believed to lead: by the Lease's own duration, seen from here."""

from __future__ import annotations

import pytest

from wattshift.cli.giving_back import LeaseWatch


class Server:
    """Answers with one Lease; counts nothing, decides nothing."""

    def __init__(self, spec: dict) -> None:
        self.spec = spec

    async def get(self, resource, name, *, namespace):
        return {"spec": dict(self.spec)}


@pytest.mark.parametrize(
    ("spec", "alive", "dead"),
    [
        ({"holderIdentity": "a", "leaseDurationSeconds": 15}, 19.9, 20.1),
        ({"holderIdentity": "a", "leaseDurationSeconds": 60}, 79.0, 80.1),
        ({"holderIdentity": "a", "leaseDurationSeconds": 6}, 7.9, 8.1),
        ({"holderIdentity": "", "leaseDurationSeconds": 1}, 4.9, 5.1),
        ({}, 19.9, 20.1),
        ({"holderIdentity": "a", "leaseDurationSeconds": None}, 19.9, 20.1),
    ],
)
async def test_a_lease_is_dead_after_four_thirds_of_its_own_duration(spec, alive, dead):
    now = 100.0
    watch = LeaseWatch(client=Server(spec), namespace="n", name="wattshift", monotonic=lambda: now)
    assert not await watch.look()
    now = 100.0 + alive
    assert not await watch.look()
    now = 100.0 + dead
    assert await watch.look()


async def test_each_renewal_begins_the_wait_anew():
    now = 0.0
    server = Server({"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "1"})
    watch = LeaseWatch(client=server, namespace="n", name="wattshift", monotonic=lambda: now)
    await watch.look()
    now, server.spec["renewTime"] = 19.0, "2"
    assert not await watch.look()
    now = 38.0
    assert not await watch.look()
    now = 39.5
    assert await watch.look()
