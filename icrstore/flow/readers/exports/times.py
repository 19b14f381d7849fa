"""When a flow began, as far as its exporter says.

Of a connection the first of these that a record has, and of a NAT event 2 before 1:

1. flowStart: in nanoseconds, microseconds, milliseconds, seconds, since sysUpTime was 0, or in
   microseconds before the export;
2. observationTime, from the finest to the coarsest;
3. flowEnd, in the order of 1: no earlier time is known, and it is the export's if nothing is;
4. the time of the export.

An absolute time of 0 or outside 1970 to 2255 is none. sysUpTime counts milliseconds modulo 2^32: a
time of it lies in the eight days before the export (flows are told of every seven days or more
often) or the hour after it, or else is none. In IPFIX it counts from systemInitTimeMilliseconds,
and without that such times say nothing. Micro- and
nanoseconds are NTP timestamps (RFC 7011 section 6.1.9); some exporters count from 1970 instead,
which can be told apart until NTP's own era ends in 2036.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..times import LAST_SECOND
from .columns import Mask, Numbers, Rows, Unsigned, nanoseconds
from .templates import Key

_SECOND, _MILLISECOND, _MICROSECOND = 10**9, 10**6, 10**3
_NTP_1970 = 2_208_988_800
_WRAP = 1 << 32
_AHEAD_MILLISECONDS, _BEFORE_MILLISECONDS = 3_600_000, 8 * 86_400_000
_NANOSECONDS = {"seconds": _SECOND, "milliseconds": _MILLISECOND, "microseconds": _MICROSECOND}

# (element, what it counts)
_STARTS = (
    (156, "nanoseconds"), (154, "microseconds"), (152, "milliseconds"), (150, "seconds"),
    (22, "uptime"), (158, "before"),
)  # fmt: skip
_SEEN = (
    (325, "nanoseconds"), (324, "microseconds"), (323, "milliseconds"), (322, "seconds")
)  # fmt: skip
_ENDS = (
    (157, "nanoseconds"), (155, "microseconds"), (153, "milliseconds"), (151, "seconds"),
    (21, "uptime"), (159, "before"),
)  # fmt: skip

TIMES = frozenset(Key(0, number) for number, _ in _STARTS + _SEEN)
STARTS = frozenset(Key(0, number) for number, _ in _STARTS)


def of_connections(rows: Rows) -> Numbers:
    """When each row's connection was first seen, in nanoseconds since 1970."""
    return _first(rows, _STARTS + _SEEN + _ENDS)


def of_events(rows: Rows) -> Numbers:
    """When each row's translation began or ended, in nanoseconds since 1970."""
    return _first(rows, _SEEN + _STARTS + _ENDS)


def of_ends(rows: Rows, began: Numbers) -> Numbers:
    """When each row's flow was seen last, if it is told, and never before it began."""
    return np.maximum(began, _first(rows, _ENDS, began))


def _first(
    rows: Rows, elements: Sequence[tuple[int, str]], otherwise: Numbers | None = None
) -> Numbers:
    times = np.zeros(len(rows), np.int64)
    missing = np.ones(len(rows), np.bool_)
    for number, counts in elements:
        if (values := rows.number(Key(0, number))) is None:
            continue
        found, is_time = _nanoseconds(rows, values, counts)
        taken = missing & is_time
        times[taken] = found[taken]
        missing &= ~taken
        if not missing.any():
            return times
    return np.where(missing, rows.sent if otherwise is None else otherwise, times)


def _nanoseconds(rows: Rows, values: Unsigned, counts: str) -> tuple[Numbers, Mask]:
    """(times, which of them are times)."""
    if counts == "uptime":
        return _since_boot(rows, values)
    if counts == "before":
        return rows.sent - _signed(values % _WRAP) * _MICROSECOND, np.ones(len(rows), np.bool_)
    is_ntp = (values >> np.uint64(32)) >= _NTP_1970
    if counts in ("nanoseconds", "microseconds") and is_ntp.any():
        times = np.where(
            is_ntp, _of_ntp(values, _NANOSECONDS.get(counts, 1)), _scaled(values, counts)
        )
    else:
        times = _scaled(values, counts)
    return times, (times > 0) & (times <= LAST_SECOND * _SECOND)


def _since_boot(rows: Rows, values: Unsigned) -> tuple[Numbers, Mask]:
    uptime = (rows.sent - rows.booted) // _MILLISECOND
    before = (uptime - _signed(values % _WRAP)) % _WRAP
    before = np.where(before > _WRAP - _AHEAD_MILLISECONDS, before - _WRAP, before)
    is_time = (rows.booted != 0) & (before <= _BEFORE_MILLISECONDS)
    return rows.sent - before * _MILLISECOND, is_time


def _of_ntp(values: Unsigned, unit: int) -> Numbers:
    seconds = _signed(values >> np.uint64(32)) - _NTP_1970
    fraction = _signed(values & np.uint64(_WRAP - 1))
    # To the nearest: a time in such units was cut to fractions of 2^-32, or of 2^-21, of a second.
    nanoseconds = (fraction * _SECOND + (_WRAP >> 1)) >> 32
    return seconds * _SECOND + (nanoseconds + unit // 2) // unit * unit


def _scaled(values: Unsigned, counts: str) -> Numbers:
    return nanoseconds(values, _NANOSECONDS.get(counts, 1))


def _signed(values: npt.NDArray[np.uint64]) -> Numbers:
    return values.astype(np.int64)
