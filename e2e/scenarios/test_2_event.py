"""A power event: the site sheds to the target by its own meter, and gets its load back at the end.

The judge is the plant's meter and truth, of which the operator sees only the meter.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.lab.client import Document, wait_for
from e2e.scenarios.world import SPEED, Case, World

pytestmark = pytest.mark.e2e
METER_ERROR = 0.03
"""Noise and bias of the plant's meter, of which the operator cannot know."""
REDUCTION = 3000
"""Watts: between one and two of four replicas."""


REFERENCES = {"north": "Absolute", "west": "PreEvent"}
"""One kind of event at each of two sites, at one time: neither may disturb the other."""


@dataclass(slots=True)
class Shedding:
    """An event at one site and what the plant saw of it."""

    world: World
    case: Case
    site: str
    reference: str
    before: float = 0.0
    target: float = 0.0
    held: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"event-{self.reference.lower()}"

    def begin(self) -> None:
        """Put the event into the site's spec."""
        self.before = self.world.wait_steady(self.site, above_watts=5000)
        absolute = self.reference == "Absolute"
        self._set(
            [
                {
                    "name": self.name,
                    "type": "Limit" if absolute else "Reduction",
                    "reference": self.reference,
                    "upperWatts": round(self.before) - REDUCTION if absolute else REDUCTION,
                    "firmness": "Mandatory",
                    "startTime": self.world.grid_text(2 * SPEED),
                    "endTime": self.world.grid_text(24 * SPEED),
                }
            ]
        )

    def clear(self) -> None:
        """Take the event out of the spec."""
        self._set(None)

    def _set(self, events: list[dict[str, Any]] | None) -> None:
        path = f"/apis/wattshift.io/v1alpha1/powersites/{self.site}"
        self.world.lab.hub.merge(path, {"spec": {"events": events}})

    def status(self) -> Document:
        """Its row in the site's status."""
        status = self.world.lab.object("powersites", self.site).get("status") or {}
        rows = status.get("activeEvents") or []
        return next((row for row in rows if row["name"] == self.name), {})

    def check_target(self) -> None:
        """The bound on record is what the event says."""
        wait_for("active", lambda: self.status().get("state") == "Active")
        shown = self.status()
        self.target = float(shown["upperWatts"])
        if self.reference == "PreEvent":
            assert shown["frozenWatts"] - REDUCTION == self.target
            assert shown["frozenWatts"] == pytest.approx(self.before, rel=2 * METER_ERROR)
        else:
            assert self.target == round(self.before) - REDUCTION

    def check_shed(self) -> None:
        """True power is at the target soon, and no more was shed than that needs."""
        self.case.wait(
            "shed to the target",
            lambda: self.world.watts(self.site) <= self.target * (1 + METER_ERROR),
            timeout_seconds=15,
        )
        assert 0 < sum(self.case.counts().values()) < 4, "no more than is needed"

    def look(self) -> bool:
        """Note true power; whether the event is over."""
        self.held.append(self.world.watts(self.site))
        return self.status().get("state") == "Completed"

    def check_held(self) -> None:
        """It stayed there until the end: half of all looks and more, as engines' power swings."""
        middle = sorted(self.held)[len(self.held) // 2]
        assert middle <= self.target * (1 + METER_ERROR), self.held

    def check_released(self) -> None:
        """The load is back."""
        place = next(iter(self.case.replicas))
        self.case.wait_counts(**{place: 4})
        self.case.wait("load is back", lambda: self.world.watts(self.site) > self.target * 1.2)


def test_events_shed_to_their_targets_and_are_released_at_their_ends(world: World) -> None:
    with ExitStack() as stack:
        shedding = []
        for site, reference in REFERENCES.items():
            case = stack.enter_context(
                world.case(f"event-{site}", {site: 4}, service={"inter_token_latency": "50ms"})
            )
            case.apply(replicas={"min": 4, "max": 4})
            shedding.append(Shedding(world, case, site, reference))
        clients = [(row.case, row.case.clients(seconds=150, rate=5)) for row in shedding]
        try:
            for row in shedding:
                row.case.wait_condition("Ready")
                row.begin()
            for row in shedding:
                row.check_target()
                row.check_shed()

            def over() -> bool:
                looks = [row.look() for row in shedding]
                return all(looks)

            wait_for("the events' ends", over, interval_seconds=0.5)
            for row in shedding:
                row.check_held()
                row.check_released()
        finally:
            for row in shedding:
                row.clear()
        for case, companion in clients:
            seen = case.served(companion)
            assert seen["succeeded"] >= 0.95 * seen["requests"], seen["errors"]
