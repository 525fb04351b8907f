"""`python -m e2e.lab.traffic.data.make_day`: writes the synthetic days beside this file.

Synthetic, from stated facts; no measured row is copied. Same seed, same files.

- Requests (share of the day's peak): production traffic of a large model service has a 5th percentile
  of 0.43 of its mean, two working-hour humps and an evening one; a raw peak/mean near 3 is bursts,
  which clients add themselves (Poisson, `bursts`). Code completion has no evening hump.
- Wind (share of nameplate): stronger at night inland; farms correlate 0.6-0.9; change in 15 minutes
  about 2 % of nameplate on average, now and then a ramp of a third within an hour.
- Solar (share): clear-sky bell from 7 to 18 h with passing clouds.
- Prices (CNY/kWh): time-of-use bands of an eastern and two western provinces, shaped like public
  tariffs: valley 0.3-0.5 of flat, peak 1.5-1.8 of flat; western sites cheap at midday.
- Carbon (g/kWh): around yearly provincial factors (574 Shanghai, 447 Gansu, 648 Inner Mongolia),
  lower at midday where there is solar.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STEP_MINUTES = 15
POINTS = 24 * 60 // STEP_MINUTES
FOLDER = Path(__file__).resolve().parent
HOURS = [index * STEP_MINUTES / 60 for index in range(POINTS)]


def _hump(hour: float, centre: float, width: float) -> float:
    away = min(abs(hour - centre), 24 - abs(hour - centre))
    return math.exp(-0.5 * (away / width) ** 2)


def requests() -> dict[str, list[float]]:
    """Chat, code and embedding requests as shares of their peak."""
    chat = [
        0.28 + 0.62 * _hump(h, 10.5, 1.9) + 0.6 * _hump(h, 15.5, 2.1) + 0.42 * _hump(h, 21, 1.6)
        for h in HOURS
    ]
    code = [0.1 + 0.9 * _hump(h, 10.7, 1.7) + 0.95 * _hump(h, 16, 2.2) for h in HOURS]
    embedding = [0.5 + 0.4 * _hump(h, 3, 3) + 0.3 * _hump(h, 14, 4) for h in HOURS]
    return {
        name: [value / max(curve) for value in curve]
        for name, curve in (("chat", chat), ("code", code), ("embedding", embedding))
    }


def wind(seed: int = 20261122) -> dict[str, list[float]]:
    """Three farms: a common part and a part of their own, both first-order and cyclic enough."""
    source = random.Random(seed)
    common = _walk(source, 0.022)
    farms = {}
    for name, mean, night in (
        ("gansu", 0.5, 0.22),
        ("inner_mongolia", 0.55, 0.16),
        ("coast", 0.4, -0.05),
    ):
        own = _walk(source, 0.016)
        ramp = source.choice((9.0, 13.0, 17.5))
        farms[name] = [
            min(
                0.98,
                max(
                    0.02,
                    mean
                    + night * math.cos((h - 2) / 24 * 2 * math.pi)
                    + c
                    + o
                    - 0.3 * _hump(h, ramp, 0.8),
                ),
            )
            for h, c, o in zip(HOURS, common, own, strict=True)
        ]
    return farms


def _walk(source: random.Random, step: float) -> list[float]:
    """A damped walk whose ends meet, so that the day can repeat."""
    value, found = 0.0, []
    for _ in range(POINTS):
        value = 0.97 * value + source.gauss(0, step)
        found.append(value)
    drift = found[-1] - found[0]
    return [item - drift * index / (POINTS - 1) for index, item in enumerate(found)]


def solar(seed: int = 7) -> dict[str, list[float]]:
    """One plant."""
    source = random.Random(seed)
    bell = [max(0.0, math.sin((h - 7) / 11 * math.pi)) if 7 <= h <= 18 else 0.0 for h in HOURS]
    return {"west": [value * (1 - 0.25 * max(0.0, source.gauss(0.2, 0.4))) for value in bell]}


def _bands(flat: float, spans: Mapping[tuple[int, int], float]) -> list[float]:
    return [
        flat * next((factor for (a, b), factor in spans.items() if a <= h < b), 1.0) for h in HOURS
    ]


def prices() -> dict[str, list[float]]:
    """Currency units per kWh, held for the step."""
    return {
        "shanghai": _bands(0.70, {(0, 6): 0.45, (8, 11): 1.7, (18, 21): 1.8, (22, 24): 0.45}),
        "gansu": _bands(0.41, {(9, 17): 0.5, (18, 23): 1.5}),
        "inner_mongolia": _bands(0.37, {(10, 16): 0.55, (17, 22): 1.5}),
    }


def carbon() -> dict[str, list[float]]:
    """Grams per kWh."""
    return {
        name: [mean * (1 - dip * _hump(h, 13, 2.5) + 0.05 * _hump(h, 20, 2)) for h in HOURS]
        for name, mean, dip in (
            ("shanghai", 574.0, 0.08),
            ("gansu", 447.0, 0.35),
            ("inner_mongolia", 648.0, 0.2),
        )
    }


def write(name: str, title: str, columns: Mapping[str, Sequence[float]], digits: int) -> None:
    """One CSV with `time` and a column each."""
    lines = [f"# {title} Synthetic; see make_day.py.", ",".join(("time", *columns))]
    for index in range(POINTS):
        hour, minute = divmod(index * STEP_MINUTES, 60)
        values = (f"{curve[index]:.{digits}f}" for curve in columns.values())
        lines.append(",".join((f"{hour:02d}:{minute:02d}", *values)))
    (FOLDER / name).write_text("\n".join(lines) + "\n")


DAYS: dict[str, tuple[str, Callable[[], Mapping[str, Sequence[float]]], int]] = {
    "requests_day.csv": ("Requests, share of the day's peak, local time.", requests, 3),
    "wind_day.csv": ("Wind power, share of nameplate, local time.", wind, 3),
    "solar_day.csv": ("Solar power, share of nameplate, local time.", solar, 3),
    "price_day.csv": ("Price of imported energy, CNY/kWh, local time.", prices, 4),
    "carbon_day.csv": ("Grid carbon intensity, g/kWh, local time.", carbon, 0),
}


def main() -> None:
    """Write all."""
    for name, (title, make, digits) in DAYS.items():
        write(name, title, make(), digits)


if __name__ == "__main__":
    main()
