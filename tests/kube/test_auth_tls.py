"""Tokens that change, the pod's own service account, and SSL contexts made of bytes."""

from __future__ import annotations

import ssl
import subprocess

import pytest

from wattshift.errors import NeedsHuman
from wattshift.kube.auth import TOKEN_REREAD_SECONDS, Access, Token, in_cluster
from wattshift.kube.tls import client_context


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_fixed_token_stays(clock):
    token = Token(value="t", clock=clock)
    clock.now += 1e6
    token.refresh()
    assert token.get() == "t"


def test_a_token_file_is_read_again_each_minute(tmp_path, clock):
    path = tmp_path / "token"
    path.write_text("one\n")
    token = Token(path=path, clock=clock)
    assert token.get() == "one"
    path.write_text("two\n")
    clock.now += TOKEN_REREAD_SECONDS - 1
    assert token.get() == "one"
    clock.now += 1
    assert token.get() == "two"


def test_a_token_file_is_read_at_once_after_a_401(tmp_path, clock):
    path = tmp_path / "token"
    path.write_text("one")
    token = Token(path=path, clock=clock)
    token.get()
    path.write_text("two")
    token.refresh()
    assert token.get() == "two"


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_a_token_file_that_vanishes_or_is_empty_leaves_the_old_one(tmp_path, clock, content):
    path = tmp_path / "token"
    path.write_text("one")
    token = Token(path=path, clock=clock)
    token.get()
    path.unlink() if content is None else path.write_text(content)
    clock.now += 3 * TOKEN_REREAD_SECONDS
    assert token.get() == "one"
    path.write_text("two")
    assert token.get() == "two"  # it looks again at once


def test_a_token_file_that_was_never_readable_needs_a_human(tmp_path, clock):
    with pytest.raises(NeedsHuman) as caught:
        Token(path=tmp_path / "none", clock=clock).get()
    assert caught.value.reason == "TokenUnreadable" and str(tmp_path) in caught.value.message


def test_nothing_is_shown_of_a_token_or_of_access():
    access = Access(server="https://x", token_text="hide", ca_pem=b"hide", key_pem=b"hide")
    assert "hide" not in repr(access) + repr(Token(value="hide")) + str(Token(value="hide"))


def mount(folder):
    for name, text in (("ca.crt", "ca"), ("namespace", "wattshift\n"), ("token", "tok")):
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("host", "server"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
)
def test_in_a_pod_the_service_account_is_used(tmp_path, clock, host, server):
    mount(tmp_path)
    env = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    access = in_cluster(env, folder=tmp_path)
    assert (access.server, access.namespace) == (server, "wattshift")
    assert access.token(clock).get() == "tok"


def test_outside_a_pod_there_is_no_service_account(tmp_path):
    assert in_cluster({}, folder=tmp_path) is None


def test_an_incomplete_mount_says_what_to_set(tmp_path):
    env = {"KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1"}
    with pytest.raises(NeedsHuman, match="automountServiceAccountToken"):
        in_cluster(env, folder=tmp_path)


def test_contexts_verify_always(self_signed):
    for ca_pem in (None, self_signed[0].read_bytes()):
        context = client_context(ca_pem=ca_pem)
        assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_only_the_given_authority_is_trusted(self_signed):
    context = client_context(ca_pem=self_signed[0].read_bytes())
    assert len(context.get_ca_certs()) == 1


def test_a_client_certificate_is_loaded_without_leaving_a_file(self_signed, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cert, key = (p.read_bytes() for p in self_signed)
    assert client_context(ca_pem=cert, cert_pem=cert, key_pem=key)
    monkeypatch.delattr("os.memfd_create", raising=False)
    assert client_context(ca_pem=cert, cert_pem=cert, key_pem=key)
    assert list(tmp_path.iterdir()) == []


def test_an_encrypted_key_is_refused_instead_of_asking_the_terminal(self_signed, tmp_path):
    cert, key = self_signed
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(NeedsHuman) as caught:
        client_context(ca_pem=None, cert_pem=cert.read_bytes(), key_pem=locked.read_bytes())
    assert caught.value.reason == "CertificateInvalid"


@pytest.mark.parametrize("ca_pem", [b"", b"nonsense", b"\xff\xfe"])
def test_bytes_that_are_no_authority_need_a_human(ca_pem):
    with pytest.raises(NeedsHuman) as caught:
        client_context(ca_pem=ca_pem)
    assert caught.value.reason == "CertificateInvalid"


def test_key_and_certificate_must_belong_together(self_signed, expired_tls):
    with pytest.raises(NeedsHuman):
        client_context(
            ca_pem=None, cert_pem=self_signed[0].read_bytes(), key_pem=expired_tls[1].read_bytes()
        )
