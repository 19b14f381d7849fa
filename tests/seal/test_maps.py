"""Both maps give back what was sealed: every record, every binding, and nothing else."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.schema import NANOSECONDS, Unit, address_bytes, record_schema
from icrstore.seal import account_map, address_map
from icrstore.seal.encode import text
from icrstore.seal.epoch import Epoch, Kind, Role, new_atoms, share
from icrstore.seal.group import Part, by_hour
from icrstore.seal.planes import Form
from icrstore.seal.pools import DEFAULT, Pool, Pools
from icrstore.seal.rows import RowError, Segment, SelectorKeys
from icrstore.seal.runs import MERGED
from icrstore.seal.sealing import SealedEpoch, seal_epoch

HOUR = datetime(2026, 11, 20, 7, tzinfo=UTC)
HOUR_NANOSECONDS = int(HOUR.timestamp()) * 10**9

Record = tuple[Any, ...]  # the values of one record in column order


def some_records(seed: int, count: int, unit: Unit) -> list[Record]:
    """Records as tuples in column order; time in units since 1970, within `HOUR`."""
    rng = random.Random(seed)
    accounts = [f"account-{n}" for n in range(1, 8)] + ["konto-ü", "x" * 64]
    made: list[Record] = []
    for _ in range(count):
        protocol = rng.choice([6, 17, 17, 1, 50])
        ported = protocol in (6, 17)
        source = rng.choice(["192.168.1.7", "100.64.3.9", "81.2.69.142", "2001:db8:1:2::9"])
        public = rng.choice([None, "81.2.69.160", "81.2.69.161"]) if "." in source else None
        when = HOUR_NANOSECONDS // NANOSECONDS[unit] + rng.randrange(
            3600 * 10**9 // NANOSECONDS[unit]
        )
        made.append((
            when, protocol, source, rng.randrange(65536) if ported else None,
            rng.choice(["8.8.8.8", "17.253.4.125", "2a00:1450:4009::200e", "10.0.0.1"]),
            rng.choice([53, 443, 993, 123]) if ported else None,
            public, rng.randrange(1024, 1100) if public and ported else None,
            rng.choice(accounts),
        ))  # fmt: skip
    return made


def as_table(records: list[Record], unit: Unit) -> pa.Table:
    columns = list(zip(*records, strict=True))
    for index in (2, 4, 6):
        columns[index] = tuple(value and address_bytes(value) for value in columns[index])
    schema = record_schema(unit)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def sealed(
    *tables: pa.Table, pools: Pools = DEFAULT
) -> tuple[Epoch, dict[Role, bytes], SealedEpoch]:
    epoch, atoms = Epoch.new("tenant", HOUR, 0), new_atoms()
    groups = [group for table in tables for hour, group in by_hour(table)]
    return epoch, atoms, seal_epoch(epoch, atoms, groups, pools)


def opened(
    epoch: Epoch, atoms: dict[Role, bytes], made: SealedEpoch, kind: Kind, selector: bytes
) -> list[Segment]:
    bodies = {row.label: row.body for row in made.rows}
    keys = SelectorKeys(
        share(atoms["operator"], kind, selector),
        share(atoms["oversight"], kind, selector),
        epoch.eid,
        kind,
        selector,
    )
    return list(keys.open_all(bodies.get))


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_batches_kept_as_parts_are_sealed_as_one_table_of_all(unit: Unit) -> None:
    """With equal records in two of them, and one in which no address is translated."""
    several = [some_records(seed, count, unit) for seed, count in ((1, 300), (2, 1), (3, 40))]
    several += [several[2], [(*one[:6], None, None, one[8]) for one in several[2]]]
    one, joined = (
        dict(by_hour(given))[HOUR]
        for given in (
            as_table([each for records in several for each in records], unit),
            [Part.of(as_table(records, unit)) for records in several],
        )
    )
    assert list(account_map.pieces(joined)) == list(account_map.pieces(one))


def read_back(account: str, segments: list[Segment], unit: Unit) -> list[Record]:
    made: list[Record] = []
    for segment in segments:
        rows = account_map.read(segment)
        for i in range(segment.records):
            flags = int(rows.flags[i])
            made.append((
                int(rows.nanoseconds[i] + HOUR_NANOSECONDS) // NANOSECONDS[unit],
                int(rows.protocol[i]), _text(rows.addresses[rows.source[i]]),
                int(rows.source_port[i]) if flags & 1 else None,
                _text(rows.addresses[rows.destination[i]]),
                int(rows.destination_port[i]) if flags & 2 else None,
                _text(rows.addresses[rows.public[i]]) if flags & 4 else None,
                int(rows.public_port[i]) if flags & 8 else None, account,
            ))  # fmt: skip
    return made


def read_whole(segment: Segment) -> None:
    """Everything of it looked at: only then is it unpacked."""
    rows = account_map.read(segment)
    for name in ("addresses", "services", "service", "nanoseconds", "source", "destination",
                 "public", "source_port", "public_port"):  # fmt: skip
        getattr(rows, name)


def _text(address: Any) -> bytes:
    return bytes(address.tobytes())


def in_bytes(record: Record) -> Record:
    return tuple(
        value and address_bytes(str(value)) if index in (2, 4, 6) else value
        for index, value in enumerate(record)
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("count", [1, 40, 30_000])
def test_the_account_map_gives_back_every_record(unit: Unit, count: int) -> None:
    records = some_records(7, count, unit)
    epoch, atoms, made = sealed(as_table(records, unit))

    found: Counter[Record] = Counter()
    for account in {record[-1] for record in records}:
        segments = opened(epoch, atoms, made, "account", text(account))
        assert all(segment.records <= 4096 for segment in segments)
        found.update(read_back(account, segments, unit))

    assert found == Counter(in_bytes(record) for record in records)


def test_batches_of_two_precisions_seal_into_one_epoch() -> None:
    fine, coarse = some_records(1, 500, "us"), some_records(2, 500, "ms")
    epoch, atoms, made = sealed(as_table(fine, "us"), as_table(coarse, "ms"))

    segments = opened(epoch, atoms, made, "account", text("account-1"))

    wanted = [r for r in fine + coarse if r[-1] == "account-1"]
    assert sum(segment.records for segment in segments) == len(wanted)


def test_a_group_is_cut_at_the_hour() -> None:
    late = replace_hour(some_records(3, 200, "us"), timedelta(hours=1))
    table = as_table(some_records(3, 100, "us") + late, "us")

    groups = dict(by_hour(table))

    assert {hour: len(group) for hour, group in groups.items()} == {
        HOUR: 100,
        HOUR + timedelta(hours=1): 200,
    }


def replace_hour(records: list[Record], by: timedelta) -> list[Record]:
    return [(int(r[0] + by.total_seconds() * 10**6), *r[1:]) for r in records]


def test_the_address_map_names_each_holder_and_only_while_it_held_the_port() -> None:
    records = some_records(11, 20_000, "us")
    epoch, atoms, made = sealed(as_table(records, "us"))

    for public in ("81.2.69.160", "81.2.69.161"):
        selector = DEFAULT.selector(address_bytes(public), 0)
        truth = [r for r in records if (r[6] or r[2]) == public]
        bindings = [b for s in opened(epoch, atoms, made, "address", selector) for b in as_rows(s)]
        assert sum(count for *_, count in bindings) == len(truth)
        for protocol, flags, port, account, first, last, _ in bindings:
            inside = [
                r for r in truth
                if r[1] == protocol and (r[7] if r[6] else r[3]) == (port if flags & 1 else None)
                and first <= r[0] * 1000 - HOUR_NANOSECONDS <= last
            ]  # fmt: skip
            assert inside
            assert {r[-1] for r in inside} == {account}


def as_rows(segment: Segment) -> list[tuple[int, int, int, str, int, int, int]]:
    read = address_map.read(segment)
    return list(zip(read.protocol.tolist(), read.flags.tolist(), read.port.tolist(), read.account,
                    read.first.tolist(), read.last.tolist(), read.count.tolist(),
                    strict=True))  # fmt: skip


def test_a_dedicated_address_costs_one_binding_with_its_ports_merged_away() -> None:
    records = [(*r[:2], "81.2.69.142", *r[3:6], None, None, "account-1")
               for r in some_records(5, 3000, "us")]  # fmt: skip
    epoch, atoms, made = sealed(as_table(records, "us"))

    selector = DEFAULT.selector(address_bytes("81.2.69.142"), 0)
    (segment,) = opened(epoch, atoms, made, "address", selector)
    read = address_map.read(segment)

    assert segment.records == 1
    assert read.flags[0] == MERGED
    assert (read.port[0], read.last_port[0]) == (0, 65535)
    assert read.count[0] == 3000


def test_neighbours_in_one_ipv6_network_stay_apart() -> None:
    records = [(*r[:2], f"2001:db8:1:2::{n % 5 + 1}", *r[3:6], None, None, f"account-{n % 5}")
               for n, r in enumerate(some_records(5, 500, "us"))]  # fmt: skip
    epoch, atoms, made = sealed(as_table(records, "us"))

    (segment,) = opened(
        epoch, atoms, made, "address", DEFAULT.selector(address_bytes("2001:db8:1:2::"), 0)
    )
    read = address_map.read(segment)

    assert segment.records == 5
    held = {low.tobytes()[-1]: account for low, account in zip(read.low, read.account, strict=True)}
    assert held == {n + 1: f"account-{n}" for n in range(5)}


def test_the_port_before_translation_is_not_taken_for_the_public_one() -> None:
    records = [(*r[:2], "100.64.3.9", *r[3:6], "81.2.69.160", None, r[8])
               for r in some_records(5, 500, "us")]  # fmt: skip
    epoch, atoms, made = sealed(as_table(records, "us"))

    selector = DEFAULT.selector(address_bytes("81.2.69.160"), 0)
    (segment,) = opened(epoch, atoms, made, "address", selector)
    read = address_map.read(segment)

    assert not read.flags.any()
    assert not read.port.any()


def test_a_private_source_that_was_not_translated_has_no_address_row() -> None:
    records = [(*r[:2], "192.168.1.7", *r[3:6], None, None, r[8])
               for r in some_records(5, 200, "us")]  # fmt: skip
    epoch, atoms, made = sealed(as_table(records, "us"))

    selector = DEFAULT.selector(address_bytes("192.168.1.7"), 0)

    assert opened(epoch, atoms, made, "address", selector) == []


def test_columns_that_do_not_fit_are_refused_not_misread() -> None:
    records = some_records(9, 300, "us")
    epoch, atoms, made = sealed(as_table(records, "us"))
    segment = opened(epoch, atoms, made, "account", text("account-1"))[0]
    address = opened(
        epoch, atoms, made, "address", DEFAULT.selector(address_bytes("81.2.69.160"), 0)
    )[0]

    for read, whole in ((read_whole, segment), (address_map.read, address)):
        for cut in (*range(20), len(whole.columns) // 2, len(whole.columns) - 1):
            with pytest.raises(RowError):
                read(replace(whole, columns=whole.columns[:cut]))
        for records_said in (whole.records - 1, whole.records + 1):
            with pytest.raises(RowError):
                read(replace(whole, records=records_said))
        with pytest.raises(RowError):
            read(replace(whole, columns=b"\x02" + whole.columns[1:]))


def test_low_bits_come_back_whole_by_whatever_prefix() -> None:
    records = [(*r[:2], f"2001:db8:{n % 3}:{n % 5}::{n % 7}", *r[3:6], None, None, f"a-{n % 2}")
               for n, r in enumerate(some_records(5, 500, "us"))]  # fmt: skip
    for prefix in (32, 47, 48, 56, 63, 64, 65, 127, 128):
        pools = Pools(bytes(32), (Pool("2001:db8::/32", prefix),))
        epoch, atoms, made = sealed(as_table(records, "us"), pools=pools)
        found = set()
        for address in {address_bytes(r[2]) for r in records}:
            selector, pool = pools.selector(address, 0), pools.of(address)
            (segment,) = opened(epoch, atoms, made, "address", selector)
            network = pool.masked(address)
            found |= {
                bytes(a | b for a, b in zip(low.tobytes(), network, strict=True))
                for low in address_map.read(segment).low
            }
        assert found == {address_bytes(r[2]) for r in records}, prefix


def test_a_block_of_one_account_costs_one_binding_and_what_has_no_port_keeps_its_own() -> None:
    records = [(*r[:2], "100.64.3.9", *r[3:6], "81.2.69.160", r[7] and 1024 + 64 * (n % 9),
                f"a-{n % 3}")
               for n, r in enumerate(some_records(5, 900, "us"))]  # fmt: skip
    pools = Pools(bytes(32), (Pool("81.2.69.0/24", 32, 6),))
    epoch, atoms, made = sealed(as_table(records, "us"), pools=pools)
    ported = {r[7]: r[-1] for r in records if r[7] is not None}
    for port, account in ported.items():
        selector = pools.selector(address_bytes("81.2.69.160"), port + 63)
        (segment,) = opened(epoch, atoms, made, "address", selector)
        ((_, flags, first_port, held_by, *_, count),) = as_rows(segment)
        assert (flags, first_port, held_by) == (MERGED, port, account)
        assert address_map.read(segment).last_port[0] == port + 63
        assert count == sum(1 for r in records if r[7] == port)
    bare = pools.selector(address_bytes("81.2.69.160"), None)
    (segment,) = opened(epoch, atoms, made, "address", bare)
    kept = Counter({(r[1], r[-1]): 0 for r in records if r[7] is None})
    for protocol, flags, _, account, *_, count in as_rows(segment):
        assert flags == 0
        kept[protocol, account] += count
    assert kept == Counter((r[1], r[-1]) for r in records if r[7] is None)


@pytest.mark.parametrize("form", [account_map.FORM, address_map.FORM])
def test_a_forms_columns_stand_by_part(form: Form) -> None:
    """Planes of one part are packed together as they follow one another."""
    parts = [column.part for column in form.columns]
    assert parts == sorted(parts)
