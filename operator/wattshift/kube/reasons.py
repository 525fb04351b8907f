"""One reason constant for why a member is not connected, whatever went wrong below. Pure.

The vocabulary is closed, because people alert on it: it is `ConnectionReason` of `api/reasons.py`
(a test holds them together). The detail is in the message.
"""

from __future__ import annotations

from wattshift.errors import Bug, WattshiftError
from wattshift.kube.errors import ApiError

CONNECTED = "Connected"
CONNECTING = "Connecting"
_BY_REASON = {
    "Unreachable": "Unreachable",
    "Timeout": "Unreachable",
    "WatchSilent": "Unreachable",
    "Closed": CONNECTING,
    "TLSFailed": "CertificateInvalid",
    "CertificateInvalid": "CertificateInvalid",
    "GarbledResponse": "InvalidAnswer",
    "SecretsNotSynced": CONNECTING,
    "SecretNotFound": "SecretNotFound",
    "SecretKeyMissing": "SecretKeyMissing",
    "InsecureKubeConfig": "InsecureKubeConfig",
    "KubeConfigInvalid": "KubeConfigInvalid",
    "TokenUnreadable": "Unauthorized",
    "ClusterIdentityChanged": "ClusterIdentityChanged",
    "Forbidden": "Forbidden",
}


def connection_reason(error: WattshiftError) -> str:
    """Map an error of this package to the reason that users see."""
    if isinstance(error, ApiError):
        if error.is_unauthorized:
            return "Unauthorized"
        if error.is_forbidden:
            return "Forbidden"
        if error.is_not_found or isinstance(error, Bug):
            return "InvalidAnswer"  # no API server refuses these reads in such a way
        return "ServerError"
    if isinstance(error, Bug):
        return "InternalError"
    return _BY_REASON.get(error.reason, "Unreachable")
