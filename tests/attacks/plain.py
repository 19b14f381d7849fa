"""Known records as they lie open on their way: the batch before it is sealed, rows likewise."""

from collections import Counter
from collections.abc import Iterable
from io import BytesIO

import pyarrow as pa

from icrstore.collector.cut import cut
from icrstore.flow.readers import Tally, open_records
from icrstore.seal import account_map, address_map
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.runs import runs_of
from tests.attacks.known import Known


def batches(known: Known) -> list[bytes]:
    """The Arrow streams that the collector makes."""
    read = open_records(BytesIO(known.ndjson()), "ndjson", Tally())
    return [made.arrow for made in cut(read, Counter())]


def joined(read: Iterable[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(list(read))


def table(arrow: bytes) -> pa.Table:
    with pa.ipc.open_stream(arrow) as reader:
        return reader.read_all()


def segments(arrow: bytes) -> list[bytes]:
    """The columns of every row that a batch becomes, of both maps."""
    made = []
    for _, group in by_hour(table(arrow)):
        made += [piece.columns for piece in account_map.pieces(group)]
        if runs := runs_of(group, DEFAULT, {}):
            made += [piece.columns for piece in address_map.pieces(group, runs)]
    return made
