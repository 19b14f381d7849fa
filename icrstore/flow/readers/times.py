"""Times as texts: RFC 3339, the same without an offset, or a count since 1970 in a known unit."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import NANOSECONDS, UNITS, Column, Unit
from ..validate import Mask

# Ten digits below 9e9 keep nanoseconds within 64 bits, until the year 2255.
LAST_SECOND = 8_999_999_999
_LAST = LAST_SECOND * 10**9 + 10**9 - 1
_SECONDS = r"^[0-8]?\d{1,9}(\.\d{1,9})?$"
_COUNT = r"^\d{1,19}$"
_CLOCK = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?"
# Argus writes days with slashes.
_SLASHED = r"^(\d{4})/(\d\d)/(\d\d)"
_OFFSET = r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
_PARTS = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE = pa.scalar(None, pa.string())
# A zone's offset changes at a quarter of an hour, if it changes.
_QUARTER = 900 * 10**9

_PLAIN = b"0000-00-00T00:00:00.000000000"
_PLAIN_SIZES = frozenset({20, *range(22, 31)})
# Seconds since 1970 have ten digits from 2001 on.
_WHOLE_DIGITS = 10
_SECONDS_SIZES = frozenset({_WHOLE_DIGITS, *range(_WHOLE_DIGITS + 2, _WHOLE_DIGITS + 11)})

Ticks = npt.NDArray[np.int64]


def instants(
    text: Column, unit: Unit | None, zone: tzinfo | None
) -> tuple[Column, list[tuple[str, Mask]]]:
    """The times of a text column, in the finest precision that one of them has, null for what is
    none, and (reason, mask) of those that only lack their offset or are told twice.

    A plain number counts `unit`s since 1970; where that is None, only RFC 3339 is a time. A time
    without an offset is one of `zone`; without a zone, and in the hour that its clocks repeat,
    nobody can say which time it is.
    """
    if (plain := _plain(text)) is not None:
        return plain, []
    if unit == "s" and (plain := _plain_seconds(text)) is not None:
        return plain, []
    if unit and pc.any(pc.match_substring(text, "/")).as_py():
        text = pc.replace_substring_regex(text, _SLASHED, r"\1-\2-\3")
    offset = _matches(text, _CLOCK + _OFFSET)
    local = np.zeros(len(text), np.bool_) if offset.all() else _matches(text, _CLOCK + "$")
    number = ~offset & ~local
    ticks, digits = np.full(len(text), -1, np.int64), np.zeros(len(text), np.int64)
    faults: list[tuple[str, Mask]] = []
    if unit and number.any():
        ticks[number], digits[number] = _numbers(_of(text, number), unit)
    if offset.any():
        ticks[offset], digits[offset] = _with_offset(_of(text, offset))
    if local.any():
        if zone is None:
            faults.append(("time-without-offset", local))
        else:
            ticks[local], digits[local], twice = _in_zone(_of(text, local), zone)
            told_twice = local.copy()
            told_twice[local] = twice
            faults.append(("time-ambiguous", told_twice))
    bad = (ticks < 0) | (ticks > _LAST)
    finest = UNITS[-(-int(digits[~bad].max(initial=0)) // 3)]
    scaled: Column = pa.array(ticks // NANOSECONDS[finest], pa.int64(), mask=bad)
    return scaled.cast(pa.timestamp(finest, tz="UTC")), faults


def _plain(text: Column) -> Column | None:
    """The times of a column all of whose texts are ``YYYY-MM-DDTHH:MM:SS[.fraction]Z``, with one
    number of digits, and in the calendar; else None. In a tenth of the time that others take."""
    octets = _alike(text)
    if octets is None or (size := octets.shape[1]) not in _PLAIN_SIZES:
        return None
    shape = np.frombuffer(_PLAIN[: size - 1] + b"Z", np.uint8)
    is_fixed = shape != ord("0")
    # As items: numpy copies four octets of a row one by one.
    years = np.ndarray(len(octets), "V4", octets, 0, (size,)).copy().view(">u4")
    # Arrow would let times of other shapes pass, and nanoseconds of other years run over.
    if (octets[:, is_fixed] != shape[is_fixed]).any() or not _are_safe(years):
        return None
    unit = UNITS[-(-max(0, size - len("0000-00-00T00:00:00.Z")) // 3)]
    try:
        return text.cast(pa.timestamp(unit, tz="UTC"))
    except pa.ArrowInvalid:  # It is not in the calendar.
        return None


def _plain_seconds(text: Column) -> Column | None:
    """The same of texts that are all ten digits, or those, a point and up to nine more, below
    `LAST_SECOND`: as tcpdump and Zeek write seconds since 1970."""
    octets = _alike(text)
    if octets is None or (size := octets.shape[1]) not in _SECONDS_SIZES:
        return None
    if size > _WHOLE_DIGITS and (octets[:, _WHOLE_DIGITS] != ord(".")).any():
        return None
    digits = np.delete(octets, _WHOLE_DIGITS, 1) if size > _WHOLE_DIGITS else octets
    if (digits - ord("0") > 9).any() or (digits[:, 0] == ord("9")).any():
        return None
    power = max(0, size - _WHOLE_DIGITS - 1)
    unit = UNITS[-(-power // 3)]
    ticks = np.zeros(len(digits), np.int64)
    for column in digits.T:
        ticks = ticks * 10 + (column - ord("0"))
    return pa.array(ticks * 10 ** (-power % 3)).cast(pa.timestamp(unit, tz="UTC"))


def _alike(text: Column) -> npt.NDArray[np.uint8] | None:
    """The octets of texts that are all of one length, a row for each; None if they are not."""
    if not len(text) or text.null_count or not isinstance(text, pa.StringArray):
        return None
    buffers: list[Any] = text.buffers()
    offsets = np.frombuffer(buffers[1], np.int32)[text.offset : text.offset + len(text) + 1]
    size = int(offsets[1] - offsets[0])
    if not size or (np.diff(offsets) != size).any():
        return None
    return np.frombuffer(buffers[2], np.uint8)[offsets[0] : offsets[-1]].reshape(-1, size)


def _are_safe(years: npt.NDArray[np.uint32]) -> bool:
    """Four digits as one number each, from 1970 to the last year that is whole in `LAST_SECOND`."""
    first, last = (int.from_bytes(year, "big") for year in (b"1970", b"2254"))
    return bool(((years >= first) & (years <= last)).all())


def _of(text: Column, mask: Mask) -> Column:
    return text if mask.all() else text.filter(pa.array(mask))


def _matches(text: Column, pattern: str) -> Mask:
    found: Column = pc.match_substring_regex(text, pattern)
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), np.bool_)


def _numbers(text: Column, unit: Unit) -> tuple[Ticks, Ticks]:
    """Nanoseconds, -1 for what is no such number, and how many digits of a second each has."""
    good: Column = pc.match_substring_regex(text, _SECONDS if unit == "s" else _COUNT)
    number = pc.if_else(pc.fill_null(good, False), text, pa.scalar("-1"))
    digits = _fraction(number, 0) if unit == "s" else np.full(len(text), UNITS.index(unit) * 3)
    plain = pc.replace_substring(number, ".", "")
    try:
        counts = np.asarray(plain.cast(pa.int64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:  # More than 64 bits.
        counts = np.array([min(int(each), 1 << 62) for each in plain.to_pylist()], np.int64)
    scale = 10 ** (9 - digits)
    fits = (counts >= 0) & (counts <= _LAST // scale)
    return np.where(fits, counts * scale, -1), digits


def _with_offset(text: Column) -> tuple[Ticks, Ticks]:
    is_utc: Column = pc.or_(pc.ends_with(text, "Z"), pc.ends_with(text, "z"))
    suffix = np.where(np.asarray(is_utc.to_numpy(zero_copy_only=False)), 1, 6)
    return _clock(text, pa.timestamp("ns", tz="UTC")), _fraction(text, suffix)


def _in_zone(text: Column, zone: tzinfo) -> tuple[Ticks, Ticks, Mask]:
    clock = _clock(text, pa.timestamp("ns"))
    quarters, place = np.unique(clock // _QUARTER, return_inverse=True)
    moments = [datetime(1970, 1, 1) + timedelta(seconds=900 * int(q)) for q in quarters]  # noqa: DTZ001
    offsets = np.array([
        [_offset_nanoseconds(moment, zone, fold) for fold in (0, 1)] for moment in moments
    ], np.int64).reshape(-1, 2)  # fmt: skip
    twice = (offsets[:, 0] != offsets[:, 1])[place] & (clock >= 0)
    ticks = np.where((clock < 0) | twice, -1, clock - offsets[place, 0])
    return ticks, _fraction(text, 0), twice


def _offset_nanoseconds(moment: datetime, zone: tzinfo, fold: int) -> int:
    offset = moment.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)
    return int(offset.total_seconds()) * 10**9


def _fraction(text: Column, suffix: npt.NDArray[np.int64] | int) -> Ticks:
    """How many digits stand between a text's point and its last `suffix` characters."""
    dots: Column = pc.find_substring(text, ".")
    lengths: Column = pc.binary_length(text)
    dot = np.asarray(dots.to_numpy(zero_copy_only=False))
    length = np.asarray(lengths.to_numpy(zero_copy_only=False))
    return np.where(dot < 0, 0, length - suffix - dot - 1).astype(np.int64)


def _clock(text: Column, kind: pa.DataType) -> Ticks:
    """Nanoseconds since 1970 of texts of the right shape; -1 where there is no such day or hour."""
    try:
        return np.array(text.cast(kind).cast(pa.int64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:  # One of them is in no calendar: each by itself.
        return np.array([_nanoseconds(each) for each in text.to_pylist()], np.int64)


def _nanoseconds(text: str) -> int:
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return -1
    day, clock, fraction, offset = parts.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{(offset or 'Z').upper()}")
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return -1
    if not 0 <= seconds <= LAST_SECOND:
        return -1
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))
