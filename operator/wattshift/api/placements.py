"""Placements of a FlexibleWorkload: which object serves it, where, with which engine and bounds.

Tenants write these: service names and ports only, never a URL (it would reach into the hub's
network).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import LocalName, ObjectName, Port, Replicas
from wattshift.api.lists import list_map
from wattshift.api.rules import Rule, ordered, present

_INT32 = {"format": "int32"}


class TargetRef(ApiModel):
    """An object with a scale subresource, in the workload's own namespace."""

    atomic = True

    api_version: Annotated[
        str, Field(min_length=2, max_length=128, pattern=r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$")
    ]
    """apiVersion is the group and version, such as apps/v1."""
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """kind is the kind, such as Deployment or LeaderWorkerSet."""
    name: ObjectName
    """name is the name of the object."""


class EngineType(StrEnum):
    """Inference engines: the names of their metrics."""

    VLLM = "VLLM"
    VLLM_ASCEND = "VLLMAscend"
    SGLANG = "SGLang"
    TENSORRT_LLM = "TensorRTLLM"
    TGI = "TGI"
    LMDEPLOY = "LMDeploy"
    MINDIE = "MindIE"
    LLAMA_CPP = "LlamaCpp"
    TRITON = "Triton"


class Engine(ApiModel):
    """How to read the inference engine in a pod."""

    atomic = True

    type: EngineType
    """type is the engine."""
    port: Port
    """port is the port of the API and of the metrics in a pod."""
    metrics_path: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^/[A-Za-z0-9/_.-]*$")
    ] = "/metrics"
    """metricsPath is the path of the metrics."""
    health_path: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^/[A-Za-z0-9/_.-]*$")
    ] = "/health"
    """healthPath is the path of the health check."""


class TargetRole(StrEnum):
    """Part that an object plays in serving."""

    AGGREGATE = "Aggregate"
    PREFILL = "Prefill"
    DECODE = "Decode"
    ROUTER = "Router"


class Target(ApiModel):
    """One object of a disaggregated deployment."""

    role: TargetRole
    """role is the part it plays."""
    target_ref: TargetRef
    """targetRef is the object."""
    ratio: Annotated[int, Field(strict=True, ge=1, le=64, json_schema_extra=_INT32)] = 1
    """ratio is its replicas per unit: Prefill 1 and Decode 3 are scaled together."""


class Placement(ApiModel):
    """One place where the workload may run."""

    rules = (
        ordered("min_replicas", "max_replicas"),
        Rule(
            cel="!has(self.targets) || !has(self.targetRef)",
            message="set targetRef or targets, not both",
            check=lambda self: not present(self, "targets") or not present(self, "target_ref"),
        ),
    )

    name: LocalName
    """name is unique in the workload."""
    site_name: ObjectName
    """siteName is the PowerSite."""
    cluster_name: LocalName
    """clusterName is the cluster there."""
    target_ref: TargetRef | None = None
    """targetRef is the object here; absent = that of the workload."""
    targets: Annotated[list[Target], list_map("role", max_items=4, min_items=1)] | None = None
    """targets are the objects of disaggregated serving, by role."""
    engine: Engine | None = None
    """engine is the engine here; absent = that of the workload."""
    power_profile_name: LocalName | None = None
    """powerProfileName is the power profile here; absent = that of the workload."""
    min_replicas: Replicas | None = None
    """minReplicas is the least count here; absent = 0."""
    max_replicas: Replicas | None = None
    """maxReplicas is the greatest count here; absent = that of the workload."""
    baseline_replicas: Replicas | None = None
    """baselineReplicas is the count to restore; absent = the count that was found."""
    backend_name: LocalName | None = None
    """backendName is the Service that traffic names."""
