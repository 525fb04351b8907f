"""A small scenario file and ways to spoil it, for the tests of the loader."""

from __future__ import annotations

from pathlib import Path

GOOD = """\
name: tiny
title: Two sites
startTime: "2024-03-30T00:00:00Z"
days: 2
sources:
- {name: made up, licence: none needed}
sites:
- name: berlin
  timeZone: Europe/Berlin
  latitude: 52.5
  longitude: 13.4
  currency: EUR
  price:
    unit: EURPerMegawattHour
    csv: {file: prices.csv, column: berlin}
  carbon: {unit: GramPerKilowattHour, constant: 350}
- name: oslo
  timeZone: Europe/Oslo
  latitude: 59.9
  longitude: 10.7
  currency: EUR
  price: {unit: EURPerMegawattHour, constant: 40}
  carbon: {unit: GramPerKilowattHour, constant: 30}
settings: {reportingCurrency: EUR}
roundTrips: {greatCircle: {}}
workloads:
- name: chat
  placements: [{siteName: "*", profileName: reference-64, maxReplicas: 4}]
  demand:
    shape: {unit: Count, dailyCurve: [1, 2, 3, 2], interpolation: Linear}
    size: {ownPeak: {replicas: 4, headRoom: 1.5}}
windows:
  listed:
  - {name: one, startDay: 0, days: 1, development: true}
  - {name: two, startDay: 1, days: 1}
"""


def prices(hours: int = 48, start_day: int = 30) -> str:
    """Hourly prices in UTC from a day of March 2024 on."""
    rows = ["datetime_utc,berlin,oslo"]
    for hour in range(hours):
        day = start_day + hour // 24
        month, day = (3, day) if day <= 31 else (4, day - 31)
        rows.append(f"2024-{month:02d}-{day:02d}T{hour % 24:02d}:00Z,{50 + hour},{hour}")
    return "\n".join(rows) + "\n"


def write(folder: Path, text: str = GOOD, csv: str | None = None) -> Path:
    """The file with its CSV beside it."""
    (folder / "prices.csv").write_text(prices() if csv is None else csv)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def changed(old: str, new: str, text: str = GOOD) -> str:
    """The file with one passage replaced; fails when the passage is not there."""
    assert old in text, old
    return text.replace(old, new, 1)
