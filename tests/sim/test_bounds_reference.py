"""The published table again: with the data (WATTSHIFT_DATA), else what the script does without them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from wattshift.sim.bounds import reference
from wattshift.sim.bounds.reference import CITIES, STATED, round_trips

DATA = os.environ.get(reference.VARIABLE, "")


def test_without_data_it_says_so_and_ends(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv(reference.VARIABLE, raising=False)
    assert reference.main([]) == 2
    assert reference.VARIABLE in capsys.readouterr().err
    assert reference.main(["--data", str(tmp_path)]) == 2
    assert "not part of the product" in capsys.readouterr().err


def test_round_trips_are_symmetric_and_known_pairs_are_right():
    trips = round_trips()
    names = [row[1] for row in CITIES]
    assert np.allclose(trips, trips.T)
    assert trips.diagonal() == pytest.approx(2.0)
    # 571 km between New York and Toronto (549 great circle), 713 between Sydney and Melbourne
    assert trips[names.index("New York"), names.index("Toronto")] == pytest.approx(10.8, abs=0.5)
    assert trips[names.index("Sydney"), names.index("Melbourne")] == pytest.approx(13.4, abs=0.5)


def made_up(tmp_path: Path) -> Path:
    """Four weeks where Ontario is clean and everybody else is alike."""
    hours = 28 * 24
    grid = tmp_path / "sustain-cluster-grid"
    grid.mkdir()
    (tmp_path / "servegen").mkdir()
    columns = [row[0] for row in CITIES]
    for name, low, high in (
        ("carbon_intensity_lca_gco2_per_kwh_2023_2024", 50, 400),
        ("price_usd_per_mwh_2023_2024", 20, 80),
    ):
        rows = [",".join(["datetime_utc", *columns])]
        values = ",".join(str(low if column == "CA-ON" else high) for column in columns)
        rows += [f"2023-01-01T00:00Z,{values}" for _ in range(hours)]
        (grid / f"{name}.csv").write_text("\n".join(rows))
    rates = ["t_s,m-large"] + [f"{600 * k},100" for k in range(14 * 144)]
    (tmp_path / "servegen" / "total_rates_rps.csv").write_text("\n".join(rates))
    return tmp_path


def test_a_made_up_year_gives_what_the_free_room_of_the_clean_site_allows(tmp_path):
    grids = reference.read(made_up(tmp_path))
    assert reference.local_means(grids) == pytest.approx(
        (14 * 400 / 15 + 50 / 15, 14 * 80 / 15 + 20 / 15)
    )
    found = reference.cell(grids, 60, 1.5)
    # half a site's demand moves to Ontario from 15 equal ones
    before, after = 14 * 400 + 50, 13.5 * 400 + 1.5 * 50
    assert found.carbon == pytest.approx([100 * (1 - after / before)] * 3)


def test_all_cells_of_the_table_are_stated():
    assert len(STATED) == 25
    assert {key[0] for key in STATED} == {30, 60, 100, 150, 250}


@pytest.mark.skipif(not DATA, reason=f"{reference.VARIABLE} is not set")
@pytest.mark.parametrize("key", [(150, 1.5), (250, reference.NO_LIMIT)])
def test_the_published_bounds_come_out_within_half_a_point(key):
    grids = reference.read(Path(DATA))
    assert reference.local_means(grids) == pytest.approx(reference.STATED_LOCAL, abs=0.5)
    found = reference.cell(grids, *key)
    assert found.carbon == pytest.approx(STATED[key].carbon, abs=0.15)
    assert found.price[:2] == pytest.approx(STATED[key].price, abs=0.15)
