"""The list of actuators: what exists, what it needs, whether it can be undone.

Adding one: a new file with the protocol of `base.py`, and a line here. The chart's roles and
`docs/security.md` are checked against this list.
"""

from __future__ import annotations

from wattshift.actuators.base import Actuator
from wattshift.actuators.scale import ScaleActuator

ACTUATORS: dict[str, Actuator] = {"scale": ScaleActuator()}
"""By name; pausing and resuming are scaling to a floor and back, moves are a sequence of scalings."""
