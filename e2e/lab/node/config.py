"""What a process node is told at its start: a JSON file written by the lab."""

from __future__ import annotations

import fnmatch
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

DEFAULT_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "200", "ephemeral-storage": "100Gi"}


@dataclass(frozen=True, slots=True)
class ImageCommand:
    """How containers of the images that match `pattern` (shell style) run on this machine.

    `entrypoint` stands for the image's own: it is used when the container has no `command`.
    `programs` replaces the first word of a command (by its last path part): `python`, `wattshift`.
    `environment` is the image's ENV. A pull takes `pull_seconds` (0: the image is there).
    """

    pattern: str
    entrypoint: tuple[str, ...]
    programs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pull_seconds: float = 0.0

    def command(self, command: list[str], arguments: list[str]) -> list[str]:
        """The local command line for a container's `command` and `args`."""
        words = [*command, *arguments] if command else [*self.entrypoint, *arguments]
        if not words:
            return []
        replacement = self.programs.get(Path(words[0]).name)
        return [*replacement, *words[1:]] if replacement else words


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything one process node needs; times in seconds."""

    name: str
    url: str
    ca_file: str
    token: str
    folder: str
    prefix: str
    """First three parts of the pods' addresses: `127.20.7`."""
    certificate: str = ""
    certificate_key: str = ""
    images: tuple[ImageCommand, ...] = ()
    capacity: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    lease_seconds: int = 40
    backoff_first: float = 1.0
    backoff_most: float = 30.0
    backoff_reset: float = 60.0

    def image(self, name: str) -> ImageCommand | None:
        """The first entry whose pattern matches the image name; None: it cannot be pulled."""
        return next((i for i in self.images if fnmatch.fnmatchcase(name, i.pattern)), None)

    def write(self, path: Path) -> None:
        """Write as JSON, readable by the owner (it holds a token)."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> NodeConfig:
        """The inverse of `write`."""
        values = json.loads(path.read_text())
        values["images"] = tuple(
            ImageCommand(
                pattern=i["pattern"],
                entrypoint=tuple(i["entrypoint"]),
                programs={name: tuple(words) for name, words in i["programs"].items()},
                environment=i["environment"],
                pull_seconds=i["pull_seconds"],
            )
            for i in values["images"]
        )
        return cls(**values)


def standard_images(repository: Path, simulator: Path | None) -> tuple[ImageCommand, ...]:
    """The product's image, the inference engine (`simulator`) and a Python for small test pods."""
    python: tuple[str, ...] = (sys.executable,)
    scripts = Path(sys.prefix) / "bin"
    programs: dict[str, tuple[str, ...]] = {
        "python": python,
        "python3": python,
        "wattshift": (str(scripts / "wattshift"),),
        "kubectl-wattshift": (str(scripts / "kubectl-wattshift"),),
    }
    here = {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
    engine = (*python, "-m", "e2e.lab.engine")
    serving = here | ({"WATTSHIFT_ENGINE_BINARY": str(simulator)} if simulator else {})
    return (
        ImageCommand("*wattshift/engine*", engine, programs, serving),
        ImageCommand("*llm-d-inference-sim*", engine, programs, serving),
        ImageCommand("*vllm*", engine, programs, serving),
        ImageCommand(
            "*wattshift*",
            (str(scripts / "wattshift"),),
            programs,
            {"PYTHONUNBUFFERED": "1", "WATTSHIFT_BIND_ADDRESS": "$(POD_IP)"},
        ),
        ImageCommand("*python*", python, programs, here),
        ImageCommand("*busybox*", ("/bin/sh",)),
    )
