"""Sites, contracts, replica tables and round trips of a scenario file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files as package_files
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from wattshift.api.energycontract import EnergyContractSpec
from wattshift.core.contract.errors import ContractError
from wattshift.core.contract.model import Contract
from wattshift.core.contract.parse import from_spec
from wattshift.core.model import FacilityPoint
from wattshift.core.units import Quantity
from wattshift.sim.load_csv import Files, when
from wattshift.sim.load_series import Origin, SeriesReader, frozen
from wattshift.sim.load_text import Place, ScenarioError, Text, words_of
from wattshift.sim.scenario import Array, ReplicaTable, Signal, SimSite, Storage
from wattshift.sim.schema import ScenarioFile
from wattshift.sim.schema_sites import ContractSpec, GreatCircle, OriginSpec, SiteSpec, TableSpec

_EARTH_KILOMETERS = 6371.0
_CONNECTION = "grid"
_TABLES = "tables.yaml"


def shipped_tables() -> list[TableSpec]:
    """The replica tables of the package."""
    text = (package_files("wattshift.sim") / "scenarios" / _TABLES).read_text(encoding="utf-8")
    return TypeAdapter(list[TableSpec]).validate_python(yaml.safe_load(text)["tables"])


def tables(file: ScenarioFile, text: Text) -> tuple[ReplicaTable, ...]:
    """Shipped tables and those of the file, which win by name."""
    names = [item.name for item in file.tables]
    unique(text, ("tables",), names)
    known = {item.name: item for item in shipped_tables()}
    known.update({item.name: item for item in file.tables})
    return tuple(
        ReplicaTable(
            name=item.name,
            resource_name=item.resource_name,
            devices_per_replica=item.devices_per_replica,
            sequences=tuple(item.sequences),
            watts=tuple(item.watts),
            tokens_per_second=tuple(item.tokens_per_second),
            inter_token_p50_milliseconds=tuple(item.inter_token_p50_milliseconds),
            inter_token_p99_milliseconds=tuple(item.inter_token_p99_milliseconds),
            loaded_idle_watts=item.loaded_idle_watts,
            parked_watts=item.parked_watts,
            sequences_at_objective=item.sequences_at_objective,
            start_seconds=item.start_seconds,
            wake_seconds=item.wake_seconds,
            park_seconds=item.park_seconds,
            prefill_watt_seconds_per_token=item.prefill_watt_seconds_per_token,
            cap_throughput=tuple(item.cap_throughput),
            source=item.source,
        )
        for item in known.values()
    )


def unique(text: Text, place: Place, names: list[str]) -> None:
    """Raises a ScenarioError for the first name that comes twice."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise text.error((*place, index, "name"), f"{name!r} appears twice")
        seen.add(name)


