"""What every signal source takes and gives: protocol, context, results.

A source turns one `signals[].source` into observations or forecast steps *in the source's unit*
with the source's time; it never judges them. Neighbours: `failures.py`, `registry.py` makes sources,
`poller.py` asks them, checks and converts, `core/signal.py` has the result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from wattshift.adapters.failures import Credentials, SourceError, SourceNeedsHuman
from wattshift.adapters.reasons import SourceReason
from wattshift.core.signal import OnStale, SignalKind
from wattshift.core.units import Quantity

if TYPE_CHECKING:
    import aiohttp

    from wattshift.adapters.prometheus import PrometheusPool

SignalKey = tuple[str, str, str]
"""(owner kind, owner name, signal name), such as ("PowerSite", "gansu-1", "wind")."""

ConfigMaps = Callable[[str], Awaitable[Mapping[str, str] | None] | Mapping[str, str] | None]
"""ConfigMap name -> data of that ConfigMap in the operator's namespace, None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One value as the source gave it; may be NaN, negative, late: the poller judges."""

    value: float
    source_time: float
    """Epoch seconds on the grid clock."""
    exact_time: bool = False
    """The source stamps the value itself, so that equal or falling times mean something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Value that holds from `start_time` until the next step; `value=None` marks a gap."""

    start_time: float
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Answer of one fetch, in the source's unit, times on the grid clock."""

    observations: tuple[Observation, ...] = ()
    steps: tuple[Step, ...] = ()
    """A curve; rows of the past serve observations, rows of the future forecasts."""
    end_time: float | None = None
    """Where the last step ends; needed when `steps` is not empty."""
    issued_time: float | None = None
    unit: str | None = None
    """What the source itself says about its unit; None if it says nothing."""
    zone: str | None = None
    """What the source itself says about its zone; None if it says nothing."""
    estimated: bool = False
    """The source marks the value as its own estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What sources may use; wired once in `control/app.py`."""

    credentials: Credentials
    config_map: ConfigMaps
    session: aiohttp.ClientSession
    prometheus: PrometheusPool
    grid_clock: Callable[[], float]
    """Epoch seconds, signal time; faster than the wall clock in a replay."""
    wall_clock: Callable[[], float]
    """Seconds of a monotonic clock, for schedules, time-outs and breakers."""
    epoch_clock: Callable[[], float] | None = None
    """Epoch seconds of real time, to read time stamps of live sources; None = the grid clock."""
    grid_speed: Callable[[], float] = lambda: 1.0
    allowed_hosts: Callable[[str], bool] | None = None
    """Installation-wide host rule for URLs without a credential; None allows every host."""

    def live_to_grid(self, epoch_time: float) -> float:
        """Grid time of a real epoch time stamp: the age is kept, times the replay's speed."""
        if self.epoch_clock is None:
            return epoch_time
        return self.grid_clock() - (self.epoch_clock() - epoch_time) * self.grid_speed()


class SignalSource(Protocol):
    """One source of one signal, made by its factory from `signals[].source.<type>`."""

    type_name: ClassVar[str]
    """The member name in the API union, such as `httpJson`."""
    always_valid: ClassVar[bool]
    """Constants and curves of the object itself never go stale."""

    @property
    def endpoint(self) -> str:
        """Where it reads, for people: `prometheus https://scada.example`; never a credential."""
        ...

    @property
    def batch_key(self) -> Hashable | None:
        """Sources of one type with an equal key are fetched together; None = one by one."""
        ...

    @property
    def fetch_key(self) -> Hashable:
        """Equal keys give equal answers: such sources are asked once."""
        ...

    @property
    def zone(self) -> str | None:
        """The zone that was asked for, where the source has zones."""
        ...

    async def fetch(self, now: float) -> Fetched:
        """Ask once. `now` is grid time.

        Raises:
            SourceTransient: worth a retry.
            SourceNeedsHuman: the spec, the credential or the answer needs a person.
        """
        ...

    @classmethod
    async def fetch_batch(
        cls, sources: Sequence[Any], now: float
    ) -> Sequence[Fetched | SourceError]:
        """Ask for several sources of one `batch_key` at once; one result each, in order."""
        ...


