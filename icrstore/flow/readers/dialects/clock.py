"""When a line says that it happened, as seconds since 1970.

RFC 3164 writes neither year nor offset, RFC 5424 both; devices write forms of their own, and counts
since 1970 in seconds to nanoseconds, which their length tells apart until the year 2286.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from ..hints import Hints

# What a time is before its fraction and offset: as a header writes it, and as any device does.
HEADER_TIME = (
    r"(?:[A-Z][a-z]{2} {1,2}[0-9]{1,2} (?:[0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"|[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2})"
)
FRACTION = r"[.,][0-9]{1,9}"
OFFSET = r" ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})"
TIME = (
    r"(?:[0-9]{9,19}(?:\.[0-9]{1,9})?"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}"
    rf"|{HEADER_TIME}(?:{FRACTION})?(?:{OFFSET})?)"
)

_PARTS = re.compile(rf"([^.,+Z]+?)({FRACTION})?({OFFSET})?")
_COUNT = re.compile(r"[0-9]{9,19}")
_NUMBERED = re.compile(r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9:]{8})")
_NAMED = re.compile(
    r"(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) {1,2}([0-9]{1,2}) (?:([0-9]{4}) )?([0-9:]{8})"
    r"(?: ([0-9]{4}))?"
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# How many digits a count since 1970 has, and which of them are whole seconds.
_WHOLE_DIGITS = {9: 9, 10: 10, 13: 10, 16: 10, 19: 10}
# 29 February may be eight years ago.
_YEARS = 9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Untimed(Exception):
    """Nobody can say when; its one argument is the reason."""


class Clock:
    """Reads times as `Hints` say: without them no zone and no year is guessed."""

    def __init__(self, hints: Hints) -> None:
        self._zone, self._now = hints.zone, hints.now
        self._known = lru_cache(maxsize=4096)(self._whole_seconds)
        # Lines come in the order of time, so that the same texts come again and again.
        self.read = lru_cache(maxsize=4096)(self._read)

    def _read(self, text: str) -> str:
        """Decimal seconds since 1970 of any form of time. Raises Untimed."""
        parts = _PARTS.fullmatch(text)
        if parts is None:
            raise Untimed("bad-time")
        main, fraction, offset = parts.groups()
        if _COUNT.fullmatch(main):
            return _counted(main) + (fraction or "")
        return self.seconds(main, fraction, offset)

    def seconds(self, main: str, fraction: str | None, offset: str | None) -> str:
        """Decimal seconds since 1970 of a time in its three parts. Raises Untimed."""
        whole, why = self._known(main, offset)
        if why:
            raise Untimed(why)
        return f"{whole}.{fraction[1:]}" if fraction else whole

    def _whole_seconds(self, main: str, offset: str | None) -> tuple[str, str]:
        try:
            return str((self._moment(main, offset) - _EPOCH) // timedelta(seconds=1)), ""
        except Untimed as why:
            return "", why.args[0]
        except (ValueError, OverflowError):
            return "", "bad-time"

    def _moment(self, main: str, offset: str | None) -> datetime:
        zone = _zone(offset) if offset else self._zone
        if zone is None:
            raise Untimed("time-without-offset")
        year, month, day, clock = _fields(main)
        if year is not None:
            return _once(datetime.fromisoformat(f"{year}-{month:02}-{day:02}T{clock}"), zone)
        if self._now is None:
            raise Untimed("time-without-year")
        latest = (self._now + timedelta(days=1)).astimezone(zone)
        for back in range(_YEARS):
            try:
                naive = datetime.fromisoformat(f"{latest.year - back}-{month:02}-{day:02}T{clock}")
            except ValueError:
                continue
            if naive.replace(tzinfo=zone) <= latest:
                return _once(naive, zone)
        raise Untimed("bad-time")


def _once(naive: datetime, zone: tzinfo) -> datetime:
    """The moment; Untimed in the hour that the zone's clocks repeat, or leave out."""
    first, second = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise Untimed("time-ambiguous")
    return first


def _fields(main: str) -> tuple[int | None, int, int, str]:
    """(year or None, month, day, clock). Raises Untimed."""
    if match := _NUMBERED.fullmatch(main):
        return int(match[1]), int(match[2]), int(match[3]), match[4]
    match = _NAMED.fullmatch(main)
    if match is None or match[1] not in _MONTHS:
        raise Untimed("bad-time")
    year = match[3] or match[5]
    return int(year) if year else None, _MONTHS.index(match[1]) + 1, int(match[2]), match[4]


def _zone(offset: str) -> timezone:
    text = offset.strip()
    if text[0] not in "+-":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def _counted(digits: str) -> str:
    whole = _WHOLE_DIGITS.get(len(digits))
    if whole is None:
        raise Untimed("bad-time")
    return f"{digits[:whole]}.{digits[whole:]}" if len(digits) > whole else digits
