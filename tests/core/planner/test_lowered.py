"""Which placements were lowered last, from the counts that one plan after the other sees."""

from dataclasses import replace

from tests.core.build import placement, snapshot, workload
from wattshift.core.planner.lowered import Lowered
from wattshift.core.planner.plan_memory import PlanMemory


def seen(memory, count, **changed):
    row = replace(placement("east", 1), observed_replicas=count, desired_replicas=count, **changed)
    here = memory.remembered(snapshot((workload(placements=(row,)),)))
    return here.workloads[0].placements[0].lowered_last


def test_the_last_change_counts_and_what_stands_keeps_it():
    memory = Lowered()
    assert [seen(memory, n) for n in (5, 5, 3, 3, 2, 4, 4, 1)] == [
        *(False, False, True, True, True),
        *(False, False, True),
    ]


def test_nothing_is_known_after_a_restart_and_a_gap_forgets_nothing():
    memory = Lowered()
    assert not seen(memory, 5)
    assert seen(memory, 2)
    assert not seen(memory, None), "an unknown count may not be lowered anyway"
    assert seen(memory, 2)
    assert not seen(Lowered(), 2)


def test_what_is_wanted_counts_before_what_is_seen_yet():
    memory = Lowered()
    assert not seen(memory, 5)
    row = replace(placement("east", 5), observed_replicas=5, desired_replicas=2)
    here = memory.remembered(snapshot((workload(placements=(row,)),)))
    assert here.workloads[0].placements[0].lowered_last


def test_a_workload_that_is_gone_is_forgotten_and_nothing_is_copied_in_vain():
    memory = Lowered()
    seen(memory, 5)
    empty = snapshot(())
    assert memory.remembered(empty) is empty
    assert not seen(memory, 3)


def test_the_memory_of_plans_puts_it_in():
    memory = PlanMemory()
    assert not seen(memory, 5)
    assert seen(memory, 3)
