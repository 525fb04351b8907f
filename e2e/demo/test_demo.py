"""A shortened demo, as a user starts it: it must end by itself and leave a report that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.demo.moments import EVENT, HAND_OVER, SCALE
from e2e.lab.paths import REPOSITORY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]
WANTED = f"{SCALE},{HAND_OVER},{EVENT}"


def test_a_shortened_demo_shows_its_moments_and_its_books_balance(tmp_path: Path) -> None:
    options = ["--start-hour", "5", "--hours", "10.1", "--expect", WANTED, "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "e2e.demo", *options],
        cwd=REPOSITORY,
        env={key: value for key, value in os.environ.items() if key != "DEMO_KEEP"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "saves exactly 0" in done.stdout
    assert "\x1b" not in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    books, clients = report["books"], report["clients"]
    assert books["doingNothingSavesZero"]
    assert books["gapSeconds"] == 0
    assert books["asRun"]["unpricedKilowattHours"] == 0
    assert float(books["saved"]["cost"]) > 0
    for row in clients.values():
        assert row["requests"] > 100
        assert row["succeeded"] == row["requests"], row["errors"]
    assert report["batch"]["lostUnits"] == 0
    assert abs(report["truth"]["residual"]["energyShare"]) < 0.3
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
