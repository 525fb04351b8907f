"""`prometheus {url, query, auth, tls, timeoutSeconds}`: an instant query of one value.

Observation: one instant query, and the time of its samples beside it. All queries to one server
with one credential go out as one batch. Forecast: a range query over the time ahead, for recorded
forecasts and for `... offset 1d`. An empty vector is unknown, several series are ambiguous.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from wattshift.adapters.base import (
    Fetched,
    Observation,
    SignalConfig,
    SingleSource,
    SourceContext,
    Step,
)
from wattshift.adapters.failures import SourceError, SourceNeedsHuman
from wattshift.adapters.http import HttpTarget
from wattshift.adapters.prometheus import (
    URL_LIMIT_BYTES,
    PrometheusEndpoint,
    Sample,
    Series,
    oldest,
)
from wattshift.adapters.promql import (
    BATCH_LABEL,
    batch,
    is_self_contained,
    sample_time_query,
)
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import SignalKind

HORIZON_SECONDS = 86_400
STEP_SECONDS = 900
"""Range of a forecast, on the grid clock."""


class PrometheusSource(SingleSource):
    """One query on one server."""

    type_name: ClassVar[str] = "prometheus"
    always_valid: ClassVar[bool] = False

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        self._target = HttpTarget.from_spec(config.source_spec, context.allowed_hosts, base=True)
        self._query = str(config.source_spec["query"]).strip()
        self._forecast = config.kind is SignalKind.FORECAST
        self._context = context
        if not self._query:
            raise ValueError("query is empty")
        self._time_query = None if self._forecast else sample_time_query(self._query)

    @property
    def endpoint(self) -> str:
        """For people."""
        return f"prometheus {self._target.url}"

    @property
    def batch_key(self) -> Hashable | None:
        """Instant queries of one server and identity; what could reach out of a batch goes alone."""
        if self._forecast or not is_self_contained(self._query):
            return None
        return ("prometheus", self._target.key)

    @property
    def fetch_key(self) -> Hashable:
        """By server, identity and query."""
        return ("prometheus", self._target.key, self._query, self._forecast)

    def _server(self) -> PrometheusEndpoint:
        target = self._target
        identity = target.identity(self._context.credentials)
        return PrometheusEndpoint(target.url, identity, target.timeout_seconds)

    async def fetch(self, now: float) -> Fetched:
        """Ask alone."""
        target = self._server()
        if self._forecast:
            return await self._fetch_ahead(target, now)
        samples = await self._context.prometheus.query(target, self._query)
        stamps: list[Sample] = []
        if samples and self._time_query is not None:
            stamps = await self._context.prometheus.query(target, self._time_query)
        return self._result(samples, stamps, now)

    async def _fetch_ahead(self, target: PrometheusEndpoint, now: float) -> Fetched:
        context = self._context
        speed = max(context.grid_speed(), 1e-9)
        real_now = now if context.epoch_clock is None else context.epoch_clock()
        found = await context.prometheus.query_range(
            target,
            self._query,
            start=real_now,
            end=real_now + HORIZON_SECONDS / speed,
            step_seconds=max(1, round(STEP_SECONDS / speed)),
        )
        return self._ahead(found, now, speed, real_now)

    def _ahead(self, found: Sequence[Series], now: float, speed: float, real_now: float) -> Fetched:
        if not found or not found[0].points:
            raise SourceNeedsHuman(
                SourceReason.NO_DATA, f"{self.endpoint}: no step ahead for {self._query!r}"
            )
        if len(found) > 1:
            raise self._ambiguous(len(found))
        steps = tuple(
            Step(start_time=now + (stamp - real_now) * speed, value=value)
            for stamp, value in found[0].points
        )
        return Fetched(steps=steps, end_time=steps[-1].start_time + STEP_SECONDS, issued_time=now)

    def _ambiguous(self, count: int) -> SourceNeedsHuman:
        return SourceNeedsHuman(
            SourceReason.AMBIGUOUS_RESULT,
            f"{self.endpoint}: {count} series for {self._query!r}: aggregate with sum() or max()",
        )

    def _result(self, samples: Sequence[Sample], stamps: Sequence[Sample], now: float) -> Fetched:
        if not samples:
            raise SourceNeedsHuman(
                SourceReason.NO_DATA, f"{self.endpoint}: empty result for {self._query!r}"
            )
        if len(samples) > 1:
            raise self._ambiguous(len(samples))
        sample = samples[0]
        stamp = oldest(stamps)
        if stamp is None and self._time_query is not None:
            # a default (`or vector(0)`), or a range that outlives its series: unknown, not a value
            raise SourceNeedsHuman(
                SourceReason.NO_DATA,
                f"{self.endpoint}: no sample is behind the result of {self._query!r}",
            )
        # the age is a difference on the server's own clock, so a skewed clock does no harm
        age = 0.0 if stamp is None else max(0.0, sample.time - stamp)
        source_time = now - age * self._context.grid_speed()
        return Fetched(observations=(Observation(value=sample.value, source_time=source_time),))

    @classmethod
    async def fetch_batch(
        cls, sources: Sequence[PrometheusSource], now: float
    ) -> Sequence[Fetched | SourceError]:
        """One request for as many queries as a URL holds; a refused batch is asked one by one."""
        results: list[Fetched | SourceError] = []
        for chunk in _chunks(sources):
            results.extend(await cls._fetch_chunk(chunk, now))
        return results

    @classmethod
    async def _fetch_chunk(
        cls, sources: Sequence[PrometheusSource], now: float
    ) -> Sequence[Fetched | SourceError]:
        if len(sources) == 1:
            return await super().fetch_batch(sources, now)
        first = sources[0]
        try:
            answer = await first._context.prometheus.query(  # noqa: SLF001
                first._server(),  # noqa: SLF001
                batch(_parts(sources)),
            )
        except SourceNeedsHuman as error:
            if error.reason is SourceReason.QUERY_REFUSED:
                # one bad query spoils the batch: find out which
                return await super().fetch_batch(sources, now)
            raise
        by_part: dict[str, list[Sample]] = {}
        for sample in answer:
            by_part.setdefault(sample.labels.get(BATCH_LABEL, ""), []).append(sample)
        results: list[Fetched | SourceError] = []
        for index, source in enumerate(sources):
            try:
                results.append(
                    source._result(  # noqa: SLF001
                        by_part.get(f"v{index}", ()), by_part.get(f"t{index}", ()), now
                    )
                )
            except SourceError as error:
                results.append(error)
        return results


def _parts(sources: Sequence[PrometheusSource]) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    for index, source in enumerate(sources):
        parts.append((f"v{index}", source._query))  # noqa: SLF001
        if source._time_query is not None:  # noqa: SLF001
            parts.append((f"t{index}", source._time_query))  # noqa: SLF001
    return parts


def _chunks(sources: Sequence[PrometheusSource]) -> list[list[PrometheusSource]]:
    """Cut into batches whose query fits into a URL (percent-encoding counted)."""
    chunks: list[list[PrometheusSource]] = [[]]
    size = 0
    for source in sources:
        own = 2 * sum(len(query) + 60 for _, query in _parts([source]))
        if chunks[-1] and size + own > URL_LIMIT_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(source)
        size += own
    return [chunk for chunk in chunks if chunk]
