"""Both codecs against tests/vectors/codec.json: each is read, and what we write has its planes."""

import hashlib
import json
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from icrstore.flow.schema import NANOSECONDS, Unit, record_schema
from icrstore.seal import account_map, address_map
from icrstore.seal.bindings import BindingGroup
from icrstore.seal.group import Group, by_hour
from icrstore.seal.planes import BITMAP_BYTES, Form
from icrstore.seal.pools import Pool
from icrstore.seal.rows import RowError, Segment
from icrstore.seal.runs import Networks, Runs
from tests.vectors import make_codec

Vector = dict[str, Any]
Row = list[Any]
PATH = make_codec.HERE / "codec.json"
VECTORS: dict[str, list[Vector]] = json.loads(PATH.read_text(encoding="utf-8"))
HOUR = datetime(2026, 11, 20, 7, tzinfo=UTC)

of_accounts = pytest.mark.parametrize("vector", VECTORS["account"], ids=lambda v: v["name"])
of_addresses = pytest.mark.parametrize("vector", VECTORS["address"], ids=lambda v: v["name"])


def segment_of(vector: Vector) -> Segment:
    return Segment(0, 0, vector["records"], bytes.fromhex(vector["columns"]))


def rows_of(kind: str, vector: Vector) -> list[Row]:
    """The vector's rows, of which a large one shows the hash alone."""
    cases = make_codec.account_cases() if kind == "account" else make_codec.address_cases()
    (rows,) = (rows for name, _, rows, _ in cases if name == vector["name"])
    return rows


def sha256(rows: list[Row]) -> str:
    compact = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(compact.encode()).hexdigest()


def test_the_file_is_what_its_maker_writes() -> None:
    assert PATH.read_text(encoding="utf-8") == make_codec.written(make_codec.codec_vectors())


@of_accounts
def test_a_segment_of_records_is_read(vector: Vector) -> None:
    rows = account_map.read(segment_of(vector))
    addresses = [each.tobytes().hex() for each in rows.addresses]
    made: list[Row] = []
    for time, protocol, flags, *ends in zip(
        rows.nanoseconds.tolist(), rows.protocol.tolist(), rows.flags.tolist(),
        rows.source.tolist(), rows.source_port.tolist(), rows.destination.tolist(),
        rows.destination_port.tolist(), rows.public.tolist(), rows.public_port.tolist(),
        strict=True,
    ):  # fmt: skip
        source, sport, destination, dport, public, pport = ends
        made.append([
            time // NANOSECONDS[vector["unit"]], protocol,
            addresses[source], sport if flags & 1 else None,
            addresses[destination], dport if flags & 2 else None,
            addresses[public] if flags & 4 else None, pport if flags & 8 else None,
        ])  # fmt: skip
    assert sha256(made) == vector["rows_sha256"]
    assert made == vector.get("rows", made)


