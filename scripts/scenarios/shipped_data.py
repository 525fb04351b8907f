"""The slices of public data that the package ships, cut from the data folder.

`WATTSHIFT_DATA=folder python -m scripts.scenarios.shipped_data` writes them; the licences beside them
stay as they are. Only RTS-GMLC (NREL notice) and ServeGen (Apache-2.0) may be cut: see
`docs/scenarios.md` for why no price and no carbon column is.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

from scripts.scenarios.round_trips import SCENARIOS

DATA = SCENARIOS / "data"
_FARMS = ("309_WIND_1", "317_WIND_1", "303_WIND_1", "122_WIND_1")
_PLANTS = ("320_PV_1", "314_PV_1")
_KEYS = ("Year", "Month", "Day", "Period")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _table(header: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    lines = [",".join(header)]
    lines += [",".join(row[name] for name in header) for row in rows]
    return "\n".join(lines) + "\n"


def _days(
    rows: list[dict[str, str]], first: tuple[int, int], last: tuple[int, int]
) -> list[dict[str, str]]:
    """Rows of the days from (month, day) to (month, day), both included."""
    return [row for row in rows if first <= (int(row["Month"]), int(row["Day"])) <= last]


def wind_5min(folder: Path) -> str:
    """Four farms, MW, three weeks of spring."""
    rows = _days(_rows(folder / "rts-gmlc-wind-pv/REAL_TIME_wind_5min.csv"), (3, 1), (3, 21))
    return _table((*_KEYS, *_FARMS), rows)


def wind_hourly(folder: Path) -> str:
    """The same farms as means of hours, two months."""
    rows = _days(_rows(folder / "rts-gmlc-wind-pv/REAL_TIME_wind_5min.csv"), (2, 15), (4, 20))
    means: list[dict[str, str]] = []
    for start in range(0, len(rows), 12):
        hour = rows[start : start + 12]
        mean = {name: f"{sum(float(row[name]) for row in hour) / 12:.1f}" for name in _FARMS}
        period = (int(hour[0]["Period"]) - 1) // 12 + 1
        means.append({**{key: hour[0][key] for key in _KEYS[:3]}, "Period": str(period), **mean})
    return _table((*_KEYS, *_FARMS), means)


def pv_hourly(folder: Path) -> str:
    """Two plants, MW, the same two months."""
    rows = _days(_rows(folder / "rts-gmlc-wind-pv/DAY_AHEAD_pv_hourly.csv"), (2, 15), (4, 20))
    return _table((*_KEYS, *_PLANTS), rows)


def servegen_hourly(folder: Path) -> str:
    """Requests/s of two models over 14 days, means of hours."""
    rows = _rows(folder / "servegen/total_rates_rps.csv")
    models = ("m-large", "m-small")
    means: list[dict[str, str]] = []
    for start in range(0, len(rows), 6):
        hour = rows[start : start + 6]
        mean = {name: f"{sum(float(row[name]) for row in hour) / 6:.3f}" for name in models}
        means.append({"t_s": hour[0]["t_s"], **mean})
    return _table(("t_s", *models), means)


def main() -> int:
    """Write all files; 1 when the data folder is not there."""
    folder = Path(os.environ.get("WATTSHIFT_DATA", ""))
    if not (folder / "servegen").is_dir():
        sys.stderr.write("set WATTSHIFT_DATA to the data folder\n")
        return 1
    DATA.mkdir(exist_ok=True)
    for name, made in (
        ("rts-wind-5min.csv", wind_5min),
        ("rts-wind-hourly.csv", wind_hourly),
        ("rts-pv-hourly.csv", pv_hourly),
        ("servegen-hourly.csv", servegen_hourly),
    ):
        (DATA / name).write_text(made(folder), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
