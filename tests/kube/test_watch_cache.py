"""Watch and Informer: on a real server, and on a wire that ends, stutters, lies or goes silent."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.kube.cache import Backoff, Informer
from wattshift.kube.resources import CONFIG_MAPS, NAMESPACES

QUICK = Backoff(minimum=0.02, maximum=0.05)


def name_and_version(obj):
    return (obj["metadata"]["name"], obj["metadata"]["resourceVersion"])


class Following:
    """An informer that runs, with the record of its changes."""

    def __init__(self, client, resource=CONFIG_MAPS, project=name_and_version, **options):
        self.changes: list[tuple] = []
        options.setdefault("backoff", QUICK)
        self.informer = Informer(
            client=client,
            resource=resource,
            project=project,
            on_change=lambda key, old, new: self.changes.append((key[1], old, new)),
            **options,
        )

    async def __aenter__(self) -> Informer:
        self.task = asyncio.create_task(self.informer.run())
        return self.informer

    async def __aexit__(self, *_) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def item(name: str, version: int, **extra) -> dict:
    metadata = {"name": name, "namespace": "n", "resourceVersion": str(version)}
    return {"kind": "ConfigMap", "metadata": metadata, **extra}


def listed(version: int, *items: dict) -> dict:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def event(kind: str, obj: dict) -> dict:
    return {"type": kind, "object": obj}


# -- a real server -----------------------------------------------------------------------


@pytest.mark.lab
async def test_it_follows_creation_change_and_deletion(admin, namespace, eventually):
    following = Following(admin, namespace=namespace)
    async with following as informer:
        await asyncio.wait_for(informer.synced.wait(), 20)
        body = {"metadata": {"name": "a"}, "data": {"x": "1"}}
        await admin.create(CONFIG_MAPS, body, namespace=namespace)
        await eventually(lambda: informer.get("a", namespace), "created")
        first = informer.get("a", namespace)
        await admin.merge_patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, namespace=namespace)
        await eventually(lambda: informer.get("a", namespace) != first, "changed")
        await admin.delete(CONFIG_MAPS, "a", namespace=namespace)
        await eventually(lambda: informer.get("a", namespace) is None, "deleted")
    kinds = [(old is None, new is None) for name, old, new in following.changes if name == "a"]
    assert kinds == [(True, False), (False, False), (False, True)]


@pytest.mark.lab
async def test_a_label_selector_sees_objects_come_and_go_by_their_label(
    admin, namespace, eventually
):
    async with Following(admin, namespace=namespace, label_selector="team=a") as informer:
        await admin.create(CONFIG_MAPS, {"metadata": {"name": "m"}}, namespace=namespace)
        label = {"metadata": {"labels": {"team": "a"}}}
        await admin.merge_patch(CONFIG_MAPS, "m", label, namespace=namespace)
        await eventually(lambda: informer.get("m", namespace), "came")
        label["metadata"]["labels"]["team"] = "b"
        await admin.merge_patch(CONFIG_MAPS, "m", label, namespace=namespace)
        await eventually(lambda: informer.get("m", namespace) is None, "went")


@pytest.mark.lab
async def test_a_silent_watch_is_opened_again_and_misses_nothing(
    api_server, connect, namespace, wire, eventually
):
    from wattshift.kube.kubeconfig import load_hub_files

    client = connect(load_hub_files([api_server.kubeconfig]), timings=wire.FAST)
    following = Following(client, namespace=namespace)
    async with following as informer:
        # No bookmark comes within half a second, so the watch counts as silent again and again.
        await eventually(lambda: informer._watch.silent_reconnects >= 2, "reconnected")
        assert informer.failure is None
        await client.create(CONFIG_MAPS, {"metadata": {"name": "late"}}, namespace=namespace)
        await eventually(lambda: informer.get("late", namespace), "seen")
    lists = [c for c in following.changes if c[0] == "late"]
    assert len(lists) == 1


@pytest.mark.lab
async def test_a_kick_opens_the_watch_anew_from_where_it_was(admin, namespace, eventually):
    async with Following(admin, namespace=namespace) as informer:
        await eventually(lambda: informer._watch._reading, "open")
        informer.kick()
        assert informer.failure is not None and informer.failure.reason == "WatchSilent"
        await eventually(lambda: informer.failure is None, "open again")
        await admin.create(CONFIG_MAPS, {"metadata": {"name": "x"}}, namespace=namespace)
        await eventually(lambda: informer.get("x", namespace), "follows")


@pytest.mark.lab
async def test_a_kick_beside_the_end_of_a_silent_watch_is_no_fault(admin, namespace, eventually):
    async with Following(admin, namespace=namespace) as informer:
        await eventually(lambda: informer._watch._reading, "open")
        reading = informer._watch._reading
        assert informer._watch.reconnect()
        while not reading.expired():  # from here until its task runs it can't be moved
            await asyncio.sleep(0)
        assert informer._watch._reading is reading
        informer.kick()
        assert informer.failure is not None and informer.failure.reason == "WatchSilent"
        await eventually(lambda: informer.failure is None, "open again")


@pytest.mark.lab
async def test_cluster_scoped_objects_have_no_namespace_in_their_key(admin, eventually):
    async with Following(admin, NAMESPACES) as informer:
        await eventually(lambda: informer.get("kube-system"), "kube-system")
        assert informer.last_event_age() < 20


# -- a wire that misbehaves --------------------------------------------------------------


@pytest.fixture
def follow(connect, wire):
    def build(server, **options) -> Following:
        return Following(connect(server.access, timings=wire.FAST), **options)

    return build


async def test_410_on_the_watch_lists_again_and_removes_what_went(
    fault_server, follow, wire, eventually
):
    gone = {"kind": "Status", "code": 410, "reason": "Expired"}
    server = await fault_server(
        wire.stream(then="silence"),
        wire.http(200, listed(1, item("a", 1), item("b", 1))),
        wire.http(410, gone),
        wire.http(200, listed(9, item("b", 1))),
    )
    async with follow(server) as informer:
        await eventually(
            lambda: informer.get("a", "n") is None and informer.get("b", "n"), "relist"
        )
    watches = [r for r in server.requests if "watch=true" in r]
    assert "resourceVersion=1&" in watches[0] and "resourceVersion=9&" in watches[1]
    assert all("allowWatchBookmarks=true" in r for r in watches)


async def test_410_as_an_event_inside_the_watch_lists_again(fault_server, follow, wire, eventually):
    gone = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"})
    server = await fault_server(
        wire.stream(then="silence"),
        wire.http(200, listed(1, item("a", 1))),
        wire.stream(gone),
        wire.http(200, listed(5, item("a", 5))),
    )
    async with follow(server) as informer:
        await eventually(lambda: informer.get("a", "n") == ("a", "5"), "relisted")


async def test_bookmarks_move_the_position_without_a_change(fault_server, follow, wire, eventually):
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "42"}})
    server = await fault_server(
        wire.stream(then="silence"),
        wire.http(200, listed(1, item("a", 1))),
        wire.stream(bookmark),
    )
    following = follow(server)
    async with following:
        await eventually(
            lambda: any("resourceVersion=42&" in r for r in server.requests), "resumed"
        )
    assert [c[0] for c in following.changes] == ["a"]


async def test_a_watch_cut_in_mid_event_resumes_after_the_last_whole_one(
    fault_server, follow, wire, eventually
):
    server = await fault_server(
        wire.stream(event("ADDED", item("b", 4)), then="silence"),
        wire.http(200, listed(1)),
        wire.stream(event("ADDED", item("a", 3)), b'{"type": "ADDED", "object": {"meta'),
    )
    async with follow(server) as informer:
        await eventually(lambda: informer.get("b", "n"), "resumed")
        assert informer.get("a", "n")
    assert any("resourceVersion=3&" in r for r in server.requests)


@pytest.mark.parametrize(
    "line",
    [
        b"<html>\n",
        b"[]\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": {}}\n',
        b"[" * 50_000 + b"\n",
    ],
)
async def test_garbage_in_a_watch_is_a_failure_that_heals(
    fault_server, follow, wire, eventually, line
):
    good = wire.stream(event("ADDED", item("a", 3)), then="silence")
    server = await fault_server(good, wire.http(200, listed(1)), wire.stream(line))
    following = follow(server)
    failures = []
    following.informer._on_update = lambda: failures.append(following.informer.failure)
    async with following as informer:
        await eventually(lambda: informer.get("a", "n"), "healed")
        assert informer.failure is None
    assert "GarbledResponse" in [f.reason for f in failures if f]


async def test_silence_before_the_headers_of_a_watch_is_a_time_out(
    fault_server, follow, wire, eventually
):
    server = await fault_server(wire.silence, wire.http(200, listed(1)))
    async with follow(server) as informer:
        await eventually(lambda: informer.failure is not None, "failed")
        assert informer.failure.reason == "Timeout" and informer.synced.is_set()


async def test_a_list_that_is_forbidden_shows_as_failure_and_heals(
    fault_server, follow, wire, eventually
):
    no = wire.http(403, {"reason": "Forbidden"})
    server = await fault_server(wire.stream(then="silence"), no, no, wire.http(200, listed(1)))
    following = follow(server)
    reasons = []
    following.informer._on_update = lambda: reasons.append(following.informer.failure)
    async with following as informer:
        await asyncio.wait_for(informer.synced.wait(), 20)
    assert [f.reason for f in reasons if f] == ["Forbidden", "Forbidden"]


async def test_known_objects_survive_a_server_that_fails(fault_server, follow, wire, eventually):
    server = await fault_server(
        wire.http(503), wire.http(200, listed(1, item("a", 1))), wire.stream()
    )
    async with follow(server) as informer:
        await eventually(lambda: informer.failure is not None, "failing")
        assert informer.get("a", "n") == ("a", "1")
        assert informer.failure.status == 503


async def test_strange_objects_are_skipped_and_do_not_end_the_task(
    fault_server, follow, wire, eventually, caplog
):
    def project(obj):
        return obj["data"]["value"] + 1

    strange = item("odd", 2, data={"value": "secret-value"})
    server = await fault_server(
        wire.stream(event("ADDED", item("b", 3, data={"value": 2})), then="silence"),
        wire.http(200, listed(1, strange, item("a", 1, data={"value": 1}))),
    )
    async with follow(server, project=project) as informer:
        await eventually(lambda: informer.get("b", "n") == 3, "went on")
        assert informer.get("a", "n") == 2 and informer.get("odd", "n") is None
    assert "TypeError" in caplog.text and "secret-value" not in caplog.text


async def test_an_object_that_becomes_strange_counts_as_gone_not_as_its_old_self(
    fault_server, follow, wire, eventually
):
    def project(obj):
        return None if obj.get("data") is None else obj["data"]["value"]

    server = await fault_server(
        wire.stream(event("MODIFIED", item("a", 2)), then="silence"),
        wire.http(200, listed(1, item("a", 1, data={"value": 1}))),
    )
    async with follow(server, project=project) as informer:
        await eventually(lambda: informer.synced.is_set() and not informer.objects, "gone")


async def test_the_same_projection_twice_is_no_change(fault_server, follow, wire, eventually):
    server = await fault_server(
        wire.stream(
            event("MODIFIED", item("a", 2)), event("ADDED", item("end", 3)), then="silence"
        ),
        wire.http(200, listed(1, item("a", 1))),
    )
    following = follow(server, project=lambda obj: obj["metadata"]["name"])
    async with following as informer:
        await eventually(lambda: informer.get("end", "n"), "end")
    assert [c[0] for c in following.changes] == ["a", "end"]


async def test_retry_after_of_a_starting_server_is_waited_for(
    fault_server, connect, wire, eventually
):
    waits = []

    class Recorder(random.Random):
        def uniform(self, a, b):
            return 1.0

    busy = wire.http(429, {"reason": "TooManyRequests"}, headers={"Retry-After": "30"})
    server = await fault_server(busy)
    client = connect(server.access, timings=wire.FAST)
    informer = Informer(
        client=client, resource=CONFIG_MAPS, project=name_and_version, rng=Recorder(), backoff=QUICK
    )
    informer._on_update = lambda: waits.append(informer.failure)
    task = asyncio.create_task(informer.run())
    await eventually(lambda: waits, "throttled")
    assert waits[0].retry_after_seconds == 30
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@given(st.integers(1, 10_000), st.floats(0.01, 10), st.floats(10, 300), st.integers())
def test_backoff_grows_within_its_bounds(failures, minimum, maximum, seed):
    backoff = Backoff(minimum=minimum, maximum=maximum)
    wait = backoff.wait(failures, random.Random(seed))
    assert 0.8 * minimum <= wait <= maximum
    assert backoff.wait(failures + 50, random.Random(seed)) >= min(wait, 0.8 * maximum)
