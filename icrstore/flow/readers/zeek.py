"""Zeek's conn.log as tab-separated text, understood by the header that each file carries.

A last line without its newline is read if it has all its fields and the last is not one of ours.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import FormatRefused
from ..schema import TCP, UDP, Column
from .lines import Input, count_lines, line_blocks
from .rows import Rows, assemble, nothing, only_ported
from .separated import Layout, as_utf_8, read_fields
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
    names: tuple[str, ...] = ()
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
            names = tuple(value.split(self.separator))
            return replace(self, names=names, places=_places(names))
        return self

    def layout(self, places: dict[str, int]) -> Layout:
        """How its lines are read."""
        wanted = frozenset(self.names[place] for place in places.values())
        absent = frozenset((self.unset,))
        return Layout(self.names, wanted, self.separator, absent, has_quotes=False)


def is_zeek(head: bytes) -> bool:
    """Whether a line of Zeek's header is there."""
    return any(line.startswith((b"#separator ", b"#fields")) for line in head.split(b"\n"))


def read_zeek(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The connections of one conn.log or several in a row, each under its own header."""
    header = Header()
    for block in line_blocks(source, tally):
        at = 0
        for part in _parts(block):
            if part.startswith(b"#"):
                tally.drop("comment", at=at)
                header = header.after(as_utf_8(part).decode().rstrip("\r\n"))
            elif header.places is None:
                tally.drop("line-before-header", len(part.splitlines()), at=at)
            else:
                layout = header.layout(header.places)
                if part.endswith(b"\n") or layout.is_whole(as_utf_8(part).decode()):
                    yield _batch(part, header, header.places, tally, at)
                else:
                    tally.cut(at)
            at += count_lines(part)


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
    if ip_proto.null_count == len(ip_proto):
        return named
    told = pc.match_substring_regex(ip_proto, r"^(\d\d?|1\d\d|2[0-4]\d|25[0-5])$")
    number = pc.if_else(told, ip_proto, pa.scalar(None, pa.string())).cast(pa.uint8())
    return pc.coalesce(number, named)


def _batch(
    part: bytes, header: Header, places: dict[str, int], tally: Tally, at: int
) -> pa.RecordBatch:
    """The records of some lines; the first of them is `at` lines after `tally.line`."""
    fields = read_fields(part, header.layout(places), tally, at)
    column = {name: fields.columns[header.names[place]] for name, place in places.items()}
    absent = nothing(len(fields.lines))
    protocol = protocol_numbers(
        column["proto"], column["source_address"], column.get("ip_proto", absent)
    )
    rows = Rows(
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
    return assemble(rows, tally, fields.lines)


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


def _places(names: Sequence[str]) -> dict[str, int]:
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
