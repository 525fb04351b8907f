"""Where the credentials of member clusters come from: the hub itself, or a labelled Secret."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SourceType(StrEnum):
    """`spec.clusters[].type` of a PowerSite."""

    LOCAL = "Local"
    KUBECONFIG_SECRET = "KubeconfigSecret"  # noqa: S105 - a type, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSource:
    """How to reach one member cluster, as PowerSites say it."""

    type: SourceType
    secret_name: str = ""
    expected_uid: str = ""
    """kube-system UID recorded in the PowerSite's status; empty if never recorded."""
    extra_kinds: tuple[tuple[str, str], ...] = ()
    """(apiVersion, kind) of targets beyond Deployment, StatefulSet and LeaderWorkerSet."""
