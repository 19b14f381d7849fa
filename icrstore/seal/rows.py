"""Rows: a selector's segments, each under a label and a key that two shares make together."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hmac import HMAC

from icrstore.seal.encode import enc
from icrstore.seal.epoch import SUITE, Kind

RECORDS_PER_CHUNK = 4096
_NONCE = bytes(12)
_SUITE = bytes([SUITE])
_SHA512 = SHA512()
_NUMBERS = struct.Struct(">III")
# What `enc` makes of a chunk's number, and before an eid or a label: each has one length.
_CHUNK, _SIXTEEN = struct.Struct(">HI"), b"\x00\x10"
# What it makes of all that comes before an eid in a row's formulas, and of a kind after it.
_ROW, _SEG = enc(b"icr/v1/row") + _SIXTEEN, enc(b"icr/v1/seg") + _SIXTEEN
_KINDS: dict[Kind, bytes] = {kind: enc(kind.encode("ascii")) for kind in get_args(Kind)}


class RowError(Exception):
    """A row is corrupted or was tampered with."""


class Row(NamedTuple):
    label: bytes
    body: bytes


# Not frozen: thousands are made for an answer, and a frozen one takes twice as long.
@dataclass
class Segment:
    """One chunk of one selector: its number, the last chunk's number, its records, its columns."""

    chunk: int
    last_chunk: int
    records: int
    columns: bytes

    def encode(self) -> bytes:
        return _NUMBERS.pack(self.chunk, self.last_chunk, self.records) + self.columns


class SelectorKeys:
    """The labels and keys of one (epoch, kind, selector), from the shares of both roles."""

    def __init__(
        self, operator_share: bytes, oversight_share: bytes, eid: bytes, kind: Kind, selector: bytes
    ) -> None:
        self._secret = operator_share + oversight_share
        self._made: dict[int, tuple[bytes, bytes]] = {}
        # The chunk's number, or its label, is the last part: all before it is encoded once.
        self._row = _ROW + eid + _KINDS[kind] + enc(selector)
        self._seg = _SEG + eid + _SIXTEEN

    def label_and_key(self, chunk: int) -> tuple[bytes, bytes]:
        """``T_c``: 16 bytes of label, 32 bytes of key."""
        if chunk not in self._made:
            self._make(chunk, HMAC(self._secret, _SHA512))
        return self._made[chunk]

    def labels(self, chunk: int) -> tuple[bytes, bytes]:
        """The label of a chunk and of the one after it; the PRF is keyed once for both."""
        keyed = HMAC(self._secret, _SHA512)
        return self._make(chunk, keyed.copy())[0], self._make(chunk + 1, keyed)[0]

    def _make(self, chunk: int, keyed: HMAC) -> tuple[bytes, bytes]:
        keyed.update(self._row + _CHUNK.pack(4, chunk))
        made = keyed.finalize()
        self._made[chunk] = pair = made[:16], made[16:48]
        return pair

    def seal(self, segment: Segment) -> Row:
        """Seal one chunk. Its key seals once; GCM-SIV forgives a bug that would repeat it."""
        label, key = self._make(segment.chunk, HMAC(self._secret, _SHA512))
        sealed = AESGCMSIV(key).encrypt(_NONCE, pad(segment.encode()), self._aad(label))
        return Row(label, _SUITE + sealed)

    def open(self, chunk: int, body: bytes) -> Segment:
        """Open the body found under this chunk's label. Raises `RowError`."""
        label, key = self.label_and_key(chunk)
        if body[:1] != _SUITE:
            raise RowError("corrupted or tampered with")
        try:
            padded = AESGCMSIV(key).decrypt(_NONCE, body[1:], self._aad(label))
        except InvalidTag as error:
            raise RowError("corrupted or tampered with") from error
        return _parse(unpad(padded), chunk)

    def open_all(self, body_of: Callable[[bytes], bytes | None]) -> Iterator[Segment]:
        """Every chunk in order; nothing if the selector has no rows.

        ``body_of`` maps a label to a body. Raises `RowError` where a chunk is missing: the last
        chunk's number stands inside each chunk, so a shortened list cannot pass.
        """
        chunk, last = 0, 0
        while chunk <= last:
            body = body_of(self.label_and_key(chunk)[0])
            if body is None:
                if chunk == 0:
                    return
                raise RowError("corrupted or tampered with")
            segment = self.open(chunk, body)
            if chunk and segment.last_chunk != last:
                raise RowError("corrupted or tampered with")
            last = segment.last_chunk
            yield segment
            chunk += 1

    def _aad(self, label: bytes) -> bytes:
        return self._seg + label


def _parse(encoded: bytes, chunk: int) -> Segment:
    if len(encoded) < 12:
        raise RowError("corrupted or tampered with")
    number, last, records = _NUMBERS.unpack_from(encoded)
    if number != chunk or last < chunk or not 0 < records <= RECORDS_PER_CHUNK:
        raise RowError("corrupted or tampered with")
    return Segment(number, last, records, encoded[12:])


def pad(segment: bytes) -> bytes:
    """``u32 length || segment || zeros`` up to a Padmé length (at most 12 % more).

    After Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
    PURBs", PoPETs 2019, section 4.
    """
    length = len(segment)
    return b"".join((length.to_bytes(4), segment, bytes(padme(4 + length) - 4 - length)))


def unpad(padded: bytes) -> bytes:
    """The segment inside; raises `RowError` unless the padding is exactly what `pad` makes."""
    end = 4 + int.from_bytes(padded[:4], "big")
    if len(padded) < 4 or len(padded) != padme(end) or padded[end:].strip(b"\0"):
        raise RowError("corrupted or tampered with")
    return padded[4:end]


@lru_cache(maxsize=1 << 12)
def padme(length: int) -> int:
    """The Padmé length for ``length`` bytes: only the top log2(log2) bits of it stay free."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask
