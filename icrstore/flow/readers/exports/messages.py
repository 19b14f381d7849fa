"""One export as the sets it is made of: NetFlow v5, v9 (RFC 3954) and IPFIX (RFC 7011).

A v5 export is one set of fixed records, under a number of its own: so all three are read alike.
"""

import struct
from dataclasses import dataclass

V5, V9, IPFIX = 5, 9, 10
V5_RECORDS = 5  # No version has a set of this number.
FIRST_DATA_SET = 256
LARGEST_BYTES = 65_535
MOST_SETS = 1024  # of one export: no exporter has a tenth

_V5 = struct.Struct(">HHIIIIBBH")
_V5_INTERVAL = 0x3FFF  # of its last two octets; the others say how
_V9 = struct.Struct(">HHIIII")
_IPFIX = struct.Struct(">HHIII")
_SET = struct.Struct(">HH")
_V5_RECORD_BYTES = 48
_HEADER_BYTES = {V5: _V5.size, V9: _V9.size, IPFIX: _IPFIX.size}
_TEMPLATE_SETS = {V9: (0, 1), IPFIX: (2, 3)}
_MILLISECOND, _SECOND = 10**6, 10**9


class NoExport(Exception):
    """It begins like no export of these versions."""


@dataclass(frozen=True)
class Message:
    """``sent`` and ``booted`` (when sysUpTime was 0; None in IPFIX) in nanoseconds since 1970.

    ``domain`` tells the senders within one exporter apart. ``sets`` are number and content of each
    set in order. ``is_whole`` is false where a length in it is not true: what follows is not here.
    ``is_sampled`` where v5 tells that its exporter looked at some packets only.
    """

    version: int
    domain: int
    sequence: int
    sent: int
    booted: int | None
    sets: list[tuple[int, bytes]]
    is_whole: bool
    is_sampled: bool = False

    @classmethod
    def parse(cls, payload: bytes) -> "Message":
        """Raises `NoExport` unless there is a whole header of a version that is known."""
        version = int.from_bytes(payload[:2])
        if len(payload) < _HEADER_BYTES.get(version, LARGEST_BYTES + 1):
            raise NoExport
        return {V5: _of_v5, V9: _of_v9, IPFIX: _of_ipfix}[version](payload)


def is_export(payload: bytes) -> bool:
    """Whether it is one whole export, of at least one record or template."""
    try:
        message = Message.parse(payload)
    except NoExport:
        return False
    return message.is_whole and bool(message.sets)


def begins_an_export(head: bytes) -> bool:
    """Whether these first bytes, cut anywhere, can be of an export."""
    version, start = int.from_bytes(head[:2]), _HEADER_BYTES.get(int.from_bytes(head[:2]), 0)
    if not start or len(head) < start + _SET.size:
        return False
    if version == V5:
        return 0 < int.from_bytes(head[2:4]) <= (LARGEST_BYTES - _V5.size) // _V5_RECORD_BYTES
    number, length = _SET.unpack_from(head, start)
    return length >= _SET.size and _is_set_of(version, number)


def length_of(buffer: bytes, at: int, *, is_all: bool) -> int | None:
    """How long the export is that begins there; None if more than the buffer has is needed to tell,
    or to have all of it, unless this is all there is. Raises `NoExport`.

    Of v9, which does not say, all sets that follow are one export, up to what can be no set: the
    numbers of versions are none of sets.
    """
    left = len(buffer) - at
    version = int.from_bytes(buffer[at : at + 2])
    start = _HEADER_BYTES.get(version)
    if (left >= 2 and start is None) or (is_all and left < (start or 2)):
        raise NoExport
    if start is None or left < start:
        return None
    if version == V9:
        return _length_of_v9(buffer, at, is_all)
    count = int.from_bytes(buffer[at + 2 : at + 4])
    length = max(count, start) if version == IPFIX else start + count * _V5_RECORD_BYTES
    return length if length <= left or is_all else None


def _length_of_v9(buffer: bytes, begin: int, is_all: bool) -> int | None:
    at = begin + _V9.size
    while at + _SET.size <= len(buffer):
        number, length = _SET.unpack_from(buffer, at)
        if not number and not length:
            return _after_padding(buffer, begin, at, is_all)
        is_end = not _is_set_of(V9, number) or length < _SET.size
        if is_end or at + length - begin > LARGEST_BYTES:
            return at - begin
        at += length
    return at - begin if is_all else None


def _after_padding(buffer: bytes, begin: int, at: int, is_all: bool) -> int | None:
    """Zeros belong to the export before them, but the last: a version begins with one."""
    end = min(begin + LARGEST_BYTES, len(buffer))
    rest = buffer[at:end].lstrip(b"\0")
    if rest:
        return end - len(rest) - 1 - begin
    return end - begin if is_all or end < len(buffer) else None


def _of_v5(payload: bytes) -> Message:
    head = _V5.unpack_from(payload)
    _, count, uptime, seconds, nanoseconds, sequence, kind, engine, sampling = head
    # Uptime has milliseconds, so finer times would only seem to be exact.
    sent = seconds * _SECOND + nanoseconds // _MILLISECOND * _MILLISECOND
    content = payload[_V5.size : _V5.size + count * _V5_RECORD_BYTES]
    is_whole = len(content) == count * _V5_RECORD_BYTES and len(payload) == _V5.size + len(content)
    booted = sent - uptime * _MILLISECOND
    # Nothing of what is not what it says: its records would be other bytes.
    sets = [(V5_RECORDS, content)] if content and is_whole else []
    domain, is_sampled = kind << 8 | engine, sampling & _V5_INTERVAL > 1
    return Message(V5, domain, sequence, sent, booted, sets, is_whole, is_sampled)


def _of_v9(payload: bytes) -> Message:
    _, _, uptime, seconds, sequence, domain = _V9.unpack_from(payload)
    sets, is_whole = _sets(payload, _V9.size, len(payload), V9)
    sent = seconds * _SECOND
    return Message(V9, domain, sequence, sent, sent - uptime * _MILLISECOND, sets, is_whole)


def _of_ipfix(payload: bytes) -> Message:
    _, length, seconds, sequence, domain = _IPFIX.unpack_from(payload)
    sets, is_whole = _sets(payload, _IPFIX.size, min(length, len(payload)), IPFIX)
    is_whole = is_whole and length == len(payload)
    return Message(IPFIX, domain, sequence, seconds * _SECOND, None, sets, is_whole)


def _sets(payload: bytes, at: int, end: int, version: int) -> tuple[list[tuple[int, bytes]], bool]:
    """The whole sets, and whether that was all of it; zeros at the end are padding."""
    sets: list[tuple[int, bytes]] = []
    while at + _SET.size <= end and len(sets) < MOST_SETS:
        number, length = _SET.unpack_from(payload, at)
        if length < _SET.size or at + length > end or not _is_set_of(version, number):
            break
        sets.append((number, payload[at + _SET.size : at + length]))
        at += length
    return sets, not any(payload[at:end])


def _is_set_of(version: int, number: int) -> bool:
    return number >= FIRST_DATA_SET or number in _TEMPLATE_SETS[version]
