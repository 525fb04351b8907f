"""Kubeconfigs of Secrets: each bad one is refused for its own fault, and nothing of it is repeated."""

from __future__ import annotations

import base64
import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.errors import NeedsHuman
from wattshift.kube.auth import Access
from wattshift.kube.kubeconfig import hub_access, load_hub_files, parse_secret_kubeconfig

SECRET = "s3cr3t-t0ken-value"
ALLOWED = ("api.example", "10.0.0.1:6443")
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nsecretkeybytes\n").decode()


def good(server: str = "https://api.example:6443") -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": server, "certificate-authority-data": PEM}}
        ],
        "users": [{"name": "u", "user": {"token": SECRET}}],
    }


def parse(document: dict | bytes, allowed: tuple[str, ...] = ALLOWED) -> Access:
    data = document if isinstance(document, bytes) else yaml.safe_dump(document).encode()
    return parse_secret_kubeconfig(data, allowed=allowed)


def cluster(**fields):
    def change(document):
        document["clusters"][0]["cluster"].update(fields)

    return change


def user(*, drop_token: bool = False, **fields):
    def change(document):
        if drop_token:
            del document["users"][0]["user"]["token"]
        document["users"][0]["user"].update(fields)

    return change


def top(**fields):
    return lambda document: document.update(fields)


BAD = {
    "exec": (user(exec={"command": "/bin/sh", "args": [SECRET]}), "exec"),
    "auth-provider": (user(**{"auth-provider": {"name": "gcp"}}), "auth-provider"),
    "token file": (user(tokenFile="/etc/passwd"), "tokenFile"),
    "client certificate file": (
        user(**{"client-certificate": "/etc/x"}),
        "client-certificate-data",
    ),
    "client key file": (user(**{"client-key": "/etc/x"}), "client-key-data"),
    "authority file": (
        cluster(**{"certificate-authority": "/etc/x"}),
        "certificate-authority-data",
    ),
    "basic user": (user(username="admin"), "basic authentication"),
    "basic password": (user(password=SECRET), "basic authentication"),
    "skipped verification": (
        cluster(**{"insecure-skip-tls-verify": True}),
        "insecure-skip-tls-verify",
    ),
    "skipped verification as text": (
        cluster(**{"insecure-skip-tls-verify": "yes"}),
        "insecure-skip-tls-verify",
    ),
    "proxy": (cluster(**{"proxy-url": "http://thief.example"}), "proxy-url"),
    "impersonation": (user(**{"as": "system:admin"}), "has as"),
    "impersonated extra": (user(**{"as-user-extra": {"a": ["b"]}}), "as-user-extra"),
    "unknown field of the user": (user(**{"future-thing": SECRET}), "unknown field"),
    "unknown field of the cluster": (cluster(**{"future-thing": SECRET}), "unknown field"),
    "plain http": (cluster(server="http://api.example:6443"), "https"),
    "host that is not allowed": (cluster(server="https://thief.example"), "allowed-hosts"),
    "allowed host at another port": (cluster(server="https://10.0.0.1:443"), "allowed-hosts"),
    "host with an allowed prefix": (
        cluster(server="https://api.example.thief.io"),
        "allowed-hosts",
    ),
    "allowed host as user part": (
        cluster(server="https://api.example@thief.io"),
        "user or password",
    ),
    "password in the URL": (cluster(server=f"https://u:{SECRET}@api.example"), "user or password"),
    "query in the URL": (cluster(server="https://api.example/?x=1"), "query"),
    "port that is none": (cluster(server="https://api.example:99999"), "not a valid URL"),
    "no host": (cluster(server="https:///path"), "not a valid URL"),
    "file URL": (cluster(server="file:///etc/passwd"), "not a valid URL"),
    "server that is a list": (cluster(server=["https://api.example"]), "not a valid URL"),
    "no server": (cluster(server=None), "not a valid URL"),
    "authority that is not base64": (cluster(**{"certificate-authority-data": "%%%"}), "base64"),
    "certificate without key": (user(**{"client-certificate-data": PEM}), "together"),
    "key without certificate": (user(**{"client-key-data": PEM}), "together"),
    "no credential": (user(drop_token=True), "neither token"),
    "token with a line break": (user(token=f"{SECRET}\r\nX-Evil: 1"), "token"),
    "token that is a mapping": (user(token={"a": SECRET}), "token"),
    "no current context": (top(**{"current-context": ""}), "current-context"),
    "current context that is not there": (top(**{"current-context": SECRET}), "contexts"),
    "contexts that are a mapping": (top(contexts={"it": {}}), "contexts"),
    "no users": (top(users=None), "users"),
    "two users of one name": (
        lambda d: d["users"].append(copy.deepcopy(d["users"][0])),
        "exactly one",
    ),
    "user that is text": (top(users=[{"name": "u", "user": SECRET}]), "mapping"),
    "a list": (b"- a\n- b\n", "mapping"),
    "empty": (b"", "mapping"),
    "not YAML": (f"token: {SECRET}\n  bad: [".encode(), "YAML"),
    "a Python object": (b"!!python/object/apply:os.system ['id']", "YAML"),
    "binary": (b"\x00\xff\xfe" + SECRET.encode(), "YAML"),
    "too large": (b"a: " + b"x" * 300_000, "larger"),
    "too deep": (b"[" * 100_000, "YAML"),
}


