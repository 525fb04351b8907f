"""A scenario file (YAML) as a whole, with its events, faults and windows.

Reading order: `schema_base`, `schema_series`, `schema_sites`, `schema_workloads`, this. The page
`docs/scenarios.md` is generated from these models; `load.py` turns a file into a `Scenario`.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from wattshift.core.model import Firmness
from wattshift.sim.scenario import FaultKind
from wattshift.sim.schema_base import (
    FileModel,
    Name,
    NotNegative,
    Positive,
    Share,
    Time,
    Whole,
    one_of,
)
from wattshift.sim.schema_sites import OriginSpec, RoundTripSpec, SiteSpec, TableSpec
from wattshift.sim.schema_workloads import WorkloadSpec

FIRST_YEAR, LAST_YEAR = 1970, 2200
"""Clocks of zones are known and dates can be computed."""


class SourceNote(FileModel):
    """Where data come from."""

    name: str = Field(min_length=1, max_length=256)
    """name of the data and where they are published."""
    licence: str = Field(min_length=1, max_length=256)
    """licence of the data; `none needed` for figures that were made up here."""
    note: str = ""
    """note says what was done with them."""


class DataSpec(FileModel):
    """Data that the scenario needs from outside."""

    folder: str | None = None
    """folder with the CSV files, relative to the scenario file; absent = the variable
    WATTSHIFT_DATA."""
    small_variant: str = ""
    """smallVariant is the scenario that runs without these data."""


class SettingsSpec(FileModel):
    """What the installation says about deciding."""

    reporting_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """reportingCurrency of all money."""
    exchange_rates: dict[str, Positive] = Field(default_factory=dict)
    """exchangeRates are units of the reporting currency per unit of each other currency."""
    carbon_price_per_tonne: NotNegative = 0.0
    """carbonPricePerTonne in the reporting currency."""
    horizon_seconds: Annotated[int, Field(ge=300, le=7 * 86400)] = 86400
    """horizonSeconds of the plan."""
    head_room_permille: Annotated[int, Field(ge=0, le=1000)] = 0
    """headRoomPermille kept above the measured need, beside `margin`."""
    min_saving_per_move: NotNegative = 0.0
    """minSavingPerMove in the reporting currency."""
    max_actions_per_site: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """maxActionsPerSite at the same time."""


class EventSpec(FileModel):
    """A power event: at least one of the bounds."""

    name: Name
    """name of the event."""
    site_name: str
    """siteName that it holds for."""
    start_seconds: NotNegative
    """startSeconds after the scenario's start."""
    duration_seconds: Positive
    """durationSeconds."""
    notice_seconds: NotNegative = 0.0
    """noticeSeconds before the start at which it is announced; 0 = unannounced."""
    upper_watts: NotNegative | None = None
    """upperWatts at the meter."""
    lower_watts: NotNegative | None = None
    """lowerWatts at the meter."""
    reduction_share: Share | None = None
    """reductionShare of the power just before the start."""
    lower_share: NotNegative | None = None
    """lowerShare is a lower bound as a share of the power just before the start."""
    ramp_seconds: NotNegative = 60.0
    """rampSeconds in which the bound is reached."""
    firmness: Firmness = Firmness.COMMITTED
    """firmness is Mandatory, Committed or Voluntary."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        bounds = (self.upper_watts, self.lower_watts, self.reduction_share, self.lower_share)
        if all(bound is None for bound in bounds):
            raise ValueError("set upperWatts, lowerWatts, reductionShare or lowerShare")
        if self.upper_watts is not None and self.reduction_share is not None:
            raise ValueError("set upperWatts or reductionShare, not both")
        if self.lower_watts is not None and self.lower_share is not None:
            raise ValueError("set lowerWatts or lowerShare, not both")
        return self


class Between(FileModel):
    """A range that values are drawn from."""

    from_: float
    """from is the lower end."""
    to: float
    """to is the upper end."""
    logarithmic: bool = False
    """logarithmic draws evenly on a logarithmic scale."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.from_ > self.to:
            raise ValueError("from must not be above to")
        if self.logarithmic and self.from_ <= 0:
            raise ValueError("a logarithmic range needs from above 0")
        return self


