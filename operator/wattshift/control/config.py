"""Settings of one installation: a YAML file that the chart mounts, and a few words from the pod.

Every setting is described in `docs/configuration.md`; unknown keys are refused, so that a typing
error does not leave a default in force. Grid seconds and wall seconds differ only in a replay.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from wattshift.control.clock import Replay
from wattshift.core.model import Mode, Settings
from wattshift.errors import NeedsHuman

DEFAULT_PATH = "/etc/wattshift/config.yaml"
_POD_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Decimals = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
TcpPort = Annotated[int, Field(ge=0, le=65_535)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True
    )


class ReplayConfig(_Part):
    """Grid clock of its own."""

    start_time: AwareDatetime
    speed: Annotated[float, Field(ge=1, le=100_000)] = 1.0
    wall_start_time: AwareDatetime | None = None
    """Real moment at which the grid clock shows `startTime`; absent = start of the process."""


class LeaseConfig(_Part):
    """Leader election, wall seconds."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")] = "wattshift"
    duration_seconds: Seconds = 15.0
    renew_deadline_seconds: Seconds = 10.0
    retry_period_seconds: Seconds = 2.0
    fence_margin_seconds: Seconds = 5.0
    """A write is refused unless the lease outlives it by this time-out."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (
            not self.duration_seconds
            > self.renew_deadline_seconds
            > 1.2 * self.retry_period_seconds
        ):
            raise ValueError("durationSeconds > renewDeadlineSeconds > 1.2 x retryPeriodSeconds")
        if self.fence_margin_seconds > self.duration_seconds - 1.2 * self.retry_period_seconds:
            raise ValueError(
                "fenceMarginSeconds must leave the lease time to be renewed: at most "
                "durationSeconds - 1.2 x retryPeriodSeconds, else no write is ever allowed"
            )
        return self


class ExchangeRate(_Part):
    """Units of the reporting currency for one unit of `currency`."""

    currency: Currency
    rate: Decimals


class PlannerConfig(_Part):
    """Slow loop."""

    interval_seconds: Seconds = 300.0
    """Grid seconds between plans; something that changes wakes it earlier."""
    minimum_wall_seconds: Seconds = 2.0
    """Wall seconds between plans at least."""
    horizon_seconds: Annotated[int, Field(ge=900, le=604_800)] = 86_400
    head_room_permille: Annotated[int, Field(ge=0, le=2000)] = 200
    min_saving_per_move: Decimals = "0"
    max_actions_per_site: Annotated[int, Field(ge=1, le=1000)] = 2
    carbon_price_per_tonne: Decimals = "0"


class GovernorConfig(_Part):
    """Fast loop."""

    interval_seconds: Annotated[float, Field(ge=0.2, le=60)] = 2.0
    """Wall seconds between ticks."""


class EngineMetricsConfig(_Part):
    """Scraping of inference engines, wall seconds."""

    interval_seconds: Seconds = 5.0
    timeout_seconds: Seconds = 3.0
    stale_intervals: Annotated[int, Field(ge=1, le=100)] = 3


class StatusConfig(_Part):
    """How often status is written."""

    minimum_seconds: Seconds = 60.0
    totals_seconds: Annotated[float, Field(gt=0, le=604_800)] = 3600.0
    """Grid seconds between writes of sums."""
    change_permille: Annotated[int, Field(ge=0, le=1000)] = 20


class ServerConfig(_Part):
    """Ports that the operator serves; 0 = any free one."""

    bind_address: str = "0.0.0.0"  # noqa: S104 - inside a pod; the NetworkPolicy narrows it
    health_port: TcpPort = 8080
    """/livez, /readyz and /metrics."""
    api_port: TcpPort | None = None
    """Authenticated /v1; absent = not served."""
    api_bind_address: str = "127.0.0.1"
    """Plain HTTP with bearer tokens: only what shares the pod's network (`kubectl port-forward`)."""


class HubConfig(_Part):
    """The API server with our objects."""

    kubeconfig: str = ""
    """Path; empty = the pod's service account."""


class LogConfig(_Part):
    """Logging."""

    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    format: Annotated[str, Field(pattern="^(json|text)$")] = "json"


class RecorderConfig(_Part):
    """Flight recorder."""

    steps: Annotated[int, Field(ge=1, le=10_000)] = 200
    directory: str = ""
    """Empty = in memory only."""


