"""Series of a scenario file: a column of a CSV, a constant, a daily curve or a synthetic series.

Every series says its unit and may say how it is forecast. Resolved by `load_series.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from wattshift.sim.scenario import ForecastModel
from wattshift.sim.schema_base import (
    FileModel,
    Latitude,
    Longitude,
    NotNegative,
    Positive,
    Share,
    Whole,
    one_of,
)


class TimeFormat(StrEnum):
    """How a CSV says its times."""

    TIMESTAMP = "Timestamp"
    """One column of ISO 8601 times in UTC (`Z`) or with an offset."""
    SECONDS = "Seconds"
    """One column of seconds after `startTime` of the scenario, or after a midnight when folded."""
    YEAR_MONTH_DAY_PERIOD = "YearMonthDayPeriod"
    """Columns Year, Month, Day, Period; Period counts from 1 and divides the day evenly."""


class Missing(StrEnum):
    """What happens to blank or masked cells and to gaps in time."""

    ERROR = "Error"
    HOLD = "Hold"
    INTERPOLATE = "Interpolate"


class Interpolation(StrEnum):
    """What holds between two points of a coarser series."""

    HOLD = "Hold"
    LINEAR = "Linear"


class CsvColumn(FileModel):
    """A column of a CSV file."""

    file: str = Field(min_length=1, max_length=512)
    """file is looked for beside the scenario file, then in the data folder."""
    column: str = Field(min_length=1, max_length=128)
    """column is the column's name in the first row; `{name}` and labels of a site are replaced."""
    time_format: TimeFormat = TimeFormat.TIMESTAMP
    """timeFormat is Timestamp, Seconds or YearMonthDayPeriod."""
    time_column: str = "datetime_utc"
    """timeColumn is the column of Timestamp and Seconds."""
    utc_offset_hours: Annotated[float, Field(ge=-14, le=14)] = 0.0
    """utcOffsetHours is the fixed offset of YearMonthDayPeriod, which has no daylight saving."""
    year_shift: Annotated[int, Field(ge=-200, le=200)] = 0
    """yearShift relabels the years: 4 uses weather of 2020 in a scenario of 2024."""
    stamped_late_by_offset_of: str | None = None
    """stampedLateByOffsetOf is an IANA zone west of Greenwich whose offset was applied twice: every
    time is moved earlier by that offset, with daylight saving."""
    missing: Missing = Missing.ERROR
    """missing is what fills blank cells, masked values and gaps: Error, Hold or Interpolate."""
    max_gap_seconds: Positive = 86400.0
    """maxGapSeconds is the longest hole that may be filled."""
    mask_below: float | None = None
    """maskBelow treats lower values as missing: collection gaps in a trace."""


class Spikes(FileModel):
    """Short peaks of a synthetic series."""

    per_week: NotNegative
    """perWeek is how many there are on average."""
    factor: float
    """factor multiplies the value while one lasts."""
    duration_seconds: Positive = 3600.0
    """durationSeconds is how long each lasts."""


class Episode(FileModel):
    """A stretch of time that is different: a heat wave, a calm."""

    start_day: NotNegative
    """startDay is in days after the scenario's start."""
    days: Positive
    """days is how long it lasts; the first and last sixth of it rise and fall."""
    add: float
    """add is what is added, in the unit of the series."""


class Quantiles(FileModel):
    """The distribution that a synthetic series is mapped to: monotone, so that the order in time stays."""

    minimum: float
    """minimum is the lowest value."""
    p5: float
    """p5 is the 5th percentile."""
    p50: float
    """p50 is the median."""
    p95: float
    """p95 is the 95th percentile."""
    p99: float
    """p99 is the 99th percentile."""
    maximum: float
    """maximum is the highest value."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        values = [self.minimum, self.p5, self.p50, self.p95, self.p99, self.maximum]
        if values != sorted(values):
            raise ValueError("quantiles must not fall: minimum, p5, p50, p95, p99, maximum")
        return self


HourFactors = Annotated[list[float], Field(min_length=24, max_length=24)]


class Shaped(FileModel):
    """Mean x hour of day x season x weekend + noise, then quantiles, spikes and episodes."""

    mean: float
    """mean of the series, in its unit."""
    hour_factors: HourFactors | None = None
    """hourFactors are 24 factors by local hour, joined by straight lines; absent = all 1."""
    weekend_factor: float = 1.0
    """weekendFactor multiplies Saturdays and Sundays."""
    seasonal_share: float = 0.0
    """seasonalShare is the amplitude over the year as a share of the mean."""
    seasonal_peak_day: Annotated[float, Field(ge=0, le=366)] = 15.0
    """seasonalPeakDay is the day of the year at which the season peaks."""
    day_noise_share: NotNegative = 0.0
    """dayNoiseShare is the standard deviation of whole days, as a share of the mean."""
    noise_share: NotNegative = 0.0
    """noiseShare is the standard deviation of the AR(1) noise, as a share of the mean."""
    noise_correlation_hours: Positive = 3.0
    """noiseCorrelationHours is the time in which the noise forgets itself (1/e)."""
    quantiles: Quantiles | None = None
    """quantiles is the distribution of the values, where it is known."""
    spikes: Spikes | None = None
    """spikes are short peaks."""
    episodes: Annotated[list[Episode], Field(max_length=64)] = Field(default_factory=list)
    """episodes are stretches that are different."""


class Solar(FileModel):
    """PV power from the sun's height and a cloud cover that drifts."""

    capacity: Positive
    """capacity at full sun, in the unit of the series."""
    latitude: Latitude | None = None
    """latitude in degrees; absent = the site's."""
    longitude: Longitude | None = None
    """longitude in degrees; absent = the site's."""
    clear_share: Share = 0.7
    """clearShare is the mean share of clear-sky power that comes through the clouds."""
    cloud_share: Share = 0.2
    """cloudShare is the standard deviation of that share."""
    correlation_hours: Positive = 6.0
    """correlationHours is the time in which the clouds change."""


