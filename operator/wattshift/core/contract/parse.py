"""An EnergyContract spec (camelCase JSON) into a `Contract`; the first fault raises `ContractError`.

The API's schema has checked shapes of fields already; here names must resolve, every part must be one
that this version bills, and nothing is guessed. Neighbours: `parse_tariff` (components), `reader`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

from wattshift.core.contract.calendar import zone
from wattshift.core.contract.errors import ContractError, ContractReason
from wattshift.core.contract.model import (
    DIRECT_SUPPLY,
    Basis,
    CarbonTerms,
    Component,
    Contract,
    DemandMeasure,
    EnergyMeasure,
    Instrument,
    Obligation,
    Opening,
    OverrunMeasure,
    Point,
    Position,
    PositionType,
    Program,
    Regime,
    RegimeSelector,
    Role,
    ShareMeasure,
    Span,
    Surplus,
    SurplusOwner,
    SurplusUse,
)
from wattshift.core.contract.parse_tariff import (
    read_calendar,
    read_component,
    read_shape,
    read_signal_rate,
)
from wattshift.core.contract.reader import Reader

_OPENING_SECONDS = 366 * 86400
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z", re.ASCII)

__all__ = ["ContractError", "ContractReason", "from_spec"]


def from_spec(name: str, spec: Mapping[str, Any]) -> Contract:
    """The contract of that object name.

    Raises:
        ContractError: `path` and `message` say what to change; `reason` is `ContractInvalid`, or
            `ContractPartNotImplemented` for vocabulary that this version cannot bill.
    """
    reader = Reader(spec)
    time_zone = reader.text("timeZone", "UTC")
    try:
        zone(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise reader.error("timeZone", f"{time_zone!r} is no IANA time zone") from None
    if reader.has("settlement") and reader.child("settlement").text("type") != "SingleIndex":
        raise reader.refuse("settlement.type", "two settlements cannot be billed yet")
    contract = Contract(
        name=name,
        role=reader.choice("role", Role),
        currency=reader.text("currency"),
        time_zone=time_zone,
        interval_minutes=_interval(reader),
        valid_from=reader.optional_time("validFromTime"),
        valid_until=reader.optional_time("validUntilTime"),
        points=tuple(_point(child) for child in reader.children("points")),
        calendars=tuple(read_calendar(child, time_zone) for child in reader.children("calendars")),
        components=tuple(read_component(child) for child in reader.children("components")),
        shapes=tuple(read_shape(child) for child in reader.children("shapes")),
        positions=tuple(_position(child) for child in reader.children("positions")),
        regimes=tuple(_regime(child) for child in reader.children("regimes")),
        obligations=tuple(_obligation(child) for child in reader.children("obligations")),
        carbon=_carbon(reader),
        programs=tuple(_program(child) for child in reader.children("programs")),
        opening=_opening(reader.child("openingPeriod")) if reader.has("openingPeriod") else None,
    )
    return _resolved(contract, reader)


def _interval(reader: Reader) -> int:
    minutes = reader.integer("intervalMinutes", 15)
    if minutes == 0 or minutes > 60 or 60 % minutes:
        raise reader.error("intervalMinutes", "must divide an hour")
    return minutes


def _point(reader: Reader) -> Point:
    return Point(
        site_name=reader.text("siteName"),
        connection_name=reader.text("connectionName", ""),
        contracted_watts=reader.optional_integer("contractedWatts"),
        maximum_watts=reader.optional_integer("maximumWatts"),
    )


def _position(reader: Reader) -> Position:
    kind = reader.choice("type", PositionType)
    if reader.has("takeOrPay"):
        raise reader.refuse("takeOrPay", "take-or-pay cannot be billed yet")
    if reader.has("rate") == reader.has("signalRate"):
        raise reader.error("", "set exactly one of rate, signalRate")
    if kind in DIRECT_SUPPLY and not reader.has("supplyName"):
        raise reader.error("supplyName", f"is required for {kind.value}")
    fixed = kind in (PositionType.FIXED_VOLUME, PositionType.CONTRACT_FOR_DIFFERENCE)
    if fixed != reader.has("kilowatts"):
        raise reader.error("kilowatts", "belongs to FixedVolume and ContractForDifference")
    share = Decimal(1)
    if reader.has("share"):
        if kind is not PositionType.LOAD_FOLLOWING:
            raise reader.refuse("share", "only a LoadFollowing position can cover a share yet")
        share = reader.decimal("share")
    reference = ""
    if kind is PositionType.CONTRACT_FOR_DIFFERENCE:
        reference = reader.text("referenceSignalName")
        if not reader.has("rate"):
            raise reader.error("rate", "is the strike of a ContractForDifference")
    return Position(
        name=reader.text("name"),
        type=kind,
        rate=reader.optional_decimal("rate"),
        signal_rate=(
            read_signal_rate(reader.child("signalRate")) if reader.has("signalRate") else None
        ),
        supply_name=reader.text("supplyName", ""),
        watts=reader.integer("kilowatts", 0) * 1000,
        reference_signal_name=reference,
        share=share,
        surplus=_surplus(reader.child("surplus")) if reader.has("surplus") else None,
    )


def _surplus(reader: Reader) -> Surplus:
    if reader.text("use") == "Store":
        raise reader.refuse("use", "stored surplus cannot be billed yet")
    owner = reader.choice("owner", SurplusOwner)
    use = reader.choice("use", SurplusUse)
    priced = reader.has("rate") or reader.has("signalRate")
    if reader.has("rate") and reader.has("signalRate"):
        raise reader.error("", "set at most one of rate, signalRate")
    if use is SurplusUse.EXPORT and owner is SurplusOwner.CONSUMER and not priced:
        raise reader.error("rate", "is required when the consumer is paid for export")
    return Surplus(
        use=use,
        owner=owner,
        rate=reader.optional_decimal("rate"),
        signal_rate=(
            read_signal_rate(reader.child("signalRate")) if reader.has("signalRate") else None
        ),
    )


def _regime(reader: Reader) -> Regime:
    return Regime(
        reader.text("name"),
        reader.choice("selectBy", RegimeSelector),
        reader.decimal("threshold"),
    )


def _obligation(reader: Reader) -> Obligation:
    if reader.text("period") not in (Span.MONTH.value, Span.YEAR.value):
        raise reader.refuse("period", "obligations are kept by Month or Year yet")
    terms = tuple(
        (child.choice("quantity", Basis), child.decimal("coefficient"))
        for child in reader.children("terms")
    )
    if not terms:
        raise reader.error("terms", "is required")
    eligible = reader.choices("eligible", Instrument)
    if any(basis is Basis.GREEN for basis, _ in terms) and not eligible:
        raise reader.error("eligible", "must say what counts as Green")
    return Obligation(
        name=reader.text("name"),
        period=reader.choice("period", Span),
        terms=terms,
        eligible=eligible,
        shortfall_rate=reader.optional_decimal("shortfallRate"),
        hard=reader.text("enforcement", "Priced") == "Hard",
    )


def _carbon(reader: Reader) -> CarbonTerms:
    if not reader.has("carbon"):
        return CarbonTerms()
    child = reader.child("carbon")
    return CarbonTerms(
        child.text("method", "LocationBased"), child.optional_decimal("ratePerTonne")
    )


def _program(reader: Reader) -> Program:
    return Program(
        name=reader.text("name"),
        product=reader.text("product"),
        notice_seconds=reader.optional_integer("noticeSeconds"),
        max_events_per_month=reader.optional_integer("maxEventsPerMonth"),
        max_duration_seconds=reader.optional_integer("maxDurationSeconds"),
        committed_watts=reader.optional_integer("committedWatts"),
        baseline_method=reader.text("baselineMethod", "") if reader.has("baselineMethod") else "",
        firmness=reader.text("firmness", "") if reader.has("firmness") else "",
        energy_rate=reader.optional_decimal("energyRate"),
        availability_rate=reader.optional_decimal("availabilityRate"),
        penalty_rate=reader.optional_decimal("penaltyRate"),
    )


def _opening(reader: Reader) -> Opening:
    for child in reader.children("quantities"):
        if child.text("quantity") == Basis.GREEN.value:
            raise child.refuse(
                "quantity", "what is green follows from SelfUse: trade cannot be counted yet"
            )
    start, until = reader.time("startTime"), reader.time("untilTime")
    if start >= until:
        raise reader.error("untilTime", "must be after startTime")
    if until - start > _OPENING_SECONDS:
        raise reader.error("startTime", "an opening period covers at most a year")
    return Opening(
        start_time=start,
        until_time=until,
        watt_hours=tuple(
            (child.choice("quantity", Basis), child.integer("wattHours"))
            for child in reader.children("quantities")
        ),
        peak_watts=tuple(
            (child.text("componentName"), _month(child), child.integer("watts"))
            for child in reader.children("peaks")
        ),
        cost=reader.optional_decimal("cost"),
    )


def _month(reader: Reader) -> str:
    month = reader.text("month")
    if _MONTH.match(month) is None:
        raise reader.error("month", f"{month!r} is no month such as 2026-07")
    return month


# ---- names ------------------------------------------------------------------------------------


def _resolved(contract: Contract, reader: Reader) -> Contract:
    """Every name resolves, and what must not overlap does not; adds the indices it needs."""
    _unique(reader, "calendars", (item.name for item in contract.calendars))
    names = [item.name for item in contract.positions]
    _unique(reader, "components", [*names, *(item.name for item in contract.components)])
    for component in contract.components:
        _check_component(contract, component, f"components[{component.name}]")
    energy = {
        item.name for item in contract.components if isinstance(item.measure, EnergyMeasure)
    } | {item.name for item in contract.positions}
    for index, shape in enumerate(contract.shapes):
        path = f"shapes[{index}]"
        _bands_exist(contract, path, shape.calendar_name, (name for name, _ in shape.factors))
        for target in shape.of_components:
            if target not in energy:
                raise ContractError(
                    f"{path}.ofComponentNames", f"{target!r} is no energy component or position"
                )
    for kind in (DIRECT_SUPPLY, {PositionType.RESIDUAL}):
        same = [item.name for item in contract.positions if item.type in kind]
        if len(same) > 1:
            raise ContractError(
                "positions",
                f"{' and '.join(same)}: one direct supply and one Residual can be billed yet",
                ContractReason.NOT_IMPLEMENTED,
            )
    if sum(p.share for p in contract.positions if p.type is PositionType.LOAD_FOLLOWING) > 1:
        raise ContractError("positions", "shares of LoadFollowing positions exceed 1")
    for name, month, _ in contract.opening.peak_watts if contract.opening else ():
        target_component = contract.component(name)
        if target_component is None or not isinstance(target_component.measure, DemandMeasure):
            raise ContractError("openingPeriod.peaks", f"{name!r} ({month}) is no demand component")
    start, end = contract.valid_from, contract.valid_until
    if start is not None and end is not None and start >= end:
        raise ContractError("validUntilTime", "must be after validFromTime")
    return _with_signals(_with_overruns(contract), reader)


def _with_overruns(contract: Contract) -> Contract:
    """Limits of overruns in W: they are stated in the unit of the demand they are compared with."""

    def scaled(component: Component) -> Component:
        measure = component.measure
        if not isinstance(measure, OverrunMeasure):
            return component
        target = contract.component(measure.of_component)
        assert target is not None
        assert isinstance(target.measure, DemandMeasure)
        watts = measure.above_watts // 1000 * target.measure.unit_watts
        return replace(component, measure=replace(measure, above_watts=watts))

    return replace(contract, components=tuple(scaled(item) for item in contract.components))


def _unique(reader: Reader, field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise reader.error(field, f"{name!r} appears twice")
        if "|" in name or name.startswith("@"):
            raise reader.error(field, f"{name!r} has a reserved character")
        seen.add(name)


def _check_component(contract: Contract, component: Component, path: str) -> None:
    measure = component.measure
    bands = tuple(name for name, _ in component.band_rates)
    if component.calendar_name:
        limited = measure.bands if isinstance(measure, EnergyMeasure | DemandMeasure) else ()
        calendar = _bands_exist(contract, path, component.calendar_name, (*bands, *limited))
        missing = {band.name for band in calendar.bands} - set(bands)
        if limited:
            missing &= set(limited)
        if component.band_rates and missing:
            raise ContractError(f"{path}.bandRates", f"no rate for {', '.join(sorted(missing))}")
    if component.regime is not None and component.regime[0] not in {
        regime.name for regime in contract.regimes
    }:
        raise ContractError(f"{path}.regime", f"no regime {component.regime[0]!r}")
    if isinstance(measure, OverrunMeasure):
        target = contract.component(measure.of_component)
        if (
            target is None
            or not isinstance(target.measure, DemandMeasure)
            or target.measure.period is not Span.MONTH
        ):
            raise ContractError(
                f"{path}.measure.overrun.ofComponentName",
                f"{measure.of_component!r} is no monthly demand component",
            )
    if isinstance(measure, ShareMeasure):
        _check_share(contract, component, measure, path)


def _check_share(
    contract: Contract, component: Component, measure: ShareMeasure, path: str
) -> None:
    names = [item.name for item in contract.components]
    earlier = set(names[: names.index(component.name)])
    positions = {item.name for item in contract.positions}
    for name in measure.of_components:
        target = contract.component(name)
        if target is None and name not in positions:
            raise ContractError(
                f"{path}.measure.share.ofComponentNames", f"{name!r} is no component or position"
            )
        is_share = target is not None and isinstance(target.measure, ShareMeasure)
        if is_share and name not in earlier:
            raise ContractError(
                f"{path}.measure.share.ofComponentNames",
                f"the share {name!r} must come before the share of it",
            )


def _bands_exist(contract: Contract, path: str, name: str, bands: Iterable[str]) -> Any:
    calendar = next((item for item in contract.calendars if item.name == name), None)
    if calendar is None:
        raise ContractError(f"{path}.calendarName", f"no calendar {name!r}")
    known = {band.name for band in calendar.bands}
    for band in bands:
        if band not in known:
            raise ContractError(path, f"calendar {name!r} has no band {band!r}")
    return calendar


def _with_signals(contract: Contract, reader: Reader) -> Contract:
    rates = [item.signal_rate for item in contract.components]
    rates += [item.signal_rate for item in contract.positions]
    rates += [item.surplus.signal_rate for item in contract.positions if item.surplus is not None]
    names = [rate.signal_name for rate in rates if rate is not None]
    names += [p.reference_signal_name for p in contract.positions if p.reference_signal_name]
    needed = tuple(dict.fromkeys(names))
    if reader.has("signals"):
        declared = {child.text("name") for child in reader.children("signals")}
        for name in needed:
            if name not in declared:
                raise reader.error("signals", f"{name!r} is used by a rate but not declared")
    return replace(contract, signal_names=needed)
