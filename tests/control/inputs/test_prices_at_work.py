"""Contracts at work: quoted now and ahead, unknown indices stay unknown, books per contract."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.control.conftest import contract as contract_document
from wattshift.api.validate import read
from wattshift.control.clock import ManualClock
from wattshift.control.hub.contracts import Contracts
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.inputs.prices import Flows, Prices, site_of
from wattshift.control.inputs.profiles import Profiles
from wattshift.control.record.status import StatusBook
from wattshift.control.hub.store import Acceptance, Store

NOW = 1_790_000_000.0
KEY = ObjectKey.contract("c")


class Scene:
    def __init__(self, *, accepted: bool = True, **spec) -> None:
        self.store = Store(read=read)
        self.book = StatusBook(client=None, clock=ManualClock(utc=NOW))
        body = contract_document("c", "east", **spec)
        body["metadata"] |= {
            "uid": "u",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self.stored, _ = self.store.put(Kind.ENERGY_CONTRACT, body)
        self.store.set_acceptance(
            KEY, Acceptance(accepted=accepted, reason="Valid", message="", generation=1)
        )
        self.book.observe(KEY, uid="u", generation=1, version="1", status={})
        self.prices = Prices(
            store=self.store, book=self.book, contracts=Contracts(), horizon_seconds=86_400
        )

    def at(self, now: float = NOW, load: int = 1_000):
        flows = {("east", "feed"): Flows(load_watts=load, import_watts=load, supply_watts=None)}
        return self.prices.of_points({}, flows, now)


def test_the_band_of_now_prices_the_point_and_the_next_one_is_ahead():
    point = Scene().at()["east", "feed"]
    assert point.contract_name == "c" and point.quote.known
    assert point.quote.up.energy in (Decimal("0.30"), Decimal("0.75"))
    assert {quote.up.energy for _, quote in point.ahead} == {Decimal("0.30"), Decimal("0.75")}


def test_a_contract_that_is_not_accepted_or_not_in_force_prices_nothing():
    assert Scene(accepted=False).at() == {}
    assert Scene(validFromTime="2030-01-01T00:00:00+08:00").at() == {}


def test_the_look_ahead_is_kept_for_a_while_and_then_made_anew():
    scene = Scene()
    first = scene.at()["east", "feed"].ahead
    assert scene.at(NOW + 10)["east", "feed"].ahead is first
    assert scene.at(NOW + 301)["east", "feed"].ahead is not first


def test_the_period_opens_once_and_anew_where_the_clock_was_set_back_before_it():
    scene = Scene()
    ((stored, contract),) = scene.prices.in_force(NOW)
    period = scene.prices.period(stored, contract, NOW)
    assert period.metered_until == int(NOW)
    earlier = scene.prices.period(stored, contract, NOW - 90 * 86_400)
    assert earlier.metered_until == int(NOW - 90 * 86_400)


def test_flows_of_a_site_are_summed_over_the_contracts_points_only():
    ((_, contract),) = Scene().prices.in_force(NOW)
    flows = {
        ("east", "feed"): Flows(load_watts=5, import_watts=3, supply_watts=2, it_watts=4),
        ("west", "feed"): Flows(load_watts=50, import_watts=50, supply_watts=None),
    }
    found = site_of(contract, flows)
    assert (found.load_watts, found.import_watts, found.direct_supply_watts) == (5, 3, 2)
    assert site_of(contract, {}).direct_supply_watts is None


class ConfigMaps:
    """Labelled ConfigMaps as values."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, str]] = {}
        self.asked = 0

    def labelled(self, _label: str) -> dict[str, dict[str, str]]:
        self.asked += 1
        return {name: dict(data) for name, data in self.maps.items()}


def test_profiles_are_parsed_on_change_only_and_a_bad_one_hides_no_other(caplog):
    maps = ConfigMaps()
    profiles = Profiles(config_maps=maps)
    packaged = profiles.current()
    assert [row.name for row in packaged] == sorted(row.name for row in packaged)
    assert profiles.current()[0] is packaged[0]
    maps.maps = {"mine": {"bad.yaml": "{"}}
    again = profiles.current()
    assert [row.name for row in again] == [row.name for row in packaged]
    told = len(caplog.records)
    assert told
    profiles.current()
    assert len(caplog.records) == told


@pytest.mark.parametrize("load", [0, 10**9])
def test_any_load_is_quoted(load):
    assert Scene().at(load=load)["east", "feed"].quote.known
