"""Ten thousand records that a test knows by heart: accounts, addresses and ports nobody else has.

All accounts share a prefix, all addresses two networks, and every account's connections take the
same eight source ports in turn, so a few needles stand for every one of them.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from typing import NamedTuple

from icrstore.flow.schema import address_bytes
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.pools import is_private
from icrstore.warrant.strict import time_text

HOURS = 10
HEAVY_RECORDS = 5_000  # of the first account, in the third hour: more than one row holds
LIGHT_RECORDS, LIGHT_ACCOUNTS = 500, 10  # of each other account, over all hours


class Record(NamedTuple):
    """As a collector reads it; ``observed_at`` in microseconds since 1970."""

    observed_at: int
    protocol: int
    source_address: str
    source_port: int
    destination_address: str
    destination_port: int
    post_nat_source_address: str | None
    post_nat_source_port: int | None
    account: str

    @property
    def hour(self) -> datetime:
        return hour_start(datetime.fromtimestamp(self.observed_at // 10**6, UTC))

    @property
    def public_address(self) -> str | None:
        """By which address the address map knows the account."""
        if self.post_nat_source_address is not None:
            return self.post_nat_source_address
        return None if is_private(address_bytes(self.source_address)) else self.source_address

    def line(self) -> bytes:
        at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self.observed_at)
        fields = {**self._asdict(), "observed_at": time_text(at)}
        told = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(told).encode() + b"\n"


@dataclass(frozen=True)
class Marks:
    """What nobody else's records have. Octets of three digits and groups of four, so that their
    text is long enough to be found by no chance."""

    account: str
    contact: str
    v4: bytes
    v6: bytes
    ports: tuple[int, ...]

    @classmethod
    def draw(cls) -> "Marks":
        draw = secrets.SystemRandom()
        v4 = bytes([draw.randint(110, 125), draw.randint(100, 255), draw.randint(100, 255)])
        v6 = b"\x2a" + bytes(draw.randint(0x10, 0xFF) for _ in range(7))
        ports = tuple(draw.sample(range(10_000, 65_536), 8))
        contact = f"@mail-{secrets.token_hex(6)}.example"
        return cls(f"acct-{secrets.token_hex(6)}-", contact, v4, v6, ports)

    def v4_text(self, host: int) -> str:
        return str(ip_address(self.v4 + bytes([host])))

    def v6_text(self, host: int) -> str:
        return str(ip_address(self.v6 + host.to_bytes(8, "big")))


@dataclass(frozen=True)
class Known:
    """The records of the HOURS hours from ``first`` on."""

    first: datetime
    marks: Marks
    records: tuple[Record, ...]

    @classmethod
    def make(cls, first: datetime) -> "Known":
        marks = Marks.draw()
        light = (_light(marks, n, first) for n in range(1, LIGHT_ACCOUNTS + 1))
        records = [*_heavy(marks, first), *(record for several in light for record in several)]
        return cls(first, marks, tuple(records))

    @property
    def end(self) -> datetime:
        return self.first + HOURS * HOUR

    @property
    def heavy(self) -> str:
        """The account with many records in the third hour."""
        return self.records[0].account

    @cached_property
    def accounts(self) -> list[str]:
        return sorted({record.account for record in self.records})

    @cached_property
    def public_addresses(self) -> set[str]:
        return {each.public_address for each in self.records if each.public_address is not None}

    def contact(self, account: str) -> str:
        """Where the account's subscriber reads mail."""
        return f"box{self.accounts.index(account)}{self.marks.contact}"

    @property
    def hours(self) -> list[datetime]:
        return [self.first + n * HOUR for n in range(HOURS)]

    def services(
        self, account: str, without: frozenset[datetime] = frozenset()
    ) -> Counter[tuple[str, int, int]]:
        """What an answer must count: records by destination, protocol and port."""
        return Counter(
            (each.destination_address, each.protocol, each.destination_port)
            for each in self.records
            if each.account == account and each.hour not in without
        )

    def ndjson(self) -> bytes:
        return b"".join(record.line() for record in self.records)


def _heavy(marks: Marks, first: datetime) -> Iterator[Record]:
    start = first + 2 * HOUR
    times = _times(start, start + HOUR, HEAVY_RECORDS)
    yield from _records(marks, 0, times, marks.v4_text(100), None)


def _light(marks: Marks, number: int, first: datetime) -> Iterator[Record]:
    """Of every three accounts one has IPv6, one its own IPv4, one shares a translated address."""
    times = [at + number for at in _times(first, first + HOURS * HOUR, LIGHT_RECORDS)]
    match number % 3:
        case 0:
            yield from _records(marks, number, times, marks.v6_text(number), None)
        case 1:
            shared = marks.v4_text(101)
            yield from _records(marks, number, times, f"192.168.0.{number}", shared)
        case _:
            yield from _records(marks, number, times, marks.v4_text(200 + number), None)


def _records(
    marks: Marks, number: int, times: list[int], source: str, public: str | None
) -> Iterator[Record]:
    for n, at in enumerate(times):
        port = marks.ports[n % len(marks.ports)]
        yield Record(
            observed_at=at,
            protocol=6 if n % 3 else 17,
            source_address=source,
            source_port=port,
            destination_address=marks.v4_text(110 + n % 7) if n % 5 else marks.v6_text(0xD00),
            destination_port=443,
            post_nat_source_address=public,
            post_nat_source_port=None if public is None else port,
            account=f"{marks.account}{number:02}",
        )


def _times(first: datetime, end: datetime, count: int) -> list[int]:
    start, span = int(first.timestamp()) * 10**6, int((end - first).total_seconds()) * 10**6
    return [start + n * span // count for n in range(count)]
