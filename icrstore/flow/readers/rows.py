"""Rows of text become records, column by column; what does not parse is counted and left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..elements import PORT
from ..schema import PORT_PROTOCOLS, Column, addresses_from_text, record_schema
from ..validate import Mask
from .tally import Tally
from .times import instants

# A reason, and which rows it is true of.
Fault: TypeAlias = tuple[str, Any]
_NONE = pa.scalar(None, pa.string())
_PORTED = pa.array(sorted(PORT_PROTOCOLS), pa.uint8())


@dataclass(frozen=True)
class Rows:
    """The fields of some rows as columns of equal length, null where a field is absent.

    Addresses and the account are text; so are ports, or they are uint16 already.
    """

    observed_at: Column  # a timestamp, or text: decimal seconds since 1970 UTC
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


def ported(protocol: Column) -> Mask:
    """Which rows have a protocol that has ports."""
    return mask_of(pc.is_in(protocol, value_set=_PORTED))


def assemble(
    rows: Rows, tally: Tally, lines: Sequence[int] | None = None, faults: Sequence[Fault] = ()
) -> pa.RecordBatch:
    """The rows as a batch in `record_schema`, in the finest precision that one of them has.

    A row that is no record is counted once, under the first of its reasons, of which `faults`, that
    the caller found, come first. `lines` says on which line each row is, counted from `tally.line`.
    """
    time = rows.observed_at
    if not pa.types.is_timestamp(time.type):
        time, _ = instants(time, "s", None)
    reasons: list[Fault] = [
        *faults,
        ("bad-time", pc.is_null(time)),
        ("unknown-protocol", pc.is_null(rows.protocol)),
    ]
    columns: dict[str, Column] = {
        "observed_at": time,
        "protocol": rows.protocol,
        "account": rows.account,
    }
    for name in ("source_address", "destination_address", "post_nat_source_address"):
        is_required = not name.startswith("post_nat")
        columns[name], bad = address_column(getattr(rows, name), is_required=is_required)
        reasons.append(("bad-address", bad))
    for name in ("source_port", "destination_port", "post_nat_source_port"):
        columns[name], bad, too_large = port_column(getattr(rows, name))
        reasons += [("bad-port", bad), ("port-out-of-range", too_large)]
    kept = count_faults(reasons, len(time), tally, lines)
    return shaped(columns, record_schema(time.type.unit), kept)


def shaped(columns: dict[str, Column], schema: pa.Schema, kept: Mask) -> pa.RecordBatch:
    """The kept rows of these columns as a batch in a schema."""
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    batch = pa.RecordBatch.from_arrays([columns[name] for name in nullable.names], schema=nullable)
    good = batch if kept.all() else batch.filter(pa.array(kept))
    return good.cast(schema)


def count_faults(
    reasons: Sequence[Fault], rows: int, tally: Tally, lines: Sequence[int] | None
) -> Mask:
    """Which rows no reason is true of; the others are counted, each under its first."""
    kept = np.ones(rows, np.bool_)
    for reason, failing in reasons:
        # Most are true of no row, which Arrow counts without a look at each.
        if isinstance(failing, pa.BooleanArray) and not failing.true_count:
            continue
        fallen = np.flatnonzero(kept & mask_of(failing))
        if len(fallen):
            tally.drop(reason, len(fallen), at=None if lines is None else lines[fallen[0]])
        kept[fallen] = False
    return kept


def address_column(text: Column, *, is_required: bool) -> tuple[Column, Column]:
    """(addresses of 16 bytes, which texts are none)."""
    addresses = addresses_from_text(text)
    lacking = pc.or_(pc.is_valid(text), pa.scalar(is_required))
    return addresses, pc.and_(pc.is_null(addresses), lacking)


def port_column(text: Column) -> tuple[Column, Column, Column]:
    """(ports, which texts are no number, which numbers are no port)."""
    if text.type == PORT:
        fine = pa.scalar(False)
        return text, pc.and_(pc.is_valid(text), fine), pc.and_(pc.is_valid(text), fine)
    digits: Column = pc.ascii_is_decimal(text)
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


def mask_of(answers: Any) -> Mask:
    """True where the answer is true; null is false."""
    if isinstance(answers, np.ndarray):
        return answers
    filled: Column = pc.fill_null(answers, False)
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.bool_)
