"""The cheapest hours that hold an amount of batch work: waiting has a price, and equal hours are shared.

Neighbours: `core/fleet/agenda.py` (the slots), `core/planner/batch.py` (what is done with them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from wattshift.core.fleet.agenda import Agenda, Slot

SPREAD_SECONDS, SPREAD_SHARE = 7200.0, 0.125
"""Where the price is the same work is spread over that long, or over that share of the time that is left:
wide enough that what comes next finds room, narrow enough to spare starts and peaks."""
DELAY_SHARE = 0.0025
"""What an hour of waiting beyond the spread costs, as a share of what the work would cost now: 6 % a day.
Enough that nobody waits for next day's cent; whoever needs it sooner sets a deadline or `maxPauseSeconds`."""
EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Replica-seconds, with the margin."""

    waiting: float
    inflow: float
    """Per second: what arrives."""

    def until(self, seconds: float) -> float:
        """What there is to do in that time."""
        return self.waiting + self.inflow * max(0.0, seconds)


def spread_seconds(left: float) -> float:
    """Over how long work is spread that has so many seconds left."""
    return max(SPREAD_SECONDS, SPREAD_SHARE * left)


def whole(begin: float, slots: list[Slot]) -> int:
    """Replicas to begin with; a part of one more would set the billed peak of a whole one."""
    calm = sum(row.replicas for row in slots if row.step == 0 and not row.above)
    wanted = math.ceil(begin - EPSILON)
    return wanted if begin > calm + EPSILON else min(wanted, math.floor(calm + EPSILON))


def delayed(slots: list[Slot], agenda: Agenda, present: float, spread: float) -> list[Slot]:
    """The slots with the cost of waiting for them, per kWh; within the spread it is none.

    `present` is what a kWh costs now.
    """
    now, hourly = agenda.start_of(0), DELAY_SHARE * abs(present)
    found = []
    for row in slots:
        late = max(0.0, agenda.start_of(row.step) - now - spread) / 3600
        found.append(replace(row, delay=hourly * late) if late > 0 else row)
    return found


def filled(
    slots: list[Slot], work: Work, agenda: Agenda, share: float, spread: float
) -> tuple[list[tuple[Slot, float]], float]:
    """`_cheapest` of the work that there will be when the first of its slots begins.

    A spell that is far away has to hold what arrives until then, or work begins before it.
    """
    slots = sorted(slots, key=lambda row: (row.cost, row.step, row.index))
    used, edge = _cheapest(slots, work.waiting, share, spread)
    first = min((row.step for row, _ in used), default=0)
    if first > 0 and work.inflow > 0:
        wait = agenda.start_of(first) - agenda.start_of(0)
        used, edge = _cheapest(slots, work.until(wait), share, spread)
    return used, edge


def _cheapest(
    slots: list[Slot], work: float, share: float, spread: float
) -> tuple[list[tuple[Slot, float]], float]:
    """(slot, replicas) that hold the work, and the highest cost among them; `slots` by cost.

    What costs the same within a start's share is used evenly: fewer replicas for longer, but soon.
    """
    edge, left = slots[0].cost, work
    for slot in slots:
        if left <= 0 and slot.cost > edge:
            break
        edge = slot.cost
        left -= slot.replicas * slot.seconds
    band = share * abs(edge) + EPSILON
    full = [row for row in slots if row.cost < edge - band]
    even = [row for row in slots if edge - band <= row.cost <= edge + band]
    rest = max(0.0, work - sum(row.replicas * row.seconds for row in full))
    even = _soonest(even, rest, spread)
    room = sum(row.replicas * row.seconds for row in even)
    part = min(1.0, rest / room) if room > 0 else 0.0
    used = [(row, row.replicas) for row in full] + [(row, part * row.replicas) for row in even]
    return [row for row in used if row[1] > 0], edge


def _soonest(slots: list[Slot], work: float, spread: float) -> list[Slot]:
    """Of slots that cost the same the first that hold the work, over `spread` seconds at least.

    Nothing is gained by being late, and a little by being narrow: fewer starts, a lower peak.
    """
    found: list[Slot] = []
    last, span, room = -1, 0.0, 0.0
    for row in sorted(slots, key=lambda row: (row.step, row.cost, row.index)):
        if row.step != last and span >= spread and room >= work:
            break
        span += 0.0 if row.step == last else row.seconds
        last = row.step
        room += row.replicas * row.seconds
        found.append(row)
    return found
