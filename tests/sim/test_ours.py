"""The product in the simulator: it plans when it is due, remembers what it did, and saves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import NOW, event, snapshot, workload
from tests.core.fleet.routed_world import after, chat, sites, world
from tests.sim import small
from wattshift.core.model import Allowed
from wattshift.sim.policies.b0_local import LocalAutoscaler
from wattshift.sim.policies.ours import Ours
from wattshift.sim.run import simulate


@pytest.fixture(scope="module")
def day():
    return small.scenario(steps=144)


@pytest.fixture(scope="module")
def result(day):
    return simulate(day, Ours, checked=True)


def test_it_costs_less_than_staying_at_home_and_serves_as_well(day, result):
    home = simulate(day, LocalAutoscaler)
    assert float(result.energy_cost) < float(home.energy_cost)
    for metric, classes in result.attainment().items():
        for name, share in classes.items():
            assert share >= home.attainment()[metric][name] - 0.005


def test_a_run_repeats(day, result):
    again = simulate(day, Ours)
    assert again.energy_cost == result.energy_cost
    assert again.carbon_grams == result.carbon_grams


def test_a_plan_is_made_on_its_interval_and_not_between():
    policy, here = Ours(), world(places=sites(("0.5", "0.5", "0.5")))
    assert policy.decide(here, NOW).plan_seconds > 0
    assert policy.decide(replace(here, grid_time=NOW + 100), NOW + 100).plan_seconds == 0
    assert policy.decide(replace(here, grid_time=NOW + 300), NOW + 300).plan_seconds > 0


def test_a_plan_follows_when_what_was_raised_serves():
    policy, here = Ours(), world()
    first = policy.decide(here, NOW)
    assert first.replicas == {("team/chat", "b"): 6}
    counts = {"a": 3, "b": 6, "c": 3}
    split = tuple((key[1], tuple(row.items())) for key, row in first.split.items())
    waiting = after(here, counts, serving={"a": 3, "b": 0, "c": 3}, seconds=100, split=split)
    assert policy.decide(waiting, NOW + 100).plan_seconds == 0
    serving = after(here, counts, seconds=200, split=split)
    found = policy.decide(serving, NOW + 200)
    assert found.plan_seconds > 0
    assert found.replicas == {("team/chat", "a"): 0, ("team/chat", "c"): 0}


def test_the_split_of_a_plan_is_remembered():
    policy, here = Ours(), world()
    policy.decide(here, NOW)
    known = policy._remembered(here).workloads[0].split
    assert dict(known).keys() == {"north", "south"}


def test_what_is_remembered_follows_what_was_seen_and_what_is_known():
    policy, here = Ours(), world()
    policy.decide(here, NOW)
    first = policy._remembered(here).workloads[0]
    assert policy._remembered(here).workloads[0] is first
    # something else is known of the same workload
    key = (first.key, first.placements[0].name)
    policy._vetoes[key] = 7.0
    second = policy._remembered(here).workloads[0]
    assert second.placements[0].veto_wall_time == 7.0
    policy._vetoes[key] = 8.0
    assert policy._remembered(here).workloads[0].placements[0].veto_wall_time == 8.0
    policy._splits[first.key] = (("north", (("c", 1.0),)),)
    assert policy._remembered(here).workloads[0].split == (("north", (("c", 1.0),)),)
    # and the workload itself is another
    more = replace(here, workloads=(replace(here.workloads[0], priority=99),))
    assert policy._remembered(more).workloads[0].priority == 99
    policy._vetoes.clear()
    policy._splits.clear()
    assert policy._remembered(here) is here


def raises_b(**more):
    """A policy that has told the entry a and c, and the world in which it then prefers b."""
    policy, dear = Ours(), world(places=sites(("0.30", "0.80", "0.30")))
    first = policy.decide(dear, NOW).split
    assert first == {("team/chat", "north"): {"a": 1.0}, ("team/chat", "south"): {"c": 1.0}}
    return policy, replace(dear, sites=sites(**more), grid_time=NOW + 300)


def test_the_entry_is_told_of_replicas_once_they_serve():
    policy, here = raises_b()
    found = policy.decide(here, NOW + 300)
    assert found.replicas == {("team/chat", "b"): 6}
    assert all("b" not in shares for shares in found.split.values())
    counts, wanted = {"a": 3, "b": 6, "c": 3}, policy._splits["team/chat"]
    half = after(here, counts, serving={"a": 3, "b": 3, "c": 3}, seconds=100, split=wanted)
    told = policy.decide(half, NOW + 400).split["team/chat", "north"]
    assert told == pytest.approx({"a": 0.5, "b": 0.5})
    serves = policy.decide(after(here, counts, seconds=200, split=wanted), NOW + 500)
    assert all(shares == {"b": 1.0} for shares in serves.split.values())


def test_load_leaves_a_site_under_an_event_at_once():
    policy, here = raises_b(a={"events": (event(upper=1000),)})
    found = policy.decide(here, NOW + 300)
    assert found.split["team/chat", "north"]["b"] > 0


def test_a_move_lowers_its_source_only_when_its_destination_serves():
    job = workload(actions=(Allowed.MIGRATE,))
    policy, here = Ours(), snapshot((job,))
    assert policy.decide(here, NOW).replicas == {("team/chat", "west"): 2}

    def at(seconds, serving):
        rows = tuple(
            replace(
                row,
                observed_replicas=2,
                desired_replicas=2,
                ready_replicas=serving,
                in_service_replicas=serving,
            )
            if row.name == "west"
            else row
            for row in job.placements
        )
        return replace(here, grid_time=NOW + seconds, workloads=(replace(job, placements=rows),))

    assert not policy.decide(at(60, 0), NOW + 60).replicas
    assert policy.decide(at(120, 2), NOW + 120).replicas[("team/chat", "east")] == 0


def test_a_move_that_takes_too_long_is_given_up():
    job = workload(actions=(Allowed.MIGRATE,))
    policy, here = Ours(), snapshot((job,))
    policy.decide(here, NOW)
    late = policy.decide(replace(here, grid_time=NOW + 3600), NOW + 3600)
    assert late.reasons["team/chat"] in ("MoveAborted", "CheaperPower")


def test_an_unrouted_workload_needs_no_split():
    assert not Ours().decide(snapshot((workload(),)), NOW).split
    assert Ours().decide(world(chat()), NOW).split
