"""Which records of a batch may be retained and why the others may not (DESIGN 6 and 9).

A batch is of connections or of bindings, which its columns tell.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .elements import BINDING_ELEMENTS, ELEMENTS, Element
from .errors import BatchRefused
from .schema import (
    NANOSECONDS,
    PORT_PROTOCOLS,
    UNITS,
    Column,
    Unit,
    is_of_bindings,
    is_there,
    schema_of,
)

HOUR = timedelta(hours=1)
OLDEST = timedelta(hours=48)
NEWEST = timedelta(minutes=5)
ACCOUNT_BYTES = 64

Batch = TypeVar("Batch", pa.RecordBatch, pa.Table)
Mask = npt.NDArray[np.bool_]
# From a moment to another; of hours, the second is the first that is not in it.
Span = tuple[datetime, datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PORTS = ("source_port", "destination_port", "post_nat_source_port")
_PORTLESS = np.array([number not in PORT_PROTOCOLS for number in range(256)])


@dataclass(frozen=True)
class Scope:
    """The UTC hours, first and last inclusive, that a batch says its records lie in."""

    first_hour: datetime
    last_hour: datetime

    def __post_init__(self) -> None:
        if not (_is_whole_hour(self.first_hour) and _is_whole_hour(self.last_hour)):
            raise ValueError("a scope is made of whole UTC hours")
        if self.last_hour < self.first_hour:
            raise ValueError("a scope ends before it begins")


@dataclass(frozen=True)
class Verdict(Generic[Batch]):
    """The good rows in their order, `kept[i]` for each row given, and why the others fell out;
    ``account`` is that column of the good rows with its distinct values apart."""

    good: Batch
    account: Column
    kept: Mask
    rejected: Counter[str]


def validate(
    batch: Batch,
    *,
    now: datetime,
    oldest: timedelta = OLDEST,
    backfilled: Sequence[Span] = (),
    scope: Scope | None = None,
    account_required: bool = True,
) -> Verdict[Batch]:
    """Sort the records of a batch into good ones and counted reasons.

    `now` is the time of acceptance: a record observed more than `oldest` before it (and in none of
    the spans `backfilled`), or more than `NEWEST` after it, falls out. Each record counts once,
    under the first reason it fails in this order. The good rows have the columns of
    `record_schema`, or `binding_schema`, in its order.

    1. A value is missing that a record cannot be without.
    2. The time is too old, in the future, or outside the batch's scope.
    3. There is a port where the protocol has none, or a translated port without its address. A
       binding ends before it begins or beyond its hour's end, or its range of ports is none.
    4. The account is not UTF-8, missing, not 1 to 64 bytes, has control characters or is not NFC.

    Raises BatchRefused, naming the column and the mend, if the columns are not those of a record.
    """
    elements = _elements_of(batch)
    unit = check_columns(batch, elements)
    rows, garbled = readable(batch.select([element.name for element in elements]))
    account: Column = rows.column("account").dictionary_encode()
    kept = np.ones(rows.num_rows, np.bool_)
    rejected: Counter[str] = Counter()
    current = now - oldest, now + NEWEST
    for reason, failing in chain(
        _failures(rows, unit, current, backfilled, scope),
        [("account-not-utf-8", garbled)],  # 4.
        account_failures(account, required=account_required),
    ):
        if failing.any() and (count := int((kept & failing).sum())):
            rejected[reason] = count
            kept &= ~failing
    if not rejected:
        return Verdict(rows, account, kept, rejected)
    good = rows.filter(pa.array(kept))
    return Verdict(good, good.column("account").dictionary_encode(), kept, rejected)


def check_columns(
    batch: pa.RecordBatch | pa.Table, elements: tuple[Element, ...] = ELEMENTS
) -> Unit:
    """The unit of the batch's times; BatchRefused unless its columns are exactly these elements."""
    try:
        names = batch.schema.names
    except UnicodeDecodeError:
        raise BatchRefused("a column's name is not UTF-8: write the batch again") from None
    for element in elements:
        if names.count(element.name) != 1:
            raise BatchRefused(
                f"a record has one column {element.name!r}, this batch has "
                f"{names.count(element.name)}: give it once, null where not known",
                element.name,
            )
    if unknown := sorted(set(names) - {element.name for element in elements}):
        shown = unknown[0][:64]
        raise BatchRefused(f"a record has no column {shown!r}: rename it or leave it out", shown)
    unit = _unit(batch.schema.field("observed_at").type)
    for field in schema_of(elements, unit):
        if not batch.schema.field(field.name).type.equals(field.type):
            raise BatchRefused(f"column {field.name!r} must be cast to {field.type}", field.name)
    return unit


