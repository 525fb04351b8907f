"""What holds of the plant whatever is ordered, whatever breaks, and however time is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wattshift.core.model import Allowed
from wattshift.sim.books import check, energies
from wattshift.sim.layout import layout_of
from wattshift.sim.plant import Plant
from wattshift.sim.policies.base import Orders
from wattshift.sim.replicas import DRAINING, STARTING, WAKING
from wattshift.sim.run import simulate
from wattshift.sim.scenario import Fault, FaultKind, SimBatch, Storage

from tests.sim import small
from tests.sim.test_bounds_plant import signal

NAMES = ("alpha", "beta", "gamma")
SLOW = [HealthCheck.too_slow]


def batch_job(steps):
    return small.chat(
        steps,
        NAMES,
        name="batch",
        origins=(),
        demand_tokens_per_second=np.zeros((steps, 0)),
        batch=SimBatch(
            arrivals_units=np.full(steps, 3.0), due_seconds=1800.0, units_per_replica_hour=20.0
        ),
        actions=(Allowed.SCALE,),
    )


def world(steps, **changes):
    """Two workloads that share devices; own supply and storage at one site; a site is lost a while."""
    base = small.scenario(steps)
    sites = list(base.sites)
    sites[0] = replace(
        sites[0],
        supply=signal(np.linspace(0, 60_000, steps)),
        storage=Storage(
            energy_watt_hours=5000.0,
            power_watts=4000.0,
            charge_efficiency=0.9,
            discharge_efficiency=0.9,
            reserve_share=0.2,
        ),
    )
    sites[1] = replace(sites[1], devices=(("nvidia.com/gpu", 36),))
    lost = Fault(
        kind=FaultKind.SITE_LOSS,
        site_name="gamma",
        quantity="",
        start_seconds=1000.0,
        duration_seconds=1500.0,
    )
    return replace(
        base,
        sites=tuple(sites),
        workloads=(small.chat(steps, NAMES), batch_job(steps)),
        tables=(replace(small.LLAMA, parked_watts=100.0),),
        faults=(lost,),
        **changes,
    )


orders_ = st.lists(
    st.tuples(
        st.sampled_from([1.0, 5.0, 60.0, 299.0]),
        st.dictionaries(
            st.tuples(st.sampled_from(["llm/chat", "llm/batch"]), st.sampled_from(NAMES)),
            st.integers(0, 20),
            max_size=4,
        ),
        st.dictionaries(st.sampled_from(NAMES), st.floats(0.0, 1.0), max_size=3),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.0, 0.5, 0.8, 1.0]), max_size=2),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(orders_)
def test_books_balance_and_nothing_is_more_than_there_is(script):
    scenario = world(48)
    layout = layout_of(scenario)
    plant = Plant(layout)
    highest = np.asarray([layout.curves[m].watts.max() for m in layout.table_of])
    now = 0.0
    for seconds, replicas, split, caps in script:
        orders = Orders(
            replicas=dict(replicas),
            split={("llm/chat", name): dict(split) for name in ("east", "west")} if split else {},
            caps={("llm/chat", name): share for name, share in caps.items()},
        )
        plant.apply(orders, now)
        record = plant.advance(int(now // 300), now, seconds)
        check(record, energies(record, layout))

        fleet = plant.fleet
        count = fleet.serving + fleet.parked + fleet.pending(STARTING, WAKING, DRAINING)
        assert (fleet.serving >= 0).all()
        assert (fleet.parked >= 0).all()
        assert (fleet.serving + fleet.pending(STARTING, WAKING) <= layout.max_replicas).all()
        used = np.bincount(layout.pool_of, count * layout.devices_each, len(layout.pool_devices))
        assert (used <= layout.pool_devices).all()
        # energy of a span is at most all its replicas at their highest
        most = np.bincount(
            layout.site_of,
            highest * (record.mean.serving + record.mean.starting + record.mean.draining)
            + 100.0 * record.mean.parked,
            3,
        )
        # prefill of moved prompts may always add a little
        assert (record.flows.it <= most * 1.06 + 1e-6).all()
        assert (record.queue >= 0).all()
        assert np.isfinite(record.latency.inter_p99).all()
        assert np.isfinite(record.latency.wait).all()
        assert record.past_margin >= -1e-9
        store = plant.sources.charge
        assert 1000.0 - 1e-6 <= store[0] <= 5000.0 + 1e-6
        if 1000.0 <= now < 2500.0:
            gamma = layout.site_of == 2
            assert record.served[gamma].sum() == 0
            assert record.mean.serving[gamma].sum() == 0
        now += seconds


def refined(scenario, factor):
    """The same world on a finer grid of time."""

    def fine(values):
        return np.repeat(np.asarray(values), factor, axis=0)

    def row(part):
        return None if part is None else replace(part, values=fine(part.values))

    quantities = ("price", "carbon", "temperature", "supply", "uncontrolled")
    sites = tuple(
        replace(site, **{name: row(getattr(site, name)) for name in quantities})
        for site in scenario.sites
    )
    jobs = []
    for job in scenario.workloads:
        demand = fine(job.demand_tokens_per_second)
        batch = job.batch
        if batch is not None:
            batch = replace(batch, arrivals_units=fine(batch.arrivals_units) / factor)
        jobs.append(replace(job, demand_tokens_per_second=demand, batch=batch))
    return replace(
        scenario,
        sites=sites,
        workloads=tuple(jobs),
        steps=scenario.steps * factor,
        step_seconds=scenario.step_seconds / factor,
        windows=(),
        govern_every_seconds=scenario.step_seconds / factor,
    )


def scripted():
    key = "llm/chat"
    return small.Scripted(
        {
            0.0: Orders(replicas={(key, "alpha"): 6, (key, "gamma"): 5}),
            3000.0: Orders(replicas={(key, "beta"): 2, (key, "gamma"): 8}),
            6000.0: Orders(replicas={(key, "alpha"): 3, (key, "beta"): 5}),
        }
    )


@pytest.mark.parametrize("factor", [5, 20])
def test_energy_does_not_depend_on_how_fine_time_is_cut(factor):
    """Starts, drains, storage and facility of partial steps: the same joules at any step."""
    scenario = replace(world(48), faults=(), windows=())
    coarse = simulate(scenario, scripted(), checked=True)
    fine = simulate(refined(scenario, factor), scripted(), checked=True)

    for part in ("supply", "uncontrolled"):
        assert fine.watt_hours(part) == pytest.approx(coarse.watt_hours(part), rel=1e-9)
    assert fine.output_tokens == pytest.approx(coarse.output_tokens, rel=2e-3)
    assert fine.watt_hours("serving") == pytest.approx(coarse.watt_hours("serving"), rel=5e-3)
    # a start draws idle watts for its 300 s, a drain ends when it ends: linear in time
    assert fine.watt_hours("waiting") == pytest.approx(coarse.watt_hours("waiting"), rel=0.05)
    assert fine.watt_hours("facility") == pytest.approx(coarse.watt_hours("facility"), rel=5e-3)
    assert fine.energy_cost == pytest.approx(coarse.energy_cost, rel=1e-2)


def test_a_start_costs_its_idle_watts_for_its_time_at_any_step():
    base = small.scenario(steps=12)
    quiet = replace(base.workloads[0], demand_tokens_per_second=np.zeros((12, 2)), min_replicas=0)
    quiet = replace(
        quiet, placements=tuple(replace(row, initial_replicas=0) for row in quiet.placements)
    )
    still = replace(base, workloads=(quiet,), tables=(replace(small.LLAMA, start_seconds=420.0),))
    for factor in (1, 5, 60):
        policy = small.Scripted({600.0: Orders(replicas={("llm/chat", "alpha"): 3})})
        result = simulate(refined(still, factor) if factor > 1 else still, policy)
        # three replicas for 420 s, then loaded idle for the rest of the hour
        assert result.watt_hours("waiting") == pytest.approx(3 * 456 * 420 / 3600, abs=0.01)
        assert result.watt_hours("serving") == pytest.approx(3 * 456 * 2580 / 3600, abs=0.01)


def test_a_scenario_twice_as_large_uses_twice_as_much():
    """Two copies of every site and origin that do not reach each other."""
    base = small.scenario(steps=48)
    single = simulate(base, small.Local())
    names = [site.name for site in base.sites]
    sites = (*base.sites, *(replace(site, name=f"{site.name}-2") for site in base.sites))
    job = base.workloads[0]
    twin = replace(
        job,
        name="twin",
        placements=tuple(replace(row, site_name=f"{row.site_name}-2") for row in job.placements),
    )
    double = simulate(
        replace(
            base,
            sites=sites,
            workloads=(job, twin),
            round_trip_milliseconds=np.tile(base.round_trip_milliseconds, (1, 2)),
        ),
        small.Local(),
    )

    assert len(names) == 3
    for figure in ("energy_cost", "carbon_grams", "output_tokens"):
        assert getattr(double, figure) == pytest.approx(2 * getattr(single, figure), rel=1e-9)


def test_units_of_money_change_nothing_but_money():
    base = small.scenario(steps=48)
    cents = replace(
        base,
        sites=tuple(
            replace(site, price=replace(site.price, values=100 * site.price.values))
            for site in base.sites
        ),
    )
    one, other = simulate(base, small.Local()), simulate(cents, small.Local())

    assert other.energy_cost == pytest.approx(100 * one.energy_cost, rel=1e-4)
    assert other.carbon_grams == one.carbon_grams


def test_two_currencies_are_added_at_the_stated_rate():
    base = small.scenario(steps=48)
    settings_ = replace(base.settings, exchange_rates=(("NOK", "0.09"),))
    paid = replace(small.with_site(base, 1, currency="NOK"), settings=settings_)
    plain, mixed = simulate(base, small.Local()), simulate(paid, small.Local())
    rows = [int(window.sums.cost[1]) / 1e6 for window in plain.windows]

    assert rows[0] > 0
    assert mixed.energy_cost == pytest.approx(plain.energy_cost - rows[0] * (1 - 0.09), abs=1e-6)
