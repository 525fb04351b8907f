"""Every bad object is refused, by pydantic and validate as by a real API server."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.api.bad_objects import BAD_OBJECTS, Bad
from tests.api.documents import full
from wattshift.api.reasons import SpecReason
from wattshift.api.validate import read

IDS = [bad.id for bad in BAD_OBJECTS]


def test_the_table_has_sixty_objects_and_eighteen_of_each_kind():
    counts = Counter(bad.kind for bad in BAD_OBJECTS)
    assert len(BAD_OBJECTS) >= 60
    assert min(counts.values()) >= 18
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("kind", full())
def test_the_objects_they_are_made_from_have_no_fault(kind):
    resource, findings = read(full()[kind])
    assert resource is not None
    assert findings == []


OURS = [bad for bad in BAD_OBJECTS if bad.fault != "name longer than a label"]
"""Names belong to the API server: the test on a real one below has them all."""


@pytest.mark.parametrize("bad", OURS, ids=[bad.id for bad in OURS])
def test_bad_object_is_refused_with_a_reason_and_a_message(bad: Bad):
    resource, findings = read(bad.document())
    assert findings, "nothing was found"
    if bad.at_apply:
        assert resource is None, "the API server refuses it, pydantic must too"
        assert {finding.reason for finding in findings} == {SpecReason.SCHEMA_INVALID}
    else:
        assert resource is not None, [str(finding) for finding in findings]
        assert len(findings) == 1, "exactly one fault"
        assert findings[0].reason == bad.reason
        assert bad.says in findings[0].message
        assert findings[0].path.startswith("spec.")
        assert len(findings[0].message) <= 1024


@pytest.mark.lab
@pytest.mark.parametrize("bad", BAD_OBJECTS, ids=IDS)
def test_real_server_agrees(bad: Bad, try_create):
    refusal = try_create(bad.document())
    if bad.at_apply:
        assert bad.at_apply in refusal
    else:
        assert refusal == ""


def test_every_reason_of_one_object_is_reached_or_belongs_to_another_part():
    reached = {bad.reason for bad in BAD_OBJECTS}
    elsewhere = {
        SpecReason.VALID,
        SpecReason.SCHEMA_INVALID,
        SpecReason.PROFILE_HAS_NO_POWER,  # power profiles are read by the operator
        SpecReason.PROFILE_NOT_FOUND,
    }
    assert set(SpecReason) - reached == elsewhere
