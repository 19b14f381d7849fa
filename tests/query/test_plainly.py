"""Purposes 2 and 3 against the plain slow way: every record in one table, equal ones as one, and a
loop over them. Records come again in other batches, epochs, units and chunks, at random."""

import ipaddress
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.schema import (
    NANOSECONDS,
    UNITS,
    Unit,
    address_bytes,
    address_text,
    record_schema,
)
from icrstore.query.coverage import Coverage, HourCoverage
from icrstore.query.names import service
from icrstore.query.reached import Matches
from icrstore.query.records import Records, time_of
from icrstore.query.services import Tally
from icrstore.seal import account_map
from icrstore.seal.epoch import HOUR
from icrstore.seal.group import by_hour
from icrstore.seal.rows import Segment
from icrstore.warrant.statements import Target

FIRST = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOURS = 4
START = int(FIRST.timestamp()) * 10**9
ACCOUNT = "zoe"
Row = dict[str, Any]
V4 = [address_bytes(f"198.51.{n % 3}.{n}") for n in range(12)]
V6 = [address_bytes(f"2001:db8:{n % 2}::{n}") for n in range(6)]
HOME = [address_bytes(text) for text in ("192.168.1.7", "192.168.1.8", "fd00::7")]
PUBLIC = [address_bytes(text) for text in ("203.0.113.9", "2001:db8:9::1")]


@dataclass(frozen=True)
class World:
    """Batches, each of one unit and sealed as an epoch of its own for each hour; times in
    nanoseconds since 1970, of which few differ, so that many records are equal or nearly."""

    batches: Sequence[tuple[Unit, Sequence[Row]]]

    @classmethod
    def of(cls, seed: int, times: int, translated: float) -> "World":
        rng = random.Random(seed)
        moments = sorted(rng.randrange(HOURS * 3600) * 10**9 for _ in range(times))
        every = [record(rng, moments, translated) for _ in range(120)]
        batches: list[tuple[Unit, Sequence[Row]]] = []
        for unit in rng.choices(UNITS, k=6):
            chosen = rng.choices(every, k=rng.randrange(1, 80))
            # A finer clock than a second's, where the batch has one.
            step = 0 if unit == "s" else NANOSECONDS[unit] * rng.randrange(2)
            batches.append((unit, [{**row, "at": row["at"] + step} for row in chosen]))
        return cls(batches)

    def segments(self) -> list[tuple[datetime, Segment]]:
        return [one for unit, rows in self.batches for one in sealed(unit, rows)]

    def distinct(self) -> list[Row]:
        every = [row for _, rows in self.batches for row in rows]
        return [dict(row) for row in {tuple(sorted(row.items())) for row in every}]

    def count(self) -> int:
        return sum(len(rows) for _, rows in self.batches)


def record(rng: random.Random, moments: Sequence[int], translated: float) -> Row:
    protocol = rng.choice([6, 6, 17, 17, 1])
    public = rng.choice(PUBLIC) if rng.random() < translated else None
    return {
        "at": rng.choice(moments),
        "protocol": protocol,
        "source_address": rng.choice(HOME),
        "source_port": port(rng, protocol, [0, 40_000, 40_001]),
        "destination_address": rng.choice(V4 + V6 + HOME[:1]),
        "destination_port": port(rng, protocol, [0, 53, 443, 65_535]),
        "post_nat_source_address": public,
        "post_nat_source_port": port(rng, protocol, [0, 50_001]) if public else None,
    }


def port(rng: random.Random, protocol: int, of: Sequence[int]) -> int | None:
    return None if protocol == 1 or rng.random() < 0.2 else rng.choice(of)


