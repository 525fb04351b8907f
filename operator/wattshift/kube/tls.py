"""SSL contexts from bytes, so that no key ever touches a disk (the root file system is read-only).

Always verifying: there is no switch to turn that off. Neighbour: `auth.py` holds the bytes.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattshift.errors import NeedsHuman


def client_context(
    *, ca_pem: bytes | None, cert_pem: bytes | None = None, key_pem: bytes | None = None
) -> ssl.SSLContext:
    """Build a verifying client context; without `ca_pem` the system's authorities are trusted.

    Raises:
        NeedsHuman: reason CertificateInvalid, when the bytes are no usable PEM or key and
            certificate do not belong together. The message holds nothing of them.
    """
    try:
        if ca_pem is None:
            context = ssl.create_default_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise NeedsHuman(
            "the certificate authority is not valid PEM", reason="CertificateInvalid"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # NB: from Python 3.13 on strict checks are the default and refuse the CAs of kubeadm and kind,
    # which lack an authority key identifier.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert_pem is not None and key_pem is not None:
        try:
            with _as_file(cert_pem + b"\n" + key_pem) as path:
                # A fixed empty password: without it OpenSSL asks the terminal for encrypted keys.
                context.load_cert_chain(path, password=b"")
        except (ssl.SSLError, ValueError) as error:
            raise NeedsHuman(
                "client certificate and key are not valid PEM, encrypted, or do not match",
                reason="CertificateInvalid",
            ) from error
    return context


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """Yield a path that reads as `pem`: OpenSSL's Python binding takes certificates as files only."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("wattshift-client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    descriptor, name = tempfile.mkstemp()  # mode 0600
    try:
        os.write(descriptor, pem)
        os.close(descriptor)
        yield name
    finally:
        Path(name).unlink(missing_ok=True)
