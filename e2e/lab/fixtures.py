"""pytest fixtures of the lab, loaded by the root conftest.py for tests/ and e2e/ alike.

Servers are started once per run and shared: isolate by `namespace` and by name. A machine that
cannot run them skips with one line, and fails instead when CI=true.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from e2e.lab import binaries
from e2e.lab.client import Access
from e2e.lab.compiler import LabUnavailable
from e2e.lab.control_plane import ControlPlane, Mode, drop_namespace, new_namespace
from e2e.lab.lab import Lab
from e2e.lab.process_node import ProcessNode
from e2e.lab.providers.choose import choose_provider


def unavailable(reason: str) -> NoReturn:
    """Skip with one clear line; a failure when CI=true."""
    text = f"lab not available: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def require_binaries(names: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    """Build what is absent, visibly; skip (fail when CI=true) where that is impossible."""
    if reason := binaries.unavailable_reason(names):
        unavailable(reason)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        binaries.ensure(names)


def _started(request: pytest.FixtureRequest, mode: Mode, *names: str) -> list[ControlPlane]:
    wanted = binaries.FULL_MODE if mode == "full" else binaries.API_MODE
    require_binaries(wanted, request)
    planes = [ControlPlane(name, mode=mode) for name in names]
    for plane in planes:
        request.addfinalizer(plane.stop)
    with ThreadPoolExecutor(len(planes)) as pool:
        return list(pool.map(ControlPlane.start, planes))


@pytest.fixture(scope="session")
def api_server(request: pytest.FixtureRequest) -> ControlPlane:
    """etcd + kube-apiserver with RBAC and audit; no controllers, so pods never run here."""
    return _started(request, "api", "api")[0]


@pytest.fixture(scope="session")
def two_api_servers(request: pytest.FixtureRequest) -> tuple[ControlPlane, ControlPlane]:
    """Two servers in `api` mode, other ones than `api_server`: tests may stop and freeze them.

    Leave both running and thawed.
    """
    first, second = _started(request, "api", "hub", "member")
    return first, second


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> ControlPlane:
    """A whole control plane: controllers, scheduler, kwok (add nodes with `add_kwok_node`)."""
    return _started(request, "full", "full")[0]


@pytest.fixture
def make_namespace(request: pytest.FixtureRequest) -> Callable[[Access], str]:
    """Call it with an Access: a fresh namespace there, deleted after the test."""

    def make(access: Access) -> str:
        name = new_namespace(access)
        request.addfinalizer(lambda: drop_namespace(access, name))
        return name

    return make


@pytest.fixture
def namespace(api_server: ControlPlane) -> Iterator[str]:
    """A fresh namespace on `api_server`."""
    name = new_namespace(api_server.access)
    yield name
    drop_namespace(api_server.access, name)


@pytest.fixture(scope="session")
def process_node(control_plane: ControlPlane) -> ProcessNode:
    """A process node on `control_plane` (8 GPUs): its pods are real processes."""
    node = ProcessNode(control_plane, resources={"nvidia.com/gpu": "8"})
    return node.start()


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """Three sites (hub, west, north) with process nodes, without the chart; see e2e/lab/lab.py.

    The provider is `LAB` or the first that works here. Shared by the run: leave it as found.
    """
    try:
        provider = choose_provider()
    except LabUnavailable as problem:
        unavailable(str(problem))
    if provider.name == "local":
        require_binaries(binaries.LAB_MODE, request)
    running = Lab(provider=provider)
    request.addfinalizer(running.stop)
    return running.start()
