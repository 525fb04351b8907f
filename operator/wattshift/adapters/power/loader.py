"""Loads power profiles: packaged YAML first, then labelled ConfigMaps, which may replace them.

A bad profile is named with its field and left out; the others load. Watts that nobody published
stay None and the planner refuses to count on them. Neighbours: `core/power/power_profile.py` (the type),
`core/power/watts.py` (the formulas).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from wattshift.adapters.reasons import ProfileReason
from wattshift.core.power.power_profile import PowerProfile

DOCUMENT_LIMIT_BYTES = 256 * 1024
_WATTS = ("loadedIdleWatts", "floorWatts", "busyWatts")
_RATES = (
    "wattsPerOutputTokenPerSecond",
    "wattsPerPromptTokenPerSecond",
    "outputTokensPerSecondAtObjective",
)
_CURVE = "outputTokensPerSecondByConcurrency"
_COUNTS = ("devicesPerReplica", "maxConcurrencyAtObjective", "coldStartSeconds")
_FIELDS = frozenset(
    {"name", "resourceName", "source", "sources", *_WATTS, *_RATES, *_COUNTS, _CURVE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorTelemetry:
    """How a vendor's exporter tells the power of devices; names are data, vendors rename them."""

    vendor: str
    resource_names: tuple[str, ...]
    exporter: str
    power_metric: str
    watts_per_unit: float
    energy_metric: str | None
    joules_per_unit: float | None
    device_label: str | None
    namespace_label: str | None
    pod_label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileProblem:
    """A profile that was left out."""

    where: str
    reason: ProfileReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedProfiles:
    """Everything that loaded, and what did not."""

    profiles: Mapping[str, PowerProfile]
    telemetry: tuple[AcceleratorTelemetry, ...]
    problems: tuple[ProfileProblem, ...]

    def why_unusable(self, name: str) -> ProfileProblem | None:
        """Why the planner may not count on a profile; None if it may."""
        profile = self.profiles.get(name)
        if profile is None:
            return next((p for p in self.problems if p.where.endswith(f"/{name}")), None)
        if profile.has_power:
            return None
        return ProfileProblem(
            where=name,
            reason=ProfileReason.PROFILE_HAS_NO_POWER,
            message=f"profile {name!r} has no watts: measure loaded idle, floor and busy, and give "
            "them in a labelled ConfigMap",
        )


class ProfileError(ValueError):
    """A profile that cannot be used; the message names the field."""


def load_profiles(
    extra_config_maps: Mapping[str, Mapping[str, str]] | None = None,
) -> LoadedProfiles:
    """Packaged profiles, then those of ConfigMaps (name -> data) in the order of their names.

    A ConfigMap's profile replaces a packaged one of the same name; two ConfigMaps with one name:
    the first counts, the second is a problem. Bad packaged data raises, it is our own fault.

    Raises:
        ProfileError: a packaged file is wrong.
    """
    profiles, telemetry = _packaged()
    merged = dict(profiles)
    owners: dict[str, str] = {}
    problems: list[ProfileProblem] = []
    for map_name, data in sorted((extra_config_maps or {}).items()):
        for key, text in sorted(data.items()):
            where = f"ConfigMap {map_name}/{key}"
            try:
                found = list(_documents(text, _stem(key)))
            except ProfileError as error:
                problems.append(_invalid(where, error))
                continue
            for document in found:
                name = str(document.get("name"))
                try:
                    profile = parse_profile(document)
                except ProfileError as error:
                    problems.append(_invalid(f"ConfigMap {map_name}/{name}", error))
                    continue
                if name in owners:
                    text_ = f"profile {name!r} is already defined in {owners[name]}"
                    problems.append(
                        ProfileProblem(
                            where=where, reason=ProfileReason.PROFILE_DUPLICATE, message=text_
                        )
                    )
                    continue
                owners[name] = where
                merged[name] = profile
    return LoadedProfiles(profiles=merged, telemetry=telemetry, problems=tuple(problems))


def _invalid(where: str, error: ProfileError) -> ProfileProblem:
    return ProfileProblem(where=where, reason=ProfileReason.PROFILE_INVALID, message=str(error))


def _stem(key: str) -> str:
    return key.removesuffix(".yaml").removesuffix(".yml").removesuffix(".json")


def _documents(text: str, default_name: str) -> Iterator[Mapping[str, Any]]:
    """Profiles of one text: a single one, or a list under `profiles`."""
    if len(text) > DOCUMENT_LIMIT_BYTES:
        raise ProfileError(f"larger than {DOCUMENT_LIMIT_BYTES} bytes")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # dates, endless integers and deep nesting fail in their constructors, not in the scanner
        raise ProfileError(f"no YAML: {(str(error) or repr(error)).splitlines()[0]}") from error
    if not isinstance(document, Mapping):
        raise ProfileError("not a mapping: write the fields of a profile, or profiles: [...]")
    rows = document.get("profiles", [{"name": default_name, **document}])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ProfileError("profiles must be a list of mappings")
    yield from rows


