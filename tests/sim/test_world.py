"""The snapshot: telemetry, engine statistics for the real guard, faults, events, quotes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from tests.sim import small
from wattshift.core import freshness
from wattshift.core.load.guard import GuardState, judge
from wattshift.core.load.latency import thresholds_milliseconds
from wattshift.core.model import Firmness, MemberPhase, Snapshot
from wattshift.core.power.power import estimate
from wattshift.core.survey.prices import price_of
from wattshift.core.signal import Quality, Reading
from wattshift.core.units import Quantity
from wattshift.sim.events_seen import EventsSeen
from wattshift.sim.policies.base import Orders
from wattshift.sim.run import simulate
from wattshift.sim.scenario import Fault, FaultKind, Signal, SimEvent, Window

CHAT = "llm/chat"


def run(scenario, policy=None) -> list[Snapshot]:
    policy = policy or small.Nothing()
    simulate(scenario, policy, windows=["all"], checked=True)
    return policy.seen


def faulty(kind: FaultKind, quantity: str, site: str = "alpha", factor: float = 1.0, **more):
    base = small.scenario(30)
    fault = Fault(
        kind=kind,
        site_name=site,
        quantity=quantity,
        start_seconds=more.pop("start", 3000.0),
        duration_seconds=more.pop("duration", 3000.0),
        factor=factor,
    )
    return replace(base, faults=(fault,), **more)


def state_of(snapshot: Snapshot, name: str = "carbon", site: int = 0):
    return next(row for row in snapshot.sites[site].signals if row.name == name)


# ---- telemetry ----------------------------------------------------------------------------------


def test_the_model_of_the_operator_agrees_with_the_meter():
    snapshots = run(small.scenario(20))

    for row in snapshots[3:]:
        for feed in estimate(row, row.grid_time).values():
            assert not feed.suspect, feed.message
            assert feed.metered_watts == pytest.approx(feed.model_watts, rel=0.03)


def test_load_by_origin_adds_up_to_the_engines_concurrency():
    snapshots = run(small.scenario(20))

    for row in snapshots[2:]:
        workload = row.workloads[0]
        running = sum(place.engine.concurrency for place in workload.placements if place.engine)
        assert sum(value for _, value in workload.origin_loads) == pytest.approx(running)


def test_loads_ahead_are_in_the_same_unit_as_loads_now():
    window = Window(name="all", first_step=330, last_step=345)
    for row in run(small.scenario(360, windows=(window,))):
        workload = row.workloads[0]
        now = dict(workload.origin_loads)
        for name, forecast in workload.origins_ahead:
            assert forecast.at(row.grid_time) == pytest.approx(now[name], rel=0.1)


def test_orders_are_seen_as_desired_written_and_observed():
    policy = small.Scripted({1500.0: Orders(replicas={(CHAT, "alpha"): 7})})
    snapshots = run(small.scenario(12), policy)

    after = next(row for row in snapshots if row.wall_time == 1800.0)
    place = after.workloads[0].placements[0]
    assert (place.desired_replicas, place.last_written_replicas, place.observed_replicas) == (
        7,
        7,
        7,
    )
    assert place.last_write_time == small.START + 1500
    assert place.ready_replicas == 4 or place.ready_replicas == 7
    assert after.workloads[0].last_change_time == small.START + 1500
    late = next(row for row in snapshots if row.wall_time == 2400.0)
    assert late.workloads[0].placements[0].in_service_replicas == 7


def test_the_real_guard_is_within_when_the_plant_is():
    last = run(small.scenario(30))[-1]
    workload, site = last.workloads[0], last.sites[0]
    place = workload.placements[0]
    verdict = judge(place, workload.objectives, wall_time=last.wall_time)

    assert site.name == place.site_name
    assert verdict.state is GuardState.WITHIN
    assert verdict.removal_allowed


def test_the_real_guard_sees_an_overloaded_plant():
    base = small.scenario(30)
    workload = base.workloads[0]
    hot = replace(
        workload,
        demand_tokens_per_second=np.full((30, 2), 24_000.0),
        objectives=tuple(
            replace(row, threshold_milliseconds=min(row.threshold_milliseconds, 60))
            if row.metric.value == "InterTokenLatency"
            else row
            for row in workload.objectives
        ),
    )
    last = run(replace(base, workloads=(hot,)))[-1]
    verdict = judge(last.workloads[0].placements[0], hot.objectives, wall_time=last.wall_time)

    assert verdict.state is GuardState.VIOLATED
    assert verdict.veto


def test_engines_count_against_what_the_round_trip_leaves():
    last = run(small.scenario(10))[-1]
    place = last.workloads[0].placements[0]
    first = last.workloads[0].objectives[0]
    wanted = set(thresholds_milliseconds(first, 200))

    assert {
        w.threshold_milliseconds for w in place.engine.windows if w.metric is first.metric
    } == wanted


# ---- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.STALE, FaultKind.MISSING, FaultKind.NAN])
def test_a_silent_or_broken_source_leaves_the_last_value_until_it_is_stale(kind):
    scenario = replace(faulty(kind, "Temperature", duration=30_000.0), step_seconds=300.0)
    scenario = replace(scenario, steps=30)
    long = replace(small.scenario(60), faults=scenario.faults)
    snapshots = run(long)
    before = next(row for row in snapshots if row.wall_time == 3000.0)
    inside = next(row for row in snapshots if row.wall_time == 4500.0)
    late = snapshots[-1]

    held = state_of(inside, "temperature").reading
    assert held.value == state_of(before, "temperature").reading.value
    assert held.quality is Quality.MEASURED
    old = state_of(late, "temperature").reading
    assert late.wall_time > 3000 + 7200 + 300
    assert old.quality is Quality.STALE
    assert freshness.usable(late.sites[0].outdoor_temperature, late.grid_time)
    assert old.source_time <= small.START + 3000


def test_a_stale_price_assumes_the_worst_of_its_forecast():
    scenario = faulty(FaultKind.STALE, "Price", duration=30_000.0)
    snapshots = run(replace(small.scenario(100), faults=scenario.faults))
    late = next(row for row in snapshots if row.wall_time == 18_000.0)
    site = late.sites[0]
    judged = freshness.signal(site, Quantity.ENERGY_PRICE, late.grid_time)
    ahead = state_of(late, "price-forecast").forecast

    assert state_of(late, "price").reading.value is None
    assert judged.worst
    assert judged.value == max(
        p.value for p in ahead.points if p.start_time > late.grid_time - 3600
    )


def test_a_negative_carbon_value_is_refused_and_a_negative_price_is_not():
    carbon = run(faulty(FaultKind.NEGATIVE, "Carbon", start=4500.0))
    price = run(faulty(FaultKind.NEGATIVE, "Price"))
    at = 5400.0

    shown = state_of(next(r for r in carbon if r.wall_time == at), "carbon").reading
    assert shown.value > 0
    shown = state_of(next(r for r in price if r.wall_time == at), "price").reading
    assert shown.value < 0


def test_a_spike_must_be_repeated_before_it_counts():
    snapshots = run(faulty(FaultKind.SPIKE, "Power", factor=20.0, duration=1200.0))
    meters = {row.wall_time: row.sites[0].connections[0].metered.value for row in snapshots}

    assert meters[3000.0] < 2 * meters[2700.0]
    assert meters[3600.0] > 10 * meters[2700.0]


def test_a_bias_and_a_lying_meter_multiply():
    biased = run(faulty(FaultKind.BIAS, "Price", factor=1.3))
    plain = run(small.scenario(30))
    lying = run(faulty(FaultKind.METER_LIES, "", factor=0.5))
    at = 4500.0

    def row(rows):
        return next(r for r in rows if r.wall_time == at)

    assert state_of(row(biased), "price").reading.value == pytest.approx(
        1.3 * state_of(row(plain), "price").reading.value
    )
    mine = state_of(row(biased), "price-forecast").forecast
    theirs = state_of(row(plain), "price-forecast").forecast
    assert mine.at(row(plain).grid_time + 1800) == pytest.approx(
        1.3 * theirs.at(row(plain).grid_time + 1800)
    )
    assert row(lying).sites[0].connections[0].metered.value == pytest.approx(
        0.5 * row(plain).sites[0].connections[0].metered.value
    )
    feed = estimate(row(lying), row(lying).grid_time)["alpha", "grid"]
    assert feed.suspect


def test_a_biased_demand_changes_what_is_seen_and_not_what_is_served():
    plain = run(small.scenario(30))
    biased = run(faulty(FaultKind.BIAS, "Demand", site="", factor=0.7))
    at = 4500.0
    mine = next(r for r in biased if r.wall_time == at).workloads[0]
    theirs = next(r for r in plain if r.wall_time == at).workloads[0]

    assert dict(mine.origin_loads)["east"] == pytest.approx(0.7 * dict(theirs.origin_loads)["east"])
    assert mine.placements[0].engine == theirs.placements[0].engine


def test_a_member_that_is_down_is_lost_its_engines_blind_and_its_orders_not_carried_out():
    policy = small.Scripted({3600.0: Orders(replicas={(CHAT, "alpha"): 1})})
    scenario = faulty(FaultKind.MEMBER_DOWN, "", duration=1800.0)
    snapshots = run(scenario, policy)
    inside = next(row for row in snapshots if row.wall_time == 4500.0)
    place = inside.workloads[0].placements[0]

    assert inside.sites[0].members[0].phase is MemberPhase.LOST
    assert place.engine.age_seconds > 900
    assert judge(place, inside.workloads[0].objectives, wall_time=4500.0).state is GuardState.BLIND
    assert place.observed_replicas == 4
    assert inside.sites[1].members[0].phase is MemberPhase.READY
    assert snapshots[-1].sites[0].members[0].phase is MemberPhase.READY
    assert snapshots[-1].workloads[0].placements[0].observed_replicas == 4


def test_a_lost_site_is_seen_and_comes_back():
    snapshots = run(faulty(FaultKind.SITE_LOSS, "", duration=1800.0))
    inside = next(row for row in snapshots if row.wall_time == 4500.0)

    assert inside.sites[0].members[0].phase is MemberPhase.LOST
    assert inside.sites[0].connections[0].metered.value < 2000
    assert snapshots[-1].workloads[0].placements[0].in_service_replicas == 4


# ---- events and contracts -----------------------------------------------------------------------


def dr(notice: float = 600.0) -> SimEvent:
    return SimEvent(
        name="e1",
        site_name="alpha",
        start_seconds=1800.0,
        duration_seconds=600.0,
        notice_seconds=notice,
        upper_watts=None,
        lower_watts=None,
        reduction_share=0.25,
        ramp_seconds=30.0,
        firmness=Firmness.MANDATORY,
    )


def fine(**changes):
    base = small.scenario(
        60,
        step_seconds=60.0,
        govern_every_seconds=1.0,
        events=(dr(),),
        windows=(Window(name="all", first_step=0, last_step=60),),
    )
    return replace(base, **changes)


def test_an_event_is_announced_frozen_at_its_start_and_told_of_afterwards():
    snapshots = run(fine())
    shown = {row.wall_time: row.sites[0].events for row in snapshots}

    assert not shown[1199.0] if 1199.0 in shown else True
    early = next(row for time, row in shown.items() if 1200 <= time < 1700)
    assert early[0].upper_watts is None
    assert not early[0].active
    assert early[0].unresolved_reason
    active = shown[1800.0][0]
    assert active.active
    before = next(r for r in reversed(snapshots) if r.wall_time < 1800)
    assert active.frozen_reference_watts == pytest.approx(
        before.sites[0].connections[0].metered.value, rel=0.02
    )
    assert active.upper_watts == round(0.75 * active.frozen_reference_watts)
    later = next(row for time, row in shown.items() if time >= 2400)
    assert not later[0].active
    assert later[0].upper_watts == active.upper_watts


def test_a_reduction_counts_from_the_import_and_own_supply_is_not_in_it():
    seen = EventsSeen(fine(), "alpha")
    meter = Reading(
        value=20_000.0,
        unit="Watt",
        source_time=0.0,
        received_time=0.0,
        valid_until=None,
        quality=Quality.MEASURED,
    )
    (early,) = seen.states(meter, 5_000.0, 1300.0)
    assert early.frozen_reference_watts is None
    (active,) = seen.states(meter, 5_000.0, 1800.0)
    assert active.frozen_reference_watts == 15_000
    assert active.upper_watts == round(0.75 * 15_000)


def test_near_an_event_decisions_come_every_second_and_telemetry_is_five_seconds_late():
    policy = small.Scripted({1800.0: Orders(replicas={(CHAT, "alpha"): 2})})
    snapshots = run(fine(), policy)
    times = [row.wall_time for row in snapshots]
    meter = {row.wall_time: row.sites[0].connections[0].metered for row in snapshots}

    assert all(float(t) in times for t in range(1800, 1808))
    assert len(times) < 60 * 60
    assert meter[1803.0].value == pytest.approx(meter[1800.0].value)
    ready = {r.wall_time: r.workloads[0].placements[0] for r in snapshots}
    assert ready[1803.0].ready_replicas == 4
    assert ready[1803.0].observed_replicas == 2
    assert ready[1806.0].ready_replicas == 2
    assert ready[1806.0].draining_replicas == 2


def test_draining_replicas_are_in_the_meter_and_in_the_model_at_its_time():
    policy = small.Scripted({1800.0: Orders(replicas={(CHAT, "alpha"): 2})})
    for row in run(fine(), policy):
        if 1800 <= row.wall_time < 1860:
            feed = estimate(row, row.grid_time)["alpha", "grid"]
            assert feed.committed_watts is not None
            assert feed.committed_watts > 0


def contract():
    from wattshift.core.contract import model as m

    return m.Contract(
        name="alpha-supply",
        role=m.Role.COMPLETE,
        currency="USD",
        time_zone="UTC",
        interval_minutes=15,
        points=(m.Point(site_name="alpha", connection_name="grid", maximum_watts=90_000),),
        positions=(
            m.Position(
                name="spot",
                type=m.PositionType.RESIDUAL,
                signal_rate=m.SignalRate(
                    signal_name="dayAhead", multiplier=Decimal(1), adder=Decimal("0.01")
                ),
            ),
        ),
        signal_names=("dayAhead",),
    )


def test_a_contract_is_quoted_and_billed_by_the_operators_own_code():
    base = small.with_site(small.scenario(60), 0, contract=contract())
    policy = small.Nothing()
    result = simulate(base, policy, windows=["all"], checked=True)
    last = policy.seen[-1]
    site = last.sites[0]
    link = site.connections[0]
    price = price_of(site, link, last.settings, last.grid_time, load_watts=10_000.0, grams=None)
    truth = base.sites[0].price.values

    assert link.contract_name == "alpha-supply"
    assert link.contract_maximum_watts == 90_000
    assert float(link.price.up.energy) == pytest.approx(truth[59] + 0.01)
    assert price.known
    ahead = [(time, quote.up.energy) for time, quote in link.price_ahead if quote.known]
    for time, energy in ahead:
        step = min(59, int((time - small.START) // 300))
        if (time - small.START) // 300 < 60:
            assert float(energy) == pytest.approx(truth[step] + 0.01)
    window = result.windows[0]
    kwh = window.sums.energy["import"][0] / 1e6
    line = window.bills["alpha"][0]
    assert float(line.quantity) == pytest.approx(kwh, abs=0.002)
    wh = np.asarray([row for row in window.sums.series["importWatts"]])[:, 0] * 300 / 3600
    assert float(line.amount) == pytest.approx(
        float((wh / 1000 * (truth[:60] + 0.01)).sum()), abs=0.02
    )
    assert window.sums.cost[0] == 0
    assert result.energy_cost == pytest.approx(float(line.amount) + window.sums.cost.sum() / 1e6)


def test_the_fast_look_ahead_equals_the_contracts_own():
    from wattshift.core.contract.marginal import price_curve
    from wattshift.core.contract.quote import SiteState
    from wattshift.core.contract.rates import index_value
    from wattshift.sim.forecasts import Issuer, to_core
    from wattshift.sim.pricing import ContractBook

    base = small.scenario(288)
    book = ContractBook(contract(), "alpha", small.START)
    issuer = Issuer(
        base.sites[0].price.values,
        base.sites[0].price.forecasting,
        step_seconds=300.0,
        start_time=small.START,
    )
    forecast = to_core(issuer.issue(0.0), 0, small.START, "x")
    site = SiteState(import_watts=5000, load_watts=5000)
    value = float(base.sites[0].price.values[0])
    mine = book.ahead(small.START, value, forecast, site)
    series = [(small.START, index_value(value))]
    series += [
        (p.start_time, index_value(p.value)) for p in forecast.points if p.start_time > small.START
    ]
    series.append((forecast.end_time, None))
    theirs = price_curve(
        book.contract, book.period, small.START, 86400.0, {"dayAhead": series}, site=site
    )

    assert [time for time, _ in mine] == [time for time, _ in theirs]
    for (_, a), (_, b) in zip(mine, theirs, strict=True):
        assert (a.known, a.up.energy, a.down.energy, a.grid_energy) == (
            b.known,
            b.up.energy,
            b.down.energy,
            b.grid_energy,
        )


def test_idle_placements_are_the_same_object_from_tick_to_tick():
    base = small.scenario(10)
    row = base.workloads[0]
    places = (row.placements[0], row.placements[1], replace(row.placements[2], initial_replicas=0))
    snapshots = run(replace(base, workloads=(replace(row, placements=places),)))

    first, second = snapshots[4].workloads[0], snapshots[5].workloads[0]
    assert first.placements[2] is second.placements[2]
    assert first.placements[0] is not second.placements[0]


def test_placements_and_origins_are_told_by_name():
    rows = small.chat(12, ("gamma", "alpha", "beta"))
    here = run(small.scenario(12, workloads=(replace(rows, origins=rows.origins[::-1]),)))[-1]
    state = here.workloads[0]
    assert [row.name for row in state.placements] == ["alpha", "beta", "gamma"]
    names = [row.name for row in state.origins]
    assert names == sorted(names)
