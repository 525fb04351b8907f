"""The models: strict in what they take, exact in what they give back."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.api.documents import full, maximal, smallest, tariffs
from wattshift.api.common import UNITS, DecimalText, Override, Time, Watts, WindowText, ZoneName
from wattshift.api.conditions import CONDITIONS
from wattshift.api.findings import units_of
from wattshift.api.reasons import REASONS
from wattshift.api.signals import Quantity
from wattshift.api.site_status import SignalQuality
from wattshift.api.sources import Source
from wattshift.api.validate import KINDS, read
from wattshift.core import signal as core_signal
from wattshift.core import units as core_units

DOCUMENTS = [*full().values(), *smallest(), *tariffs().values(), *maximal().values()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda item: item["metadata"]["name"])
def test_a_document_survives_a_round_trip(document):
    resource = KINDS[document["kind"]].parse(document)
    written = resource.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert KINDS[document["kind"]].parse(written) == resource
    assert set(written["spec"]) == set(document["spec"])


def test_python_names_are_refused_in_documents_but_not_in_code():
    document = smallest()[1]
    document["spec"]["allowed_namespaces"] = document["spec"].pop("allowedNamespaces")
    resource, findings = read(document)
    assert resource is None
    assert {finding.path for finding in findings} == {
        "spec.allowedNamespaces",
        "spec.allowed_namespaces",
    }
    assert Source(daily_curve={"step_minutes": 720, "values": ["1", "2"]}).member == "dailyCurve"


def test_objects_are_immutable():
    site = KINDS["PowerSite"].parse(full()["PowerSite"])
    with pytest.raises(ValidationError):
        site.spec.mode = "Enforce"


def test_another_kind_is_an_error():
    with pytest.raises(ValueError, match="is none of PowerSite"):
        read({"kind": "Deployment"})


def test_the_key_of_an_object_has_its_namespace():
    assert KINDS["FlexibleWorkload"].parse(full()["FlexibleWorkload"]).key == "team-chat/qwen3-32b"
    assert KINDS["PowerSite"].parse(full()["PowerSite"]).key == "gansu-1"


def test_the_path_of_a_schema_fault_names_the_field():
    document = full()["FlexibleWorkload"]
    document["spec"]["placements"][1]["maxReplicas"] = -1
    assert read(document)[1][0].path == "spec.placements[1].maxReplicas"


@pytest.mark.parametrize("value", ["0", "-0.0075", "123456789012.123456789", "0.5981"])
def test_decimals_are_exact(value):
    assert str(Decimal(TypeAdapter(DecimalText).validate_python(value))) == value


@pytest.mark.parametrize(
    "value", ["", "1,5", "1e3", ".5", "5.", "+1", "01", "NaN", "--1", "1.0000000001", 0.5, 1]
)
def test_what_is_no_decimal_is_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(DecimalText).validate_python(value)


@given(st.decimals(min_value=-(10**11), max_value=10**11, places=9))
def test_every_plain_decimal_with_nine_places_is_taken(value):
    assert TypeAdapter(DecimalText).validate_python(f"{value:f}")


@pytest.mark.parametrize("value", [True, "5", 5.0, None, -1, 10**12 + 1])
def test_watts_are_integers_within_limits(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Watts).validate_python(value)


@pytest.mark.parametrize(
    "value", ["2026-11-22T18:00:00", "2026-11-22", 1700000000, "1700000000", "2026-11-22 18:00:00Z"]
)
def test_times_need_date_time_and_offset(value):
    with pytest.raises(ValidationError):
        TypeAdapter(Time).validate_python(value)


def test_times_keep_their_offset():
    time = TypeAdapter(Time).validate_python("2026-11-22T18:00:00+08:00")
    assert time.utcoffset().total_seconds() == 8 * 3600


@pytest.mark.parametrize("value", ["00:00-24:00", "18:00-23:00", "23:59-24:00"])
def test_windows(value):
    assert TypeAdapter(WindowText).validate_python(value) == value


@pytest.mark.parametrize(
    "value", ["24:00-24:00", "8:00-9:00", "18:00-24:01", "18:00", "18:60-19:00"]
)
def test_what_is_no_window_is_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(WindowText).validate_python(value)


@pytest.mark.parametrize("value", ["Local", "+08:00", "asia/shanghai", "CST", ""])
def test_zones_that_only_look_like_one_are_refused(value):
    with pytest.raises(ValidationError):
        TypeAdapter(ZoneName).validate_python(value)


@pytest.mark.parametrize(
    "value", ["UTC", "Asia/Shanghai", "America/Argentina/Buenos_Aires", "Etc/GMT+8"]
)
def test_zones(value):
    assert TypeAdapter(ZoneName).validate_python(value) == value


def test_an_override_needs_end_reason_and_name():
    with pytest.raises(ValidationError) as refusal:
        Override(mode="Hold")
    missing = {error["loc"][0] for error in refusal.value.errors()}
    assert missing == {"untilTime", "reason", "requestedBy"}


def test_units_are_those_that_the_core_converts():
    assert set(UNITS.split("|")) == set(core_units.UNIT_NAMES)


@pytest.mark.parametrize("quantity", list(Quantity))
def test_every_unit_of_a_quantity_converts_in_the_core(quantity):
    for unit in units_of(quantity) or ["CNYPerMegawattHour", "EURCentPerKilowattHour"]:
        core_units.to_canonical(core_units.Quantity(quantity), 1.0, unit)


def test_quantities_and_qualities_are_those_of_the_core():
    assert {item.value for item in Quantity} == {item.value for item in core_units.Quantity}
    assert {item.value for item in SignalQuality} == {item.value for item in core_signal.Quality}


def test_reasons_and_conditions_are_single_words_with_a_meaning():
    for enum in [*REASONS, *CONDITIONS.values()]:
        for item in enum:
            assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", item.value)
    for first, second in [(a, b) for a in REASONS for b in REASONS if a is not b]:
        assert {item.value for item in first}.isdisjoint({item.value for item in second})


def test_every_rule_has_a_twin_or_compares_with_the_old_object():
    def models(model):
        for child in model.__subclasses__():
            yield child
            yield from models(child)

    from wattshift.api.base import ApiModel

    for model in models(ApiModel):
        for rule in model.rules:
            assert rule.check is not None or "oldSelf" in rule.cel, model