@of_addresses
def test_a_segment_of_bindings_is_read(vector: Vector) -> None:
    held, scale = address_map.read(segment_of(vector)), NANOSECONDS[vector["unit"]]
    made = [list(row) for row in zip(
        [low.tobytes().hex() for low in held.low], held.protocol.tolist(), held.flags.tolist(),
        held.port.tolist(), held.last_port.tolist(), held.account,
        (held.first // scale).tolist(), (held.last // scale).tolist(), held.count.tolist(),
        strict=True,
    )]  # fmt: skip
    assert sha256(made) == vector["rows_sha256"]
    assert made == vector.get("rows", made)


def unpacked(form: Form, columns: bytes, counts: list[int]) -> tuple[dict[int, bytes], bytes]:
    """The planes by number, whichever way they are written, and what stands behind them."""
    plain, packed = (
        int.from_bytes(columns[at : at + BITMAP_BYTES], "little") for at in (0, BITMAP_BYTES)
    )
    rows = [counts[column.of] for column, numbers in form.numbered() for _ in numbers]
    at = 2 * BITMAP_BYTES
    planes = {}
    for number in range(len(rows)):
        if plain >> number & 1:
            planes[number] = columns[at : at + rows[number]]
            at += rows[number]
    content = zstandard.ZstdDecompressor().decompressobj().decompress(columns[at:] or EMPTY)
    at = 0
    for number in range(len(rows)):
        if packed >> number & 1:
            planes[number] = content[at : at + rows[number]]
            at += rows[number]
    return {number: plane for number, plane in planes.items() if any(plane)}, content[at:]


EMPTY = zstandard.ZstdCompressor().compress(b"")


def group_of(unit: Unit, rows: list[Row]) -> Group:
    start = int(HOUR.timestamp()) * 10**9 // NANOSECONDS[unit]
    schema = record_schema(unit)
    columns = list(zip(*(
        [start + time, protocol, *(_address(e) if n % 2 == 0 else e for n, e in enumerate(ends)),
         "zoe"]
        for time, protocol, *ends in rows
    ), strict=True))  # fmt: skip
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
    ((_, group),) = by_hour(table)
    return group


@of_accounts
def test_records_are_written_in_the_planes_of_the_vector(vector: Vector) -> None:
    group = group_of(vector["unit"], rows_of("account", vector))
    (piece,) = account_map.pieces(group)
    wanted = segment_of(vector)
    assert (piece.account, piece.records) == ("zoe", wanted.records)
    assert piece.columns[:6] == wanted.columns[:6]
    counts = [int.from_bytes(wanted.columns[at : at + 2], "little") for at in (2, 4)]
    one, other = (
        unpacked(account_map.FORM, columns[6:], [*counts, wanted.records])
        for columns in (piece.columns, wanted.columns)
    )
    assert one == other


def _address(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)


@of_addresses
def test_bindings_are_written_in_the_planes_of_the_vector(vector: Vector) -> None:
    columns = [np.array(column) for column in zip(*rows_of("address", vector), strict=True)]
    low, protocol, flags, port, last_port, account, first, last, count = columns
    accounts, of = np.unique(account, return_inverse=True)
    nothing = np.zeros(len(low), np.int64)
    addresses = np.frombuffer(bytes.fromhex("".join(low.tolist())), np.uint8).reshape(-1, 16)
    group = BindingGroup(vector["unit"], accounts.tolist(), addresses, *[nothing] * 8)
    runs = Runs(
        networks=Networks([(bytes(16), Pool("::/0", 0))], nothing),
        network=nothing, block=nothing, address=np.arange(len(low)), protocol=protocol, flags=flags,
        port=port, last_port=last_port, account=of, first=first, last=last, count=count,
    )  # fmt: skip
    (piece,) = address_map.pieces(group, runs)
    wanted = segment_of(vector)
    assert piece.columns[:4] == wanted.columns[:4]
    one, other = (
        unpacked(address_map.FORM, columns[4:], [wanted.records])
        for columns in (piece.columns, wanted.columns)
    )
    assert one == other


def test_dictionaries_begin_the_frame_in_a_block_of_their_own() -> None:
    """Who asks for them alone need inflate no more: they are there though the end is not."""
    (piece,) = account_map.pieces(
        group_of("us", make_codec.some_rows("us", 1700, is_translated=False))
    )
    content = piece.columns[6:]
    counts = [*struct.unpack_from("<HH", piece.columns, 2), piece.records]
    planes, _ = unpacked(account_map.FORM, content, counts)
    bits = int.from_bytes(content[BITMAP_BYTES : 2 * BITMAP_BYTES], "little")
    dictionaries = b"".join(
        planes[number] for column, numbers in account_map.FORM.numbered() for number in numbers
        if column.name in {"address", "protocol", "flags", "destination_port"}
        and bits >> number & 1
    )  # fmt: skip
    frame = content[content.index(bytes.fromhex("28b52ffd")) :]
    begun = zstandard.ZstdDecompressor().decompressobj().decompress(frame[:-100])
    assert len(dictionaries) > 100
    assert begun[: len(dictionaries)] == dictionaries


@pytest.mark.parametrize("kind", ["account", "address"])
def test_what_the_format_does_not_allow_is_refused(kind: str) -> None:
    vector = next(v for v in VECTORS[kind] if v["plain"] == "every second" and v["records"] > 1)
    read = read_whole if kind == "account" else address_map.read
    good = bytes.fromhex(vector["columns"])
    head = 6 if kind == "account" else 4
    read(Segment(0, 0, vector["records"], good))
    # Its bit is set as a plain plane's too, and nothing else is wrong: it is packed as it was.
    both = bytes(a | b for a, b in zip(good[head : head + 6], good[head + 6 :][:6], strict=True))
    wrong = {
        "another codec": b"\x02" + good[1:],
        "no such unit": good[:1] + b"\x04" + good[2:],
        "one address more": good[:2] + bytes([good[2] + 1]) + good[3:],
        "one address less": good[:2] + bytes([good[2] - 1]) + good[3:],
        "a plane both plain and packed": good[:head] + both + good[head + 6 :],
        "a plane of no column": good[: head + 5] + b"\x80" + good[head + 6 :],
    }
    for why, columns in wrong.items():
        with pytest.raises(RowError):
            pytest.fail(f"{why}: {read(Segment(0, 0, vector['records'], columns))}")


@pytest.mark.parametrize("at", [4, 6, 7, 8], ids=["service", "source", "destination", "public"])
@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_a_code_names_what_was_named_or_the_next(at: int, code: int) -> None:
    """Of two rows that name a service and three addresses, one code is another."""
    row = make_codec.whole_row(1)
    addresses, services, columns = make_codec.account_columns([row, row])
    columns[at][1][1] = code
    header = struct.pack("<BBHH", 1, 2, addresses, services)
    segment = Segment(0, 0, 2, header + make_codec.packed(columns, lambda _: True, b""))
    if 0 < code <= (services if at == 4 else addresses):
        read_whole(segment)
    else:
        with pytest.raises(RowError):
            read_whole(segment)


def read_whole(segment: Segment) -> None:
    """Everything of it looked at: only then is it unpacked."""
    rows = account_map.read(segment)
    for name in ("addresses", "services", "service", "nanoseconds", "source", "destination",
                 "public", "source_port", "public_port"):  # fmt: skip
        getattr(rows, name)


BINDING = ["00" * 16, 6, 1, 1024, 1024, "zoe", 0, 0, 1]
NO_BINDINGS = {
    "no UTF-8": (BINDING, b"\x03z\xffe"),
    "half a letter": (BINDING, b"\x03zo\xc3"),
    "no name": (BINDING, b"\x00"),
    "a long name": (BINDING, bytes([65]) + b"z" * 65),
    "a cut name": (BINDING, b"\x03zo"),
    "one name more": (BINDING, b"\x03zoe\x03zoe"),
    "a port after the last": ([*BINDING[:3], 65535, 65536, *BINDING[5:]], b"\x03zoe"),
    "before the hour's end and after": ([*BINDING[:6], 1, 3600 * 10**6 + 1, 1], b"\x03zoe"),
    "after the hour": ([*BINDING[:6], 3600 * 10**6 + 1, 3600 * 10**6 + 1, 1], b"\x03zoe"),
    "times round the clock": ([*BINDING[:6], 1, 1 << 64, 1], b"\x03zoe"),
}


@pytest.mark.parametrize(("row", "names"), NO_BINDINGS.values(), ids=NO_BINDINGS)
def test_a_binding_is_of_somebody_has_ports_that_are_and_lies_in_its_hour(
    row: Row, names: bytes
) -> None:
    def segment(row: Row, names: bytes) -> Segment:
        _, columns = make_codec.address_columns([row])
        header = struct.pack("<BBH", 1, 2, 1)
        return Segment(0, 0, 1, header + make_codec.packed(columns, lambda _: False, names))

    assert address_map.read(segment(BINDING, b"\x03zoe")).account == ["zoe"]
    with pytest.raises(RowError):
        address_map.read(segment(row, names))


@pytest.mark.parametrize(("addresses", "services"), [(7, 1), (6, 3), (65535, 2), (6, 65535)])
def test_there_are_no_more_values_than_rows_can_name(addresses: int, services: int) -> None:
    """Else some bytes would have a megabyte allocated: every plane may be left out."""

    def read(addresses: int, services: int) -> None:
        account_map.read(
            Segment(0, 0, 2, struct.pack("<BBHH", 1, 2, addresses, services) + bytes(12))
        )

    read(6, 2)
    with pytest.raises(RowError):
        read(addresses, services)
