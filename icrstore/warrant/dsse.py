"""DSSE envelopes: a signature over exact bytes and what kind of statement they are.

After the DSSE protocol, version 1 (secure-systems-lab/dsse): PAE, Ed25519 (RFC 8032). The list of
signatures leaves room for a second, post-quantum one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.warrant.strict import (
    MAX_STATEMENT_BYTES,
    Fields,
    StatementError,
    dump,
    encode_base64,
    parse_object,
)
from icrstore.wire import ed25519

_TYPE = "application/vnd.icr.{kind}.v1+json"
MOST_SIGNATURES = 8


def key_id(public_key: bytes) -> str:
    """``SHA-256(public key)[:8]`` in hex: how a signature names its key."""
    return hashlib.sha256(public_key).digest()[:8].hex()


def raw_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def pae(kind: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is really signed."""
    name = _TYPE.format(kind=kind).encode("ascii")
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


@dataclass(frozen=True)
class Signature:
    keyid: str
    sig: bytes


@dataclass(frozen=True)
class Envelope:
    """A statement as signed: its kind, its exact bytes and who signed."""

    kind: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def sign(cls, kind: str, value: Mapping[str, Any], *keys: Ed25519PrivateKey) -> "Envelope":
        made = cls(kind, dump(value), ())
        for key in keys:
            made = made.add(key)
        return made

    def add(self, key: Ed25519PrivateKey) -> "Envelope":
        """The same bytes with one more signature."""
        signed = Signature(key_id(raw_public(key)), key.sign(pae(self.kind, self.payload)))
        return Envelope(self.kind, self.payload, (*self.signatures, signed))

    @classmethod
    def parse(cls, encoded: bytes, kind: str) -> "Envelope":
        """An envelope of ``kind`` from its JSON. Raises `StatementError`; checks no signature."""
        return cls.read(parse_object(encoded), kind)

    @classmethod
    def read(cls, value: Any, kind: str, place: str = "",
             longest: int = MAX_STATEMENT_BYTES) -> "Envelope":  # fmt: skip
        """The same from an object that stands inside another (already parsed strictly), with a
        payload of at most ``longest`` bytes."""
        fields = Fields(value, place)
        if fields.text("payloadType") != _TYPE.format(kind=kind):
            raise StatementError("wrong-kind", "payloadType")
        payload = fields.base64("payload", longest=longest)
        signatures = fields.items("signatures", _signature, 1, MOST_SIGNATURES)
        fields.finish()
        if len({signature.keyid for signature in signatures}) != len(signatures):
            raise StatementError("duplicate-signature", "signatures")
        return cls(kind, payload, signatures)

    def encode(self) -> bytes:
        return dump(self.to_object())

    def to_object(self) -> dict[str, Any]:
        """The envelope as an object, to stand inside another; its payload's bytes stay exact."""
        return {
            "payloadType": _TYPE.format(kind=self.kind),
            "payload": encode_base64(self.payload),
            "signatures": [
                {"keyid": signature.keyid, "sig": encode_base64(signature.sig)}
                for signature in self.signatures
            ],
        }

    @property
    def sha256(self) -> bytes:
        """Every ``x_sha256`` of a statement: over the payload bytes."""
        return hashlib.sha256(self.payload).digest()

    def fields(self, longest: int = MAX_STATEMENT_BYTES) -> Fields:
        """The payload's fields, its version checked."""
        fields = Fields(parse_object(self.payload, longest))
        fields.version()
        return fields

    def verify(self, public_key: bytes) -> None:
        """Check that this key signed; raises `StatementError` (not-signed, bad-signature)."""
        signature = next((s for s in self.signatures if s.keyid == key_id(public_key)), None)
        if signature is None:
            raise StatementError("not-signed", self.kind)
        try:
            ed25519.verify(public_key, signature.sig, pae(self.kind, self.payload))
        except InvalidSignature as error:
            raise StatementError("bad-signature", self.kind) from error


def _signature(value: Any, place: str) -> Signature:
    fields = Fields(value, place)
    made = Signature(fields.hexadecimal("keyid", 8).hex(), fields.base64("sig", 64))
    fields.finish()
    return made
