"""Counts the input by itself: SQL in DuckDB over the very text, none of the project's readers.

What the answers say must equal it. Times are nanoseconds since 1970.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from deploy.demo import raw

SECOND = 10**9

# (destination, protocol, port or None) -> distinct records
Services = Counter[tuple[str, int, int | None]]

_LEASED = f"""
CREATE TABLE record AS SELECT DISTINCT lease.account, line.* EXCLUDE (account)
FROM ({raw.NDJSON}) AS line JOIN read_csv(?, header=true, all_varchar=true) AS lease
  ON lease.address = line.source_address
 AND line.moment >= epoch_ns(CAST("from" AS TIMESTAMP_NS))
 AND ("to" IS NULL OR line.moment < epoch_ns(CAST("to" AS TIMESTAMP_NS)))
"""  # noqa: S608 - of constants, as all below
_MOVED = """
CREATE TABLE record AS WITH read AS ({reading}),
ends AS (SELECT *, row_number() OVER () AS place,
    concat(source_address, ' ', source_port) AS near,
    concat(destination_address, ' ', destination_port) AS far FROM read),
-- A pair that is silent for an hour begins anew; who speaks first in it is the subscriber.
runs AS (SELECT *, count_if(is_new) OVER pair AS run FROM (
    SELECT *, coalesce(moment - lag(moment) OVER pair > 3600000000000, true) AS is_new FROM ends
    WINDOW pair AS (PARTITION BY protocol, least(near, far), greatest(near, far) ORDER BY place))
    WINDOW pair AS (PARTITION BY protocol, least(near, far), greatest(near, far) ORDER BY place)),
line AS (SELECT * EXCLUDE (place, near, far, is_new, run) FROM runs QUALIFY near = first_value(near)
    OVER (PARTITION BY protocol, least(near, far), greatest(near, far), run ORDER BY place)),
moved AS (SELECT min(moment) AS first, max(moment) AS last FROM ({ndjson})),
shift AS (SELECT first, last - (SELECT max(moment) FROM line) AS moved_by FROM moved)
SELECT DISTINCT coalesce(account, ?) AS account, moment + moved_by AS moment,
    line.* EXCLUDE (account, moment)
FROM line, shift WHERE moment + moved_by >= first
"""
_NAMED = f"CREATE TABLE record AS SELECT DISTINCT * FROM ({raw.NDJSON})"  # noqa: S608 - ours
# An account's record of the last hours whose port nobody else had within two minutes of it.
_UNIQUE = """
SELECT public_address, public_port, protocol, moment FROM record AS it
WHERE account = ? AND destination_port = ? AND public_address = ? AND NOT EXISTS (
    SELECT 1 FROM record AS other
    WHERE other.public_address = it.public_address AND other.public_port = it.public_port
      AND other.protocol = it.protocol AND other.account <> it.account
      AND abs(other.moment - it.moment) < 120000000000)
  AND moment < (SELECT max(moment) FROM record) - 120000000000
ORDER BY moment DESC LIMIT 1
"""
# One whose port another account had so soon after that a minute's doubt covers both.
_SHARED = """
SELECT it.public_address, it.public_port, it.protocol, it.moment
FROM record AS it JOIN record AS other
  ON other.public_address = it.public_address AND other.public_port = it.public_port
 AND other.protocol = it.protocol AND other.account <> it.account
 AND other.moment - it.moment BETWEEN 0 AND 50000000000
WHERE it.account = ? AND it.public_address = ?
  AND it.moment < (SELECT max(moment) FROM record) - 120000000000
ORDER BY it.moment DESC LIMIT 1
"""
_UNUSED = """
SELECT max(port) FROM range(1024, 65536) AS ports(port) WHERE port NOT IN (
    SELECT public_port FROM record WHERE public_address = ? AND public_port IS NOT NULL)