def check_zone(text: Text, place: Place, name: str) -> None:
    """Raises a ScenarioError unless it is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise text.error(place, f"{name!r} is no IANA time zone, such as Asia/Shanghai") from None


class Sites:
    """Reads the sites of one file."""

    def __init__(self, file: ScenarioFile, text: Text, series: SeriesReader, csv: Files) -> None:
        self._file, self._text, self._series, self._csv = file, text, series, csv
        unique(text, ("sites",), [site.name for site in file.sites])
        for index, site in enumerate(file.sites):
            check_zone(text, ("sites", index, "timeZone"), site.time_zone)

    def read(self, devices: Mapping[str, Mapping[str, int]]) -> tuple[SimSite, ...]:
        """All sites; `devices` are what placements need where a site does not say.

        Raises:
            ScenarioError: the first fault.
        """
        return tuple(
            self._site(index, site, devices.get(site.name, {}))
            for index, site in enumerate(self._file.sites)
        )

    def _site(self, index: int, site: SiteSpec, needed: Mapping[str, int]) -> SimSite:
        place: Place = ("sites", index)
        text = self._text
        contract = self._contract(site, place)
        currency = contract.currency if contract else site.currency
        self._check_currency(currency, place)
        if contract is not None and contract.signal_names and site.price is None:
            raise text.error(
                (*place, "price"),
                f"the contract's rates name the signal {contract.signal_names[0]!r}: give a price",
            )
        if contract is not None and len(contract.signal_names) > 1:
            raise text.error(
                (*place, "contract"), "rates may name one signal only: it is the site's price"
            )
        price = self._signal(site, "price", Quantity.ENERGY_PRICE, place, currency)
        temperature = self._signal(site, "temperature", Quantity.OUTDOOR_TEMPERATURE, place)
        facility = sorted(site.facility, key=lambda point: point.temperature_millicelsius)
        for one, two in pairwise(facility):
            if one.temperature_millicelsius == two.temperature_millicelsius:
                raise text.error(
                    (*place, "facility"),
                    f"has two points at {one.temperature_millicelsius} millicelsius",
                )
        resources = [item.resource_name for item in site.devices or ()]
        for number, name in enumerate(resources):
            if name in resources[:number]:
                raise text.error((*place, "devices", number), f"{name!r} is there twice")
        if len(facility) > 1 and temperature is None:
            raise text.error((*place, "facility"), "several points need a temperature")
        return SimSite(
            name=site.name,
            time_zone=site.time_zone,
            devices=tuple((item.resource_name, item.count) for item in site.devices)
            if site.devices is not None
            else tuple(sorted(needed.items())),
            facility=tuple(
                FacilityPoint(
                    temperature_millicelsius=point.temperature_millicelsius,
                    fixed_watts=point.fixed_watts,
                    marginal_permille=point.marginal_permille,
                )
                for point in facility
            ),
            import_limit_watts=site.import_limit_watts,
            ramp_up_watts_per_minute=site.ramp_up_watts_per_minute,
            ramp_down_watts_per_minute=site.ramp_down_watts_per_minute,
            price=price,
            currency=currency,
            contract=contract,
            carbon=self._signal(site, "carbon", Quantity.CARBON_INTENSITY_AVERAGE, place),
            temperature=temperature,
            supply=self._supply(site, place),
            supply_name=site.supply.name if site.supply else "",
            supply_type=site.supply.type if site.supply else "",
            green_share=self._signal(site, "green_share", Quantity.GREEN_SHARE, place),
            uncontrolled=self._signal(site, "uncontrolled", Quantity.UNCONTROLLED_POWER, place),
            cooling_limit=self._cooling(site, temperature, place),
            storage=Storage(
                energy_watt_hours=site.storage.energy_watt_hours,
                power_watts=site.storage.power_watts,
                charge_efficiency=site.storage.charge_efficiency,
                discharge_efficiency=site.storage.discharge_efficiency,
                reserve_share=site.storage.reserve_share,
            )
            if site.storage
            else None,
        )

    def _check_currency(self, currency: str, place: Place) -> None:
        settings = self._file.settings
        if currency != settings.reporting_currency and currency not in settings.exchange_rates:
            raise self._text.error(
                place,
                f"is billed in {currency}: add settings.exchangeRates.{currency} "
                f"({settings.reporting_currency} per {currency})",
            )

    def _origin(self, site: SiteSpec, what: str) -> Origin:
        position = None
        if site.latitude is not None and site.longitude is not None:
            position = (site.latitude, site.longitude)
        return Origin(f"{site.name}/{what}", site.time_zone, position)

    def _signal(
        self, site: SiteSpec, name: str, quantity: Quantity, place: Place, currency: str = ""
    ) -> Signal | None:
        series = getattr(site, name)
        if series is None:
            return None
        key = "greenShare" if name == "green_share" else name
        origin = self._origin(site, name)
        return self._series.signal(series, quantity, (*place, key), origin, currency)

    def _supply(self, site: SiteSpec, place: Place) -> Signal | None:
        if site.supply is None:
            return None
        parts = [
            self._series.signal(
                series,
                Quantity.SUPPLY_POWER,
                (*place, "supply", "power", index),
                self._origin(site, f"supply/{index}"),
            )
            for index, series in enumerate(site.supply.power)
        ]
        total = frozen(np.sum([part.values for part in parts], axis=0))
        return replace(parts[0], values=total)

    def _cooling(self, site: SiteSpec, temperature: Signal | None, place: Place) -> Signal | None:
        if site.cooling is None:
            return None
        if temperature is None:
            raise self._text.error((*place, "cooling"), "needs a temperature at this site")
        warm = np.maximum(temperature.values - site.cooling.falls_above_celsius, 0.0)
        share = np.maximum(1 - site.cooling.fall_share_per_celsius * warm, 0.0)
        return Signal(
            values=frozen(site.cooling.it_watts * share),
            unit="W",
            forecasting=temperature.forecasting,
        )

    # ---- contracts ----------------------------------------------------------------------------

    def _contract(self, site: SiteSpec, place: Place) -> Contract | None:
        if site.contract is None:
            return None
        where = (*place, "contract")
        name, spec, said = self._manifest(site.contract, where, site.name)
        spec = dict(spec)
        here = {"siteName": site.name.lower(), "connectionName": _CONNECTION}
        points = spec.get("points")
        if isinstance(points, list) and len(points) == 1 and isinstance(points[0], dict):
            here = {**points[0], **here}  # what it orders and allows at most is part of the tariff
        spec["points"] = [here]
        spec.setdefault("validFromTime", "2000-01-01T00:00:00Z")
        spec.pop("signals", None)  # a scenario's only signal is the site's price
        try:
            EnergyContractSpec.model_validate(spec, by_alias=True, by_name=False)
            contract = from_spec(name, spec)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise self._text.error(where, f"{said}{field}: {words_of(first)}") from None
        except ContractError as problem:
            raise self._text.error(where, f"{said}{problem}") from None
        grid = self._series.grid
        begins, ends = contract.valid_from or grid.start, contract.valid_until or grid.end
        if begins > grid.start or ends < grid.end:
            raise self._text.error(
                where,
                f"{said}validFromTime, validUntilTime: it is in force from {when(begins)} to "
                f"{when(ends)}, the scenario from {when(grid.start)} to {when(grid.end)}: outside of "
                "it energy would cost nothing",
            )
        return contract

    def _manifest(
        self, spec: ContractSpec, place: Place, site_name: str
    ) -> tuple[str, Mapping[str, Any], str]:
        if spec.spec is not None:
            return f"{site_name}-contract".lower(), spec.spec, "spec."
        assert spec.file is not None
        path = self._csv.find(spec.file, (*place, "file"))
        try:
            documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError, ValueError, OSError) as error:
            raise ScenarioError(f"{path}: is no YAML: {error}") from None
        found = [
            item
            for item in documents
            if isinstance(item, dict) and item.get("kind") == "EnergyContract"
        ]
        named: dict[str, dict[str, Any]] = {}
        for item in found:
            metadata = item.get("metadata")
            named[str(metadata.get("name")) if isinstance(metadata, dict) else ""] = item
        if spec.name is None and len(found) != 1:
            raise self._text.error(
                place,
                f"{path} has {len(found)} EnergyContracts: set `name` to one of {list(named)}",
            )
        name = spec.name or next(iter(named))
        if name not in named or not isinstance(named[name].get("spec"), dict):
            raise self._text.error((*place, "name"), f"{path} has no EnergyContract {name!r}")
        return name, named[name]["spec"], f"{path}: spec."


# ---- round trips ------------------------------------------------------------------------------


def round_trips(file: ScenarioFile, text: Text, csv: Files, origins: list[OriginSpec]) -> Array:
    """Milliseconds [origins, sites].

    Raises:
        ScenarioError: a pair is missing or no place is given.
    """
    spec = file.round_trips
    place: Place = ("roundTrips",)
    if spec.great_circle is not None:
        return frozen(_great_circles(file, text, spec.great_circle, origins))
    if spec.csv is not None:
        table = csv.table(spec.csv, (*place, "csv"))
        rows: dict[str, int] = {}
        for index, row in enumerate(table.rows):
            if row[0].strip() in rows:
                raise ScenarioError(
                    f"{table.path}:{table.lines[index]}: the origin {row[0].strip()!r} is there twice"
                )
            rows[row[0].strip()] = index
        result = np.empty((len(origins), len(file.sites)))
        for column, site in enumerate(file.sites):
            numbers = table.numbers(site.name)
            for line, origin in enumerate(origins):
                if origin.name not in rows:
                    raise ScenarioError(f"{table.path}: has no row for the origin {origin.name!r}")
                result[line, column] = numbers[rows[origin.name]]
        if not np.isfinite(result).all() or (result < 0).any():
            raise ScenarioError(f"{table.path}: round trips must be milliseconds, not negative")
        return frozen(result)
    assert spec.matrix is not None
    result = np.empty((len(origins), len(file.sites)))
    for line, origin in enumerate(origins):
        for column, site in enumerate(file.sites):
            value = spec.matrix.get(origin.name, {}).get(site.name)
            if value is None:
                raise text.error(
                    (*place, "matrix"), f"has no round trip from {origin.name!r} to {site.name!r}"
                )
            result[line, column] = value
    return frozen(result)


def _great_circles(
    file: ScenarioFile, text: Text, spec: GreatCircle, origins: list[OriginSpec]
) -> Array:
    kinds: tuple[tuple[str, Sequence[OriginSpec | SiteSpec]], ...] = (
        ("sites", file.sites),
        ("origins", origins),
    )
    for kind, items in kinds:
        for index, item in enumerate(items):
            if item.latitude is None or item.longitude is None:
                raise text.error(
                    (kind, index), "needs latitude and longitude for great-circle round trips"
                )
    result = np.empty((len(origins), len(file.sites)))
    for line, origin in enumerate(origins):
        for column, site in enumerate(file.sites):
            assert origin.latitude is not None
            assert origin.longitude is not None
            assert site.latitude is not None
            assert site.longitude is not None
            distance = kilometers(origin.latitude, origin.longitude, site.latitude, site.longitude)
            way = 2 * distance * spec.path_factor / spec.kilometers_per_millisecond
            result[line, column] = way + spec.add_milliseconds
    return result


def kilometers(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float
) -> float:
    """Great-circle distance (haversine)."""
    one, two = math.radians(latitude), math.radians(other_latitude)
    east = math.radians(other_longitude - longitude)
    root = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * math.sin(east / 2) ** 2
    return 2 * _EARTH_KILOMETERS * math.asin(math.sqrt(min(1.0, root)))
