"""Generated files are what the code gives, and the check sees it when they are not."""

from __future__ import annotations

import pytest

from scripts import generate

from .conftest import CHART, ROOT


@pytest.mark.parametrize("generator", generate.GENERATORS, ids=lambda row: row.__name__)
def test_no_generated_file_has_drifted(generator):
    for path, text in generator().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)}: run `make generate`"


def test_generating_twice_gives_the_same():
    assert generate.references() == generate.references()


def test_the_check_shows_the_drift_and_fails(monkeypatch, capsys, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("old\n")
    monkeypatch.setattr(generate, "GENERATORS", (lambda: {page: "new\n"},))
    assert generate.main(["--check"]) == 1
    shown = capsys.readouterr()
    assert "-old" in shown.out and "+new" in shown.out
    assert "make generate" in shown.err
    assert page.read_text() == "old\n", "a check writes nothing"


def test_writing_then_checking_is_clean(monkeypatch, tmp_path):
    page = tmp_path / "deep" / "page.md"
    monkeypatch.setattr(generate, "GENERATORS", (lambda: {page: "new\n"},))
    assert generate.main([]) == 0
    assert page.read_text() == "new\n"
    assert generate.main(["--check"]) == 0


def test_every_file_that_says_it_is_generated_has_a_generator():
    known = {path for generator in generate.GENERATORS for path in generator()}
    pages = [*(ROOT / "docs").rglob("*.md"), *CHART.rglob("*"), *(ROOT / "crds").glob("*")]
    for path in pages:
        if path.is_file() and "do not edit" in path.read_text().partition("\n##")[0]:
            assert path in known, path


def test_reasons_are_in_the_page_once_per_enum():
    from wattshift.cli.reasons import ENUMS

    page = (ROOT / "docs" / "reference" / "reasons.md").read_text()
    for kind in ENUMS:
        for member in kind:
            assert f"| `{member.value}` |" in page
