"""Windows over scrapes: resets, vanished pods, merged buckets, rates, counts per objective."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattshift.adapters.latency.exposition import Histogram, PodScrape
from wattshift.adapters.latency.stats import engine_stats, load_window, samples_needed
from wattshift.adapters.latency.window import (
    PlacementWindow,
    classify,
    counter_delta,
    histogram_delta,
    merge,
)
from wattshift.core.engine import Counts, Metric
from wattshift.core.load.learn import Learnt, update
from wattshift.core.model import Objective

INF = math.inf
TTFT = "timeToFirstToken"
ITL = "interTokenLatency"
SERIES = ("m",)


def histogram(bounds: tuple[float, ...], samples: list[float]) -> Histogram:
    edges = (*bounds, INF)
    counts = tuple(float(sum(1 for s in samples if s <= edge)) for edge in edges)
    return Histogram(edges, counts, sum(samples))


def scrape(
    time: float,
    pod: str = "p0",
    *,
    running: float = 0,
    waiting: float = 0,
    served: bool = True,
    ttft: Histogram | None = None,
    itl: Histogram | None = None,
    kv: float | None = None,
    **counters: float,
) -> PodScrape:
    found = {name: h for name, h in ((TTFT, ttft), (ITL, itl)) if h is not None}
    return PodScrape(
        pod_uid=pod,
        pod_name=pod,
        wall_time=time,
        running=running,
        waiting=waiting,
        kv_cache_usage=kv,
        counters={(name, SERIES): value for name, value in counters.items()},
        histograms={(name, SERIES): h for name, h in found.items()},
        served=served,
    )


def objective(
    metric: Metric = Metric.TIME_TO_FIRST_TOKEN,
    threshold: int = 500,
    permille: int = 950,
    seconds: int = 600,
) -> Objective:
    return Objective(
        metric=metric,
        threshold_milliseconds=threshold,
        attainment_permille=permille,
        window_seconds=seconds,
    )


def stats(window: PlacementWindow, now: float, *objectives: Objective, expected: int = 1):
    found = engine_stats(
        window, objectives, now=now, pods_expected=expected, scrape_interval_seconds=2.0
    )
    assert found is not None
    return found


# --- deltas ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(min_value=0, max_value=50), min_size=2, max_size=30), st.data())
def test_deltas_of_a_counter_add_up_to_what_was_counted_across_resets(
    increments: list[int], data: st.DataObject
) -> None:
    readings: list[float] = [0.0]
    counted = 0.0
    for increment in increments:
        # a restart is seen when the new process has counted less than the old one
        reset = data.draw(st.booleans()) and increment < readings[-1]
        readings.append(float(increment) if reset else readings[-1] + increment)
        counted += increment
    assert sum(counter_delta(a, b) for a, b in pairwise(readings)) == counted


def test_a_falling_counter_counts_from_zero() -> None:
    assert counter_delta(100.0, 7.0) == 7.0
    assert counter_delta(None, 7.0) == 7.0


def test_a_falling_bucket_or_other_bounds_reset_a_histogram() -> None:
    before = histogram((0.1, 0.5), [0.05] * 9)
    after = histogram((0.1, 0.5), [0.3, 0.3])
    assert histogram_delta(before, after) == after
    other = histogram((0.2,), [0.05] * 20)
    assert histogram_delta(before, other) == other


BOUNDS = st.lists(
    st.sampled_from([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]), unique=True, max_size=6
).map(lambda edges: tuple(sorted(edges)))
SAMPLES = st.lists(st.floats(min_value=0, max_value=5), max_size=40)


@given(BOUNDS, BOUNDS, SAMPLES, SAMPLES)
def test_merged_histograms_count_every_sample_on_their_common_bounds(
    one: tuple[float, ...], two: tuple[float, ...], left: list[float], right: list[float]
) -> None:
    merged = merge(histogram(one, left), histogram(two, right))
    assert merged.count == len(left) + len(right)
    assert set(merged.bounds) == {*(set(one) & set(two)), INF}
    for bound, count in zip(merged.bounds, merged.cumulative, strict=True):
        assert count == sum(1 for s in [*left, *right] if s <= bound)


@given(BOUNDS, SAMPLES, st.floats(min_value=0.001, max_value=4))
def test_good_and_bad_are_proven_and_the_rest_is_ambiguous(
    bounds: tuple[float, ...], samples: list[float], threshold: float
) -> None:
    counts = classify(histogram(bounds, samples), threshold)
    assert counts.total == len(samples)
    assert min(counts.good, counts.bad, counts.ambiguous) >= 0
    assert counts.good <= sum(1 for s in samples if s <= threshold + 1e-9)
    assert counts.bad <= sum(1 for s in samples if s > threshold - 1e-9)


def test_a_threshold_on_an_edge_leaves_nothing_ambiguous() -> None:
    found = classify(histogram((0.25, 0.5, 0.75), [0.2, 0.4, 0.5, 0.6, 0.9]), 0.5)
    assert found == Counts(good=3, bad=2)


def test_a_threshold_between_edges_cuts_one_bucket() -> None:
    found = classify(histogram((0.025, 0.05, 0.1), [0.02, 0.03, 0.04, 0.06]), 0.03)
    assert found == Counts(good=1, bad=1, ambiguous=2)


def test_a_threshold_beyond_the_last_edge_cannot_tell() -> None:
    assert classify(histogram((0.1,), [0.05, 3.0]), 2.0) == Counts(good=1, ambiguous=1)


# --- the ring --------------------------------------------------------------------------------------


def feed(window: PlacementWindow, until: int, *, rate: int = 3, pod: str = "p0") -> None:
    """A steady engine: `rate` requests a second, half of them slow."""
    for time in range(0, until + 1, 2):
        done = rate * time
        samples = histogram((0.5,), [0.2] * (done - done // 2) + [0.9] * (done // 2))
        itl = Histogram((0.05, INF), (done * 10.0, done * 10.0), done * 0.2)
        window.add(
            scrape(
                float(time),
                pod,
                running=2,
                ttft=samples,
                itl=itl,
                finished=float(done),
                generationTokens=done * 11.0,
                promptTokens=done * 100.0,
                cachedPromptTokens=done * 40.0,
                iterations=done * 5.0,
                preemptions=done // 100,
            )
        )


def test_rates_are_per_second_over_the_fast_window() -> None:
    window = PlacementWindow()
    feed(window, 120)
    found = stats(window, 120.0, objective())
    assert found.first_tokens_per_second == pytest.approx(3.0)
    assert found.output_tokens_per_second == pytest.approx(33.0)
    assert found.prompt_tokens_per_second == pytest.approx(180.0), "less prefix-cache hits"
    assert found.requests_per_second == pytest.approx(3.0)
    assert found.concurrency == pytest.approx(0.6)
    assert found.duty == pytest.approx(3 * 5 * 0.02)
    assert (found.running, found.waiting, found.age_seconds) == (2, 0, 0.0)


def test_the_slow_window_has_everything_and_the_fast_one_a_tenth() -> None:
    window = PlacementWindow()
    feed(window, 600)
    (row,) = stats(window, 600.0, objective()).windows
    assert (row.slow_seconds, row.fast_seconds) == (600.0, 60.0)
    assert row.slow.total == pytest.approx(1800, abs=15)
    assert row.slow.bad == pytest.approx(900, abs=8)
    assert row.fast.total == pytest.approx(180, abs=20)
    assert not row.incomplete


def test_a_window_with_few_samples_grows_to_an_hour() -> None:
    window = PlacementWindow()
    for time in range(0, 3601, 60):
        window.add(scrape(float(time), ttft=histogram((0.5,), [0.1] * (time // 60)), finished=0.0))
    (row,) = stats(window, 3600.0, objective(permille=990)).windows
    assert row.slow_seconds == 3600.0
    assert row.slow.total == pytest.approx(60, abs=2)
    (short,) = stats(window, 3600.0, objective(permille=900, seconds=1800)).windows
    assert short.slow_seconds == 1800.0


@pytest.mark.parametrize(("permille", "needed"), [(950, 45), (990, 230)])
def test_samples_needed_are_those_of_the_guards_test(permille: int, needed: int) -> None:
    assert samples_needed(permille) == needed


def test_the_first_scrape_of_a_pod_has_no_past() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, ttft=histogram((0.5,), [0.9] * 1000), finished=1000.0))
    found = stats(window, 0.0, objective())
    assert found.windows[0].slow.total == 0
    assert found.first_tokens_per_second == 0.0


def test_a_counter_that_appears_with_the_first_request_counts_it() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, served=False))
    window.add(scrape(2.0, ttft=histogram((0.5,), [0.1]), finished=1.0, promptTokens=5.0))
    found = stats(window, 2.0, objective())
    assert found.windows[0].slow == Counts(good=1)
    assert found.prompt_tokens_per_second == pytest.approx(2.5)


def test_a_restarted_engine_loses_only_what_it_had_not_shown() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, ttft=histogram((0.5,), [0.1] * 50), finished=50.0))
    window.add(scrape(2.0, ttft=histogram((0.5,), [0.1] * 60), finished=60.0))
    window.add(scrape(4.0, ttft=histogram((0.5,), [0.1] * 3), finished=3.0))
    assert stats(window, 4.0, objective()).windows[0].slow.total == 13


def test_a_vanished_pod_keeps_its_samples_and_marks_the_window_incomplete() -> None:
    window = PlacementWindow()
    for pod in ("p0", "p1"):
        window.add(scrape(0.0, pod, ttft=histogram((0.5,), []), finished=0.0))
        window.add(scrape(2.0, pod, ttft=histogram((0.5,), [0.9] * 4), finished=4.0))
    window.keep_only(["p0"], 3.0)
    (row,) = stats(window, 4.0, objective()).windows
    assert row.slow == Counts(bad=8)
    assert row.incomplete
    assert row.missing == 2, "as many as it would have ended in that second at its last rate"
    assert set(window.pods) == {"p0"}


def test_a_pod_that_was_drained_before_takes_nothing_with_it() -> None:
    window = PlacementWindow()
    for time in (0.0, 2.0, 4.0):
        window.add(scrape(time, ttft=histogram((0.5,), [0.9] * 4), finished=4.0))
    window.vanish("p0", 5.0)
    window.add(scrape(5.0, "p1", finished=0.0))
    (row,) = stats(window, 6.0, objective()).windows
    assert not row.incomplete


def test_what_a_killed_pod_had_in_flight_is_missing() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, running=5, finished=0.0))
    window.add(scrape(2.0, running=5, waiting=2, finished=0.0))
    window.add(scrape(2.0, "p1", finished=0.0))
    window.vanish("p0", 4.0)
    (row,) = stats(window, 5.0, objective()).windows
    assert (row.incomplete, row.missing) == (True, 7)


def test_nobody_can_say_what_a_pod_did_long_after_its_last_scrape() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, running=1, finished=0.0))
    window.add(scrape(2.0, "p1", finished=0.0))
    window.vanish("p0", 60.0)
    window.add(scrape(60.0, "p1", finished=0.0))
    (row,) = stats(window, 61.0, objective()).windows
    assert (row.incomplete, row.missing) == (True, None)


def test_a_restarted_process_took_with_it_what_it_had_in_flight() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, finished=90.0))
    window.add(scrape(2.0, running=6, finished=90.0))
    window.add(scrape(4.0, running=1, finished=2.0))
    (row,) = stats(window, 4.0, objective()).windows
    assert (row.incomplete, row.missing) == (True, 6)


# --- what a minute says about capacity -------------------------------------------------------------


def load(window: PlacementWindow, now: float, *objectives: Objective, expected: int = 1):
    return load_window(window, objectives, now=now, seconds=60.0, pods_expected=expected)


def test_a_steady_minute_says_how_much_was_carried_and_how_much_missed() -> None:
    window = PlacementWindow()
    feed(window, 200)
    found = load(window, 200.0, objective(), objective(Metric.INTER_TOKEN_LATENCY, threshold=50))
    assert found is not None
    assert found.steady
    assert found.replicas == 1
    assert found.concurrency == pytest.approx(0.6)
    assert found.prompt_tokens_per_second == pytest.approx(180.0), "less prefix-cache hits"
    whole = stats(window, 200.0).output_tokens_per_second
    assert found.output_tokens_per_second == pytest.approx(whole, rel=0.05)
    assert whole > 0
    (bad, total), (late, tokens) = found.samples
    assert total == pytest.approx(180, abs=20)
    assert bad == pytest.approx(total / 2, abs=2)
    assert late == 0
    assert tokens == pytest.approx(10 * 182, rel=0.1), "ten of each request at most"


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda w: w.vanish("p1", 199.0), id="a pod vanished"),
        pytest.param(lambda w: w.add(scrape(199.0, "p2", finished=0.0)), id="a pod came"),
        pytest.param(lambda w: w.add(scrape(201.0, finished=0.0)), id="a process restarted"),
    ],
)
def test_a_minute_in_which_replicas_changed_teaches_nothing(happens) -> None:
    window = PlacementWindow()
    for time in range(0, 201, 2):
        for pod in ("p0", "p1"):
            window.add(scrape(float(time), pod, finished=float(time)))
    assert load(window, 201.0, objective(), expected=2).steady
    happens(window)
    found = load(window, 201.0, objective(), expected=2)
    assert found is None or not found.steady


class Engine:
    """One that decodes as a line says; while it stands still every request waits for its next token."""

    def __init__(self, *, itl: bool = True, step: float = 2.0) -> None:
        self.window, self.step, self.time = PlacementWindow(), step, 0.0
        self.tokens, self.seconds, self.done, self.held = 0.0, 0.0, 0.0, 0.0
        self.itl = itl

    def run(self, seconds: float, sequences: float, *, still: bool = False) -> None:
        end = self.time + seconds
        while self.time < end:
            self.time += self.step
            if still:
                self.held += self.step
            else:
                self.tokens += self.step * sequences / token_seconds(sequences)
                self.seconds += sequences * (self.step + self.held)
                self.done += 0.05 * sequences * self.step
                self.held = 0.0
            times = Histogram((0.05, INF), (self.tokens, self.tokens), self.seconds)
            self.window.add(
                scrape(
                    self.time,
                    running=sequences,
                    ttft=Histogram((0.5, INF), (float(round(self.done)),) * 2, self.done * 0.2),
                    itl=times if self.itl else None,
                    finished=round(self.done),
                    generationTokens=self.tokens,
                )
            )

    def learn(self, state: Learnt) -> Learnt:
        found = load(self.window, self.time, objective())
        return state if found is None else update(state, found, self.time)


def token_seconds(sequences: float) -> float:
    return 0.02 * (1 + 0.01 * sequences)


@pytest.mark.parametrize("itl", [True, False])
@pytest.mark.parametrize(
    ("stall", "step"), [(20.0, 2.0), (180.0, 2.0), (180.0, 15.0), (300.0, 5.0)]
)
def test_an_engine_that_stood_still_spoils_nothing_of_what_was_learnt(stall, itl, step) -> None:
    """Some minutes with many requests in flight and none finished, after two hours of many loads."""
    engine, state = Engine(itl=itl, step=step), Learnt()
    for minute in range(120):
        engine.run(60, 20 + 60 * (minute // 30 % 4))
        state = engine.learn(state)
    assert state.windows > 110, "ordinary windows teach"
    before = state.slowing.share
    assert before == pytest.approx(0.01, rel=0.1)
    engine.run(25, 200)
    left = stall
    while left > 0:  # looks come every minute, whatever the engine does
        part = min(left, 60.0 - engine.time % 60)
        engine.run(part, 200, still=True)
        left -= part
        if engine.time % 60 < step:
            state = engine.learn(state)
    engine.run(60 - engine.time % 60, 200)
    state = engine.learn(state)
    for minute in range(10):
        engine.run(60, 20 + 60 * (minute // 30 % 4))
        state = engine.learn(state)
    assert state.slowing.share == pytest.approx(before, rel=0.02)


def test_an_engine_with_long_prompts_between_its_tokens_is_learnt_from() -> None:
    engine, state = Engine(), Learnt()
    for minute in range(60):
        engine.run(8, 1, still=True)
        engine.run(52, 1 + minute % 3)
        state = engine.learn(state)
    assert state.windows > 55


def test_loads_that_jump_within_a_minute_bend_nothing_of_what_was_learnt() -> None:
    """A job that sends its requests at once, for half a minute, beside quiet minutes of users."""
    engine, state = Engine(), Learnt()
    for minute in range(120):
        engine.run(60, 20 + 60 * (minute // 30 % 4))
        state = engine.learn(state)
    before = state
    for _ in range(120):
        engine.run(30, 20)
        engine.run(30, 600)
        state = engine.learn(state)
    assert state.slowing.share == pytest.approx(0.01, rel=0.02)
    assert {cell.row for cell in state.cells} == {cell.row for cell in before.cells}


def test_a_load_that_doubles_over_some_minutes_is_learnt_from() -> None:
    engine, state = Engine(), Learnt()
    for minute in range(120):
        engine.run(60, 100 + 10 * abs(minute % 20 - 10))
        state = engine.learn(state)
    assert state.windows > 110


def test_sequences_that_nobody_asked_for_belong_to_no_load() -> None:
    """One token of many minutes tells all its time at once."""
    window = PlacementWindow()
    for time in range(0, 121, 2):
        late = 600.0 if time > 90 else 0.0
        times = Histogram((0.05, INF), (time * 10.0,) * 2, time * 0.5 + late)
        window.add(scrape(float(time), running=2, itl=times, generationTokens=time * 10.0))
    assert not load(window, 120.0, objective()).steady


def test_requests_that_wait_longer_than_the_objective_are_bad_samples_of_a_minute() -> None:
    window = PlacementWindow()
    for time in range(0, 61, 2):
        samples = histogram((0.5,), [0.2] * time)
        window.add(scrape(float(time), waiting=30, ttft=samples, finished=float(time)))
    found = load(window, 60.0, objective())
    assert found is not None
    (bad, total) = found.samples[0]
    assert bad == 30, "30 waiting at one first token a second"
    assert total == pytest.approx(90, abs=4)


def test_long_answers_give_samples_although_none_begins_or_ends() -> None:
    window = PlacementWindow()
    for time in range(0, 601, 5):
        done = time * 100.0
        slow = Histogram((0.05, INF), (0.0, done), done * 0.08)
        window.add(scrape(float(time), running=8, itl=slow, finished=0.0))
    (row,) = stats(window, 600.0, objective(Metric.INTER_TOKEN_LATENCY, threshold=50)).windows
    assert (row.requests_slow, row.requests_fast) == (8, 8)


def test_pods_with_other_buckets_are_merged_on_the_common_ones() -> None:
    window = PlacementWindow()
    for pod, bounds in (("nvidia", (0.25, 0.5, 1.0)), ("ascend", (0.5, 2.0))):
        window.add(scrape(0.0, pod, ttft=histogram(bounds, []), finished=0.0))
        window.add(scrape(2.0, pod, ttft=histogram(bounds, [0.1, 0.7, 1.5]), finished=3.0))
    assert stats(window, 2.0, objective()).windows[0].slow == Counts(good=2, bad=4)
    assert stats(window, 2.0, objective(threshold=1000)).windows[0].slow == Counts(
        good=2, ambiguous=4
    )


def test_a_scrape_seen_twice_counts_once() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, finished=0.0, ttft=histogram((0.5,), [])))
    again = scrape(2.0, finished=5.0, ttft=histogram((0.5,), [0.1] * 5))
    window.add(again)
    window.add(again)
    assert stats(window, 2.0, objective()).windows[0].slow.total == 5


@given(st.integers(min_value=60, max_value=8000), st.integers(min_value=1, max_value=5))
def test_cells_stay_few_and_no_recent_sample_is_lost(seconds: int, rate: int) -> None:
    window = PlacementWindow()
    step = 2 if seconds < 1000 else 10
    last = 0
    for time in range(0, seconds, step):
        done = float(rate * time)
        window.add(scrape(float(time), finished=done, ttft=Histogram((INF,), (done,), 0.0)))
        last = time
    assert len(window._cells) <= 900 / 5 + 3600 / 60 + 20
    sums = window.sums(float(last), 600.0)
    expected = rate * min(600, last)
    assert abs(sums.counters.get("finished", 0.0) - expected) <= rate * 12
    assert sums.histograms[TTFT].count == sums.counters["finished"] if sums.counters else True


# --- waiting, idleness, evidence -------------------------------------------------------------------


def test_requests_that_wait_without_a_first_token_are_timed() -> None:
    window = PlacementWindow()
    still = histogram((0.5,), [0.1] * 4)
    for time in (0.0, 2.0, 4.0, 6.0):
        window.add(scrape(time, running=2, waiting=3, ttft=still, finished=4.0))
    assert stats(window, 7.0).waiting_longest_seconds == 6.0, "as far as anybody has seen"
    window.add(scrape(8.0, waiting=3, ttft=histogram((0.5,), [0.1] * 5), finished=4.0))
    assert stats(window, 9.0).waiting_longest_seconds == 0.0
    window.add(scrape(9.0, waiting=3, ttft=histogram((0.5,), [0.1] * 5), finished=4.0))
    assert stats(window, 9.0).waiting_longest_seconds == 1.0
    window.add(scrape(10.0, waiting=0, ttft=histogram((0.5,), [0.1] * 5), finished=4.0))
    assert stats(window, 20.0).waiting_longest_seconds == 0.0


def test_idle_time_runs_from_the_last_sign_of_a_request() -> None:
    window = PlacementWindow()
    quiet = {"ttft": histogram((0.5,), [0.1]), "finished": 1.0, "promptTokens": 5.0}
    window.add(scrape(0.0, **quiet))
    window.add(scrape(100.0, **quiet))
    assert stats(window, 100.0).idle_seconds == 100.0
    window.add(scrape(102.0, running=1, **quiet))
    assert stats(window, 102.0).idle_seconds == 0.0
    window.add(scrape(104.0, **quiet))
    window.add(scrape(154.0, **quiet))
    assert stats(window, 154.0).idle_seconds == 50.0


def test_an_arrival_that_is_still_running_is_an_arrival() -> None:
    window = PlacementWindow()
    for time in range(0, 200, 2):
        window.add(scrape(float(time), running=0 if time < 190 else 10, finished=0.0))
    found = stats(window, 198.0, objective(seconds=100))
    assert found.requests_per_second > 0.5


def test_old_scrapes_of_a_pod_are_not_counted_as_scraped() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, "p0", finished=0.0, kv=0.3))
    window.add(scrape(20.0, "p1", finished=0.0, kv=0.8))
    found = stats(window, 21.0, expected=3)
    assert (found.pods_scraped, found.pods_expected) == (1, 3)
    assert (found.age_seconds, found.kv_cache_usage) == (1.0, 0.8)


def test_evidence_of_a_pod_is_its_own_counters() -> None:
    window = PlacementWindow()
    window.add(scrape(1.0, running=2, finished=40.0, aborted=3.0, promptTokens=900.0))
    (pod,) = stats(window, 1.0).pods
    assert (pod.pod_uid, pod.running, pod.success_total, pod.aborted_total) == ("p0", 2, 40, 3)
    assert pod.prompt_tokens_total == 900


def test_a_pod_that_worked_and_shows_no_counters_gives_no_evidence() -> None:
    window = PlacementWindow()
    window.add(scrape(0.0, served=False))
    assert len(stats(window, 0.0).pods) == 1, "fresh: zero requests is true"
    window.add(scrape(2.0, served=False, running=3))
    window.add(scrape(4.0, served=False))
    assert stats(window, 4.0).pods == (), "its names are not those of the profile"


def test_without_a_scrape_there_are_no_statistics() -> None:
    assert (
        engine_stats(PlacementWindow(), (), now=0.0, pods_expected=1, scrape_interval_seconds=2.0)
        is None
    )


def test_a_prometheus_that_scrapes_every_15_seconds_is_not_taken_for_blind() -> None:
    window = PlacementWindow()
    for time in (0.0, 15.0, 15.2, 30.0):
        window.add(scrape(time, finished=0.0))
    found = stats(window, 44.0)
    assert (found.scrape_interval_seconds, found.pods_scraped) == (pytest.approx(14.8, abs=0.3), 1)
    assert stats(window, 90.0).pods_scraped == 0
