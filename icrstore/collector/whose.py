"""Whose connection is it: the side that held a lease sent it, and what only came in is counted.

1. A record of after the leases were known waits (*held*): the next lease may be of its time.
2. A record that answers a pair seen within the hour before is a *reply*: its pair is retained
   already, under the account of whoever spoke first.
3. A record whose source held a lease is that account's; where two did, it is *ambiguous*.
4. One where only the destination did is *inbound*; where nobody did, there is *no-lease*.

A record that names its account needs no lease, and without leases every sender is the subscriber.
Nothing is guessed, and the same input gives the same records.
"""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from icrstore.collector.held import Held
from icrstore.collector.leases import FOREVER, NO_LEASE, Leases, nanoseconds
from icrstore.flow.first import KEY_BYTES, Bytes, Mask, Numbers, address_column, pair_keys
from icrstore.flow.readers import Tally
from icrstore.flow.schema import Column

_DAY_NANOSECONDS = 86_400 * 10**9
REMEMBERED_NANOSECONDS = 3600 * 10**9
# In an hour so busy that there are more, the pairs seen longest ago are forgotten; their replies
# are then counted as inbound.
MOST_PAIRS = 2_000_000
# Of those that come together about so many say when they came.
_SAMPLE = 1000
_PAIR = (
    "protocol", "source_address", "source_port", "destination_address", "destination_port"
)  # fmt: skip
Keys = npt.NDArray[np.uint64]
_NEEDED = ("observed_at", "protocol", "source_address", "destination_address")


