"""The checks of `wattshift doctor`, one function each: pure over what was read from the hub.

A check never guesses: what may not be read is a warning that says so. Neighbour: `doctor.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wattshift.api import VERSION
from wattshift.api.crdgen import KINDS, custom_resource_definition
from wattshift.cli.connect import object_path
from wattshift.cli.output import conditions
from wattshift.core.reasons import Reason
from wattshift.kube.resources import Json

_PROFILE = frozenset({Reason.PROFILE_NOT_FOUND, Reason.PROFILE_HAS_NO_POWER})
_GITOPS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `ok`, `warn` or `fail`, what was checked, and what to do."""

    level: str
    what: str
    message: str


def crds(served: Mapping[str, Json]) -> Iterable[Finding]:
    """CRDs by name, as read, against those of this version."""
    for kind in KINDS:
        wanted = custom_resource_definition(kind)
        name = wanted["metadata"]["name"]
        body = served.get(name)
        what = f"CRD {name}"
        if body is None:
            yield Finding("fail", what, "absent: wattshift crds | kubectl apply --server-side -f -")
            continue
        rows = {row["name"]: row for row in body["spec"]["versions"]}
        ours = next(row for row in wanted["spec"]["versions"] if row["name"] == VERSION)
        if VERSION not in rows or not rows[VERSION]["served"]:
            yield Finding("fail", what, f"does not serve {VERSION}: apply those of this version")
        elif _fields(rows[VERSION]["schema"]) != _fields(ours["schema"]):
            yield Finding("warn", what, "differs from this version's: apply `wattshift crds`")
        else:
            yield Finding("ok", what, f"serves {VERSION}, same fields as this version")


def sites(rows: list[Json]) -> Iterable[Finding]:
    """Members as seen, signals, events."""
    if not rows:
        yield Finding("warn", "sites", "no PowerSite: apply one (examples/smallest)")
    for body in rows:
        name = f"site {body['metadata']['name']}"
        yield from _ready(name, body)
        status = body.get("status") or {}
        for row in status.get("clusters") or ():
            level = {"Ready": "ok", "Connecting": "warn"}.get(row["state"], "fail")
            words = f"{row['state']} {row.get('reason', '')}: {row.get('message', '')}"
            yield Finding(level, f"{name} cluster {row['name']}", words.strip(": "))
        stale = [
            f"{row['name']} {row['quality']} {row.get('reason', '')}".strip()
            for row in status.get("signals") or ()
            if row["quality"] in ("Stale", "Unknown", "Fallback")
        ]
        if stale:
            yield Finding("warn", f"{name} signals", f"not fresh: {', '.join(stale)}")
        elif status.get("signals"):
            yield Finding("ok", f"{name} signals", f"{len(status['signals'])} fresh")


def contracts(rows: list[Json]) -> Iterable[Finding]:
    """Contracts in force with a known price."""
    for body in rows:
        name = f"contract {body['metadata']['name']}"
        yield from _ready(name, body)
        price = conditions(body).get("PriceKnown")
        if price and price["status"] != "True":
            yield Finding("warn", f"{name} price", f"{price['reason']}: {price['message']}")


def workloads(rows: list[Json]) -> Iterable[Finding]:
    """Targets opted in, rivals, profiles, modes."""
    for body in rows:
        name = f"workload {object_path(body)}"
        found = conditions(body)
        yield from _ready(name, body)
        targets = found.get("TargetsResolved")
        if targets and targets["status"] == "False":
            yield Finding("fail", f"{name} targets", f"{targets['reason']}: {targets['message']}")
        rival = found.get("Conflict")
        if rival and rival["status"] == "True":
            words = f"{rival['message']}. Let one own spec.replicas: an HPA by its bounds, or none"
            yield Finding("warn", f"{name} conflict", words)
        decision = (body.get("status") or {}).get("lastDecision") or {}
        if decision.get("reason") in _PROFILE:
            yield Finding("fail", f"{name} profile", f"{decision['reason']}: {decision['message']}")
        override = body["spec"].get("override")
        if override:
            words = f"{override['mode']} by {override['requestedBy']} until {override['untilTime']}"
            yield Finding("warn", f"{name} override", words)


def replicas_in_git(path: str, target: Json) -> Finding:
    """Whether something that applies manifests owns `spec.replicas` of a target."""
    what = f"workload {path} GitOps"
    metadata = target["metadata"]
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    owners = [
        row["manager"]
        for row in metadata.get("managedFields") or ()
        if row.get("operation") == "Apply"
        and not row.get("subresource")
        and "f:replicas" in ((row.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    applied = marks.get("kubectl.kubernetes.io/last-applied-configuration", "")
    if '"replicas":' in applied:
        owners.append("kubectl apply")
    tool = next((word for key, word in _GITOPS.items() if key in marks), "")
    name = metadata["name"]
    if owners:
        words = f"spec.replicas of {name} is in what {', '.join(owners)} applies"
        advice = "leave replicas out of the manifest" + (f" ({tool} resets it)" if tool else "")
        return Finding("warn", what, f"{words}: {advice}")
    if tool:
        return Finding("ok", what, f"{tool} manages {name} and leaves spec.replicas alone")
    return Finding("ok", what, f"nobody applies spec.replicas of {name}")


def _ready(name: str, body: Json) -> Iterable[Finding]:
    row = conditions(body).get("Ready")
    if row is None:
        yield Finding("warn", name, "not seen by an operator yet")
    elif row["status"] == "True":
        yield Finding("ok", name, "ready")
    else:
        yield Finding("fail", name, f"{row['reason']}: {row['message']}")


def _fields(node: object, path: str = "") -> set[str]:
    """Paths of all properties of a schema: descriptions and defaulted parts do not count."""
    if not isinstance(node, dict):
        return set()
    found = set()
    for key, part in node.items():
        if key == "properties" and isinstance(part, dict):
            for name, child in part.items():
                found |= {f"{path}.{name}", *_fields(child, f"{path}.{name}")}
        elif key in ("items", "openAPIV3Schema", "additionalProperties"):
            found |= _fields(part, path)
    return found
