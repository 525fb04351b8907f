"""A scenario file (YAML beside CSV) into a `Scenario`; every fault is a `ScenarioError`.

Reading order: `load_text` (YAML, overrides), `schema` (what may be said), `load_series`,
`load_sites`, `load_workloads`, `load_events`. `docs/scenarios.md` is for people who write one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from importlib.resources import as_file
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from wattshift.core.model import Settings
from wattshift.sim.load_csv import Files
from wattshift.sim.load_events import events, faults
from wattshift.sim.load_grid import Grid
from wattshift.sim.load_series import SeriesReader, frozen
from wattshift.sim.load_sites import Sites, round_trips, tables
from wattshift.sim.load_text import ScenarioError, Text, dotted, words_of
from wattshift.sim.load_windows import chosen_windows, windows
from wattshift.sim.load_workloads import Workloads, origins_of
from wattshift.sim.scenario import Scenario
from wattshift.sim.schema import ScenarioFile

__all__ = ["DATA_VARIABLE", "ScenarioError", "load", "parse", "shipped"]

DATA_VARIABLE = "WATTSHIFT_DATA"
"""Names the folder with the data that may not be shipped."""
_MAXIMUM_CELLS = 400_000_000


def shipped() -> tuple[str, ...]:
    """Names of the scenarios in the package."""
    folder = package_files("wattshift.sim") / "scenarios"
    return tuple(
        sorted(
            item.name.removesuffix(".yaml")
            for item in folder.iterdir()
            if item.name.endswith(".yaml") and item.name != "tables.yaml"
        )
    )


def find(scenario: str | Path) -> Path:
    """A file, or a shipped scenario by name.

    Raises:
        ScenarioError: neither.
    """
    path = Path(scenario)
    if path.is_file():
        return path
    name = str(scenario).removesuffix(".yaml")
    if name in shipped():
        with as_file(package_files("wattshift.sim") / "scenarios" / f"{name}.yaml") as found:
            return found
    near = get_close_matches(name, shipped(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ScenarioError(
        f"{scenario}: no such file, and no shipped scenario: {', '.join(shipped())}{hint}"
    )


def load(
    scenario: str | Path,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    weeks: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Scenario:
    """Read a scenario.

    Args:
        scenario: path of a YAML file, or the name of a shipped scenario.
        overrides: `key=value` by dotted path, and `variant=NAME`.
        seed: instead of the file's: demand noise, forecast errors and drawn events.
        weeks: names or numbers (from 1) of windows, or `development`, `reported`, `all`; empty = all.
        environment: instead of the process's, for `WATTSHIFT_DATA`.

    Raises:
        ScenarioError: the file or its data cannot be used; the message says what to change.
    """
    text = Text(find(scenario))
    file = parse(text, overrides)
    chosen = os.environ if environment is None else environment
    try:
        return _resolve(file, text, file.seed if seed is None else seed, tuple(weeks), chosen)
    except MemoryError:
        raise ScenarioError(f"{text.path}: too large for this machine's memory") from None


def parse(text: Text, overrides: Sequence[str] = ()) -> ScenarioFile:
    """The checked file, before its data are read.

    Raises:
        ScenarioError: a field is unknown, missing or wrong.
    """
    text.override(overrides)
    document = text.expand()
    try:
        return ScenarioFile.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as problem:
        raise text.error((), _faults(problem, text)) from None
    except RecursionError:
        raise text.error((), "is nested too deeply") from None


def _faults(problem: ValidationError, text: Text) -> str:
    """Up to five faults, each with its line and field."""
    errors = problem.errors(include_url=False)
    told = []
    for error in errors[:5]:
        place = tuple(part for part in error["loc"] if part not in ("list[str]", "literal['*']"))
        words = words_of(error)
        # a rule between fields names one of them first: the line is that one's
        line = text.line((*place, words.partition(" ")[0].partition(".")[0])) or text.line(place)
        where = f"line {line}: " if line else ""
        field = f"{dotted(place)}: " if place else ""
        told.append(f"{where}{field}{words}")
    more = f"\n  and {len(errors) - 5} more" if len(errors) > 5 else ""
    count = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
    return "\n  ".join([count, *told]) + more


def _resolve(
    file: ScenarioFile,
    text: Text,
    seed: int,
    weeks: tuple[str, ...],
    environment: Mapping[str, str],
) -> Scenario:
    if seed < 0:
        raise ScenarioError(f"--seed {seed}: must not be negative")
    steps = round(file.days * 86400 / file.step_seconds)
    if steps < 1 or abs(steps * file.step_seconds - file.days * 86400) > 1e-6:
        raise text.error(("days",), f"is no whole number of steps of {file.step_seconds} s")
    if steps * (len(file.sites) + len(file.workloads)) > _MAXIMUM_CELLS:
        raise text.error(("days",), "too many steps x workloads: use fewer days or longer steps")
    if any(code == file.settings.reporting_currency for code in file.settings.exchange_rates):
        raise text.error(("settings", "exchangeRates"), "has the reporting currency itself")
    grid = Grid(file.start_time.timestamp(), float(file.step_seconds), steps)
    found = windows(file, text, grid)
    files = Files(text, data_folder=_data_folder(file, text, environment), folder_hint=_hint(file))
    series = SeriesReader(text, files, grid)
    places = Sites(file, text, series, files)
    known = tables(file, text)
    origins = origins_of(file, text)
    trips = round_trips(file, text, files, origins)
    reader = Workloads(
        file=file,
        text=text,
        series=series,
        tables=known,
        origins=origins,
        round_trips=trips,
        seed=seed,
    )
    sites = places.read(reader.devices())
    workloads = reader.read()
    used = {item.profile_name for workload in workloads for item in workload.placements}
    order = reader.class_origins
    return Scenario(
        name=file.name,
        title=file.title,
        start_time=grid.start,
        step_seconds=grid.step,
        steps=steps,
        seed=seed,
        sites=sites,
        origins=tuple(reader.class_names),
        round_trip_milliseconds=frozen(trips[order] if order else np.zeros((0, len(sites)))),
        workloads=workloads,
        tables=tuple(table for table in known if table.name in used),
        events=events(file, text, grid, seed),
        faults=faults(file, text, grid, seed),
        windows=chosen_windows(found, weeks),
        settings=_settings(file),
        telemetry_delay_seconds=file.telemetry_delay_seconds,
        plan_every_seconds=file.plan_every_seconds,
        govern_every_seconds=file.govern_every_seconds,
        margin=file.margin,
        sources=tuple(
            f"{item.name} ({item.licence}){': ' if item.note else ''}{item.note}"
            for item in file.sources
        ),
        extra={"description": file.description} if file.description else {},
    )


def _data_folder(file: ScenarioFile, text: Text, environment: Mapping[str, str]) -> Path | None:
    if file.data.folder:
        return text.path.parent / file.data.folder
    named = environment.get(DATA_VARIABLE, "")
    return Path(named) if named else None


def _hint(file: ScenarioFile) -> str:
    where = (
        f"The scenario names the data folder {file.data.folder!r}."
        if file.data.folder
        else f"Set {DATA_VARIABLE} to the folder with the data."
    )
    small = file.data.small_variant
    return f"{where} Without them, run {small!r}." if small else where


def _settings(file: ScenarioFile) -> Settings:
    spec = file.settings
    return Settings(
        reporting_currency=spec.reporting_currency,
        exchange_rates=tuple(
            (code, _decimal(rate)) for code, rate in sorted(spec.exchange_rates.items())
        ),
        carbon_price_per_tonne=_decimal(spec.carbon_price_per_tonne),
        plan_interval_seconds=max(1, round(file.plan_every_seconds)),
        horizon_seconds=spec.horizon_seconds,
        # policies do not see the margin: as head room, need / capacity is replicas at the margin
        head_room_permille=spec.head_room_permille + round(1000 * (1 / (1 - file.margin) - 1)),
        min_saving_per_move=_decimal(spec.min_saving_per_move),
        max_actions_per_site=spec.max_actions_per_site,
        told_iterations=0,  # nobody reads what each of thousands of plans tells
    )


def _decimal(value: float) -> str:
    """As plain digits, none lost."""
    return f"{Decimal(repr(value)):f}"
