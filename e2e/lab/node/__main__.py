"""Serve one process node until SIGTERM: `python -m e2e.lab.node CONFIG.json`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from e2e.lab.node.agent import Agent
from e2e.lab.node.api import Api
from e2e.lab.node.config import NodeConfig
from e2e.lab.node.logs import serve_logs

LOG_PORT = 10250


async def serve(config: NodeConfig) -> None:
    """Run the node; SIGTERM ends it and with it all its containers."""
    async with Api(config.url, config.ca_file, config.token) as api:
        agent = Agent(api, config)
        server = None
        if config.certificate:
            server = await serve_logs(agent, config.certificate, config.certificate_key, LOG_PORT)
        task = asyncio.ensure_future(agent.run(LOG_PORT))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if server:
            await server.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(NodeConfig.read(Path(sys.argv[1]))))
