"""The Go compiler: the machine's own, else the one in Docker's `golang` image.

Both build the same pinned modules into the same cache. Neighbour: `binaries.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.lab.paths import MODULES, cache_root

GO_IMAGE = "golang:1.26"
GO_HINT = "install Go >= 1.26 or Docker + kind"
PASSED_ON = (
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOPRIVATE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


class LabUnavailable(RuntimeError):
    """This machine cannot run the local lab; the message says what to install."""


def own_go() -> str | None:
    """The Go tool: on PATH, in this Python environment, or in the usual places."""
    places = (Path(sys.prefix) / "bin/go", Path("/usr/local/go/bin/go"), Path("/usr/lib/go/bin/go"))
    return shutil.which("go") or next((str(p) for p in places if os.access(p, os.X_OK)), None)


def docker_go(module: str) -> list[str] | None:
    """`go` inside a container, as this user, with the cache and the modules mounted; None without Docker.

    Without cgo, so that the programs run whatever C library this machine has.
    """
    docker = shutil.which("docker")
    if docker is None or not _answers([docker, "version"]):
        return None
    cache = cache_root()
    for name in ("go-build", "go-mod"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    command = [docker, "run", "--rm", "--network", "host", "--user", f"{os.getuid()}:{os.getgid()}"]
    command += ["--volume", f"{cache}:{cache}", "--volume", f"{MODULES}:{MODULES}:ro"]
    command += ["--workdir", str(MODULES / module), "--env", "HOME=/tmp", "--env", "CGO_ENABLED=0"]
    command += ["--env", "GOFLAGS=-modcacherw"]  # so that the cache can be removed like any folder
    command += ["--env", f"GOCACHE={cache}/go-build", "--env", f"GOMODCACHE={cache}/go-mod"]
    for name in PASSED_ON:
        if name in os.environ:
            command += ["--env", name]
    return [*command, os.environ.get("GO_IMAGE") or GO_IMAGE, "go"]


def compiler(module: str) -> tuple[list[str], str]:
    """(command, version) of the compiler that builds `modules/<module>`: `(["/usr/bin/go"], "go1.26.8")`.

    Raises LabUnavailable with what was tried and what to install.
    """
    go = own_go()
    tried = []
    for name, command in (("Go", [go] if go else None), ("Docker", docker_go(module))):
        if command is None:
            tried.append(f"no {name}")
            continue
        version = _version(command, module)
        if version.startswith("go") and not _too_old(version):
            return command, version
        tried.append(f"{name} says {version or 'nothing'}, too old or broken")
    raise LabUnavailable(f"no Go compiler found: {', '.join(tried)}; {GO_HINT}")


def _version(command: list[str], module: str) -> str:
    # Inside the module an older Go may fetch the tool chain that go.mod asks for, or say it cannot.
    answer = subprocess.run(
        [*command, "env", "GOVERSION"],
        cwd=MODULES / module,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = answer.stdout.strip()
    return said or " ".join(answer.stderr.strip().splitlines()[-1:])


def _answers(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _too_old(version: str) -> bool:
    digits = version.removeprefix("go").split("-")[0].split(".")
    try:
        return (int(digits[0]), int(digits[1])) < (1, 26)
    except (IndexError, ValueError):
        return False  # a development build names no version; let it try
