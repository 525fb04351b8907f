"""An ES256 key for the lab's service-account tokens, and tokens signed with it, without OpenSSL.

For tests only: a fixed-shape PEM that kube-apiserver reads as signing and as verification key.
`signed_token` makes tokens that a real server would not issue (expired ones).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

# NIST P-256 (FIPS 186-4, D.1.2.3): field prime, group order, base point; a = -3.
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_Point = tuple[int, int] | None


def _add(left: _Point, right: _Point) -> _Point:
    if left is None:
        return right
    if right is None:
        return left
    if left[0] == right[0]:
        if (left[1] + right[1]) % _P == 0:
            return None
        slope = (3 * left[0] * left[0] - 3) * pow(2 * left[1], -1, _P) % _P
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, _P) % _P
    x = (slope * slope - left[0] - right[0]) % _P
    return x, (slope * (left[0] - x) - left[1]) % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def write_signing_key(path: Path) -> None:
    """Write a new P-256 private key as PEM `EC PRIVATE KEY` (RFC 5915), readable by the owner."""
    private = secrets.randbelow(_N - 1) + 1
    public = _multiply(private, _G)
    assert public is not None
    der = (
        bytes.fromhex("30770201010420")
        + private.to_bytes(32, "big")
        + bytes.fromhex("a00a06082a8648ce3d030107a14403420004")
        + public[0].to_bytes(32, "big")
        + public[1].to_bytes(32, "big")
    )
    body = base64.encodebytes(der).decode().replace("\n", "")
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    path.touch(mode=0o600)
    path.write_text(f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n")


def signed_token(key: Path, claims: dict[str, Any]) -> str:
    """A JWT with these claims, ES256-signed by the key file (RFC 7518, 3.4)."""
    body = "".join(key.read_text().splitlines()[1:-1])
    private = int.from_bytes(base64.b64decode(body)[7:39], "big")
    head = _base64url(json.dumps({"alg": "ES256", "typ": "JWT"}).encode())
    signed = f"{head}.{_base64url(json.dumps(claims).encode())}"
    digest = int.from_bytes(hashlib.sha256(signed.encode()).digest(), "big")
    while True:
        nonce = secrets.randbelow(_N - 1) + 1
        point = _multiply(nonce, _G)
        assert point is not None
        r = point[0] % _N
        s = pow(nonce, -1, _N) * (digest + r * private) % _N
        if r and s:
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
            return f"{signed}.{_base64url(signature)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
