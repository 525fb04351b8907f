"""`wattshift plan` and `wattshift explain` on hand-made worlds: bound, prices of limits, what was rejected."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.core.build import NOW, engine, placement, quote, connection, site, snapshot, workload

from wattshift.cli.explain import render
from wattshift.cli.main import main
from wattshift.control.clock import ManualClock
from wattshift.control.latest import Latest
from wattshift.control.record.recorder import dump_snapshot
from wattshift.control.serve.api_views import explain_view
from wattshift.core.explain import capacity_lines, notes_for
from wattshift.core.fleet import goal
from wattshift.core.governor.governor import govern
from wattshift.core.model import AcceleratorState
from wattshift.core.planner.planner import plan
from wattshift.core.survey.survey import survey

BUSY, FULL = 600.0, 14.0
"""Watts and sequences of a full replica; 66 sequences x 1.2 head room are to be carried."""
LOADED = 400.0 + 200.0 * (FULL / 1.2) / 20
"""Watts of a replica that carries its load without the head room: the line from floor to busy."""

RUNTIME = SimpleNamespace(
    clock=ManualClock(utc=NOW), config=SimpleNamespace(reporting_currency="CNY")
)


def gpus(count):
    return (AcceleratorState(resource_name="nvidia.com/gpu", profile_name="h100", count=count),)


def chat():
    rows = (placement("east", 6, engine=engine(66.0, pods=6)), placement("west", 0))
    return workload(placements=rows)


def world(**west):
    return snapshot((chat(),), (site("east", price="0.80"), site("west", price="0.30", **west)))


def offline(here, tmp_path):
    path = tmp_path / "snapshot.json"
    path.write_bytes(dump_snapshot(here))
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["plan", "--snapshot", str(path), "--holds"]) == 0
    return out.getvalue()


def live(here, *, sites=True):
    """What the operator's memory tells, as `explain --server` prints it."""
    latest = Latest(snapshot=here, plan_snapshot=here, plan=plan(here, NOW))
    view = explain_view(RUNTIME, latest, "team/chat", sites=sites)
    bare = {
        "metadata": {"name": "chat", "namespace": "team"},
        "spec": {"placements": [{"name": n, "siteName": n} for n in ("east", "west")]},
    }
    return render(bare, [], [], view)


def told(text, before):
    """The number behind some words."""
    return float(text.split(before, 1)[1].split()[0])


@pytest.mark.parametrize("limit", [500, 700, 1300, 1800, 3000])
def test_one_more_watt_at_a_full_feed_is_worth_what_it_moves(limit, tmp_path):
    text = offline(world(limit=limit), tmp_path)
    # one more kWh under the limit lets LOADED/BUSY kWh be drawn at 0.30 instead of 0.80; a little is
    # taken off for starting there
    most = 0.5 * LOADED / BUSY
    assert 0.95 * most < told(text, "one more kWh under its limit is worth ") <= most


def test_one_more_device_at_a_full_site_is_worth_what_it_moves(tmp_path):
    text = offline(world(accelerators=gpus(2)), tmp_path)
    most = 0.5 * LOADED / 1000
    assert 0.95 * most < told(text, "one more nvidia.com/gpu is worth ") <= most


def test_where_nothing_is_full_no_limit_is_worth_anything(tmp_path):
    text = offline(world(), tmp_path)
    assert "is worth" not in text
    assert "bound: no placement costs less than" in text


def test_the_bound_is_what_the_best_placement_costs(tmp_path):
    text = offline(world(), tmp_path)
    # all load in the west, watts in proportion to what a replica with its head room draws
    least = 66 * 1.2 / FULL * LOADED / 1000 * 0.30
    assert told(text, "no placement costs less than ") == pytest.approx(least, rel=0.1)
    assert told(text, "no placement costs less than ") >= least


def test_what_used_up_moves_hold_back_is_told_apart(tmp_path):
    here = world()
    free = offline(here, tmp_path)
    job = replace(here.workloads[0], moves_today=here.workloads[0].max_moves_per_day)
    text = offline(replace(here, workloads=(job,)), tmp_path)
    apart, held = (told(text.split("bound: ")[1], row) for row in ("at most ", "hand-overs hold "))
    assert 0.8 * apart < held <= apart
    # nothing waits where the hand-over begins at once
    assert "hand-overs hold " not in free


