"""Runs the operator without its loops: what the lab tests of this folder start and kill."""

from __future__ import annotations

import asyncio
import sys

from wattshift.control import config as configuration
from wattshift.control.app import App
from wattshift.control.clock import SystemClock
from wattshift.obs import logs


async def main(path: str) -> int:
    config = configuration.load(path)
    logs.configure(level="info", form="text")
    app = App(config=config, clock=SystemClock(config.clock_replay()), parts=lambda _runtime: ())
    return await app.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
