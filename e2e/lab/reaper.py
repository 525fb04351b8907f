"""Waits for its starter to die (end of file on stdin), then ends that lab's processes.

Started by workspace.py in a session of its own; must import nothing beyond the standard library.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from e2e.lab.workspace import LOCK, remove_if_dead


def main(folder: Path) -> None:
    """Block until end of file, then sweep the folder; the lock may be freed a moment later."""
    while os.read(0, 1024):
        pass
    for _ in range(50):
        if not (folder / LOCK).exists() or remove_if_dead(folder):  # gone, or kept on purpose
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
