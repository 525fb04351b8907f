"""`python examples/east-west/data/make_data.py`: writes the two CSVs beside this file (see SOURCE.md).

Synthetic days from stated facts; no measured row is copied. The same figures every time.
"""

from __future__ import annotations

import math
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
GRAMS = {"shanghai": (574.0, 0.08), "gansu": (447.0, 0.35), "inner_mongolia": (648.0, 0.20)}
"""Provincial factor of 2023, and how deep solar at midday cuts into it (an assumption)."""


def hump(hour: float, centre: float, width: float) -> float:
    """A bell over the hours of a day, 1 at its centre."""
    away = min(abs(hour - centre), 24 - abs(hour - centre))
    return math.exp(-0.5 * (away / width) ** 2)


def carbon() -> list[str]:
    """Hourly grid carbon intensity of three provinces, gCO2/kWh; the day's mean is the factor."""
    raw = {
        name: [1 - dip * hump(hour, 13, 2.5) + 0.05 * hump(hour, 20, 2) for hour in range(24)]
        for name, (_, dip) in GRAMS.items()
    }
    rows = ["time," + ",".join(GRAMS)]
    for hour in range(24):
        cells = (
            f"{factor * raw[name][hour] * 24 / sum(raw[name]):.0f}"
            for name, (factor, _) in GRAMS.items()
        )
        rows.append(f"{hour:02d}:00," + ",".join(cells))
    return rows


def spot() -> list[str]:
    """96 prices of a western spot market, CNY/kWh: low at midday, high after sunset."""
    rows = ["time,price"]
    for step in range(96):
        hour = step / 4
        price = 0.30 - 0.22 * hump(hour, 12.5, 2.6) + 0.24 * hump(hour, 20, 1.8)
        rows.append(f"{int(hour):02d}:{step % 4 * 15:02d},{price:.4f}")
    return rows


def main() -> None:
    """Write both."""
    for name, rows in (("carbon.csv", carbon()), ("gansu-spot.csv", spot())):
        (FOLDER / name).write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
