"""Vectors of the segment codecs (deploy/DESIGN.md, "The columns"), written a second time.

Imports no room and no library: the zstd frames have raw blocks alone (RFC 8878, section 3.1.1.2.2),
which every reader must take. Run it to write codec.json beside this file. Bytes are hex; a vector
of many rows has their SHA-256 as compact JSON. A row of the account map is time, protocol, source,
its port, destination, its port, public address, its port (null: not there); one of the address map
is low bits, protocol, flags, port, last port, account, first, last, count.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
UNITS = ("s", "ms", "us", "ns")
MOST_SHOWN = 40
Json = dict[str, Any]
Row = list[Any]
IsPlain = Callable[[int], bool]

V4, V6 = bytes(10) + b"\xff\xff", bytes.fromhex("20010db8")


def v4(number: int) -> str:
    return (V4 + struct.pack(">I", number)).hex()


def v6(number: int) -> str:
    return (V6 + bytes(8) + struct.pack(">I", number)).hex()


# Planes


def planes(columns: Sequence[tuple[int, list[Any]]]) -> Iterator[bytes]:
    """Of (width, values), numbers or 16 bytes: one byte of each value, the lowest first."""
    for width, values in columns:
        octets = [v if isinstance(v, bytes) else v.to_bytes(width, "little") for v in values]
        for at in range(width):
            yield bytes(each[at] for each in octets)


def packed(columns: Sequence[tuple[int, list[Any]]], is_plain: IsPlain, rest: bytes) -> bytes:
    maps, parts = [0, 0], [b"", b""]
    for number, plane in enumerate(planes(columns)):
        if any(plane):
            kind = 0 if is_plain(number) else 1
            maps[kind] |= 1 << number
            parts[kind] += plane
    head = b"".join(each.to_bytes(6, "little") for each in maps)
    content = parts[1] + rest
    return head + parts[0] + (frame(content) if content else b"")


def frame(content: bytes) -> bytes:
    """One zstd frame: magic number, no flags, a window of 128 KiB, raw blocks of 50,000 bytes."""
    made = bytes.fromhex("28b52ffd") + b"\x00\x38"
    blocks = [content[at : at + 50_000] for at in range(0, len(content), 50_000)]
    for number, block in enumerate(blocks, 1):
        made += ((len(block) << 3) | (number == len(blocks))).to_bytes(3, "little") + block
    return made


class Names:
    """Codes: 0 is the next value that was not named, n + 1 the n-th."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def code(self, value: Any) -> int:
        if value in self.values:
            return self.values.index(value) + 1
        self.values.append(value)
        return 0


# The account map


def account_columns(rows: list[Row]) -> tuple[int, int, list[tuple[int, list[Any]]]]:
    """How many addresses and services, and the columns in the order of the form."""
    addresses, services = Names(), Names()
    codes, before = [], 0
    for time, protocol, source, sport, destination, dport, public, pport in rows:
        there = (sport, dport, public, pport)
        flags = sum(1 << bit for bit, value in enumerate(there) if value is not None)
        service = services.code((protocol, flags, dport or 0))
        ends = [addresses.code(bytes.fromhex(each)) for each in (source, destination)]
        ends.append(0 if public is None else addresses.code(bytes.fromhex(public)))
        codes.append((service, time - before, *ends, sport or 0, pport or 0))
        before = time
    by_row = [list(column) for column in zip(*codes, strict=True)]
    columns = [(16, addresses.values)]
    columns += [(width, [each[at] for each in services.values])
                for at, width in enumerate((1, 1, 2))]  # fmt: skip
    columns += list(zip((2, 8, 2, 2, 2, 2, 2), by_row, strict=True))
    return len(addresses.values), len(services.values), columns


def account_segment(unit: str, rows: list[Row], is_plain: IsPlain) -> bytes:
    addresses, services, columns = account_columns(rows)
    header = struct.pack("<BBHH", 1, UNITS.index(unit), addresses, services)
    return header + packed(columns, is_plain, b"")


def some_rows(unit: str, count: int, *, is_translated: bool) -> list[Row]:
    per_hour = 3600 * 10 ** (3 * UNITS.index(unit))
    made: list[Row] = []
    for n in range(count):
        ported = n % 5 != 3
        public = v4(0x51020300 + n % 2) if is_translated and n % 3 else None
        made.append([
            per_hour // (count + 1) * n + n % 2, 6 + 11 * (n % 2) if ported else 1,
            v4(0x0A000000 + n % 3) if n % 7 else v6(n), 1024 + 37 * n if ported else None,
            v4(0x08080000 + n * n % 97), (53, 443, 993)[n % 3] if ported else None,
            public, 2000 + 259 * n if public and ported else None,
        ])  # fmt: skip
    return made


