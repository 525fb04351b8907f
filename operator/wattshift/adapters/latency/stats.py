"""From the windows of a placement to `EngineStats`: rates, concurrency, counts per objective.

Pure. Windows grow to an hour while samples are few; the fast window is a tenth of the slow one.
Neighbours: `window.py` accumulates, `core/load/latency.py` judges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from wattshift.adapters.latency.exposition import Histogram
from wattshift.adapters.latency.window import KEEP_SECONDS, PlacementWindow, Sums, classify
from wattshift.core.engine import Counts, EngineStats, LatencyWindow, Metric, PodCounters
from wattshift.core.load.latency import SAMPLES_PER_REQUEST
from wattshift.core.load.learn import LoadWindow
from wattshift.core.model import Objective

DEFAULT_WINDOW_SECONDS = 600.0
FAST_SHARE = 0.1
FAST_MINIMUM_SECONDS = 10.0
SPACING_CAP_SECONDS = 60.0
DOUBT = 0.1
"""One-sided error of the guard's test: an all-good window needs ln(doubt) / ln(attainment)."""
REQUESTS_DOUBT = 0.05
"""Share by which sequences in decode may pass the requests of a window: engines are read one by one."""
MEANING: Mapping[Metric, str] = {
    Metric.TIME_TO_FIRST_TOKEN: "timeToFirstToken",
    Metric.INTER_TOKEN_LATENCY: "interTokenLatency",
    Metric.END_TO_END: "endToEnd",
}


def samples_needed(attainment_permille: int) -> int:
    """Samples without a bad one that show an attainment: 45 at 950, 230 at 990 permille."""
    attainment = min(max(attainment_permille, 1), 999) / 1000
    return math.ceil(math.log(DOUBT) / math.log(attainment))


def engine_stats(
    window: PlacementWindow,
    objectives: Iterable[Objective],
    *,
    now: float,
    pods_expected: int,
    scrape_interval_seconds: float,
) -> EngineStats | None:
    """Statistics at wall time `now`; None before the first good scrape."""
    newest = window.newest
    if newest is None:
        return None
    # a Prometheus in between may scrape less often than we ask it
    interval = max(scrape_interval_seconds, min(window.spacing_seconds, SPACING_CAP_SECONDS))
    wanted = tuple(objectives)
    windows = tuple(_latency_window(window, objective, now) for objective in wanted)
    # rates do not grow with the windows: they are of now
    fastest = min(
        (_fast(float(row.window_seconds or DEFAULT_WINDOW_SECONDS)) for row in wanted),
        default=_fast(DEFAULT_WINDOW_SECONDS),
    )
    # two scrapes at least, else a rate is an accident
    rates = window.sums(now, max(fastest, 2.5 * interval))
    fresh = [scrape for scrape in window.pods.values() if now - scrape.wall_time <= 3 * interval]
    active = window.active_at
    usage = [s.kv_cache_usage for s in window.pods.values() if s.kv_cache_usage is not None]
    running = round(sum(scrape.running for scrape in window.pods.values()))
    return EngineStats(
        age_seconds=max(0.0, now - newest),
        scrape_interval_seconds=interval,
        pods_scraped=len(fresh),
        pods_expected=pods_expected,
        running=running,
        waiting=round(sum(scrape.waiting for scrape in window.pods.values())),
        waiting_longest_seconds=window.waiting_longest(),
        first_tokens_per_second=_rate(rates, _count(rates, "timeToFirstToken")),
        output_tokens_per_second=_rate(rates, rates.counters.get("generationTokens", 0.0)),
        prompt_tokens_per_second=_rate(rates, _uncached_prompt_tokens(rates)),
        requests_per_second=_rate(rates, _arrivals(rates)),
        concurrency=_concurrency(rates, running),
        kv_cache_usage=max(usage) if usage else None,
        preemptions=round(rates.counters.get("preemptions", 0.0)),
        idle_seconds=0.0 if active is None else max(0.0, now - active),
        duty=_duty(rates, len(fresh)),
        windows=windows,
        pods=pod_counters(window),
    )


def pod_counters(window: PlacementWindow) -> tuple[PodCounters, ...]:
    """Evidence per pod; a pod that served and lacks counters is left out: absent is not zero."""
    rows: list[PodCounters] = []
    for scrape in window.pods.values():
        prompt = scrape.total("promptTokens")
        if (scrape.served and prompt is None) or window.lacks_counters(scrape.pod_uid):
            continue
        rows.append(
            PodCounters(
                pod_uid=scrape.pod_uid,
                pod_name=scrape.pod_name,
                scrape_wall_time=scrape.wall_time,
                running=round(scrape.running),
                waiting=round(scrape.waiting),
                success_total=round(scrape.total("finished") or 0.0),
                aborted_total=round(scrape.total("aborted") or 0.0),
                prompt_tokens_total=round(prompt or 0.0),
                generation_tokens_total=round(scrape.total("generationTokens") or 0.0),
            )
        )
    return tuple(sorted(rows, key=lambda row: row.pod_name))


def _fast(slow_seconds: float) -> float:
    return max(FAST_MINIMUM_SECONDS, FAST_SHARE * slow_seconds)


def _rate(sums: Sums, amount: float) -> float:
    return max(0.0, amount) / sums.seconds if sums.seconds > 0 else 0.0


def _count(sums: Sums, meaning: str) -> float:
    histogram = sums.histograms.get(meaning)
    return 0.0 if histogram is None else histogram.count


