"""Coverage: what an answer can say of each hour, so that a short list is never a silent one."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import accumulate
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from icrstore.keeper.answers import ListedEpoch
from icrstore.seal.epoch import HOUR
from icrstore.vault.accepted import Unsealed
from icrstore.warrant.strict import time_text

# Of many batches that reach an hour the oldest are named, and the others counted.
MOST_NAMED = 3

State = Literal["COMPLETE", "INCOMPLETE", "UNSEALED"]


class HourCoverage(NamedTuple):
    hour: datetime
    state: State
    epochs: tuple[ListedEpoch, ...]
    why: tuple[str, ...] = ()

    def to_object(self) -> dict[str, Any]:
        made = {
            "hour": time_text(self.hour),
            "coverage": self.state,
            "epochs": [
                {"eid": epoch.eid.hex(), "statement_sha256": epoch.statement_sha256.hex()}
                for epoch in self.epochs
            ],
        }
        return {**made, "why": list(self.why)} if self.why else made


class Listed:
    """The epochs that the keepers' commits list, each once however often one lists it.

    ``told``: all, by hour and eid: where the lists are alike, that is the order in which the
    commits hash them; ``alike``: those that every keeper lists, in the same order; ``odd``: the
    others.
    """

    def __init__(self, *lists: Sequence[ListedEpoch]) -> None:
        first, *others = map(set, lists)
        told, alike = first.union(*others), first.intersection(*others)
        self.told = sorted(told, key=attrgetter("hour", "eid", "statement_sha256"))
        self.odd = told - alike
        self.alike = [epoch for epoch in self.told if epoch not in self.odd]


def cover(
    hours: Iterable[datetime],
    listed: Listed,
    shards: int,
    waiting: Sequence[Unsealed],
    failed: Mapping[bytes, str],
) -> list[HourCoverage]:
    """The coverage of every hour asked for, with the epochs that any keeper lists, by eid.

    ``hours``: in their order, as a request has them; ``waiting``: what was accepted and is not
    proven sealed, or is missing as a collector told, the oldest first, and the hours that had not
    ended, read *before* the commit (a batch sealed in between would else be in neither);
    ``failed``: what is wrong with an epoch that is missing, differs, or has a row that is missing
    or does not open; ``shards``: as many as the database says, but no fewer than the epochs that
    the keepers logged have.

    1. INCOMPLETE: the keepers list different epochs, a listed one fails, or a collector told of a
       gap that reaches the hour.
    2. UNSEALED: a shard has no epoch yet, or something waiting reaches the hour.
    3. COMPLETE: everything listed is held and proven.
    """
    by_hour: dict[datetime, list[ListedEpoch]] = {}
    for epoch in listed.told:
        by_hour.setdefault(epoch.hour, []).append(epoch)
        # Who writes the database takes no shard away of which something is sealed.
        shards = max(shards, epoch.shard + 1)
    return [
        _of_hour(hour, by_hour.get(hour, ()), listed.odd, shards, reaching, failed)
        for hour, reaching in _reaching(hours, waiting)
    ]


def _reaching(
    hours: Iterable[datetime], waiting: Sequence[Unsealed]
) -> Iterator[tuple[datetime, Sequence[Unsealed]]]:
    """What reaches each hour, in the order in which it waits. Of the hours in their order, so that
    each looks only at what reaches the one before it or begins since."""
    to_come = sorted(range(len(waiting)), key=lambda place: waiting[place].first, reverse=True)
    places: list[int] = []
    for hour in hours:
        while to_come and waiting[to_come[-1]].first <= hour:
            insort(places, to_come.pop())
        if places:
            places = [place for place in places if hour <= waiting[place].last]
        yield hour, [waiting[place] for place in places] if places else ()


class Coverage:
    """What may be said of times, by the coverage of the hours asked for, in their order."""

    def __init__(self, hours: Iterable[HourCoverage]) -> None:
        listed = list(hours)
        self._starts = [each.hour for each in listed]
        # How many of the first n hours are not COMPLETE.
        self._holes = list(accumulate((each.state != "COMPLETE" for each in listed), initial=0))

    def is_complete(self, first: datetime, end: datetime) -> bool:
        """Whether the time from ``first`` to ``end``, as far as it was asked for, lies in COMPLETE
        hours: where it does not, or was not asked for at all, nobody may say "none" or "no"."""
        start = bisect_right(self._starts, first - HOUR)
        stop = bisect_left(self._starts, end)
        return start < stop and self._holes[start] == self._holes[stop]


def _of_hour(
    hour: datetime,
    epochs: Sequence[ListedEpoch],
    odd: Set[ListedEpoch],
    shards: int,
    reaching: Sequence[Unsealed],
    failed: Mapping[bytes, str],
) -> HourCoverage:
    sealed = {epoch.shard for epoch in epochs}
    if not (odd or failed or reaching) and len(sealed) == shards:
        # So it is with nearly all of thousands of hours.
        return HourCoverage(hour, "COMPLETE", tuple(epochs))

    shared, broken = epochs, list[str]()
    if odd:
        shared = [epoch for epoch in epochs if epoch not in odd]
        eids = dict.fromkeys(epoch.eid for epoch in epochs if epoch in odd)
        broken += [f"epoch {eid.hex()}: not logged alike by every keeper" for eid in eids]
    if failed:
        broken += [f"epoch {epoch.eid.hex()}: {failed[epoch.eid]}" for epoch in shared
                   if epoch.eid in failed]  # fmt: skip

    broken += _named([one for one in reaching if one.is_gap])

    sealed = {epoch.shard for epoch in shared}
    open_ = [f"shard {shard}: no epoch, since {time_text(hour + HOUR)}" for shard in range(shards)
             if shard not in sealed]  # fmt: skip
    open_ += _named([one for one in reaching if not one.is_gap])

    state: State = "INCOMPLETE" if broken else "UNSEALED" if open_ else "COMPLETE"
    return HourCoverage(hour, state, tuple(epochs), tuple(broken + open_))


def _named(several: Sequence[Unsealed]) -> list[str]:
    named = [one.why for one in several[:MOST_NAMED]]
    left = len(several) - len(named)
    return [*named, f"and {left} more that came later"] if left else named
