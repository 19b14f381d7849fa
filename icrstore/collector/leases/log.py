"""What RADIUS accounting and a DHCP server's file are to who reads them: a log, fed line by line as
it comes, and the sessions that it tells of so far."""

import functools
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Protocol

import pyarrow as pa

from icrstore.collector.leases.table import WHOLE_ADDRESS, Session
from icrstore.flow.readers.times import LAST_SECOND
from icrstore.flow.schema import address_bytes
from icrstore.flow.validate import ACCOUNT_BYTES, account_failures

SECOND = 10**9


class Log(Protocol):
    """``feed`` takes whole lines in the order of the file; fed twice they say nothing new.

    ``noticed`` counts what their owner should know, by words that quote nothing of the log.
    """

    noticed: Counter[str]

    def feed(self, lines: Iterable[str], written: int) -> None:
        """``written``: when the file was changed last, in nanoseconds since 1970."""

    def sessions(self) -> list[Session]: ...

    def forget(self, before: int) -> None:
        """What ended before that moment, in nanoseconds since 1970."""


@functools.lru_cache(1 << 16)
def network_of(text: str) -> tuple[bytes, int]:
    """16 bytes and how many of their 128 bits, of an address or prefix. Raises ValueError."""
    address, slash, written = text.partition("/")
    packed, most = address_bytes(address), WHOLE_ADDRESS if ":" in address else 32
    if not slash:
        return packed, WHOLE_ADDRESS
    bits = int(written) + WHOLE_ADDRESS - most
    if not written.isdecimal() or bits > WHOLE_ADDRESS:
        raise ValueError("not a prefix")
    beyond = WHOLE_ADDRESS - bits
    return (int.from_bytes(packed) >> beyond << beyond).to_bytes(16), bits


def account_of(text: str | None, noticed: Counter[str]) -> str | None:
    """The account, if one may be retained under it; else the entry is nobody's, and counted."""
    if text and text.isascii() and text.isprintable() and len(text) <= ACCOUNT_BYTES:
        return text  # As nearly all are, which need no look that is so thorough.
    column = pa.array([text], pa.string())
    for reason, failing in account_failures(column, required=True):
        if failing.any():
            noticed[f"entries without an account that can be retained ({reason})"] += 1
            return None
    return text


def at_zone(local: datetime, zone: tzinfo | None) -> int | None:
    """Nanoseconds since 1970 of a time that was written without its zone; None where no zone was
    told: it is not guessed."""
    if zone is None:
        return None
    since = int(local.replace(tzinfo=zone).timestamp())
    return since * SECOND if 0 <= since <= LAST_SECOND else None


def seconds_of(text: str) -> int | None:
    """How many seconds, since 1970 or of a span; None where that is no number, or one that no
    record's time comes to."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= 10
    return int(text) if is_number and int(text) <= LAST_SECOND else None
