"""Flight recorder: the last N (snapshot, plan, outcome), so that any decision can be replayed.

One JSON document a step, in memory and, if a directory is given, on disk as `step-<time>-<id>.json`.
`wattshift replay FILE` runs the same core on it. It holds no secret: the snapshot has none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from wattshift.core.decision import Governance, Plan
from wattshift.core.model import Snapshot

log = logging.getLogger(__name__)
FORMAT_VERSION = 1
MOST_PLACEMENTS = 30_000
"""Kept in memory over all steps, about 1 KiB each: 200 steps of 150 placements, five of 6,000."""
_SNAPSHOT = TypeAdapter(Snapshot)
_PLAN = TypeAdapter(Plan)
_GOVERNANCE = TypeAdapter(Governance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one decision: done, refused or failed, in words."""

    workload_key: str
    action: str
    reason: str
    result: str
    """`Done`, `Refused`, `Failed`, `NotActed`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One recorded step; `plan` or `governance` is set, by the loop that ran."""

    snapshot: Snapshot
    plan: Plan | None = None
    governance: Governance | None = None
    plan_before: Plan | None = None
    """The plan whose prices a governor tick used."""
    outcomes: tuple[Outcome, ...] = ()


_STEP = TypeAdapter(Step)


class _SnapshotDocument(BaseModel):
    # NB: as strings, because JSON has no infinity and null would not load again.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    snapshot: Snapshot


class _StepDocument(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    step: Step


def dump_snapshot(snapshot: Snapshot) -> bytes:
    """JSON of a snapshot; equal snapshots give equal bytes."""
    document = _SnapshotDocument.model_construct(snapshot=snapshot).model_dump_json()
    return document[len('{"snapshot":') : -1].encode()


def load_snapshot(document: bytes | str) -> Snapshot:
    """Snapshot from JSON.

    Raises:
        pydantic.ValidationError: the document is not a snapshot of this version.
    """
    return _SNAPSHOT.validate_json(document)


def snapshot_hash(snapshot: Snapshot) -> str:
    """SHA-256 over the JSON form."""
    return hashlib.sha256(dump_snapshot(snapshot)).hexdigest()


def plan_document(plan: Plan) -> dict[str, Any]:
    """Plan as JSON-ready mapping, for the API and the CLI."""
    document: dict[str, Any] = _PLAN.dump_python(plan, mode="json")
    return document


def governance_document(governance: Governance) -> dict[str, Any]:
    """Governance as JSON-ready mapping."""
    document: dict[str, Any] = _GOVERNANCE.dump_python(governance, mode="json")
    return document


def load_step(document: bytes | str) -> Step:
    """A recorded step from its file.

    Raises:
        ValueError: not a recording, or one of another format version.
    """
    raw = json.loads(document)
    if not isinstance(raw, dict) or raw.get("formatVersion") != FORMAT_VERSION:
        found = raw.get("formatVersion") if isinstance(raw, dict) else None
        raise ValueError(f"not a recording of format {FORMAT_VERSION} (found {found})")
    return _STEP.validate_python(raw["step"], strict=False)


def dump_step(step: Step) -> bytes:
    """JSON document of a step."""
    body = _StepDocument.model_construct(step=step).model_dump_json().encode()
    return b'{"formatVersion":%d,%s' % (FORMAT_VERSION, body[1:])


class Recorder:
    """Ring of the last steps; governor ticks that decide nothing are not kept."""

    def __init__(self, *, capacity: int = 200, directory: Path | None = None) -> None:
        self._steps: deque[Step] = deque()
        self._placements = 0
        self._directory = directory
        self._files: deque[Path] = deque()
        self._capacity = capacity
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._files.extend(sorted(directory.glob("step-*.json")))

    def record(self, step: Step) -> None:
        """Keep a step; the oldest go when the ring is full or weighs too much."""
        self._steps.append(step)
        self._placements += _size(step)
        while len(self._steps) > self._capacity or (
            self._placements > MOST_PLACEMENTS and len(self._steps) > 1
        ):
            self._placements -= _size(self._steps.popleft())
        if self._directory is None:
            return
        kind = "plan" if step.plan is not None else "govern"
        identity = step.plan.id if step.plan is not None else f"{len(step.outcomes):03d}"
        name = f"step-{int(step.snapshot.grid_time * 1000):016d}-{kind}-{identity}.json"
        path = self._directory / name
        partial = path.with_suffix(".partial")
        try:
            partial.write_bytes(dump_step(step))
            partial.replace(path)
        except OSError as error:  # a full disk must not end what only wants to remember
            log.warning("step not kept on disk: %s", error, extra={"reason": "RecorderFailed"})
            return
        if path not in self._files:
            self._files.append(path)
        while len(self._files) > self._capacity:
            self._files.popleft().unlink(missing_ok=True)

    def last_plan(self) -> Step | None:
        """The newest step of the planner."""
        return next((step for step in reversed(self._steps) if step.plan is not None), None)

    def steps(self) -> tuple[Step, ...]:
        """All kept steps, oldest first."""
        return tuple(self._steps)


def _size(step: Step) -> int:
    return sum(len(workload.placements) for workload in step.snapshot.workloads)
