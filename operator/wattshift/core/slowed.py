"""Load as it would be without device power caps: slower tokens keep more sequences in flight.

Else what a cap does looks like growth: replicas are started for it, power rises, caps tighten. Pure.
Neighbours: `core/survey.py` (asks), `core/caps.py` (sets the caps), `core/demand.py` (load).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from wattshift.core.demand import Load
from wattshift.core.model import Snapshot, WorkloadState
from wattshift.core.power import held_up, running_replicas
from wattshift.core.power_profile import PowerProfile


def unslowed(
    workload: WorkloadState, load: Load, profiles: Mapping[str, PowerProfile], snapshot: Snapshot
) -> tuple[WorkloadState, Load]:
    """The workload and its load with the sequences that caps hold up in flight taken off.

    A replica that gives `s` of its throughput holds `s^(-1 / CONCAVITY)` times the sequences. What
    waits, and a declared demand signal, stay as they are.
    """
    if load.concurrency is None or workload.demand is not None:
        return workload, load
    seen = held = 0.0
    for row in workload.placements:
        engine = row.engine
        if engine is None:
            continue
        running = max(engine.concurrency, float(engine.running))
        seen += running
        profile, count = profiles.get(row.profile_name), running_replicas(row) or 0
        if profile is not None and profile.has_power and count > 0:
            count += row.draining_replicas
            held += running * held_up(row, count, profile, snapshot)
    if held <= 0 or seen <= 0:
        return workload, load
    share = 1 - held / seen
    rows = tuple((name, value * share) for name, value in workload.origin_loads)
    source = f"{load.source}, without device caps"
    return replace(workload, origin_loads=rows), replace(
        load, concurrency=max(0.0, load.concurrency - held), source=source
    )