def whole_row(n: int) -> Row:
    """All that a row has is new."""
    return [n, 6, v4(3 * n), n, v4(3 * n + 1), n, v4(3 * n + 2), n]


# Which planes are plain is the writer's choice: by number, so that all three ways occur.
CHOICES: dict[str, IsPlain] = {
    "none": lambda number: False,
    "all": lambda number: True,
    "every second": lambda number: number % 2 == 0,
}


def account_cases() -> Iterator[tuple[str, str, list[Row], str]]:
    for unit in UNITS:
        yield f"untranslated, {unit}", unit, some_rows(unit, 30, is_translated=False), "none"
        yield f"translated, {unit}", unit, some_rows(unit, 30, is_translated=True), "every second"
    yield "one record of zeros", "us", [[0, 0, "00" * 16, None, "00" * 16,
                                         None, None, None]], "none"  # fmt: skip
    yield "one record, all plain", "ns", [[3600 * 10**9 - 1, 17, v4(1), 65535, v6(2), 65535,
                                           v4(3), 65535]], "all"  # fmt: skip
    services = [[n, n % 256, v4(1), None, v4(2), None if n < 256 else n, None, None]
                for n in range(300)]  # fmt: skip
    yield "more than 255 services", "ms", services, "every second"
    yield "4,096 records, each all new", "us", [whole_row(n) for n in range(4096)], "all"
    alike = [[n, 17, v4(1), 5353, v4(2), 53, None, None] for n in range(4096)]
    yield "4,096 records, all alike", "s", [[0, *row[1:]] for row in alike], "none"


# The address map


def address_columns(rows: list[Row]) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    accounts = Names()
    values, before = [], 0
    for low, protocol, flags, port, last_port, account, first, last, count in rows:
        values.append((bytes.fromhex(low), protocol, flags, (port - before) % 65536,
                       last_port - port, accounts.code(account), first, last - first,
                       count))  # fmt: skip
        before = port
    by_row = [list(column) for column in zip(*values, strict=True)]
    return accounts.values, list(zip((16, 1, 1, 2, 2, 2, 8, 8, 4), by_row, strict=True))


def address_segment(unit: str, rows: list[Row], is_plain: IsPlain) -> bytes:
    accounts, columns = address_columns(rows)
    names = b"".join(bytes([len(name.encode())]) + name.encode() for name in accounts)
    header = struct.pack("<BBH", 1, UNITS.index(unit), len(accounts))
    return header + packed(columns, is_plain, names)


def address_cases() -> Iterator[tuple[str, str, list[Row], str]]:
    none = "00" * 16
    yield "a dedicated address", "us", [[none, 0, 2, 0, 65535, "17-zoe", 0, 3_599_999_999, 4096]], (
        "none")  # fmt: skip
    shared = [[none, 6 + 11 * (n // 20), 1, 1024 + 7 * (n % 20), 1024 + 7 * (n % 20),
               f"account-{n * n % 5}", 1000 * n, 1000 * n + n % 3, 1 + n % 3]
              for n in range(40)]  # fmt: skip
    yield "a shared address", "ms", shared, "every second"
    homes = [[f"{0:014x}{n:018x}", 0, 2, 0, 65535, "ä" * 32, n, n, 1] for n in range(3)]
    yield "below a /56", "s", homes, "all"
    told = [[none, 6, 5, 9, 9, "b", 0, 3600 * 10**9, 0],
            [none, 0, 14, 512, 1023, "a", 5, 3600 * 10**9, 0],
            [none, 0, 14, 0, 65535, "a", 0, 0, 0]]  # fmt: skip
    yield "what a NAT told of", "ns", told, "every second"
    many = [[none, 17, 1, n, n, f"{n}", n, n, 1] for n in range(4096)]
    yield "4,096 bindings of as many accounts", "us", many, "none"


def vector(kind: str, case: tuple[str, str, list[Row], str]) -> Json:
    name, unit, rows, choice = case
    segment = account_segment if kind == "account" else address_segment
    compact = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    shown: Json = {"rows": rows} if len(rows) <= MOST_SHOWN else {}
    return {
        "name": name,
        "unit": unit,
        "plain": choice,
        "records": len(rows),
        **shown,
        "rows_sha256": hashlib.sha256(compact).hexdigest(),
        "columns": segment(unit, rows, CHOICES[choice]).hex(),
    }


def codec_vectors() -> Json:
    return {
        "account": [vector("account", case) for case in account_cases()],
        "address": [vector("address", case) for case in address_cases()],
    }


def written(vectors: Json) -> str:
    return json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE / "codec.json").write_text(written(codec_vectors()), encoding="utf-8")