def test_the_bound_of_a_workload_that_dwells_is_of_staying(tmp_path):
    here = world()
    job = replace(here.workloads[0], last_change_time=NOW - 60, min_dwell_seconds=3600)
    text = offline(replace(here, workloads=(job,)), tmp_path).split("bound: ")[1]
    assert told(text, "at most ") == 0
    assert told(text, "less than ") > told(offline(here, tmp_path), "less than ")


def test_load_without_room_is_said_and_makes_no_limit_worth_beyond_all_sense(tmp_path):
    none = snapshot(
        (chat(),), (site("east", price="0.80", limit=900), site("west", price="0.30", limit=900))
    )
    text = offline(none, tmp_path)
    words = "sequences with head room fit nowhere within the limits"
    assert text.count(words) == 1
    assert words in live(none)
    for row in text.splitlines():
        if "is worth" in row:
            assert told(row, "one more kWh under its limit is worth ") <= LOADED / BUSY


def test_a_plan_without_the_optimiser_says_so(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ArithmeticError("the flow has no solution")

    monkeypatch.setattr(goal, "route", fails)
    words = "decided without the optimiser: ArithmeticError: the flow has no solution"
    assert offline(world(), tmp_path).count(words) == 1
    assert words in live(world())


def test_explain_tells_notes_about_its_own_workload_only():
    made = replace(
        plan(world(), NOW),
        notes=(
            "team/chat: decided without the optimiser: x",
            "team/other: y",
            "east: 9 W over feed",
        ),
    )
    assert notes_for(made, "team/chat") == ("team/chat: decided without the optimiser: x",)


def test_explain_tells_bound_prices_and_what_was_rejected_with_its_score():
    text = live(world(limit=700))
    assert "bound: no placement costs less than" in text
    assert "one more kWh under its limit is worth" in text
    assert "CapacityShort: move 6 of 6 replicas from east to 6 at west: west has room for 1" in text
    rejected = [row for row in text.splitlines() if "rejected: [" in row]
    assert rejected
    assert all("CNY/h: " in row for row in rejected)


def test_explain_without_the_right_to_see_sites_tells_none():
    text = live(world(limit=700), sites=False)
    assert "bound: no placement costs less than" in text
    assert "is worth" not in text


def test_the_view_of_a_workload_tells_of_no_other():
    other = replace(chat(), name="secret", uid="uid-secret")
    here = replace(world(), workloads=(chat(), other))
    latest = Latest(
        snapshot=here,
        plan_snapshot=here,
        plan=plan(here, NOW),
        governance=govern(here, None, NOW),
    )
    view = explain_view(RUNTIME, latest, "team/chat", sites=True)
    assert view["state"]["name"] == "chat"
    assert view["decision"]["workload_key"] == "team/chat"
    assert set(view["signals"]) == {"east", "west"}
    assert "secret" not in json.dumps(view)
    assert explain_view(RUNTIME, latest, "team/nobody", sites=True) is None


def test_rejected_scores_are_those_that_the_decision_compared():
    made = plan(world(), NOW).decisions[0]
    assert made.alternatives
    for row in made.alternatives:
        assert row.score == pytest.approx(sum(part for _, part in row.parts))
        assert row.score >= made.score


def test_an_unknown_price_is_said_and_has_no_worth(tmp_path):
    here = snapshot(
        (chat(),), (site("east", price="0.80"), site("west", feed=connection(price=quote(None))))
    )
    text = offline(here, tmp_path)
    assert "price unknown" in text
    assert "is worth" not in text


def test_explain_tells_the_capacity_that_the_decision_used():
    def row(name, **more):
        return placement(
            name, 2, engine=engine(20.0, pods=2, kv_cache_usage=more.pop("cache", 0.1)), **more
        )

    job = workload(
        placements=(
            row("a"),
            row("b", learned_concurrency=17.5),
            row("c", learned_concurrency=30.0, cache=0.8),
            placement("d", 0, profile_name="nobody"),
        )
    )
    here = snapshot((job,), tuple(site(name) for name in "abcd"))
    lines = capacity_lines(here, job)
    used = survey(here, NOW).jobs[0].spots
    for line, spot in zip(lines[:3], used, strict=False):
        assert told(line, f"capacity of {spot.state.name}: ") == pytest.approx(
            spot.capacity, abs=0.05
        )
    assert "14.0 sequences a replica, 0.7 x power profile" in lines[0]
    assert "17.5 sequences a replica, learnt" in lines[1]
    assert "12.0 sequences a replica, its KV cache bears no more; 30.0 learnt" in lines[2]
    assert "no power profile" in lines[3]
    assert "capacity of east: 14.0 sequences a replica" in live(world())
