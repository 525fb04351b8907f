"""Semantic checks of a FlexibleWorkload alone: names, bounds, what is available."""

from __future__ import annotations

from collections.abc import Iterator

from wattshift.api import findings as check
from wattshift.api.availability import KINDS_WITHOUT_SCALE, TRAFFIC
from wattshift.api.findings import Finding
from wattshift.api.flexibleworkload import FlexibleWorkload, FlexibleWorkloadSpec
from wattshift.api.placements import Placement, TargetRef
from wattshift.api.reasons import SpecReason
from wattshift.api.workload_policy import ActionType, StatefulType


def target_of(spec: FlexibleWorkloadSpec, placement: Placement) -> TargetRef | None:
    """The target of a placement, with the workload's default; None = by role (`targets`)."""
    if placement.target_ref is not None:
        return placement.target_ref
    return None if placement.targets else spec.target_ref


def _targets(spec: FlexibleWorkloadSpec) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], str] = {}
    for placement in spec.placements:
        path = f"spec.placements[{placement.name}]"
        target = target_of(spec, placement)
        if target is None:
            yield Finding(
                SpecReason.TARGET_KIND_NOT_AVAILABLE,
                f"{path}.targets",
                "targets by role are not supported yet: name one object in targetRef",
            )
            continue
        if target.kind in KINDS_WITHOUT_SCALE:
            yield Finding(
                SpecReason.TARGET_KIND_NOT_AVAILABLE,
                f"{path}.targetRef.kind",
                f"a {target.kind} has no scale subresource: name a Deployment, StatefulSet, "
                "LeaderWorkerSet or another kind that has one",
            )
        group = target.api_version.rpartition("/")[0]
        key = (placement.site_name, placement.cluster_name, group, target.kind, target.name)
        if key in seen:
            yield Finding(
                SpecReason.PLACEMENT_DUPLICATE,
                path,
                f"placements {seen[key]} and {placement.name} name the same target in cluster "
                f"{placement.cluster_name}: remove one",
            )
        seen.setdefault(key, placement.name)


def _bounds(spec: FlexibleWorkloadSpec) -> Iterator[Finding]:
    total = spec.replicas
    if total is None:
        return
    most = [placement.max_replicas for placement in spec.placements]
    highest = sum(count for count in most if count is not None)
    if total.min is not None and None not in most and highest < total.min:
        yield Finding(
            SpecReason.REPLICAS_UNREACHABLE,
            "spec.replicas.min",
            f"the placements allow {highest} replicas together: raise their maxReplicas, "
            f"or lower replicas.min to {highest}",
        )
    lowest = sum(placement.min_replicas or 0 for placement in spec.placements)
    if total.max is not None and lowest > total.max:
        yield Finding(
            SpecReason.REPLICAS_UNREACHABLE,
            "spec.replicas.max",
            f"the placements need {lowest} replicas together: lower their minReplicas, "
            f"or raise replicas.max to {lowest}",
        )


def _names(spec: FlexibleWorkloadSpec) -> Iterator[Finding]:
    exist = [placement.name for placement in spec.placements]
    used: list[tuple[str, str | None]] = []
    if spec.traffic is not None:
        if spec.traffic.http_route is not None:
            name = spec.traffic.http_route.placement_name
            used.append(("spec.traffic.httpRoute.placementName", name))
        if spec.traffic.vllm_router is not None:
            name = spec.traffic.vllm_router.placement_name
            used.append(("spec.traffic.vllmRouter.placementName", name))
    if spec.override is not None:
        used.append(("spec.override.placementName", spec.override.placement_name))
    for path, placement_name in used:
        if placement_name is not None:
            yield from check.names(
                [placement_name], exist, SpecReason.PLACEMENT_UNKNOWN, path, "placement"
            )


def validate_workload(workload: FlexibleWorkload) -> Iterator[Finding]:
    """Faults of a FlexibleWorkload that schema and CEL cannot see."""
    spec = workload.spec
    yield from _targets(spec)
    yield from _bounds(spec)
    yield from _names(spec)
    share = sum(origin.share_permille for origin in spec.origins)
    if share > 1000:
        yield Finding(
            SpecReason.SHARES_EXCEED_WHOLE,
            "spec.origins",
            f"the shares of the origins add up to {share} permille: they must not exceed 1000",
        )
    if spec.traffic is not None and spec.traffic.type not in TRAFFIC:
        yield Finding(
            SpecReason.TRAFFIC_NOT_AVAILABLE,
            "spec.traffic.type",
            f"traffic {spec.traffic.type} is not supported yet: use None, and let the entry "
            "follow ready pods",
        )
    actions = spec.flexibility.actions if spec.flexibility is not None else []
    moving = sorted({ActionType.MIGRATE, ActionType.SHIFT_TRAFFIC} & set(actions))
    if spec.stateful is StatefulType.ENGINE and moving:
        yield Finding(
            SpecReason.STATEFUL_CANNOT_MOVE,
            "spec.flexibility.actions",
            f"stateful Engine keeps conversations in a process: remove {', '.join(moving)}, "
            "or set stateful None",
        )
