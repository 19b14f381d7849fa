"""The two primitives under every formula: an injective encoding and a labelled PRF."""

import hashlib
import hmac
import struct
import unicodedata


def enc(*parts: bytes) -> bytes:
    """``u16be(len x1) || x1 ... u16be(len xn) || xn``: no two lists share an encoding.

    ``enc(a, b) == enc(a) + enc(b)``, so what many encodings begin with is encoded once. Raises
    ValueError for a part longer than 65,535 bytes.
    """
    made = b""
    try:
        for part in parts:
            made += len(part).to_bytes(2, "big") + part
        return made
    except OverflowError:
        raise ValueError("a part longer than 65,535 bytes cannot be encoded") from None


def prf(key: bytes, label: str, *parts: bytes) -> bytes:
    """``P(k, L, x..) = HMAC-SHA256(k, enc("icr/v1/" || L, x..))``, 32 bytes."""
    return hmac.digest(key, enc(b"icr/v1/" + label.encode("ascii"), *parts), "sha256")


def digest(label: str, *parts: bytes) -> bytes:
    """``SHA-256(enc("icr/v1/" || L, x..))``: a hash that no other use of SHA-256 can repeat."""
    return hashlib.sha256(enc(b"icr/v1/" + label.encode("ascii"), *parts)).digest()


def text(value: str) -> bytes:
    """UTF-8 of the NFC form, so that one name has one encoding."""
    return (value if value.isascii() else unicodedata.normalize("NFC", value)).encode("utf-8")


def u8(value: int) -> bytes:
    return struct.pack(">B", value)


def u16(value: int) -> bytes:
    return struct.pack(">H", value)


def u32(value: int) -> bytes:
    return struct.pack(">I", value)
