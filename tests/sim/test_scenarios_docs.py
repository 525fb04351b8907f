"""The pages about scenarios: their example runs, and they name every field."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.scenarios import reference, round_trips
from wattshift.sim.load import load
from wattshift.sim.schema import ScenarioFile

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "scenarios.md").read_text()


def test_the_scenario_in_ten_lines_has_ten_lines_and_loads(tmp_path):
    text = reference.minimal(GUIDE)
    assert len(text.splitlines()) == 10
    (tmp_path / "mine.yaml").write_text(text)
    scenario = load(tmp_path / "mine.yaml", environment={})
    assert [site.name for site in scenario.sites] == ["dallas", "toronto"]
    assert scenario.origins == ("dallas", "toronto")


def test_every_field_says_what_it_is_beginning_with_its_name():
    for model in reference._models(ScenarioFile, {}).values():
        assert model.__doc__, model
        for field in model.model_fields.values():
            assert field.description, f"{model.__name__}.{field.alias}"
            assert field.description.split()[0].rstrip(":;,.") == field.alias


def test_generated_pages_and_round_trips_are_current():
    for path, text in {**reference.generated(ROOT / "docs"), **round_trips.generated()}.items():
        assert path.read_text() == text, path


def test_the_guide_names_every_replica_table():
    from wattshift.sim.load_sites import shipped_tables

    for table in shipped_tables():
        assert table.name in GUIDE or table.name.endswith("-uncapped")


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="lacks"):
        reference.guide("# nothing")


def test_notices_lie_beside_the_shipped_data():
    folder = round_trips.SCENARIOS / "data"
    notice = (folder / "NOTICE-RTS-GMLC.md").read_text()
    for words in ("DATA USE DISCLAIMER AGREEMENT", "this entire notice appears", "YOU AGREE TO"):
        assert words in notice
    assert "Apache License 2.0" in (folder / "NOTICE-ServeGen.md").read_text()
    named = notice + (folder / "NOTICE-ServeGen.md").read_text()
    for path in folder.glob("*.csv"):
        assert path.name in named