"""


@dataclass(frozen=True)
class Moment:
    """A public address, port and protocol in use at a whole second."""

    address: str
    port: int
    protocol: int
    at: datetime

    def typed(self) -> str:
        """As `icr --address` takes it."""
        protocol = {6: "tcp", 17: "udp"}.get(self.protocol, self.protocol)
        return f"{self.address},{self.port},{protocol},{self.at:%Y-%m-%dT%H:%M:%SZ}"


class Count:
    """The distinct records of an input, in memory."""

    def __init__(self, sql: str, *values: str) -> None:
        self._database = duckdb.connect()
        self._database.execute(sql, values)

    @classmethod
    def leased(cls, log: Path, leases: Path) -> "Count":
        """Of NDJSON without accounts: the source's holder at the time is whose record it is."""
        return cls(_LEASED, str(log), "none", str(leases))

    @classmethod
    def named(cls, log: Path) -> "Count":
        """Of NDJSON with accounts."""
        return cls(_NAMED, str(log), "none")

    @classmethod
    def moved(cls, source: Path, moved: Path, account: str) -> "Count":
        """Of a log's own text; what was pushed only tells by how much its times were moved."""
        reading = raw.reading(source)
        if reading is None:
            return cls.named(moved)
        sql = _MOVED.format(reading=reading, ndjson=raw.NDJSON)
        return cls(sql, str(source), raw.compression(source), str(moved), "none", account)

    def accounts(self) -> Counter[str]:
        return Counter(dict(self._all("SELECT account, count(*) FROM record GROUP BY account")))

    def span(self) -> tuple[datetime, datetime]:
        """The seconds of the first record and of the last."""
        ((first, last),) = self._all("SELECT min(moment), max(moment) FROM record")
        return _moment(first), _moment(last)

    def services(self, account: str) -> Services:
        found = self._all(
            "SELECT destination_address, protocol, destination_port, count(*) FROM record"
            " WHERE account = ? GROUP BY ALL", account,
        )  # fmt: skip
        counted: Services = Counter()
        for address, protocol, port, records in found:
            counted[plain(address), protocol, port] += records
        return counted

    def reached(self, account: str, cidr: str) -> tuple[int, int | None, int | None]:
        """How many records went into a network, the first and the last."""
        network = ipaddress.ip_network(cidr)
        found = [
            (records, first, last)
            for address, records, first, last in self._all(
                "SELECT destination_address, count(*), min(moment), max(moment) FROM record"
                " WHERE account = ? GROUP BY destination_address", account,
            )
            if ipaddress.ip_address(plain(address)) in network
        ]  # fmt: skip
        if not found:
            return 0, None, None
        records, first, last = zip(*found, strict=True)
        return sum(records), min(first), max(last)

    def holders(self, moment: Moment, tolerance_seconds: int, *, has_port: bool) -> set[str]:
        """Which accounts used the address within the tolerance, by exactly this port or any."""
        at, wide = int(moment.at.timestamp()) * SECOND, tolerance_seconds * SECOND
        return {account for (account,) in self._all(
            "SELECT DISTINCT account FROM record WHERE public_address = ?"
            " AND moment BETWEEN ? AND ? AND (NOT ? OR (public_port = ? AND protocol = ?))",
            moment.address, at - wide, at + wide, has_port, moment.port, moment.protocol,
        )}  # fmt: skip

    def unique(self, account: str, destination_port: int, address: str) -> Moment:
        """When this account alone had a port of the address."""
        return self._one(_UNIQUE, account, destination_port, address)

    def shared(self, account: str, address: str) -> Moment:
        """When this account had a port of the address that another had within the minute."""
        return self._one(_SHARED, account, address)

    def unused(self, near: Moment) -> Moment:
        """The same with a port that nobody had."""
        ((port,),) = self._all(_UNUSED, near.address)
        return Moment(near.address, port, near.protocol, near.at)

    def sources(self, account: str) -> list[Moment]:
        """The first record from each of its addresses, the busiest first."""
        found = self._all(
            "SELECT public_address, arg_min(public_port, moment), arg_min(protocol, moment),"
            " min(moment) FROM record"
            " WHERE account = ? AND public_port IS NOT NULL AND protocol IN (6, 17)"
            " GROUP BY public_address ORDER BY count(*) DESC", account,
        )  # fmt: skip
        return [Moment(plain(address), port, protocol, _moment(moment))
                for address, port, protocol, moment in found]  # fmt: skip

    def _one(self, sql: str, *values: Any) -> Moment:
        ((address, port, protocol, moment),) = self._all(sql, *values)
        return Moment(address, port, protocol, _moment(moment))

    def _all(self, sql: str, *values: Any) -> list[Any]:
        return self._database.execute(sql, values).fetchall()


def plain(address: str) -> str:
    """An address in the one spelling by which it is compared."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // SECOND, UTC)
