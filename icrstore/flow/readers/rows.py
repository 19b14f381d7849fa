"""Rows of text become records, column by column; what does not parse is counted and left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..elements import PORT
from ..schema import PORT_PROTOCOLS, UNITS, Column, Unit, addresses_from_text, record_schema
from ..validate import Mask
from .tally import Tally

# Ten digits below 9e9 keep nanoseconds within 64 bits, until the year 2255.
LAST_SECOND = 8_999_999_999
_SECONDS = r"^[0-8]?\d{1,9}(\.\d{1,9})?$"
_NONE = pa.scalar(None, pa.string())
_PORTED = pa.array(sorted(PORT_PROTOCOLS), pa.uint8())


@dataclass(frozen=True)
class Rows:
    """The fields of some rows as text columns of equal length, null where a field is absent."""

    observed_at: Column  # decimal seconds since 1970 UTC
    protocol: Column  # uint8, null where it is not known
    source_address: Column
    source_port: Column
    destination_address: Column
    destination_port: Column
    post_nat_source_address: Column
    post_nat_source_port: Column
    account: Column


def present(column: Column, absent: str) -> Column:
    """The text column with null where it says `absent`."""
    return pc.if_else(pc.equal(column, pa.scalar(absent)), _NONE, column)


def nothing(count: int) -> Column:
    """A text column of nulls."""
    return pa.nulls(count, pa.string())


def only_ported(port: Column, protocol: Column) -> Column:
    """The ports of rows whose protocol has ports; Zeek writes ICMP types in their place."""
    return pc.if_else(pc.is_in(protocol, value_set=_PORTED), port, _NONE)


def assemble(rows: Rows, tally: Tally, lines: Sequence[int] | None = None) -> pa.RecordBatch:
    """The rows as a batch in `record_schema`, in the finest precision that one of them has.

    A row that is no record is counted once, under the first of its reasons. `lines` says on which
    line each row is, counted from `tally.line`.
    """
    time, unit = _times(rows.observed_at)
    reasons: list[tuple[str, Column]] = [
        ("bad-time", pc.is_null(time)),
        ("unknown-protocol", pc.is_null(rows.protocol)),
    ]
    columns: dict[str, Column] = {
        "observed_at": time,
        "protocol": rows.protocol,
        "account": rows.account,
    }
    for name in ("source_address", "destination_address", "post_nat_source_address"):
        text = getattr(rows, name)
        columns[name] = addresses_from_text(text)
        absent_is_bad = not name.startswith("post_nat")
        bad = pc.or_(pc.is_valid(text), pa.scalar(absent_is_bad))
        reasons.append(("bad-address", pc.and_(pc.is_null(columns[name]), bad)))
    for name in ("source_port", "destination_port", "post_nat_source_port"):
        columns[name], bad, too_large = _ports(getattr(rows, name))
        reasons += [("bad-port", bad), ("port-out-of-range", too_large)]
    kept = _count(reasons, len(time), tally, lines)
    nullable = pa.schema([field.with_nullable(True) for field in record_schema(unit)])
    batch = pa.RecordBatch.from_arrays([columns[name] for name in nullable.names], schema=nullable)
    good = batch if kept.all() else batch.filter(pa.array(kept))
    return good.cast(record_schema(unit))


def _count(
    reasons: list[tuple[str, Column]], rows: int, tally: Tally, lines: Sequence[int] | None
) -> Mask:
    kept = np.ones(rows, np.bool_)
    for reason, failing in reasons:
        fallen = np.flatnonzero(kept & _numpy(failing))
        if len(fallen):
            tally.drop(reason, len(fallen), at=None if lines is None else lines[fallen[0]])
        kept[fallen] = False
    return kept


def _times(text: Column) -> tuple[Column, Unit]:
    """Ticks since 1970 in the finest unit of the column; null where the text is no such time."""
    text = pc.if_else(pc.match_substring_regex(text, _SECONDS), text, _NONE)
    dots: Column = pc.find_substring(text, ".")
    lengths: Column = pc.binary_length(text)
    dot, length = _numpy(pc.fill_null(dots, -1)), _numpy(pc.fill_null(lengths, 0))
    digits = np.where(dot < 0, 0, length - dot - 1).astype(np.int64)
    thousands = -(-int(digits.max(initial=0)) // 3)
    ticks = pc.replace_substring(text, ".", "").cast(pa.int64())
    scaled = pc.multiply(ticks, pa.array(10 ** (thousands * 3 - digits)))
    unit = UNITS[thousands]
    return scaled.cast(pa.timestamp(unit, tz="UTC")), unit


def _ports(text: Column) -> tuple[Column, Column, Column]:
    """(ports, which texts are no number, which numbers are no port)."""
    digits: Column = pc.match_substring_regex(text, r"^\d+$")
    number = pc.fill_null(digits, False)
    small = pc.and_(number, pc.less_equal(pc.binary_length(text), pa.scalar(5)))
    ports = pc.if_else(small, text, _NONE).cast(pa.int32())
    in_range: Column = pc.less_equal(ports, pa.scalar(65535))
    fits = pc.fill_null(in_range, False)
    bad = pc.and_(pc.is_valid(text), pc.invert(number))
    return (
        pc.if_else(fits, ports, pa.scalar(None, pa.int32())).cast(PORT),
        bad,
        pc.and_(number, pc.invert(fits)),
    )


def _numpy(column: Column) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False))
