"""Sites, replica tables and round trips of a scenario file. Resolved by `load_sites.py`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from wattshift.sim.schema_base import (
    FileModel,
    Latitude,
    Longitude,
    Name,
    NotNegative,
    Positive,
    Share,
    Whole,
    one_of,
)
from wattshift.sim.schema_series import Series


class Repeat(FileModel):
    """Makes many sites or workloads of one entry; `{index}` counts from 0."""

    count: Annotated[int, Field(ge=1, le=100_000)]
    """count is how many there are."""
    seed: Whole = 0
    """seed of the drawn values."""
    values: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """values are drawn evenly between two ends for each; `{key}` in a text is replaced, and a text
    that is only `{key}` becomes the number."""


class DeviceCount(FileModel):
    """Accelerators of one kind."""

    resource_name: str = Field(min_length=1, max_length=253)
    """resourceName is the Kubernetes resource, such as nvidia.com/gpu."""
    count: Whole
    """count is how many are installed."""


class FacilitySpec(FileModel):
    """Facility watts = fixedWatts + marginalPermille/1000 x IT watts at a temperature."""

    temperature_millicelsius: Annotated[int, Field(ge=-100_000, le=200_000)] = 20_000
    """temperatureMillicelsius is the outdoor temperature of this point."""
    fixed_watts: Whole = 0
    """fixedWatts do not depend on IT."""
    marginal_permille: Annotated[int, Field(ge=1000, le=10_000)] = 1000
    """marginalPermille is facility watts per 1000 IT watts."""


class SupplySpec(FileModel):
    """Own or directly connected supply."""

    name: Name
    """name of the supply; positions of the contract name it."""
    type: str = Field(min_length=1, max_length=32)
    """type such as Wind or Solar."""
    power: Annotated[list[Series], Field(min_length=1, max_length=16)]
    """power that is available; several series are added. The first one's forecast holds for all."""


class CoolingSpec(FileModel):
    """IT power that cooling can carry, falling with the outdoor temperature."""

    it_watts: Positive
    """itWatts can be cooled up to the temperature below."""
    falls_above_celsius: float
    """fallsAboveCelsius is where the limit begins to fall."""
    fall_share_per_celsius: Share
    """fallSharePerCelsius is the share of itWatts that each degree takes."""


class StorageSpec(FileModel):
    """Storage that runs by its own rule."""

    energy_watt_hours: Positive
    """energyWattHours between empty and full."""
    power_watts: Positive
    """powerWatts of charging and discharging."""
    charge_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.95
    """chargeEfficiency is stored per taken energy."""
    discharge_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.95
    """dischargeEfficiency is given per stored energy."""
    reserve_share: Share = 0.1
    """reserveShare is kept for other purposes."""


class ContractSpec(FileModel):
    """An EnergyContract: exactly one of file and spec."""

    file: str | None = None
    """file is a YAML file with an EnergyContract manifest, or several (then `name` chooses)."""
    name: str | None = None
    """name of the manifest in the file."""
    spec: dict[str, Any] | None = None
    """spec is the spec of an EnergyContract; `points` may be left out, or be one with contractedWatts and
    maximumWatts of the site."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, "file", "spec")
        return self


class SiteSpec(FileModel):
    """One site. `siteDefaults` of the file gives what a site leaves out."""

    name: Name
    """name of the site."""
    labels: dict[str, str | float] = Field(default_factory=dict)
    """labels replace `{key}` in texts of this site, such as a CSV column."""
    time_zone: str
    """timeZone is the IANA zone of local times."""
    latitude: Latitude | None = None
    """latitude in degrees, for great-circle round trips and the sun."""
    longitude: Longitude | None = None
    """longitude in degrees."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """currency of the prices without a contract."""
    devices: Annotated[list[DeviceCount], Field(max_length=16)] | None = None
    """devices installed; absent = enough for every placement's maxReplicas."""
    facility: Annotated[list[FacilitySpec], Field(max_length=32)] = Field(default_factory=list)
    """facility is what the building adds, by temperature; empty = facility power equals IT."""
    import_limit_watts: NotNegative | None = None
    """importLimitWatts of the grid connection."""
    ramp_up_watts_per_minute: Positive | None = None
    """rampUpWattsPerMinute is the fastest rise that the connection allows."""
    ramp_down_watts_per_minute: Positive | None = None
    """rampDownWattsPerMinute is the fastest fall."""
    price: Series | None = None
    """price of energy; with a contract, the signal that its rates name."""
    contract: ContractSpec | None = None
    """contract that bills the site."""
    carbon: Series | None = None
    """carbon intensity, location-based."""
    temperature: Series | None = None
    """temperature outdoors."""
    supply: SupplySpec | None = None
    """supply of its own."""
    green_share: Series | None = None
    """greenShare of grid power, for the hourly physical ratio."""
    uncontrolled: Series | None = None
    """uncontrolled load on the same meter."""
    cooling: CoolingSpec | None = None
    """cooling limit; needs a temperature."""
    storage: StorageSpec | None = None
    """storage at the site."""
    repeat: Repeat | None = None
    """repeat makes many sites of this entry; the name then has `{index}` in it."""


