"""Condition types of each kind; positive polarity, except `Conflict`, which exists only while true.

`Ready` does not depend on freshness: `kubectl wait`, Flux and Argo CD gate on it.
"""

from __future__ import annotations

from enum import StrEnum


class PowerSiteCondition(StrEnum):
    """Conditions of a PowerSite."""

    ACCEPTED = "Accepted"
    """The spec and its references among our kinds are valid."""
    READY = "Ready"
    """Accepted, and every cluster answered once; a lost cluster does not flip it."""
    SIGNALS_FRESH = "SignalsFresh"
    """No signal is stale or unknown."""
    CLUSTERS_CONNECTED = "ClustersConnected"
    """Every cluster answers."""
    COOLING_HEALTHY = "CoolingHealthy"
    """No leak, and supply temperatures within the envelope."""
    WITHIN_LIMIT = "WithinLimit"
    """Facility power is at or under the tightest limit."""


class EnergyContractCondition(StrEnum):
    """Conditions of an EnergyContract."""

    ACCEPTED = "Accepted"
    """The spec and its references among our kinds are valid."""
    READY = "Ready"
    """Accepted, and its references were resolved once."""
    IN_FORCE = "InForce"
    """Now lies within its validity."""
    PRICE_KNOWN = "PriceKnown"
    """The marginal price now is known."""
    GREEN_ON_TRACK = "GreenOnTrack"
    """Every obligation can still be met."""
    WITHIN_CAPACITY = "WithinCapacity"
    """Power is at or under contractedWatts at every point."""


class FlexibleWorkloadCondition(StrEnum):
    """Conditions of a FlexibleWorkload."""

    ACCEPTED = "Accepted"
    """The spec and its references among our kinds are valid."""
    READY = "Ready"
    """Accepted, and its targets were resolved once."""
    TARGETS_RESOLVED = "TargetsResolved"
    """The target of every placement was found and opted in."""
    METRICS_FRESH = "MetricsFresh"
    """Engine metrics of every placement with pods are fresh."""
    WITHIN_OBJECTIVE = "WithinObjective"
    """Every latency objective holds."""
    AT_BASELINE = "AtBaseline"
    """Replicas are as they were found; then the finalizer is absent."""
    PROGRESSING = "Progressing"
    """A change is going on."""
    CONFLICT = "Conflict"
    """Somebody else writes the replicas; present only while true."""


CONDITIONS: dict[str, type[StrEnum]] = {
    "PowerSite": PowerSiteCondition,
    "EnergyContract": EnergyContractCondition,
    "FlexibleWorkload": FlexibleWorkloadCondition,
}
