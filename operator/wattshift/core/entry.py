"""What an entry that routes by origin is told while the replicas that a plan counts on still start.

A split counts what is commanded. An entry that is told of replicas before they serve sends their
requests to whoever is near, and back when they do; so they stay where they leave from until then. It
never decides who serves whom in the end. Neighbours: `core/fleet/carry.py` (splits), `core/handover.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Split: TypeAlias = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
"""By origin: (placement, share)."""
LEAST = 1e-9
"""Of an origin's requests: less is rounding."""


def told(before: Split, wanted: Split, ready: Mapping[str, float]) -> Split:
    """The split for the entry now: as wanted, but for what goes to replicas that do not serve yet.

    Args:
        before: as the entry was told last; an origin that is new there follows at once.
        wanted: as the plan has it.
        ready: share of each placement's commanded replicas that are in service, 0..1; a placement
            that is not named is ready. Only placements with some share are waited at.
    """
    last = dict(before)
    return tuple((origin, _shares(last.get(origin, ()), new, ready)) for origin, new in wanted)


def _shares(
    before: tuple[tuple[str, float], ...],
    wanted: tuple[tuple[str, float], ...],
    ready: Mapping[str, float],
) -> tuple[tuple[str, float], ...]:
    old, new = dict(before), dict(wanted)
    early = {
        name: share - max(old.get(name, 0.0), share * ready.get(name, 1.0))
        for name, share in wanted
        if share * ready.get(name, 1.0) < share and share > old.get(name, 0.0)
    }
    leaves = {
        name: share - new.get(name, 0.0)
        for name, share in before
        if share > new.get(name, 0.0) and ready.get(name, 1.0) > 0
    }
    waits, room = sum(early.values()), sum(leaves.values())
    if waits <= LEAST or room <= LEAST:
        return wanted
    part = min(1.0, room / waits)
    found = {name: share - part * early.get(name, 0.0) for name, share in wanted}
    for name, share in leaves.items():
        found[name] = found.get(name, 0.0) + share * part * waits / room
    return tuple((name, share) for name, share in found.items() if share > LEAST)