class Config(_Part):
    """All settings."""

    mode: Mode = Mode.OBSERVE
    reporting_currency: Currency = "CNY"
    exchange_rates: tuple[ExchangeRate, ...] = ()
    replay: ReplayConfig | None = None
    lease: LeaseConfig = LeaseConfig()
    planner: PlannerConfig = PlannerConfig()
    governor: GovernorConfig = GovernorConfig()
    engine_metrics: EngineMetricsConfig = EngineMetricsConfig()
    status: StatusConfig = StatusConfig()
    server: ServerConfig = ServerConfig()
    hub: HubConfig = HubConfig()
    log: LogConfig = LogConfig()
    recorder: RecorderConfig = RecorderConfig()
    namespaces: tuple[str, ...] = ()
    """Namespaces whose FlexibleWorkloads are managed; empty = all."""
    namespace: str = ""
    """The operator's own: Lease, profiles, curves. Empty = the pod's."""
    credentials_namespace: str = ""
    """Kubeconfig Secrets and adapter credentials; empty = the operator's own."""
    pod_name: str = ""
    """Identity in the Lease and in events; empty = host name."""
    relist_seconds: Seconds = 600.0
    """Wall seconds between comparisons of the watch with a list."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4

    @model_validator(mode="after")
    def _one_rate_each(self) -> Self:
        seen = {self.reporting_currency}
        for row in self.exchange_rates:
            if row.currency in seen:
                raise ValueError(
                    f"exchangeRates: {row.currency} has a rate already (the reporting currency's is 1)"
                )
            seen.add(row.currency)
            if not Decimal(row.rate):
                raise ValueError(f"exchangeRates: a rate of 0 would make {row.currency} worthless")
        return self

    @property
    def own_namespace(self) -> str:
        """Namespace of Lease, profiles and curves."""
        return self.namespace or "wattshift-system"

    @property
    def secrets_namespace(self) -> str:
        """Namespace of credentials."""
        return self.credentials_namespace or self.own_namespace

    def clock_replay(self) -> Replay | None:
        """Replay for `SystemClock`."""
        if self.replay is None:
            return None
        wall = self.replay.wall_start_time
        return Replay(
            start_time=self.replay.start_time.timestamp(),
            speed=self.replay.speed,
            wall_start_time=None if wall is None else wall.timestamp(),
        )

    def decision_settings(self) -> Settings:
        """The part that decisions see."""
        return Settings(
            reporting_currency=self.reporting_currency,
            exchange_rates=tuple((row.currency, row.rate) for row in self.exchange_rates),
            carbon_price_per_tonne=self.planner.carbon_price_per_tonne,
            plan_interval_seconds=round(self.planner.interval_seconds),
            horizon_seconds=self.planner.horizon_seconds,
            head_room_permille=self.planner.head_room_permille,
            min_saving_per_move=self.planner.min_saving_per_move,
            max_actions_per_site=self.planner.max_actions_per_site,
            scrape_stale_intervals=self.engine_metrics.stale_intervals,
        )

    def rate_of(self, currency: str) -> Decimal | None:
        """Units of the reporting currency per unit of `currency`; None = not convertible."""
        if currency == self.reporting_currency:
            return Decimal(1)
        for row in self.exchange_rates:
            if row.currency == currency:
                return Decimal(row.rate)
        return None


_ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "POD_NAME": ("podName",),
    "POD_NAMESPACE": ("namespace",),
    "WATTSHIFT_BIND_ADDRESS": ("server", "bindAddress"),
    "WATTSHIFT_HEALTH_PORT": ("server", "healthPort"),
    "WATTSHIFT_API_PORT": ("server", "apiPort"),
    "WATTSHIFT_KUBECONFIG": ("hub", "kubeconfig"),
    "WATTSHIFT_LOG_LEVEL": ("log", "level"),
    "WATTSHIFT_RECORDER_DIRECTORY": ("recorder", "directory"),
}
"""What differs between pods of one installation; everything else belongs into the file."""


def load(path: str = "", environment: Mapping[str, str] | None = None) -> Config:
    """Read the file named by `path`, `WATTSHIFT_CONFIG` or the default, then the environment.

    Raises:
        NeedsHuman: reason ConfigInvalid; the message names each setting and what is wrong.
    """
    env = os.environ if environment is None else environment
    chosen = path or env.get("WATTSHIFT_CONFIG", "")
    document = _read(Path(chosen or DEFAULT_PATH), required=bool(chosen))
    if not document.get("namespace") and _POD_NAMESPACE_FILE.is_file():
        document["namespace"] = _POD_NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    for name, where in _ENVIRONMENT.items():
        if env.get(name):
            target = document
            for part in where[:-1]:
                target = target.setdefault(part, {})
            target[where[-1]] = env[name]
    document.setdefault("podName", env.get("HOSTNAME") or socket.gethostname())
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in error.errors()
        ]
        raise NeedsHuman("; ".join(lines), reason="ConfigInvalid") from error


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    if not path.is_file() and not required:
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise NeedsHuman(f"{path}: {error}", reason="ConfigInvalid") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise NeedsHuman(f"{path}: must be a mapping", reason="ConfigInvalid")
    return document