class RandomEvents(FileModel):
    """Drawn events; those of one site never overlap."""

    count: Annotated[int, Field(ge=1, le=100_000)]
    """count of all events together."""
    seed: Whole | None = None
    """seed of the draw; absent = the scenario's seed."""
    site_names: list[str] = Field(default_factory=list)
    """siteNames that get them in turn; empty = all sites."""
    duration_seconds: Between
    """durationSeconds of each."""
    reduction_share: Between
    """reductionShare of each."""
    band_share: Share = 0.0
    """bandShare is the part of events that also have a lower bound, `bandWidth` below the upper."""
    band_width: Share = 0.15
    """bandWidth between the bounds, as a share of the power before."""
    hold_share: Share = 0.0
    """holdShare is the part of events that only have a lower bound: `holdLevel`."""
    hold_level: Between = Field(
        default_factory=lambda: Between.model_validate({"from": 0.9, "to": 1.0})
    )
    """holdLevel is the lower bound of those, as a share of the power before."""
    notice_seconds: NotNegative = 0.0
    """noticeSeconds; 0 = unannounced."""
    ramp_seconds: NotNegative = 30.0
    """rampSeconds."""
    gap_seconds: NotNegative = 3600.0
    """gapSeconds at least between two events of a site."""
    first_seconds: NotNegative = 0.0
    """firstSeconds is the earliest start."""
    firmness: Firmness = Firmness.COMMITTED
    """firmness of all."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.duration_seconds.from_ <= 0:
            raise ValueError("durationSeconds.from must be above 0")
        if self.reduction_share.from_ < 0 or self.reduction_share.to > 1:
            raise ValueError("reductionShare must lie between 0 and 1")
        if self.hold_level.from_ < 0:
            raise ValueError("holdLevel.from must not be negative")
        if self.hold_share + self.band_share > 1:
            raise ValueError("holdShare and bandShare together must not be above 1")
        return self


class EventsSpec(FileModel):
    """Listed and drawn events."""

    listed: Annotated[list[EventSpec], Field(max_length=10_000)] = Field(default_factory=list)
    """listed events."""
    random: RandomEvents | None = None
    """random events."""


class FaultSpec(FileModel):
    """One fault over one span."""

    kind: FaultKind
    """kind is Stale, Missing, NaN, Negative, Spike, Bias, MemberDown, MeterLies or SiteLoss."""
    site_name: str
    """siteName, or `*` for all sites."""
    quantity: str = Field(default="", pattern=r"^(|Price|Carbon|Power|Demand|Supply|Temperature)$")
    """quantity is Price, Carbon, Power, Demand, Supply or Temperature; empty for the last three."""
    start_seconds: NotNegative
    """startSeconds after the scenario's start."""
    duration_seconds: Positive
    """durationSeconds."""
    factor: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """factor that Spike (1 = 10), Bias and MeterLies multiply with; Negative turns the sign."""
    per_site_spread: Share = 0.0
    """perSiteSpread with `*` and Bias: each site gets its own factor, between factor minus and plus
    this, drawn with the scenario's seed."""


class ChosenWeeks(FileModel):
    """Weeks that are drawn once, evenly over the quarters; the scenario's seed does not move them."""

    development: Whole = 0
    """development weeks: parameters may be tuned on them."""
    reported: Annotated[int, Field(ge=1, le=1000)]
    """reported weeks: never among the development weeks."""
    warm_up_days: NotNegative = 14.0
    """warmUpDays at the start that no week may touch: forecasts learn from them."""
    draw: Whole = 0
    """draw makes it another choice."""


class WindowSpec(FileModel):
    """A span that is reported on its own."""

    name: Name
    """name of the window."""
    start_day: NotNegative
    """startDay after the scenario's start."""
    days: Positive
    """days."""
    development: bool = False
    """development windows may be tuned on and are never part of the reported figures."""


class MonthsSpec(FileModel):
    """Every full month of a time zone is a window."""

    time_zone: str = "UTC"
    """timeZone is the IANA zone whose months they are."""
    development: Annotated[list[str], Field(max_length=120)] = Field(default_factory=list)
    """development are names such as 2024-03 of months that may be tuned on."""


