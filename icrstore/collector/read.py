"""`icr-collect read`: shows what the collector understands of an input, before a push."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from ..flow.errors import FlowRefused
from ..flow.readers import Tally, open_records
from ..flow.schema import Column, addresses_to_text
from ..flow.validate import account_failures
from .leases import Leases
from .whose import Attribution

STDIN = "-"
OK, USAGE, BAD_INPUT, NO_INPUT = 0, 64, 65, 66  # sysexits(3)


def iter_records(
    paths: Sequence[str],
    format: str | None,
    account: str | None,
    tally: Tally,
    leases: Leases | None = None,
) -> Iterator[pa.RecordBatch]:
    """Batches of the records of all inputs in turn; `account` is given to those that have none.

    With `leases`, records without an account are their source's, and what is not a subscriber's is
    counted in `tally` (see `whose`). Raises ValueError for an account that no record may have,
    OSError for a file that cannot be read, and FlowRefused for one in no known format; what was
    yielded before stands.
    """
    _check_account(account)
    for path in paths:
        # Each input by itself, so that its records are the same whatever comes with it.
        whose = Attribution(leases) if leases else None
        with _opened(path) as source:
            for batch in open_records(source, format, tally):
                yield whose.of(batch, tally) if whose else with_account(batch, account)


def read_files(
    paths: Sequence[str],
    format: str | None,
    account: str | None,
    out: TextIO,
    err: TextIO,
    as_json: bool,
    leases: Leases | None = None,
) -> int:
    """Print the records of each input as NDJSON on `out`, and what was read of it on `err`.

    The summary is a line of words for each input, with one more for each fault that names its first
    line and the mend; or one of JSON if `as_json`. One bad input does
    not keep the others from being read. Returns 0; 64 for an account that no record may have; 65
    when an input is cut off or refused; 66 when one cannot be opened.
    """
    try:
        _check_account(account)
    except ValueError as error:
        err.write(f"icr-collect: {error}\n")
        return USAGE
    worst = OK
    for path in paths:
        tally, failure = Tally(), None
        try:
            for batch in iter_records([path], format, account, tally, leases):
                out.writelines(f"{line}\n" for line in ndjson(batch))
        except FlowRefused as error:
            failure, worst = f"refused: {error}", max(worst, BAD_INPUT)
        except OSError as error:
            if error.filename != path:
                raise  # The output failed, not the input.
            failure, worst = f"cannot be opened: {error.strerror}", NO_INPUT
        if tally.cut_off:
            worst = max(worst, BAD_INPUT)
        err.write(_summary(path, tally, failure, as_json=as_json) + "\n")
    return worst


def ndjson(batch: pa.RecordBatch) -> Iterator[str]:
    """Each record as one JSON object without its newline; fields without a value are left out."""
    columns = [_shown(batch.column(name), name) for name in batch.schema.names]
    for values in zip(*(column.to_pylist() for column in columns), strict=True):
        fields = zip(batch.schema.names, values, strict=True)
        record = {name: value for name, value in fields if value is not None}
        yield json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _shown(column: Column, name: str) -> Column:
    if name == "observed_at":
        # Without its zone, which is UTC, the time needs no time zone database to be written.
        local = column.cast(pa.timestamp(column.type.unit))
        return pc.strftime(local, format="%Y-%m-%dT%H:%M:%SZ")
    return addresses_to_text(column) if name.endswith("_address") else column


def _opened(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return contextlib.nullcontext(sys.stdin.buffer)
    return open(path, "rb")


def _check_account(account: str | None) -> None:
    if account is None:
        return
    for reason, failing in account_failures(pa.array([account], pa.string()), required=True):
        if failing.any():
            raise ValueError(f"this account cannot be retained: {reason}")


def with_account(batch: pa.RecordBatch, account: str | None) -> pa.RecordBatch:
    """The batch with the account given to those records that have none."""
    if account is None:
        return batch
    place = batch.schema.get_field_index("account")
    accounts: Column = batch.column(place)
    filled: Column = pc.fill_null(accounts, account)
    return batch.set_column(place, batch.schema.field(place), filled)


def _summary(path: str, tally: Tally, failure: str | None, *, as_json: bool) -> str:
    name = "standard input" if path == STDIN else path
    not_records = dict(sorted(tally.not_records.items()))
    if as_json:
        facts = {"input": path, "records": tally.records, "not_records": not_records}
        facts |= {"first_lines": dict(sorted(tally.first_lines.items()))}
        return json.dumps(facts | {"cut_off": tally.cut_off, "failure": failure})
    parts = [f"{tally.records} records"]
    parts += [f"{count} {reason}" for reason, count in not_records.items()]
    if tally.cut_off:
        parts.append("cut off: it ends in the middle, and what followed is not here")
    if failure:
        parts.append(failure)
    return "\n  ".join([f"{name}: {', '.join(parts)}", *tally.mends()])
