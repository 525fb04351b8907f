"""The one poller of all signals: when to ask, whom together, what to keep, what to refuse.

Asks equal sources once, batches where a source can, never asks one source twice at a time, and one
stuck server delays nobody else. Neighbours: `checks.py` judges values, `states.py` turns what is
held into `SignalState`, `breaker.py`, `registry.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wattshift.adapters.base import Fetched, SignalConfig, SignalKey, SignalSource, SourceContext
from wattshift.adapters.breaker import Breaker, BreakerState
from wattshift.adapters.checks import (
    Accepted,
    Pending,
    Refusal,
    check_observation,
    check_provenance,
    check_value,
    explain_pending,
)
from wattshift.adapters.failures import SourceError, SourceNeedsHuman, SourceTransient
from wattshift.adapters.reasons import SourceReason
from wattshift.adapters.registry import SOURCES, Factory, make_source
from wattshift.adapters.states import Curve, Held, state_at
from wattshift.adapters.times import utc_text
from wattshift.core.signal import SignalKind, SignalState
from wattshift.errors import NeedsHuman, Transient, WattshiftError

log = logging.getLogger(__name__)
MINIMUM_INTERVAL_SECONDS = 1.0
LOCAL_REFRESH_SECONDS = 6 * 3600.0
"""How often curves of the object itself are laid out again; they reach days ahead."""
FRESH_MARGIN = 1.5
"""A value must outlive the interval by this, for jitter, a slow answer and the age it comes with."""
RETRY_CAP_SECONDS = 300.0
JITTER = 0.1
ALIGN = 0.2
"""A batch takes along what is due within this share of its interval."""
ANSWERED = frozenset(
    {SourceReason.NO_DATA, SourceReason.AMBIGUOUS_RESULT, SourceReason.NOT_A_NUMBER}
)
"""The server works and said something useless: asked again at the normal pace."""
SOON = frozenset({SourceReason.SOURCE_NOT_FOUND, SourceReason.CREDENTIAL_MISSING})
"""Objects that are often created moments later."""


@dataclass(slots=True)
class _Feed:
    """One distinct question, and the signals that want its answer."""

    source: SignalSource
    interval: float
    subscribers: set[SignalKey] = field(default_factory=set)
    next_due: float = -math.inf
    failures: int = 0
    in_flight: bool = False

    @property
    def group(self) -> Hashable:
        """What is fetched together and shares a breaker."""
        key = self.source.batch_key
        return ("alone", self.source.fetch_key) if key is None else ("batch", key)


@dataclass(slots=True)
class _Entry:
    config: SignalConfig
    feed_key: Hashable
    held: Held
    pending: Pending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """How the reading of one signal goes, for conditions, metrics and `wattshift doctor`."""

    reason: str
    """Empty while the newest answer was good."""
    message: str
    endpoint: str
    failures: int
    breaker: BreakerState


class Poller:
    """Reads every declared signal; `configure` at any time, `states` at any time."""

    def __init__(
        self,
        context: SourceContext,
        *,
        seed: int = 0,
        sources: Mapping[str, Factory] = SOURCES,
        fetch_timeout_seconds: float = 120.0,
        parallel_fetches: int = 32,
        make_breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        self._context = context
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._sources = sources
        self._fetch_timeout = fetch_timeout_seconds
        self._parallel = asyncio.Semaphore(parallel_fetches)
        self._make_breaker = make_breaker
        self._entries: dict[SignalKey, _Entry] = {}
        self._feeds: dict[Hashable, _Feed] = {}
        self._breakers: dict[Hashable, Breaker] = {}
        self._wake = asyncio.Event()

    # --- what to read -------------------------------------------------------------------------

    def configure(self, desired: Iterable[SignalConfig]) -> None:
        """Make the set of signals exactly `desired`; unchanged ones keep what is held of them."""
        wanted = {config.key: config for config in desired}
        for key in self._entries.keys() - wanted.keys():
            self._remove(key)
        for key, config in wanted.items():
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = self._add(config)
            elif entry.config != config:
                self._change(key, entry, config)
        self._wake.set()

    def refresh(self, source_type: str | None = None) -> None:
        """Make sources due now, for instance `file` after a ConfigMap changed."""
        for feed in self._feeds.values():
            if source_type is None or feed.source.type_name == source_type:
                feed.next_due = -math.inf
        self._wake.set()

    def _add(self, config: SignalConfig) -> _Entry:
        try:
            source = make_source(config, self._context, self._sources)
            feed_key = (config.source_type, source.fetch_key)
        except (NeedsHuman, Transient) as error:
            return _Entry(config, None, Held(refusal=_refusal(error)))
        feed = self._feeds.get(feed_key)
        if feed is None:
            feed = self._feeds[feed_key] = _Feed(source, math.inf)
        feed.subscribers.add(config.key)
        feed.interval = min(feed.interval, self._interval(config, source))
        feed.next_due = -math.inf
        held = Held(endpoint=source.endpoint, always_valid=source.always_valid)
        return _Entry(config, feed_key, held)

    def _interval(self, config: SignalConfig, source: SignalSource) -> float:
        if source.always_valid:
            return LOCAL_REFRESH_SECONDS
        poll, stale = config.poll_period_seconds, config.stale_after_seconds
        # asked no more often than it goes stale, a good source would be stale before each answer
        return poll if stale >= FRESH_MARGIN * poll else stale / 2

    def _remove(self, key: SignalKey) -> None:
        feed_key = self._entries.pop(key).feed_key
        feed = self._feeds.get(feed_key)
        if feed is None:
            return
        feed.subscribers.discard(key)
        if not feed.subscribers:
            del self._feeds[feed_key]
            if not any(other.group == feed.group for other in self._feeds.values()):
                self._breakers.pop(feed.group, None)

    def _change(self, key: SignalKey, entry: _Entry, config: SignalConfig) -> None:
        self._remove(key)
        fresh = self._add(config)
        before = entry.config
        same_source = fresh.feed_key is not None and fresh.feed_key == entry.feed_key
        if same_source and (before.unit, before.quantity, before.kind) == (
            config.unit,
            config.quantity,
            config.kind,
        ):
            # only limits changed: the value held is as good as before
            fresh.held, fresh.pending = entry.held, entry.pending
        self._entries[key] = fresh

    # --- what was read ------------------------------------------------------------------------

    def states(self, now: float) -> Mapping[SignalKey, SignalState]:
        """Every declared signal at grid time `now`, unknown ones included."""
        return {
            key: state_at(entry.config, entry.held, now) for key, entry in self._entries.items()
        }

    def diagnose(self) -> Mapping[SignalKey, Diagnosis]:
        """How reading goes, per signal."""
        wall = self._context.wall_clock()
        result: dict[SignalKey, Diagnosis] = {}
        for key, entry in self._entries.items():
            feed = self._feeds.get(entry.feed_key)
            breaker = None if feed is None else self._breakers.get(feed.group)
            refusal = entry.held.refusal
            result[key] = Diagnosis(
                reason="" if refusal is None else refusal.reason,
                message="" if refusal is None else refusal.message,
                endpoint=entry.held.endpoint,
                failures=0 if feed is None else feed.failures,
                breaker=BreakerState.CLOSED if breaker is None else breaker.state(wall),
            )
        return result

    # --- asking -------------------------------------------------------------------------------

    def next_due(self) -> float:
        """Wall seconds of the next question; infinity if there is none."""
        return min(
            (feed.next_due for feed in self._feeds.values() if not feed.in_flight),
            default=math.inf,
        )

    async def poll_once(self) -> None:
        """Ask everything that is due, and wait for the answers."""
        await asyncio.gather(*(self._ask(feeds) for feeds in self._take_due()))

    async def run(self) -> None:
        """Ask for ever; ends by cancellation. Owns its tasks."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                for feeds in self._take_due():
                    tasks.create_task(self._ask_and_wake(feeds))
                wait = max(0.05, self.next_due() - self._context.wall_clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(wait, 60.0)):
                        await self._wake.wait()

    async def _ask_and_wake(self, feeds: Sequence[_Feed]) -> None:
        await self._ask(feeds)
        self._wake.set()

    def _take_due(self) -> list[list[_Feed]]:
        """Groups to ask now, marked in flight: single flight, open breakers left out."""
        wall = self._context.wall_clock()
        groups: dict[Hashable, list[_Feed]] = {}
        for feed in self._feeds.values():
            if not feed.in_flight:
                groups.setdefault(feed.group, []).append(feed)
        taken: list[list[_Feed]] = []
        for group, feeds in groups.items():
            if not any(feed.next_due <= wall for feed in feeds):
                continue
            due = [feed for feed in feeds if feed.next_due <= wall + ALIGN * self._wall(feed)]
            breaker = self._breakers.setdefault(group, self._make_breaker())
            half_open = breaker.state(wall) is BreakerState.HALF_OPEN
            if not breaker.allow(wall):
                for feed in due:
                    feed.next_due = max(breaker.retry_at, wall + MINIMUM_INTERVAL_SECONDS)
                continue
            if half_open:
                due = due[:1]
            for feed in due:
                feed.in_flight = True
            taken.append(due)
        return taken

    def _wall(self, feed: _Feed) -> float:
        """Poll interval in wall seconds: periods are written for the grid clock."""
        return max(MINIMUM_INTERVAL_SECONDS, feed.interval / max(self._context.grid_speed(), 1e-9))

    async def _ask(self, feeds: Sequence[_Feed]) -> None:
        results: Sequence[Fetched | WattshiftError]
        now = self._context.grid_clock()
        try:
            async with self._parallel, asyncio.timeout(self._fetch_timeout):
                source = feeds[0].source
                if len(feeds) == 1:
                    results = [await source.fetch(now)]
                else:
                    results = await type(source).fetch_batch([f.source for f in feeds], now)
        except TimeoutError:
            text = f"{feeds[0].source.endpoint}: no answer in {self._fetch_timeout:g} s"
            results = [SourceTransient(SourceReason.SOURCE_TIMED_OUT, text)] * len(feeds)
        except WattshiftError as error:
            results = [error] * len(feeds)
        except Exception as error:  # noqa: BLE001 - a fault of one adapter must not stop the others
            text = f"{feeds[0].source.endpoint}: {type(error).__name__}: {error}"
            results = [SourceNeedsHuman(SourceReason.ADAPTER_FAULT, text[:300])] * len(feeds)
        finally:
            for feed in feeds:
                feed.in_flight = False
        self._settle(feeds, results)

    def _settle(self, feeds: Sequence[_Feed], results: Sequence[Fetched | WattshiftError]) -> None:
        wall = self._context.wall_clock()
        breaker = self._breakers.setdefault(feeds[0].group, self._make_breaker())
        was_open = breaker.state(wall) is not BreakerState.CLOSED
        if all(isinstance(result, Transient) for result in results):
            breaker.failure(wall)
        else:
            breaker.success()
            if was_open:
                self._release(feeds[0].group)
        for feed, result in zip(feeds, results, strict=True):
            if isinstance(result, Fetched):
                feed.failures = 0
                feed.next_due = wall + self._jittered(self._wall(feed))
            else:
                feed.failures += 1
                feed.next_due = wall + self._backoff(feed, result)
            for key in feed.subscribers & self._entries.keys():
                before = self._entries[key].held.refusal
                self._take(self._entries[key], feed, result, breaker, wall)
                _tell(key, before, self._entries[key].held.refusal)

    def _release(self, group: Hashable) -> None:
        """The server is back: everybody who waited for it is due."""
        for feed in self._feeds.values():
            if feed.group == group and not feed.in_flight:
                feed.next_due = -math.inf

    def _jittered(self, seconds: float) -> float:
        return seconds * self._random.uniform(1 - JITTER, 1 + JITTER)

    def _backoff(self, feed: _Feed, error: WattshiftError) -> float:
        interval = self._wall(feed)
        if isinstance(error, SourceError) and error.reason in ANSWERED:
            return self._jittered(interval)
        base = min(interval, 2.0) if error.reason in SOON else interval
        grown = base * 2.0 ** min(feed.failures - 1, 10)
        wait = self._jittered(min(grown, max(RETRY_CAP_SECONDS, interval)))
        return max(wait, error.retry_after_seconds) if isinstance(error, SourceTransient) else wait

    # --- taking an answer ---------------------------------------------------------------------

    def _take(
        self,
        entry: _Entry,
        feed: _Feed,
        result: Fetched | WattshiftError,
        breaker: Breaker,
        wall: float,
    ) -> None:
        if not isinstance(result, Fetched):
            refusal = _refusal(result)
            if breaker.state(wall) is BreakerState.OPEN:
                text = f"{breaker.failures} failures in a row, the last: {refusal.message}"
                refusal = Refusal(SourceReason.SOURCE_BREAKER_OPEN, text)
            entry.held = replace(entry.held, refusal=refusal)
            return
        now = self._context.grid_clock()
        outcome = check_provenance(entry.config, result, feed.source.zone)
        if outcome is None:
            takes_curve = entry.config.kind is SignalKind.FORECAST or not result.observations
            outcome = (
                self._take_curve(entry, result, now)
                if takes_curve
                else self._take_observation(entry, result, now)
            )
        if outcome is not None:
            entry.held = replace(entry.held, refusal=outcome)

    def _take_curve(self, entry: _Entry, result: Fetched, now: float) -> Refusal | None:
        values: list[float | None] = []
        for step in result.steps:
            judged = None if step.value is None else check_value(entry.config, step.value)
            if isinstance(judged, Refusal):
                text = f"step at {utc_text(step.start_time)}: {judged.message}"
                return Refusal(judged.reason, text)
            values.append(judged)
        if not values or result.end_time is None:
            return Refusal(SourceReason.NO_DATA, "the answer has no steps")
        starts = tuple(step.start_time for step in result.steps)
        issued = now if result.issued_time is None else result.issued_time
        entry.held = replace(
            entry.held,
            last=None,
            curve=Curve(starts, tuple(values), result.end_time, issued),
            received_time=now,
            refusal=None,
        )
        return None

    def _take_observation(self, entry: _Entry, result: Fetched, now: float) -> Refusal | None:
        refusal: Refusal | None = None
        for observation in sorted(result.observations, key=lambda one: one.source_time):
            judged = check_observation(
                entry.config,
                observation,
                last=entry.held.last,
                pending=entry.pending,
                now=now,
                speed=self._context.grid_speed(),
            )
            match judged:
                case Accepted():
                    entry.pending = refusal = None
                    entry.held = replace(
                        entry.held,
                        last=judged,
                        estimated=result.estimated,
                        received_time=now,
                        refusal=None,
                    )
                case Pending():
                    entry.pending = judged
                    refusal = Refusal(judged.reason, explain_pending(judged))
                case Refusal():
                    refusal = judged
        return refusal


def _tell(key: SignalKey, before: Refusal | None, after: Refusal | None) -> None:
    """One line when a signal begins or ends to be refused, or is refused for another reason."""
    if (before and before.reason) == (after and after.reason):
        return
    kind, owner, name = key
    details = {"object": f"{kind}/{owner}", "signal": name}
    if after is None:
        log.info("signal %s is read again", name, extra={**details, "reason": "Fresh"})
    else:
        log.warning(
            "signal %s: %s", name, after.message, extra={**details, "reason": str(after.reason)}
        )


def _refusal(error: WattshiftError) -> Refusal:
    """Errors of credentials come with reasons of their own; they are kept."""
    return Refusal(error.reason, error.message)