class Wind(FileModel):
    """Wind power: a drifting wind speed through a cubic power curve."""

    capacity: Positive
    """capacity of the farm, in the unit of the series."""
    capacity_factor: Annotated[float, Field(gt=0.05, lt=0.8)] = 0.35
    """capacityFactor is the mean power as a share of the capacity."""
    correlation_hours: Positive = 10.0
    """correlationHours is the time in which the wind changes."""
    common_share: Share = 0.5
    """commonShare is the part of the weather that all series of the same `weatherName` share."""
    weather_name: str = "weather"
    """weatherName names the common weather."""


class Synthetic(FileModel):
    """A made-up series: exactly one of its kinds."""

    seed: Whole = 0
    """seed makes it another draw; the scenario's own seed does not change truths like prices."""
    shaped: Shaped | None = None
    """shaped is a mean with a daily and yearly shape."""
    solar: Solar | None = None
    """solar is PV power."""
    wind: Wind | None = None
    """wind is wind power."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, "shaped", "solar", "wind")
        return self


class ForecastSpec(FileModel):
    """How a quantity is forecast, and how late it is known."""

    model: ForecastModel = ForecastModel.NONE
    """model is None, Published, Persistence, DayOld, HourOfDay or Noisy."""
    delay_seconds: NotNegative = 0.0
    """delaySeconds is the age of the newest value that anybody can know."""
    horizon_seconds: Positive = 86400.0
    """horizonSeconds is how far the forecast reaches; Published reaches to the end of the last local
    day that was published."""
    published_at_hour: Annotated[int, Field(ge=0, le=23)] = 12
    """publishedAtHour is the local hour at which Published shows the next local day."""
    relative_error: NotNegative = 0.0
    """relativeError of Noisy is the standard deviation at one hour's lead, as a share of the value; the
    lead counts from the newest value known (`delaySeconds`)."""
    bias: Annotated[float, Field(ge=-1, le=10)] = 0.0
    """bias is a share that is added to every forecast value: 0.3 = 30 % too high."""


class Series(FileModel):
    """One quantity over time: exactly one of csv, constant, dailyCurve and synthetic."""

    unit: str = Field(min_length=1, max_length=32)
    """unit is a unit of the API, such as USDPerMegawattHour, GramPerKilowattHour, Kilowatt."""
    csv: CsvColumn | None = None
    """csv is a column of a file."""
    constant: float | None = None
    """constant is one value."""
    daily_curve: Annotated[list[float], Field(min_length=1, max_length=1440)] | None = None
    """dailyCurve is evenly spaced values of a local day."""
    synthetic: Synthetic | None = None
    """synthetic is a made-up series."""
    interpolation: Interpolation = Interpolation.HOLD
    """interpolation says what holds between points: Hold or Linear."""
    scale: float = 1.0
    """scale multiplies the values."""
    scale_maximum_to: Positive | None = None
    """scaleMaximumTo scales the series so that its highest value is this, in its unit."""
    add: float = 0.0
    """add is added after scaling, in the unit."""
    floor: float | None = None
    """floor is the lowest value, in the unit."""
    ceiling: float | None = None
    """ceiling is the highest value, in the unit."""
    forecast: ForecastSpec | None = None
    """forecast says how it is forecast; absent = no forecast, known after the telemetry delay."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, "csv", "constant", "daily_curve", "synthetic")
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise ValueError("floor must not be above ceiling")
        return self
