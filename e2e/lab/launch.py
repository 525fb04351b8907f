"""Runs one command in a session of its own that dies with its starter. Standard library only.

Used as `python -I -S launch.py PARENT_PID COMMAND...`: after `prctl` it becomes the command, so the
process id is the command's own. Linux only, as the local lab is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the command; exits 127 when it cannot be run, 0 when the parent is gone already."""
    parent, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
    try:
        os.execvp(command[0], command)
    except OSError as problem:
        print(f"{command[0]}: {problem}", file=sys.stderr, flush=True)
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
