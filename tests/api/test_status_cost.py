"""Every status write runs all CEL rules on spec again: it must stay cheap on the largest objects."""

from __future__ import annotations

import copy

import pytest

from tests.api.documents import full, maximal, path_of, smallest

pytestmark = pytest.mark.lab
SAMPLES = 41
LIMIT = 10.0


@pytest.mark.parametrize("kind", ["PowerSite", "EnergyContract", "FlexibleWorkload"])
def test_status_write_on_a_maximal_object_costs_at_most_ten_times_a_minimal_one(
    kind, server, connection
):
    small = copy.deepcopy(next(item for item in smallest() if item["kind"] == kind))
    large = maximal()[kind]
    small["metadata"]["name"], large["metadata"]["name"] = "minimal", "maximal"
    for document in (small, large):
        server.delete(path_of(document))
        server.create(path_of(document).rpartition("/")[0], document)
    samples: dict[str, list[float]] = {"minimal": [], "maximal": []}
    for number in range(SAMPLES):
        for document in (small, large):
            name = document["metadata"]["name"]
            samples[name].append(connection.apply_status(document, number))
    for document in (small, large):
        server.delete(path_of(document))
    # The fastest of many: on a machine with other work the median measures that work, which hits
    # the longer request more often.
    ratio = min(samples["maximal"]) / min(samples["minimal"])
    print(f"{kind}: {min(samples['maximal']) * 1000:.1f} ms, ratio {ratio:.1f}")
    assert ratio <= LIMIT, samples


@pytest.mark.parametrize("kind", ["PowerSite", "EnergyContract", "FlexibleWorkload"])
def test_maximal_objects_are_accepted_under_strict_validation(kind, try_create):
    assert try_create(maximal()[kind]) == ""
    assert try_create(full()[kind]) == ""
