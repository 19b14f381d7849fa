"""Records as an Arrow IPC stream or file, in exactly a record's columns.

A stream without its end mark counts as cut off: nothing tells it from one that was.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..elements import ELEMENTS
from ..errors import BatchRefused
from ..schema import record_schema
from ..validate import check_columns
from .lines import Input
from .tally import Tally

FILE_MAGIC = b"ARROW1\0\0"


def read_arrow(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The records of a stream; BatchRefused, naming the column, if its columns are not a record's.

    A file is its stream between a magic and a footer, so it needs no seeking either.
    """
    if source.head.startswith(FILE_MAGIC):
        source.skip(len(FILE_MAGIC))
    try:
        with pa.ipc.open_stream(pa.PythonFile(source, "r")) as stream:
            check_columns(stream.schema.empty_table())
            for batch in stream:
                yield _records(batch, tally)
    except (pa.ArrowException, OSError):
        if not source.at_end:
            raise BatchRefused("the input is damaged: it is not an Arrow stream") from None
        tally.cut_off = True
    tally.cut_off = tally.cut_off or source.at_end


def _records(batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
    schema = record_schema(check_columns(batch))
    rows = batch.select(schema.names)
    required = [rows.column(element.name) for element in ELEMENTS if element.required]
    whole = pc.and_(
        pc.and_(pc.is_valid(required[0]), pc.is_valid(required[1])),
        pc.and_(pc.is_valid(required[2]), pc.is_valid(required[3])),
    )
    good = rows.filter(whole)
    tally.drop("field-missing", rows.num_rows - good.num_rows)
    return good.cast(schema)
