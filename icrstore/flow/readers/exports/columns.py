"""Records of one template as columns: a set is one matrix of bytes, in which a field is columns.

Only fields of variable length are looked at row by row.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..times import LAST_SECOND
from .elements import SYSTEM_INIT, AddressKeys
from .templates import Key, Place, Records, Template

Octets = npt.NDArray[np.uint8]
Unsigned = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

V4_MAPPED = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)
_LONG = 255
_MILLISECOND, _SECOND = 10**6, 10**9


def nanoseconds(values: Unsigned, scale: int) -> Numbers:
    """So many times `scale` nanoseconds; 0, which is no time, for what is too large for one."""
    fitting = np.where(values <= np.uint64(LAST_SECOND * _SECOND // scale), values, np.uint64(0))
    return fitting.astype(np.int64) * scale


class Group:
    """What came of one template since it was read last."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.count = 0
        self._content: list[bytes] = []
        self._starts: list[Numbers] = []
        self._bytes = 0
        self._counts: list[int] = []
        self._sent: list[int] = []
        self._booted: list[int] = []

    def add(self, records: Records, sent: int, booted: int | None) -> None:
        """More records, of an export of this time (see `Message`)."""
        if records.starts is not None:
            self._starts.append(np.array(records.starts, np.int64) + self._bytes)
        self._content.append(records.content)
        self._bytes += len(records.content)
        self.count += records.count
        self._counts.append(records.count)
        self._sent.append(sent)
        self._booted.append(0 if booted is None else booted)

    def rows(self) -> "Rows":
        """All of it as columns."""
        octets = np.frombuffer(b"".join(self._content), np.uint8)
        parts = len(self.template.parts)
        starts = np.concatenate(self._starts).reshape(-1, parts) if parts > 1 else None
        sent = np.repeat(np.array(self._sent, np.int64), self._counts)
        booted = np.repeat(np.array(self._booted, np.int64), self._counts)
        rows = Rows(self.template, octets, starts, sent, booted)
        if (since := rows.number(SYSTEM_INIT)) is not None:
            rows.booted = nanoseconds(since, _MILLISECOND)
        return rows


class Rows:
    """``sent`` and ``booted`` (0: not known) are of the export of each row, in nanoseconds."""

    def __init__(
        self,
        template: Template,
        octets: Octets,
        starts: Numbers | None,
        sent: Numbers,
        booted: Numbers,
    ) -> None:
        self.template = template
        self.sent = sent
        self.booted = booted
        self._octets = octets
        self._starts = starts

    def __len__(self) -> int:
        return len(self.sent)

    def number(self, key: Key) -> Unsigned | None:
        """The values of an element of one to eight bytes (RFC 7011 section 6.2); None: not here."""
        place = self.template.places.get(key)
        if place is None or place.length is None or place.length > 8:
            return None
        padded = np.zeros((len(self), 8), np.uint8)
        padded[:, 8 - place.length :] = self._at(place, place.length)
        return padded.view(">u8").ravel().astype(np.uint64)

    def first_number(self, keys: Sequence[Key]) -> Unsigned | None:
        """The values of the first of these elements that is here."""
        found = (self.number(key) for key in keys)
        return next((numbers for numbers in found if numbers is not None), None)

    def address(self, keys: AddressKeys, *, prefers_six: bool = False) -> Octets | None:
        """16 bytes for each row; None: not here. Where both are, the one that is not zero."""
        four, six = self._fixed(keys.four, 4), self._fixed(keys.six, 16)
        if four is None:
            return six
        mapped = np.empty((len(self), 16), np.uint8)
        mapped[:, :12], mapped[:, 12:] = V4_MAPPED, four
        if six is not None:
            is_six = six.any(axis=1) & (prefers_six | ~four.any(axis=1))
            mapped[is_six] = six[is_six]
        return mapped

    def texts(self, key: Key) -> list[bytes] | None:
        """The bytes of a text in each row, without zeros at its end; None: not here."""
        place = self.template.places.get(key)
        if place is None:
            return None
        if place.length is None:
            return self._varying(place)
        octets = np.ascontiguousarray(self._at(place, place.length))
        found: list[bytes] = octets.view(f"S{place.length}").ravel().tolist()
        return found

    def _fixed(self, keys: Sequence[Key], length: int) -> Octets | None:
        for key in keys:
            place = self.template.places.get(key)
            if place is not None and place.length == length:
                return self._at(place, length)
        return None

    def _at(self, place: Place, length: int) -> Octets:
        if self._starts is None:
            rows = self._octets.reshape(len(self), -1)
            return rows[:, place.offset : place.offset + length]
        first = self._starts[:, place.part] + place.offset
        return np.asarray(self._octets[first[:, None] + np.arange(length)])

    def _varying(self, place: Place) -> list[bytes]:
        """The bytes between their length, of one or three bytes, and where the next part begins."""
        assert self._starts is not None
        marks = self._starts[:, place.part] + place.offset
        firsts = marks + np.where(self._octets[marks] == _LONG, 3, 1)
        spans = zip(firsts.tolist(), self._starts[:, place.part + 1].tolist(), strict=True)
        content = self._octets.tobytes()
        return [content[first:end].rstrip(b"\0") for first, end in spans]
