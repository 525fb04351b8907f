"""Semantic checks of the components of an EnergyContract: bands, units, references, circles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from wattshift.api import findings as check
from wattshift.api.calendars import Calendar
from wattshift.api.energycontract import EnergyContractSpec
from wattshift.api.findings import Finding
from wattshift.api.measures import Measure, MeasureType
from wattshift.api.reasons import SpecReason
from wattshift.api.tariff import Component, Per


def _per_of(measure: Measure, components: dict[str, Component]) -> set[Per]:
    """What a rate of a measure may be paid for; empty = not checked."""
    if measure.type is MeasureType.ENERGY or (
        measure.capacity is not None and measure.capacity.hours_equivalent is not None
    ):
        return {Per.KWH, Per.MWH}
    if measure.type is MeasureType.REACTIVE:
        return {Per.KVARH}
    if measure.duration is not None:
        return {Per(measure.duration.unit)}
    if measure.overrun is not None:
        of = components.get(measure.overrun.of_component_name)
        if of is None or of.measure.type is not MeasureType.DEMAND:
            return set()
        return _per_of(of.measure, {})
    for member in (measure.demand, measure.coincident, measure.capacity):
        if member is not None:
            return {per for per in Per if per.startswith(f"{member.unit}-")}
    return set()


def _referenced(measure: Measure) -> list[str]:
    if measure.share is not None:
        return list(measure.share.of_component_names)
    if measure.smallest_of is not None:
        return list(measure.smallest_of.component_names)
    return [measure.overrun.of_component_name] if measure.overrun is not None else []


def bands(
    calendars: Iterable[Calendar],
    calendar_name: str | None,
    band_names: Iterable[str],
    path: str,
    field: str,
) -> Iterator[Finding]:
    """Whether a calendar exists and has the bands that are named."""
    by_name = {calendar.name: calendar for calendar in calendars}
    wanted = list(band_names)
    if calendar_name is None:
        if wanted:
            yield Finding(
                SpecReason.CALENDAR_UNKNOWN,
                f"{path}.calendarName",
                f"{field} need calendarName: say which calendar has these bands",
            )
        return
    if calendar_name not in by_name:
        yield from check.names(
            [calendar_name],
            by_name,
            SpecReason.CALENDAR_UNKNOWN,
            f"{path}.calendarName",
            "calendar",
        )
        return
    exist = [band.name for band in by_name[calendar_name].bands]
    yield from check.names(wanted, exist, SpecReason.BAND_UNKNOWN, f"{path}.{field}", "band")
    for name in sorted({name for name in wanted if wanted.count(name) > 1}):
        yield Finding(
            SpecReason.BAND_DUPLICATE, f"{path}.{field}", f"band {name} is named twice: keep one"
        )


def _rates(component: Component, spec: EnergyContractSpec, path: str) -> Iterator[Finding]:
    rates = [rate.band_name for rate in component.band_rates or ()]
    yield from bands(spec.calendars, component.calendar_name, rates, path, "bandRates")
    for calendar in spec.calendars:
        if rates and calendar.name == component.calendar_name:
            missing = sorted({band.name for band in calendar.bands} - set(rates))
            if missing:
                yield Finding(
                    SpecReason.BAND_WITHOUT_RATE,
                    f"{path}.bandRates",
                    f"bands {', '.join(missing)} of calendar {calendar.name} have no rate: "
                    'add them (rate "0" where nothing is paid)',
                )
    blocks = component.blocks or []
    ends = [block.up_to for block in blocks[:-1]]
    known_ends = [end for end in ends if end is not None]
    ascending = all(low < high for low, high in pairwise(known_ends))
    if blocks and (None in ends or not ascending or blocks[-1].up_to is not None):
        yield Finding(
            SpecReason.BLOCKS_NOT_ASCENDING,
            f"{path}.blocks",
            "blocks must ascend in upTo, and only the last has none: sort them",
        )
    if component.signal_rate is not None:
        yield from check.decimal_order(
            component.signal_rate.floor,
            component.signal_rate.cap,
            f"{path}.signalRate",
            ("floor", "cap"),
        )
    for rebate in component.rebates:
        yield from check.decimal_range(rebate.factor, "0", "1", f"{path}.rebates")


def _measure(
    component: Component, spec: EnergyContractSpec, components: dict[str, Component], path: str
) -> Iterator[Finding]:
    measure = component.measure
    for member, name in ((measure.energy, "energy"), (measure.demand, "demand")):
        if member is not None:
            yield from bands(
                spec.calendars,
                member.calendar_name,
                member.band_names or (),
                f"{path}.measure.{name}",
                "bandNames",
            )
    allowed = _per_of(measure, components)
    if component.per is not None and allowed and component.per not in allowed:
        yield Finding(
            SpecReason.PER_DOES_NOT_FIT,
            f"{path}.per",
            f"{component.per} does not fit this measure: use {', '.join(sorted(allowed))}",
        )
    yield from check.names(
        _referenced(measure),
        components,
        SpecReason.COMPONENT_UNKNOWN,
        f"{path}.measure",
        "component",
    )
    if measure.share is not None:
        yield from check.decimal_range(
            measure.share.factor, "-1", "10", f"{path}.measure.share.factor"
        )
    if measure.overrun is not None:
        of = components.get(measure.overrun.of_component_name)
        if of is not None and of.measure.type is not MeasureType.DEMAND:
            yield Finding(
                SpecReason.MEASURE_MISMATCH,
                f"{path}.measure.overrun.ofComponentName",
                f"component {of.name} measures {of.measure.type}: name one that measures Demand",
            )


def _circle(name: str, components: dict[str, Component]) -> bool:
    """Whether a component refers to itself through others."""
    seen: set[str] = set()
    todo = _referenced(components[name].measure)
    while todo:
        other = todo.pop()
        if other == name:
            return True
        if other not in seen and other in components:
            seen.add(other)
            todo += _referenced(components[other].measure)
    return False


def validate_components(spec: EnergyContractSpec) -> Iterator[Finding]:
    """Faults of the components of a contract."""
    components = {component.name: component for component in spec.components}
    regimes = [regime.name for regime in spec.regimes]
    for component in spec.components:
        path = f"spec.components[{component.name}]"
        yield from _rates(component, spec, path)
        yield from _measure(component, spec, components, path)
        if component.regime is not None:
            yield from check.names(
                [component.regime.regime_name],
                regimes,
                SpecReason.REGIME_UNKNOWN,
                f"{path}.regime.regimeName",
                "regime",
            )
        if _circle(component.name, components):
            yield Finding(
                SpecReason.COMPONENT_CYCLE,
                f"{path}.measure",
                f"component {component.name} refers to itself through others: break the circle",
            )