def sealed(unit: Unit, rows: Sequence[Row]) -> Iterator[tuple[datetime, Segment]]:
    schema = record_schema(unit)
    place = schema.get_field_index("observed_at")
    plain = schema.set(place, pa.field("observed_at", pa.int64()))
    values = [{**row, "observed_at": row["at"] // NANOSECONDS[unit], "account": ACCOUNT}
              for row in rows]  # fmt: skip
    for hour, group in by_hour(pa.Table.from_pylist(values, plain).cast(schema)):
        pieces = list(account_map.pieces(group))
        for number, piece in enumerate(pieces):
            yield hour, Segment(number, len(pieces) - 1, piece.records, piece.columns)


def in_parts(
    rng: random.Random, segments: list[tuple[datetime, Segment]]
) -> Iterator[list[tuple[datetime, Segment]]]:
    """Whole hours, some together, in no order within."""
    hours = sorted({hour for hour, _ in segments})
    while hours:
        some = hours[: rng.randrange(1, HOURS + 1)]
        hours = hours[len(some) :]
        part = [one for one in segments if one[0] in some]
        rng.shuffle(part)
        yield part


WORLDS = [(seed, times, translated) for seed in range(6)
          for times, translated in ((3, 0.5), (40, 0.0), (4000, 1.0), (400, 0.1))]  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icrstore.seal.account_map.RECORDS_PER_CHUNK", 7)


@pytest.mark.parametrize(("seed", "times", "translated"), WORLDS)
def test_services_are_counted_as_the_plain_way_counts(
    seed: int, times: int, translated: float
) -> None:
    world = World.of(seed, times, translated)
    tally = Tally()
    for part in in_parts(random.Random(seed), world.segments()):
        tally.add(Records(part))
    made = tally.report(ACCOUNT)
    distinct = world.distinct()
    assert (made.records, made.collapsed) == (len(distinct), world.count() - len(distinct))
    assert made.services == services_of(distinct)
    assert made.by_service == by_service_of(distinct)


def services_of(rows: Sequence[Row]) -> list[Row]:
    lines: dict[tuple[bytes, int, int | None], list[int]] = {}
    for row in rows:
        key = row["destination_address"], row["protocol"], row["destination_port"]
        lines.setdefault(key, []).append(row["at"])

    def order(line: tuple[tuple[bytes, int, int | None], list[int]]) -> Any:
        (address, protocol, number), at = line
        return -len(at), address, protocol, number is None, number

    return [
        {
            "account": ACCOUNT, "destination_address": address_text(address), "protocol": protocol,
            "service": service(protocol, number), "records": len(at), "first": time_of(min(at)),
            "last": time_of(max(at)), **({} if number is None else {"destination_port": number}),
        }
        for (address, protocol, number), at in sorted(lines.items(), key=order)
    ]  # fmt: skip


def by_service_of(rows: Sequence[Row]) -> list[Row]:
    names: dict[str, list[bytes]] = {}
    for row in rows:
        name = service(row["protocol"], row["destination_port"])
        names.setdefault(name, []).append(row["destination_address"])
    ordered = sorted(names.items(), key=lambda one: (-len(one[1]), one[0]))
    return [
        {"account": ACCOUNT, "service": name, "records": len(to), "destinations": len(set(to))}
        for name, to in ordered
    ]


CIDRS = ["198.51.0.0/16", "198.51.1.0/24", "198.51.2.2/31", "198.51.1.4/32", "0.0.0.0/0", "::/0",
         "2001:db8::/47", "2001:db8:1::5/128", "2001:db8:1::4/127", "fd00::/8", "10.0.0.0/8",
         "192.168.0.0/16", "::ffff:198.51.1.0/120", "2001:db8::/96"]  # fmt: skip


@pytest.mark.parametrize(("seed", "times", "translated"), WORLDS)
def test_targets_are_matched_as_the_plain_way_matches(
    seed: int, times: int, translated: float
) -> None:
    world, rng = World.of(seed, times, translated), random.Random(seed)
    targets = [target(rng, cidr) for cidr in rng.sample(CIDRS, rng.randrange(1, len(CIDRS)))]
    matches = Matches(targets)
    for part in in_parts(rng, world.segments()):
        matches.add(Records(part))
    distinct = world.distinct()
    assert matches.records == len(distinct)
    hours = Coverage(HourCoverage(FIRST + n * HOUR, "COMPLETE", ()) for n in range(HOURS))
    told = matches.verdicts(ACCOUNT, hours)
    assert [(one.verdict, one.records, one.first, one.last) for one in told] == [
        matched(distinct, one) for one in targets
    ]


def target(rng: random.Random, cidr: str) -> Target:
    first = FIRST + timedelta(seconds=rng.randrange(HOURS * 3600))
    end = FIRST + timedelta(seconds=rng.randrange(HOURS * 3600))
    return Target(cidr, min(first, end), max(first, end) + timedelta(seconds=1))


def matched(rows: Sequence[Row], one: Target) -> tuple[str, int, int | None, int | None]:
    network = ipaddress.ip_network(one.cidr)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        mapped = network.network_address.ipv4_mapped
        network = ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    first, end = (START + int((at - FIRST).total_seconds()) * 10**9 for at in (one.first, one.end))
    at = [row["at"] for row in rows
          if ipaddress.ip_address(address_text(row["destination_address"])) in network
          and first <= row["at"] < end]  # fmt: skip
    return ("YES", len(at), min(at), max(at)) if at else ("NO", 0, None, None)
