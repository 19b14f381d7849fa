"""The digest of a body in its Content-Digest header, after RFC 9530: SHA-256 and nothing else."""

import base64
import hashlib
import re

from icrstore.wire.errors import DigestRefused

_SHA_256 = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):", re.ASCII)


def content_digest(sha256: bytes) -> str:
    """The header's value for a body with this SHA-256 (32 bytes)."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def content_digest_of(body: bytes) -> str:
    """The header's value for a body that is in memory, as sent: after any Content-Encoding."""
    return content_digest(hashlib.sha256(body).digest())


def parse_content_digest(value: str) -> bytes:
    """The SHA-256 in a header's value; raises DigestRefused(malformed-digest).

    Stricter than RFC 9530, on purpose: one member, sha-256, without parameters and in the one
    spelling that we write, so that two readers cannot pick different digests from one header.
    """
    match = _SHA_256.fullmatch(value)
    if match is None:
        raise DigestRefused("malformed-digest")
    sha256 = base64.b64decode(match[1])
    if content_digest(sha256) != value:  # The last character's spare bits were set.
        raise DigestRefused("malformed-digest")
    return sha256


def verify_content_digest(value: str, sha256: bytes) -> None:
    """Raise DigestRefused unless the header's value is of a body with this SHA-256.

    The hash may be computed as the body streams by; nothing of it may be believed before this.
    """
    if parse_content_digest(value) != sha256:
        raise DigestRefused("wrong-digest")
