"""One piece of metered time, inside one band, block and validity, added to running sums.

`Running` is the mutable working copy behind `meter.advance`; nobody else keeps one. It prices energy
when it is used, closes blocks into peaks, and closes months and years.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from wattshift.core.contract.bill import month_lines
from wattshift.core.contract.calendar import (
    block_start,
    local,
    month_key,
    months_apart,
    span_bounds,
    zone,
)
from wattshift.core.contract.model import (
    DIRECT_SUPPLY,
    Basis,
    Contract,
    DemandMeasure,
    EnergyMeasure,
    Position,
    PositionType,
    Span,
    SurplusOwner,
    SurplusUse,
)
from wattshift.core.contract.period import OpenBlock, Period, Totals
from wattshift.core.contract.rates import (
    Indices,
    bands_at,
    per_kilowatt_hour,
    shape_factor,
    signal_price,
    tier_cost,
    unit_price,
)
from wattshift.core.contract.sums import Sums

SETTLEMENT = "@settlement"
DIRECT_BASIS: dict[PositionType, tuple[Basis, ...]] = {
    PositionType.PAY_AS_CONSUMED: (Basis.SELF_USE,),
    PositionType.PAY_AS_PRODUCED: (Basis.SELF_USE, Basis.EXPORT),
    PositionType.PAY_AS_AVAILABLE: (Basis.AVAILABLE,),
}
"""Quantities that a direct supply is paid for; produced = used + exported."""
_NETTED = (
    PositionType.FIXED_VOLUME,
    PositionType.LOAD_FOLLOWING,
    PositionType.CONTRACT_FOR_DIFFERENCE,
)


class Running:
    """A period being advanced."""

    def __init__(self, contract: Contract, period: Period) -> None:
        self.contract = contract
        self.metered_until = period.metered_until
        self.month = Sums(period.month)
        self.year = Sums(period.year)
        self.closed = dict(period.closed)
        self.blocks = dict(period.blocks)
        self.previous = dict(period.previous_sub_peaks)
        self.history = period.peak_history
        self.estimated_seconds = period.estimated_seconds
        self._nets = any(position.type in _NETTED for position in contract.positions)

    def freeze(self) -> Period:
        """The immutable period."""
        return Period(
            metered_until=self.metered_until,
            month=self.month.freeze(),
            year=self.year.freeze(),
            closed=dict(self.closed),
            blocks=dict(self.blocks),
            previous_sub_peaks=dict(self.previous),
            peak_history=self.history,
            estimated_seconds=self.estimated_seconds,
        )

    # ---- time ---------------------------------------------------------------------------------

    def skip_to(self, epoch: int) -> None:
        """Count the time up to `epoch` as missing, month by month, where the contract is in force."""
        contract = self.contract
        while self.metered_until < epoch:
            self.roll_to(self.metered_until)
            _, month_end = span_bounds(contract.time_zone, Span.MONTH, self.metered_until)
            until = min(epoch, month_end)
            low = max(self.metered_until, contract.valid_from or self.metered_until)
            high = until if contract.valid_until is None else min(until, contract.valid_until)
            missing = max(0, high - low)
            self.month.missing_seconds += missing
            self.year.missing_seconds += missing
            self.metered_until = until

    def roll_to(self, epoch: int) -> None:
        """Close every month and year that ended at or before `epoch`."""
        while True:
            _, month_end = span_bounds(self.contract.time_zone, Span.MONTH, self.month.start_time)
            if epoch < month_end:
                return
            self._close_month(month_end)

    def _close_month(self, month_end: int) -> None:
        contract = self.contract
        for name in list(self.blocks):
            self._close_block(name)
        for line in month_lines(contract, self.freeze(), all_sides=True):
            self.closed[line.name] = self.closed.get(line.name, Decimal(0)) + line.amount
        key = month_key(contract.time_zone, self.month.start_time)
        for component in contract.components:
            measure = component.measure
            if not isinstance(measure, DemandMeasure):
                continue
            peak = self.month.peak_watts.get(component.name)
            ratchet = measure.ratchet
            if ratchet is not None and peak is not None:
                if not ratchet.from_months or int(key[5:]) in ratchet.from_months:
                    self.history = (*self.history, (key, component.name, peak))
                self.history = tuple(
                    entry
                    for entry in self.history
                    if entry[1] != component.name or months_apart(entry[0], key) < ratchet.months
                )
        self._keep_sub_peaks(self.month, Span.MONTH)
        self.month = Sums(Totals(start_time=month_end))
        self.estimated_seconds = 0
        _, year_end = span_bounds(contract.time_zone, Span.YEAR, self.year.start_time)
        if month_end >= year_end:
            self._keep_sub_peaks(self.year, Span.YEAR)
            self.year = Sums(Totals(start_time=year_end))
            self.closed = {}

    def _keep_sub_peaks(self, sums: Sums, span: Span) -> None:
        for component in self.contract.components:
            measure = component.measure
            if isinstance(measure, DemandMeasure) and measure.period is span:
                peaks = tuple(peak for peak in sums.sub_peaks.get(component.name, ()) if peak >= 0)
                if peaks:
                    self.previous[component.name] = peaks

    # ---- energy -------------------------------------------------------------------------------

    def add_energy(
        self,
        left: int,
        right: int,
        watt_hours: Mapping[str, int],
        indices: Indices,
        *,
        priced: bool = True,
    ) -> None:
        """Count and price the energy of `[left, right)`, which lies inside one band."""
        contract = self.contract
        if not contract.in_force(left):
            return
        bands = bands_at(contract, left)
        for sums in (self.month, self.year):
            sums.metered_seconds += right - left
            for name, value in watt_hours.items():
                sums.watt_hours[name] = sums.watt_hours.get(name, 0) + value
        for calendar, band in bands.items():
            for basis in (Basis.IMPORT, Basis.GROSS_USE):
                key = f"{calendar}|{band}|{basis.value}"
                self.month.band_watt_hours[key] = (
                    self.month.band_watt_hours.get(key, 0) + watt_hours[basis.value]
                )
        if not priced:
            self._climb_tiers(left, watt_hours, bands)
            return
        for component in contract.components:
            measure = component.measure
            if not isinstance(measure, EnergyMeasure) or not component.in_force(left):
                continue
            if measure.bands and bands[component.calendar_name] not in measure.bands:
                continue
            value = watt_hours.get(measure.basis.value, 0)
            if component.blocks:
                before = self.month.component_watt_hours.get(component.name, 0)
                cost = tier_cost(component, before, value) * shape_factor(
                    contract, component.name, bands, left
                )
                self._book(component.name, value, cost * measure.loss_factor)
            else:
                price = unit_price(contract, component, bands, left, indices)
                if price is not None:
                    price *= measure.loss_factor
                self._book_at(component.name, value, price)
        self._add_positions(left, right, watt_hours, bands, indices)

    def _climb_tiers(
        self, epoch: int, watt_hours: Mapping[str, int], bands: Mapping[str, str]
    ) -> None:
        """Energy whose cost is known as a sum still decides in which tier the next kWh is."""
        for component in self.contract.components:
            measure = component.measure
            if not isinstance(measure, EnergyMeasure) or not component.blocks:
                continue
            if not component.in_force(epoch):
                continue
            if measure.bands and bands[component.calendar_name] not in measure.bands:
                continue
            self._book(component.name, watt_hours.get(measure.basis.value, 0), Decimal(0))

    def _add_positions(
        self,
        left: int,
        right: int,
        watt_hours: Mapping[str, int],
        bands: Mapping[str, str],
        indices: Indices,
    ) -> None:
        contract = self.contract
        for position in contract.positions:
            if position.type not in DIRECT_SUPPLY:
                continue
            value = sum(watt_hours[basis.value] for basis in DIRECT_BASIS[position.type])
            self._book_at(
                position.name, value, unit_price(contract, position, bands, left, indices)
            )
            self._book_surplus(position, watt_hours[Basis.EXPORT.value], indices)
        imported = watt_hours[Basis.IMPORT.value]
        if not self._nets:
            self._settle_residual(left, imported, bands, indices)
            return
        # Fixed volumes net inside a settlement interval. Each piece books the difference that it
        # makes to the interval so far, so that the sum never depends on where pieces were cut.
        begin = block_start(contract.time_zone, left, contract.interval_minutes)
        before = self.blocks.get(SETTLEMENT)
        if before is None or before.start_time != begin:
            before = OpenBlock(start_time=begin, watt_hours=0, seconds=0)
        after = OpenBlock(
            start_time=begin,
            watt_hours=before.watt_hours + imported,
            seconds=before.seconds + right - left,
        )
        was, served = self._serve(before), self._serve(after)
        for position in contract.positions:
            if position.type in DIRECT_SUPPLY:
                continue
            price = unit_price(contract, position, bands, left, indices)
            value, surplus = served[position.name]
            value_before, surplus_before = was[position.name]
            self._book_at(position.name, value - value_before, price)
            self._book_surplus(position, surplus - surplus_before, indices)
        if right >= begin + contract.interval_minutes * 60:
            self.blocks.pop(SETTLEMENT, None)
        else:
            self.blocks[SETTLEMENT] = after

    def _serve(self, block: OpenBlock) -> dict[str, tuple[int, int]]:
        """(billed Wh, surplus Wh) by position: shares first, then fixed volumes, then the residual."""
        served: dict[str, tuple[int, int]] = {}
        left = block.watt_hours
        positions = self.contract.positions
        for position in positions:
            if position.type is PositionType.LOAD_FOLLOWING:
                value = min(left, int(block.watt_hours * position.share))
                served[position.name] = (value, 0)
                left -= value
        for position in positions:
            if position.type is PositionType.FIXED_VOLUME:
                volume = position.watts * block.seconds // 3600
                used = min(left, volume)
                served[position.name] = (volume, volume - used)
                left -= used
        for position in positions:
            if position.type is PositionType.RESIDUAL:
                served[position.name] = (left, 0)
            elif position.type is PositionType.CONTRACT_FOR_DIFFERENCE:
                served[position.name] = (position.watts * block.seconds // 3600, 0)
        return served

    def _settle_residual(
        self, epoch: int, watt_hours: int, bands: Mapping[str, str], indices: Indices
    ) -> None:
        for position in self.contract.positions:
            if position.type is PositionType.RESIDUAL:
                price = unit_price(self.contract, position, bands, epoch, indices)
                self._book_at(position.name, watt_hours, price)

    def _book_surplus(self, position: Position, watt_hours: int, indices: Indices) -> None:
        surplus = position.surplus
        if (
            surplus is None
            or watt_hours == 0
            or surplus.owner is not SurplusOwner.CONSUMER
            or surplus.use is not SurplusUse.EXPORT
        ):
            return
        price = surplus.rate
        if surplus.signal_rate is not None:
            price = signal_price(surplus.signal_rate, indices)
        self._book_at(f"{position.name}.surplus", watt_hours, None if price is None else -price)

    def _book_at(self, name: str, watt_hours: int, price: Decimal | None) -> None:
        if price is None:
            for sums in (self.month, self.year):
                unpriced = sums.unpriced_watt_hours
                unpriced[name] = unpriced.get(name, 0) + watt_hours
            return
        self._book(name, watt_hours, per_kilowatt_hour(watt_hours, price))

    def _book(self, name: str, watt_hours: int, cost: Decimal) -> None:
        month = self.month
        month.component_watt_hours[name] = month.component_watt_hours.get(name, 0) + watt_hours
        month.costs[name] = month.costs.get(name, Decimal(0)) + cost
        year = self.year.component_watt_hours
        year[name] = year.get(name, 0) + watt_hours

    # ---- demand -------------------------------------------------------------------------------

    def add_demand(
        self,
        left: int,
        right: int,
        watt_hours: Mapping[str, int],
        block_peak_watts: Mapping[str, int],
    ) -> None:
        """Add the energy of `[left, right)`, which lies inside one block, to the open blocks."""
        contract = self.contract
        if not contract.in_force(left):
            return
        bands: Mapping[str, str] | None = None
        for component in contract.components:
            measure = component.measure
            if not isinstance(measure, DemandMeasure):
                continue
            length = measure.averaging_minutes * 60
            begin = block_start(contract.time_zone, left, measure.averaging_minutes)
            block = self.blocks.get(component.name)
            if block is not None and block.start_time != begin:
                self._close_block(component.name)
                block = None
            if not component.in_force(left):
                continue
            if measure.bands:
                bands = bands if bands is not None else bands_at(contract, left)
                if bands[component.calendar_name] not in measure.bands:
                    continue
            reported = block_peak_watts.get(measure.basis.value)
            if reported is not None:
                self.raise_peak(component.name, reported, left)
                continue
            value = watt_hours.get(measure.basis.value)
            if value is None:
                continue
            self.blocks[component.name] = OpenBlock(
                start_time=begin,
                watt_hours=value + (block.watt_hours if block else 0),
                seconds=right - left + (block.seconds if block else 0),
            )
            if right >= begin + length:
                self._close_block(component.name)

    def _close_block(self, name: str) -> None:
        block = self.blocks.pop(name)
        component = self.contract.component(name)
        if component is None or not isinstance(component.measure, DemandMeasure):
            return
        # An average over less than half a block says too little to bill a peak on.
        if block.seconds * 2 < component.measure.averaging_minutes * 60:
            return
        watts = (block.watt_hours * 3600 * 2 + block.seconds) // (2 * block.seconds)
        self.raise_peak(name, watts, block.start_time)

    def open_peaks(self, peaks: Iterable[tuple[str, str, int]]) -> None:
        """Peaks of an opening: those of the running month or year, earlier ones for ratchets."""
        zone_name = self.contract.time_zone
        now = month_key(zone_name, self.month.start_time)
        for name, month, watts in peaks:
            component = self.contract.component(name)
            if component is None or not isinstance(component.measure, DemandMeasure):
                continue
            yearly = component.measure.period is Span.YEAR
            if month == now or (yearly and month[:4] == now[:4] and month < now):
                year, number = month.split("-")
                moment = datetime(int(year), int(number), 1, 12, tzinfo=zone(zone_name))
                self.raise_peak(name, watts, int(moment.timestamp()))
            ratchet = component.measure.ratchet
            if (
                ratchet is not None
                and month < now
                and (not ratchet.from_months or int(month[5:]) in ratchet.from_months)
            ):
                self.history = (*self.history, (month, name, watts))

    def raise_peak(self, name: str, watts: int, epoch: int) -> None:
        """Record a block average of a demand component, in W."""
        component = self.contract.component(name)
        if component is None or not isinstance(component.measure, DemandMeasure):
            return
        sums = self.month if component.measure.period is Span.MONTH else self.year
        sums.peak_watts[name] = max(watts, sums.peak_watts.get(name, 0))
        moment = local(self.contract.time_zone, epoch)
        index = (moment.day if component.measure.period is Span.MONTH else moment.month) - 1
        peaks = list(sums.sub_peaks.get(name, ()))
        peaks += [-1] * (index + 1 - len(peaks))
        peaks[index] = max(watts, peaks[index])
        sums.sub_peaks[name] = tuple(peaks)
