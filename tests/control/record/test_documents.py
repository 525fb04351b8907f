"""Records to status and back: whole, valid by the API's models, nothing that must survive is lost."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from wattshift.api.contract_status import EnergyContractStatus
from wattshift.api.site_status import ClusterStatus, PowerSiteStatus
from wattshift.api.workload_status import (
    FlexibleWorkloadStatus,
    FlexibleWorkloadSummary,
    Learnt,
    LearntCapacity,
    LearntGrowth,
)
from wattshift.control.hub.conditions import condition, merged
from wattshift.control.record.documents import compose, contains
from wattshift.control.record.documents_load import load
from wattshift.control.hub.keys import Kind
from wattshift.control.record.records import (
    AlternativeRecord,
    ContractRecord,
    DecisionRecord,
    EventRecord,
    MoveRecord,
    PlacementRecord,
    SiteRecord,
    TotalsRecord,
    WorkloadRecord,
)
from wattshift.core.contract.period import Period, Totals
from wattshift.core.model import Original

names = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
counts = st.integers(0, 10_000)
times = st.integers(1_600_000_000, 2_000_000_000).map(float)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=1500)
uids = st.uuids().map(str)
maybe = lambda strategy: st.none() | strategy  # noqa: E731

placements = st.builds(
    PlacementRecord,
    name=names,
    desired_replicas=maybe(counts),
    last_written_replicas=maybe(counts),
    last_write_time=maybe(times),
    target_uid=st.just("") | uids,
    cluster_uid=st.just("") | uids,
    observed_replicas=maybe(counts),
    ready_replicas=maybe(counts),
    in_service_replicas=maybe(counts),
    message=words,
)
originals = st.builds(
    Original,
    placement_name=names,
    cluster_uid=uids,
    target_uid=uids,
    replicas=counts,
    captured_time=times,
)
moves = st.builds(
    MoveRecord,
    id=names,
    source_name=names,
    destination_name=names,
    source_before=counts,
    destination_before=counts,
    source_replicas=counts,
    destination_replicas=counts,
    started_time=times,
    deadline_utc=times,
    reason=st.just("CheaperPower"),
    aborting=st.booleans(),
    restarted=st.booleans(),
)
decisions = st.builds(
    DecisionRecord,
    time=times,
    action=st.sampled_from(["ScaleTo", "Pause", "Hold", "Migrate"]),
    reason=st.just("ExpensivePower"),
    message=words,
    plan_id=st.just("0123456789ab"),
    mode=st.sampled_from(["", "Enforce"]),
    targets=st.lists(st.tuples(names, counts), max_size=3, unique_by=lambda row: row[0]).map(tuple),
    alternatives=st.lists(
        st.builds(
            AlternativeRecord,
            action=st.just("Hold"),
            reason=st.just("NothingToGain"),
            message=words,
        ),
        max_size=5,
    ).map(tuple),
)
workloads = st.builds(
    WorkloadRecord,
    placements=st.lists(placements, max_size=4, unique_by=lambda row: row.name).map(tuple),
    originals=st.lists(originals, max_size=4, unique_by=lambda row: row.placement_name).map(tuple),
    move=maybe(moves),
    moves_today=counts,
    moved_permille=counts,
    moves_day=st.just("2026-11-22"),
    last_change_time=maybe(times),
    paused_since_time=maybe(times),
    work_since_time=maybe(times),
    release_started_utc=maybe(times),
    decision=maybe(decisions),
    totals=maybe(st.builds(TotalsRecord, since_time=times, watt_hours=counts)),
)
events = st.builds(
    EventRecord,
    name=names,
    revision=counts,
    state=st.sampled_from(["Far", "Near", "Active", "Completed"]),
    connection_name=st.just("") | names,
    start_time=times,
    end_time=times,
    firmness=st.sampled_from(["Mandatory", "Committed", "Voluntary"]),
    upper_watts=maybe(counts),
    lower_watts=maybe(counts),
    frozen_reference_watts=maybe(counts),
    received_time=maybe(times),
    message=words.filter(lambda text: len(text) <= 256),
)


def whole(kind, record, **options):
    row, _ = merged({}, condition("Accepted", True, "Valid", "fine"), now_utc=1_790_000_000)
    return compose(kind, record, (row,), generation=4, **options)


@settings(max_examples=60)
@given(workloads)
def test_a_workloads_status_is_valid_and_keeps_what_must_survive(record):
    status = whole(Kind.FLEXIBLE_WORKLOAD, record)
    FlexibleWorkloadStatus.model_validate(status)
    loaded, conditions = load(Kind.FLEXIBLE_WORKLOAD, status)
    assert loaded.originals == record.originals
    assert set(conditions) == {"Accepted"}
    assert (loaded.moves_today, loaded.moves_day) == (record.moves_today, record.moves_day)
    assert loaded.moved_permille == record.moved_permille
    assert loaded.last_change_time == record.last_change_time
    assert loaded.paused_since_time == record.paused_since_time
    assert loaded.work_since_time == record.work_since_time
    assert loaded.release_started_utc == record.release_started_utc
    kept = [
        (r.name, r.desired_replicas, r.last_written_replicas, r.last_write_time)
        for r in record.placements
    ]
    assert kept == [
        (r.name, r.desired_replicas, r.last_written_replicas, r.last_write_time)
        for r in loaded.placements
    ]
    if record.move is None:
        assert loaded.move is None
    else:
        assert replace(loaded.move, step=record.move.step) == record.move


def test_what_was_learnt_survives_as_it_was():
    learnt = Learnt(
        capacities=[
            LearntCapacity(
                key="0123456789abcdef",
                placement_names=["east"],
                sequences=25,
                source="Learnt",
                samples=3120,
                message="holds at 20.3 sequences",
                bins='{"v":1}',
            )
        ],
        growth=LearntGrowth(permille=0, samples=0, horizon_seconds=300, bins='{"v":1}'),
    )
    status = whole(Kind.FLEXIBLE_WORKLOAD, WorkloadRecord(learnt=learnt))
    FlexibleWorkloadStatus.model_validate(status)
    assert load(Kind.FLEXIBLE_WORKLOAD, status)[0].learnt == learnt
    status["learnt"]["capacities"][0]["source"] = "Guess"
    assert load(Kind.FLEXIBLE_WORKLOAD, status)[0].learnt is None


@settings(max_examples=40)
@given(st.lists(events, max_size=4, unique_by=lambda row: row.name).map(tuple))
def test_a_sites_events_and_identities_survive(rows):
    cluster = ClusterStatus(name="gs-a", uid="u-1", state="Ready")
    record = SiteRecord(active_events=rows, clusters=(cluster,))
    status = whole(Kind.POWER_SITE, record)
    PowerSiteStatus.model_validate(status)
    loaded, _ = load(Kind.POWER_SITE, status)
    assert loaded.active_events == rows
    assert loaded.cluster_uid("gs-a") == "u-1"
    assert loaded.cluster_uid("gs-b") == ""


def test_a_contracts_period_survives_whole():
    period = Period(
        metered_until=1_790_003_600,
        month=Totals(
            start_time=1_790_000_000,
            watt_hours={"Import": 1200, "Green": 300},
            peak_watts={"max-demand": 4100},
            missing_seconds=60,
        ),
        year=Totals(start_time=1_767_196_800),
        peak_history=(("2026-08", "max-demand", 3900),),
    )
    record = ContractRecord(period=period, shown={"bandName": "Peak"})
    status = whole(Kind.ENERGY_CONTRACT, record)
    EnergyContractStatus.model_validate(status)
    loaded, _ = load(Kind.ENERGY_CONTRACT, status)
    assert loaded.period == period
    assert loaded.shown == {"bandName": "Peak"}


def test_equal_records_give_equal_documents_whatever_the_order_of_conditions():
    rows = [
        merged({}, condition(name, True, "R"), now_utc=1_790_000_000)[0]
        for name in ("Ready", "Accepted")
    ]
    record = WorkloadRecord(uid="u")
    one = compose(Kind.FLEXIBLE_WORKLOAD, record, rows, generation=1)
    other = compose(Kind.FLEXIBLE_WORKLOAD, record, rows[::-1], generation=1)
    assert one == other


def test_a_replay_says_so_in_every_status():
    status = whole(Kind.POWER_SITE, SiteRecord(), speed=288.0)
    assert status["gridClockSpeed"] == 288
    assert "gridClockSpeed" not in whole(Kind.POWER_SITE, SiteRecord())


def test_a_status_of_another_version_loads_what_can_be_read():
    status = {
        "originals": [
            {"placementName": "a"},
            {
                "placementName": "b",
                "clusterUID": "c",
                "targetUID": "t",
                "replicas": 3,
                "capturedTime": "2026-11-22T10:00:00Z",
            },
        ],
        "move": {"id": "broken"},
        "effective": {"mode": "NewMode"},
        "lastChangeTime": "yesterday",
    }
    loaded, conditions = load(Kind.FLEXIBLE_WORKLOAD, status)
    assert [row.placement_name for row in loaded.originals] == ["b"]
    assert (loaded.move, loaded.effective, loaded.last_change_time, conditions) == (
        None,
        None,
        None,
        {},
    )


def test_damage_is_what_is_missing_and_not_what_was_added():
    applied = {"a": 1, "rows": [{"name": "x", "n": 1}]}
    assert contains({"a": 1, "rows": [{"name": "x", "n": 1, "default": 0}], "b": 2}, applied)
    assert not contains({"a": 1, "rows": []}, applied)
    assert not contains({"a": 2, "rows": applied["rows"]}, applied)
    assert not contains({}, applied)


def test_a_status_is_valid_whatever_the_counts_and_however_long_the_names():
    """A status that the schema refuses is refused whole: then nothing could be recorded any more."""
    rows = tuple(
        PlacementRecord(name=f"p-{number:02}", observed_replicas=250_000, ready_replicas=250_000)
        for number in range(20)
    )
    held = Original(
        placement_name="p-19", cluster_uid="c", target_uid="t", replicas=3, captured_time=0.0
    )
    names_ = ", ".join(f"{'x' * 63}-{number} 4/4" for number in range(16))
    record = WorkloadRecord(
        placements=rows,
        originals=(held,),
        summary=FlexibleWorkloadSummary.model_construct(replicas=names_, mode="Enforce"),
    )
    status = whole(Kind.FLEXIBLE_WORKLOAD, record)
    FlexibleWorkloadStatus.model_validate(status)
    assert "p-19" in [row["name"] for row in status["placements"]]
    assert status["summary"]["replicas"].startswith("xxx")


def test_books_that_somebody_spoilt_are_told_and_hide_no_contract(caplog):
    for text in ("[]", "3", "{}", "no json", '{"month": {"watt_hours": []}}'):
        caplog.clear()
        loaded, _ = load(Kind.ENERGY_CONTRACT, {"period": {"books": text}, "bandName": "Peak"})
        assert (loaded.period, loaded.shown) == (None, {"bandName": "Peak"})
        assert "begin anew" in caplog.text
