"""The runner of `make test`: no failure is lost, whichever stream it is in, and nothing is left running."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.run_tests import Suite, in_turn, suite, together


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


GOOD, BAD = python("print('good')"), python("import sys; print('bad'); sys.exit(3)")


@pytest.mark.parametrize("run", [in_turn, together])
@pytest.mark.parametrize(
    ("front", "beside", "status"),
    [
        ((GOOD, GOOD), GOOD, 0),
        ((BAD, GOOD), GOOD, 3),
        ((GOOD, BAD), GOOD, 3),
        ((GOOD, GOOD), BAD, 3),
        ((GOOD, BAD), python("import sys; sys.exit(5)"), 3),
    ],
)
def test_the_first_failure_is_the_status(run, front, beside, status, capfd):
    assert run(Suite(front=front, beside=beside)) == status


def test_what_runs_beside_is_printed_whole_and_last(capfd):
    beside = python("for i in range(20000): print('line', i)")
    assert together(Suite(front=(GOOD,), beside=beside)) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "good"
    assert lines[-20000:] == [f"line {i}" for i in range(20000)]


def test_a_check_that_fails_ends_the_scenarios_and_what_they_started(tmp_path: Path):
    begun, told = tmp_path / "begun", tmp_path / "told"
    beside = python(
        f"import time, pathlib\npathlib.Path({str(begun)!r}).touch()\n"
        f"try: time.sleep(600)\nexcept KeyboardInterrupt: pathlib.Path({str(told)!r}).touch()"
    )
    wait = python(
        f"import time, pathlib, sys\nwhile not pathlib.Path({str(begun)!r}).exists(): time.sleep(0.05)\n"
        "time.sleep(0.3); sys.exit(1)"
    )
    assert together(Suite(front=(wait, GOOD), beside=beside)) == 1
    assert told.exists()


@pytest.mark.parametrize("run", [in_turn, together])
def test_failed_tests_do_not_hide_the_scenarios_and_failed_checks_end_it(run, capfd):
    assert run(Suite(front=(GOOD, BAD), beside=python("print('scenarios')"))) == 3
    assert capfd.readouterr().out.split()[-1] == "scenarios"
    assert run(Suite(front=(BAD, GOOD), beside=python("print('scenarios')"))) == 3
    assert "good" not in capfd.readouterr().out


def test_all_of_tests_and_all_of_e2e_are_in_the_suite():
    for workers in (0, 2):
        wanted = suite(workers)
        assert ["lint", "verify"] == list(wanted.front[0][-2:])
        assert "tests" in wanted.front[1] and wanted.beside[-1] == "e2e"
        assert ("-n" in wanted.front[1]) is bool(workers)
