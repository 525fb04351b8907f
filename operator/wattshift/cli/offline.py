"""The world of an offline plan: a recorded snapshot, with manifests put in place of what it holds.

What manifests cannot say (readings, engines, members) stays as recorded; what nobody knows stays
unknown, and a note says so. Nothing is contacted. Neighbour: `plan.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from wattshift.api.validate import KINDS, read
from wattshift.cli.offline_prices import priced_at, repriced
from wattshift.control.hub import convert
from wattshift.control.hub.keys import Kind
from wattshift.control.hub.store import Store, Stored
from wattshift.control.inputs import power_events
from wattshift.control.record.records import SiteRecord
from wattshift.core.model import (
    ConnectionState,
    PlacementState,
    SiteState,
    Snapshot,
    SupplyState,
    WorkloadState,
)
from wattshift.core.signal import Reading
from wattshift.errors import NeedsHuman

_SCALABLE = frozenset({"Deployment", "StatefulSet", "LeaderWorkerSet"})


@dataclass(slots=True)
class World:
    """A snapshot to plan on, and what people should know about it."""

    snapshot: Snapshot
    notes: list[str] = field(default_factory=list)


def load_manifests(paths: Iterable[str]) -> list[dict[str, Any]]:
    """Documents of files and folders (`*.yaml`, `*.yml`, `*.json`), lists opened.

    Raises:
        NeedsHuman: reason ManifestInvalid, with the file.
    """
    files: list[Path] = []
    for text in paths:
        path = Path(text)
        inside = [p for p in sorted(path.rglob("*")) if p.suffix in (".yaml", ".yml", ".json")]
        files += inside if path.is_dir() else [path]
    found: list[dict[str, Any]] = []
    for path in files:
        try:
            documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except OSError as error:
            text = error.strerror or type(error).__name__
            raise NeedsHuman(f"{path}: {text}", reason="ManifestInvalid") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise NeedsHuman(f"{path} is no YAML: {error}", reason="ManifestInvalid") from None
        for row in documents:
            listed = isinstance(row, dict) and row.get("kind") == "List"
            items = row.get("items") if listed else [row]
            rows = items if isinstance(items, list) else []
            found += [item for item in rows if isinstance(item, dict) and _used(item, path)]
    return found


def _used(row: dict[str, Any], path: Path) -> bool:
    """Whether a manifest says something to a plan, and has the parts that every such object has."""
    kind, metadata, spec = row.get("kind"), row.get("metadata"), row.get("spec")
    if not isinstance(kind, str) or (kind not in KINDS and kind not in _SCALABLE):
        return False
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not isinstance(spec, dict):
        raise NeedsHuman(f"{path}: a {kind} has no name or no spec", reason="ManifestInvalid")
    replicas = spec.get("replicas")
    if kind in _SCALABLE and not (replicas is None or isinstance(replicas, int)):
        text = f"{path}: {kind} {name}: replicas {replicas!r} is no count"
        raise NeedsHuman(text, reason="ManifestInvalid")
    return True


def build(snapshot: Snapshot, documents: list[dict[str, Any]], at: float | None) -> World:
    """The snapshot with the manifests in it, at another time if one is given.

    Raises:
        NeedsHuman: reason ManifestInvalid: an object of ours does not fit, with each fault.
    """
    world = World(snapshot=snapshot)
    if at is not None:
        world.snapshot = moved_to(world.snapshot, at)
    store = _store(documents)
    for stored in store.sites():
        _put_site(world, stored)
    for stored in store.contracts():
        world.snapshot = repriced(world.snapshot, stored, world.notes)
    counts = {
        (row["kind"], row["metadata"].get("namespace", "default"), row["metadata"]["name"]): int(
            1 if row["spec"].get("replicas") is None else row["spec"]["replicas"]
        )
        for row in documents
        if row.get("kind") in _SCALABLE
    }
    for stored in store.workloads():
        _put_workload(world, stored, counts)
    return world


def moved_to(snapshot: Snapshot, at: float) -> Snapshot:
    """The same world at another grid time: prices of that time, readings as if still fresh."""
    delta = at - snapshot.grid_time

    def later(reading: Reading | None) -> Reading | None:
        if reading is None:
            return None
        until, source = reading.valid_until, reading.source_time
        return replace(
            reading,
            valid_until=None if until is None else until + delta,
            source_time=None if source is None else source + delta,
        )

    sites = []
    for site in snapshot.sites:
        supplies = []
        for row in site.supplies:
            ahead = row.forecast.forecast if row.forecast is not None else None
            value = ahead.at(at) if ahead is not None else None
            power = later(row.power)
            if power is not None and value is not None:
                power = replace(power, value=value)
            supplies.append(replace(row, power=power))
        sites.append(
            replace(
                site,
                supplies=tuple(supplies),
                outdoor_temperature=later(site.outdoor_temperature),
                cooling_limit=later(site.cooling_limit),
                connections=tuple(
                    replace(
                        priced_at(row, at),
                        metered=later(row.metered),
                        uncontrolled=later(row.uncontrolled),
                    )
                    for row in site.connections
                ),
                signals=tuple(replace(row, reading=later(row.reading)) for row in site.signals),
                events=tuple(
                    replace(row, active=row.start_time <= at < row.end_time) for row in site.events
                ),
            )
        )
    return replace(snapshot, grid_time=at, sites=tuple(sites))


def _store(documents: list[dict[str, Any]]) -> Store:
    store = Store(read=read)
    faults = []
    for number, row in enumerate(documents):
        if row.get("kind") not in KINDS:
            continue
        kind = Kind(row["kind"])
        metadata = dict(row.get("metadata") or {})
        if kind is Kind.FLEXIBLE_WORKLOAD:
            metadata.setdefault("namespace", "default")
        metadata |= {
            "uid": f"manifest-{number}",
            "generation": 1,
            "creationTimestamp": "1970-01-01T00:00:00Z",
        }
        stored, _ = store.put(kind, {"metadata": metadata, "spec": row.get("spec") or {}})
        faults += [f"{kind} {metadata['name']}: {fault}" for fault in stored.findings]
    if faults:
        raise NeedsHuman("; ".join(faults), reason="ManifestInvalid")
    return store


def _put_site(world: World, stored: Stored) -> None:
    snapshot, name = world.snapshot, stored.key.name
    now = snapshot.grid_time
    fresh = convert.site_state(stored, accepted=True, installation=snapshot.mode, now=now)
    old = next((row for row in snapshot.sites if row.name == name), None)
    specs = power_events.parse(stored.document, {})
    record = power_events.advance(SiteRecord(), specs, _metered(old), now)
    fresh = replace(fresh, events=power_events.states(record))
    if old is None:
        world.notes.append(f"site {name} is not in the snapshot: nothing is measured there")
    else:
        fresh = replace(
            fresh,
            outdoor_temperature=old.outdoor_temperature,
            members=old.members,
            signals=old.signals,
            cooling_limit=old.cooling_limit,
            emergency=old.emergency,
            emergency_watts=old.emergency_watts,
            connections=_kept(fresh.connections, old.connections, _connection),
            supplies=_kept(fresh.supplies, old.supplies, _supply),
        )
    rows = [row for row in snapshot.sites if row.name != name]
    sites = tuple(sorted([*rows, fresh], key=lambda row: row.name))
    world.snapshot = replace(snapshot, sites=sites)


def _metered(site: SiteState | None) -> dict[str, int | None]:
    rows = site.connections if site is not None else ()
    return {
        row.name: None
        if row.metered is None or row.metered.value is None
        else round(row.metered.value)
        for row in rows
    }


def _connection(new: ConnectionState, old: ConnectionState) -> ConnectionState:
    return replace(
        old, import_limit_watts=new.import_limit_watts, averaging_minutes=new.averaging_minutes
    )


def _supply(new: SupplyState, old: SupplyState) -> SupplyState:
    return replace(old, type=new.type, capacity_watts=new.capacity_watts)


_Named = TypeVar("_Named", ConnectionState, SupplyState)


def _kept(
    new: tuple[_Named, ...], old: tuple[_Named, ...], join: Callable[[_Named, _Named], _Named]
) -> tuple[_Named, ...]:
    known = {row.name: row for row in old}
    return tuple(join(row, known[row.name]) if row.name in known else row for row in new)


def _put_workload(world: World, stored: Stored, counts: dict[tuple[str, str, str], int]) -> None:
    snapshot, key = world.snapshot, stored.key.path
    old = next((row for row in snapshot.workloads if row.key == key), None)
    seen = {row.name: row for row in old.placements} if old is not None else {}
    given = _given_counts(stored, counts)
    observed = {n: r.observed_replicas for n, r in seen.items() if r.observed_replicas is not None}
    state = convert.workload_state(
        stored,
        accepted=True,
        installation=snapshot.mode,
        site_modes={row.name: row.mode for row in snapshot.sites},
        now=snapshot.grid_time,
        found_replicas={**given, **observed},
    )
    placements = tuple(_placement(row, seen, given, key, world) for row in state.placements)
    state = replace(state, placements=placements)
    if old is not None:
        state = _with_history(state, old)
    rows = [row for row in snapshot.workloads if row.key != key]
    everyone = tuple(sorted([*rows, state], key=lambda row: (row.namespace, row.name)))
    world.snapshot = replace(snapshot, workloads=everyone)


def _placement(
    row: PlacementState,
    seen: dict[str, PlacementState],
    given: dict[str, int],
    key: str,
    world: World,
) -> PlacementState:
    old, count = seen.get(row.name), given.get(row.name)
    if old is not None:
        row = replace(
            old,
            site_name=row.site_name,
            cluster_name=row.cluster_name,
            profile_name=row.profile_name,
            min_replicas=row.min_replicas,
            max_replicas=row.max_replicas,
            baseline_replicas=row.baseline_replicas,
        )
    if count is not None:
        return replace(
            row,
            target_found=True,
            target_problem="",
            observed_replicas=count,
            ready_replicas=count,
            in_service_replicas=count,
            rival=False,
        )
    if old is None:
        world.notes.append(f"{key}: {row.name} is not in the snapshot; add its target with -f")
    return row


def _given_counts(stored: Stored, counts: dict[tuple[str, str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in stored.spec.placements:
        reference = row.target_ref or stored.spec.target_ref
        if reference is None:
            continue
        target = (reference.kind, stored.key.namespace, reference.name)
        if target in counts:
            # One manifest cannot be in two clusters: the first placement has it, others none yet.
            taken = any(found.values())
            found[row.name] = 0 if taken else counts[target]
    return found


def _with_history(state: WorkloadState, old: WorkloadState) -> WorkloadState:
    return replace(
        state,
        uid=old.uid,
        moves_today=old.moves_today,
        moved_share_today=old.moved_share_today,
        last_change_time=old.last_change_time,
        paused_since_time=old.paused_since_time,
        batch=old.batch if state.batch is not None else None,
        originals=old.originals,
        originals_known=old.originals_known,
        intent=old.intent,
        growth_permille=old.growth_permille,
        orphans=old.orphans,
        demand=old.demand,
    )
