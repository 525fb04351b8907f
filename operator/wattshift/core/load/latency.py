"""Tests of latency samples against an objective: is it violated, is it shown to hold.

The bad fraction is judged by exact binomial limits, never an interpolated percentile; what waits is
in no histogram and counts too. Sources: serving.md 3. Neighbour: `core/load/guard.py`, the verdict.
"""

from __future__ import annotations

import math

from wattshift.core.engine import Counts, EngineStats, LatencyWindow, Metric
from wattshift.core.load.beta import share_above, share_at_most
from wattshift.core.model import Objective
from wattshift.core.reasons import Reason

DOUBT = 0.1
"""One-sided error of the Clopper-Pearson limits (90 %)."""
SAMPLES_PER_REQUEST = 10
"""Token samples of one request correlate: at most this many count."""
KEY_VALUE_FULL = 0.9
"""KV cache use at which preemptions veto."""
LEAST_SHARE = 0.1
"""Of an objective that a queue may use up, however far away users are."""
UNSHIFTED_ROUND_TRIP = 0.1
"""Where engines cannot count against the threshold less the round trip, a round trip up to this
share of the threshold is tolerated: bucket edges are coarser than that."""


def thresholds_milliseconds(objective: Objective, round_trip_milliseconds: int) -> tuple[int, ...]:
    """Thresholds to count samples against: the objective, and what is left after the round trip.

    Engines count from arrival at the engine; users add the round trip, to the first token once.
    """
    if objective.metric is Metric.INTER_TOKEN_LATENCY or round_trip_milliseconds <= 0:
        return (objective.threshold_milliseconds,)
    left = objective.threshold_milliseconds - round_trip_milliseconds
    return (objective.threshold_milliseconds, max(1, left))


def violation(
    engine: EngineStats,
    objectives: tuple[Objective, ...],
    round_trip_milliseconds: int = 0,
    gateway_waiting: float = 0.0,
) -> tuple[Reason, str] | None:
    """The veto: lower limit above the allowed share in both windows, or a queue, or preemptions.

    Args:
        engine: of one placement.
        objectives: of the workload.
        round_trip_milliseconds: shortest way of any user to here: what everybody has to add.
        gateway_waiting: requests that wait at the gateway for this placement.
    """
    for objective in objectives:
        if objective.metric is not Metric.INTER_TOKEN_LATENCY:
            queue = _queue(engine, objective, round_trip_milliseconds, gateway_waiting)
            if queue:
                return Reason.QUEUE_GROWING, queue
        wanted = thresholds_milliseconds(objective, round_trip_milliseconds)[-1]
        window = _looser_window(engine, objective.metric, wanted)
        if window is None:
            continue
        allowed = 1 - objective.attainment_permille / 1000
        slow = _effective(window.slow, window.requests_slow, window.metric, lenient=True)
        fast = _effective(window.fast, window.requests_fast, window.metric, lenient=True)
        if share_above(*slow, allowed, DOUBT) and share_above(*fast, allowed, DOUBT):
            return Reason.LATENCY_GUARD, (
                f"{window.slow.bad} of {window.slow.total} {objective.metric.value} samples above "
                f"{window.threshold_milliseconds} ms in {window.slow_seconds:.0f} s and "
                f"{window.fast.bad} of {window.fast.total} in {window.fast_seconds:.0f} s; "
                f"allowed {allowed:.1%}"
            )
    full = engine.kv_cache_usage is not None and engine.kv_cache_usage > KEY_VALUE_FULL
    if objectives and full and engine.preemptions > 0:
        return Reason.LATENCY_GUARD, (
            f"{engine.preemptions} preemptions with the KV cache at {engine.kv_cache_usage:.0%}"
        )
    return None


def _limit_seconds(objective: Objective, round_trip_milliseconds: int) -> float:
    """What is left of the objective after the way to here; a tenth of it where nothing is."""
    threshold = objective.threshold_milliseconds
    return max(threshold - round_trip_milliseconds, LEAST_SHARE * threshold) / 1000


def _queue(
    engine: EngineStats,
    objective: Objective,
    round_trip_milliseconds: int,
    gateway_waiting: float,
) -> str:
    """Censoring: what waits has no first token yet and is in no histogram.

    One request per engine may be in the act of admission at the moment of a scrape: it is no queue.
    """
    waiting = engine.waiting + max(0.0, gateway_waiting)
    if waiting <= 0:
        return ""
    limit = _limit_seconds(objective, round_trip_milliseconds)
    at_gateway = f" ({gateway_waiting:.0f} at the gateway)" if gateway_waiting > 0 else ""
    if engine.waiting > 0 and engine.waiting_longest_seconds > limit:
        return (
            f"{waiting:.0f} requests wait{at_gateway} and no first token came for "
            f"{engine.waiting_longest_seconds:.1f} s; the objective leaves {limit:g} s"
        )
    rate = engine.first_tokens_per_second
    if waiting > max(1, engine.pods_scraped) and rate > 0 and waiting / rate > limit:
        return (
            f"{waiting:.0f} requests wait{at_gateway}, expected {waiting / rate:.1f} s at "
            f"{rate:.2f} first tokens/s; the objective leaves {limit:g} s"
        )
    return ""


