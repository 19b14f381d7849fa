"""What RADIUS accounting and a DHCP server's file are to who reads them: a log, fed line by line as
it comes, and the sessions that it tells of so far."""

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
    """The account, if one may be retained under it; else the entry is nobody's, and counted."""
    column = pa.array([text], pa.string())
    for reason, failing in account_failures(column, required=True):
        if failing.any():
            noticed[f"entries without an account that can be retained ({reason})"] += 1
            return None
    return text


def at_zone(text: str, form: str, zone: tzinfo | None) -> int | None:
    """Nanoseconds since 1970 of a time written in this form (of `strptime`), without its zone.

    None where no zone was told: it is not guessed. Raises ValueError for another form.
    """
    local = datetime.strptime(text, form).replace(tzinfo=zone)
    return None if zone is None else int(local.astimezone(UTC).timestamp()) * SECOND
