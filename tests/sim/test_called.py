"""Which events are called: what the work at a site could yield, and that policy and judge agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.sim import small
from wattshift.core.model import Allowed, Firmness, Posture, Tier
from wattshift.sim.called import Calls
from wattshift.sim.layout import layout_of
from wattshift.sim.plant import Plant
from wattshift.sim.run import simulate
from wattshift.sim.scenario import Fault, FaultKind, SimBatch, SimEvent, SimOrigin

STEPS = 12


def event(share: float | None = 0.2, **changes) -> SimEvent:
    row = SimEvent(
        name="e",
        site_name="alpha",
        start_seconds=1800.0,
        duration_seconds=600.0,
        notice_seconds=0.0,
        upper_watts=None,
        lower_watts=None,
        reduction_share=share,
        ramp_seconds=30.0,
        firmness=Firmness.COMMITTED,
    )
    return replace(row, **changes)


def world(replicas: int, events: tuple[SimEvent, ...], **changes):
    """One site, chat with a floor of one replica, any user may be served anywhere or nowhere else."""
    base = small.scenario(steps=STEPS, govern_every_seconds=60.0)
    values = {
        "actions": (Allowed.SCALE,),
        "tier": Tier.LOW,
        "demand_tokens_per_second": np.full((STEPS, 2), 700.0),
        "origins": tuple(SimOrigin(name=n, max_round_trip_milliseconds=None) for n in base.origins),
    }
    chat = replace(base.workloads[0], **{**values, **changes})
    rows = tuple(replace(row, initial_replicas=replicas) for row in chat.placements)
    return replace(
        base,
        events=events,
        workloads=(replace(chat, placements=rows),),
        windows=base.windows[:0],
    )


def refused(scenario) -> set[str]:
    plant = Plant(layout_of(scenario))
    calls = Calls(plant)
    calls.decide(plant.advance(0, 0.0, 300.0), 1800.0)
    return calls.refused


@pytest.mark.parametrize(("share", "called"), [(0.2, True), (0.6, True), (0.95, False)])
def test_a_site_full_of_work_can_yield_nearly_all_of_it(share, called):
    assert (refused(world(8, (event(share),))) == set()) == called


def test_a_site_at_its_floor_has_nothing_to_yield():
    chat = world(1, ()).workloads[0]
    rows = tuple(replace(row, min_replicas=1) for row in chat.placements)
    scenario = world(1, (event(0.4),), placements=rows)
    # 1 kW fixed, one replica of 1.8 kW that may be capped to 1: 2.9 kW come down to 2.1 at most
    assert refused(scenario) == {"e"}
    assert refused(replace(scenario, events=(event(0.15),))) == set()


def test_users_that_no_other_site_may_serve_are_not_asked_for():
    base = world(4, (event(0.6),), demand_tokens_per_second=np.full((STEPS, 2), 3000.0))
    near = tuple(SimOrigin(name=n, max_round_trip_milliseconds=20) for n in base.origins)
    actions = (Allowed.SCALE, Allowed.SHIFT_TRAFFIC)
    local = replace(base, workloads=(replace(base.workloads[0], origins=near, actions=actions),))
    busy = np.full((STEPS, 2), 9000.0)
    full = replace(local, workloads=(replace(local.workloads[0], demand_tokens_per_second=busy),))

    spread = replace(full, workloads=(replace(full.workloads[0], actions=(Allowed.SCALE,)),))

    assert refused(base) == set()
    assert refused(spread) == set()
    assert refused(full) == {"e"}
    assert refused(replace(full, events=(event(0.6, firmness=Firmness.MANDATORY),))) == set()
    assert refused(replace(full, events=(event(0.1),))) == set()


def test_work_that_may_not_be_changed_yields_what_caps_take():
    scenario = world(4, (event(0.4),), actions=(), demand_tokens_per_second=np.zeros((STEPS, 2)))
    assert refused(scenario) == {"e"}
    batch = SimBatch(
        arrivals_units=np.full(STEPS, 100.0), due_seconds=3600, units_per_replica_hour=10.0
    )
    held = replace(
        scenario.workloads[0], posture=Posture.BATCH, batch=batch, actions=(Allowed.PAUSE,)
    )
    assert refused(replace(scenario, workloads=(replace(held, min_replicas=0),))) == set()


def test_a_bound_in_watts_is_always_called_and_a_lost_site_never():
    empty = world(0, (event(None, upper_watts=1.0),))
    loss = Fault(
        kind=FaultKind.SITE_LOSS,
        site_name="alpha",
        quantity="",
        start_seconds=1700.0,
        duration_seconds=900.0,
    )
    assert refused(empty) == set()
    assert refused(replace(world(8, (event(0.1),)), faults=(loss,))) == {"e"}


def test_what_is_not_called_is_neither_shown_nor_judged_but_counted():
    late = event(0.2, name="late", start_seconds=3000.0, duration_seconds=300.0)
    policy = small.Nothing()
    result = simulate(world(8, (event(0.95), late)), policy)
    shown = {row.name for snapshot in policy.seen for row in snapshot.sites[0].events}

    assert shown == {"late"}
    assert [row.name for row in result.events] == ["late"]
    assert result.to_json()["total"]["events"]["notCalled"] == 1


def test_an_announced_event_is_called_or_not_when_it_is_announced():
    """What a policy does between the notice and the start changes nothing."""
    told = event(0.4, notice_seconds=900.0)
    plant = Plant(layout_of(world(8, (told,))))
    calls = Calls(plant)
    record = plant.advance(0, 0.0, 300.0)
    calls.decide(record, 899.0)
    assert calls._open
    calls.decide(record, 900.0)
    plant.fleet.lose(np.flatnonzero(plant.layout.site_of == 0))
    calls.decide(plant.advance(3, 900.0, 300.0), 1800.0)
    assert calls.refused == set()
