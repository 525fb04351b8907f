"""The poller's own work: schedule, single flight, dedupe, batches, breaker, backoff, configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.conftest import NOON, Clocks, Scripted, signal
from wattshift.adapters.base import Fetched, Observation, SignalConfig, SourceContext
from wattshift.adapters.failures import SourceError, SourceNeedsHuman, SourceTransient
from wattshift.adapters.breaker import Breaker, BreakerState
from wattshift.adapters.poller import MINIMUM_INTERVAL_SECONDS, Poller
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import OnStale, SignalKind
from wattshift.core.units import Quantity

KEY = ("PowerSite", "gansu-1", "feed")
DOWN = SourceTransient(SourceReason.SOURCE_UNREACHABLE, "connection refused")
WRONG = SourceNeedsHuman(SourceReason.QUERY_REFUSED, "parse error")
EMPTY = SourceNeedsHuman(SourceReason.NO_DATA, "empty")


def seen(value: float, time: float = NOON) -> Fetched:
    return Fetched(observations=(Observation(value=value, source_time=time),))


class Recorded:
    """Makes scripted sources and remembers them."""

    def __init__(self) -> None:
        self.made: list[Scripted] = []

    def __call__(self, config: SignalConfig, context: SourceContext) -> Scripted:
        source = Scripted(config, context)
        self.made.append(source)
        return source


class Batched(Scripted):
    """All of these live on one server."""

    type_name = "batched"
    batch_key = "one-server"
    batches: list[int] = []

    @classmethod
    async def fetch_batch(
        cls, sources: Sequence[Batched], now: float
    ) -> Sequence[Fetched | SourceError]:
        cls.batches.append(len(sources))
        results: list[Fetched | SourceError] = []
        for source in sources:
            try:
                results.append(await source.fetch(now))
            except SourceError as error:
                results.append(error)
        return results


@pytest.fixture(autouse=True)
def _no_batches() -> None:
    Batched.batches = []


def poller_of(context: SourceContext, *answers: Any, **overrides: Any) -> tuple[Poller, Recorded]:
    recorded = Recorded()
    poller = Poller(context, sources={"scripted": recorded})
    poller.configure([signal({"scripted": {"answers": list(answers)}}, **overrides)])
    return poller, recorded


async def test_the_first_question_comes_at_once_and_the_next_after_the_period(
    context: SourceContext, clocks: Clocks
) -> None:
    poller, recorded = poller_of(context, seen(1.0), poll_period_seconds=60)
    await poller.poll_once()
    assert recorded.made[0].calls == 1
    clocks.advance(50)
    await poller.poll_once()
    assert recorded.made[0].calls == 1
    clocks.advance(20)
    await poller.poll_once()
    assert recorded.made[0].calls == 2


async def test_the_schedule_is_jittered_by_a_seed(context: SourceContext, clocks: Clocks) -> None:
    async def due(seed: int) -> float:
        poller = Poller(context, seed=seed, sources={"scripted": Recorded()})
        poller.configure([signal({"scripted": {"answers": [seen(1.0)]}})])
        await poller.poll_once()
        return poller.next_due()

    same = [await due(7), await due(7)]
    others = {await due(seed) for seed in range(10)}
    assert same[0] == same[1]
    assert len(others) == 10
    assert all(clocks.wall + 54 <= time <= clocks.wall + 66 for time in others)


async def test_a_replay_asks_in_grid_time_but_never_faster_than_once_a_second(
    context: SourceContext, clocks: Clocks
) -> None:
    for speed, interval in ((10.0, 6.0), (600.0, MINIMUM_INTERVAL_SECONDS)):
        fast = replace(context, grid_speed=lambda speed=speed: speed)
        poller, _ = poller_of(fast, seen(1.0))
        await poller.poll_once()
        assert 0.9 * interval <= poller.next_due() - clocks.wall <= 1.1 * interval


async def test_a_source_in_flight_is_not_asked_again(
    context: SourceContext, clocks: Clocks
) -> None:
    gate = asyncio.Event()
    recorded = Recorded()
    poller = Poller(context, sources={"scripted": recorded})
    poller.configure([signal({"scripted": {"answers": [seen(1.0)], "gate": gate}})])
    first = asyncio.create_task(poller.poll_once())
    await asyncio.sleep(0)
    clocks.advance(600)
    await poller.poll_once()
    gate.set()
    await first
    assert recorded.made[0].calls == 1


async def test_one_stuck_source_delays_nobody_and_is_timed_out(
    context: SourceContext, clocks: Clocks
) -> None:
    recorded = Recorded()
    poller = Poller(context, sources={"scripted": recorded}, fetch_timeout_seconds=0.05)
    stuck = signal({"scripted": {"answers": [seen(1.0)], "gate": asyncio.Event()}}, name="stuck")
    quick = signal({"scripted": {"answers": [seen(2.0)]}}, name="quick")
    poller.configure([stuck, quick])
    await poller.poll_once()
    states = poller.states(clocks.grid)
    quick_reading = states["PowerSite", "gansu-1", "quick"].reading
    stuck_reading = states["PowerSite", "gansu-1", "stuck"].reading
    assert quick_reading is not None and quick_reading.value == 2.0
    assert stuck_reading is not None and stuck_reading.reason == SourceReason.SOURCE_TIMED_OUT


async def test_signals_that_ask_the_same_question_share_one_answer(
    context: SourceContext, clocks: Clocks
) -> None:
    recorded = Recorded()
    answers = [seen(0.5)]
    poller = Poller(context, sources={"scripted": recorded})
    poller.configure(
        [
            signal({"scripted": {"answers": answers}}, name="site"),
            signal(
                {"scripted": {"answers": answers}},
                name="share",
                quantity=Quantity.GREEN_SHARE,
                unit="Ratio",
                owner_kind="EnergyContract",
            ),
        ]
    )
    await poller.poll_once()
    assert sum(source.calls for source in recorded.made) == 1
    readings = [state.reading for state in poller.states(clocks.grid).values()]
    assert [(r.value, r.unit) for r in readings if r] == [(0.5, "Watt"), (0.5, "Ratio")]


async def test_sources_of_one_server_are_fetched_together(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = Poller(context, sources={"batched": Batched})
    poller.configure(
        [
            signal({"batched": {"answers": [seen(float(i))]}}, name=f"s{i}", poll_period_seconds=p)
            for i, p in enumerate((60, 60, 60))
        ]
    )
    await poller.poll_once()
    assert Batched.batches == [3]
    clocks.advance(59)
    await poller.poll_once()
    clocks.advance(11)
    await poller.poll_once()
    assert sum(Batched.batches) == 6
    assert Batched.batches[1] == 3, "what is nearly due goes along"


async def test_an_error_of_one_in_a_batch_leaves_the_others(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = Poller(context, sources={"batched": Batched})
    poller.configure(
        [
            signal({"batched": {"answers": [WRONG]}}, name="bad"),
            signal({"batched": {"answers": [seen(3.0)]}}, name="good"),
        ]
    )
    await poller.poll_once()
    good = poller.states(clocks.grid)["PowerSite", "gansu-1", "good"].reading
    assert good is not None and good.value == 3.0
    assert poller.diagnose()["PowerSite", "gansu-1", "bad"].reason == SourceReason.QUERY_REFUSED
    assert poller.diagnose()["PowerSite", "gansu-1", "bad"].breaker is BreakerState.CLOSED


async def test_after_five_failures_the_breaker_opens_and_asks_once_when_it_half_opens(
    context: SourceContext, clocks: Clocks
) -> None:
    poller, recorded = poller_of(context, *[DOWN] * 6, seen(4.0), poll_period_seconds=1)
    for _ in range(20):
        await poller.poll_once()
        if poller.diagnose()[KEY].breaker is BreakerState.OPEN:
            break
        clocks.advance(max(0.0, poller.next_due() - clocks.wall))
    calls = recorded.made[0].calls
    assert calls == 5
    assert poller.diagnose()[KEY].reason == SourceReason.SOURCE_BREAKER_OPEN
    assert "connection refused" in poller.diagnose()[KEY].message
    poller.refresh()
    await poller.poll_once()
    assert recorded.made[0].calls == calls, "an open breaker asks nobody"
    clocks.advance(400)
    assert poller.diagnose()[KEY].breaker is BreakerState.HALF_OPEN
    await poller.poll_once()
    assert recorded.made[0].calls == calls + 1
    assert poller.diagnose()[KEY].breaker is BreakerState.OPEN
    clocks.advance(400)
    await poller.poll_once()
    assert poller.diagnose()[KEY].breaker is BreakerState.CLOSED
    reading = poller.states(clocks.grid)[KEY].reading
    assert reading is not None


async def test_a_half_open_breaker_lets_one_of_a_batch_try_and_then_all(
    context: SourceContext, clocks: Clocks
) -> None:
    poller = Poller(
        context, sources={"batched": Batched}, make_breaker=lambda: Breaker(threshold=1)
    )
    configs = [
        signal({"batched": {"answers": [DOWN, seen(float(i))]}}, name=f"s{i}") for i in range(4)
    ]
    poller.configure(configs)
    await poller.poll_once()
    clocks.advance(500)
    await poller.poll_once()
    await poller.poll_once()
    # one alone is not a batch: the trial is a plain fetch
    assert Batched.batches == [4, 4] or Batched.batches == [4, 3]
    states = poller.states(NOON)
    assert sum(1 for s in states.values() if s.reading and s.reading.value is not None) >= 1


async def test_failures_back_off_and_useless_answers_do_not(
    context: SourceContext, clocks: Clocks
) -> None:
    waits: dict[str, list[float]] = {"down": [], "empty": []}
    for name, error in (("down", DOWN), ("empty", EMPTY)):
        poller, _ = poller_of(context, error, poll_period_seconds=10)
        for _ in range(4):
            await poller.poll_once()
            waits[name].append(poller.next_due() - clocks.wall)
            clocks.advance(poller.next_due() - clocks.wall)
    assert waits["down"][1] > 1.5 * waits["down"][0]
    assert waits["down"][3] > 5 * waits["down"][0]
    assert all(9 <= wait <= 11 for wait in waits["empty"])


async def test_a_failure_keeps_the_last_good_value_until_it_is_stale(
    context: SourceContext, clocks: Clocks
) -> None:
    poller, _ = poller_of(context, seen(4.0), DOWN, on_stale=OnStale.HOLD)
    await poller.poll_once()
    clocks.advance(120)
    await poller.poll_once()
    fresh = poller.states(clocks.grid)[KEY].reading
    assert fresh is not None and (fresh.value, fresh.reason) == (4.0, "")
    stale = poller.states(NOON + 300)[KEY].reading
    assert stale is not None and (stale.value, stale.reason) == (4.0, SourceReason.STALE_HELD)
    assert "connection refused" in stale.message


async def test_the_same_configuration_again_changes_nothing(
    context: SourceContext, clocks: Clocks
) -> None:
    poller, recorded = poller_of(context, seen(1.0))
    config = next(iter(poller._entries.values())).config
    await poller.poll_once()
    before = poller.next_due()
    poller.configure([config])
    assert poller.next_due() == before
    assert len(recorded.made) == 1


async def test_a_changed_limit_keeps_the_value_and_a_changed_source_does_not(
    context: SourceContext, clocks: Clocks
) -> None:
    poller, _ = poller_of(context, seen(1.0))
    config = next(iter(poller._entries.values())).config
    await poller.poll_once()
    poller.configure([replace(config, stale_after_seconds=999, rank=3)])
    kept = poller.states(NOON + 500)[KEY]
    assert kept.rank == 3 and kept.reading is not None and kept.reading.value == 1.0
    poller.configure([replace(config, unit="Kilowatt")])
    dropped = poller.states(NOON)[KEY].reading
    assert dropped is not None and dropped.reason == SourceReason.NOT_YET_READ


async def test_a_removed_signal_is_forgotten_and_no_longer_asked(
    context: SourceContext, clocks: Clocks
) -> None:
    poller, recorded = poller_of(context, seen(1.0))
    await poller.poll_once()
    poller.configure([])
    clocks.advance(600)
    await poller.poll_once()
    assert poller.states(clocks.grid) == {}
    assert recorded.made[0].calls == 1
    assert poller.next_due() == float("inf")


async def test_a_signal_removed_while_its_answer_is_on_the_way_does_no_harm(
    context: SourceContext,
) -> None:
    gate = asyncio.Event()
    poller = Poller(context, sources={"scripted": Recorded()})
    poller.configure([signal({"scripted": {"answers": [seen(1.0)], "gate": gate}})])
    asking = asyncio.create_task(poller.poll_once())
    await asyncio.sleep(0)
    poller.configure([])
    gate.set()
    await asking
    assert poller.states(NOON) == {}


async def test_the_running_poller_reads_new_signals_and_ends_by_cancellation(
    context: SourceContext, clocks: Clocks
) -> None:
    recorded = Recorded()
    poller = Poller(context, sources={"scripted": recorded})
    running = asyncio.create_task(poller.run())
    await asyncio.sleep(0)
    poller.configure([signal({"scripted": {"answers": [seen(9.0)]}})])
    for _ in range(200):
        await asyncio.sleep(0)
        reading = poller.states(clocks.grid)[KEY].reading
        if reading is not None and reading.value == 9.0:
            break
    else:
        pytest.fail("the new signal was not read")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_forecast_is_held_by_its_rule_and_ends_with_its_last_step(
    context: SourceContext, clocks: Clocks
) -> None:
    from wattshift.adapters.base import Step

    curve = Fetched(
        steps=(Step(start_time=NOON, value=1.0), Step(start_time=NOON + 3600, value=2.0)),
        end_time=NOON + 7200,
        issued_time=NOON,
    )
    for rule, kept in ((OnStale.HOLD, True), (OnStale.IGNORE, False)):
        poller, _ = poller_of(
            context, curve, DOWN, kind=SignalKind.FORECAST, on_stale=rule, stale_after_seconds=600
        )
        await poller.poll_once()
        assert poller.states(NOON + 599)[KEY].forecast is not None
        late = poller.states(NOON + 900)[KEY]
        assert (late.forecast is not None) == kept
        ended = poller.states(NOON + 7200)[KEY]
        assert ended.forecast is None and ended.reading is not None
        assert ended.reading.value is None


async def test_a_fallback_forecast_is_flat(context: SourceContext, clocks: Clocks) -> None:
    poller, _ = poller_of(
        context,
        DOWN,
        kind=SignalKind.FORECAST,
        on_stale=OnStale.USE_FALLBACK,
        fallback_value=2.0,
        unit="Kilowatt",
    )
    await poller.poll_once()
    state = poller.states(NOON)[KEY]
    assert state.forecast is not None and state.forecast.at(NOON + 3600) == 2000.0
    assert state.forecast.source == "fallbackValue"


@given(
    outcomes=st.lists(st.booleans(), max_size=60),
    gap=st.floats(min_value=0.1, max_value=400),
)
def test_a_breaker_opens_only_after_failures_in_a_row_and_never_stays_open_for_ever(
    outcomes: list[bool], gap: float
) -> None:
    breaker = Breaker(threshold=3, open_seconds=10, open_seconds_maximum=100)
    now, in_a_row = 0.0, 0
    for good in outcomes:
        now += gap
        if not breaker.allow(now):
            assert in_a_row >= 3
            assert breaker.retry_at - now <= 100
            continue
        if good:
            breaker.success()
            in_a_row = 0
        else:
            breaker.failure(now)
            in_a_row += 1
        assert (breaker.state(now) is BreakerState.CLOSED) == (in_a_row < 3)


def test_a_half_open_breaker_gives_one_trial() -> None:
    breaker = Breaker(threshold=1, open_seconds=10)
    breaker.failure(0)
    assert not breaker.allow(9)
    assert breaker.allow(10)
    assert not breaker.allow(10)


def test_a_signal_of_the_api_is_read_with_its_own_numbers() -> None:
    spec = {
        "name": "spot",
        "quantity": "EnergyPrice",
        "unit": "CNYPerMegawattHour",
        "rank": 2,
        "source": {"constant": {"value": "410"}, "file": None},
        "pollPeriodSeconds": 30,
        "staleAfterSeconds": 90_000,
        "onStale": {"type": "UseFallback", "fallbackValue": "500.5"},
        "plausible": {"minimum": "-500"},
    }
    config = SignalConfig.from_spec("EnergyContract", "gansu-2026", spec, "Asia/Shanghai")
    assert (config.source_type, config.rank, config.kind) == ("constant", 2, SignalKind.OBSERVATION)
    assert (config.fallback_value, config.plausible_minimum) == (500.5, -500.0)
    assert (config.poll_period_seconds, config.stale_after_seconds) == (30, 90_000)
    with pytest.raises(SourceNeedsHuman, match="exactly one"):
        SignalConfig.from_spec("PowerSite", "a", {**spec, "source": {}}, None)
