"""A JSON parser that takes one spelling of a statement and refuses every other.

Duplicate or unknown keys, floats, NaN, trailing bytes, times without offset: refused, so that two
readers can never understand one signed text in two ways.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

# Python's own reader takes an offset of +00:99, and from 3.14 on an hour 24: neither is RFC 3339.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)", re.ASCII
)
_HEXADECIMAL = re.compile(r"[0-9a-f]*", re.ASCII)
MAX_STATEMENT_BYTES = 1 << 20
_MAX_INT = 1 << 53


class StatementError(Exception):
    """A statement that cannot be taken. ``code`` is stable; ``field`` names the place."""

    def __init__(self, code: str, field: str = "") -> None:
        super().__init__(f"{code}: {field}" if field else code)
        self.code = code
        self.field = field


def parse_object(payload: bytes, longest: int = MAX_STATEMENT_BYTES) -> dict[str, Any]:
    """The one JSON object in ``payload``, of at most ``longest`` bytes. Raises `StatementError`."""
    if len(payload) > longest:
        raise StatementError("too-long")
    try:
        parsed = _READER.decode(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise StatementError("not-json") from error
    if not isinstance(parsed, dict):
        raise StatementError("not-an-object")
    return parsed


def dump(value: Mapping[str, Any]) -> bytes:
    """The bytes that we write for a statement: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


class Fields:
    """The fields of one object, each taken once; `finish` refuses what nobody took."""

    def __init__(self, value: Any, place: str = "") -> None:
        if not isinstance(value, dict):
            raise StatementError("not-an-object", place)
        self._left = dict(value)
        self._place = place

    def take(self, name: str) -> Any:
        if name not in self._left:
            raise StatementError("missing-field", self._at(name))
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        return name in self._left

    def text(self, name: str, longest: int = 256) -> str:
        """NFC text of 1 to ``longest`` bytes without control characters."""
        value = self.take(name)
        if not isinstance(value, str) or not 0 < len(value.encode("utf-8", "replace")) <= longest:
            self._refuse("not-a-text", name)
        if value.isascii() and value.isprintable():
            # Most are: what is asked below would be asked of every character for nothing.
            return str(value)
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            self._refuse("control-character", name)
        if unicodedata.normalize("NFC", value) != value:
            self._refuse("not-nfc", name)
        return str(value)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            self._refuse("not-supported", name)
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._refuse("out-of-range", name)
        return int(value)

    def integer_or_null(self, name: str, least: int, most: int) -> int | None:
        if self._left.get(name, 0) is None:
            self.take(name)
            return None
        return self.integer(name, least, most)

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            self._refuse("not-a-boolean", name)
        return bool(value)

    def version(self) -> None:
        self.integer("v", 1, 1)

    def time(self, name: str) -> datetime:
        """An aware UTC moment of the years 1970 to 9998, from RFC 3339 text with an offset."""
        value = self.text(name)
        if not _TIME.fullmatch(value):
            self._refuse("time-without-offset", name)
        moment = _utc(value)
        if moment is None:
            self._refuse("not-a-time", name)
        return moment

    def day(self, name: str) -> str:
        """A UTC day, ``YYYY-MM-DD``."""
        value = self.text(name)
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) or not _utc(value + "T00:00:00Z"):
            self._refuse("not-a-day", name)
        return value

    def hour(self, name: str) -> datetime:
        moment = self.time(name)
        if moment.minute or moment.second or moment.microsecond:
            self._refuse("not-a-whole-hour", name)
        return moment

    def hexadecimal(self, name: str, size: int) -> bytes:
        value = self.text(name)
        if not _HEXADECIMAL.fullmatch(value) or len(value) != 2 * size:
            self._refuse("not-hexadecimal", name)
        return bytes.fromhex(value)

    def base64(self, name: str, size: int | None = None, longest: int = 1 << 20) -> bytes:
        value = self.take(name)
        decoded = decode_base64(value) if isinstance(value, str) else None
        if decoded is None or len(decoded) > longest or size not in (None, len(decoded)):
            self._refuse("not-base64", name)
        return bytes(decoded)

    def items(self, name: str, read: Callable[[Any, str], T], least: int = 0,
              most: int = 1000) -> tuple[T, ...]:  # fmt: skip
        value = self.take(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            self._refuse("not-a-list", name)
        place = self._at(name)
        return tuple(read(item, f"{place}[{i}]") for i, item in enumerate(value))

    def nested(self, name: str) -> "Fields":
        return Fields(self.take(name), self._at(name))

    def finish(self) -> None:
        """Refuse what nobody asked for, by name: an unread field could be a condition."""
        for name in self._left:
            self._refuse("not-supported", name)

    def _at(self, name: str) -> str:
        # A name that we did not choose may hold anything: only a plain one is repeated.
        shown = name if re.fullmatch(r"[a-z0-9_]{1,40}", name, re.ASCII) else "(unknown)"
        return f"{self._place}.{shown}" if self._place else shown

    def _refuse(self, code: str, name: str) -> NoReturn:
        raise StatementError(code, self._at(name))


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; a fraction only where there is one."""
    if moment.tzinfo is None:
        raise ValueError("a time without an offset cannot be written")
    shown = moment.astimezone(UTC).replace(tzinfo=None)
    return shown.isoformat(timespec="auto") + "Z"


def hours_between(first: datetime, end: datetime) -> list[datetime]:
    """The UTC hours from ``first`` (included) to ``end`` (excluded)."""
    hour = timedelta(hours=1)
    return [first + n * hour for n in range((end - first) // hour)]


def encode_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def decode_base64(value: str) -> bytes | None:
    """The bytes, or None unless ``value`` is their one standard spelling."""
    try:
        decoded = base64.b64decode(value.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return decoded if encode_base64(decoded) == value else None


def _utc(value: str) -> datetime | None:
    """The moment, or None for one that is not in the calendar or too near its ends."""
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # A tolerance or a lifetime is added later: no sum may leave what a datetime can hold.
    return moment if 1970 <= moment.year <= 9998 else None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate key")
    return made


def _no_float(_: str) -> NoReturn:
    raise ValueError("not an integer")


def _small_int(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > _MAX_INT:
        raise ValueError("too large an integer")
    return int(digits)


# Made once: it takes as long to make one as to read a short statement.
_READER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_float=_no_float,
    parse_constant=_no_float,
    parse_int=_small_int,
)
