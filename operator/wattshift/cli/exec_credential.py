"""Runs the credential command of a user's own kubeconfig, as kubectl does.

For people's shells only: the operator never runs a command that a kubeconfig names. What the command
prints is a credential and is never shown. Format: client.authentication.k8s.io/v1 and v1beta1.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from wattshift.errors import NeedsHuman

_TIMEOUT_SECONDS = 60.0


def run_exec(spec: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a kubeconfig user from its `exec` section.

    Raises:
        NeedsHuman: reason ExecCredentialFailed, with what the command said on standard error.
    """
    command = str(spec.get("command") or "")
    environment = dict(os.environ)
    for row in spec.get("env") or ():
        environment[str(row["name"])] = str(row["value"])
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(
        {
            "apiVersion": spec.get("apiVersion", "client.authentication.k8s.io/v1"),
            "kind": "ExecCredential",
            "spec": {"interactive": sys.stdin.isatty()},
        }
    )
    words = [command, *(str(word) for word in spec.get("args") or ())]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own kubeconfig names it
            words,
            env=environment,
            stdout=subprocess.PIPE,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        hint = str(spec.get("installHint") or "").strip()
        raise _failed(f"{command}: {type(error).__name__}. {hint}".strip()) from None
    if done.returncode:
        raise _failed(f"{command} ended with status {done.returncode}")
    try:
        status = json.loads(done.stdout)["status"]
    except (ValueError, KeyError, TypeError):
        raise _failed(f"{command} did not print an ExecCredential") from None
    found: dict[str, str] = {}
    if status.get("token"):
        found["token"] = str(status["token"])
    for name, target in (
        ("clientCertificateData", "client-certificate-data"),
        ("clientKeyData", "client-key-data"),
    ):
        if status.get(name):
            found[target] = base64.b64encode(str(status[name]).encode()).decode()
    if not found:
        raise _failed(f"{command} gave neither a token nor a certificate")
    return found


def _failed(message: str) -> NeedsHuman:
    return NeedsHuman(f"kubeconfig: {message}", reason="ExecCredentialFailed")
