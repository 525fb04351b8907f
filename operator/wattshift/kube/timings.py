"""Patience with member clusters, in seconds; injected so that tests need not wait."""

from __future__ import annotations

from dataclasses import dataclass, field

from wattshift.kube.cache import Backoff
from wattshift.kube.transport import ClientTimings


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTimings:
    """Defaults suit clusters across a wide-area network."""

    probe_interval: float = 5.0
    """Between two reads of kube-system: proves contact, credential and identity."""
    probe_timeout: float = 5.0
    lost_after: float = 15.0
    """Without contact for this long a member is Lost instead of Degraded."""
    probe_backoff: Backoff = field(default_factory=lambda: Backoff(minimum=5.0, maximum=300.0))
    watch_backoff: Backoff = field(default_factory=Backoff)
    recheck: float = 60.0
    """Before asking again for a permission that was missing, or a kind that was not served."""
    writes_at_once: int = 4
    """Per member, by `Pool.acting`."""
    client: ClientTimings = field(default_factory=ClientTimings)
