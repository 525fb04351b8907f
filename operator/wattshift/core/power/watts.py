"""Formulas: watts of a replica and of a facility, and which replica counts mean what.

Sources: serving.md 4 (active floor plus slope per token), contract.md 1 (the facility is affine).
Neighbour: `core/power/power.py`, which sums them up and lets the meter win.
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.core.freshness import value_of
from wattshift.core.model import PlacementState, SiteState
from wattshift.core.power.power_profile import PowerProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityTerms:
    """Facility watts = fixed_watts + marginal x IT watts, at the present temperature."""

    fixed_watts: float
    marginal: float
    worst: bool = False
    """Temperature unknown: the most expensive point of the curve."""


def facility_terms(site: SiteState, now: float) -> FacilityTerms:
    """Interpolate the site's affine curve at the outdoor temperature, clamped at both ends.

    Unknown temperature: the point with the highest marginal factor. No curve: facility equals IT.
    """
    points = site.facility
    if not points:
        return FacilityTerms(fixed_watts=0.0, marginal=1.0)
    celsius = value_of(site.outdoor_temperature, now)
    if len(points) == 1:
        return FacilityTerms(
            fixed_watts=float(points[0].fixed_watts), marginal=points[0].marginal_permille / 1000
        )
    if celsius is None:
        worst = max(points, key=lambda point: (point.marginal_permille, point.fixed_watts))
        return FacilityTerms(
            fixed_watts=float(worst.fixed_watts),
            marginal=worst.marginal_permille / 1000,
            worst=True,
        )
    wanted = celsius * 1000
    low = points[0]
    for high in points:
        if wanted <= high.temperature_millicelsius:
            break
        low = high
    else:
        high = low
    span = high.temperature_millicelsius - low.temperature_millicelsius
    part = (wanted - low.temperature_millicelsius) / span if span > 0 else 0.0
    return FacilityTerms(
        fixed_watts=low.fixed_watts + part * (high.fixed_watts - low.fixed_watts),
        marginal=(low.marginal_permille + part * (high.marginal_permille - low.marginal_permille))
        / 1000,
    )


def replica_watts(
    profile: PowerProfile,
    concurrency: float | None,
    output_tokens_per_second: float | None = None,
    prompt_tokens_per_second: float | None = None,
    *,
    duty: float | None = None,
) -> float | None:
    """IT watts of one replica that decodes `concurrency` sequences on average; None = no profile.

    `loaded_idle + duty x (floor - loaded_idle) + a x output tok/s + b x prompt tok/s` (serving.md
    4), where `duty`, the share of time with a sequence in decode, is at most one sequence's worth of
    concurrency where the engine does not say it. Without token rates the dynamic part runs linearly from the active floor to
    `busy_watts` at `max_concurrency_at_objective`. Concurrency unknown: busy.
    """
    idle, floor, busy = profile.loaded_idle_watts, profile.floor_watts, profile.busy_watts
    if idle is None or floor is None or busy is None:
        return None
    if concurrency is None:
        return float(busy)
    decoding = concurrency if duty is None else duty
    watts = idle + min(1.0, max(0.0, decoding)) * (floor - idle)
    slope = profile.watts_per_output_token_per_second
    if output_tokens_per_second is None or slope is None:
        share = min(1.0, max(0.0, concurrency) / max(1, profile.max_concurrency_at_objective))
        return watts + share * (busy - floor)
    watts += slope * output_tokens_per_second
    if prompt_tokens_per_second is not None:
        watts += (profile.watts_per_prompt_token_per_second or 0.0) * prompt_tokens_per_second
    return watts


def commanded_replicas(placement: PlacementState) -> int | None:
    """Replicas that were asked for: our recorded wish, else what the target says; None = unknown."""
    if placement.rival or placement.wish_lapsed or placement.desired_replicas is None:
        return placement.observed_replicas
    return placement.desired_replicas


def running_replicas(placement: PlacementState) -> int | None:
    """Replicas that draw serving power now; those that still start are counted when ready."""
    if placement.ready_replicas is not None:
        return placement.ready_replicas
    return placement.observed_replicas


def connection_of(site: SiteState, cluster_name: str) -> str:
    """Name of the connection that feeds a member; the site's first where the member names none."""
    for member in site.members:
        if member.name == cluster_name and member.connection_name:
            return member.connection_name
    return site.connections[0].name if site.connections else ""
