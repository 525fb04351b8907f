"""Power and capacity of one replica on one kind of accelerator: data, never code.

Loaded by `adapters/power/` from packaged YAML and labelled ConfigMaps; used by `core/power/power.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = 1000
"""Permille of busy watts at which a cap takes nothing."""
CONCAVITY = 0.6
"""Throughput grows with this power of the sequences in published tables: half give 0.65."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerProfile:
    """One (model, arguments, device) with its measured or published terms.

    `P = loaded_idle + duty x (floor - loaded_idle) + a x output tok/s + b x uncached prompt tok/s`
    per replica in watts; `None` watts means that nobody has published them: refuse to plan.
    """

    name: str
    resource_name: str
    """Extended resource, such as `nvidia.com/gpu` or `huawei.com/Ascend910`."""
    devices_per_replica: int
    loaded_idle_watts: int | None
    floor_watts: int | None
    """Active floor: decoding with one sequence."""
    watts_per_output_token_per_second: float | None
    watts_per_prompt_token_per_second: float | None
    busy_watts: int | None
    """At `max_concurrency_at_objective`; the planner's figure for a full replica."""
    output_tokens_per_second_at_objective: float | None
    max_concurrency_at_objective: int
    cold_start_seconds: int
    source: str
    cap_throughput_permille: tuple[tuple[int, int], ...] = ()
    """(power, throughput) as shares of busy under a device power cap, ascending; empty = no caps."""
    output_tokens_per_second_by_concurrency: tuple[tuple[float, float], ...] = ()
    """(sequences in decode, output tokens/s) of one replica, both ascending; empty = nobody measured it."""

    @property
    def has_power(self) -> bool:
        """Whether watts are known, so that the planner may count on them."""
        return None not in (self.loaded_idle_watts, self.floor_watts, self.busy_watts)


def throughput(profile: PowerProfile, permille: int) -> float:
    """Share 0..1 of its throughput that a replica keeps under a cap, between points of its curve."""
    curve = profile.cap_throughput_permille
    if not curve or permille >= WHOLE:
        return 1.0
    low = curve[0]
    for high in curve:
        if permille <= high[0]:
            break
        low = high
    else:
        high = (WHOLE, WHOLE)
    span = high[0] - low[0]
    part = (permille - low[0]) / span if span > 0 else 0.0
    return min(1.0, (low[1] + max(0.0, part) * (high[1] - low[1])) / WHOLE)