class SingleSource(ABC):
    """Base of sources that are asked one by one."""

    type_name: ClassVar[str] = ""
    always_valid: ClassVar[bool] = False

    @property
    def batch_key(self) -> Hashable | None:
        """One by one."""
        return None

    @property
    def zone(self) -> str | None:
        """No zones."""
        return None

    @abstractmethod
    async def fetch(self, now: float) -> Fetched:
        """Ask once."""

    @classmethod
    async def fetch_batch(
        cls, sources: Sequence[Self], now: float
    ) -> Sequence[Fetched | SourceError]:
        """Ask each in turn; an error of one leaves the others."""
        results: list[Fetched | SourceError] = []
        for source in sources:
            try:
                results.append(await source.fetch(now))
            except SourceError as error:
                results.append(error)
        return results


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalConfig:
    """One entry of `signals[]` of a PowerSite or EnergyContract, validated upstream."""

    owner_kind: str
    owner_name: str
    name: str
    quantity: Quantity
    kind: SignalKind
    unit: str
    source_type: str
    source_spec: Mapping[str, Any] = field(hash=False)
    rank: int = 0
    poll_period_seconds: float = 60.0
    stale_after_seconds: float = 300.0
    on_stale: OnStale = OnStale.IGNORE
    fallback_value: float | None = None
    """In `unit`, as the user wrote it."""
    plausible_minimum: float | None = None
    plausible_maximum: float | None = None
    """In `unit`."""
    time_zone: str | None = None
    """Of the owner; sources with local times and no zone of their own use it."""

    @property
    def key(self) -> SignalKey:
        """Identity across configurations."""
        return (self.owner_kind, self.owner_name, self.name)

    @classmethod
    def from_spec(
        cls, owner_kind: str, owner_name: str, spec: Mapping[str, Any], time_zone: str | None
    ) -> SignalConfig:
        """Read one validated `signals[]` entry (camelCase, decimals as strings).

        Raises:
            SourceNeedsHuman: the source union does not have exactly one member, or a number
                is not one (only possible where validation was by-passed).
        """
        members = [(key, value) for key, value in spec["source"].items() if value is not None]
        if len(members) != 1:
            raise SourceNeedsHuman(
                SourceReason.SOURCE_INVALID,
                f"signal {spec.get('name')!r}: source needs exactly one member, "
                f"has {[key for key, _ in members]}",
            )
        on_stale = spec.get("onStale") or {}
        plausible = spec.get("plausible") or {}
        poll = float(spec.get("pollPeriodSeconds") or 60)
        return cls(
            owner_kind=owner_kind,
            owner_name=owner_name,
            name=str(spec["name"]),
            quantity=Quantity(spec["quantity"]),
            kind=SignalKind(spec.get("kind") or SignalKind.OBSERVATION),
            unit=str(spec["unit"]),
            source_type=members[0][0],
            source_spec=members[0][1],
            rank=int(spec.get("rank") or 0),
            poll_period_seconds=poll,
            stale_after_seconds=float(spec.get("staleAfterSeconds") or 5 * poll),
            on_stale=OnStale(on_stale.get("type") or OnStale.IGNORE),
            fallback_value=_decimal(on_stale.get("fallbackValue"), "onStale.fallbackValue"),
            plausible_minimum=_decimal(plausible.get("minimum"), "plausible.minimum"),
            plausible_maximum=_decimal(plausible.get("maximum"), "plausible.maximum"),
            time_zone=time_zone,
        )


def decimal_number(text: str) -> float:
    """A number as documents write it; NaN and infinities pass, the poller names them.

    Raises:
        ValueError: no number; also `1_000`, which only Python takes for one.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _decimal(text: Any, where: str) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except (TypeError, ValueError):
        raise SourceNeedsHuman(
            SourceReason.SOURCE_INVALID, f"{where}: {text!r} is no decimal number"
        ) from None
