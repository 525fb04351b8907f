"""Finding and building the lab's binaries."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from e2e.lab import binaries, compiler as compilers
from e2e.lab.compiler import LabUnavailable
from e2e.lab.paths import REPOSITORY


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """No binary, and no Docker that could build one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compilers, "docker_go", lambda module: None)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_assets_folder_comes_before_the_cache(empty_cache, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(empty_cache))
    assert binaries.find("etcd") is None
    own = script(empty_cache / "etcd", "exit 0")
    assert binaries.find("etcd") == own
    assert binaries.ensure(["etcd"]) == {"etcd": own}


def test_without_go_the_message_says_what_to_install(empty_cache, monkeypatch):
    monkeypatch.setattr(compilers, "own_go", lambda: None)
    with pytest.raises(LabUnavailable, match="install Go >= 1.26 or Docker \\+ kind"):
        binaries.ensure(["etcd"])
    assert "etcd" in str(binaries.unavailable_reason(["etcd"]))


@pytest.mark.parametrize("version", ["go1.21.3", "go1.25.9"])
def test_old_go_is_refused_by_its_version(empty_cache, monkeypatch, version):
    go = script(empty_cache / "go", f"echo {version}")
    monkeypatch.setattr(compilers, "own_go", lambda: str(go))
    with pytest.raises(LabUnavailable, match=version):
        compilers.compiler("etcd")


def test_without_go_docker_compiles_as_this_user_into_the_same_cache(monkeypatch, tmp_path):
    # Stands for Docker: it must be asked with the cache mounted, without cgo, and as this user.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(compilers, "own_go", lambda: None)
    asked = tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    script(
        tmp_path / "bin/docker",
        f'echo "$@" >> {asked}\n'
        '[ "$1" = version ] && exit 0\n'
        'while [ "$1" != golang:1.26 ]; do shift; done\n'
        '[ "$3" = env ] && echo go1.26.9 && exit 0\n'
        'while [ "$1" != -o ]; do shift; done; printf "#!/bin/sh\\n" > "$2"; chmod +x "$2"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    built = binaries.ensure(["etcd"])["etcd"]
    assert built.is_relative_to(tmp_path / "cache")
    run = asked.read_text().splitlines()[-1]
    cache = compilers.cache_root()
    assert f"--volume {cache}:{cache}" in run
    assert "CGO_ENABLED=0" in run
    assert f"--user {os.getuid()}:{os.getgid()}" in run


def test_an_old_go_gives_way_to_docker(empty_cache, monkeypatch):
    old = script(empty_cache / "go", "echo go1.22.1")
    new = script(empty_cache / "docker", "echo go1.26.9")
    monkeypatch.setattr(compilers, "own_go", lambda: str(old))
    monkeypatch.setattr(compilers, "docker_go", lambda module: [str(new)])
    assert compilers.compiler("etcd") == ([str(new)], "go1.26.9")


def test_failed_build_shows_the_end_of_its_log_and_leaves_no_binary(empty_cache, monkeypatch):
    go = script(
        empty_cache / "go", '[ "$1" = env ] && echo go1.26.8 && exit 0; echo no such thing; exit 1'
    )
    monkeypatch.setattr(compilers, "own_go", lambda: str(go))
    with pytest.raises(LabUnavailable, match="no such thing"):
        binaries.ensure(["etcd"])
    assert binaries.find("etcd") is None


def test_two_processes_build_once(empty_cache, tmp_path):
    count = tmp_path / "count"
    # Stands for the compiler: counts its builds and writes the file that `-o` names.
    (tmp_path / "bin").mkdir()
    script(
        tmp_path / "bin/go",
        '[ "$1" = env ] && echo go1.26.8 && exit 0\n'
        f"echo x >> {count}; sleep 1\n"
        'while [ "$1" != -o ]; do shift; done; printf "#!/bin/sh\\n" > "$2"; chmod +x "$2"',
    )
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "e2e.lab", "binaries", "etcd"],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    output = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert count.read_text() == "x\n"
    assert output[0][0] == output[1][0]
    assert "building etcd (1 of 1, once)" in output[0][1] + output[1][1]


def test_every_binary_names_a_module_with_pinned_sums():
    for binary in binaries.BINARIES.values():
        assert (REPOSITORY / "e2e/lab/modules" / binary.module / "go.sum").stat().st_size > 0


def test_kubernetes_binaries_know_their_version():
    flags = binaries.BINARIES["kube-apiserver"].ldflags
    assert f"gitVersion={binaries.KUBERNETES_VERSION}" in flags
    assert "gitMajor=1 " in flags


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_machine_without_go_skips_and_fails_in_ci(empty_cache, monkeypatch, request, ci, outcome):
    from e2e.lab.fixtures import require_binaries

    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(compilers, "own_go", lambda: None)
    with pytest.raises(outcome, match="lab not available: no binary for etcd"):
        require_binaries(("etcd",), request)
