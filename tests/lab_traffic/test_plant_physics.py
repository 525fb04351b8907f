"""Physics of the plant: bounds, monotony and the published measurements behind it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.lab.plant.engines import NAMES, LiveEngine, activity_between, parse_counters
from e2e.lab.plant.physics import (
    HIDDEN_SPREAD,
    POD_SPREAD,
    Activity,
    Cooling,
    EngineClass,
    Facility,
    Hidden,
    Weather,
    engine_watts,
)
from e2e.lab.traffic.pods import Pod

LLAMA = EngineClass(
    name="h100x4",
    labels={"accelerator": "h100"},
    loaded_idle_watts=456,
    floor_watts=1703,
    watts_per_output_token_per_second=0.1285,
    watts_per_prompt_token_per_second=0.0,
)
"""Fitted by hand to three of the published rows below; one sequence draws the floor."""
PUBLISHED = [(470, 1765), (2511, 2002), (3876, 2184), (4915, 2354)]
"""(output tokens a second, watts) of a 70B model on four H100."""


class Exact(Hidden):
    """No hidden factors."""

    def factor(self, *key: str, spread: float = 0.0) -> float:
        return 1.0


EXACT = Exact("")


@pytest.mark.parametrize(("rate", "watts"), PUBLISHED)
def test_published_measurements_are_met_within_two_percent(rate: float, watts: float) -> None:
    got = engine_watts(LLAMA, Activity(1.0, rate, 0.0), EXACT)
    assert got == pytest.approx(watts, rel=0.02)


def test_idle_engine_draws_its_loaded_idle_watts() -> None:
    assert engine_watts(LLAMA, Activity(0.0, 0.0, 0.0), EXACT) == 456


def test_loading_engine_draws_less_than_idle_but_not_nothing() -> None:
    assert 0 < engine_watts(LLAMA, None, EXACT) < 456


@given(
    st.floats(0, 1),
    st.floats(0, 5000),
    st.floats(0, 50000),
    st.text(max_size=5),
    st.text(max_size=5),
)
def test_hidden_truth_stays_within_its_spread(duty, output, prompt, seed, pod) -> None:
    activity = Activity(duty, output, prompt)
    published = engine_watts(LLAMA, activity, EXACT)
    truth = engine_watts(LLAMA, activity, Hidden(seed), pod)
    most = (1 + HIDDEN_SPREAD) * (1 + POD_SPREAD)
    least = (1 - HIDDEN_SPREAD) * (1 - POD_SPREAD)
    # The step from idle to floor is a term of its own, so its error may add to idle's.
    assert least * published * 0.999 <= truth <= most * published * 1.001


@given(st.text(max_size=8), st.text(max_size=8))
def test_hidden_factors_depend_on_seed_and_key_only(seed: str, key: str) -> None:
    assert Hidden(seed).factor(key) == Hidden(seed).factor(key)
    assert abs(Hidden(seed).factor(key) - 1) <= HIDDEN_SPREAD


def test_two_sites_have_different_truths() -> None:
    activity = Activity(1.0, 1000, 0.0)
    assert engine_watts(LLAMA, activity, Hidden("1/a")) != engine_watts(
        LLAMA, activity, Hidden("1/b")
    )


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 3000), st.floats(0, 3000))
def test_more_work_never_draws_less(duty, more, rate, extra) -> None:
    low = engine_watts(LLAMA, Activity(min(duty, more), rate, 0), EXACT)
    assert engine_watts(LLAMA, Activity(max(duty, more), rate + extra, 0), EXACT) >= low - 1e-9


FACILITY = Facility.from_config(
    [
        {"temperatureMillicelsius": 30000, "fixedWatts": 310000, "marginalPermille": 1190},
        {"temperatureMillicelsius": 5000, "fixedWatts": 200000, "marginalPermille": 1060},
    ]
)


@pytest.mark.parametrize(
    ("celsius", "terms"),
    [
        (-20, (200000, 1.06)),
        (5, (200000, 1.06)),
        (17.5, (255000, 1.125)),
        (30, (310000, 1.19)),
        (45, (310000, 1.19)),
    ],
)
def test_facility_terms_are_linear_between_points_and_clamped(celsius, terms) -> None:
    assert FACILITY.terms(celsius) == pytest.approx(terms)


@given(st.floats(-40, 60))
def test_facility_terms_stay_between_the_points(celsius: float) -> None:
    fixed, marginal = FACILITY.terms(celsius)
    assert 200000 <= fixed <= 310000
    assert 1.06 <= marginal <= 1.19


def test_hottest_hour_is_local() -> None:
    weather = Weather(20, 8, zone_offset_hours=8)
    assert weather.celsius((15 - 8) * 3600) == pytest.approx(28)
    assert weather.celsius((3 - 8) * 3600) == pytest.approx(12)


def test_cooling_falls_with_heat_and_halves_with_a_leak() -> None:
    cooling = Cooling(1000, 30, 0.01, 0.5)
    assert cooling.watts(25, leak=False) == 1000
    assert cooling.watts(40, leak=False) == pytest.approx(900)
    assert cooling.watts(25, leak=True) == 500
    assert cooling.watts(200, leak=False) == 0


METRICS = """# HELP vllm:num_requests_running x
vllm:num_requests_running{model_name="m"} 3
vllm:inter_token_latency_seconds_bucket{model_name="m",le="0.01"} 5
vllm:inter_token_latency_seconds_sum{model_name="m"} 4.5
vllm:inter_token_latency_seconds_count{model_name="m"} 90
vllm:prompt_tokens_total{model_name="m"} 1e+03
vllm:prompt_tokens_total{model_name="m",engine="1"} 24
process_cpu_seconds_total 9
"""


def test_counters_are_summed_over_labels_and_buckets_left_out() -> None:
    assert parse_counters(METRICS) == {
        "running": 3,
        "itl_sum": 4.5,
        "itl_count": 90,
        "first_tokens": 0,
        "prompt_tokens": 1024,
    }


def counters(**changes: float) -> dict[str, float]:
    return {**dict.fromkeys(NAMES.values(), 0.0), **changes}


def test_activity_is_the_change_over_the_interval() -> None:
    got = activity_between(
        counters(running=2, itl_sum=10, itl_count=200, first_tokens=4, prompt_tokens=100),
        counters(running=2, itl_sum=14, itl_count=280, first_tokens=6, prompt_tokens=300),
        2.0,
    )
    assert got.concurrency == 2
    assert got.output_tokens_per_second == 41
    assert got.prompt_tokens_per_second == 100
    assert got.duty == 1


def test_sparse_work_leaves_the_engine_empty_part_of_the_time() -> None:
    got = activity_between(counters(), counters(itl_sum=1, itl_count=20), 2.0)
    assert got.duty == pytest.approx(1 - math.exp(-0.5))


def test_counter_that_fell_started_again_at_zero() -> None:
    got = activity_between(counters(itl_count=500), counters(itl_count=30), 1.0)
    assert got.output_tokens_per_second == 30


def pod() -> Pod:
    return Pod("u", "p", "n", "127.0.0.1", 1, {}, "node", True, True, False)


def test_engine_that_never_answered_is_starting_not_gone() -> None:
    engine = LiveEngine(pod())
    for _ in range(5):
        engine.missed()
    assert engine.state == "Starting"


def test_engine_that_answered_is_gone_after_two_misses_in_a_row() -> None:
    engine = LiveEngine(pod())
    engine.saw(counters(), 1.0)
    engine.missed()
    assert engine.state == "Serving"
    engine.saw(counters(), 2.0)
    engine.missed()
    engine.missed()
    assert engine.state == "Gone"


def test_class_is_chosen_by_labels() -> None:
    assert LLAMA.matches({"accelerator": "h100", "more": "x"})
    assert not LLAMA.matches({"accelerator": "910b"})
