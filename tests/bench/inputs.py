"""The same made-up records as files: NDJSON and CSV of ours, and Zeek's conn.log."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from icrstore.collector.read import ndjson
from icrstore.flow.schema import Column, addresses_to_text

# As much as is held in memory at once.
_ROWS = 100_000
_ZEEK_HEADER = (
    b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration"
    b"\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory"
    b"\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n"
)
_ZEEK_REST = "dns\t0.104225\t33\t44\tSF\tT\tF\t0\tDd\t1\t61\t1\t72\t-"
_ZEEK_NAMES = {1: "icmp", 6: "tcp", 17: "udp"}


def write_ndjson(records: pa.Table, file: BinaryIO) -> None:
    for batch in _parts(records):
        file.writelines(f"{line}\n".encode() for line in ndjson(batch))


def write_csv(records: pa.Table, file: BinaryIO) -> None:
    for at, batch in enumerate(_parts(records)):
        columns: list[Column] = [
            addresses_to_text(batch.column(name)) if name.endswith("_address") else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        local: Column = batch.column("observed_at").cast(pa.timestamp("us"))
        columns[0] = pc.strftime(local, format="%Y-%m-%dT%H:%M:%SZ")
        table = pa.table(columns, names=batch.schema.names)
        options = csv.WriteOptions(include_header=at == 0, quoting_style="none")
        csv.write_csv(table, file, options)


def write_zeek(records: pa.Table, file: BinaryIO) -> None:
    """Without accounts, which Zeek does not know."""
    file.write(_ZEEK_HEADER)
    for batch in _parts(records):
        ticks = batch.column("observed_at").cast(pa.int64()).to_pylist()
        names = ("source_address", "source_port", "destination_address", "destination_port")
        columns = [
            addresses_to_text(batch.column(name)) if name.endswith("_address")
            else batch.column(name).fill_null(0)
            for name in names
        ]  # fmt: skip
        rows = zip(
            ticks,
            batch.column("protocol").to_pylist(),
            *(column.to_pylist() for column in columns),
            strict=True,
        )
        file.writelines(
            f"{tick // 10**6}.{tick % 10**6:06d}\tCabcdefghijklmnop\t{source}\t{source_port}\t"
            f"{destination}\t{port}\t{_ZEEK_NAMES[protocol]}\t{_ZEEK_REST}\n".encode()
            for tick, protocol, source, source_port, destination, port in rows
        )


WRITERS: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
    "ndjson": write_ndjson,
    "csv": write_csv,
    "zeek": write_zeek,
}


def written(name: str, records: pa.Table, folder: Path) -> Path:
    """The records as a file of one of the formats."""
    path = folder / f"records.{name}"
    with path.open("wb") as file:
        WRITERS[name](records, file)
    return path


def _parts(records: pa.Table) -> Iterator[pa.RecordBatch]:
    return iter(records.combine_chunks().to_batches(max_chunksize=_ROWS))
