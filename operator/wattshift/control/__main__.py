"""`python -m wattshift.control [--config FILE]`: run the operator."""

from __future__ import annotations

import argparse
import asyncio
import sys

from wattshift.control import config as configuration
from wattshift.control.app import App
from wattshift.control.clock import SystemClock
from wattshift.control.loops import build
from wattshift.errors import WattshiftError
from wattshift.obs import logs


def main(arguments: list[str] | None = None) -> int:
    """Read the settings and run until stopped; 2 = the settings are wrong."""
    parser = argparse.ArgumentParser(prog="wattshift-controller", description=__doc__)
    parser.add_argument("--config", default="", help="settings file (docs/configuration.md)")
    options = parser.parse_args(arguments)
    try:
        config = configuration.load(options.config)
    except WattshiftError as error:
        sys.stderr.write(f"{error.reason}: {error.message}\n")
        return 2
    logs.configure(level=config.log.level, form=config.log.format)
    clock = SystemClock(config.clock_replay())
    return asyncio.run(_run(config, clock))


async def _run(config: configuration.Config, clock: SystemClock) -> int:
    return await App(config=config, clock=clock, parts=build).run()


if __name__ == "__main__":
    sys.exit(main())
