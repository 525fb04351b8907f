"""Which host may receive which secret; Secrets are followed, and never shown."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.errors import NeedsHuman, Transient
from wattshift.kube.hosts import allowed_hosts, host_allowed, split_host
from wattshift.kube.secrets import CredentialStore, project_secret

# -- hosts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "allowed", "expected"),
    [
        ("api.example", "api.example", True),
        ("API.Example.", "api.example", True),
        ("api.example:8443", "api.example", True),
        ("api.example:8443", "api.example:8443", True),
        ("api.example", "api.example:443", True),
        ("api.example:8443", "api.example:443", False),
        ("api.example", "a.example,\n api.example", True),
        ("api.example", "*.example", False),
        ("x.api.example", "api.example", False),
        ("api.example.evil", "api.example", False),
        ("evil", "api.example", False),
        ("[fd00::1]:6443", "[fd00::1]:6443", True),
        ("[fd00::1]:6443", "fd00::1", True),
        ("[fd00::1]:6443", "[fd00::1]:443", False),
        ("10.0.0.1:6443", "10.0.0.1", True),
        ("api.example:0", "api.example", False),
        ("api.example:port", "api.example", False),
        ("api.example", "api.example:port", False),
        ("", "", False),
        ("", "api.example", False),
        (":443", ":443", False),
    ],
)
def test_the_table_of_hosts(host, allowed, expected):
    entries = allowed_hosts({"annotations": {"wattshift.io/allowed-hosts": allowed}})
    assert host_allowed(host, entries) is expected


@pytest.mark.parametrize("metadata", [{}, {"annotations": None}, {"annotations": {}}])
def test_without_the_annotation_no_host_is_allowed(metadata):
    assert allowed_hosts(metadata) == () and not host_allowed("api.example", ())


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=4))
def test_any_text_is_judged_without_an_error(host, entries):
    assert host_allowed(host, tuple(entries)) in (True, False)


@given(
    st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,10}){0,3}", fullmatch=True), st.integers(1, 65535)
)
def test_a_host_is_allowed_by_itself_and_only_at_its_port(name, port):
    assert split_host(f"{name}:{port}") == (name, port)
    assert host_allowed(f"{name}:{port}", (f"{name}:{port}",))
    assert not host_allowed(f"{name}:{port}", (f"{name}:{port % 65535 + 1}",))
    assert not host_allowed(f"x{name}", (name,))


# -- projection --------------------------------------------------------------------------


def secret(name: str, labels=None, hosts: str = "api.example", **data: bytes) -> dict:
    return {
        "metadata": {
            "name": name,
            "labels": {"wattshift.io/credential": ""} if labels is None else labels,
            "annotations": {"wattshift.io/allowed-hosts": hosts},
        },
        "data": {k: base64.b64encode(v).decode() for k, v in data.items()},
    }


def test_a_secret_without_the_label_is_not_kept():
    assert project_secret(secret("a", labels={}, token=b"x")) is None


def test_the_content_is_never_in_the_repr():
    record = project_secret(secret("a", token=b"hide-me"))
    assert record.content["token"] == b"hide-me" and "hide-me" not in repr(record)


def test_a_key_that_is_not_base64_is_left_out():
    body = secret("a", good=b"x")
    body["data"]["bad"] = "%%%"
    assert set(project_secret(body).content) == {"good"}


# -- the store on a real server ----------------------------------------------------------


@asynccontextmanager
async def running(client, namespace):
    store = CredentialStore(client=client, namespace=namespace)
    task = asyncio.create_task(store.run())
    try:
        await asyncio.wait_for(store.synced.wait(), 20)
        yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def put(api_server, namespace, body):
    api_server.access.create(f"/api/v1/namespaces/{namespace}/secrets", body)


@pytest.mark.lab
async def test_a_key_is_given_for_an_allowed_host_only(admin, api_server, namespace):
    put(api_server, namespace, secret("emaps", **{"auth-token": b"value\n"}))
    async with running(admin, namespace) as store:
        assert store.get("emaps", "auth-token", "api.example") == "value"
        with pytest.raises(NeedsHuman) as caught:
            store.get("emaps", "auth-token", "thief.example")
        assert caught.value.reason == "HostNotAllowed" and "value" not in str(caught.value)
        with pytest.raises(NeedsHuman) as caught:
            store.get("emaps", "other", "api.example")
        assert caught.value.reason == "SecretKeyMissing"


@pytest.mark.lab
async def test_unlabelled_and_absent_secrets_are_not_found_alike(admin, api_server, namespace):
    put(api_server, namespace, secret("plain", labels={}, token=b"x"))
    async with running(admin, namespace) as store:
        for name in ("plain", "absent"):
            with pytest.raises(NeedsHuman) as caught:
                store.get(name, "token", "api.example")
            assert caught.value.reason == "SecretNotFound"
            assert "wattshift.io/credential" in caught.value.message


@pytest.mark.lab
async def test_a_key_that_is_not_text_needs_a_human(admin, api_server, namespace):
    put(api_server, namespace, secret("blob", token=b"\xff\xfe"))
    async with running(admin, namespace) as store:
        with pytest.raises(NeedsHuman) as caught:
            store.get("blob", "token", "api.example")
        assert caught.value.reason == "SecretNotText"


@pytest.mark.lab
async def test_changes_are_followed_and_told_by_name(admin, api_server, namespace, eventually):
    told: list[str] = []
    async with running(admin, namespace) as store:
        stop = store.subscribe(told.append)
        put(api_server, namespace, secret("s", token=b"one"))
        await eventually(lambda: "s" in told, "added")
        path = f"/api/v1/namespaces/{namespace}/secrets/s"
        api_server.access.merge(path, {"data": {"token": base64.b64encode(b"two").decode()}})
        await eventually(lambda: store.get("s", "token", "api.example") == "two", "rotated")
        stop()
        count = len(told)
        api_server.access.delete(path)
        await eventually(lambda: _gone(store), "deleted")
        assert len(told) == count


def _gone(store) -> bool:
    try:
        store.secret("s")
    except NeedsHuman:
        return True
    return False


@pytest.mark.lab
async def test_before_the_first_list_nothing_is_judged(admin, namespace):
    store = CredentialStore(client=admin, namespace=namespace)
    with pytest.raises(Transient) as caught:
        store.get("s", "k", "h")
    assert (
        caught.value.reason == "SecretsNotSynced" and repr(store) == f"CredentialStore({namespace})"
    )
