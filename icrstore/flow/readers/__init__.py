"""Foreign formats in, batches of records out: streamed, in bounded memory, each line counted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from ..errors import FormatRefused
from .arrow import FILE_MAGIC, read_arrow
from .json_lines import read_ndjson, read_zeek_json
from .lines import Input, Source, opened
from .tally import Tally
from .tcpdump import looks_like_tcpdump, read_tcpdump
from .zeek import COLUMNS, read_zeek

__all__ = ["BATCH_ROWS", "FORMATS", "Tally", "open_records"]

BATCH_ROWS = 1 << 16

Reader = Callable[[Input, Tally], Iterator[pa.RecordBatch]]
FORMATS = {
    "tcpdump": "the text that `tcpdump -tt -n` prints",
    "zeek": "Zeek's conn.log, tab-separated with its header or JSON",
    "ndjson": "lines of JSON as `icr-collect read` prints them",
    "arrow": "an Arrow IPC stream or file in the record's columns",
}
_READERS: dict[str, Reader] = {
    "tcpdump": read_tcpdump,
    "zeek": read_zeek,
    "zeek-json": read_zeek_json,
    "ndjson": read_ndjson,
    "arrow": read_arrow,
}


def open_records(
    source: Source | Path, format: str | None, tally: Tally
) -> Iterator[pa.RecordBatch]:
    """Batches of at most 65,536 records in `record_schema`, each in its own finest precision.

    `format` is one of FORMATS, or None to tell it by the first bytes; either may be gzip. What was
    read, and what was not, is in `tally`, which is complete when the iterator ends. Raises
    FormatRefused for a format that is not known, and for columns that are not (BatchRefused).
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from open_records(file, format, tally)
        return
    plain = opened(source, tally)
    reader = _READERS[_recognised(plain, format)]
    for batch in reader(plain, tally):
        tally.records += batch.num_rows
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _recognised(source: Input, format: str | None) -> str:
    if format is not None and format not in FORMATS:
        raise FormatRefused(_known(f"{format!r} is not a format"))
    while (name := _sniff(source.head)) is None and source.look_further():
        pass
    if format == "zeek":
        return "zeek-json" if name == "zeek-json" else "zeek"
    if format is None and name is None and source.head.strip():
        raise FormatRefused(_known("the input is in no format"))
    return format or name or "tcpdump"


def _known(refusal: str) -> str:
    formats = "; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
    return f"{refusal} that icrstore reads. {formats}"


def _sniff(head: bytes) -> str | None:
    if head.startswith((FILE_MAGIC, b"\xff\xff\xff\xff")):
        return "arrow"
    # The last line may go on in bytes that are not here yet.
    for line in head.split(b"\n"):
        if line.startswith((b"#separator ", b"#fields")):
            return "zeek"
        if line.lstrip().startswith(b"{"):
            if name := _sniff_json(line):
                return name
        elif looks_like_tcpdump(line.decode("ascii", "replace")):
            return "tcpdump"
    return None


def _sniff_json(line: bytes) -> str | None:
    try:
        keys = json.loads(line).keys()
    except (ValueError, RecursionError):
        return None
    if "observed_at" in keys:
        return "ndjson"
    if "ts" in keys and any(name in keys for name in COLUMNS["source_address"]):
        return "zeek-json"
    return None
