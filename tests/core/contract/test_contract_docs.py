"""The reference page quotes the golden figures and every refusal that the parser makes."""

from __future__ import annotations

from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "contract.md").read_text()


@pytest.mark.parametrize(
    "figure",
    [
        "5,263,278.98",
        "5,922,410.00",
        "7,037,016.13",
        "917,894.50",
        "120,000.00",
        "147.00",
        "559,000.00",
        "494.50",
    ],
)
def test_the_page_has_the_golden_figure(figure):
    assert figure in PAGE


@pytest.mark.parametrize(
    "part",
    ["priceList", "Coincident", "Reactive", "SmallestOf", "kVA", "sliding", "takeOrPay", "Store"],
)
def test_the_page_names_what_is_refused(part):
    assert part in PAGE.split("## 8.")[1]
