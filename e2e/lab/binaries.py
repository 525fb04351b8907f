"""Finds the lab's binaries, or builds them once from pinned Go modules into a shared cache.

Order for each: an override folder (`KUBEBUILDER_ASSETS`, envtest's layout), the cache, a build.
The cache lies outside the checkout and is keyed by go.mod, go.sum and the Go version, so a fresh
clone starts at once. Never downloads ready-made executables, apart from Debian's own Prometheus.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.compiler import LabUnavailable, compiler
from e2e.lab.paths import MODULES, cache_root
from e2e.lab.progress import clock_text, say, ticking

KUBERNETES_VERSION = "v1.36.3"
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class Binary:
    """One executable: the pinned module under `modules/` and the package to build there."""

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"


def _kubernetes(name: str) -> Binary:
    major, minor = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
    flags = (
        f"-s -w -X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"
        f" -X {_VERSION_PACKAGE}.gitMajor={major} -X {_VERSION_PACKAGE}.gitMinor={minor}"
    )
    return Binary(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", flags)


BINARIES: dict[str, Binary] = {
    binary.name: binary
    for binary in (
        _kubernetes("kube-apiserver"),
        Binary("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Binary(
            "llm-d-inference-sim",
            "engine",
            "github.com/llm-d/llm-d-inference-sim/cmd/llm-d-inference-sim",
        ),
        Binary("prometheus", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
    )
}
API_MODE = ("etcd", "kube-apiserver")
FULL_MODE = (*API_MODE, "kube-controller-manager", "kube-scheduler", "kwok")
ENGINE = "llm-d-inference-sim"
LAB_MODE = (*FULL_MODE, ENGINE)


def find(name: str) -> Path | None:
    """Path of a binary that is there already, without building anything; None when absent."""
    binary = BINARIES[name]
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [Path(assets) / name] if assets else []
    if name == "prometheus" and (installed := shutil.which("prometheus")):
        candidates.append(Path(installed))
    # Any Go version's build will do when it is there: the sources are pinned by go.sum.
    candidates += sorted(cache_root().glob(f"{binary.module}-{_sum(binary.module)}-*/{name}"))
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """Paths of `names`, building what is absent (minutes, once; progress on stderr).

    Raises LabUnavailable when something must be built and there is neither Go >= 1.26 nor Docker.
    """
    wanted = list(dict.fromkeys(names))
    found = {name: path for name in wanted if (path := find(name))}
    missing = [name for name in wanted if name not in found]
    for number, name in enumerate(missing, start=1):
        found[name] = _obtain(BINARIES[name], f"{number} of {len(missing)}")
    return {name: found[name] for name in wanted}


def unavailable_reason(names: Iterable[str]) -> str | None:
    """None when `ensure(names)` can work here, else one line for the user."""
    missing = [name for name in names if find(name) is None]
    if not missing:
        return None
    try:
        compiler(BINARIES[missing[0]].module)
    except LabUnavailable as problem:
        return f"no binary for {', '.join(missing)}: {problem}"
    return None


def _sum(module: str) -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((MODULES / module / name).read_bytes())
    return digest.hexdigest()[:12]


def _obtain(binary: Binary, position: str) -> Path:
    if binary.name == "prometheus" and (path := _from_debian(binary)):
        return path
    command, version = compiler(binary.module)
    folder = cache_root() / f"{binary.module}-{_sum(binary.module)}-{version.split()[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock", binary.name):
        target = folder / binary.name
        if not os.access(target, os.X_OK):
            with ticking(f"building {binary.name} ({position}, once)"):
                _build(binary, target, command)
        return target


def _build(binary: Binary, target: Path, go: list[str]) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    log = target.with_name(f"{target.name}.log")
    command = [*go, "build", "-mod=readonly", "-ldflags"]
    command += [binary.ldflags, "-o", str(partial), binary.package]
    try:
        with log.open("wb") as out:
            done = subprocess.run(
                command,
                cwd=MODULES / binary.module,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise LabUnavailable(f"building {binary.name} failed, log in {log}:\n{tail}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _from_debian(binary: Binary) -> Path | None:
    """Debian's package unpacked beside the cache, not installed: seconds instead of minutes."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None
    folder = cache_root() / f"{binary.module}-{_sum(binary.module)}-debian"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock", binary.name):
        target = folder / binary.name
        if os.access(target, os.X_OK):
            return target
        started = time.monotonic()
        try:
            subprocess.run(
                ["apt-get", "download", "-q", binary.name],
                cwd=folder,
                capture_output=True,
                timeout=120,
                check=True,
            )
            package = next(folder.glob(f"{binary.name}_*.deb"))
            subprocess.run(
                ["dpkg", "-x", package.name, "unpacked"],
                cwd=folder,
                capture_output=True,
                timeout=120,
                check=True,
            )
            package.unlink()
            (folder / "unpacked/usr/bin" / binary.name).replace(target)
        except (OSError, StopIteration, subprocess.SubprocessError) as problem:
            say(f"{binary.name}: no Debian package here ({type(problem).__name__}), building it")
            return None
        say(f"{binary.name}: unpacked from Debian in {clock_text(time.monotonic() - started)}")
        return target


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    """Hold `path`'s lock: two labs that start at once build once; a crash frees it."""
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with ticking(f"waiting for another process that builds {what}"):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
