"""Where the lab keeps things: the cache of binaries and leases, and one work folder per lab."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = Path(__file__).resolve().parent / "modules"
WORK_PREFIX = "wattshift-lab-"


def cache_root() -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/wattshift/lab`: survives a fresh clone, never in the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "wattshift" / "lab"


def work_base() -> Path:
    """Folder that holds every lab's work folder; short, since sockets may live below it."""
    return Path(os.environ.get("WATTSHIFT_LAB_DIR") or tempfile.gettempdir())


def lease_root() -> Path:
    """Lock files of ports and addresses, shared by all labs of this user on this machine."""
    return cache_root() / "leases"
