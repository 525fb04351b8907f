"""Whatever is written in a spec, parsing ends in a contract or in a ContractError with a path."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wattshift.core.contract.bill import bill
from wattshift.core.contract.errors import ContractError, ContractReason
from wattshift.core.contract.marginal import SiteState, quote
from wattshift.core.contract.meter import MeterInterval, advance, opening_period
from wattshift.core.contract.model import Span
from wattshift.core.contract.obligation import states
from wattshift.core.contract.parse import from_spec

from tests.core.contract import tariffs

OPENING = {
    "startTime": "2026-07-01T00:00:00Z",
    "untilTime": "2026-07-02T00:00:00Z",
    "quantities": [{"quantity": "Import", "wattHours": 5}],
    "peaks": [],
    "cost": "5",
}
SPECS = {
    name: tariffs.spec(getattr(tariffs, name), openingPeriod=OPENING)
    for name in ("T1", "T2", "T4", "T6", "T9", "T11", "T12")
}
SPECS["T9"]["openingPeriod"] = {
    **OPENING,
    "peaks": [{"componentName": "demand", "month": "2026-06", "watts": 7}],
}


def paths(value, prefix=()):
    yield prefix
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*prefix, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*prefix, index))


PLACES = [(name, path) for name, spec in SPECS.items() for path in paths(spec) if path]
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**12),
    st.floats(),
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "NaN",
            "1e9",
            "Import",
            "Year",
            "Day",
            "24:00-24:00",
            "2026-13",
            "tou",
            "a|b",
        ]
    ),
    st.text(max_size=5),
    st.lists(st.one_of(st.integers(0, 99), st.text(max_size=3), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=600, deadline=None)
@given(place=st.sampled_from(PLACES), value=junk)
def test_any_value_anywhere_gives_a_contract_that_works_or_a_contract_error(place, value):
    name, path = place
    spec = copy.deepcopy(SPECS[name])
    target = spec
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    try:
        agreement = from_spec(name, spec)
    except ContractError as error:
        assert error.reason in ContractReason
        assert error.message
        return
    start = 1_783_000_000 // 3600 * 3600
    period = opening_period(agreement, start)
    interval = MeterInterval(
        start_time=start, seconds=900, watt_hours={"Import": 1000, "ItLoad": 1}
    )
    period = advance(agreement, period, interval, {"spot": 1, "dayAhead": 1})
    bill(agreement, period)
    bill(agreement, period, Span.YEAR)
    states(agreement, period, start)
    quote(agreement, period, start, {}, SiteState(import_watts=1, load_watts=1))


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_a_spec_that_is_no_object_is_refused(value):
    with pytest.raises(ContractError):
        from_spec("x", value)
