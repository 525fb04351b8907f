"""Runs shell blocks of the documentation as they stand, so that what is written there works.

A block is marked `<!-- tested: NAME -->`; contexts `hub`, `west` are whatever the test gives.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from e2e.lab.client import Access, kubectl_command
from e2e.lab.paths import REPOSITORY


def steps_of(page: str, name: str) -> str:
    """The shell block of a page of docs/ after the mark of that name. Raises IndexError."""
    text = (REPOSITORY / "docs" / page).read_text()
    return text.split(f"<!-- tested: {name} -->\n```sh\n", 1)[1].split("\n```", 1)[0]


def run_steps(script: str, contexts: Mapping[str, Access], folder: Path) -> str:
    """Run it by bash with `kubectl` and a kubeconfig of these contexts; its output.

    Raises AssertionError with what it said when a command fails.
    """
    merged: dict[str, object] = {"apiVersion": "v1", "kind": "Config"}
    lists: dict[str, list[object]] = {"clusters": [], "users": [], "contexts": []}
    for name, access in contexts.items():
        own = yaml.safe_load(access.kubeconfig.read_text())
        lists["clusters"].append({**own["clusters"][0], "name": name})
        lists["users"].append({**own["users"][0], "name": name})
        lists["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = folder / "contexts.kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump({**merged, **lists}))
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    if not (programs / "kubectl").exists():
        (programs / "kubectl").symlink_to(kubectl_command())
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": f"{programs}:{os.defpath}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
