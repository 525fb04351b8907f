"""Physics of a span: concurrency, watts, latency, queue, caps, moves, batch work, losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import small
from wattshift.core.model import Allowed
from wattshift.sim.books import check, energies
from wattshift.sim.layout import layout_of
from wattshift.sim.plant import Plant
from wattshift.sim.policies.base import Orders
from wattshift.sim.scenario import Fault, FaultKind, SimBatch, SimPlacement, Storage
from wattshift.sim.windows import Windows

CHAT = "llm/chat"
NAMES = ("alpha", "beta", "gamma")


def flat(rate: float, steps: int = 40, **changes):
    """Constant demand from the east only."""
    demand = np.zeros((steps, 2))
    demand[:, 0] = rate
    workload = small.chat(steps, NAMES, demand_tokens_per_second=demand, **changes)
    sites = tuple(small.site(name, steps) for name in NAMES)
    return small.scenario(steps, workloads=(workload,), sites=sites, margin=0.0)


def plant_of(scenario) -> Plant:
    return Plant(layout_of(scenario))


def test_concurrency_and_watts_follow_the_published_table():
    record = plant_of(flat(4 * 2511.0)).advance(0, 0.0, 300.0)

    assert record.sequences[0] == pytest.approx(4 * 64)
    assert record.power_factor[0] == pytest.approx(2002)
    assert record.latency.inter_p50[0] == pytest.approx(22.4)
    assert record.latency.inter_p99[0] == pytest.approx(91)


def test_nothing_decoded_is_loaded_idle():
    record = plant_of(flat(0.0)).advance(0, 0.0, 300.0)

    assert record.power_factor[0] == pytest.approx(456)
    assert record.flows.it[0] == pytest.approx(4 * 456)


def test_facility_follows_the_affine_curve_at_the_true_temperature():
    base = flat(0.0)
    cold = replace(base.sites[0].temperature, values=np.full(40, 20.0))
    record = plant_of(small.with_site(base, 0, temperature=cold)).advance(0, 0.0, 300.0)

    assert record.flows.facility[0] == pytest.approx(1250 + 1.175 * 4 * 456)


def test_beyond_the_table_requests_wait_and_then_leave():
    alone = flat(12 * 6827.0 * 1.5)
    plant = plant_of(alone)
    first = plant.advance(0, 0.0, 10.0)
    waits = [first.latency.wait.max()]
    for k in range(1, 30):
        record = plant.advance(0, 10.0 * k, 10.0)
        waits.append(record.latency.wait.max())
        check(record, energies(record, plant.layout))

    assert first.served.sum() == pytest.approx(8 * 6827)  # gamma is out of the east's reach
    assert waits == sorted(waits)
    assert record.gave_up.sum() > 0
    assert plant.queue.sum() <= 8 * 6827 * 60 + 1


def test_queueing_makes_the_first_token_late():
    plant = plant_of(flat(8 * 6827.0 * 1.2))
    windows = Windows(plant.layout)
    for k in range(30):
        windows.add(plant.advance(0, 10.0 * k, 10.0))
    rows = [row for row in windows.of(0) if row.metric.value == "TimeToFirstToken"]

    assert rows[-1].slow.bad > 0.9 * rows[-1].slow.total


def test_a_power_cap_lowers_watts_and_slows_tokens_by_the_curve():
    plant = plant_of(flat(4 * 2511.0))
    plant.apply(Orders(caps={(CHAT, "alpha"): 0.79}), 0.0)
    record = plant.advance(0, 0.0, 300.0)

    assert record.power_factor[0] == pytest.approx(0.79 * 2002)
    assert record.served[0] == pytest.approx(0.93 * 4 * 2511)
    assert record.latency.inter_p50[0] > 22.4 / 0.93 - 0.1

    plant.apply(Orders(), 300.0)
    assert plant.advance(1, 300.0, 300.0).power_factor[0] == pytest.approx(2002)


def test_a_cap_above_what_is_drawn_changes_nothing():
    plant = plant_of(flat(4 * 470.0))
    free = plant.advance(0, 0.0, 300.0)
    plant.apply(Orders(caps={(CHAT, "alpha"): 0.95}), 300.0)
    capped = plant.advance(1, 300.0, 300.0)

    assert capped.power_factor[0] == pytest.approx(free.power_factor[0])
    assert capped.served[0] == pytest.approx(free.served[0])


def test_starting_replicas_draw_loaded_idle():
    plant = plant_of(flat(0.0))
    plant.apply(Orders(replicas={(CHAT, "alpha"): 10}), 0.0)
    record = plant.advance(0, 0.0, 300.0)

    assert record.waiting_watt_hours[0] == pytest.approx(6 * 456 * 300 / 3600)


def test_a_move_is_counted_and_its_prompts_are_computed_again():
    plant = plant_of(flat(4 * 2511.0, prompt_tokens_per_request=1000.0))
    plant.advance(0, 0.0, 300.0)
    plant.apply(Orders(split={(CHAT, "east"): {"alpha": 0.5, "beta": 0.5}}), 300.0)
    record = plant.advance(1, 300.0, 300.0)
    later = plant.advance(2, 600.0, 300.0)

    sequences = 2 * 2511.0 * 64 / 2511
    assert record.moved[0] == pytest.approx(0.5)
    assert later.moved[0] == 0
    total = (
        record.move_watt_hours.sum() + later.move_watt_hours.sum() + plant.moves.owed.sum() / 3600
    )
    assert total * 3600 == pytest.approx(sequences * 1000 * 2.0)
    assert record.move_watt_hours[1] > 0
    assert record.move_watt_hours[0] == 0


def test_prompts_of_a_move_never_draw_more_than_the_replicas_can():
    plant = plant_of(flat(4 * 2511.0, prompt_tokens_per_request=100_000.0))
    plant.advance(0, 0.0, 1.0)
    plant.apply(Orders(split={(CHAT, "east"): {"beta": 1.0}}), 1.0)
    for k in range(1, 20):
        record = plant.advance(0, float(k), 1.0)
        assert record.flows.it[1] <= 4 * 2548 * 1.06


def test_demand_that_grows_moves_nothing():
    plant = plant_of(small.scenario(40))
    moved = [plant.advance(k, 300.0 * k, 300.0).moved[0] for k in range(40)]

    assert sum(moved) == 0


def test_a_lost_site_serves_nothing_and_starts_again():
    fault = Fault(
        kind=FaultKind.SITE_LOSS,
        site_name="alpha",
        quantity="",
        start_seconds=300.0,
        duration_seconds=600.0,
    )
    plant = plant_of(replace(flat(4 * 470.0), faults=(fault,)))
    records = [plant.advance(k, 300.0 * k, 300.0) for k in range(6)]

    assert records[0].served[0] > 0
    for record in records[1:3]:
        assert record.mean.serving[0] == 0
        assert record.flows.it[0] == 0
        assert record.served[1] == pytest.approx(4 * 470)
    assert records[3].mean.starting[0] == 4
    assert records[4].served[0] == pytest.approx(4 * 470)


def test_orders_for_a_member_that_is_down_change_nothing():
    fault = Fault(
        kind=FaultKind.MEMBER_DOWN,
        site_name="alpha",
        quantity="",
        start_seconds=0.0,
        duration_seconds=600.0,
    )
    plant = plant_of(replace(flat(0.0), faults=(fault,)))
    plant.apply(Orders(replicas={(CHAT, "alpha"): 1, (CHAT, "beta"): 1}), 0.0)

    assert plant.fleet.target[:2].tolist() == [4, 1]


def test_the_queue_of_a_placement_that_closes_is_served_elsewhere():
    plant = plant_of(flat(8 * 6827.0 * 1.05))
    plant.advance(0, 0.0, 30.0)
    held = plant.queue.copy()
    plant.apply(Orders(replicas={(CHAT, "alpha"): 0, (CHAT, "beta"): 16}), 30.0)
    plant.advance(0, 30.0, 300.0)
    assert held[0] > 0
    assert plant.queue[0] == 0


def test_surplus_is_curtailed_or_sold_and_storage_takes_its_part():
    from wattshift.sim.scenario import Signal

    base = flat(0.0)
    supply = Signal(values=np.full(40, 50_000.0), unit="Watt")
    store = Storage(
        energy_watt_hours=1000.0,
        power_watts=5000.0,
        charge_efficiency=0.9,
        discharge_efficiency=0.9,
        reserve_share=0.0,
    )
    plant = plant_of(small.with_site(base, 0, supply=supply, storage=store))
    first = plant.advance(0, 0.0, 300.0)
    for k in range(1, 6):
        last = plant.advance(k, 300.0 * k, 300.0)
        check(last, energies(last, plant.layout))

    assert first.flows.imported[0] == 0
    assert first.flows.charge[0] == pytest.approx(5000)
    assert last.flows.charge[0] == pytest.approx(0, abs=1e-6)
    assert last.flows.curtailed[0] == pytest.approx(50_000 - last.flows.facility[0])
    assert plant.sources.charge[0] == pytest.approx(1000)


def test_batch_units_are_done_in_order_and_late_ones_counted():
    batch = SimBatch(
        arrivals_units=np.full(40, 10.0), due_seconds=600.0, units_per_replica_hour=60.0
    )
    workload = small.chat(
        40,
        ("alpha",),
        name="embed",
        origins=(),
        demand_tokens_per_second=np.zeros((40, 0)),
        batch=batch,
        actions=(Allowed.SCALE, Allowed.PAUSE),
        placements=(
            SimPlacement(
                site_name="alpha",
                profile_name="llama-70b",
                min_replicas=0,
                max_replicas=16,
                initial_replicas=2,
            ),
        ),
    )
    plant = plant_of(small.scenario(40, workloads=(workload,)))
    record = plant.advance(0, 0.0, 300.0)
    assert record.batch_done[0] == pytest.approx(10)
    assert record.power_factor[0] == pytest.approx(2002)

    plant.apply(Orders(replicas={("llm/embed", "alpha"): 0}), 300.0)
    for k in range(1, 4):
        record = plant.advance(k, 300.0 * k, 300.0)
        assert record.batch_done[0] == 0
    assert plant.batch.backlog(0, 1200.0) == pytest.approx(30)
    assert plant.batch.late[0] == pytest.approx(10)
    assert plant.batch.deadline(0, 1200.0) == pytest.approx(300 + 600)


@settings(max_examples=25, deadline=None)
@given(
    demand=st.lists(st.floats(0, 120_000), min_size=6, max_size=6),
    counts=st.lists(st.integers(0, 16), min_size=6, max_size=6),
    cap=st.floats(0.4, 1.0),
    seconds=st.sampled_from([1.0, 7.0, 60.0, 300.0]),
)
def test_books_balance_and_nothing_is_negative_whatever_is_ordered(demand, counts, cap, seconds):
    base = flat(0.0, 6)
    rows = np.zeros((6, 2))
    rows[:, 0], rows[:, 1] = demand, demand[::-1]
    workload = replace(base.workloads[0], demand_tokens_per_second=rows)
    plant = plant_of(replace(base, workloads=(workload,), step_seconds=seconds))
    for k in range(6):
        plant.apply(
            Orders(
                replicas={(CHAT, NAMES[k % 3]): counts[k]},
                caps={(CHAT, "alpha"): cap} if k % 2 else {},
                split={(CHAT, "west"): {"alpha": 0.4, "gamma": 0.6}} if k > 2 else {},
            ),
            k * seconds,
        )
        record = plant.advance(k, k * seconds, seconds)
        check(record, energies(record, plant.layout))
        for values in (record.served, record.queue, record.gave_up, record.lost, record.flow):
            assert np.all(values >= 0)
        most = record.mean.serving * plant.layout.rate_max
        assert np.all(record.served <= most + 1e-6)


def test_a_cap_acts_after_its_time_and_is_lifted_after_the_same():
    plant = plant_of(flat(4 * 2511.0))
    plant.apply(Orders(caps={(CHAT, "alpha"): 0.79}), 0.0)
    watts = [plant.advance(0, float(k), 1.0).power_factor[0] for k in range(4)]
    plant.apply(Orders(), 4.0)
    watts += [plant.advance(0, float(k), 1.0).power_factor[0] for k in range(4, 8)]

    capped = pytest.approx(0.79 * 2002)
    assert watts[:2] == [pytest.approx(2002)] * 2
    assert watts[2:6] == [capped] * 4
    assert watts[6:] == [pytest.approx(2002)] * 2
