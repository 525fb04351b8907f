"""PowerSites as a policy sees them: meters, prices, supplies, members, events.

Neighbours: `world.py` (puts the snapshot together), `observed.py` (signals), `pricing.py` (quotes).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from wattshift.core.contract.quote import PriceQuote
from wattshift.core.contract.quote import SiteState as QuoteSite
from wattshift.core.freshness import value_of
from wattshift.core.model import (
    AcceleratorState,
    ConnectionState,
    MemberPhase,
    MemberState,
    Mode,
    SiteState,
    SupplyState,
)
from wattshift.core.signal import OnStale, Reading, SignalKind, SignalState
from wattshift.core.units import Quantity
from wattshift.sim.events_seen import CONNECTION, EventsSeen
from wattshift.sim.faults import distorted, of_signal, silent, unreachable_sites
from wattshift.sim.observed import Config, Gauge, Observed
from wattshift.sim.plant import Plant, Record
from wattshift.sim.pricing import ContractBook
from wattshift.sim.scenario import (
    Scenario,
    SimSite,
)
from wattshift.sim.site_signals import observed

CLUSTER = "main"


class SitesSeen:
    """Builds `SiteState`s; keeps what has not changed."""

    def __init__(
        self,
        plant: Plant,
        books: tuple[ContractBook | None, ...],
        seed: int,
        refused: AbstractSet[str] = frozenset(),
    ) -> None:
        self._plant = plant
        self._scenario = plant.scenario
        self._rows = tuple(
            _Site(plant.scenario, index, books[index], seed, refused)
            for index in range(len(plant.scenario.sites))
        )

    def states(
        self, record: Record | None, now: float, model_watts: dict[tuple[str, str], float]
    ) -> tuple[SiteState, ...]:
        """All sites by name."""
        seen = now - self._scenario.telemetry_delay_seconds
        down = unreachable_sites(self._scenario, seen)
        found = [
            row.state(record, now, down=row.index in down, model_watts=model_watts)
            for row in self._rows
        ]
        found.sort(key=lambda row: row.name)
        return tuple(found)


class _Site:
    def __init__(
        self,
        scenario: Scenario,
        index: int,
        book: ContractBook | None,
        seed: int,
        refused: AbstractSet[str],
    ) -> None:
        site = scenario.sites[index]
        self.index = index
        self._scenario = scenario
        self._site = site
        self._book = book
        self._static = _static(scenario, index, site)
        self._price = observed(scenario, index, site.price, Quantity.ENERGY_PRICE, seed)
        self._carbon = observed(
            scenario, index, site.carbon, Quantity.CARBON_INTENSITY_AVERAGE, seed
        )
        self._green = observed(scenario, index, site.green_share, Quantity.GREEN_SHARE, seed)
        self._heat = observed(scenario, index, site.temperature, Quantity.OUTDOOR_TEMPERATURE, seed)
        self._export = observed(scenario, index, site.export_price, Quantity.EXPORT_PRICE, seed)
        self._supply = observed(scenario, index, site.supply, Quantity.SUPPLY_POWER, seed)
        self._cooling = observed(
            scenario, index, site.cooling_limit, Quantity.COOLING_LIMIT_POWER, seed
        )
        self._other = observed(
            scenario, index, site.uncontrolled, Quantity.UNCONTROLLED_POWER, seed
        )
        telemetry = max(60.0, 3 * scenario.govern_every_seconds, 3 * scenario.plan_every_seconds)
        meter = Config(
            name="meter",
            quantity=Quantity.SITE_POWER,
            fault_name="Power",
            unit="Watt",
            on_stale=OnStale.IGNORE,
            stale_after_seconds=telemetry + scenario.telemetry_delay_seconds,
        )
        self._meter = Gauge(meter, scenario.start_time)
        self._metered = -1.0
        self._events = EventsSeen(scenario, site.name, refused)
        self._down_since: float | None = None
        self._members: tuple[MemberState, ...] = (_member(site.name, MemberPhase.READY, 0.0, 0.0),)
        self._nameplate = 0
        if site.supply_capacity_watts is not None:
            self._nameplate = round(site.supply_capacity_watts)
        elif site.supply is not None:
            # NB: a nameplate is no forecast; where the scenario names none, the series' own stands in
            self._nameplate = round(float(site.supply.values.max(initial=0.0)))

    def state(
        self,
        record: Record | None,
        now: float,
        *,
        down: bool,
        model_watts: dict[tuple[str, str], float],
    ) -> SiteState:
        static = self._static
        signals: list[SignalState] = []
        for row in (
            self._carbon,
            self._cooling,
            self._price,
            self._export,
            self._green,
            self._heat,
            self._supply,
            self._other,
        ):
            if row is not None:
                signals.extend(row.update(now))
        meter = self._read_meter(record, now)
        other = None if self._other is None else self._other.reading
        connection = self._connection(record, now, meter, other, model_watts)
        supplies: tuple[SupplyState, ...] = ()
        if self._supply is not None:
            supplies = (self._supply_state(self._supply),)
        epoch = self._scenario.start_time + now
        own = sum(max(0.0, value_of(row.power, epoch) or 0.0) for row in supplies)
        return SiteState(
            name=static.name,
            mode=Mode.ENFORCE,
            accepted=True,
            time_zone=static.time_zone,
            it_capacity_watts=None,
            ramp_up_watts_per_minute=static.ramp_up_watts_per_minute,
            ramp_down_watts_per_minute=static.ramp_down_watts_per_minute,
            facility=static.facility,
            outdoor_temperature=None if self._heat is None else self._heat.reading,
            connections=(connection,),
            supplies=supplies,
            accelerators=static.accelerators,
            origin_round_trip_milliseconds=static.origin_round_trip_milliseconds,
            events=self._events.states(meter, own, now),
            members=self._member_states(now, down=down),
            signals=tuple(signals),
            cooling_limit=None if self._cooling is None else self._cooling.reading,
        )

    def _read_meter(self, record: Record | None, now: float) -> Reading:
        if record is not None:
            seen = min(record.start + record.seconds, now - self._scenario.telemetry_delay_seconds)
            faults = of_signal(self._scenario, self._site.name, "Power", now)
            if silent(faults) is not None:
                self._meter.missing("SourceUnreachable")
            elif seen != self._metered or faults:
                self._metered = seen
                watts = float(record.flows.load[self.index])
                self._meter.offer(distorted(watts, faults), seen, now)
        return self._meter.reading(now)

    def _connection(
        self,
        record: Record | None,
        now: float,
        meter: Reading,
        other: Reading | None,
        model_watts: dict[tuple[str, str], float],
    ) -> ConnectionState:
        site = self._site
        limit = site.import_limit_watts
        model = model_watts.get((site.name, CONNECTION))
        price: PriceQuote | None = None
        ahead: tuple[tuple[float, PriceQuote], ...] = ()
        name, most = "", None
        if self._book is not None:
            epoch = self._scenario.start_time + now
            index = None
            forecast = None
            if self._price is not None:
                reading = self._price.reading
                index = None if reading is None else reading.value
                forecast = self._price.forecast
            seen = self._quote_site(record, meter)
            price = self._book.quote(epoch, index, seen)
            ahead = self._book.ahead(epoch, index, forecast, seen)
            name = self._book.contract.name
            most = self._book.contract.maximum_watts
        return ConnectionState(
            name=CONNECTION,
            import_limit_watts=None if limit is None else round(limit),
            contract_maximum_watts=most,
            averaging_minutes=15,
            metered=meter,
            uncontrolled=other,
            price=price,
            price_ahead=ahead,
            contract_name=name,
            model_watts_at_meter=None if model is None else round(model),
        )

    def _quote_site(self, record: Record | None, meter: Reading) -> QuoteSite:
        load = max(0, round(meter.value or 0.0))
        supply = None
        if self._supply is not None and self._supply.reading is not None:
            value = self._supply.reading.value
            supply = None if value is None else round(value)
        imported = max(0, load - (supply or 0))
        it = None if record is None else round(float(record.flows.it[self.index]))
        return QuoteSite(
            import_watts=imported, load_watts=load, direct_supply_watts=supply, it_watts=it
        )

    def _supply_state(self, supply: Observed) -> SupplyState:
        site = self._site
        ahead = None
        if supply.forecast is not None:
            ahead = SignalState(
                name="supply-forecast",
                quantity=Quantity.SUPPLY_POWER,
                kind=SignalKind.FORECAST,
                rank=1,
                on_stale=OnStale.ASSUME_WORST,
                forecast=supply.forecast,
            )
        return SupplyState(
            name=site.supply_name or "supply",
            type=site.supply_type or "Wind",
            capacity_watts=self._nameplate,
            power=supply.reading,
            forecast=ahead,
        )

    def _member_states(self, now: float, *, down: bool) -> tuple[MemberState, ...]:
        if not down:
            if self._down_since is not None:
                self._down_since = None
                self._members = (_member(self._site.name, MemberPhase.READY, now, 0.0),)
            return self._members
        if self._down_since is None:
            self._down_since = now
        age = now - self._down_since
        return (_member(self._site.name, MemberPhase.LOST, self._down_since, age),)


def _static(scenario: Scenario, index: int, site: SimSite) -> SiteState:
    trips = scenario.round_trip_milliseconds
    profiles: dict[str, str] = {}
    for table in scenario.tables:
        profiles.setdefault(table.resource_name, table.name)
    return SiteState(
        name=site.name,
        mode=Mode.ENFORCE,
        accepted=True,
        time_zone=site.time_zone,
        it_capacity_watts=None,
        ramp_up_watts_per_minute=_rounded(site.ramp_up_watts_per_minute),
        ramp_down_watts_per_minute=_rounded(site.ramp_down_watts_per_minute),
        facility=site.facility,
        outdoor_temperature=None,
        connections=(),
        supplies=(),
        accelerators=tuple(
            AcceleratorState(resource_name=name, profile_name=profiles.get(name, ""), count=count)
            for name, count in site.devices
        ),
        origin_round_trip_milliseconds=tuple(
            (origin, round(float(trips[o, index]))) for o, origin in enumerate(scenario.origins)
        ),
        events=(),
        members=(),
        signals=(),
    )


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _member(site_name: str, phase: MemberPhase, since: float, age: float) -> MemberState:
    return MemberState(
        name=CLUSTER,
        uid=f"uid-{site_name}",
        phase=phase,
        since_wall_time=since,
        age_seconds=age,
        connection_name=CONNECTION,
        message="" if phase is MemberPhase.READY else "it does not answer",
    )