def _waiting_too_long(
    engine: EngineStats, objective: Objective, round_trip_milliseconds: int, gateway: float
) -> int:
    """Requests that wait and are expected to miss the objective: bad samples for a removal."""
    waiting = engine.waiting + max(0.0, gateway)
    if objective.metric is Metric.INTER_TOKEN_LATENCY or waiting <= 0:
        return 0
    rate = engine.first_tokens_per_second
    limit = _limit_seconds(objective, round_trip_milliseconds)
    late = engine.waiting_longest_seconds > limit or rate <= 0 or waiting / rate > limit
    return math.ceil(waiting) if late else 0


def _looser_window(
    engine: EngineStats, metric: Metric, threshold_milliseconds: int
) -> LatencyWindow | None:
    """The window at the threshold, else the nearest above it: what is bad there is bad here.

    A stricter one would veto what is inside the objective.
    """
    found = None
    for row in engine.windows:
        at = row.threshold_milliseconds
        if row.metric is not metric or at < threshold_milliseconds:
            continue
        if found is None or at < found.threshold_milliseconds:
            found = row
    return found


def _window(
    engine: EngineStats, metric: Metric, threshold_milliseconds: int
) -> LatencyWindow | None:
    """The window at the threshold, else the nearest stricter one, else the strictest there is."""
    below = strictest = None
    for row in engine.windows:
        if row.metric is not metric:
            continue
        at = row.threshold_milliseconds
        if at <= threshold_milliseconds and (below is None or at > below.threshold_milliseconds):
            below = row
        if strictest is None or at < strictest.threshold_milliseconds:
            strictest = row
    return below or strictest


def _effective(counts: Counts, requests: int, metric: Metric, *, lenient: bool) -> tuple[int, int]:
    """(bad, samples) to test with; the cut bucket is good for a veto and bad for a removal."""
    bad = counts.bad if lenient else counts.bad + counts.ambiguous
    samples = counts.total
    if metric is Metric.INTER_TOKEN_LATENCY and samples > SAMPLES_PER_REQUEST * requests:
        effective = SAMPLES_PER_REQUEST * requests
        scaled = bad * effective / samples
        return (math.floor(scaled) if lenient else math.ceil(scaled)), effective
    return bad, samples


def _missing(window: LatencyWindow) -> int:
    """Samples that a vanished pod took with it, at most."""
    if not window.incomplete or window.missing is None:
        return 0
    each = SAMPLES_PER_REQUEST if window.metric is Metric.INTER_TOKEN_LATENCY else 1
    return window.missing * each


def not_shown(
    engine: EngineStats,
    objectives: tuple[Objective, ...],
    round_trip_milliseconds: int,
    gateway_waiting: float = 0.0,
) -> tuple[Reason | None, str]:
    """Why a removal is not shown to be safe; reason None = it is, and the message says by how much.

    Safe: upper limit within the allowed share in the slow window, for every objective. What waits too
    long and what a vanished pod took with it count as bad; a window of which nobody can say how much
    is missing proves nothing.
    """
    if engine.pods_scraped < engine.pods_expected:
        missing = engine.pods_expected - engine.pods_scraped
        return Reason.METRICS_STALE, f"{missing} engines were not scraped"
    tightest = "no latency objective is set"
    for objective in objectives:
        wanted = thresholds_milliseconds(objective, round_trip_milliseconds)[-1]
        window = _window(engine, objective.metric, wanted)
        name = f"{objective.metric.value} {objective.threshold_milliseconds} ms"
        if window is None:
            return (
                Reason.OBJECTIVE_UNKNOWN,
                f"{name}: engines report no samples",
            )
        excess = window.threshold_milliseconds - wanted
        if excess > UNSHIFTED_ROUND_TRIP * objective.threshold_milliseconds:
            return (
                Reason.OBJECTIVE_NOT_OBSERVABLE,
                (
                    f"{name}: samples are counted against {window.threshold_milliseconds} ms, but the "
                    f"round trip leaves {wanted} ms"
                ),
            )
        if window.incomplete and window.missing is None:
            return (
                Reason.METRICS_STALE,
                f"{name}: a pod vanished within {window.slow_seconds:.0f} s, its last samples are missing",
            )
        allowed = 1 - objective.attainment_permille / 1000
        late = _waiting_too_long(engine, objective, round_trip_milliseconds, gateway_waiting)
        unseen = late + _missing(window)
        strict = _effective(window.slow, window.requests_slow, window.metric, lenient=False)
        strict = (strict[0] + unseen, strict[1] + unseen)
        if not share_at_most(*strict, allowed, DOUBT):
            mild = _effective(window.slow, window.requests_slow, window.metric, lenient=True)
            mild = (mild[0] + unseen, mild[1] + unseen)
            if window.slow.ambiguous and share_at_most(*mild, allowed, DOUBT):
                return (
                    Reason.OBJECTIVE_NOT_OBSERVABLE,
                    (
                        f"{name}: {window.slow.ambiguous} of {window.slow.total} samples lie in the "
                        "bucket that the objective cuts"
                    ),
                )
            return (
                Reason.OBJECTIVE_UNKNOWN,
                (
                    f"{name}: {strict[0]} bad of {strict[1]} effective samples do not show that at "
                    f"most {allowed:.1%} are"
                ),
            )
        tightest = f"{name}: {strict[0]} bad of {strict[1]}, allowed {allowed:.1%}"
    return None, tightest