FIRST_INVALID = list(BAD).index("query in the URL")
"""What comes before would do what must not be done; from here on it only cannot be used."""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_kubeconfig_is_refused_for_its_own_fault(name):
    fault, expected = BAD[name]
    document = fault if isinstance(fault, bytes) else good()
    if not isinstance(fault, bytes):
        fault(document)
    with pytest.raises(NeedsHuman) as caught:
        parse(document)
    invalid = list(BAD).index(name) >= FIRST_INVALID
    assert caught.value.reason == ("KubeConfigInvalid" if invalid else "InsecureKubeConfig")
    assert expected in caught.value.message
    error: BaseException | None = caught.value
    while error is not None:  # also what a traceback would print
        shown = f"{error} {error!r}"
        assert SECRET not in shown and "secretkeybytes" not in shown and PEM not in shown
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_good_kubeconfig_is_accepted_and_keeps_its_secret():
    access = parse(good())
    assert access.server == "https://api.example:6443" and access.token_text == SECRET
    assert access.namespace == "n" and access.ca_pem.startswith(b"-----BEGIN")
    assert SECRET not in repr(access) and "secretkeybytes" not in repr(access)


def test_json_is_yaml_too_and_unused_entries_are_not_judged():
    document = good()
    document["users"].append({"name": "other", "user": {"exec": {"command": "x"}}})
    assert parse(document).token_text == SECRET


def test_fields_that_say_nothing_are_accepted():
    document = good()
    cluster(**{"insecure-skip-tls-verify": False, "proxy-url": ""})(document)
    user(tokenFile="", exec=None)(document)
    assert parse(document)


def test_client_certificates_are_accepted_instead_of_a_token():
    document = good()
    user(drop_token=True, **{"client-certificate-data": PEM, "client-key-data": PEM})(document)
    access = parse(document)
    assert access.token_text == "" and access.cert_pem and access.key_pem


def test_the_name_to_verify_may_be_given():
    document = good("https://10.0.0.1:6443")
    cluster(**{"tls-server-name": "kubernetes.default"})(document)
    assert parse(document).tls_server_name == "kubernetes.default"


@settings(max_examples=150)
@given(st.binary(max_size=400))
def test_no_bytes_end_in_another_error(data):
    try:
        parse(data)
    except NeedsHuman as error:
        assert error.reason in ("KubeConfigInvalid", "InsecureKubeConfig")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.sampled_from(["clusters", "users", "contexts", "current-context"]), JSON)
def test_no_shape_ends_in_another_error(section, value):
    document = good()
    document[section] = value
    try:
        parse(document)
    except NeedsHuman as error:
        assert error.reason in ("KubeConfigInvalid", "InsecureKubeConfig")


# -- the hub's own -----------------------------------------------------------------------


def test_the_hub_reads_files_relative_to_its_kubeconfig(tmp_path):
    document = good("https://127.0.0.1:6443")
    del document["clusters"][0]["cluster"]["certificate-authority-data"]
    cluster(**{"certificate-authority": "ca.crt"})(document)
    user(drop_token=True, tokenFile="token")(document)
    (tmp_path / "ca.crt").write_bytes(b"the authority")
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    access = hub_access({"KUBECONFIG": str(tmp_path / "config")}, home=tmp_path / "none")
    assert access.ca_pem == b"the authority"
    assert access.token(lambda: 0.0).get() == "from-file"


def test_kubeconfigs_of_the_hub_are_merged_and_the_first_wins(tmp_path):
    first, second = good("https://first:1"), good("https://second:2")
    first["users"] = []
    second["current-context"] = "other"
    for name, document in (("a", first), ("b", second)):
        (tmp_path / name).write_text(yaml.safe_dump(document))
    paths = f"{tmp_path}/missing:{tmp_path}/a:{tmp_path}/b"
    access = hub_access({"KUBECONFIG": paths}, home=tmp_path)
    assert access.server == "https://first:1" and access.token_text == SECRET


@pytest.mark.parametrize(
    "change",
    [
        user(exec={"command": "aws"}),
        user(drop_token=True, **{"client-certificate": "none", "client-key": "none"}),
        cluster(**{"insecure-skip-tls-verify": True}),
        top(contexts=[]),
    ],
)
def test_an_unusable_hub_kubeconfig_says_so(tmp_path, change):
    document = good()
    change(document)
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    with pytest.raises(NeedsHuman) as caught:
        load_hub_files([tmp_path / "config"])
    assert caught.value.reason == "KubeConfigInvalid" and SECRET not in str(caught.value)


def test_without_any_kubeconfig_the_message_says_what_to_set(tmp_path):
    with pytest.raises(NeedsHuman, match="KUBECONFIG"):
        hub_access({}, home=tmp_path)
