"""Reads the operator's `/v1`: a bearer token goes to loopback addresses or over TLS, never else.

Neighbour: `control/serve/api_server.py`, which serves it.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from wattshift.cli.connect import UsageError, hub_access
from wattshift.control.clock import SystemClock
from wattshift.errors import NeedsHuman, Transient

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """`--server` and how to prove who we are."""
    parser.add_argument(
        "--server",
        default=os.environ.get("WATTSHIFT_SERVER", ""),
        metavar="URL",
        help="the operator's /v1, such as http://127.0.0.1:8090 after "
        "`kubectl -n NAMESPACE port-forward deploy/wattshift 8090`; default: $WATTSHIFT_SERVER",
    )
    parser.add_argument(
        "--token-file",
        default="",
        metavar="FILE",
        help="bearer token for --server; default: the token of the kubeconfig",
    )


async def read_view(options: argparse.Namespace, path: str) -> dict[str, Any]:
    """GET `/v1/PATH`.

    Raises:
        UsageError: the URL would send the token in clear text over a network.
        NeedsHuman: no token, or it is refused (401, 403), or there is nothing (404).
        Transient: the server does not answer.
    """
    try:
        url = urlsplit(options.server)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"--server {options.server!r} is not an http or https URL")
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        raise UsageError(
            "--server would send your token in clear text; use `kubectl port-forward` and a"
            " loopback address"
        )
    headers = {"Authorization": f"Bearer {_token(options)}"}
    address = f"{options.server.rstrip('/')}/v1/{path}"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(address, headers=headers, allow_redirects=False) as answer,
        ):
            body = json.loads(await answer.read())
            status = answer.status
    except (aiohttp.ClientError, OSError) as error:
        raise Transient(
            f"{address} does not answer: {type(error).__name__}; is api.enabled set in the chart,"
            " and does the port-forward reach the leader's pod?",
            reason="ServerUnreachable",
        ) from error
    except ValueError as error:
        raise NeedsHuman(f"{address} is not wattshift's /v1", reason="NotOurServer") from error
    if status >= 400 or not isinstance(body, dict):
        fields = body if isinstance(body, dict) else {}
        raise NeedsHuman(
            f"{address}: {fields.get('message', f'status {status}')}",
            reason=str(fields.get("reason") or "ServerRefused"),
        )
    return body


def _token(options: argparse.Namespace) -> str:
    if options.token_file:
        try:
            return Path(options.token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"--token-file: {type(error).__name__}") from None
    token = hub_access(options).token(SystemClock().monotonic).get()
    if not token:
        raise NeedsHuman(
            "your kubeconfig has no token (a client certificate cannot be shown to the operator):"
            " `kubectl create token ACCOUNT --audience wattshift > FILE`, then --token-file FILE",
            reason="NoToken",
        )
    return token
