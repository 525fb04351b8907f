"""No policy can read the future: what comes after t changes nothing that was seen up to t."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests.core.contract import tariffs
from tests.sim import small
from wattshift.core.model import Firmness, Snapshot
from wattshift.core.units import Quantity
from wattshift.sim.run import simulate
from wattshift.sim.scenario import (
    Fault,
    FaultKind,
    Forecasting,
    ForecastModel,
    Scenario,
    Signal,
    SimBatch,
    SimEvent,
    SimSite,
    Storage,
)

STEPS = 288 * 3
CUT = 288 * 2 + 100
"""Everything from this step on is different in the other future."""


def history(model: ForecastModel, delay: float = 0.0) -> Forecasting:
    return Forecasting(model=model, delay_seconds=delay)


def rich_site(name: str, shift: float, model: ForecastModel) -> SimSite:
    base = small.site(name, STEPS, shift)
    rng = np.random.default_rng(round(shift))
    return replace(
        base,
        price=Signal(
            values=rng.uniform(-0.05, 0.3, STEPS),
            unit="USDPerKilowattHour",
            forecasting=history(model),
        ),
        carbon=Signal(
            values=rng.uniform(50, 700, STEPS),
            unit="GramPerKilowattHour",
            forecasting=history(ForecastModel.HOUR_OF_DAY, 5400.0),
        ),
        temperature=replace(base.temperature, forecasting=history(ForecastModel.DAY_OLD)),
        supply=Signal(
            values=rng.uniform(0, 30_000, STEPS),
            unit="Watt",
            forecasting=history(ForecastModel.PERSISTENCE),
        ),
        supply_name="farm",
        supply_type="Wind",
        supply_capacity_watts=30_000,
        green_share=Signal(values=rng.uniform(0, 1, STEPS), unit="Ratio"),
        uncontrolled=Signal(values=rng.uniform(0, 5000, STEPS), unit="Watt"),
        cooling_limit=Signal(values=rng.uniform(50_000, 60_000, STEPS), unit="Watt"),
    )


def world(model: ForecastModel = ForecastModel.DAY_OLD) -> Scenario:
    names = ("alpha", "beta", "gamma")
    return small.scenario(
        STEPS,
        sites=tuple(rich_site(name, 8.0 * i, model) for i, name in enumerate(names)),
        events=(event("before", CUT - 40),),
    )


def event(name: str, step: int) -> SimEvent:
    return SimEvent(
        name=name,
        site_name="alpha",
        start_seconds=step * 300.0,
        duration_seconds=3600.0,
        notice_seconds=600.0,
        upper_watts=None,
        lower_watts=None,
        reduction_share=0.2,
        ramp_seconds=60.0,
        firmness=Firmness.COMMITTED,
    )


def scrambled(base: Scenario, cut: int) -> Scenario:
    """Another future: every truth from `cut` on, another event and another fault."""
    rng = np.random.default_rng(99)

    def other(signal: Signal | None) -> Signal | None:
        if signal is None:
            return None
        values = signal.values.copy()
        values[cut:] = values[cut:][::-1] * 0.5 + rng.uniform(0, 0.4, len(values) - cut)
        return replace(signal, values=values)

    names = (
        "price",
        "carbon",
        "temperature",
        "supply",
        "green_share",
        "uncontrolled",
        "cooling_limit",
    )
    sites = tuple(replace(s, **{n: other(getattr(s, n)) for n in names}) for s in base.sites)
    workloads = []
    for row in base.workloads:
        demand = row.demand_tokens_per_second.copy()
        demand[cut:] *= rng.uniform(0, 3, demand[cut:].shape)
        workloads.append(replace(row, demand_tokens_per_second=demand))
    fault = Fault(
        kind=FaultKind.SITE_LOSS,
        site_name="beta",
        quantity="",
        start_seconds=cut * 300.0,
        duration_seconds=7200.0,
    )
    return replace(
        base,
        sites=sites,
        workloads=tuple(workloads),
        events=(*base.events, event("after", cut + 3)),
        faults=(fault,),
    )


def seen(base: Scenario) -> list[Snapshot]:
    policy = small.Local()
    simulate(base, policy, windows=["day"])
    return policy.seen


def last_part(base: Scenario) -> Scenario:
    """Only the third day is run; the two before it are history."""
    window = replace(base.windows[0], first_step=CUT - 30)
    return replace(base, windows=(window,))


@pytest.fixture(scope="module")
def pair() -> tuple[list[Snapshot], list[Snapshot]]:
    base = last_part(world())
    return seen(base), seen(scrambled(base, CUT))


def test_snapshots_up_to_the_cut_are_byte_equal(pair):
    first, second = pair
    cut = CUT * 300.0

    upto = [row for row in first if row.wall_time <= cut]
    assert len(upto) > 30
    for mine, theirs in zip(first, second, strict=True):
        if mine.wall_time <= cut:
            assert mine == theirs
            assert pickle.dumps(mine) == pickle.dumps(theirs) or repr(mine) == repr(theirs)


def test_the_other_future_is_really_another_one(pair):
    first, second = pair
    cut = CUT * 300.0

    later = [
        mine != theirs
        for mine, theirs in zip(first, second, strict=True)
        if mine.wall_time > cut + 600
    ]
    assert later
    assert all(later)


def test_published_prices_are_seen_only_as_far_as_they_were_published():
    base = last_part(world(ForecastModel.PUBLISHED))
    # the third day is published from noon of the second day on, and the fourth from noon of the third
    cut = 288 * 3 - 60
    first, second = seen(base), seen(scrambled(base, cut))

    differing = set()
    for mine, theirs in zip(first, second, strict=True):
        if mine.wall_time >= cut * 300.0 or mine == theirs:
            continue
        for a, b in zip(mine.sites, theirs.sites, strict=True):
            plain = {s.name: s for s in a.signals}
            for row in b.signals:
                if plain[row.name] != row:
                    differing.add(row.name)
            assert replace(a, signals=()) == replace(b, signals=())
        assert mine.workloads == theirs.workloads
    assert differing == {"price-forecast"}


def test_a_published_day_is_not_known_before_its_hour():
    base = last_part(world(ForecastModel.PUBLISHED))
    snapshots = seen(base)

    for row in snapshots:
        hours = (row.grid_time - small.START) % 86400 / 3600
        site = row.sites[0]
        ahead = next(
            s.forecast
            for s in site.signals
            if s.quantity is Quantity.ENERGY_PRICE and s.forecast is not None
        )
        day_end = row.grid_time - hours * 3600 + 86400
        assert ahead.end_time <= day_end + (86400 if hours >= 12 else 0)


def test_what_is_late_is_seen_late():
    snapshots = seen(last_part(world()))

    for row in snapshots:
        for site in row.sites:
            for state in site.signals:
                if state.reading is None or state.reading.source_time is None:
                    continue
                if state.quantity is Quantity.CARBON_INTENSITY_AVERAGE:
                    assert state.reading.source_time <= row.grid_time - 5400
                assert state.reading.source_time <= row.grid_time
            meter = site.connections[0].metered
            assert meter is not None
            assert meter.source_time is None or meter.source_time <= row.grid_time - 5


def test_an_event_without_notice_is_not_seen_before_it_starts():
    base = last_part(world())
    sudden = replace(event("sudden", CUT), notice_seconds=0.0)
    snapshots = seen(replace(base, events=(sudden,)))

    for row in snapshots:
        shown = [e.name for e in row.sites[0].events]
        told = CUT * 300.0 <= row.wall_time < CUT * 300.0 + 7200
        assert shown == (["sudden"] if told else [])
        if told and row.sites[0].events[0].active and row.wall_time >= CUT * 300.0 + 300:
            found = row.sites[0].events[0]
            assert found.frozen_reference_watts is not None
            assert found.upper_watts == round(found.frozen_reference_watts * 0.8)


def leaves(value: object, found: set[type], seen_ids: set[int]) -> None:
    if id(value) in seen_ids:
        return
    seen_ids.add(id(value))
    if isinstance(value, tuple):
        for row in value:
            leaves(row, found, seen_ids)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            leaves(getattr(value, name), found, seen_ids)
    else:
        found.add(type(value))


def test_a_snapshot_is_plain_values_and_leads_nowhere_else(pair):
    found: set[type] = set()
    for row in pair[0][-3:]:
        leaves(row, found, set())

    for kind in found:
        assert kind.__module__ == "builtins" or kind.__module__.startswith(
            ("wattshift.core", "decimal")
        ), kind
    assert not {dict, list, set} & found


def test_batch_work_storage_and_contracts_tell_nothing_of_what_comes():
    """Arrivals, the state of charge, peaks and their prices are of the past alone."""
    base = last_part(world(ForecastModel.HOUR_OF_DAY))
    store = Storage(
        energy_watt_hours=20_000.0,
        power_watts=9000.0,
        charge_efficiency=0.9,
        discharge_efficiency=0.9,
        reserve_share=0.1,
    )
    base = small.with_site(base, 0, storage=store)
    base = small.with_site(base, 1, contract=tariffs.contract(tariffs.T6))
    arrivals = np.random.default_rng(3).uniform(0, 4, STEPS)
    job = replace(
        base.workloads[0],
        name="batch",
        origins=(),
        demand_tokens_per_second=np.zeros((STEPS, 0)),
        batch=SimBatch(arrivals_units=arrivals, due_seconds=7200.0, units_per_replica_hour=20.0),
    )
    base = replace(base, workloads=(*base.workloads, job))
    other = scrambled(base, CUT)
    later = arrivals.copy()
    later[CUT:] = 50.0
    changed = replace(other.workloads[1], batch=replace(job.batch, arrivals_units=later))
    other = replace(other, workloads=(other.workloads[0], changed))
    first, second = seen(base), seen(other)

    same = [a == b for a, b in zip(first, second, strict=True) if a.wall_time <= CUT * 300.0]
    assert len(same) > 30
    assert all(same)
    assert first[-1] != second[-1]
