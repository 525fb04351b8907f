"""Parts of the process node that need no cluster: references, paths, images, probes, quantities."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from e2e.lab.keys import signed_token, write_signing_key
from e2e.lab.leases import free_port
from e2e.lab.node.config import ImageCommand, NodeConfig, standard_images
from e2e.lab.node.environment import expand, replace_paths
from e2e.lab.node.fields import field_value, quantity, resource_value
from e2e.lab.node.probes import ask, port_number
from e2e.lab.node.volumes import Volumes
from e2e.lab.paths import REPOSITORY

POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "1", "c": "2"}},
    "spec": {
        "nodeName": "node",
        "containers": [{"name": "c", "resources": {"limits": {"memory": "1Gi"}}}],
    },
    "status": {"podIP": "127.1.2.3"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)", "1"), ("x$(A)y", "x1y"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A", "$A"),
        ("$(A)$(A)", "11"), ("$$$(A)", "$1"),
    ],
)  # fmt: skip
def test_references_expand_as_kubernetes_documents(text, value):
    assert expand(text, {"A": "1"}) == value


@given(st.text(alphabet="abc/$ {}", max_size=30).filter(lambda t: "$(" not in t and "$$" not in t))
def test_text_without_references_stays_as_it_is(text):
    assert expand(text, {"A": "1"}) == text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"), ("metadata.labels['a/b']", "1"), ("metadata.labels['zz']", ""),
        ("spec.nodeName", "node"), ("status.podIP", "127.1.2.3"), ("status.hostIP", ""),
        ("metadata.labels", 'a/b="1"\nc="2"'),
    ],
)  # fmt: skip
def test_fields_of_the_pod(path, value):
    assert field_value(POD, path) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("2Gi", 2.0**31), ("1.5", 1.5), ("3k", 3000.0), ("1e3", 1000.0)],
)
def test_quantities(text, value):
    assert quantity(text) == value


def test_wrong_quantity_is_refused():
    with pytest.raises(ValueError, match="not a quantity"):
        quantity("2 Gigs")


def test_resource_references_round_up_to_the_divisor():
    reference = {"resource": "limits.memory", "divisor": "1Mi", "containerName": "c"}
    assert resource_value(POD, reference) == "1024"
    assert resource_value(POD, {"resource": "limits.cpu", "containerName": "c"}) == ""
    holder = {"resources": {"requests": {"cpu": "1100m"}}}
    assert resource_value(POD, {"resource": "requests.cpu"}, holder) == "2"


CONTAINER = {
    "volumeMounts": [
        {"name": "etc", "mountPath": "/etc/app"},
        {"name": "sub", "mountPath": "/etc/app/deep", "subPath": "x"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/etc/app", "V/etc"), ("/etc/app/c.yaml", "V/etc/c.yaml"), ("--f=/etc/app/c", "--f=V/etc/c"),
        ("/etc/apple", "/etc/apple"), ("/etc/app/deep/y", "V/sub/x/y"), ("a:/tmp:b", "a:V/tmp:b"),
        ("/var/tmp/x", "/var/tmp/x"), ("no path", "no path"), ("/etc/app/deeper", "V/etc/deeper"),
    ],
)  # fmt: skip
def test_mount_paths_are_replaced_at_path_boundaries(tmp_path, text, value):
    volumes = Volumes(None, POD, tmp_path)
    assert replace_paths(text, CONTAINER, volumes) == value.replace("V/", f"{tmp_path}/")


def test_path_outside_all_mounts_has_no_folder(tmp_path):
    assert Volumes(None, POD, tmp_path).real_path(CONTAINER, "/var/run") is None


def test_product_image_runs_the_installed_command():
    images = standard_images(REPOSITORY, Path("/x/sim"))
    config = NodeConfig(name="n", url="", ca_file="", token="", folder="", prefix="", images=images)
    product = config.image("ghcr.io/wattshift/wattshift:0.1.0")
    words = product.command([], ["operator"])
    assert Path(words[0]).name == "wattshift"
    assert words[1:] == ["operator"]
    assert product.environment["WATTSHIFT_BIND_ADDRESS"] == "$(POD_IP)"
    assert product.command(["python", "-m", "x"], [])[0] == sys.executable
    engine = config.image("docker.io/vllm/vllm-openai:v0.11")
    assert engine.command([], ["--model", "m"])[1:3] == ["-m", "e2e.lab.engine"]
    assert engine.environment["WATTSHIFT_ENGINE_BINARY"] == "/x/sim"
    assert config.image("postgres:17") is None


def test_configuration_survives_its_file(tmp_path):
    image = ImageCommand("x*", ("a",), {"python": ("p", "-u")}, {"K": "v"}, 1.5)
    config = NodeConfig(
        name="n", url="u", ca_file="c", token="t", folder="f", prefix="127.1.1", images=(image,)
    )
    config.write(tmp_path / "c.json")
    assert NodeConfig.read(tmp_path / "c.json") == config
    assert (tmp_path / "c.json").stat().st_mode & 0o077 == 0


def test_ports_by_number_and_by_name():
    container = {"ports": [{"name": "http", "containerPort": 8000}]}
    assert port_number(8080, container) == 8080
    assert port_number("http", container) == 8000
    assert port_number("9000", container) == 9000
    with pytest.raises(ValueError, match="nope"):
        port_number("nope", container)


@pytest.fixture
async def web_server():
    port = free_port()

    async def answer(request):
        return web.Response(status=int(request.match_info["code"]), headers={"Location": "/500"})

    application = web.Application()
    application.router.add_get("/{code}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


@pytest.mark.parametrize(("code", "passed"), [(200, True), (302, True), (404, False), (503, False)])
async def test_http_probe_passes_from_200_to_399_without_following(web_server, code, passed):
    probe = {"httpGet": {"path": f"/{code}", "port": web_server}}
    assert (await ask(probe, {}, "127.0.0.1", None)).passed is passed


async def test_tcp_probe_and_refused_connection(web_server):
    assert (await ask({"tcpSocket": {"port": web_server}}, {}, "127.0.0.1", None)).passed
    verdict = await ask({"httpGet": {"port": free_port()}}, {}, "127.0.0.1", None)
    assert not verdict.passed
    assert "refused" in verdict.message.lower() or "Cannot connect" in verdict.message


async def test_command_probe_reports_its_command(web_server):
    asked = []

    async def run(command, seconds):
        asked.append((command, seconds))
        return False

    probe = {"exec": {"command": ["x"]}, "timeoutSeconds": 4}
    assert not (await ask(probe, {}, "127.0.0.1", run)).passed
    assert asked == [(["x"], 4.0)]


def test_signing_key_has_the_shape_of_an_ec_key_and_tokens_differ_by_nonce(tmp_path):
    key = tmp_path / "k"
    write_signing_key(key)
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_text().startswith("-----BEGIN EC PRIVATE KEY-----")
    first, second = signed_token(key, {"a": 1}), signed_token(key, {"a": 1})
    assert first.split(".")[:2] == second.split(".")[:2]
    assert first != second


def test_every_control_plane_process_listens_on_loopback_only(tmp_path):
    from e2e.lab import control_plane_commands as commands

    lines = [
        commands.etcd("x", tmp_path, "n", 1, 2),
        commands.api_server("x", tmp_path, 3, 1, audit=True),
        commands.controller_manager("x", tmp_path, 4),
        commands.scheduler("x", tmp_path, 5),
        commands.kwok("x", tmp_path, 6),
    ]
    for line in lines:
        text = " ".join(map(str, line))
        assert "0.0.0.0" not in text
        assert "127.0.0.1" in text
    assert "--authorization-mode=RBAC" in lines[1]
    assert "--audit-log-path" not in " ".join(
        map(str, commands.api_server("x", tmp_path, 3, 1, audit=False))
    )
