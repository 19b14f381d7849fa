"""What a log of leases - RADIUS accounting, a DHCP server's file - is to who reads it: lines that are
fed as they come, and the sessions that they tell of so far."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from ipaddress import ip_network
from typing import Protocol

import pyarrow as pa

from icrstore.collector.leases.table import Session
from icrstore.flow.validate import account_failures

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


def network_of(text: str) -> tuple[bytes, int]:
    """16 bytes and how many of their 128 bits, of an address or prefix. Raises ValueError."""
    found = ip_network(text.strip(), strict=False)
    if found.version == 4:
        packed = bytes(10) + b"\xff\xff" + found.network_address.packed
        return packed, 96 + found.prefixlen
    return found.network_address.packed, found.prefixlen


def account_of(text: str | None, noticed: Counter[str]) -> str | None:
    """The account, if one may be retained under it; else its sessions are nobody's, which counts."""
    column = pa.array([text], pa.string())
    for reason, failing in account_failures(column, required=True):
        if failing.any():
            noticed[f"entries without an account that can be retained ({reason})"] += 1
            return None
    return text


def at_zone(local: datetime, zone: tzinfo | None) -> int | None:
    """Nanoseconds since 1970 of a time that is written without its zone; None if none was told."""
    if local.tzinfo is None and zone is None:
        return None
    moment = local if local.tzinfo else local.replace(tzinfo=zone)
    return round((moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * (
        SECOND
    )
