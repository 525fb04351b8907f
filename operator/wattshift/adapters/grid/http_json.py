"""`httpJson {url, auth, tls, timeoutSeconds, valuePath, timePath, ...}`.

One GET, one JSON document, one value (or a list of steps through `itemsPath`). Paths are JSON
pointers (`/data/0/value`, RFC 6901) or dotted (`data[0].value`). `unitPath`, `zonePath` and `zone`
let the answer prove that it is the one that was meant. Redirects are refused, the body is
capped, the credential goes only to hosts that its Secret allows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

from wattshift.adapters.base import (
    Fetched,
    Observation,
    SignalConfig,
    SingleSource,
    SourceContext,
    Step,
    decimal_number,
)
from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.http import HttpTarget, get_bytes, parse_json
from wattshift.adapters.reasons import SourceReason
from wattshift.adapters.times import parse_time
from wattshift.core.signal import SignalKind

ITEM_LIMIT = 20_000


def split_path(path: str) -> tuple[str, ...]:
    """Tokens of a JSON pointer or of a dotted path; empty = the document itself."""
    if path.startswith("/"):
        return tuple(token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/"))
    text = path.removeprefix("$").removeprefix(".")
    return tuple(text.replace("[", ".").replace("]", "").split(".")) if text else ()


def follow(document: Any, path: tuple[str, ...], where: str) -> Any:
    """The value under a path; list positions may be negative (`-1` = the last).

    Raises:
        SourceNeedsHuman: `SourceNotFound`, naming the token that leads nowhere.
    """
    found = document
    for position, token in enumerate(path):
        try:
            found = _child(found, token)
        except (KeyError, IndexError, ValueError):
            trail = "/" + "/".join(path[: position + 1])
            raise SourceNeedsHuman(
                SourceReason.SOURCE_NOT_FOUND, f"{where}: the answer has nothing at {trail}"
            ) from None
    return found


def _child(found: Any, token: str) -> Any:
    if isinstance(found, list):
        return found[int(token)]
    if isinstance(found, Mapping):
        return found[token]
    raise KeyError(token)


def to_number(value: Any, where: str) -> float:
    """A JSON number, or a text that is one.

    Raises:
        SourceNeedsHuman: `NoData` for null, `NotANumber` for anything else.
    """
    if value is None:
        raise SourceNeedsHuman(SourceReason.NO_DATA, f"{where}: the value is null")
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float, str)):
        try:
            return decimal_number(value) if isinstance(value, str) else float(value)
        except (ValueError, OverflowError):
            pass
    raise SourceNeedsHuman(SourceReason.NOT_A_NUMBER, f"{where}: {str(value)[:40]!r} is no number")


class HttpJsonSource(SingleSource):
    """One JSON document behind one URL."""

    type_name: ClassVar[str] = "httpJson"
    always_valid: ClassVar[bool] = False

    def __init__(self, config: SignalConfig, context: SourceContext) -> None:
        spec = config.source_spec
        self._target = HttpTarget.from_spec(spec, context.allowed_hosts)
        self._value_path = split_path(str(spec["valuePath"]))
        self._time_path = _optional(spec, "timePath")
        self._unit_path = _optional(spec, "unitPath")
        self._zone_path = _optional(spec, "zonePath")
        self._items_path = _optional(spec, "itemsPath")
        self._time_format = str(spec.get("timeFormat") or "RFC3339")
        self._zone_asked: str | None = spec.get("zone")
        self._time_zone = config.time_zone
        self._context = context
        if config.kind is SignalKind.FORECAST and self._items_path is None:
            raise ValueError("a forecast needs itemsPath and timePath")
        if self._items_path is not None and self._time_path is None:
            raise ValueError("itemsPath needs timePath")
        if (self._zone_asked is None) != (self._zone_path is None):
            raise ValueError("set zone and zonePath together")

    @property
    def endpoint(self) -> str:
        """For people: the query is left out, it may hold a key."""
        return f"httpJson {self._target.url.partition('?')[0]}"

    @property
    def zone(self) -> str | None:
        """The zone that was asked for."""
        return self._zone_asked

    @property
    def fetch_key(self) -> Hashable:
        """By URL, paths and credential."""
        return (
            "httpJson",
            self._target.key,
            self._value_path,
            self._time_path,
            self._time_format,
            self._items_path,
            self._unit_path,
            self._zone_path,
            self._zone_asked,
            self._time_zone,
        )

    async def fetch(self, now: float) -> Fetched:
        """GET and pick."""
        identity = self._target.identity(self._context.credentials)
        body = await get_bytes(
            self._context.session,
            self._target.url,
            endpoint=self.endpoint,
            identity=identity,
            headers={"Accept": "application/json"},
            timeout_seconds=self._target.timeout_seconds,
        )
        try:
            return self._read(parse_json(body, self.endpoint), now)
        except SourceNeedsHuman as error:
            # servers like to repeat what they were sent, and messages quote answers
            raise SourceNeedsHuman(error.reason, identity.redact(error.message)) from None

    def _read(self, document: Any, now: float) -> Fetched:
        unit = self._text(document, self._unit_path)
        zone = self._text(document, self._zone_path)
        if self._items_path is None:
            value = to_number(follow(document, self._value_path, self.endpoint), self.endpoint)
            own_time = self._time_path is not None
            time = self._time(document) if own_time else now
            seen = Observation(value=value, source_time=time, exact_time=own_time)
            return Fetched(observations=(seen,), unit=unit, zone=zone)
        steps = self._steps(follow(document, self._items_path, self.endpoint))
        usual = steps[-1].start_time - steps[-2].start_time if len(steps) > 1 else 3600.0
        return Fetched(
            steps=steps,
            end_time=steps[-1].start_time + usual,
            issued_time=now,
            unit=unit,
            zone=zone,
        )

    def _steps(self, items: Any) -> tuple[Step, ...]:
        if not isinstance(items, list):
            raise SourceNeedsHuman(
                SourceReason.ANSWER_NOT_READABLE, f"{self.endpoint}: itemsPath leads to no list"
            )
        if not items:
            raise SourceNeedsHuman(SourceReason.NO_DATA, f"{self.endpoint}: the list is empty")
        if len(items) > ITEM_LIMIT:
            raise SourceNeedsHuman(
                SourceReason.ANSWER_TOO_LARGE, f"{self.endpoint}: more than {ITEM_LIMIT} items"
            )
        found: dict[float, float | None] = {}
        for item in items:
            raw = follow(item, self._value_path, self.endpoint)
            value = None if raw is None else to_number(raw, self.endpoint)
            time = self._time(item)
            if time in found and found[time] != value:
                raise SourceNeedsHuman(
                    SourceReason.DUPLICATE_TIME, f"{self.endpoint}: two values for one time"
                )
            found[time] = value
        return tuple(Step(start_time=time, value=found[time]) for time in sorted(found))

    def _time(self, item: Any) -> float:
        assert self._time_path is not None
        raw = follow(item, self._time_path, self.endpoint)
        if raw is None or isinstance(raw, (bool, list, dict)):
            raise SourceNeedsHuman(
                SourceReason.ANSWER_NOT_READABLE, f"{self.endpoint}: the time is {str(raw)[:40]!r}"
            )
        return self._context.live_to_grid(
            parse_time(raw, self._time_zone, self._time_format, self.endpoint)
        )

    def _text(self, document: Any, path: tuple[str, ...] | None) -> str | None:
        return None if path is None else str(follow(document, path, self.endpoint))


def _optional(spec: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    text = spec.get(name)
    return None if text is None else split_path(str(text))