class TableSpec(FileModel):
    """One replica, measured at several concurrencies; names as in a power profile."""

    name: Name
    """name that placements use as profileName."""
    resource_name: str = "nvidia.com/gpu"
    """resourceName of its devices."""
    devices_per_replica: Annotated[int, Field(ge=1, le=1024)]
    """devicesPerReplica is how many it takes."""
    sequences: Annotated[list[Positive], Field(min_length=1, max_length=64)]
    """sequences in flight at each point, rising."""
    watts: list[Positive]
    """watts of all its devices at each point."""
    tokens_per_second: list[Positive]
    """tokensPerSecond generated at each point."""
    inter_token_p50_milliseconds: list[Positive]
    """interTokenP50Milliseconds at each point."""
    inter_token_p99_milliseconds: list[Positive]
    """interTokenP99Milliseconds at each point."""
    loaded_idle_watts: NotNegative
    """loadedIdleWatts with the model in memory and nothing decoded."""
    parked_watts: NotNegative = 0.0
    """parkedWatts while parked; 0 = parking is a stop."""
    sequences_at_objective: Positive
    """sequencesAtObjective is what one replica carries inside the objective."""
    start_seconds: NotNegative = 300.0
    """startSeconds until a new replica serves."""
    wake_seconds: NotNegative = 300.0
    """wakeSeconds until a parked replica serves."""
    park_seconds: NotNegative = 5.0
    """parkSeconds until a parked replica uses parkedWatts."""
    prefill_watt_seconds_per_token: NotNegative = 0.0
    """prefillWattSecondsPerToken is the energy of prompt tokens computed again after a move."""
    cap_throughput: list[tuple[Share, Share]] = Field(default_factory=lambda: [(1.0, 1.0)])
    """capThroughput pairs power share and throughput share under a device power cap, rising; empty
    = devices cannot be capped."""
    source: str = ""
    """source of the figures."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        points = len(self.sequences)
        for name in (
            "watts",
            "tokens_per_second",
            "inter_token_p50_milliseconds",
            "inter_token_p99_milliseconds",
        ):
            if len(getattr(self, name)) != points:
                raise ValueError(f"{name} needs as many values as sequences ({points})")
        if any(b <= a for a, b in pairwise(self.sequences)):
            raise ValueError("sequences must rise")
        if any(b < a for a, b in pairwise(self.watts)):
            raise ValueError("watts must not fall with concurrency")
        if any(b <= a for a, b in pairwise(self.tokens_per_second)):
            raise ValueError("tokensPerSecond must rise: leave out points beyond the highest rate")
        latencies = (self.inter_token_p50_milliseconds, self.inter_token_p99_milliseconds)
        if any(high < low for low, high in zip(*latencies, strict=True)):
            raise ValueError(
                "interTokenP99Milliseconds must not be below interTokenP50Milliseconds"
            )
        caps = pairwise(self.cap_throughput)
        if any(b[0] <= a[0] or b[1] < a[1] for a, b in caps):
            raise ValueError(
                "capThroughput must rise: power shares, and throughput shares with them"
            )
        if self.loaded_idle_watts > self.watts[0]:
            raise ValueError("loadedIdleWatts must not be above the first of watts")
        if self.sequences_at_objective > self.sequences[-1]:
            raise ValueError("sequencesAtObjective must lie within sequences")
        return self


class GreatCircle(FileModel):
    """Round trip = 2 x distance x pathFactor / speed + addMilliseconds."""

    path_factor: Annotated[float, Field(ge=1, le=10)] = 1.6
    """pathFactor is fibre length over great-circle distance."""
    kilometers_per_millisecond: Positive = 200.0
    """kilometersPerMillisecond is the speed of light in fibre."""
    add_milliseconds: NotNegative = 2.0
    """addMilliseconds is added to every round trip."""


class RoundTripSpec(FileModel):
    """Round trips from origins to sites: exactly one of matrix, csv, greatCircle."""

    matrix: dict[str, dict[str, NotNegative]] | None = None
    """matrix is milliseconds by origin, then by site."""
    csv: str | None = None
    """csv is a file: first column origin, one column a site, milliseconds."""
    great_circle: GreatCircle | None = None
    """greatCircle computes them from latitudes and longitudes."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, "matrix", "csv", "great_circle")
        return self


class OriginSpec(FileModel):
    """Where users are."""

    name: Name
    """name of the origin."""
    time_zone: str = "UTC"
    """timeZone is the IANA zone that demand follows."""
    latitude: Latitude | None = None
    """latitude in degrees."""
    longitude: Longitude | None = None
    """longitude in degrees."""
    weight: NotNegative = 1.0
    """weight of its demand beside the other origins."""