def _elements_of(batch: pa.RecordBatch | pa.Table) -> tuple[Element, ...]:
    try:
        return BINDING_ELEMENTS if is_of_bindings(batch) else ELEMENTS
    except UnicodeDecodeError:  # A column's name; `check_columns` says so.
        return ELEMENTS


def readable(batch: Batch) -> tuple[Batch, Mask]:
    """The batch with null for each account that is not UTF-8, and which those are.

    Raises BatchRefused if it is damaged in any other way: then nothing may read it. Its columns
    have been checked.
    """
    place = batch.schema.get_field_index("account")
    try:
        # As bytes: whether they are there at all comes before what they say.
        accounts: Column = batch.column(place).cast(pa.binary())
        batch.set_column(place, "account", accounts).validate(full=True)
    except pa.ArrowInvalid:
        raise BatchRefused("the batch is not valid Arrow data: write it again") from None
    try:
        accounts.cast(pa.string())
    except pa.ArrowInvalid:
        return _without_garbled(batch, place, accounts)
    return batch, np.zeros(batch.num_rows, np.bool_)


def _without_garbled(batch: Batch, place: int, accounts: Column) -> tuple[Batch, Mask]:
    wrong = [each for each in pc.unique(accounts).to_pylist() if each and not _is_utf_8(each)]
    garbled: Column = pc.is_in(accounts, value_set=pa.array(wrong, pa.binary()))
    text: Column = pc.if_else(garbled, pa.scalar(None, pa.binary()), accounts).cast(pa.string())
    return batch.set_column(place, batch.schema.field(place), text), _mask(garbled)


def account_failures(account: Column, *, required: bool) -> Iterator[tuple[str, Mask]]:
    """(reason, mask of the failing rows) for each rule that an account breaks."""
    # Of many records few accounts: each is looked at once.
    unique = account.dictionary_encode()
    if isinstance(unique, pa.ChunkedArray):
        unique = unique.combine_chunks()
    if not (required and account.null_count) and _are_plain(unique.dictionary):
        return
    for reason, failing in _text_failures(unique.dictionary, required=required):
        absent = required and reason == "account-missing" and account.null_count > 0
        if failing.any() or absent:
            rows: Column = pa.array(failing).take(unique.indices)
            yield reason, np.asarray(pc.fill_null(rows, absent).to_numpy(zero_copy_only=False))


def _are_plain(account: Column) -> bool:
    """Whether it takes no look at each: no rule is broken by a few printable ASCII characters."""
    length: Column = pc.binary_length(account)
    fits = pc.and_(
        pc.greater(length, pa.scalar(0)), pc.less_equal(length, pa.scalar(ACCOUNT_BYTES))
    )
    return bool(pc.all(pc.and_(fits, pc.ascii_is_printable(account)), min_count=0).as_py())


def _text_failures(account: Column, *, required: bool) -> Iterator[tuple[str, Mask]]:
    empty = _mask(pc.equal(account, pa.scalar("")))
    yield "account-missing", empty | ~is_there(account) if required else empty
    longest = pa.scalar(ACCOUNT_BYTES)
    yield "account-too-long", _mask(pc.greater(pc.binary_length(account), longest))
    yield "account-control-character", _mask(pc.match_substring_regex(account, r"\p{Cc}"))
    composed = pc.call_function("utf8_normalize", [account], pc.Utf8NormalizeOptions("NFC"))
    yield "account-not-nfc", _mask(pc.not_equal(account, composed))


