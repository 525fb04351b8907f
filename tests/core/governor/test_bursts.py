"""Bursts under an event: answered by caps, made up for within the minute, and no replica stops for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.build import NOW, batch, reading
from tests.core.governor.test_governor_caps import chat, held, watts, world
from wattshift.core.governor.governor import govern


def nightly(replicas, **row):
    return batch(replicas=replicas, placements=(replace(held(replicas), **row),))


def with_feed(here, **changes):
    """The world with another connection."""
    (site,) = here.sites
    feed = replace(site.connections[0], **changes)
    return replace(here, sites=(replace(site, connections=(feed,)),))


def capped(here):
    return {row.workload_key: row.permille for row in govern(here, None, NOW).caps}


def test_a_burst_above_the_bound_is_made_up_for_at_once():
    """Events are kept by the minute: prompts that were computed again are compensated inside it."""
    jobs = (nightly(6),)
    upper = round(0.9 * watts(world(jobs, None)).upper_watts)
    here = world(jobs, upper, metered=reading(upper + 300.0, age=1))
    owing = with_feed(here, over_watt_seconds=1000.0)

    def saved(now):
        (cap,) = govern(now, None, NOW).caps
        return (1000 - cap.permille) * watts(here).upper_watts / 1000

    assert saved(owing) - saved(here) == pytest.approx(100, rel=0.1)
    # a limit of the connection holds at every moment: there is no minute to make up in
    (site,) = here.sites
    feed = replace(site.connections[0], import_limit_watts=upper)
    limit = replace(here, sites=(replace(site, connections=(feed,), events=()),))
    assert capped(with_feed(limit, over_watt_seconds=1000.0)) == capped(limit) != {}


def test_a_burst_stops_no_replica_and_what_lasts_does():
    """Load that came computes its prompts again: over before any replica would be gone."""
    jobs = (nightly(6),)
    power = watts(world(jobs, None)).upper_watts
    upper = round(0.7 * power)
    burst = world(jobs, upper, metered=reading(1.6 * power, age=1))
    known = with_feed(burst, lasting_watts=power)
    lasts = with_feed(burst, lasting_watts=1.6 * power)

    assert govern(known, None, NOW).decisions == ()
    assert capped(known) == {"team/nightly": 500}
    assert govern(lasts, None, NOW).decisions
    assert govern(burst, None, NOW).decisions


def test_a_new_bound_is_no_burst():
    jobs = (nightly(6),)
    power = watts(world(jobs, None)).upper_watts
    here = world(jobs, round(0.4 * power), metered=reading(power, age=1))

    assert govern(with_feed(here, lasting_watts=power), None, NOW).decisions


def test_while_replicas_start_caps_leave_room_for_what_they_do_at_first():
    def cap(serving):
        late = chat(replicas=3, row={"in_service_replicas": serving})
        jobs = (late, nightly(6))
        power = watts(world(jobs, None))
        here = world(
            jobs, round(0.9 * power.upper_watts), metered=reading(power.upper_watts, age=1)
        )
        return capped(here)["team/nightly"]

    assert cap(serving=2) < cap(serving=3)
