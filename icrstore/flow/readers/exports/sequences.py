"""Sequence numbers: what an exporter sent and never came, told apart from what came late.

Each version counts something else. v5: flows, before this export. v9: exports. IPFIX: data records,
before this message. What is missing is known once the next export comes, and is believed to be
lost once exports of half a minute later are here: until then it may still come late.

An exporter whose numbers go back while its clock goes on, or whose sysUpTime began anew, has
restarted; whether that lost anything nobody knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .messages import Message

PATIENCE_NANOSECONDS = 30 * 10**9
_MOST_HOLES = 64
_WRAP = 1 << 32
_BOOT_NANOSECONDS = 60 * 10**9  # clocks of exporters are set by less

# Told (first time, last time, how many) in nanoseconds.
Lost = Callable[[int, int, int], None]


@dataclass
class _Hole:
    """``size`` numbers from ``start`` on that did not come between two exports."""

    start: int
    size: int
    first: int
    last: int


@dataclass
class Sequence:
    """The numbers of one sender. ``late`` and ``restarts`` count what is neither a loss."""

    lost: Lost
    expected: int | None = None
    sent: int = 0
    booted: int | None = None
    _holes: list[_Hole] = field(default_factory=list)

    def take(self, message: Message, step: int | None) -> str | None:
        """The next message, which goes ``step`` numbers on (None: by how many is not known).

        Returns "late-export" or "exporter-restart" where it is one.
        """
        ahead = 0 if self.expected is None else _signed(message.sequence - self.expected)
        if ahead < 0 and not self._has_restarted(message):
            self._fill(message.sequence, step or 0)
            return "late-export"
        if ahead > 0:
            self._open(ahead, message.sent)
        self._mature(message.sent - PATIENCE_NANOSECONDS)
        self.expected = None if step is None else (message.sequence + step) % _WRAP
        self.sent, self.booted = message.sent, message.booted
        return "exporter-restart" if ahead < 0 else None

    def end(self) -> None:
        """What is missing now will not come."""
        self._mature(None)

    def _has_restarted(self, message: Message) -> bool:
        if message.booted is None or self.booted is None:
            return message.sent > self.sent
        return message.sent > self.sent or message.booted - self.booted > _BOOT_NANOSECONDS

    def _open(self, size: int, until: int) -> None:
        assert self.expected is not None
        self._holes.append(_Hole(self.expected, size, self.sent, max(until, self.sent)))
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
