"""Clusters that the user has: not offered yet, and it says why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from e2e.lab.providers.base import Cluster, NotOffered, Provider, SiteSpec

REASON = (
    "LAB=existing is not offered yet: scenarios install CRDs and cluster roles and scale workloads,"
    " which needs guards before it may touch clusters that others use; take LAB=local or LAB=kind"
)


class ExistingProvider(Provider):
    """Always unavailable."""

    name = "existing"

    def unavailable_reason(self) -> str | None:
        return REASON

    def create(self, sites: Sequence[SiteSpec]) -> list[Cluster]:
        raise NotOffered(REASON)

    def destroy(self) -> None:
        """Nothing was made."""

    @property
    def folder(self) -> Path:
        raise NotOffered(REASON)
