"""The actuator ladder as data: what may be done to get under a bound, in the order of harm.

Every row says what it yields, how soon, whom it harms, how it is undone and what it needs. Read from
this table alone; rows whose mechanism no actuator offers are skipped. Neighbours: `core/governor/shed.py`
walks the rows that change counts, `core/governor/caps.py` those that cap devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from wattshift.core.model import PlacementState
from wattshift.core.survey.limits import Hardness


class Mechanism(StrEnum):
    """What carries a step out; an actuator registers those beside `SCALE` per placement."""

    SCALE = "Scale"
    """Replicas through `/scale`: every placement that may be written."""
    POWER_CAP = "PowerCap"
    """Power limit of the devices of a placement."""
    TRAFFIC = "Traffic"
    """Requests by origin at the entry; watts follow only where replicas do."""


class Harm(IntEnum):
    """What users notice, from nothing to an outage."""

    NONE = 0
    """Work that waits outside is done later; nobody waits for an answer."""
    HEAD_ROOM = 1
    """Fewer replicas in reserve; the objective holds at the present load."""
    SLOWER = 2
    """Tokens a few per cent slower; prompts a little longer."""
    TOLERATED = 3
    """Throughput is lost up to what the tier tolerates."""
    LOST = 4
    """Throughput is lost beyond what the tier tolerates; the floors that its owner set hold."""
    OUTAGE = 5
    """Below the floors that its owner set."""


class Yields(StrEnum):
    """Which part of a replica's power a step frees; `core/governor/shed.py` has the formulas."""

    WHOLE = "Whole"
    """All of it: its work goes nowhere else."""
    STANDING = "Standing"
    """What it draws without its tokens: they go to the replicas that stay."""
    ABOVE_CAP = "AboveCap"
    """What it draws above the cap."""
    TOKENS = "Tokens"
    """What its tokens cost here: they are served at another site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung."""

    number: int
    name: str
    mechanism: Mechanism
    yields: Yields
    typical_permille: int
    """Watts freed per replica as a share of its busy watts, for people; deciding uses the formulas."""
    seconds_to_effect: int
    """Until the watts are gone, typically."""
    undo_seconds: int
    """Until capacity is back as it was."""
    harm: Harm
    softest: Hardness
    """Softest bound that justifies it."""
    cap_permille: int = 1000
    """Power cap: the lowest share of busy watts."""
    bridges: Hardness | None = None
    """Softest bound for which it may stand in while slower steps take effect; None = never."""
    rounds: bool = False
    """One replica of each workload a round, so that the loss is shared; else one after another."""


LADDER = (
    Step(
        number=1,
        name="held work pauses",
        mechanism=Mechanism.SCALE,
        yields=Yields.WHOLE,
        typical_permille=1000,
        seconds_to_effect=30,
        undo_seconds=300,
        harm=Harm.NONE,
        softest=Hardness.VOLUNTARY,
    ),
    Step(
        number=2,
        name="spare replicas go",
        mechanism=Mechanism.SCALE,
        yields=Yields.STANDING,
        typical_permille=650,
        seconds_to_effect=30,
        undo_seconds=300,
        harm=Harm.HEAD_ROOM,
        softest=Hardness.VOLUNTARY,
    ),
    Step(
        number=3,
        name="requests go elsewhere",
        mechanism=Mechanism.TRAFFIC,
        yields=Yields.TOKENS,
        typical_permille=250,
        seconds_to_effect=30,
        undo_seconds=30,
        harm=Harm.HEAD_ROOM,
        softest=Hardness.VOLUNTARY,
    ),
    Step(
        number=4,
        name="devices are capped a little",
        mechanism=Mechanism.POWER_CAP,
        yields=Yields.ABOVE_CAP,
        typical_permille=200,
        seconds_to_effect=5,
        undo_seconds=5,
        harm=Harm.SLOWER,
        softest=Hardness.COMMITTED,
        cap_permille=800,
        bridges=Hardness.VOLUNTARY,
    ),
    Step(
        number=5,
        name="down to the tolerated loss",
        mechanism=Mechanism.SCALE,
        yields=Yields.STANDING,
        typical_permille=650,
        seconds_to_effect=30,
        undo_seconds=300,
        harm=Harm.TOLERATED,
        softest=Hardness.COMMITTED,
        rounds=True,
    ),
    Step(
        number=6,
        name="devices are capped deeply",
        mechanism=Mechanism.POWER_CAP,
        yields=Yields.ABOVE_CAP,
        typical_permille=500,
        seconds_to_effect=5,
        undo_seconds=5,
        harm=Harm.TOLERATED,
        softest=Hardness.MANDATORY,
        # below half of the power a cap costs more throughput than it saves watts
        cap_permille=500,
        bridges=Hardness.COMMITTED,
    ),
    Step(
        number=7,
        name="beyond the tolerated loss",
        mechanism=Mechanism.SCALE,
        yields=Yields.STANDING,
        typical_permille=650,
        seconds_to_effect=30,
        undo_seconds=300,
        harm=Harm.LOST,
        softest=Hardness.MANDATORY,
        rounds=True,
    ),
    Step(
        number=8,
        name="below floors",
        mechanism=Mechanism.SCALE,
        yields=Yields.WHOLE,
        typical_permille=1000,
        seconds_to_effect=30,
        undo_seconds=300,
        harm=Harm.OUTAGE,
        softest=Hardness.MANDATORY,
        rounds=True,
    ),
)
"""From no harm to most; equal harm: the faster step to undo comes later, so that it stays in reserve."""


def steps(mechanism: Mechanism, hardness: Hardness) -> tuple[Step, ...]:
    """Rungs of a mechanism that a bound of `hardness` justifies, least harm first."""
    return tuple(row for row in LADDER if row.mechanism is mechanism and hardness <= row.softest)


def available(mechanism: Mechanism, placement: PlacementState) -> bool:
    """Whether an actuator offers `mechanism` at a placement; counts may be written everywhere."""
    return mechanism is Mechanism.SCALE or mechanism in placement.mechanisms


def spoken(step: Step) -> str:
    """`step 2 of 8, spare replicas go`, for messages."""
    return f"step {step.number} of {len(LADDER)}, {step.name}"
