"""Picks the provider: `LAB=local|kind|existing`, else local, else kind, else a clear message."""

from __future__ import annotations

import os

from e2e.lab.compiler import LabUnavailable
from e2e.lab.providers.base import Provider
from e2e.lab.providers.existing import ExistingProvider
from e2e.lab.providers.kind import KindProvider
from e2e.lab.providers.local import LocalProvider

_ALL: dict[str, type[Provider]] = {
    "local": LocalProvider,
    "kind": KindProvider,
    "existing": ExistingProvider,
}


def choose_provider(name: str | None = None) -> Provider:
    """The provider of that name (default: `LAB`). Raises LabUnavailable with what to install."""
    wanted = name or os.environ.get("LAB")
    if wanted:
        if wanted not in _ALL:
            raise LabUnavailable(f"LAB={wanted}: choose one of {', '.join(_ALL)}")
        provider = _ALL[wanted]()
        if reason := provider.unavailable_reason():
            raise LabUnavailable(f"LAB={wanted}: {reason}")
        return provider
    reasons = []
    for kind in (LocalProvider, KindProvider):
        provider = kind()
        if (reason := provider.unavailable_reason()) is None:
            return provider
        reasons.append(f"{provider.name}: {reason}")
    raise LabUnavailable("; ".join(reasons))
