"""`constant {value}`: one number, always valid; for a fixed price, a test, a first step."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from wattshift.adapters.base import (
    Fetched,
    Observation,
    SignalConfig,
    SingleSource,
    SourceContext,
    Step,
)

HORIZON_SECONDS = 7 * 86400


class ConstantSource(SingleSource):
    """The value of the object itself."""

    type_name: ClassVar[str] = "constant"
    always_valid: ClassVar[bool] = True

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        self._value = float(config.source_spec["value"])
        self._context = context

    @property
    def endpoint(self) -> str:
        """For people."""
        return "constant"

    @property
    def fetch_key(self) -> Hashable:
        """By value."""
        return ("constant", self._value)

    async def fetch(self, now: float) -> Fetched:
        """The value now, and as a flat forecast over a week."""
        return Fetched(
            observations=(Observation(value=self._value, source_time=now),),
            steps=(Step(start_time=now, value=self._value),),
            end_time=now + HORIZON_SECONDS,
            issued_time=now,
        )
