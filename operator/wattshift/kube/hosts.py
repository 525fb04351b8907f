"""The allowed-hosts rule of credential Secrets (`api.md` 1): which host may receive which secret.

Without it, whoever may edit a PowerSite could post any credential to a host of his own. Exact names
only, no wildcards: a wildcard outlives the reason why it was written. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CREDENTIAL_LABEL = "wattshift.io/credential"
ALLOWED_HOSTS_ANNOTATION = "wattshift.io/allowed-hosts"
_SEPARATORS = re.compile(r"[,\s]+")


def allowed_hosts(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Hosts named by the annotation, lower-case; commas, blanks and newlines separate."""
    text = str((metadata.get("annotations") or {}).get(ALLOWED_HOSTS_ANNOTATION) or "")
    return tuple(h.lower() for h in _SEPARATORS.split(text) if h)


def has_credential_label(metadata: Mapping[str, Any]) -> bool:
    """Whether the Secret is offered to us at all; the label's value does not matter."""
    return CREDENTIAL_LABEL in (metadata.get("labels") or {})


def split_host(host: str) -> tuple[str, int | None]:
    """Split `name`, `name:port`, `[v6]` or `[v6]:port`; lower-case, without a final dot.

    Raises:
        ValueError: the port is not a number of 1..65535.
    """
    text = host.strip().lower()
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port_text = rest.removeprefix(":")
    elif text.count(":") == 1:
        name, _, port_text = text.partition(":")
    else:
        name, port_text = text, ""
    if not port_text:
        return name.rstrip("."), None
    port = int(port_text)
    if not 0 < port < 65536:
        raise ValueError("port out of range")
    return name.rstrip("."), port


def host_allowed(host: str, allowed: tuple[str, ...], *, default_port: int = 443) -> bool:
    """Whether `host` is on the list; an entry without a port allows every port of that host."""
    try:
        name, port = split_host(host)
    except ValueError:
        return False
    if not name:
        return False
    for entry in allowed:
        try:
            entry_name, entry_port = split_host(entry)
        except ValueError:
            continue
        if name == entry_name and entry_port in (None, port or default_port):
            return True
    return False
