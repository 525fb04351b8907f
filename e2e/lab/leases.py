"""Loopback ports and addresses that belong to one lab at a time, also across processes.

A lease is a locked file: the kernel frees it when its holder dies, however that happens. Ports come
from below the ephemeral range, so that no outgoing connection takes one between check and use.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
from pathlib import Path

from e2e.lab.paths import lease_root

PORTS = range(20_000, 32_000)
_random = random.SystemRandom()


class Lease:
    """One exclusively held name (`port-20123`, `block-7.19`); `release()` or death gives it back."""

    def __init__(self, name: str) -> None:
        """Raises BlockingIOError when somebody holds it."""
        folder = lease_root()
        folder.mkdir(parents=True, exist_ok=True)
        self.path: Path = folder / name
        self._handle = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise

    def release(self) -> None:
        """Give it back; the file stays (removing it would race with the next holder)."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class PortLease(Lease):
    """A free TCP port on 127.0.0.1 that no other lab will choose."""

    def __init__(self) -> None:
        for _ in range(500):
            self.port = _random.choice(PORTS)
            if not _bindable("127.0.0.1", self.port):
                continue
            try:
                super().__init__(f"port-{self.port}")
            except BlockingIOError:
                continue
            return
        raise OSError(errno.EADDRINUSE, "no free loopback port between 20000 and 32000")


class AddressBlock(Lease):
    """A /24 inside 127.0.0.0/8 for the pods of one cluster: 127.a.b.1 to 127.a.b.254."""

    def __init__(self) -> None:
        for _ in range(500):
            high, low = _random.randint(16, 250), _random.randint(0, 255)
            self.prefix = f"127.{high}.{low}"
            if not _bindable(f"{self.prefix}.1", 0):
                continue
            try:
                super().__init__(f"block-{high}.{low}")
            except BlockingIOError:
                continue
            return
        raise OSError(errno.EADDRNOTAVAIL, "no free block in 127.0.0.0/8")


def free_port() -> int:
    """A port for short-lived test servers that can retry; long-lived ones take a PortLease."""
    lease = PortLease()
    lease.release()
    return lease.port


def _bindable(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
