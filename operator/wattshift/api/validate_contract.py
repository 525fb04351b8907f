"""Semantic checks of an EnergyContract alone: names, bands, units, order. Neighbour: `validate.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from wattshift.api import findings as check
from wattshift.api.calendars import Calendar
from wattshift.api.energycontract import EnergyContract, EnergyContractSpec
from wattshift.api.findings import Finding, SignalUse
from wattshift.api.measures import MeasureType
from wattshift.api.positions import PositionType
from wattshift.api.reasons import SpecReason
from wattshift.api.tariff import SignalRate
from wattshift.api.validate_components import bands, validate_components


def _calendars(calendars: Iterable[Calendar]) -> Iterator[Finding]:
    for calendar in calendars:
        path = f"spec.calendars[{calendar.name}]"
        yield from check.dates(calendar.holiday_dates, f"{path}.holidayDates")
        yield from check.dates(calendar.working_dates, f"{path}.workingDates")
        for index, band in enumerate(calendar.bands):
            yield from check.windows(band.windows, f"{path}.bands[{band.name}].windows")
            if not band.conditional and index < len(calendar.bands) - 1:
                yield Finding(
                    SpecReason.BAND_UNREACHABLE,
                    f"{path}.bands[{band.name}]",
                    f"band {band.name} has no condition, so the bands after it never match: "
                    "give it one or put it last",
                )


def _uses(spec: EnergyContractSpec) -> Iterator[SignalUse]:
    def rate(path: str, value: SignalRate | None) -> SignalUse:
        return SignalUse(
            f"{path}.signalRate.signalName", value.signal_name if value else None, check.PRICES
        )

    for calendar in spec.calendars:
        for band in calendar.bands:
            if band.signal is not None:
                yield SignalUse(
                    f"spec.calendars[{calendar.name}].bands[{band.name}].signal.signalName",
                    band.signal.signal_name,
                    frozenset(),
                )
    for component in spec.components:
        yield rate(f"spec.components[{component.name}]", component.signal_rate)
        if component.measure.coincident is not None:
            yield SignalUse(
                f"spec.components[{component.name}].measure.coincident.probabilitySignalName",
                component.measure.coincident.probability_signal_name,
                frozenset(),
            )
    for position in spec.positions:
        path = f"spec.positions[{position.name}]"
        yield rate(path, position.signal_rate)
        yield SignalUse(f"{path}.referenceSignalName", position.reference_signal_name, check.PRICES)
        if position.surplus is not None:
            yield rate(f"{path}.surplus", position.surplus.signal_rate)
    if (settlement := spec.settlement) is not None:
        yield SignalUse(
            "spec.settlement.dayAheadSignalName", settlement.day_ahead_signal_name, check.PRICES
        )
        yield SignalUse(
            "spec.settlement.realTimeSignalName", settlement.real_time_signal_name, check.PRICES
        )


def _shapes(spec: EnergyContractSpec) -> Iterator[Finding]:
    components = [component.name for component in spec.components]
    for index, shape in enumerate(spec.shapes):
        path = f"spec.shapes[{index}]"
        yield from check.names(
            shape.of_component_names,
            components,
            SpecReason.COMPONENT_UNKNOWN,
            f"{path}.ofComponentNames",
            "component",
        )
        yield from bands(
            spec.calendars,
            shape.calendar_name,
            [factor.band_name for factor in shape.factors],
            path,
            "factors",
        )


def _positions(spec: EnergyContractSpec) -> Iterator[Finding]:
    residual = [item.name for item in spec.positions if item.type is PositionType.RESIDUAL]
    if len(residual) > 1:
        yield Finding(
            SpecReason.SHARES_EXCEED_WHOLE,
            "spec.positions",
            f"positions {', '.join(residual)} all take what is left: keep one Residual",
        )
    shares = [Decimal(item.share) for item in spec.positions if item.share is not None]
    if sum(shares) > 1:
        yield Finding(
            SpecReason.SHARES_EXCEED_WHOLE,
            "spec.positions",
            f"the shares add up to {sum(shares)}: they must not exceed 1",
        )


def _programs(spec: EnergyContractSpec) -> Iterator[Finding]:
    exist = [program.name for program in spec.programs]
    for program in spec.programs:
        path = f"spec.programs[{program.name}]"
        yield from check.names(
            program.exclusive_with,
            exist,
            SpecReason.PROGRAM_UNKNOWN,
            f"{path}.exclusiveWith",
            "program",
        )
        for index, commitment in enumerate(program.commitments):
            yield from check.windows(commitment.windows, f"{path}.commitments[{index}].windows")


def _opening(spec: EnergyContractSpec) -> Iterator[Finding]:
    if spec.opening_period is not None:
        demand = [item.name for item in spec.components if item.measure.type is MeasureType.DEMAND]
        yield from check.names(
            [peak.component_name for peak in spec.opening_period.peaks],
            demand,
            SpecReason.COMPONENT_UNKNOWN,
            "spec.openingPeriod.peaks",
            "demand component",
        )


def validate_contract(contract: EnergyContract) -> Iterator[Finding]:
    """Faults of an EnergyContract that schema and CEL cannot see."""
    spec = contract.spec
    yield from check.zone(spec.time_zone, "spec.timeZone")
    yield from check.signals(spec.signals, spec.currency)
    yield from check.signal_uses(_uses(spec), spec.signals)
    yield from _calendars(spec.calendars)
    yield from validate_components(spec)
    yield from _shapes(spec)
    yield from _positions(spec)
    yield from _programs(spec)
    yield from _opening(spec)
