"""Reading and writing `/scale`: the only way we change replicas.

Writes are JSON patches that test the UID and the value observed; absolute targets only. Why not a
resourceVersion precondition or server-side apply: `kubernetes.md` 12 (conflicts with the object's own
status updates; 500 on custom resources, zero replicas from an empty apply).
"""

from __future__ import annotations

from dataclasses import dataclass

from wattshift.kube.errors import SpokeUnreachable
from wattshift.kube.resources import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One reading of `/scale`."""

    uid: str
    """UID of the target itself."""
    resource_version: str
    spec_replicas: int
    status_replicas: int
    selector: str

    @classmethod
    def parse(cls, body: Json) -> Scale:
        """Project an `autoscaling/v1` Scale; an absent `spec.replicas` is 0.

        Raises:
            SpokeUnreachable: reason GarbledResponse, when it is no Scale.
        """
        try:
            status = body.get("status") or {}
            return cls(
                uid=str(body["metadata"]["uid"]),
                resource_version=str(body["metadata"].get("resourceVersion", "")),
                spec_replicas=int((body.get("spec") or {}).get("replicas") or 0),
                status_replicas=int(status.get("replicas") or 0),
                selector=str(status.get("selector") or ""),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpokeUnreachable("the answer is no Scale", reason="GarbledResponse") from error


def scale_patch(*, uid: str, observed: int, target: int) -> list[Json]:
    """Build the JSON patch from `observed` to `target` replicas (both absolute, both >= 0).

    At zero the server omits the field, so the test is `/spec == {}` and the write an `add`.
    """
    if observed < 0 or target < 0:
        raise ValueError(f"replicas must not be negative: {observed} -> {target}")
    same_object = {"op": "test", "path": "/metadata/uid", "value": uid}
    if observed == 0:
        return [
            same_object,
            {"op": "test", "path": "/spec", "value": {}},
            {"op": "add", "path": "/spec/replicas", "value": target},
        ]
    return [
        same_object,
        {"op": "test", "path": "/spec/replicas", "value": observed},
        {"op": "replace", "path": "/spec/replicas", "value": target},
    ]
