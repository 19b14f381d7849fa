"""Foreign formats in, batches of records out: streamed, in bounded memory, each line counted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ..errors import FormatRefused
from ..schema import is_of_events
from .arrow import is_arrow, read_arrow
from .captures import read_captures
from .csv_tables import is_csv, read_csv
from .dialects import is_radius, is_syslog, read_radius, read_syslog
from .exports import is_exports, read_exports
from .hints import Hints, zone_named
from .json_lines import is_ndjson, is_zeek_json, read_ndjson, read_zeek_json
from .json_mapped import read_mapped_json
from .lines import LONGEST_LINE_BYTES, Input, Source, opened
from .packets import is_capture
from .tally import Tally
from .tcpdump import is_tcpdump, read_tcpdump
from .zeek import is_zeek, read_zeek

__all__ = ["BATCH_ROWS", "FORMATS", "Hints", "Tally", "open_records", "zone_named"]

BATCH_ROWS = 1 << 16


def _read_zeek(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    while not source.head.strip() and source.look_further():
        pass
    is_json = source.head.lstrip().startswith(b"{")
    return (read_zeek_json if is_json else read_zeek)(source, tally)


@dataclass(frozen=True)
class _Format:
    """``knows`` an input by its first bytes, of which the last line may be cut anywhere."""

    name: str
    meaning: str
    knows: Callable[[bytes], bool]
    read: Callable[[Input, Tally, Hints], Iterator[pa.RecordBatch]]


# Asked in this order: what more formats than one would know goes to the first.
_FORMATS = (
    _Format(
        "arrow",
        "an Arrow IPC stream or file in the record's columns",
        is_arrow,
        lambda source, tally, _: read_arrow(source, tally),
    ),
    _Format(
        "zeek",
        "Zeek's conn.log, tab-separated with its header or JSON",
        lambda head: is_zeek(head) or is_zeek_json(head),
        lambda source, tally, _: _read_zeek(source, tally),
    ),
    _Format(
        "ndjson",
        "lines of JSON as `icr-collect read` prints them, or by the names of a map",
        is_ndjson,
        lambda source, tally, hints: (
            read_mapped_json(source, tally, hints)
            if hints.is_mapped
            else read_ndjson(source, tally)
        ),
    ),
    _Format(
        "csv",
        "CSV with a header of a record's names, or by the names of a map",
        is_csv,
        read_csv,
    ),
    _Format(
        "pcap",
        "a capture (pcap or pcapng): first packets of connections, pf's log, or exports alone",
        is_capture,
        lambda source, tally, hints: read_captures(source, tally, hints.templates),
    ),
    _Format(
        "exports",
        "NetFlow v5, v9 or IPFIX as it was sent, one message after another; IPFIX files",
        is_exports,
        lambda source, tally, hints: read_exports(source, tally, hints.templates),
    ),
    _Format(
        "radius",
        "RADIUS accounting of a NAT, as FreeRADIUS writes it in detail files",
        is_radius,
        read_radius,
    ),
    _Format(
        "syslog",
        "what firewalls and NATs write, each line by itself: ASA, conntrack, EVE, PAN-OS, ...",
        is_syslog,
        read_syslog,
    ),
    _Format(
        "tcpdump",
        "the text that `tcpdump -tt -n` prints, also of pf's log",
        is_tcpdump,
        read_tcpdump,
    ),
)
FORMATS = {each.name: each.meaning for each in _FORMATS}
_BY_NAME = {each.name: each for each in _FORMATS}


def open_records(
    source: Source | Path, format: str | None, tally: Tally, hints: Hints | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of at most 65,536 rows, each in its own finest precision: connections in
    `record_schema`, or NAT events in `event_schema`, as the input has them.

    `format` is one of FORMATS, or None to tell it by the first bytes; either may be gzip. An
    `Input` is taken as it is, so that a part of an input is not judged by how it begins. What was
    read, and what was not, is in `tally`, which is complete when the iterator ends. Raises
    FormatRefused for a format that is not known, and for columns that are not (BatchRefused).
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from open_records(file, format, tally, hints)
        return
    plain = source if isinstance(source, Input) else opened(source, tally)
    given = hints or Hints()
    found = _recognised(plain, format, given)
    for batch in found.read(plain, tally, given):
        tally.records += batch.num_rows
        tally.events += batch.num_rows if is_of_events(batch) else 0
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _recognised(source: Input, format: str | None, hints: Hints) -> _Format:
    if format is not None:
        if format not in FORMATS:
            raise FormatRefused(_known(f"{format!r} is not a format"))
        return _BY_NAME[format]
    if hints.is_mapped:
        while not source.head.strip() and source.look_further():
            pass
        return _BY_NAME["ndjson" if source.head.lstrip().startswith((b"{", b"[")) else "csv"]
    while (found := _sniff(source.head)) is None and source.look_further():
        pass
    if found is None and source.head.strip():
        raise FormatRefused(_known("the input is in no format"))
    return found or _BY_NAME["tcpdump"]


def _sniff(head: bytes) -> _Format | None:
    # As much as is waited for of a slow pipe: a file is told by no more.
    head = head[:LONGEST_LINE_BYTES]
    return next((each for each in _FORMATS if each.knows(head)), None)


def _known(refusal: str) -> str:
    formats = "; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
    return f"{refusal} that icrstore reads. {formats}"
