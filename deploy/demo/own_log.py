"""A log of the demonstration's visitor, moved in time so that it can still be sealed."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from icrstore.collector.read import iter_records, ndjson
from icrstore.flow.readers import Tally
from icrstore.flow.schema import NANOSECONDS, Unit
from icrstore.seal.epoch import HOUR, hour_start

pc: Any = pyarrow.compute  # its stubs refuse calls that are right

# Sealers take records up to 48 h late; what is nearly that old could be too old on arrival.
OLDEST = timedelta(hours=47)


class NoRecords(Exception):
    """The input has no record that can be read and kept."""


@dataclass(frozen=True)
class Moved:
    """What became of a log: how far it was moved, what was left out, whose records it has."""

    by: timedelta
    too_old: int
    not_records: Counter[str]
    accounts: Counter[str]


def move(source: Path, account: str, target: Path, now: datetime) -> Moved:
    """Write the records of ``source`` as NDJSON to ``target``, moved by whole hours so that the
    last falls in the last whole hour; those then older than 47 h are left out and counted.

    Records without an account get ``account``. Raises `NoRecords`, FlowRefused, OSError.
    """
    by = hour_start(now) - HOUR - hour_start(_last(source, account))
    tally, accounts = Tally(), Counter[str]()
    too_old = 0
    with target.open("w") as out:
        for batch in iter_records([str(source)], None, account, tally):
            kept = _moved(batch, by, now - OLDEST)
            too_old += batch.num_rows - kept.num_rows
            out.writelines(f"{line}\n" for line in ndjson(kept))
            accounts.update(str(name) for name in kept.column("account").to_pylist())
    if not accounts:
        raise NoRecords
    return Moved(by, too_old, tally.not_records, accounts)


def _last(source: Path, account: str) -> datetime:
    batches = iter_records([str(source)], None, account, Tally())
    last = [_last_of(batch) for batch in batches if batch.num_rows]
    if not last:
        raise NoRecords
    return max(last)


def _last_of(batch: pa.RecordBatch) -> datetime:
    """To the second."""
    last = pc.max(batch.column("observed_at").cast(pa.int64())).as_py()
    return datetime.fromtimestamp(last // (10**9 // NANOSECONDS[_unit(batch)]), UTC)


def _moved(batch: pa.RecordBatch, by: timedelta, oldest: datetime) -> pa.RecordBatch:
    column = batch.column("observed_at")
    second = 10**9 // NANOSECONDS[_unit(batch)]
    units = pc.add(column.cast(pa.int64()), int(by.total_seconds()) * second)
    moved = batch.set_column(0, batch.schema.field(0), units.cast(column.type))
    return moved.filter(pc.greater_equal(units, int(oldest.timestamp()) * second))


def _unit(batch: pa.RecordBatch) -> Unit:
    unit: Unit = batch.schema.field("observed_at").type.unit
    return unit