def _failures(
    rows: pa.RecordBatch | pa.Table,
    unit: Unit,
    current: Span,
    backfilled: Sequence[Span],
    scope: Scope | None,
) -> Iterator[tuple[str, Mask]]:
    of_bindings = is_of_bindings(rows)
    for element in BINDING_ELEMENTS if of_bindings else ELEMENTS:  # 1.
        column: Column = rows.column(element.name)
        if element.required and column.null_count:
            yield element.name.replace("_", "-") + "-missing", ~is_there(column)
    time, scale = _numbers(rows.column("observed_at").cast(pa.int64())), NANOSECONDS[unit]  # 2.
    too_old = time < _ceiling(_nanoseconds(current[0]), scale)
    for span in backfilled:
        too_old &= (time < _nanoseconds(span[0]) // scale) | (
            time >= _nanoseconds(span[1]) // scale
        )
    yield "time-too-old", too_old
    yield "time-in-future", time > _nanoseconds(current[1]) // scale
    if scope is not None:
        first, end = _nanoseconds(scope.first_hour), _nanoseconds(scope.last_hour + HOUR)
        yield "outside-scope", (time < first // scale) | (time >= end // scale)
    yield from _binding_failures(rows, unit) if of_bindings else _connection_failures(rows)  # 3.


def _connection_failures(rows: pa.RecordBatch | pa.Table) -> Iterator[tuple[str, Mask]]:
    ported = [is_there(rows.column(name)) for name in _PORTS]
    portless = _PORTLESS.take(_numbers(rows.column("protocol")))
    yield "port-on-portless-protocol", portless & (ported[0] | ported[1] | ported[2])
    untranslated = ~is_there(rows.column("post_nat_source_address"))
    yield "post-nat-port-without-address", ported[2] & untranslated


def _binding_failures(rows: pa.RecordBatch | pa.Table, unit: Unit) -> Iterator[tuple[str, Mask]]:
    begins, ends = (
        _numbers(rows.column(name).cast(pa.int64())) for name in ("observed_at", "observed_until")
    )
    hour = HOUR // timedelta(microseconds=1) * 1000 // NANOSECONDS[unit]
    yield "ends-before-it-begins", ends < begins
    yield "not-within-one-hour", ends > (begins // hour + 1) * hour
    first: Column = rows.column("port_range_start")
    last: Column = rows.column("port_range_end")
    ported = is_there(first)
    yield "half-a-port-range", ported != is_there(last)
    yield "port-range-reversed", _mask(pc.greater(first, last))
    protocol: Column = rows.column("protocol")
    portless = _PORTLESS[_numbers(protocol)] & is_there(protocol)
    yield "port-on-portless-protocol", ported & portless


def _is_utf_8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unit(time: pa.DataType) -> Unit:
    for unit in UNITS:
        if time.equals(pa.timestamp(unit, tz="UTC")):
            return unit
    raise BatchRefused(
        "column 'observed_at' must be cast to a timestamp in s, ms, us or ns with time zone 'UTC'",
        "observed_at",
    )


def _is_whole_hour(moment: datetime) -> bool:
    return moment.utcoffset() == timedelta(0) and (moment - _EPOCH) % HOUR == timedelta(0)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _ceiling(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _numbers(column: Column) -> npt.NDArray[np.int64]:
    """The values as integers; 0 where null, which another reason has already counted."""
    return np.asarray(pc.fill_null(column, 0).to_numpy(zero_copy_only=False))


def _mask(column: Column) -> Mask:
    """True where the answer is true; null is false."""
    # As numbers: Arrow hands truth values out one by one.
    numbers = pc.fill_null(column, False).cast(pa.uint8()).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.uint8).view(np.bool_)