class EverySpec(FileModel):
    """Windows of equal length, one after the other."""

    days: Positive
    """days of each."""
    warm_up_days: NotNegative = 14.0
    """warmUpDays before the first."""


class WindowsSpec(FileModel):
    """What is reported: exactly one of weeks, months, every and listed."""

    weeks: ChosenWeeks | None = None
    """weeks chosen over the quarters."""
    months: MonthsSpec | None = None
    """months of a time zone."""
    every: EverySpec | None = None
    """every: windows of equal length."""
    listed: Annotated[list[WindowSpec], Field(min_length=1, max_length=1000)] | None = None
    """listed windows."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, "weeks", "months", "every", "listed")
        return self


class ScenarioFile(FileModel):
    """A scenario file."""

    name: Name
    """name of the scenario."""
    title: str = Field(max_length=200)
    """title for people."""
    description: str = ""
    """description says what it tests and what is made up."""
    start_time: Time
    """startTime of the first step, on a full hour of UTC."""
    days: Annotated[float, Field(gt=0, le=3700)]
    """days that it lasts: a whole number of steps."""
    step_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    """stepSeconds of the plant; it divides an hour."""
    seed: Whole = 1
    """seed of demand noise, forecast errors and drawn events."""
    data: DataSpec = DataSpec()
    """data that it needs from outside."""
    sources: Annotated[list[SourceNote], Field(min_length=1, max_length=64)]
    """sources of the data with their licences."""
    telemetry_delay_seconds: NotNegative = 5.0
    """telemetryDelaySeconds of everything measured."""
    plan_every_seconds: Positive = 300.0
    """planEverySeconds between plans."""
    govern_every_seconds: Positive = 300.0
    """governEverySeconds between the governor's rounds; at most stepSeconds."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """margin is the share of each site's capacity that plans and the bound B8m leave free."""
    settings: SettingsSpec = SettingsSpec()
    """settings of the planner."""
    tables: Annotated[list[TableSpec], Field(max_length=64)] = Field(default_factory=list)
    """tables of replicas beside the shipped ones."""
    site_defaults: dict[str, Any] = Field(default_factory=dict)
    """siteDefaults gives what a site leaves out; objects are merged key by key."""
    sites: Annotated[list[SiteSpec], Field(min_length=1, max_length=1000)]
    """sites."""
    origins: Annotated[list[OriginSpec], Field(max_length=1000)] = Field(default_factory=list)
    """origins of demand; empty = one at every site."""
    round_trips: RoundTripSpec = RoundTripSpec.model_validate({"greatCircle": {}})
    """roundTrips from origins to sites; absent = great circles."""
    workload_defaults: dict[str, Any] = Field(default_factory=dict)
    """workloadDefaults gives what a workload leaves out."""
    workloads: Annotated[list[WorkloadSpec], Field(max_length=100_000)]
    """workloads."""
    events: EventsSpec = EventsSpec()
    """events of power."""
    faults: Annotated[list[FaultSpec], Field(max_length=1000)] = Field(default_factory=list)
    """faults of signals, members and sites."""
    windows: WindowsSpec | None = None
    """windows that are reported; absent = all of it."""
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """variants are named sets of overrides by dotted path, chosen by `--set variant=NAME`."""

    @model_validator(mode="after")
    def _times(self) -> Self:
        if 3600 % self.step_seconds:
            raise ValueError("stepSeconds must divide an hour")
        if not FIRST_YEAR <= self.start_time.year < LAST_YEAR:
            raise ValueError(f"startTime must lie between {FIRST_YEAR} and {LAST_YEAR}")
        if self.start_time.timestamp() % 3600:
            raise ValueError("startTime must be on a full hour of UTC")
        if self.govern_every_seconds > self.step_seconds:
            raise ValueError("governEverySeconds must not be above stepSeconds")
        if self.plan_every_seconds < self.govern_every_seconds:
            raise ValueError("planEverySeconds must not be below governEverySeconds")
        return self
