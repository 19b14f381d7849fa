"""Sequence numbers: what an exporter sent and never came, told apart from what came late.

Each version counts something else. v5: flows, before this export. v9: exports. IPFIX: data records,
before this message. Some exporters count as another version does, or after the message: two
messages in a row that fit another way of counting are believed, and what seemed to be missing is
not. What is missing is known once the next export comes, and is believed to be lost half a minute
later: until then it may still come late.

What is missing was sent between the two exports around it. When that was says the clock by which
they came: an exporter's own may begin at 1970, and be set meanwhile.

An exporter whose numbers go back while its clock goes on, or whose sysUpTime began anew, has
restarted; whether that lost anything nobody knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from .messages import V9, Message

PATIENCE_NANOSECONDS = 30 * 10**9
_MOST_HOLES = 64
_BELIEVED = 2
_WRAP = 1 << 32
_BOOT_NANOSECONDS = 60 * 10**9  # clocks of exporters are set by less

# Told (first time, last time, how many) in nanoseconds.
Lost = Callable[[int, int, int], None]


class Counts(Enum):
    """What an exporter's number tells."""

    EXPORTS = "how many exports there were"
    BEFORE = "how many records there were before this export"
    AFTER = "how many records there were, with those of this export"

    @classmethod
    def of(cls, version: int) -> "Counts":
        return cls.EXPORTS if version == V9 else cls.BEFORE


@dataclass
class _Hole:
    """``size`` numbers from ``start`` on that did not come; the exports around them did, ``first``
    and ``last``."""

    start: int
    size: int
    first: int
    last: int


@dataclass
class _Last:
    """The export before; ``records`` is None where they could not be counted."""

    number: int
    records: int | None
    sent: int
    came: int
    booted: int | None


@dataclass
class Sequence:
    """The numbers of one sender."""

    counts: Counts
    lost: Lost
    _last: _Last | None = None
    _holes: list[_Hole] = field(default_factory=list)
    _doubts: dict[Counts, int] = field(default_factory=dict)  # how often in a row others fitted

    def take(self, message: Message, records: int | None, came: int) -> str | None:
        """The next message, of so many data records (None: they cannot be counted), and when it
        ``came``, in nanoseconds.

        Returns "late-export" or "exporter-restart" where it is one.
        """
        ahead = self._ahead(self.counts, message, records) or 0
        if ahead and self._fits_otherwise(message, records):
            # It is in order; and if that has settled how to count, there is no hole before it.
            ahead = max(self._ahead(self.counts, message, records) or 0, 0)
        elif not ahead:
            self._doubts = {}
        is_back = ahead < 0
        has_restarted = is_back and self._has_restarted(message)
        if is_back and not has_restarted:
            self._fill(*self._covers(message.sequence, records or 0))
            return "late-export"
        if ahead > 0:
            self._open(ahead, message, records or 0, came)
        self._mature(came - PATIENCE_NANOSECONDS)
        self._last = _Last(message.sequence, records, message.sent, came, message.booted)
        return "exporter-restart" if has_restarted else None

    def end(self) -> None:
        """What is missing now will not come."""
        self._mature(None)

    def _ahead(self, counts: Counts, message: Message, records: int | None) -> int | None:
        """How far the message is from where it should be; None where that cannot be told."""
        if self._last is None:
            return None
        steps = {Counts.EXPORTS: 1, Counts.BEFORE: self._last.records, Counts.AFTER: records}
        if (step := steps[counts]) is None:
            return None
        return _signed(message.sequence - self._last.number - step)

    def _fits_otherwise(self, message: Message, records: int | None) -> bool:
        """Whether a message that is not where it should be is where another way of counting has it;
        from the second in a row on, that is how this exporter counts."""
        others = [other for other in Counts if other is not self.counts]
        fitting = [each for each in others if self._ahead(each, message, records) == 0]
        self._doubts = {each: self._doubts.get(each, 0) + 1 for each in fitting}
        for each, times in self._doubts.items():
            if times == _BELIEVED:
                self.counts, self._holes, self._doubts = each, [], {}
                break
        return bool(fitting)

    def _has_restarted(self, message: Message) -> bool:
        assert self._last is not None
        if message.sent > self._last.sent:
            return True
        if message.booted is None or self._last.booted is None:
            return False
        return message.booted - self._last.booted > _BOOT_NANOSECONDS

    def _covers(self, number: int, records: int) -> tuple[int, int]:
        """(the first, how many) of the numbers that a message stands for."""
        match self.counts:
            case Counts.EXPORTS:
                return number, 1
            case Counts.BEFORE:
                return number, records
            case Counts.AFTER:
                return number - records + 1, records

    def _open(self, size: int, message: Message, records: int, came: int) -> None:
        assert self._last is not None
        start = self._covers(message.sequence, records)[0] - size
        first = self._last.came
        self._holes.append(_Hole(start % _WRAP, size, first, max(came, first)))
        if len(self._holes) > _MOST_HOLES:
            self._lose(self._holes.pop(0))

    def _fill(self, start: int, size: int) -> None:
        """A late export closes what it covers of a hole."""
        for at, hole in enumerate(self._holes):
            before = (start - hole.start) % _WRAP
            if before < hole.size:
                after = hole.size - before - min(size, hole.size - before)
                rest = [
                    _Hole(hole.start, before, hole.first, hole.last),
                    _Hole((start + size) % _WRAP, after, hole.first, hole.last),
                ]
                self._holes[at : at + 1] = [each for each in rest if each.size]
                return

    def _mature(self, until: int | None) -> None:
        ripe = [hole for hole in self._holes if until is None or hole.last <= until]
        self._holes = [hole for hole in self._holes if hole not in ripe]
        for hole in ripe:
            self._lose(hole)

    def _lose(self, hole: _Hole) -> None:
        self.lost(hole.first, hole.last, hole.size)


def _signed(difference: int) -> int:
    return (difference + (_WRAP >> 1)) % _WRAP - (_WRAP >> 1)
