"""Text signed by named keys, after C2SP signed-note and tlog-cosignature (Ed25519 only).

A note is a body that ends in a newline, an empty line, and one or more signature lines. Parsing is
strict and proves nothing: a body may be believed only after `verify`.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.tlog.errors import NoteError
from icrstore.wire import ed25519

ED25519 = 0x01
COSIGNATURE = 0x04
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
MAX_NOTE_BYTES = 1 << 17  # Room for the 16 post-quantum signatures that a reader must bear.

_KEY_BYTES = 32
_TIME_BYTES = 8
_LATEST_TIME = (1 << 63) - 1
_KEY_ID_BYTES = 4


@dataclass(frozen=True)
class Signature:
    """One signature line; its key may be unknown and its payload of any algorithm."""

    name: str
    key_id: bytes
    payload: bytes

    def line(self) -> str:
        """The signature line with its newline."""
        text = base64.b64encode(self.key_id + self.payload).decode()
        return f"\N{EM DASH} {self.name} {text}\n"


@dataclass(frozen=True)
class Note:
    """A parsed note: the body that is signed, with its last newline, and the signatures."""

    body: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note's bytes, UTF-8."""
        lines = "".join(signature.line() for signature in self.signatures)
        return f"{self.body}\n{lines}".encode()

    def with_signatures(self, more: Iterable[Signature]) -> Self:
        """The same note with more signatures, each kept once and in order."""
        return replace(self, signatures=tuple(dict.fromkeys((*self.signatures, *more))))


@dataclass(frozen=True)
class VerifierKey:
    """A public key that a reader knows by name: `kind` is ED25519 or COSIGNATURE."""

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        known = self.kind in (ED25519, COSIGNATURE) and len(self.public) == _KEY_BYTES
        if not known or not is_key_name(self.name):
            raise NoteError("malformed-key")

    @property
    def key_id(self) -> bytes:
        """The four bytes that tell this key from others of its name."""
        material = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(material).digest()[:_KEY_ID_BYTES]

    def text(self) -> str:
        """The key as one word: name+key id+base64(kind || public key)."""
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text()` wrote; raises NoteError(malformed-key)."""
        name, *rest = text.split("+", 2)
        material = _decode_base64(rest[1], "malformed-key") if len(rest) == 2 else b""
        if not material:
            raise NoteError("malformed-key")
        key = cls(name, material[0], material[1:])
        if key.text() != text:  # Also where the key id is another's, or not in lower case.
            raise NoteError("malformed-key")
        return key

    def verify(self, body: str, payload: bytes) -> int | None:
        """Check this key's signature on the body; a cosignature's Unix time in seconds, or None.

        Raises NoteError(bad-signature).
        """
        if self.kind == ED25519:
            self._check(payload, body.encode())
            return None
        unix_seconds = int.from_bytes(payload[:_TIME_BYTES], "big")
        if unix_seconds > _LATEST_TIME:
            raise NoteError("bad-signature")
        self._check(payload[_TIME_BYTES:], cosigned_message(body, unix_seconds))
        return unix_seconds

    def _check(self, signature: bytes, message: bytes) -> None:
        try:
            ed25519.verify(self.public, signature, message)
        except InvalidSignature:
            raise NoteError("bad-signature") from None


@dataclass(frozen=True)
class SigningKey:
    """A named private key; which of the two kinds of signature it makes is told by the method."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    def verifier(self, kind: int) -> VerifierKey:
        """The public key by which `sign` (ED25519) or `cosign` (COSIGNATURE) is checked."""
        return VerifierKey(self.name, kind, self.private.public_key().public_bytes_raw())

    def sign(self, body: str) -> Signature:
        """An Ed25519 signature on the body."""
        payload = self.private.sign(body.encode())
        return Signature(self.name, self.verifier(ED25519).key_id, payload)

    def cosign(self, body: str, unix_seconds: int) -> Signature:
        """A witness's timestamped cosignature on a checkpoint's body."""
        signature = self.private.sign(cosigned_message(body, unix_seconds))
        payload = unix_seconds.to_bytes(_TIME_BYTES, "big") + signature
        return Signature(self.name, self.verifier(COSIGNATURE).key_id, payload)


def cosigned_message(body: str, unix_seconds: int) -> bytes:
    """What a cosignature signs (C2SP tlog-cosignature, Ed25519 signed message)."""
    return f"cosignature/v1\ntime {unix_seconds}\n{body}".encode()


def is_key_name(name: str) -> bool:
    """Whether this may name a key: not empty, no space of any script, no plus, no control."""
    return bool(name) and not any(each.isspace() or each < " " or each == "+" for each in name)


def parse_note(encoded: bytes) -> Note:
    """A note from its bytes; raises NoteError(malformed-note)."""
    text = decode_text(encoded)
    # The last empty line divides, since a body may hold empty lines and signatures may not.
    body, empty_line, lines = text.rpartition("\n\n")
    if not empty_line:
        raise NoteError("malformed-note")
    return Note(body + "\n", _parse_signature_lines(lines))


def parse_signatures(encoded: bytes) -> tuple[Signature, ...]:
    """Signature lines alone, one or more, as a witness answers; raises NoteError."""
    return _parse_signature_lines(decode_text(encoded))


def verify(note: Note, known: Iterable[VerifierKey]) -> dict[VerifierKey, int | None]:
    """The known keys that signed this note, each with its cosignature's Unix time or None.

    1. A signature by an unknown name and key id is ignored.
    2. One by a known key must verify, or the whole note is refused (bad-signature).
    3. At least one known key must have signed (unsigned).

    A key that signed twice counts once, with its latest time.
    """
    keys = {(key.name, key.key_id): key for key in known}
    signers: dict[VerifierKey, int | None] = {}
    for signature in note.signatures:
        key = keys.get((signature.name, signature.key_id))
        if key is None:
            continue
        unix_seconds, earlier = key.verify(note.body, signature.payload), signers.get(key)
        if earlier is None or (unix_seconds is not None and unix_seconds > earlier):
            signers[key] = unix_seconds
    if not signers:
        raise NoteError("unsigned")
    return signers


def decode_text(encoded: bytes) -> str:
    """UTF-8 of bounded length with no control character but newline; raises NoteError."""
    too_large = len(encoded) > MAX_NOTE_BYTES
    if too_large or _CONTROL.search(encoded):
        raise NoteError("malformed-note")
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise NoteError("malformed-note") from None


def decode_hash(text: str, reason: str) -> bytes:
    """32 bytes from one line of base64; raises NoteError(reason)."""
    decoded = _decode_base64(text, reason)
    if len(decoded) != hashlib.sha256().digest_size:
        raise NoteError(reason)
    return decoded


def _parse_signature_lines(lines: str) -> tuple[Signature, ...]:
    if not lines.endswith("\n"):
        raise NoteError("malformed-note")
    return tuple(_parse_signature_line(line) for line in lines[:-1].split("\n"))


def _parse_signature_line(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\N{EM DASH}" or not is_key_name(parts[1]):
        raise NoteError("malformed-note")
    decoded = _decode_base64(parts[2], "malformed-note")
    if len(decoded) <= _KEY_ID_BYTES:
        raise NoteError("malformed-note")
    return Signature(parts[1], decoded[:_KEY_ID_BYTES], decoded[_KEY_ID_BYTES:])


def _decode_base64(text: str, reason: str) -> bytes:
    """RFC 4648 section 4, in the one spelling that encoding would give."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        raise NoteError(reason) from None
    if base64.b64encode(decoded).decode() != text:
        raise NoteError(reason)
    return decoded