def _arrivals(sums: Sums) -> float:
    """Finished, however they ended, plus what more is in flight than at the window's start."""
    finished = sums.counters.get("finished", 0.0) + sums.counters.get("aborted", 0.0)
    return finished + sums.in_flight_change


def _uncached_prompt_tokens(sums: Sums) -> float:
    """Prompt tokens less prefix-cache hits, where the engine counts both."""
    return sums.counters.get("promptTokens", 0.0) - sums.counters.get("cachedPromptTokens", 0.0)


def _concurrency(sums: Sums, running: int) -> float:
    """delta(inter-token latency sum) / delta t; the gauge where there is no such histogram."""
    histogram = sums.histograms.get("interTokenLatency")
    if histogram is None or sums.seconds <= 0:
        return float(running)
    return histogram.sum_seconds / sums.seconds


def _duty(sums: Sums, pods: int) -> float | None:
    """Share of time in decode: iterations x mean inter-token latency / time, per pod."""
    iterations = sums.counters.get("iterations")
    histogram = sums.histograms.get("interTokenLatency")
    if iterations is None or histogram is None or histogram.count <= 0 or not pods:
        return None
    if sums.seconds <= 0:
        return None
    mean = histogram.sum_seconds / histogram.count
    return min(1.0, iterations * mean / sums.seconds / pods)


def _latency_window(window: PlacementWindow, objective: Objective, now: float) -> LatencyWindow:
    meaning = MEANING[objective.metric]
    needed = samples_needed(objective.attainment_permille)
    slow_seconds = float(objective.window_seconds or DEFAULT_WINDOW_SECONDS)
    slow = window.sums(now, slow_seconds)
    while _count(slow, meaning) < needed and slow_seconds < KEEP_SECONDS:
        slow_seconds = min(KEEP_SECONDS, 2 * slow_seconds)
        slow = window.sums(now, slow_seconds)
    fast_seconds = _fast(slow_seconds)
    fast = window.sums(now, fast_seconds)
    threshold = objective.threshold_milliseconds / 1000
    running = round(sum(scrape.running for scrape in window.pods.values()))
    return LatencyWindow(
        metric=objective.metric,
        threshold_milliseconds=objective.threshold_milliseconds,
        slow=_counts(slow.histograms.get(meaning), threshold),
        fast=_counts(fast.histograms.get(meaning), threshold),
        slow_seconds=slow_seconds,
        fast_seconds=fast_seconds,
        requests_slow=_requests(slow, running),
        requests_fast=_requests(fast, running),
        incomplete=slow.missing > 0,
        missing=round(slow.missing) if 0 < slow.missing < math.inf else None,
    )


def _counts(histogram: Histogram | None, threshold: float) -> Counts:
    return Counts() if histogram is None else classify(histogram, threshold)


def _requests(sums: Sums, running: int) -> int:
    """Requests behind the samples: those that ended in the window, and those that still run.

    Long answers give samples all the time though none begins or ends.
    """
    finished = sums.counters.get("finished", 0.0) + sums.counters.get("aborted", 0.0)
    return round(max(finished + running, _count(sums, "timeToFirstToken")))


def load_window(
    window: PlacementWindow,
    objectives: Iterable[Objective],
    *,
    now: float,
    seconds: float,
    pods_expected: int,
) -> LoadWindow | None:
    """What the last `seconds` say about capacity (`core/load/learn.py`); None before the first scrape.

    Not steady where a pod came, went or was not scraped: a cold cache, or another share of the load;
    nor where an engine stood still, or tells more sequences than there were requests.
    The threshold of an objective is what is left of it after the round trip.
    """
    sums = window.sums(now, seconds)
    fresh = [row for row in window.pods.values() if now - row.wall_time <= seconds / 2]
    if not fresh or sums.seconds <= 0:
        return None
    waiting = sum(row.waiting for row in fresh)
    running = round(sum(row.running for row in fresh))
    samples = []
    for objective in objectives:
        meaning = MEANING[objective.metric]
        threshold = objective.threshold_milliseconds / 1000
        counts = _counts(sums.histograms.get(meaning), threshold)
        bad, total = counts.bad + counts.ambiguous, counts.total
        if objective.metric is Metric.INTER_TOKEN_LATENCY:
            most = SAMPLES_PER_REQUEST * _requests(sums, running)
            if total > most:
                bad, total = math.ceil(bad * most / total), most
        elif waiting > 0:
            rate = _rate(sums, _count(sums, "timeToFirstToken"))
            if rate <= 0 or waiting / rate > threshold:
                bad, total = bad + round(waiting), total + round(waiting)
        samples.append((bad, total))
    concurrency = _concurrency(sums, running)
    whole = len(fresh) >= pods_expected and sums.seconds >= seconds / 2
    # a token that took long tells in one window of the time of others
    possible = concurrency <= (1 + REQUESTS_DOUBT) * _requests(sums, running)
    return LoadWindow(
        seconds=sums.seconds,
        replicas=len(fresh),
        concurrency=concurrency,
        prompt_tokens_per_second=_rate(sums, _uncached_prompt_tokens(sums)),
        output_tokens_per_second=_rate(sums, sums.counters.get("generationTokens", 0.0)),
        samples=tuple(samples),
        steady=whole and possible and not sums.changed and not sums.stalled,
        running=sums.running,
    )
