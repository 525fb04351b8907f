"""Store: projections by key, what counts as a change, bad objects beside good ones."""

from __future__ import annotations

import copy

from wattshift.api.validate import read
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.control.hub.store import Acceptance, Change, Store


def body(name: str = "chat", version: int = 1, generation: int = 1, **metadata) -> dict:
    return {
        "apiVersion": "wattshift.io/v1alpha1",
        "kind": "FlexibleWorkload",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": metadata.pop("uid", f"uid-{name}"),
            "generation": generation,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-22T10:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
            "labels": {"a": "b"},
        }
        | metadata,
        "spec": {
            "posture": "Interactive",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "engine": {"type": "VLLM", "port": 8000},
            "placements": [{"name": "here", "siteName": "s1", "clusterName": "hub"}],
        },
    }


def put(store: Store, document: dict) -> Change:
    return store.put(Kind.FLEXIBLE_WORKLOAD, document)[1]


def test_a_first_sight_then_only_what_matters_counts_as_a_change():
    store = Store(read=read)
    assert put(store, body()) is Change.SEEN
    assert put(store, body(version=2, labels={"x": "y"})) is Change.NONE
    assert put(store, body(version=3, annotations={"other.io/x": "1"})) is Change.NONE
    assert put(store, body(version=4, annotations={"wattshift.io/originals": "[]"})) is Change.SPEC
    assert put(store, body(version=5, generation=2)) is Change.SPEC
    assert (
        put(store, body(version=6, generation=2, finalizers=["wattshift.io/restore"]))
        is Change.SPEC
    )
    deleting = body(version=7, generation=3, deletionTimestamp="2026-11-22T11:00:00Z")
    assert put(store, deleting) is Change.SPEC
    stored = store.get(ObjectKey.workload("team/chat"))
    assert stored is not None
    assert stored.deleting


def test_an_older_version_is_ignored():
    store = Store(read=read)
    put(store, body(version=10, generation=2))
    assert put(store, body(version=9, generation=1)) is Change.NONE
    stored = store.get(ObjectKey.workload("team/chat"))
    assert stored is not None
    assert stored.generation == 2


def test_a_namesake_with_another_uid_is_a_new_object():
    store = Store(read=read)
    put(store, body(version=10))
    key = ObjectKey.workload("team/chat")
    store.set_acceptance(key, Acceptance(accepted=True, reason="Valid", message="", generation=1))
    assert store.accepted(key)
    assert put(store, body(version=11, uid="other")) is Change.SEEN
    assert not store.accepted(key)
    assert not store.remove(key, uid="uid-chat")
    assert store.remove(key, uid="other")
    assert store.get(key) is None


def test_an_object_that_breaks_the_schema_is_kept_with_its_fault_and_hides_no_other():
    store = Store(read=read)
    bad = body("bad")
    bad["spec"]["placements"] = []
    put(store, bad)
    put(store, body("good"))
    found = {row.key.name: row for row in store.workloads()}
    assert found["good"].spec is not None
    assert found["good"].findings == ()
    assert found["bad"].spec is None
    assert found["bad"].findings[0].reason == "SchemaInvalid"
    assert "placements" in found["bad"].findings[0].path


def test_acceptance_holds_for_the_generation_it_was_given_for():
    store = Store(read=read)
    put(store, body())
    key = ObjectKey.workload("team/chat")
    good = Acceptance(accepted=True, reason="Valid", message="", generation=1)
    assert store.acceptance(key) is None
    assert store.set_acceptance(key, good)
    assert not store.set_acceptance(key, good)
    assert store.accepted(key)
    put(store, body(version=2, generation=2))
    assert not store.accepted(key)


def test_the_revision_grows_with_what_references_may_notice_only():
    store = Store(read=read)
    put(store, body())
    before = store.revision
    put(store, body(version=2, labels={"x": "y"}))
    assert store.revision == before
    put(store, body(version=3, generation=2))
    assert store.revision > before


def test_putting_leaves_the_document_of_the_caller_alone():
    document = body()
    before = copy.deepcopy(document)
    put(Store(read=read), document)
    assert document == before


def test_objects_of_a_kind_are_listed_in_order_after_every_change():
    store = Store(read=read)
    assert store.workloads() == ()
    put(store, body(name="b"))
    put(store, body(name="a"))
    assert [row.key.name for row in store.workloads()] == ["a", "b"]
    put(store, body(name="a", version=7, generation=2))
    assert [row.generation for row in store.workloads()] == [2, 1]
    store.remove(ObjectKey.workload("team/a"))
    assert [row.key.name for row in store.workloads()] == ["b"]
    assert store.sites() == ()


def test_a_spec_that_cannot_be_read_any_more_is_refused_and_keeps_the_way_back():
    store = Store(read=read)
    put(store, body())
    broken = body(version=2, generation=2)
    broken["spec"]["override"] = {
        "mode": "Hold",
        "untilTime": "2026-11-22T10:00:00+25:00",
        "reason": "r",
        "requestedBy": "ops",
    }
    assert put(store, broken) is Change.SPEC
    stored = store.get(ObjectKey.workload("team/chat"))
    assert stored.findings and stored.spec is not None and stored.spec.override is None
    assert stored.document["placements"][0]["siteName"] == "s1"
    anew = body(version=3, uid="uid-another")
    anew["spec"] = broken["spec"]
    put(store, anew)
    assert store.get(ObjectKey.workload("team/chat")).spec is None


def test_an_object_that_ends_the_parser_is_refused_and_hides_no_other(caplog):
    def parser(document):
        if document["metadata"]["name"] == "poison":
            raise OverflowError("beyond")
        return read(document)

    store = Store(read=parser)
    for name in ("poison", "chat"):
        put(store, body(name))
    assert store.get(ObjectKey.workload("team/poison")).findings[0].reason == "SchemaInvalid"
    assert store.get(ObjectKey.workload("team/chat")).resource is not None
    assert "beyond" in caplog.text
