"""The runner of `make test`: no failure is lost, whichever stream it is in, and nothing is left running."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.run_tests import Beside, Suite, in_turn, suite, together


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def beside(*commands: list[str], niceness: int = 0) -> tuple[Beside, ...]:
    return tuple(Beside(title="beside", command=row, niceness=niceness) for row in commands)


GOOD, BAD = python("print('good')"), python("import sys; print('bad'); sys.exit(3)")


@pytest.mark.parametrize("run", [in_turn, together])
@pytest.mark.parametrize(
    ("front", "others", "status"),
    [
        ((GOOD, GOOD), beside(GOOD), 0),
        ((BAD, GOOD), beside(GOOD), 3),
        ((GOOD, BAD), beside(GOOD), 3),
        ((GOOD, GOOD), beside(BAD), 3),
        ((GOOD, GOOD), beside(BAD, niceness=19), 3),
        ((GOOD, GOOD), beside(GOOD, BAD), 3),
        ((GOOD, BAD), beside(python("import sys; sys.exit(5)")), 3),
    ],
)
def test_the_first_failure_is_the_status(run, front, others, status, capfd):
    assert run(Suite(front=front, beside=others)) == status


def test_what_runs_beside_is_printed_whole_and_last(capfd):
    lines_of = python("for i in range(20000): print('line', i)")
    assert together(Suite(front=(GOOD,), beside=beside(BAD, lines_of))) == 3
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "good" and "bad" in lines
    assert lines[-20000:] == [f"line {i}" for i in range(20000)]


@pytest.mark.parametrize("niceness", [0, 19])
def test_a_check_that_fails_ends_what_runs_beside_and_what_it_started(tmp_path: Path, niceness):
    begun, told = tmp_path / "begun", tmp_path / "told"
    long = python(
        # A shell starts what it puts into the background with interrupts ignored: not so here.
        "import pathlib, signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"try: pathlib.Path({str(begun)!r}).touch(); time.sleep(600)\n"
        f"except KeyboardInterrupt: pathlib.Path({str(told)!r}).touch()"
    )
    wait = python(
        f"import time, pathlib, sys\nwhile not pathlib.Path({str(begun)!r}).exists(): time.sleep(0.05)\n"
        "time.sleep(0.3); sys.exit(1)"
    )
    others = beside(long, niceness=niceness)
    assert together(Suite(front=(wait, GOOD), beside=others)) == 1
    assert told.exists()


@pytest.mark.parametrize("run", [in_turn, together])
def test_failed_tests_do_not_hide_the_scenarios_and_failed_checks_end_it(run, capfd):
    scenarios = beside(python("print('scenarios')"))
    assert run(Suite(front=(GOOD, BAD), beside=scenarios)) == 3
    assert capfd.readouterr().out.split()[-1] == "scenarios"
    assert run(Suite(front=(BAD, GOOD), beside=scenarios)) == 3
    assert "good" not in capfd.readouterr().out


def test_only_the_last_in_front_yields_to_what_is_beside_it(capfd):
    tell = python("import os; print('niceness', os.nice(0))")
    assert together(Suite(front=(tell, tell), beside=beside(GOOD))) == 0
    own = os.nice(0)
    told = [int(row.split()[1]) for row in capfd.readouterr().out.splitlines() if "niceness" in row]
    assert told == [own, min(19, own + 10)]


def test_all_of_tests_all_of_e2e_and_the_gate_are_in_the_suite():
    for workers in (0, 2):
        wanted = suite(workers)
        assert ["lint", "verify"] == list(wanted.front[0][-2:])
        gate, demo, scenarios = wanted.beside
        assert "tests" in wanted.front[1] and "e2e" in scenarios.command
        # what one leaves out is what the other runs
        assert scenarios.command[-1] == f"--ignore={demo.command[-1]}" == "--ignore=e2e/demo"
        assert gate.command[1:3] == ["-m", "e2e.bench.gate"] and "--only" not in gate.command
        assert gate.niceness > scenarios.niceness
        assert ("-n" in wanted.front[1]) is bool(workers)