def parse_profile(document: Mapping[str, Any]) -> PowerProfile:
    """One profile of the fields in the API's power section, decimals as numbers or as text.

    `busyWatts` may be left out where floor, slope and tokens per second give it.

    Raises:
        ProfileError: a field is missing, unknown, of the wrong type, or impossible.
    """
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise ProfileError(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(_FIELDS))}")
    name = _text(document, "name")
    idle, floor, busy = (_whole(document, key, required=False) for key in _WATTS)
    out, prompt, rate = (_decimal(document, key) for key in _RATES)
    if busy is None and floor is not None and out is not None and rate is not None:
        busy = round(floor + out * rate)
    if idle is not None and floor is not None and idle > floor:
        raise ProfileError(f"{name}: loadedIdleWatts {idle} is above floorWatts {floor}")
    if floor is not None and busy is not None and floor > busy:
        raise ProfileError(f"{name}: floorWatts {floor} is above busyWatts {busy}")
    devices, concurrency, cold = (_whole(document, key, required=True) or 0 for key in _COUNTS)
    if devices < 1 or concurrency < 1:
        raise ProfileError(
            f"{name}: devicesPerReplica and maxConcurrencyAtObjective are at least 1"
        )
    return PowerProfile(
        name=name,
        resource_name=_text(document, "resourceName"),
        devices_per_replica=devices,
        loaded_idle_watts=idle,
        floor_watts=floor,
        watts_per_output_token_per_second=out,
        watts_per_prompt_token_per_second=prompt,
        busy_watts=busy,
        output_tokens_per_second_at_objective=rate,
        max_concurrency_at_objective=concurrency,
        cold_start_seconds=cold,
        source=_source(document, name),
        output_tokens_per_second_by_concurrency=_curve(document, name),
    )


def _curve(document: Mapping[str, Any], name: str) -> tuple[tuple[float, float], ...]:
    """(sequences, tokens/s) of one replica, ascending; empty where there is none.

    Raises:
        ProfileError: tokens/s that fall, or grow faster than the sequences.
    """
    given = document.get(_CURVE)
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ProfileError(f"{name}: {_CURVE} must map sequences to tokens per second")
    points = []
    for key, value in given.items():
        row = {"name": name, "sequences": key, f"{_CURVE}.{key}": value}
        points.append((_decimal(row, "sequences") or 0.0, _decimal(row, f"{_CURVE}.{key}") or 0.0))
    points.sort()
    low = (0.0, 0.0)
    for high in points:
        fits = high[0] > low[0] and high[1] > low[1]
        if not fits or (low[0] and high[1] / high[0] > low[1] / low[0]):
            raise ProfileError(
                f"{name}: {_CURVE}: tokens per second at {high[0]:g} sequences must grow, and no "
                "faster than the sequences"
            )
        low = high
    return tuple(points)


def _source(document: Mapping[str, Any], name: str) -> str:
    """One text; a packaged profile gives one source per number."""
    sources = document.get("sources")
    if sources is None:
        return _text(document, "source")
    if not isinstance(sources, Mapping):
        raise ProfileError(f"{name}: sources must map fields to texts")
    for key in (*_WATTS, *_RATES, *_COUNTS, _CURVE):
        if document.get(key) is not None and not sources.get(key):
            raise ProfileError(f"{name}: sources.{key} is missing: every number needs its source")
    return "; ".join(f"{key}: {text}" for key, text in sources.items())


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ProfileError(f"{document.get('name', '?')}: {key} is missing or no text")
    return value.strip()


def _whole(document: Mapping[str, Any], key: str, *, required: bool) -> int | None:
    value = _decimal(document, key)
    if value is None:
        if required:
            raise ProfileError(f"{document.get('name', '?')}: {key} is missing")
        return None
    if value != int(value):
        raise ProfileError(f"{document.get('name', '?')}: {key} {value:g} is no whole number")
    return int(value)


def _decimal(document: Mapping[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ProfileError(
            f"{document.get('name', '?')}: {key} {value!r} is no number of zero or more"
        )
    return number


@lru_cache(maxsize=1)
def _packaged() -> tuple[Mapping[str, PowerProfile], tuple[AcceleratorTelemetry, ...]]:
    profiles: dict[str, PowerProfile] = {}
    telemetry: list[AcceleratorTelemetry] = []
    folder = files("wattshift.adapters.power") / "profiles"
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".yaml"):
            continue
        document = yaml.safe_load(entry.read_text("utf-8"))
        telemetry.append(_telemetry(document))
        for row in document["profiles"]:
            profile = parse_profile(row)
            if profile.name in profiles:
                raise ProfileError(f"{entry.name}: profile {profile.name!r} is defined twice")
            profiles[profile.name] = profile
    return profiles, tuple(telemetry)


def _telemetry(document: Mapping[str, Any]) -> AcceleratorTelemetry:
    spec = document["telemetry"]
    energy = spec.get("energy") or {}
    labels = spec.get("podLabels") or {}
    joules = energy.get("joulesPerUnit")
    return AcceleratorTelemetry(
        vendor=document["vendor"],
        resource_names=tuple(document["resourceNames"]),
        exporter=spec["exporter"],
        power_metric=spec["power"]["metric"],
        watts_per_unit=float(spec["power"]["wattsPerUnit"]),
        energy_metric=energy.get("metric"),
        joules_per_unit=None if joules is None else float(joules),
        device_label=spec.get("deviceLabel"),
        namespace_label=labels.get("namespace"),
        pod_label=labels.get("pod"),
    )
