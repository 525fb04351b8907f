"""The configuration files of a control plane: users, audit policy, kwok stages."""

from __future__ import annotations

import yaml

POD_READY_MILLISECONDS = 300


def component_users() -> dict[str, str]:
    """Static users and their groups; separate names make the audit log readable."""
    return {
        "lab-admin": "system:masters",
        "lab-node": "system:masters",
        "lab-kwok": "system:masters",
        "system:kube-controller-manager": "system:authenticated",
        "system:kube-scheduler": "system:authenticated",
    }


def audit_policy() -> str:
    """Everything that service accounts and people do; writes with their bodies, Secrets without.

    The control plane's own chatter is left out, except writes by its controllers (who scaled?).
    """
    quiet = ["lab-node", "lab-kwok", "system:apiserver", "system:kube-scheduler"]
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    secret_kinds = [
        {"group": "", "resources": ["secrets", "serviceaccounts/token"]},
        {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
    ]
    return yaml.safe_dump(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "None", "users": quiet},
                {"level": "None", "users": ["system:kube-controller-manager"]},
                {
                    "level": "Request",
                    "userGroups": ["system:serviceaccounts:kube-system"],
                    "verbs": writes,
                    "resources": [
                        {"group": "apps", "resources": ["*/scale"]},
                        {"group": "", "resources": ["pods"]},
                    ],
                },
                {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
                {"level": "Metadata", "resources": secret_kinds},
                {"level": "Request", "verbs": writes},
                {"level": "Metadata"},
            ],
        },
        sort_keys=False,
    )


def kwok_stages() -> str:
    """The stages kwok needs: nodes get Ready, pods get ready after a while, pods go away.

    Leases keep the nodes Ready (`--node-lease-duration-seconds`), so no heartbeat stage.
    """
    stages = [_NODE_READY, _POD_READY, _POD_DELETE]
    text = "---\n".join(stages)
    return text.replace("POD_READY_MILLISECONDS", str(POD_READY_MILLISECONDS))


_NODE_READY = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-initialize}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {type: Ready, status: "True", reason: KubeletReady, message: kwok, lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
      addresses:
      - {type: InternalIP, address: {{ NodeIP | Quote }}}
      - {type: Hostname, address: {{ .metadata.name | Quote }}}
      phase: Running
      nodeInfo: {kubeletVersion: kwok, architecture: amd64, operatingSystem: linux, bootID: "", containerRuntimeVersion: kwok, kernelVersion: kwok, kubeProxyVersion: kwok, machineID: "", osImage: "", systemUUID: ""}
"""

_POD_READY = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.podIP', operator: DoesNotExist}
    - {key: '.spec.nodeName', operator: Exists}
  delay:
    durationMilliseconds: POD_READY_MILLISECONDS
    durationFrom: {expressionFrom: '.metadata.annotations["pod-ready.stage.kwok.x-k8s.io/delay"]'}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
      - {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
      - {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
      containerStatuses:
      {{ range .spec.containers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
        restartCount: 0
        started: true
        state: {running: {startedAt: {{ $now | Quote }}}}
        imageID: ""
      {{ end }}
      hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
      podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
      phase: Running
      startTime: {{ $now | Quote }}
"""

_POD_DELETE = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-delete}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: Exists}
  next: {delete: true, finalizers: {empty: true}}
"""
