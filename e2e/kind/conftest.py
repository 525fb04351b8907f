"""Two kind clusters with the image on them, and the steps of docs/install.md."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from e2e.kind.steps import Installation
from e2e.lab.lab import Lab
from e2e.lab.paths import REPOSITORY
from e2e.lab.providers.base import SiteSpec
from e2e.lab.providers.kind import KindProvider


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test: `WATTSHIFT_IMAGE`, else `make image` (its settings hold here too)."""
    if reason := KindProvider().unavailable_reason():
        pytest.skip(f"kind not available: {reason}")
    if given := os.environ.get("WATTSHIFT_IMAGE"):
        return given
    name = "wattshift:kind-test"
    done = subprocess.run(
        ["make", "--no-print-directory", "image"],
        cwd=REPOSITORY,
        env={**os.environ, "IMAGE": name},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        # NB: without a registry the base cannot be had; everything else is a fault of ours.
        if any(word in done.stderr for word in ("pull access denied", "dial tcp", "no such host")):
            pytest.skip(f"kind not available: the base image cannot be pulled ({said})")
        pytest.fail(f"make image failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return name


@pytest.fixture(scope="session")
def installation(image: str) -> Iterator[Installation]:
    """Hub and one member, both with the chart; three sites' worth of objects are not needed here."""
    with Lab([SiteSpec("hub"), SiteSpec("west")], provider=KindProvider()) as lab:
        yield Installation(lab, image)
