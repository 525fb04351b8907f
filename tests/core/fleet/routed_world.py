"""A workload whose entry routes by origin, over three sites, and what carrying a plan out does to it."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import NOW, connection, engine, placement, quote, site, snapshot, workload
from wattshift.core.model import Allowed, Origin
from wattshift.core.planner.planner import plan

TRIPS = {"a": (("north", 10), ("south", 90)), "b": (("north", 50), ("south", 50))}
TRIPS["c"] = (("north", 90), ("south", 10))


def origins(limit=60):
    """Two groups of users with one limit of round trip."""
    return tuple(
        Origin(name=name, share_permille=500, max_round_trip_milliseconds=limit)
        for name in ("north", "south")
    )


def sites(prices=("0.80", "0.30", "0.80"), **more):
    """a serves the north, c the south, b both; `more` by site name."""
    return tuple(
        site(
            name,
            **(
                {
                    "feed": connection(price=quote(price)),
                    "origin_round_trip_milliseconds": TRIPS[name],
                }
                | more.get(name, {})
            ),
        )
        for name, price in zip("abc", prices, strict=True)
    )


def chat(counts=(3, 0, 3), loads=(30.0, 30.0), **more):
    """Replicas at a, b, c (14 sequences each) and load of north and south."""
    spread = {"a": loads[0] if counts[0] else 0.0, "c": loads[1] if counts[2] else 0.0}
    spread["b"] = sum(loads) - sum(spread.values())
    rows = tuple(
        placement(
            name,
            count,
            engine=engine(spread[name], pods=count) if count else None,
            max_replicas=20,
        )
        for name, count in zip("abc", counts, strict=True)
    )
    values = {
        "actions": (Allowed.SCALE, Allowed.SHIFT_TRAFFIC),
        "origins": origins(),
        "origin_loads": (("north", loads[0]), ("south", loads[1])),
        "moved_share_today": 0.0,
    }
    return workload("chat", rows, **(values | more))


def world(job=None, places=None, **more):
    """Snapshot with one routed workload."""
    return snapshot((chat() if job is None else job,), places or sites(), **more)


def decided(here):
    """(decision, replicas by placement)."""
    found = plan(here, here.grid_time).decisions[0]
    return found, {row.placement_name: row.replicas for row in found.targets}


def after(here, counts, *, serving=None, seconds=300.0, split=()):
    """The world when a plan was written: replicas commanded, in service, and load by the split."""
    job = here.workloads[0]
    serving = counts if serving is None else serving
    loads = dict(job.origin_loads)
    carried = dict.fromkeys(counts, 0.0)
    for origin, shares in split:
        usable = {name: share for name, share in shares if serving[name]}
        usable = usable or {"a" if origin == "north" else "c": 1.0}
        for name, share in usable.items():
            carried[name] += loads[origin] * share / sum(usable.values())
    now = here.grid_time + seconds
    rows = tuple(
        replace(
            row,
            observed_replicas=counts[row.name],
            desired_replicas=counts[row.name],
            ready_replicas=serving[row.name],
            in_service_replicas=serving[row.name],
            last_write_time=here.grid_time
            if counts[row.name] != row.observed_replicas
            else row.last_write_time,
            engine=engine(carried[row.name], pods=serving[row.name], idle_seconds=0.0)
            if serving[row.name]
            else None
            if not counts[row.name]
            else engine(0.0, pods=0, good=0, idle_seconds=0.0, first_tokens_per_second=0.0),
        )
        for row in job.placements
    )
    return replace(
        here,
        grid_time=now,
        wall_time=here.wall_time + seconds,
        workloads=(replace(job, placements=rows, split=split),),
    )


__all__ = ["NOW", "after", "chat", "decided", "origins", "sites", "world"]
