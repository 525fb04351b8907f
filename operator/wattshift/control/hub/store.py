"""Projections of our objects on the hub, by key: parsed specs, or why they could not be parsed.

Fed by `handlers.py` from the watch; read by reconcilers, loops and the status book. It never keeps a
whole body (managedFields and the like), and a bad object never hides the good ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from wattshift.api.base import Resource
from wattshift.api.findings import Finding
from wattshift.api.reasons import SpecReason
from wattshift.control.hub.conditions import parse_utc
from wattshift.control.hub.keys import Kind, ObjectKey
from wattshift.kube.resources import WATTSHIFT

log = logging.getLogger(__name__)

ANNOTATION_PREFIX = "wattshift.io/"
Parser = Callable[[dict[str, Any]], tuple[Resource | None, list[Finding]]]
"""`wattshift.api.validate.read`: document -> object and its faults; None if the schema is broken."""


class Change(Enum):
    """What a watch event changed of what we care about."""

    NONE = "none"
    """Status, labels, managedFields: nobody needs to be woken."""
    SEEN = "seen"
    """First sight of this object (new, or the first since the start)."""
    SPEC = "spec"
    """Generation, deletion, finalizers or our annotations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object: parsed, or with the findings why it could not be."""

    key: ObjectKey
    uid: str
    generation: int
    resource_version: str
    created_utc: float
    deleting_utc: float | None
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str]
    """Only those under `wattshift.io/`."""
    resource: Resource | None = field(repr=False)
    """The object in the API's models, without status; None where it does not fit the schema.

    Of an object that did not fit after it had been read, as it was then: `findings` say that it
    may not be acted on.
    """
    findings: tuple[Finding, ...]
    """Faults of this object by itself; references are checked by the reconcilers."""
    document: Mapping[str, Any] = field(repr=False)
    """The spec as it came, for those who read JSON (adapters, contract)."""

    @property
    def spec(self) -> Any:
        """`PowerSiteSpec`, `EnergyContractSpec` or `FlexibleWorkloadSpec`; None if unreadable."""
        return None if self.resource is None else self.resource.spec  # type: ignore[attr-defined]

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for."""
        return self.deleting_utc is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Result of validation and reference checks, set by the reconcilers for one generation."""

    accepted: bool
    reason: str
    message: str
    generation: int


class Store:
    """All our objects. Single-threaded: the event loop's thread only."""

    def __init__(self, *, read: Parser) -> None:
        self._read = read
        self.revision = 0
        """Grows with every change that a reference may notice."""
        self._objects: dict[ObjectKey, Stored] = {}
        self._acceptance: dict[ObjectKey, Acceptance] = {}
        self._by_kind: dict[Kind, tuple[Stored, ...]] = {}
        """Ordered objects; the loops ask dozens of times per tick."""

    def put(self, kind: Kind, body: Mapping[str, Any]) -> tuple[Stored, Change]:
        """Take an object from the watch or from a relist; an older version is ignored."""
        metadata = body["metadata"]
        key = ObjectKey(kind, metadata.get("namespace", ""), metadata["name"])
        old = self._objects.get(key)
        uid = metadata["uid"]
        if old is not None and old.uid == uid and not _newer(metadata, old):
            return old, Change.NONE
        generation = int(metadata.get("generation", 0))
        same_spec = old is not None and old.uid == uid and old.generation == generation
        if old is not None and same_spec:
            resource, findings, document = old.resource, old.findings, old.document
        else:
            document = dict(body.get("spec") or {})
            resource, findings = self._parse(kind, metadata, document)
            if resource is None and old is not None and old.uid == uid:
                # Not accepted, but what was read last still tells the way back: which cluster,
                # which target. A typing error must not cut it.
                resource, document = old.resource, dict(old.document)
        deleting = metadata.get("deletionTimestamp")
        stored = Stored(
            key=key,
            uid=uid,
            generation=generation,
            resource_version=metadata.get("resourceVersion", ""),
            created_utc=parse_utc(metadata["creationTimestamp"]),
            deleting_utc=parse_utc(deleting) if deleting else None,
            finalizers=tuple(metadata.get("finalizers") or ()),
            annotations={
                name: value
                for name, value in (metadata.get("annotations") or {}).items()
                if name.startswith(ANNOTATION_PREFIX)
            },
            resource=resource,
            findings=findings,
            document=document,
        )
        self._objects[key] = stored
        self._by_kind.pop(kind, None)
        if old is None or old.uid != uid:
            self._acceptance.pop(key, None)
            self.revision += 1
            return stored, Change.SEEN
        if replace(stored, resource_version=old.resource_version) == old:
            return stored, Change.NONE
        self.revision += 1
        return stored, Change.SPEC

    def remove(self, key: ObjectKey, *, uid: str = "") -> bool:
        """Forget an object; with `uid` only if it is still that one."""
        old = self._objects.get(key)
        if old is None or (uid and old.uid != uid):
            return False
        del self._objects[key]
        self._by_kind.pop(key.kind, None)
        self._acceptance.pop(key, None)
        self.revision += 1
        return True

    def get(self, key: ObjectKey) -> Stored | None:
        """One object."""
        return self._objects.get(key)

    def of_kind(self, kind: Kind) -> tuple[Stored, ...]:
        """All objects of a kind, ordered by namespace and name."""
        found = self._by_kind.get(kind)
        if found is None:
            keys = sorted(key for key in self._objects if key.kind is kind)
            found = self._by_kind[kind] = tuple(self._objects[key] for key in keys)
        return found

    def sites(self) -> tuple[Stored, ...]:
        """All PowerSites."""
        return self.of_kind(Kind.POWER_SITE)

    def contracts(self) -> tuple[Stored, ...]:
        """All EnergyContracts."""
        return self.of_kind(Kind.ENERGY_CONTRACT)

    def workloads(self) -> tuple[Stored, ...]:
        """All FlexibleWorkloads."""
        return self.of_kind(Kind.FLEXIBLE_WORKLOAD)

    def all_keys(self) -> tuple[ObjectKey, ...]:
        """All keys."""
        return tuple(sorted(self._objects))

    def set_acceptance(self, key: ObjectKey, acceptance: Acceptance) -> bool:
        """Record what the reconciler found; returns whether it differs from before."""
        if key not in self._objects:
            return False
        changed = self._acceptance.get(key) != acceptance
        self._acceptance[key] = acceptance
        return changed

    def acceptance(self, key: ObjectKey) -> Acceptance | None:
        """What the reconciler found; None = not visited yet, which is not accepted."""
        return self._acceptance.get(key)

    def accepted(self, key: ObjectKey) -> bool:
        """Whether this object may be acted on: parsed, checked, for its present generation."""
        stored, found = self._objects.get(key), self._acceptance.get(key)
        if stored is None or found is None or stored.resource is None:
            return False
        return found.accepted and found.generation == stored.generation

    def _parse(
        self, kind: Kind, metadata: Mapping[str, Any], document: Mapping[str, Any]
    ) -> tuple[Resource | None, tuple[Finding, ...]]:
        body = {
            "apiVersion": WATTSHIFT,
            "kind": kind.value,
            "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
            "spec": document,
        }
        try:
            resource, findings = self._read(body)
        except Exception as error:  # an object that we cannot judge hides no other
            name = f"{kind.value}/{metadata.get('namespace', '')}/{metadata['name']}"
            log.exception("not read", extra={"object": name, "reason": "Bug"})
            words = f"it could not be read: {type(error).__name__}; please report this"
            return None, (Finding(SpecReason.SCHEMA_INVALID, "spec", words),)
        return resource, tuple(findings)


_METADATA = ("name", "namespace", "uid", "generation", "creationTimestamp")


def plain(value: Any) -> Any:
    """Copy of a JSON value out of kopf's read-only views."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def _newer(metadata: Mapping[str, Any], old: Stored) -> bool:
    """Compare resource versions: decimal numbers in practice; anything else counts as newer."""
    new, known = str(metadata.get("resourceVersion", "")), old.resource_version
    if new.isdecimal() and known.isdecimal():
        return int(new) > int(known)
    return True
