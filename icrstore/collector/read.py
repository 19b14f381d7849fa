"""`icr-collect read`: shows what the collector understands of an input, before a push."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from ..flow.elements import NAT_EVENTS
from ..flow.errors import FlowRefused
from ..flow.readers import Hints, Tally, open_records
from ..flow.schema import Column, addresses_to_text
from ..flow.validate import account_failures
from ..warrant.strict import time_text
from .attribute import Attribute
from .leases import Leases
from .whose import Attribution

STDIN = "-"
OK, USAGE, BAD_INPUT, NO_INPUT, TRY_AGAIN = 0, 64, 65, 66, 75  # sysexits(3)


def iter_records(
    paths: Sequence[str],
    format: str | None,
    account: str | None,
    tally: Tally,
    leases: Leases | None = None,
    hints: Hints | None = None,
) -> Iterator[pa.RecordBatch]:
    """Batches of the rows of all inputs in turn, as they were read: connections and NAT events;
    `account` is given to those that have none. Inputs of one command share their `hints`.

    With `leases`, rows without an account are their source's, and what is not a subscriber's is
    counted in `tally` (see `whose`). Raises ValueError for an account that no record may have,
    OSError for a file that cannot be read, and FlowRefused for one in no known format; what was
    yielded before stands.
    """
    for attribute, batch in _rows(paths, format, account, tally, leases, hints):
        if batch is not None:
            yield attribute.name(batch, tally)


def held_until(
    path: str, format: str | None, leases: Leases, hints: Hints | None = None
) -> tuple[int, int]:
    """How many records of a file wait for leases that reach further, and how far, in nanoseconds
    since 1970: the whole file waits with them, since it is cut into batches as a whole, and other
    leases later would make other batches of records that were pushed."""
    tally, attribute = Tally(), Attribution(leases)
    with _opened(path) as source:
        for batch in open_records(source, format, tally, hints):
            attribute.known(batch, tally)
    return tally.not_records["held"], tally.latest_held


def held_words(count: int, latest: int, leases: Leases) -> str:
    """What to do about records that are held."""
    known, last = (_second(moment) for moment in (leases.until, latest))
    return (
        f"{count} held: the leases are known until {known}, and these were observed"
        f" after that: export the leases once {last} is over"
    )


def _second(nanoseconds: int) -> str:
    return time_text(datetime.fromtimestamp(nanoseconds // 10**9, UTC))


def iter_retained(
    path: str,
    format: str | None,
    account: str | None,
    tally: Tally,
    leases: Leases | None = None,
    hints: Hints | None = None,
) -> Iterator[pa.RecordBatch]:
    """What is pushed of an input: its connections, and the bindings of its NAT events. Raises what
    `iter_records` does."""
    for attribute, batch in _rows([path], format, account, tally, leases, hints):
        if batch is not None:
            yield from attribute.take(batch, tally)
        else:
            yield from attribute.end()
            attribute.tell(tally)


def _rows(
    paths: Sequence[str],
    format: str | None,
    account: str | None,
    tally: Tally,
    leases: Leases | None,
    hints: Hints | None,
) -> Iterator[tuple[Attribute, pa.RecordBatch | None]]:
    """Each batch of each input; None at its end."""
    _check_account(account)
    for path in paths:
        # Each input by itself, so that its records are the same whatever comes with it.
        attribute = Attribute(leases, account)
        with _opened(path) as source:
            for batch in open_records(source, format, tally, hints):
                yield attribute, batch
        yield attribute, None


def read_files(
    paths: Sequence[str],
    format: str | None,
    account: str | None,
    out: TextIO,
    err: TextIO,
    as_json: bool,
    leases: Leases | None = None,
    hints: Hints | None = None,
) -> int:
    """Print the records of each input as NDJSON on `out`, and what was read of it on `err`.

    The summary is a line of words for each input, with one more for each fault that names its first
    line and the mend; or one of JSON if `as_json`. One bad input does
    not keep the others from being read. Returns 0; 64 for an account that no record may have; 65
    when an input is cut off or refused; 66 when one cannot be opened; 75 when records are held.
    """
    try:
        _check_account(account)
    except ValueError as error:
        err.write(f"icr-collect: {error}\n")
        return USAGE
    worst, hints = OK, hints or Hints()
    for path in paths:
        tally, failure = Tally(), None
        try:
            for batch in iter_records([path], format, account, tally, leases, hints):
                out.writelines(f"{line}\n" for line in ndjson(batch))
        except FlowRefused as error:
            failure, worst = f"refused: {error}", max(worst, BAD_INPUT)
        except OSError as error:
            if error.filename != path:
                raise  # The output failed, not the input.
            failure, worst = f"cannot be opened: {error.strerror}", NO_INPUT
        if tally.cut_off:
            worst = max(worst, BAD_INPUT)
        if tally.not_records["held"]:
            worst = max(worst, TRY_AGAIN)
        held = []
        if (count := tally.not_records["held"]) and leases:
            held = [held_words(count, tally.latest_held, leases)]
        err.write(_summary(path, tally, failure, held, as_json=as_json) + "\n")
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
    if name == "nat_event":
        return pc.if_else(
            pc.equal(column, pa.scalar(NAT_EVENTS["create"], pa.uint8())), "create", "delete"
        )
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


def _summary(
    path: str, tally: Tally, failure: str | None, held: list[str], *, as_json: bool
) -> str:
    name = "standard input" if path == STDIN else path
    not_records = dict(sorted(tally.not_records.items()))
    if as_json:
        facts = {"input": path, "records": tally.records, "not_records": not_records}
        facts |= {"read_as": tally.read_as, "gaps": [gap.to_fields() for gap in tally.gaps]}
        facts |= {"left_out": dict(sorted(tally.left_out.items()))}
        facts |= {"first_lines": dict(sorted(tally.first_lines.items()))}
        return json.dumps(facts | {"cut_off": tally.cut_off, "failure": failure})
    parts = [f"{tally.records} records"]
    if tally.read_as:
        parts.append(f"read as {tally.read_as}")
    parts += [f"{count} {reason}" for reason, count in not_records.items()]
    if tally.gaps:
        parts.append(f"gaps in time: {len(tally.gaps)}")
    if tally.cut_off:
        parts.append("cut off: it ends in the middle, and what followed is not here")
    if failure:
        parts.append(failure)
    lines = [f"{name}: {', '.join(parts)}"]
    if tally.left_out:
        lines.append(left_here(tally.left_out))
    return "\n  ".join([*lines, *tally.mends(), *held])


def left_here(left_out: Counter[str]) -> str:
    """What an input had and no record has, by its own names: it does not leave this machine."""
    shown = ", ".join(f"{count} {name}" for name, count in sorted(left_out.items()))
    return f"left here: {shown}"
