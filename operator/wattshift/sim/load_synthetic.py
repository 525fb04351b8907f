"""Made-up series: shaped, sun and wind, drawn from a seed and a label, the same on every machine.

They stand for data that may not be shipped; `docs/scenarios.md` says which facts each one follows.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from wattshift.sim.load_grid import Grid
from wattshift.sim.scenario import Array
from wattshift.sim.schema_series import Quantiles, Shaped, Solar, Wind

_NOISE_STEP_SECONDS = 900.0


def generator(seed: int, *labels: str) -> np.random.Generator:
    """A generator of its own for every purpose: adding a site does not change the others."""
    return np.random.default_rng([seed, *(zlib.crc32(label.encode()) for label in labels)])


def drift(
    grid: Grid, draw: np.random.Generator, correlation_seconds: float, *, linear: bool = True
) -> Array:
    """AR(1) noise of standard deviation 1 on the steps, drawn on a grid of at least 15 minutes."""
    step = max(grid.step, min(_NOISE_STEP_SECONDS, correlation_seconds))
    count = math.ceil(grid.step * grid.steps / step) + 2
    kept = math.exp(-step / correlation_seconds)
    shocks = draw.standard_normal(count)
    fresh = math.sqrt(1 - kept * kept)
    values, value = [0.0] * count, float(shocks[0])
    for index, shock in enumerate(shocks.tolist()):
        value = kept * value + fresh * shock if index else value
        values[index] = value
    place = (grid.times - grid.start) / step
    if linear:
        return np.interp(place, np.arange(count), values)
    return np.array(values)[place.astype(np.int64)]


def shaped(grid: Grid, spec: Shaped, zone: str, seed: int, label: str) -> Array:
    """Mean x hour x weekend x season + noise; then quantiles, spikes, episodes."""
    values = np.full(grid.steps, spec.mean)
    hour = grid.hour_of_day(zone)
    if spec.hour_factors is not None:
        factors = np.array([*spec.hour_factors, spec.hour_factors[0]])
        values = values * np.interp(hour, np.arange(25), factors)
    if spec.weekend_factor != 1:
        values = np.where(grid.weekday(zone) >= 5, values * spec.weekend_factor, values)
    if spec.seasonal_share:
        phase = 2 * np.pi * (grid.day_of_year() - spec.seasonal_peak_day) / 365.25
        values = values + spec.mean * spec.seasonal_share * np.cos(phase)
    if spec.day_noise_share:
        days = grid.day_number(zone)
        level = generator(seed, label, "days").standard_normal(int(days[-1] - days[0]) + 1)
        values = values + spec.mean * spec.day_noise_share * level[days - days[0]]
    if spec.noise_share:
        noise = drift(grid, generator(seed, label, "noise"), spec.noise_correlation_hours * 3600)
        values = values + spec.mean * spec.noise_share * noise
    if spec.quantiles is not None:
        values = mapped(values, spec.quantiles)
    if spec.spikes is not None and spec.spikes.per_week:
        draw = generator(seed, label, "spikes")
        hours = grid.step * grid.steps / 3600
        for begin in draw.uniform(0, hours, draw.poisson(spec.spikes.per_week * hours / 168)):
            first = int(begin * 3600 / grid.step)
            length = max(1, round(spec.spikes.duration_seconds / grid.step))
            values[first : first + length] *= spec.spikes.factor
    for episode in spec.episodes:
        day = (grid.times - grid.start) / 86400 - episode.start_day
        ramp = np.minimum(day, episode.days - day) / (episode.days / 6)
        values = values + episode.add * np.clip(ramp, 0, 1)
    return values


def mapped(values: Array, target: Quantiles) -> Array:
    """The same order of values, with the stated distribution (straight between its points)."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    shares = [0.0, 0.05, 0.5, 0.95, 0.99, 1.0]
    marks = [target.minimum, target.p5, target.p50, target.p95, target.p99, target.maximum]
    return np.interp(ranks, shares, marks)


def sun_height(grid: Grid, latitude: float, longitude: float) -> Array:
    """Sine of the sun's elevation (Cooper's declination, 1969; solar time without its equation)."""
    day = grid.day_of_year()
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day + 1) / 365.25)
    solar_hour = (grid.times % 86400) / 3600 + longitude / 15
    angle = np.radians(15 * (solar_hour - 12))
    place = math.radians(latitude)
    return np.asarray(
        math.sin(place) * np.sin(declination)
        + math.cos(place) * np.cos(declination) * np.cos(angle)
    )


def solar(grid: Grid, spec: Solar, place: tuple[float, float], seed: int, label: str) -> Array:
    """Capacity x sun height, where it is up, x a cloud share that drifts between 5 % and all."""
    height = np.maximum(sun_height(grid, *place), 0.0)
    clouds = drift(grid, generator(seed, label, "clouds"), spec.correlation_hours * 3600)
    return np.asarray(
        spec.capacity
        * height**1.15  # low sun: longer way through the air
        * np.clip(spec.clear_share + spec.cloud_share * clouds, 0.05, 1.0)
    )


def wind(grid: Grid, spec: Wind, seed: int, label: str) -> Array:
    """Drifting wind through a cubic curve; the mean is fitted to the capacity factor."""
    seconds = spec.correlation_hours * 3600
    own = drift(grid, generator(seed, label, "wind"), seconds)
    common = drift(grid, generator(seed, spec.weather_name, "weather"), seconds)
    weather = math.sqrt(spec.common_share) * common + math.sqrt(1 - spec.common_share) * own
    low, high = 0.0, 3.0
    for _ in range(40):  # the mean rises with the level: bisect it
        level = (low + high) / 2
        power = np.clip(level * np.exp(0.45 * weather), 0.0, 1.0) ** 3
        low, high = (level, high) if power.mean() < spec.capacity_factor else (low, level)
    return np.asarray(spec.capacity * power)
