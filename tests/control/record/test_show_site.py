"""What status says of a site: unknown is not zero, the tightest limit by name, nobody's tenants."""

from __future__ import annotations

import pytest

from tests.core.build import connection, event, member, reading, signal, site, supply
from wattshift.api.site_status import BindingLimit
from wattshift.control.hub.conditions import Truth
from wattshift.control.record.show_site import (
    Doubts,
    cooling_healthy,
    fixed_text,
    power_status,
    shadow_prices,
    site_summary,
    watts_text,
    within_limit,
)
from wattshift.core.decision import SiteOutlook
from wattshift.core.model import MemberPhase
from wattshift.core.reasons import Reason
from wattshift.core.units import Quantity


def outlook(
    measured: int | None = None,
    estimated: int | None = None,
    upper: int | None = 10_000,
    *,
    name: str = "feed",
    lower: int | None = None,
    binding: str = "feed",
    price: float | None = None,
    suspect: bool = False,
) -> SiteOutlook:
    return SiteOutlook(
        site_name="east",
        connection_name=name,
        measured_watts=measured,
        estimated_watts=estimated,
        upper_watts=upper,
        lower_watts=lower,
        binding=binding,
        shadow_price_per_kilowatt_hour=price,
        suspect=suspect,
    )


def test_power_is_measured_only_where_every_connection_is_metered():
    both = power_status(site("east"), (outlook(3_000), outlook(4_000, name="b")))
    assert (both.facility_watts, both.quality) == (7_000, "Measured")
    mixed = power_status(site("east"), (outlook(3_000), outlook(None, 500, name="b")))
    assert (mixed.facility_watts, mixed.quality) == (3_500, "Estimated")


def test_unknown_power_is_not_zero_and_leaves_no_head_room():
    found = power_status(site("east"), (outlook(),))
    assert found.facility_watts is None and found.quality is None
    assert found.headroom_watts is None and found.limit_watts == 10_000
    half = power_status(site("east"), (outlook(3_000), outlook(name="b")))
    assert half.facility_watts is None


def test_the_tightest_head_room_names_the_limit():
    rows = (
        outlook(3_000, upper=10_000),
        outlook(4_000, upper=5_000, name="b", binding="event dr-1"),
        outlook(None, None, upper=1, name="c"),
    )
    found = power_status(site("east"), rows)
    assert (found.limit_watts, found.headroom_watts) == (5_000, 1_000)
    assert found.binding_limit is BindingLimit.EVENT


def test_power_above_its_limit_has_negative_head_room():
    assert power_status(site("east"), (outlook(12_000),)).headroom_watts == -2_000


@pytest.mark.parametrize(
    ("rows", "truth", "reason"),
    [
        ((outlook(3_000),), Truth.TRUE, "WithinLimit"),
        ((outlook(12_000),), Truth.FALSE, Reason.SITE_LIMIT),
        ((outlook(None, 12_000),), Truth.FALSE, Reason.SITE_LIMIT),
        ((outlook(1_000, lower=2_000),), Truth.FALSE, Reason.EVENT_FLOOR),
        ((outlook(1_000, upper=None, lower=2_000),), Truth.FALSE, Reason.EVENT_FLOOR),
        ((outlook(),), Truth.UNKNOWN, Reason.POWER_UNKNOWN),
        ((outlook(upper=None),), Truth.TRUE, "WithinLimit"),
        ((outlook(), outlook(12_000, name="b")), Truth.FALSE, Reason.SITE_LIMIT),
        ((outlook(3_000, suspect=True),), Truth.UNKNOWN, Reason.POWER_MODEL_SUSPECT),
    ],
)
def test_within_limit_says_what_it_knows(rows, truth, reason):
    found = within_limit(site("east"), rows)
    assert (found.status, found.reason) == (truth, str(reason))


def test_an_emergency_is_no_normal_state_whatever_the_power():
    found = within_limit(site("east", emergency="coolant leak"), (outlook(3_000),))
    assert (found.status, found.reason) == (Truth.FALSE, str(Reason.EMERGENCY))


def leak(value: float | None):
    return (signal("leak", Quantity.LEAK_STATE, value, unit="Count"),)


