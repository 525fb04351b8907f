"""Metered energy into a contract's period: exact carry, gaps, unknown meters, clocks, replay speed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies as st

from tests.control.conftest import contract as contract_document
from tests.core.build import connection, reading, site, snapshot
from wattshift.api.validate import read
from wattshift.control.record.books import Books
from wattshift.control.clock import ManualClock
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.inputs.prices import Flows, Prices
from wattshift.control.record.status import StatusBook
from wattshift.control.hub.store import Acceptance, Store

START = 1_790_000_000.0
KEY = ObjectKey.contract("c")


class Scene:
    """One contract on one metered connection; power and time are set by hand."""

    def __init__(self, *, speed: float = 1.0, **spec) -> None:
        self.clock = ManualClock(utc=START, speed=speed)
        self.store = Store(read=read)
        self.book = StatusBook(client=None, clock=self.clock)
        document = contract_document("c", "east", **spec)
        document["metadata"] |= {
            "uid": "u-1",
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "resourceVersion": "1",
        }
        stored, _ = self.store.put(Kind.ENERGY_CONTRACT, document)
        assert stored.resource is not None, stored.findings
        accepted = Acceptance(accepted=True, reason="Valid", message="", generation=1)
        self.store.set_acceptance(KEY, accepted)
        self.load, self.supply, self.it, self.metered = 3_600, None, None, True
        self.supply_known = True
        self.now = START
        self.restart()

    def restart(self) -> None:
        status = {}
        known = self.book.contract(KEY).period
        self.book = StatusBook(client=None, clock=self.clock)
        self.book.observe(KEY, uid="u-1", generation=1, version="1", status=status)
        if known is not None:
            record = self.book.contract(KEY)
            self.book.update(KEY, replace(record, period=known))
        prices = Prices(
            store=self.store, book=self.book, contracts=Contracts(), horizon_seconds=3600
        )
        runtime = SimpleNamespace(
            book=self.book,
            poller=SimpleNamespace(states=lambda _now: {}),
            clock=self.clock,
            config=SimpleNamespace(governor=SimpleNamespace(interval_seconds=2.0)),
        )
        self.books = Books(runtime=runtime, gather=SimpleNamespace(flows=self.flows), prices=prices)

    def flows(self) -> dict[tuple[str, str], Flows]:
        supply = self.supply or 0
        return {
            ("east", "feed"): Flows(
                load_watts=self.load,
                import_watts=max(0, self.load - supply),
                supply_watts=self.supply,
                it_watts=self.it,
                supply_known=self.supply_known,
            )
        }

    def tick(self, seconds: float = 2.0, times: int = 1) -> None:
        for _ in range(times):
            self.now += seconds
            meter = reading(float(self.load)) if self.metered else reading(None)
            feed = connection(metered=meter)
            self.books.advance(snapshot(sites=(site("east", feed=feed),), grid_time=self.now))

    @property
    def month(self):
        return self.book.contract(KEY).period.month

    def watt_hours(self, basis: str = "Import") -> int:
        return self.month.watt_hours.get(basis, 0)


def test_short_ticks_lose_nothing():
    scene = Scene()
    scene.load = 1_234
    scene.tick(0)
    scene.tick(2.0, 1800)
    assert scene.watt_hours() == 1_234


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50_000), st.integers(1, 15)), min_size=40, max_size=120))
def test_the_booked_energy_is_the_sum_of_watt_seconds_to_the_watt_hour(steps):
    scene = Scene()
    scene.tick(0)
    pending = total = elapsed = 0
    for watts, seconds in steps:
        scene.load = watts
        scene.tick(seconds)
        pending, elapsed = pending + watts * seconds, elapsed + seconds
        if elapsed >= 60:
            total, pending, elapsed = total + pending, 0, 0
    booked = scene.watt_hours() if scene.book.contract(KEY).period else 0
    assert booked == total // 3600


def test_an_unknown_meter_is_missing_time_and_not_energy():
    scene = Scene()
    scene.tick(0)
    scene.tick(2.0, 60)
    before, missing = scene.watt_hours(), scene.month.missing_seconds
    scene.metered = False
    scene.tick(2.0, 60)
    scene.metered = True
    scene.tick(2.0, 60)
    assert scene.watt_hours() - before == pytest.approx(120, abs=1)
    assert scene.month.missing_seconds - missing == pytest.approx(120, abs=2)


def test_what_was_metered_before_a_gap_is_booked():
    scene = Scene()
    scene.tick(0)
    scene.tick(2.0, 45)
    scene.metered = False
    scene.tick(2.0, 1)
    assert scene.watt_hours() == 90


def test_a_long_pause_is_a_gap_and_not_the_last_power():
    scene = Scene()
    scene.tick(0)
    scene.tick(2.0, 30)
    missing = scene.month.missing_seconds
    scene.tick(1_000.0)
    scene.tick(2.0, 60)
    assert scene.watt_hours() == 180
    assert scene.month.missing_seconds - missing == 1_000


def test_at_replay_speed_a_tick_of_many_grid_seconds_is_no_gap():
    scene = Scene(speed=600.0)
    scene.tick(0)
    scene.tick(1_200.0, 3)
    assert scene.watt_hours() == 3_600


def test_a_clock_that_was_set_back_books_nothing_negative_and_goes_on():
    scene = Scene()
    scene.tick(0)
    scene.tick(2.0, 300)
    booked = scene.watt_hours()
    scene.tick(-300.0)
    scene.tick(2.0, 100)
    assert scene.watt_hours() >= booked
    scene.tick(2.0, 200)
    assert scene.watt_hours() == pytest.approx(900, abs=60)
    assert all(value >= 0 for value in scene.month.watt_hours.values())


def test_a_restart_goes_on_from_status_with_the_same_bill():
    scene = Scene()
    scene.tick(0)
    scene.tick(2.0, 300)
    scene.restart()
    scene.tick(0)
    scene.tick(2.0, 300)
    assert scene.watt_hours() == 1_200
    whole = Scene()
    whole.tick(0)
    whole.tick(2.0, 600)
    assert whole.month.costs == scene.month.costs


def test_direct_supply_is_split_from_import_and_the_surplus_is_exported():
    scene = Scene()
    scene.load, scene.supply = 3_600, 1_800
    scene.tick(0)
    scene.tick(2.0, 300)
    assert scene.watt_hours("Import") == 300 and scene.watt_hours("SelfUse") == 300
    assert scene.watt_hours("GrossUse") == 600
    scene.supply = 7_200
    scene.tick(2.0, 300)
    assert scene.watt_hours("Import") == 300 and scene.watt_hours("SelfUse") == 900
    assert scene.watt_hours("Export") == 600


def test_it_load_is_booked_only_where_it_is_metered():
    scene = Scene()
    scene.tick(0)
    scene.tick(2.0, 60)
    assert "ItLoad" not in scene.month.watt_hours
    scene.it = 1_800
    scene.tick(2.0, 60)
    assert scene.watt_hours("ItLoad") == 60


def test_while_a_declared_supply_is_not_read_nothing_is_booked_as_grid_import():
    scene = Scene()
    scene.supply = 1_000
    scene.tick(0)
    scene.tick(2.0, 60)
    before, missing = scene.watt_hours(), scene.month.missing_seconds
    scene.supply, scene.supply_known = None, False
    scene.tick(2.0, 60)
    scene.supply, scene.supply_known = 1_000, True
    scene.tick(2.0, 60)
    assert scene.watt_hours() - before == pytest.approx(2_600 * 120 / 3600, abs=2)
    assert scene.month.missing_seconds - missing == pytest.approx(120, abs=2)


def test_a_contract_that_cannot_be_counted_is_told_once_and_ends_nothing(caplog):
    scene = Scene()
    scene.books._close = None
    scene.tick(2.0, 3)
    assert caplog.text.count("not booked") == 1
