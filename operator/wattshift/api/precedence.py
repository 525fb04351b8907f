"""Who was first, and a site that does not exist: shared by the checks of references."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from wattshift.api.base import Resource
from wattshift.api.findings import Finding, known
from wattshift.api.powersite import PowerSite
from wattshift.api.reasons import ReferenceReason

LATEST = dt.datetime.max.replace(tzinfo=dt.UTC)


def older(other: Resource, than: Resource) -> bool:
    """Whether `other` was made before `than`; names decide between equals."""

    def age(resource: Resource) -> tuple[dt.datetime, str]:
        return resource.metadata.creation_timestamp or LATEST, resource.key

    return age(other) < age(than)


def no_site(name: str, path: str, sites: Mapping[str, PowerSite]) -> Finding:
    """The finding about a site that does not exist."""
    return Finding(
        ReferenceReason.SITE_UNKNOWN,
        path,
        f"PowerSite {name} does not exist: create it or correct the name, {known(sites)}",
    )