@pytest.mark.parametrize(
    ("rows", "limit", "truth"),
    [
        (leak(0.0), None, Truth.TRUE),
        (leak(1.0), None, Truth.FALSE),
        (leak(None), None, Truth.UNKNOWN),
        ((), reading(5_000.0), Truth.TRUE),
        ((), reading(None), Truth.UNKNOWN),
        (leak(1.0), reading(None), Truth.FALSE),
    ],
)
def test_cooling_is_healthy_only_where_its_sensors_say_so(rows, limit, truth):
    found = cooling_healthy(site("east", signals=rows, cooling_limit=limit))
    assert found is not None and found.status is truth


def test_a_site_that_says_nothing_of_its_cooling_has_no_such_condition():
    assert cooling_healthy(site("east")) is None


def test_the_summary_reads_well_and_says_unknown():
    where = site(
        "east",
        members=(member("a"), member("b", MemberPhase.LOST)),
        events=(event("dr-1"), event("later", active=False)),
        supplies=(supply(1_500.0),),
        signals=(signal("co2", Quantity.CARBON_INTENSITY_AVERAGE, 412.4),),
    )
    rows = (outlook(3_000, price=0.51234),)
    found = site_summary(where, power_status(where, rows), rows, "CNY")
    assert found.power == "3.0 kW" and found.limit == "10 kW Connection"
    assert found.green == "1.5 kW 50 %" and found.events == "dr-1" and found.clusters == "1/2"
    assert found.price == "0.5123 CNY/kWh" and found.carbon == "412 g/kWh"
    bare = site_summary(site("east"), power_status(site("east"), (outlook(),)), (outlook(),), "CNY")
    assert (bare.power, bare.price, bare.carbon) == ("unknown", "unknown", "unknown")


def test_the_highest_price_over_the_connections_is_shown():
    assert shadow_prices((outlook(price=0.2), outlook(price=0.7))).facility_kilowatt_hour == "0.7"
    assert shadow_prices((outlook(),)) is None


@pytest.mark.parametrize(
    ("watts", "text"),
    [
        (None, "unknown"),
        (0, "0 W"),
        (912, "912 W"),
        (1_240, "1.2 kW"),
        (640_000, "640 kW"),
        (3_120_000, "3.12 MW"),
        (-2_500, "-2.5 kW"),
    ],
)
def test_watts_are_written_for_people(watts, text):
    assert watts_text(watts) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), (0.0, "0"), (-0.00001, "0"), (1.5, "1.5"), (2.0, "2")]
)
def test_decimals_are_written_plainly(value, text):
    assert fixed_text(value) == text


def test_no_word_of_a_sites_status_names_a_tenant():
    where = site("east", signals=leak(0.0), events=(event("dr-1"),))
    rows = (outlook(12_000, binding="event dr-1"),)
    words = f"{within_limit(where, rows)} {power_status(where, rows)} {cooling_healthy(where)}"
    assert "team" not in words and "chat" not in words and connection().name in "feed"


def test_a_meter_that_trembles_about_the_threshold_does_not_flip_the_condition():
    doubts = Doubts()
    trembling = [doubts.told("east", (outlook(3_000, suspect=i % 2 == 0),)) for i in range(40)]
    assert not any(trembling)


def test_a_doubt_that_lasts_is_told_and_one_that_is_gone_for_long_is_not():
    doubts = Doubts()
    for _ in range(Doubts.STEADY_TICKS):
        told = doubts.told("east", (outlook(3_000, suspect=True),))
    assert told
    assert doubts.told("east", (outlook(3_000),))
    for _ in range(Doubts.STEADY_TICKS):
        told = doubts.told("east", (outlook(3_000),))
    assert not told


@pytest.mark.parametrize("value", [1e300, 4e12, -4e12, 1e-12])
def test_any_finite_reading_can_be_shown(value):
    where = site(
        "east",
        supplies=(supply(value),),
        signals=(
            signal("it", Quantity.IT_POWER, value),
            signal("co2", Quantity.CARBON_INTENSITY_AVERAGE, value),
        ),
        events=tuple(event(f"{'e' * 60}-{number}") for number in range(16)),
    )
    rows = (outlook(round(value), price=value),)
    power = power_status(where, rows)
    found = site_summary(where, power, rows, "CNY")
    assert len(found.events) <= 256 and len(found.carbon) <= 256
    assert 0 <= power.it_watts <= 10**12 and 0 <= power.facility_watts <= 10**12
    shadow_prices(rows)
