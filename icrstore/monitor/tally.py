"""What the public lines of a log let anyone count, and the debts that follow from it.

A line tells type and day; which leaves belong to one question only a keeper knows. So debts are
counted and not named: what is said is at least so many, and never one too many.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from icrstore.keeper.leaves import LeafText
from icrstore.monitor.reading import NotProven

# A commit is released within 15 minutes or expires; a keeper looks for that every minute, and a
# copy may lag.
ENDED_WITHIN = timedelta(minutes=30)
PAID_WITHIN = timedelta(hours=24)
# What is kept of the past: enough to know how a log stood a day ago.
_KEPT = timedelta(hours=25)

DEBTS = {
    "unended": "commits were neither released nor expired within 15 minutes",
    "undisclosed": "releases about an account have no disclosure after 24 hours",
    "untold": "notices are overdue: their subscribers were not told within 24 hours",
    "alone": "commits are in this log and not in the other keeper's after 24 hours",
}


@dataclass(frozen=True)
class Mark:
    """How many leaves of each kind a log had when it was ``at`` (none of them is later)."""

    at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Tally:
    """A log's marks, oldest first, and the day of its last leaf."""

    marks: tuple[Mark, ...] = ()
    last_day: str = ""

    def grown(self, leaves: Iterable[LeafText], now: datetime) -> "Tally":
        """With new leaves, seen now. A leaf is no later than now, nor than the end of its day.

        Raises `NotProven` where days go back: a keeper whose clock does so writes nothing.
        """
        counts, day, marks = Counter(self.counts), self.last_day, list(self.marks)
        for leaf in leaves:
            if leaf.day < day:
                raise NotProven("the days of its leaves go back")
            if day and leaf.day > day:
                marks.append(Mark(min(_end_of(day), now), dict(counts)))
            counts.update(_kinds(leaf))
            day = leaf.day
        if counts != self.counts:
            marks.append(Mark(min(_end_of(day), now), dict(counts)))
        return Tally(tuple(_without_old(marks, now - _KEPT)), day)

    @property
    def counts(self) -> Mapping[str, int]:
        return Counter(self.marks[-1].counts if self.marks else {})

    def at(self, moment: datetime) -> Mapping[str, int]:
        """What was there at that moment for certain."""
        known = [mark.counts for mark in self.marks if mark.at <= moment]
        return Counter(known[-1] if known else {})


def debts(own: Tally, other: Tally | None, now: datetime) -> dict[str, int]:
    """How many debts of each kind (`DEBTS`) there are at least; ``other`` is the other's log."""
    held, recent, old = own.counts, own.at(now - ENDED_WITHIN), own.at(now - PAID_WITHIN)
    undisclosed = max(0, old["release-due"] - held["disclosure"])
    found = {
        "unended": recent["commit"] - held["release"] - held["expired"],
        "undisclosed": undisclosed,
        # A release that lent nothing owes nobody: those without a disclosure are told of above.
        "untold": old["release-due"] + old["disclosure-due"] - held["notice"] - undisclosed,
        "alone": old["commit"] - held["expired"] - other.counts["commit"] if other else 0,
    }
    return {kind: count for kind, count in found.items() if count > 0}


def _kinds(leaf: LeafText) -> Iterable[str]:
    yield leaf.type
    if leaf.due != "-":
        yield f"{leaf.type}-due"


def _end_of(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def _without_old(marks: list[Mark], oldest: datetime) -> list[Mark]:
    """All but those that a later one, old enough, stands for."""
    old = [mark for mark in marks if mark.at <= oldest]
    return old[-1:] + marks[len(old) :]
