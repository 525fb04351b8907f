"""TLS contexts from PEM documents of Secrets; certificates are always verified.

Key material is handed to OpenSSL through an anonymous memory file, so that it never touches a disk.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from functools import lru_cache

from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.reasons import SourceReason


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Trust and identity of one connection."""

    authority: str | None = field(default=None, repr=False)
    """PEM certificates to trust instead of the system's."""
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None


@lru_cache(maxsize=64)
def ssl_context(material: TlsMaterial) -> ssl.SSLContext:
    """A verifying client context.

    Raises:
        SourceNeedsHuman: PEM that OpenSSL does not take, or a key without its certificate.
    """
    if (material.certificate is None) != (material.key is None):
        raise SourceNeedsHuman(
            SourceReason.SOURCE_INVALID, "tls: a client certificate needs its key, and the reverse"
        )
    try:
        context = ssl.create_default_context(cadata=material.authority)
        if material.certificate is not None and material.key is not None:
            _load_pair(context, f"{material.certificate}\n{material.key}\n")
    except (ssl.SSLError, ValueError) as error:
        raise SourceNeedsHuman(
            SourceReason.CREDENTIAL_REFUSED, f"tls: not usable as PEM: {type(error).__name__}"
        ) from error
    return context


def _load_pair(context: ssl.SSLContext, pem: str) -> None:
    descriptor = os.memfd_create("tls")
    try:
        with os.fdopen(os.dup(descriptor), "w") as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
