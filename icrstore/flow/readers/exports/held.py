"""Data that came before its template: kept a while, within bounds, and read once it comes."""

from typing import NamedTuple

from .templates import Sender

MOST_BYTES = 8 << 20
# Exporters repeat their templates every few minutes; ten at most, as vendors have it.
LONGEST_NANOSECONDS = 1800 * 10**9
_OVERHEAD_BYTES = 512  # of what is kept beside a set, so that tiny ones have a price too


class Waiting(NamedTuple):
    """A data set: when it came, and when its export was sent and its exporter booted."""

    came: int
    sent: int
    booted: int | None
    content: bytes


class Held:
    """Sets by sender and template. What is given up is told, for its loss to be counted."""

    def __init__(self) -> None:
        self._sets: dict[tuple[Sender, int], list[Waiting]] = {}
        self._bytes = 0

    def put(self, sender: Sender, number: int, waiting: Waiting) -> list[Waiting]:
        """Keep it. Returns what is given up for it, of templates waited for the longest."""
        self._sets.setdefault((sender, number), []).append(waiting)
        self._bytes += _cost(waiting)
        given_up: list[Waiting] = []
        while self._bytes > MOST_BYTES:
            given_up += self.take(*next(iter(self._sets)))
        return given_up

    def take(self, sender: Sender, number: int) -> list[Waiting]:
        """What waited for this template, which is no longer kept."""
        found = self._sets.pop((sender, number), [])
        self._bytes -= sum(map(_cost, found))
        return found

    def older_than(self, moment: int) -> list[Waiting]:
        """What came before, of which nothing is kept any longer."""
        given_up: list[Waiting] = []
        while self._sets and next(iter(self._sets.values()))[0].came < moment:
            given_up += self.take(*next(iter(self._sets)))
        return given_up

    def all(self) -> list[Waiting]:
        """Everything; nothing is kept any longer."""
        return [each for where in list(self._sets) for each in self.take(*where)]


def _cost(waiting: Waiting) -> int:
    return len(waiting.content) + _OVERHEAD_BYTES
