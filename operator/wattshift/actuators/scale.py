"""Replicas through `/scale`, by a JSON patch that tests the UID and the count observed.

The only write of the default role. Never retried here: an unknown outcome is read again by the
next tick, a conflict is planned again.
"""

from __future__ import annotations

from http import HTTPStatus

from wattshift.actuators.base import Outcome, Result, Rule, ScaleOrder
from wattshift.errors import FenceLost, WattshiftError
from wattshift.kube.client import ClusterClient
from wattshift.kube.errors import ApiError, ScaleConflict, SpokeUnreachable


class ScaleActuator:
    """Sets absolute replicas."""

    name = "scale"
    reversible = True
    rules = (
        Rule(api_group="apps", resource="deployments/scale", verbs=("patch",)),
        Rule(api_group="apps", resource="statefulsets/scale", verbs=("patch",)),
    )

    async def carry_out(self, client: ClusterClient, order: ScaleOrder) -> Outcome:
        """Write `order.replicas` if the target is still as observed."""
        key = order.target
        try:
            resource = await client.discover(key.api_version, key.kind)
        except WattshiftError as error:
            return Outcome(result=Result.REFUSED, message=error.message)
        try:
            scale = await client.patch_scale(
                resource,
                key.name,
                namespace=key.namespace,
                uid=order.target_uid,
                observed=order.observed_replicas,
                target=order.replicas,
            )
        except FenceLost as error:
            return Outcome(result=Result.REFUSED, message=error.message)
        except ScaleConflict as error:
            return Outcome(result=Result.CONFLICT, message=error.message)
        except SpokeUnreachable as error:
            return Outcome(result=Result.UNKNOWN, message=error.message)
        except ApiError as error:
            # NB: a server that gives up (500, 503, 504) may have stored the count all the same.
            lost = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            lost = lost or error.status == HTTPStatus.REQUEST_TIMEOUT
            return Outcome(result=Result.UNKNOWN if lost else Result.REFUSED, message=error.message)
        except WattshiftError as error:
            return Outcome(result=Result.REFUSED, message=error.message)
        return Outcome(
            result=Result.DONE,
            message=f"{key.kind} {key.namespace}/{key.name} set from {order.observed_replicas} "
            f"to {scale.spec_replicas} replicas",
            replicas=scale.spec_replicas,
        )
