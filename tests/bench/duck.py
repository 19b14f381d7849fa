"""The three questions as DuckDB answers them with one thread, from the two orders of `peers.duck`.

The address table has its addresses as whole numbers: of bytes DuckDB keeps the least and greatest
by their first eight alone, which are zero in every IPv4 address, so it would look at all of them
(36 ms instead of 1.4 about M). The record table keeps them as bytes: by numbers `services` takes
five times as long.

Answers have one shape whoever gives them, so that they can be compared row by row:
`resolve` the accounts, in order; `services` a row of destination, protocol, port, how many, first
and last for each; `reached` a row of network, how many, first and last for each network that was.
Addresses are 16 bytes in hex, times nanoseconds since 1970.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from icrstore.flow.schema import address_text
from icrstore.query.names import service
from icrstore.query.records import times_of
from icrstore.seal.pools import network_bits
from icrstore.warrant.statements import AccountSelector, AddressSelector
from tests.bench.peers.duck import SAME_WORK
from tests.bench.targets import Asked

Answer = list[Any]

_RESOLVE = """
SELECT DISTINCT account FROM address
WHERE address = ? AND port = ? AND protocol = ? AND observed_at BETWEEN ? AND ? ORDER BY account
"""
_ADDRESS_BY_NUMBER = """
CREATE TABLE address AS SELECT * REPLACE (address::BIT::UHUGEINT AS address) FROM by_bytes
ORDER BY address, port, observed_at
"""
_SERVICES = """
SELECT destination_address, protocol, destination_port, count(*),
       epoch_ns(min(observed_at)), epoch_ns(max(observed_at))
FROM record WHERE account = ? AND observed_at >= ? AND observed_at < ? GROUP BY ALL
"""
_REACHED = """
SELECT n.cidr, count(*), epoch_ns(min(observed_at)), epoch_ns(max(observed_at))
FROM record JOIN network AS n ON destination_address BETWEEN n.low AND n.high
WHERE account = ? AND observed_at >= ? AND observed_at < ? GROUP BY n.cidr
"""


class Duck:
    """One connection to a file that `load` made."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path), read_only=True, config={"threads": 1})

    def prepare(self, asked: Asked) -> None:
        """The networks of a question lie in a table before its time is taken."""
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE network (cidr text, low blob, high blob)"
        )
        if asked.targets:
            rows = [_range(target.cidr) for target in asked.targets]
            self._connection.executemany("INSERT INTO network VALUES (?, ?, ?)", rows)

    def answer(self, asked: Asked) -> list[Any]:
        if asked.purpose == "resolve":
            return self._resolve(asked)
        return self._by_account(asked)

    def close(self) -> None:
        self._connection.close()

    def _resolve(self, asked: Asked) -> list[Any]:
        selector = asked.selector
        assert isinstance(selector, AddressSelector)
        number = int.from_bytes(selector.address)
        values = [number, selector.port, selector.protocol,
                  selector.at - selector.tolerance, selector.at + selector.tolerance]  # fmt: skip
        return self._connection.execute(_RESOLVE, values).fetchall()

    def _by_account(self, asked: Asked) -> list[Any]:
        assert isinstance(asked.selector, AccountSelector)
        query = _SERVICES if asked.purpose == "services" else _REACHED
        values = [asked.selector.account, asked.hours.first, asked.hours.end]
        return self._connection.execute(query, values).fetchall()


def as_told(asked: Asked, rows: Sequence[Any]) -> list[Any]:
    """Rows as answers tell them, addresses and times as text, by the functions that ours uses."""
    if asked.purpose == "resolve":
        return [account for (account,) in rows]
    if not rows:
        return []
    *fields, first, last = zip(*rows, strict=True)
    times = [times_of(np.array(each)) for each in (first, last)]
    if asked.purpose == "services":
        return _services(asked, zip(*fields, *times, strict=True))
    names = ("cidr", "records", "first", "last")
    return [dict(zip(names, row, strict=True)) for row in zip(*fields, *times, strict=True)]


def _services(asked: Asked, rows: Iterable[Any]) -> list[dict[str, Any]]:
    assert isinstance(asked.selector, AccountSelector)
    account, named, text_of = asked.selector.account, cache(service), cache(address_text)
    return [
        {
            "account": account, "destination_address": text_of(address),
            "protocol": protocol, "destination_port": port, "service": named(protocol, port),
            "records": records, "first": first, "last": last,
        }
        for address, protocol, port, records, first, last in rows
    ]  # fmt: skip


def same_shape(asked: Asked, rows: Iterable[Any]) -> Answer:
    """Rows as DuckDB returned them, as answers are compared."""
    if asked.purpose == "resolve":
        return [account for (account,) in rows]
    made = [[*(v.hex() if isinstance(v, bytes) else v for v in row)] for row in rows]
    return sorted(made, key=repr)


def load(parts: Iterable[pa.Table], path: Path) -> int:
    """The records, part by part, into a new file in both orders; how many."""
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path), config={"threads": 1}) as connection:
        connection.execute(f"SET memory_limit = '1500MB'; SET temp_directory = '{path}.tmp'")
        connection.execute("SET preserve_insertion_order = false")
        for number, arrow in enumerate(parts):
            connection.register("arrow", arrow)
            into = "INSERT INTO records" if number else "CREATE TABLE records AS"
            connection.execute(f"{into} SELECT * FROM arrow")
        for statement in SAME_WORK:
            connection.execute(statement)
        connection.execute("ALTER TABLE address RENAME TO by_bytes")
        connection.execute(_ADDRESS_BY_NUMBER)
        connection.execute("DROP TABLE by_bytes")
        ((count,),) = connection.execute("SELECT count(*) FROM records").fetchall()
        connection.execute("DROP TABLE records")
        connection.execute("CHECKPOINT")
    return int(count)


def _range(cidr: str) -> tuple[str, bytes, bytes]:
    low, mask = network_bits(ip_network(cidr))
    return cidr, low, bytes(a | ~b & 0xFF for a, b in zip(low, mask, strict=True))


__all__ = ["Answer", "Duck", "as_told", "load", "same_shape"]
