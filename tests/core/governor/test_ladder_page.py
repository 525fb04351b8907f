"""docs/governor.md shows the ladder as it is."""

from __future__ import annotations

from pathlib import Path

from wattshift.core.governor.ladder import LADDER, Mechanism

PAGE = Path(__file__).parents[3] / "docs" / "governor.md"


def test_every_step_is_on_the_page_with_its_figures():
    rows = [line.split("|") for line in PAGE.read_text("utf-8").splitlines()]
    by_number = {row[1].strip(): row for row in rows if len(row) > 8}
    for step in LADDER:
        row = by_number[str(step.number)]
        assert step.name in row[2]
        assert row[4].strip() == f"{step.seconds_to_effect} s"
        assert row[5].strip() == f"{step.undo_seconds} s"
        assert row[7].strip() == step.softest.name.lower()
        assert ("/scale" in row[8]) is (step.mechanism is Mechanism.SCALE)
        if step.typical_permille < 1000:
            assert row[3].strip() == f"{step.typical_permille // 10} %"
