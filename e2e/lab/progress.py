"""Says what takes long, while it takes long: one rewritten line on a terminal, else plain lines."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

PLAIN_INTERVAL_SECONDS = 20.0
TERMINAL_INTERVAL_SECONDS = 0.5


def say(text: str, *, stream: TextIO | None = None) -> None:
    """Print one line to stderr at once."""
    out = stream or sys.stderr
    out.write(f"lab: {text}\n")
    out.flush()


def clock_text(seconds: float) -> str:
    """`83.4` -> `1m23s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


@contextmanager
def ticking(text: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Show `text` with the elapsed time until the block ends; the last line has the total."""
    out = stream or sys.stderr
    terminal = out.isatty()
    started = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        interval = TERMINAL_INTERVAL_SECONDS if terminal else PLAIN_INTERVAL_SECONDS
        while not done.wait(interval):
            elapsed = clock_text(time.monotonic() - started)
            if terminal:
                out.write(f"\r\x1b[Klab: {text} ... {elapsed}")
                out.flush()
            else:
                say(f"{text} ... {elapsed}", stream=out)

    if not terminal:
        say(f"{text} ...", stream=out)
    thread = threading.Thread(target=tick, name="lab-progress", daemon=True)
    thread.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        done.set()
        thread.join()
        if terminal:
            out.write("\r\x1b[K")
        say(f"{text}: {outcome} {clock_text(time.monotonic() - started)}", stream=out)
