"""A lab's folder and life line: names it, has it reaped when its owner dies, sweeps dead ones.

The owner holds the folder's lock; whoever finds a folder whose lock is free may end what carries
its mark and remove it. A reaper process does so at once, the next lab does so at the latest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.lab.paths import REPOSITORY, WORK_PREFIX, work_base
from e2e.lab.process import end_marked

LOCK = "owner.lock"


class Workspace:
    """One lab's folder. Made by `create`; `close` ends every process of it and removes it."""

    def __init__(self, folder: Path, lock: int, reaper: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.lab = folder.name
        self._lock = lock
        self._reaper = reaper

    @classmethod
    def create(cls, name: str = "lab") -> Workspace:
        """A new folder with a reaper watching this process; dead labs are swept first."""
        sweep()
        base = work_base()
        base.mkdir(parents=True, exist_ok=True)
        folder, lock = _locked_folder(base, name)
        # The reaper reads a pipe that only this process holds open: end of file means it is gone.
        reaper = subprocess.Popen(
            [sys.executable, "-S", "-m", "e2e.lab.reaper", str(folder)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(folder, lock, reaper)

    def close(self, *, keep_files: bool | None = None) -> None:
        """End all that carries this lab's mark, then remove the folder.

        `keep_files` (default: WATTSHIFT_LAB_KEEP is set) leaves the logs for reading.
        """
        end_marked(self.lab)
        if self._lock < 0:
            return
        keep = bool(os.environ.get("WATTSHIFT_LAB_KEEP")) if keep_files is None else keep_files
        if keep:
            (self.folder / LOCK).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait(30)


def _locked_folder(base: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{WORK_PREFIX}{name[:20]}-", dir=base))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():  # else another lab's sweep came between the two lines above
            return folder, lock
        os.close(lock)


def sweep() -> list[str]:
    """Remove the remains of labs whose owner died without cleaning up; their names."""
    swept = []
    for folder in work_base().glob(f"{WORK_PREFIX}*"):
        if remove_if_dead(folder):
            swept.append(folder.name)
    return swept


def remove_if_dead(folder: Path) -> bool:
    """End the processes of a lab and remove its folder, if nobody holds its lock any more."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False  # being made, being removed, kept on purpose, or somebody else's
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if not (folder / LOCK).exists():
            return False
        end_marked(folder.name)
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        return True
    finally:
        os.close(lock)
