"""References to Secrets, ConfigMaps, labels and signals; servers and how a credential is sent.

Never a credential itself, and certificates are always verified.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from wattshift.api.base import ApiModel
from wattshift.api.common import Host, LocalName, ObjectName, Url
from wattshift.api.lists import list_atomic
from wattshift.api.rules import Rule, present


class SecretRef(ApiModel):
    """One key of a Secret in the operator's credentials namespace.

    The Secret must carry the label `wattshift.io/credential` and the annotation
    `wattshift.io/allowed-hosts`, else it is refused.
    """

    atomic = True

    name: ObjectName
    """name is the name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """key is the key in the Secret that holds the value."""


class ConfigMapRef(ApiModel):
    """One key of a ConfigMap in the operator's namespace."""

    atomic = True

    name: ObjectName
    """name is the name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """key is the key in the ConfigMap that holds the document."""


class SelectorOperator(StrEnum):
    """Conditions on a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelRequirement(ApiModel):
    """One condition on a label."""

    key: Annotated[str, Field(min_length=1, max_length=317)]
    """key is the label's name."""
    operator: SelectorOperator
    """operator is In, NotIn, Exists or DoesNotExist."""
    values: Annotated[list[Annotated[str, Field(max_length=63)]], list_atomic(16)] = Field(
        default_factory=list
    )
    """values are the values of In and NotIn."""


class LabelSelector(ApiModel):
    """Label selector as Kubernetes knows it; all conditions must hold."""

    atomic = True

    match_labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)
    ] = Field(default_factory=dict)
    """matchLabels are labels with exact values."""
    match_expressions: Annotated[list[LabelRequirement], list_atomic(16)] = Field(
        default_factory=list
    )
    """matchExpressions are conditions on labels."""


class AuthType(StrEnum):
    """How a credential is sent."""

    BEARER_TOKEN = "BearerToken"  # noqa: S105
    BASIC = "Basic"
    HEADERS = "Headers"
    QUERY = "Query"


class Auth(ApiModel):
    """A credential and how to send it."""

    atomic = True

    rules = (
        Rule(
            cel="self.type in ['Headers', 'Query'] || !has(self.name)",
            message="name belongs to type Headers or Query",
            check=lambda self: (
                self.type in {AuthType.HEADERS, AuthType.QUERY} or not present(self, "name")
            ),
        ),
    )

    type: AuthType
    """type is BearerToken, Basic (the value is `user:password`), Headers or Query."""
    secret_ref: SecretRef
    """secretRef names the credential."""
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[-_A-Za-z0-9]+$")] | None = (
        None
    )
    """name is the header or query parameter; absent = the key of the Secret."""


class Tls(ApiModel):
    """Trust and identity of a connection; certificates are always verified."""

    atomic = True

    authority_secret_ref: SecretRef | None = None
    """authoritySecretRef holds the PEM certificates to trust instead of the system's."""
    client_certificate_secret_ref: SecretRef | None = None
    """clientCertificateSecretRef holds the PEM client certificate."""
    client_key_secret_ref: SecretRef | None = None
    """clientKeySecretRef holds the PEM key of the client certificate."""
    server_name: Host | None = None
    """serverName is the name to expect in the certificate; absent = the host of the URL."""


class HttpEndpoint(ApiModel):
    """An HTTP server, its credential and its trust."""

    atomic = True

    url: Url
    """url is the base address; its host must be among the allowed hosts of the credential."""
    auth: Auth | None = None
    """auth is the credential; absent = none is sent."""
    tls: Tls | None = None
    """tls is trust and identity; absent = the system's certificate authorities."""
    timeout_seconds: Annotated[
        int, Field(strict=True, ge=1, le=60, json_schema_extra={"format": "int32"})
    ] = 10
    """timeoutSeconds ends one request."""


class SignalRef(ApiModel):
    """A signal of a PowerSite."""

    atomic = True

    site_name: ObjectName
    """siteName is the PowerSite that declares the signal."""
    signal_name: LocalName
    """signalName is the name of the signal there."""