class Attribution:
    """One input's records as they come; remembers the pairs of the last hour of their time.

    ``leases`` may be replaced by newer ones; ``held`` keeps what waits for them, or if it is None
    that is only counted. ``account`` is whose the records are that name none, without leases.
    """

    def __init__(
        self, leases: Leases | None, account: str | None = None, held: Held | None = None
    ) -> None:
        self.leases, self.held = leases, held
        self._account = account
        self._pairs = _Pairs()
        self._tried: Leases | None = None
        self._trying: Leases | None = None

    def of(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """The subscribers' records with their accounts; the others are withdrawn by reason.

        A record without a value that it needs stays as it is: its lack is counted where records are
        checked.
        """
        batch = self.known(batch, tally)
        whole = _whole(batch)
        rows = _only(batch, whole)
        times = _times(rows)
        sender = self._find(rows, "source", times)
        named = np.asarray(rows.column("account").is_valid()) | (sender >= 0)
        mine = named | (sender != NO_LEASE)
        if self.leases is None:
            named = mine = np.ones(len(times), np.bool_)
        keys, directions = pair_keys(*(rows.column(name) for name in _PAIR))
        reply = self._pairs.replies(keys, directions, times, mine)
        inbound = ~reply & ~mine & (self._find(rows, "destination", times) != NO_LEASE)
        tally.withdraw("reply", int(reply.sum()))
        tally.withdraw("ambiguous", int((~reply & mine & ~named).sum()))
        tally.withdraw("inbound", int(inbound.sum()))
        tally.withdraw("no-lease", int((~reply & ~mine & ~inbound).sum()))
        keep, codes = np.ones(len(whole), np.bool_), np.full(len(whole), NO_LEASE)
        keep[whole], codes[whole] = named & ~reply, sender
        return _only(self._named(batch, codes), keep)

    def again(self, tally: Tally, give_up_before: int) -> Iterator[pa.RecordBatch]:
        """What was held, as it came and to be taken as if just read.

        What was observed before the given nanosecond, and the leases do not reach, waits no longer:
        no lease of it is known.
        """
        if self.held is None or self.leases is None:
            return
        for batch in self._due(self.leases, give_up_before - 1):
            _count_again(tally, batch.num_rows)
            lost = _lost(batch, self.leases, give_up_before)
            tally.withdraw("no-lease", int(lost.sum()))
            # What they do not reach yet is held anew by who takes it.
            if not lost.all():
                yield _only(batch, ~lost)

    def _due(self, leases: Leases, old: int) -> Iterator[pa.RecordBatch]:
        """What is held that these leases may reach, some at a time, or is that old."""
        assert self.held is not None
        if leases is self._tried:
            yield from self.held.take(old)
            return
        if self.held.is_through:
            self._trying = leases
        # Of what is later a log says nothing; a promise may.
        yield from self.held.take_some(max(old, FOREVER if leases.is_promise else leases.until))
        if self.held.is_through:
            self._tried = self._trying

    def known(self, batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
        """The records of a time about which leases say something; the others are held."""
        if self.leases is None or not batch.num_rows:
            return batch
        times, source = _times(batch), address_column(batch.column("source_address"))
        later = ~self.leases.reach(source, times)
        later &= np.asarray(batch.column("account").is_null())
        if not later.any():
            return batch
        # What no clock can have seen would wait for ever, and its file with it.
        impossible = later & (times > time.time_ns() + _DAY_NANOSECONDS)
        tally.withdraw("time-in-future", int(impossible.sum()))
        batch, times, later = _without(impossible, batch, times, later)
        if not later.any():
            return batch
        tally.withdraw("held", int(later.sum()))
        tally.latest_held = max(tally.latest_held, int(times[later].max()))
        if self.held is not None:
            self.held.put(batch.filter(pa.array(later)))
        return batch.filter(pa.array(~later))

    def _find(self, rows: pa.RecordBatch, side: str, times: Numbers) -> Numbers:
        if self.leases is None:
            return np.full(len(times), NO_LEASE)
        return self.leases.find(address_column(rows.column(f"{side}_address")), times)

    def _named(self, batch: pa.RecordBatch, codes: Numbers) -> pa.RecordBatch:
        if self.leases is None and self._account is None:
            return batch
        if not batch.column("account").null_count:
            return batch
        place = batch.schema.get_field_index("account")
        held: Column = self._account
        if self.leases is not None:
            places: Column = pa.array(codes, mask=codes < 0)
            held = self.leases.accounts.take(places)
        named: Column = pc.coalesce(batch.column(place), held)
        return batch.set_column(place, batch.schema.field(place), named)


def _lost(batch: pa.RecordBatch, leases: Leases, before: int) -> Mask:
    """Which are so old, and not of a time about which these leases say something."""
    times = _times(batch)
    old = np.asarray(times < before)
    if old.any():
        old &= ~leases.reach(address_column(batch.column("source_address")), times)
    return old


def _only(batch: pa.RecordBatch, rows: Mask) -> pa.RecordBatch:
    """Where all stay, without a copy."""
    return batch if rows.all() else batch.filter(pa.array(rows))


def _without(
    gone: Mask, batch: pa.RecordBatch, times: Numbers, mask: Mask
) -> tuple[pa.RecordBatch, Numbers, Mask]:
    return batch.filter(pa.array(~gone)), times[~gone], mask[~gone]


def _count_again(tally: Tally, count: int) -> None:
    tally.records += count
    tally.not_records["held"] -= count
    if not tally.not_records["held"]:
        del tally.not_records["held"]


def _times(batch: pa.RecordBatch) -> Numbers:
    """In nanoseconds since 1970; 0 where there is none."""
    column: Column = batch.column("observed_at")
    return nanoseconds(pc.fill_null(column.cast(pa.int64()), 0), column.type.unit)


class _Pairs:
    """Who spoke first in each pair of endpoints, while the pair is remembered; sorted by key.

    A pair is remembered by 64 bits of a keyed hash, which makes a quarter of the memory and of the
    work: of two million pairs one takes a new one for its own once in 10^13 records, and since the
    key is drawn anew by each process nobody can choose endpoints to that end.
    """

    def __init__(self) -> None:
        self._short = _Short()
        # One that never is forgotten, so that there is always one to look at.
        self._keys: Keys = np.array([np.iinfo(np.uint64).max], np.uint64)
        self._directions: Mask = np.zeros(1, np.bool_)
        self._last: Numbers = np.full(1, np.iinfo(np.int64).max)

    def replies(self, keys: Bytes, directions: Mask, times: Numbers, mine: Mask) -> Mask:
        """Which records go against the one that opened their pair; then remembers the pairs.

        A pair is opened by the first record that is a subscriber's (``mine``), and forgotten when
        none of it came for an hour.
        """
        if not len(keys):
            return np.zeros(0, np.bool_)
        order, starts = _together(short := self._short.of(keys))
        pairs, pair = short[order[starts]], np.repeat(np.arange(len(starts)), _sizes(starts, order))
        places, known = self._recall(pairs)
        opened, last = self._directions[places], self._last[places]
        time, direction = times[order], directions[order]
        before = np.concatenate(([0], time[:-1]))
        before[starts] = last
        fresh = time - before > REMEMBERED_NANOSECONDS
        fresh[starts] |= ~known
        # A run ends where a pair ends, or is forgotten. One that goes on was opened before it.
        begins = fresh.copy()
        begins[starts] = True
        run, first = np.cumsum(begins) - 1, np.flatnonzero(begins)
        place = np.arange(len(order))
        opener = np.minimum.reduceat(np.where(mine[order], place, len(order)), first)
        goes_on = ~fresh[first]
        opener[goes_on] = -1
        who = np.append(direction, False)[opener]
        who[goes_on] = opened[pair[first]][goes_on]
        self._forget(places[known], int(np.median(time[:: 1 + len(time) // _SAMPLE])))
        ends = starts + _sizes(starts, order) - 1
        stay = (opener < len(order))[run[ends]]
        self._remember(pairs[stay], who[run[ends]][stay], time[ends][stay])
        found = np.zeros(len(order), np.bool_)
        found[order] = (place > opener[run]) & (direction != who[run])
        return found

    def _recall(self, pairs: Keys) -> tuple[Numbers, Mask]:
        """Where each pair is remembered, or would be near, and whether it is."""
        places = np.minimum(np.searchsorted(self._keys, pairs), len(self._keys) - 1)
        return places, np.asarray(self._keys[places] == pairs)

    def _forget(self, places: Numbers, now: int) -> None:
        """Those of these places, which will be remembered anew, and those not seen for an hour.

        ``now`` is where most of the last records lie, so that one false clock forgets nothing.
        """
        stay = self._last >= now - REMEMBERED_NANOSECONDS
        stay[places] = False
        if not stay.all():
            self._keep(stay)

    def _remember(self, pairs: Keys, directions: Mask, last: Numbers) -> None:
        if (excess := len(self._keys) - 1 + len(pairs) - MOST_PAIRS) > 0:
            stay = np.ones(len(self._keys), np.bool_)
            stay[np.argsort(self._last, kind="stable")[:excess]] = False
            self._keep(stay)
        # As `np.insert` does, for all three at once.
        new = np.searchsorted(self._keys, pairs) + np.arange(len(pairs))
        old = np.ones(len(self._keys) + len(pairs), np.bool_)
        old[new] = False
        self._keys = _merged(old, self._keys, new, pairs)
        self._directions = _merged(old, self._directions, new, directions)
        self._last = _merged(old, self._last, new, last)

    def _keep(self, stay: Mask) -> None:
        self._keys, self._directions, self._last = (
            self._keys[stay], self._directions[stay], self._last[stay]
        )  # fmt: skip


def _together(keys: Keys) -> tuple[Numbers, Numbers]:
    """An order that has equal keys together, each run as it came, and where the runs start."""
    # Not the stable sort, which takes five times as long: few keys come twice.
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = _sizes(starts, order)
    if len(starts) < len(order):
        some = np.flatnonzero(np.repeat(sizes > 1, sizes))
        order[some] = order[some][np.lexsort((order[some], ordered[some]))]
    return order, starts


def _sizes(starts: Numbers, rows: Numbers) -> Numbers:
    """Of runs that start there among so many rows."""
    return np.diff(starts, append=len(rows))


def _merged(old: Mask, values: Any, places: Numbers, added: Any) -> Any:
    """The values where it is old, the others at their places."""
    made = np.empty(len(old), values.dtype)
    made[old], made[places] = values, added
    return made


class _Short:
    """64 bits for each key: two multilinear hashes of 32 (Lemire and Kaser, "Strongly universal
    string hashing is fast", 2014), of which any two keys have the same by a chance of 2^-64."""

    def __init__(self) -> None:
        words = -(-KEY_BYTES // 4)
        drawn = np.frombuffer(secrets.token_bytes(8 * 2 * (words + 1)), np.uint64)
        self._added, self._multipliers = drawn[:2], drawn[2:].reshape(2, words)

    def of(self, keys: Bytes) -> Keys:
        octets = np.zeros((len(keys), 4 * self._multipliers.shape[1]), np.uint8)
        octets[:, :KEY_BYTES] = np.ascontiguousarray(keys).view(np.uint8).reshape(-1, KEY_BYTES)
        words = octets.view(np.uint32)
        halves = [np.full(len(keys), added) for added in self._added]
        for n in range(words.shape[1]):
            word = words[:, n].astype(np.uint64)
            for half, multipliers in zip(halves, self._multipliers, strict=True):
                half += word * multipliers[n]
        return np.asarray(
            (halves[0] & np.uint64(0xFFFFFFFF00000000)) | (halves[1] >> np.uint64(32))
        )


def _whole(batch: pa.RecordBatch) -> Mask:
    """Which records have all that this needs."""
    valid = [np.asarray(batch.column(name).is_valid()) for name in _NEEDED]
    return np.asarray(np.logical_and.reduce(valid))
