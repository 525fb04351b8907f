"""Where the replicas of a scenario's start stand, and that all load is carried where devices allow it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from wattshift.sim.load import load
from wattshift.sim.load_start import Starts
from wattshift.sim.schema_sites import SiteSpec
from wattshift.sim.schema_workloads import PlacementSpec

from tests.sim import scenario_files as files
from tests.sim import small

OSLO = "  price: {unit: EURPerMegawattHour, constant: 40}"
FLAT = files.changed(
    "[1, 2, 3, 2]", "[1, 1, 1, 1]", files.changed("maxReplicas: 4", "maxReplicas: 8")
)
DEMAND = files.GOOD[files.GOOD.index("  demand:") : files.GOOD.index("windows:")]


def devices(count):
    """Four a replica."""
    return files.changed(
        OSLO, f"{OSLO}\n  devices: [{{resourceName: nvidia.com/gpu, count: {count}}}]", FLAT
    )


def started(folder, text):
    found = load(files.write(folder, text), environment={}).workloads
    return [{row.site_name: row.initial_replicas for row in job.placements} for job in found]


def test_what_a_site_has_no_devices_for_starts_at_the_next(tmp_path):
    (free,) = started(tmp_path, FLAT)
    (few,) = started(tmp_path, devices(5))  # four devices a replica

    assert free["oslo"] > 1
    assert few == {"oslo": 1, "berlin": free["berlin"] + free["oslo"] - 1}


def test_devices_that_a_later_workload_asks_for_are_kept_for_it(tmp_path):
    later = (
        "- name: later\n  placements: [{siteName: oslo, profileName: reference-64, "
        "minReplicas: 1, maxReplicas: 4}]\n"
    )
    chat, found = started(
        tmp_path, files.changed("windows:", f"{later}{DEMAND}windows:", devices(7))
    )

    assert (chat["oslo"], found["oslo"]) == (0, 1)


def test_load_that_a_stated_start_does_not_carry_starts_elsewhere(tmp_path):
    (free,) = started(tmp_path, FLAT)
    text = files.changed(
        '[{siteName: "*", profileName: reference-64, maxReplicas: 8}]',
        "[{siteName: oslo, profileName: reference-64, maxReplicas: 8, initialReplicas: 0}, "
        "{siteName: berlin, profileName: reference-64, maxReplicas: 8}]",
        FLAT,
    )

    assert started(tmp_path, text) == [{"oslo": 0, "berlin": free["berlin"] + free["oslo"]}]


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=5
    ),
    st.lists(st.floats(0, 30), min_size=1, max_size=3),
    st.randoms(),
)
def test_all_load_is_carried_as_far_as_there_are_devices(rows, replicas, chance):
    sites = [
        SiteSpec.model_validate(
            {
                "name": f"s{n}",
                "timeZone": "UTC",
                "devices": [{"resourceName": "nvidia.com/gpu", "count": count}],
            }
        )
        for n, (count, _, _) in enumerate(rows)
    ]
    placements = [
        PlacementSpec.model_validate(
            {
                "siteName": f"s{n}",
                "profileName": "llama-70b",
                "minReplicas": low,
                "maxReplicas": low + more,
            }
        )
        for n, (count, least, more) in enumerate(rows)
        for low in [min(least, count // 4)]
    ]
    starts = Starts(
        text=None, sites=sites, tables={"llama-70b": small.LLAMA}, carried={"llama-70b": 2.0}
    )
    starts.reserve(("workloads", 0), placements)
    trips = np.array([[chance.random() for _ in rows] for _ in replicas])
    counts = starts.counts(placements, trips, {n: 2.0 * load for n, load in enumerate(replicas)})

    room = [
        min(row.max_replicas, site.devices[0].count // 4) for row, site in zip(placements, sites)
    ]
    assert all(row.min_replicas <= n <= most for row, n, most in zip(placements, counts, room))
    assert sum(counts) >= min(sum(replicas), sum(room)) - 1e-6
