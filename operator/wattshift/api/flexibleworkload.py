"""FlexibleWorkload: a model server that may follow power, and its limits. Namespaced, `fw`.

Parts: `placements.py` (where), `workload_policy.py` (how flexible); status in `workload_status.py`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wattshift.api.base import ApiModel, Column, Resource
from wattshift.api.common import LocalName, Mode, Override
from wattshift.api.lists import list_map
from wattshift.api.placements import Engine, Placement, TargetRef
from wattshift.api.rules import Rule
from wattshift.api.workload_policy import (
    Batch,
    CheckpointType,
    DataBoundary,
    Demand,
    DispatchType,
    Flexibility,
    Model,
    Objectives,
    Origin,
    Posture,
    Release,
    StatefulType,
    TotalReplicas,
    Traffic,
)
from wattshift.api.workload_status import FlexibleWorkloadStatus


class FlexibleWorkloadSpec(ApiModel):
    """What serves the model, where it may run and how flexible it is."""

    rules = (
        Rule(
            cel="has(self.targetRef) || self.placements.all(p, has(p.targetRef) || has(p.targets))",
            message="set targetRef, or targetRef or targets in every placement",
            check=lambda self: (
                self.target_ref is not None
                or all(p.target_ref is not None or p.targets for p in self.placements)
            ),
        ),
        Rule(
            cel="has(self.engine) || self.placements.all(p, has(p.engine))",
            message="set engine, or engine in every placement",
            check=lambda self: (
                self.engine is not None or all(p.engine is not None for p in self.placements)
            ),
        ),
        Rule(
            cel="!has(self.replicas) || !has(self.replicas.min) || self.replicas.min > 0 "
            "|| (has(self.batch) && self.batch.dispatch.type == 'External')",
            message="replicas.min 0 needs batch.dispatch of type External: somebody must hold the "
            "work",
            check=lambda self: (
                self.replicas is None
                or self.replicas.min is None
                or self.replicas.min > 0
                or (self.batch is not None and self.batch.dispatch.type is DispatchType.EXTERNAL)
            ),
        ),
    )

    posture: Posture
    """posture is the kind of task; it presets what absent fields mean."""
    target_ref: TargetRef | None = None
    """targetRef is the object that serves, the default of every placement."""
    engine: Engine | None = None
    """engine is the inference engine, the default of every placement."""
    power_profile_name: LocalName | None = None
    """powerProfileName is the power profile, the default of every placement."""
    placements: Annotated[list[Placement], list_map("name", max_items=16, min_items=1)]
    """placements are where it may run."""
    models: Annotated[list[Model], list_map("name", max_items=16)] = Field(default_factory=list)
    """models that it serves."""
    replicas: TotalReplicas | None = None
    """replicas are the bounds of the sum over all placements."""
    flexibility: Flexibility | None = None
    """flexibility is what may be done; absent = tier Firm, action Scale."""
    objectives: Objectives = Field(default_factory=list)
    """objectives are latency objectives: they veto every saving."""
    origins: Annotated[list[Origin], list_map("name", max_items=16)] = Field(default_factory=list)
    """origins are where users are."""
    traffic: Traffic | None = None
    """traffic is how requests are split; absent = None."""
    demand: Demand | None = None
    """demand is where demand is read; absent = EngineMetrics."""
    batch: Batch | None = None
    """batch is work with a deadline instead of a waiting user."""
    stateful: StatefulType | None = None
    """stateful is Engine where conversations live in a process: it is not moved; absent = None."""
    checkpoint: CheckpointType | None = None
    """checkpoint says whether finished work survives a stop; absent = None."""
    data_boundary: DataBoundary | None = None
    """dataBoundary is where data may go; it refuses placements and never selects one."""
    priority: (
        Annotated[int, Field(strict=True, ge=-1000, le=1000, json_schema_extra={"format": "int32"})]
        | None
    ) = None
    """priority among workloads: the lowest is touched first; absent = 0."""
    release: Release | None = None
    """release is how wattshift lets go; absent = Restore."""
    mode: Mode | None = None
    """mode limits how far wattshift may go; absent = as site and installation say."""
    override: Override | None = None
    """override is a person's order with an end."""


class FlexibleWorkload(Resource):
    """A model server that may follow power, inside its latency objectives."""

    plural: ClassVar[str] = "flexibleworkloads"
    short_name: ClassVar[str] = "fw"
    scope: ClassVar[Literal["Cluster", "Namespaced"]] = "Namespaced"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Mode", ".status.summary.mode"),
        Column("Replicas", ".status.summary.replicas"),
        Column("Power", ".status.summary.power"),
        Column("Decision", ".status.summary.decision"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Latency", ".status.summary.latency", priority=1),
        Column("Move", ".status.summary.move", priority=1),
        Column("Posture", ".spec.posture", priority=1),
    )

    kind: Literal["FlexibleWorkload"]
    """kind is FlexibleWorkload."""
    spec: FlexibleWorkloadSpec
    """spec is what serves, where it may run and how flexible it is."""
    status: FlexibleWorkloadStatus | None = None
    """status is what wattshift sees, wants and has done."""
