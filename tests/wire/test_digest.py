"""Content-Digest: one spelling, one algorithm, one answer."""

import hashlib

import pytest

from icrstore.wire.digest import (
    content_digest,
    content_digest_of,
    parse_content_digest,
    verify_content_digest,
)
from icrstore.wire.errors import DigestRefused

# RFC 9530 appendix D gives this value for the body {"hello": "world"} and a newline.
RFC_BODY = b'{"hello": "world"}\n'
RFC_DIGEST = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def test_the_value_is_that_of_the_rfc() -> None:
    assert content_digest_of(RFC_BODY) == RFC_DIGEST
    verify_content_digest(RFC_DIGEST, hashlib.sha256(RFC_BODY).digest())


def test_a_digest_computed_as_the_body_streams_by_is_the_same() -> None:
    hasher = hashlib.sha256()
    for byte in RFC_BODY:
        hasher.update(bytes([byte]))
    verify_content_digest(RFC_DIGEST, hasher.digest())


def test_it_refuses_another_body() -> None:
    for body in (b"", RFC_BODY[:-1], RFC_BODY + b"\n"):
        with pytest.raises(DigestRefused, match="wrong-digest"):
            verify_content_digest(RFC_DIGEST, hashlib.sha256(body).digest())


def test_it_refuses_a_header_with_any_bit_flipped() -> None:
    sha256 = hashlib.sha256(RFC_BODY).digest()
    for position, bit in ((at, bit) for at in range(len(RFC_DIGEST)) for bit in range(7)):
        flipped = chr(ord(RFC_DIGEST[position]) ^ 1 << bit)
        with pytest.raises(DigestRefused):
            verify_content_digest(
                RFC_DIGEST[:position] + flipped + RFC_DIGEST[position + 1 :], sha256
            )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256=::",
        RFC_DIGEST + " ",
        " " + RFC_DIGEST,
        RFC_DIGEST + ";a=1",
        f"{RFC_DIGEST}, {RFC_DIGEST}",
        f"sha-512=:AAAA:, {RFC_DIGEST}",
        RFC_DIGEST.replace("sha-256", "SHA-256"),
        RFC_DIGEST.replace("sha-256", "md5"),
        RFC_DIGEST.replace(":", '"'),
        RFC_DIGEST.replace("=:", ":"),
        RFC_DIGEST.replace("Dg=:", "Dh=:"),
        RFC_DIGEST.replace("/", "_"),
        content_digest(bytes(31)),
        content_digest(bytes(33)),
    ],
)
def test_it_refuses_any_other_spelling(value: str) -> None:
    with pytest.raises(DigestRefused, match="malformed-digest"):
        parse_content_digest(value)
