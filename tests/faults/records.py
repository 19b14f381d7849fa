"""Seeded records: as a collector's file has them, as a batch has them, as the store gives them."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from icrstore.flow.schema import address_bytes, record_schema
from icrstore.seal.epoch import HOUR, hour_start

# A record may be 48 h old when it is pushed; an hour may pass before a test is through.
HOURS_BACK = 46


@dataclass(frozen=True, order=True)
class Record:
    """Every field of a record, so that two are equal only if a store must hold them as equal."""

    account: str
    milliseconds: int
    protocol: int
    source: str
    source_port: int | None
    destination: str
    destination_port: int | None
    public: str | None = None
    public_port: int | None = None

    @property
    def observed_at(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.milliseconds)

    def line(self) -> str:
        """As NDJSON has it."""
        named = {
            "account": self.account,
            "observed_at": self.observed_at.strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{self.milliseconds % 1000:03d}Z",
            "protocol": self.protocol,
            "source_address": self.source,
            "source_port": self.source_port,
            "destination_address": self.destination,
            "destination_port": self.destination_port,
            "post_nat_source_address": self.public,
            "post_nat_source_port": self.public_port,
        }
        return json.dumps({name: value for name, value in named.items() if value is not None})


def table(records: Sequence[Record]) -> pa.Table:
    """As a batch has them."""
    columns: list[list[Any]] = [
        [each.milliseconds for each in records],
        [each.protocol for each in records],
        [address_bytes(each.source) for each in records],
        [each.source_port for each in records],
        [address_bytes(each.destination) for each in records],
        [each.destination_port for each in records],
        [each.public and address_bytes(each.public) for each in records],
        [each.public_port for each in records],
        [each.account for each in records],
    ]
    schema = record_schema("ms")
    named = dict(zip(schema.names, columns, strict=True))
    return pa.Table.from_pydict(named, schema=schema)


def make(
    chance: random.Random, accounts: Sequence[str], count: int, hours: int = HOURS_BACK
) -> list[Record]:
    """Distinct records of these accounts, in the last so many whole hours."""
    end = int(hour_start(datetime.now(UTC)).timestamp() * 1000)
    span = int(hours * HOUR.total_seconds() * 1000)
    # No two share a moment, so that no two are equal.
    moments = chance.sample(range(end - span, end), count)
    return [_record(chance, chance.choice(accounts), moment) for moment in moments]


def _record(chance: random.Random, account: str, milliseconds: int) -> Record:
    protocol = chance.choice((6, 17, 1))
    ports: tuple[int | None, int | None] = (None, None)
    if protocol != 1:
        ports = chance.randrange(1024, 65536), chance.choice((None, 53, 443, 993))
    six = chance.random() < 0.3
    source = (
        f"2001:db8:{chance.randrange(1, 4096):x}::1" if six else f"10.0.0.{chance.randrange(9)}"
    )
    translated = not six and chance.random() < 0.5
    return Record(
        account,
        milliseconds,
        protocol,
        source,
        ports[0],
        f"198.51.100.{chance.randrange(200)}",
        ports[1],
        "203.0.113.7" if translated else None,
        chance.randrange(1024, 65536) if translated and protocol != 1 else None,
    )
