"""Zeek's conn.log as tab-separated text, understood by the header that each file carries.

A last line without its newline is read if it has all its fields and the last is not one of ours.
"""

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ..errors import FormatRefused
from ..schema import TCP, UDP, Column
from .lines import Input, line_blocks
from .rows import Rows, assemble, nothing, only_ported, present
from .tally import Tally

# The two spellings of a column: Log::default_scope_sep makes `id_orig_h` of `id.orig_h`.
COLUMNS = {
    "ts": ("ts",),
    "source_address": ("id.orig_h", "id_orig_h"),
    "source_port": ("id.orig_p", "id_orig_p"),
    "destination_address": ("id.resp_h", "id_resp_h"),
    "destination_port": ("id.resp_p", "id_resp_p"),
    "proto": ("proto",),
}
ICMP, ICMP6 = 1, 58


@dataclass(frozen=True)
class Header:
    """What the lines above the records say about them; `places` are the columns of COLUMNS."""

    separator: str = "\t"
    unset: str = "-"
    width: int = 0
    places: dict[str, int] | None = None

    def after(self, line: str) -> "Header":
        """The header once `line` is part of it; FormatRefused if it is not of a conn.log."""
        if line.startswith("#separator "):
            return replace(Header(), separator=_separator(line))
        key, _, value = line.partition(self.separator)
        if key == "#unset_field":
            return replace(self, unset=value)
        if key == "#path" and "conn" not in value:
            raise FormatRefused("this is a Zeek log, but not a conn.log")
        if key == "#fields":
            names = value.split(self.separator)
            return replace(self, width=len(names), places=_places(names))
        return self

    def is_whole(self, line: str) -> bool:
        """Whether a line without newline can be trusted."""
        if self.places is None or line.count(self.separator) != self.width - 1:
            return False
        return self.width - 1 not in self.places.values()


def is_zeek(head: bytes) -> bool:
    """Whether a line of Zeek's header is there."""
    return any(line.startswith((b"#separator ", b"#fields")) for line in head.split(b"\n"))


def read_zeek(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The connections of one conn.log or several in a row, each under its own header."""
    header = Header()
    for block in line_blocks(source, tally):
        at = 0
        for part in _parts(block):
            text = part.decode("utf-8", "replace")
            if text.startswith("#"):
                tally.drop("comment", at=at)
                header = header.after(text.rstrip("\r\n"))
            elif header.places is None:
                tally.drop("line-before-header", len(part.splitlines()), at=at)
            elif not text.endswith("\n") and not header.is_whole(text):
                tally.cut(at)
            else:
                yield _batch(text, header, header.places, tally, at)
            at += part.count(b"\n")


def protocol_numbers(proto: Column, source: Column, ip_proto: Column) -> Column:
    """The IP protocol: `ip_proto` where Zeek tells it, else what its name says; null if neither."""
    six = pc.match_substring(source, ":")
    named = pc.case_when(
        pc.make_struct(
            pc.equal(proto, pa.scalar("tcp")),
            pc.equal(proto, pa.scalar("udp")),
            pc.and_(pc.equal(proto, pa.scalar("icmp")), six),
            pc.equal(proto, pa.scalar("icmp")),
        ),
        *(pa.scalar(number, pa.uint8()) for number in (TCP, UDP, ICMP6, ICMP)),
    )
    told = pc.match_substring_regex(ip_proto, r"^(\d\d?|1\d\d|2[0-4]\d|25[0-5])$")
    number = pc.if_else(told, ip_proto, pa.scalar(None, pa.string())).cast(pa.uint8())
    return pc.coalesce(number, named)


def _batch(
    text: str, header: Header, places: dict[str, int], tally: Tally, at: int
) -> pa.RecordBatch:
    """The records of some lines; the first of them is `at` lines after `tally.line`."""
    table, wrong = _table(text, header, places)
    lines: Sequence[int] = range(at, at + table.num_rows)
    written = text.removesuffix("\n").split("\n")
    if table.num_rows < len(written):
        widths = [line.count(header.separator) + 1 if line.strip() else 0 for line in written]
        lines = [at + n for n, width in enumerate(widths) if width == header.width]
        bad = next((n for n, width in enumerate(widths) if width not in (0, header.width)), 0)
        tally.drop("wrong-number-of-fields", wrong, at=at + bad)
        tally.drop("blank-line", len(written) - table.num_rows - wrong)
    return assemble(
        _rows(table, header, places), tally, lines if len(lines) == table.num_rows else None
    )


def _rows(table: pa.Table, header: Header, places: dict[str, int]) -> Rows:
    column = {
        name: present(table.column(str(place)).combine_chunks(), header.unset)
        for name, place in places.items()
    }
    absent = nothing(table.num_rows)
    protocol = protocol_numbers(
        column["proto"], column["source_address"], column.get("ip_proto", absent)
    )
    return Rows(
        observed_at=column["ts"],
        protocol=protocol,
        source_address=column["source_address"],
        source_port=only_ported(column["source_port"], protocol),
        destination_address=column["destination_address"],
        destination_port=only_ported(column["destination_port"], protocol),
        post_nat_source_address=absent,
        post_nat_source_port=absent,
        account=absent,
    )


def _table(text: str, header: Header, places: dict[str, int]) -> tuple[pa.Table, int]:
    """The lines that have all fields, and how many others have not; blank ones are neither."""
    wanted = [str(place) for place in places.values()]
    wrong = 0

    def count_and_skip(_: csv.InvalidRow) -> Literal["skip"]:
        nonlocal wrong
        wrong += 1
        return "skip"

    raw = text.encode()
    table = csv.read_csv(
        io.BytesIO(raw),
        csv.ReadOptions(
            use_threads=False,
            block_size=len(raw) + 1,
            column_names=[str(place) for place in range(header.width)],
        ),
        csv.ParseOptions(
            delimiter=header.separator,
            quote_char=False,
            double_quote=False,
            invalid_row_handler=count_and_skip,
        ),
        csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=False,
        ),
    )
    return table, wrong


def _parts(block: bytes) -> Iterator[bytes]:
    """Each header line by itself, and the runs of records between them."""
    start = 0
    while start < len(block):
        mark = b"\n" if block[start] == ord("#") else b"\n#"
        end = block.find(mark, start) + 1 or len(block)
        yield block[start:end]
        start = end


def _separator(line: str) -> str:
    value = line.removeprefix("#separator ")
    if re.fullmatch(r"\\x[0-9a-f]{2}", value):
        value = codecs.decode(value, "unicode_escape")
    if len(value) != 1 or not value.isascii() or value in "#\r\n":
        raise FormatRefused("Zeek's #separator must be one ASCII character")
    return value


def _places(names: list[str]) -> dict[str, int]:
    places = {}
    for column, spellings in COLUMNS.items():
        found = [place for place, name in enumerate(names) if name in spellings]
        if len(found) != 1:
            raise FormatRefused(
                f"Zeek's #fields has {len(found)} columns named {' or '.join(spellings)}: "
                "icrstore needs one and does not guess what a renamed column means"
            )
        places[column] = found[0]
    if names.count("ip_proto") == 1:
        places["ip_proto"] = names.index("ip_proto")
    return places
