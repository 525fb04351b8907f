"""Meters: what instruments show of the truth, late, noisy, and sometimes broken."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Meter:
    """First-order lag, constant bias, noise per reading; faults set from outside."""

    lag_seconds: float
    noise: float
    """Standard deviation of one reading, as a share."""
    bias: float
    source: random.Random
    fault: str = ""
    """`` | `stuck` | `spike` | `missing` | `nan` | `negative`."""
    fault_factor: float = 1.0
    fault_until: float = math.inf
    _filtered: float | None = None
    _shown: float = field(default=0.0)

    def read(self, truth: float, now: float, seconds: float) -> float | None:
        """Reading `seconds` after the one before; None = the instrument shows nothing."""
        if self._filtered is None or self.lag_seconds <= 0:
            self._filtered = truth
        else:
            self._filtered += (truth - self._filtered) * (1 - math.exp(-seconds / self.lag_seconds))
        if now >= self.fault_until:
            self.fault, self.fault_until = "", math.inf
        if self.fault == "stuck":
            return self._shown
        self._shown = self._filtered * self.bias * (1 + self.source.gauss(0, self.noise))
        broken = {
            "missing": None,
            "nan": math.nan,
            "negative": -self._shown,
            "spike": self._shown * self.fault_factor,
        }
        return broken[self.fault] if self.fault else self._shown

    def break_it(self, fault: str, now: float, seconds: float, factor: float = 10.0) -> None:
        """Fault from now on for `seconds`; `clear` mends. Raises ValueError for an unknown one."""
        if fault not in {"clear", "stuck", "spike", "missing", "nan", "negative"}:
            raise ValueError(f"unknown meter fault {fault!r}")
        self.fault = "" if fault == "clear" else fault
        self.fault_factor = factor
        self.fault_until = now + seconds
