"""A collector that runs for a year: reads what the config names, spools, cuts, pushes.

1. What is there is read: files, and the queue of what came over the network.
2. What was read, and how far, goes into the spool in one step, every few seconds.
3. Every minute, and as an hour turns, what is held there becomes batches, and the pusher is woken.
4. While the spool has no room nothing is read: files and TCP wait, and what UDP lost is a gap.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from icrstore.collector.config import Config
from icrstore.collector.cut import BATCH_RECORDS
from icrstore.collector.hearing import Hearing
from icrstore.collector.journal import Journal
from icrstore.collector.listen import Receiver
from icrstore.collector.metrics import Metrics
from icrstore.collector.push import utc_now
from icrstore.collector.reading import Read, Reading
from icrstore.collector.spool import SpoolFull
from icrstore.collector.tail import Tailing, left_places
from icrstore.flow.gaps import Gap
from icrstore.flow.readers.datagrams import Datagram
from icrstore.seal.epoch import hour_start

STEP_SECONDS = 2.0
STEP_RECORDS = 50_000
BATCH_SECONDS = 60.0
LOOK_SECONDS = 1.0
_MOST_TAKEN = 4096


@dataclass
class Service:
    """What is read and not yet spooled is in memory here, and nowhere else.

    ``now`` is the time by the store's clock, once that is known; ``has_room`` whether the spool
    takes more.
    """

    config: Config
    secret: bytes
    journal: Journal
    metrics: Metrics
    has_room: Callable[[], bool]
    now: Callable[[], datetime] = utc_now
    is_clock_known: Callable[[], bool] = lambda: True
    cut_made: Callable[[], None] = lambda: None
    tails: list[Tailing] = field(default_factory=list)
    hearings: list[Hearing] = field(default_factory=list)
    receiver: Receiver | None = None
    blocked_since: datetime | None = None
    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _gaps: list[Gap] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, only: str | None) -> None:
        """Take up where it was left: what nobody heard since then is a gap. Raises `Stop`."""
        now = self.now()
        self._stepped = self._cut_at = self._looked = time.monotonic()
        self._hour, self._drops_from = hour_start(now), now
        if only != "listen":
            left = left_places(self.journal, self.config.tails)
            self.tails = [
                Tailing.resume(tail, self.secret, self.journal, now, left)
                for tail in self.config.tails
            ]
        if only != "tail" and self.config.listens:
            self.hearings = [Hearing(listen, self.journal) for listen in self.config.listens]
            self.receiver = Receiver(self.config.listens, self.metrics.add)
            alive = self.journal.last_alive()
            if alive is not None:
                self.note(Gap(min(alive, now), now, "collector-down"))
            self.receiver.start()
        self.step(is_forced=True)

    @property
    def is_listening(self) -> bool:
        """False only by a fault of ours."""
        return self.receiver is None or self.receiver.is_alive

    def note(self, gap: Gap) -> None:
        """Remember a gap with the next step; from any thread."""
        with self._lock:
            self._gaps.append(gap)
        self.metrics.add("gaps", 1, gap.why)

    def turn(self, wait_seconds: float = LOOK_SECONDS) -> bool:
        """Read once, and spool and cut what is due; False if there was nothing."""
        if not self._is_open():
            self._note_drops()
            self._relieve()
            if self.unspooled < STEP_RECORDS:
                # What waits for leases is in the spool too: decided, it can be pushed.
                self._refresh()
                self.step()
            time.sleep(min(wait_seconds, 0.2))
            return False
        is_busy = False
        for read in self._reads(wait_seconds):
            is_busy = True
            self._keep(read)
        self._note_drops()
        self._refresh()
        self.step()
        return is_busy

    def step(self, *, is_forced: bool = False, is_last: bool = False) -> None:
        """Spool what was read and how far, if it is time; and make batches, if it is time.

        Full, the spool keeps nothing of the step, which is tried again before more is read.
        """
        waited = time.monotonic() - self._stepped
        if not (is_forced or waited >= STEP_SECONDS or self.unspooled >= STEP_RECORDS):
            return
        try:
            self._step(self.now())
            self._cut(is_last=is_last)
        except SpoolFull:
            self._block()

    def _step(self, now: datetime) -> None:
        with self._lock:
            gaps = list(self._gaps)
        with self.journal.step():
            self.journal.hold(self._batches)
            for tail in self.tails:
                tail.save(self.journal)
            for hearing in self.hearings:
                hearing.reading.save(self.journal)
            for gap in gaps:
                self.journal.note(gap)
            self.journal.live(now)
        # From here it is read, once and for all, whatever happens to this process.
        self._batches.clear()
        with self._lock:
            del self._gaps[: len(gaps)]
        for tail in self.tails:
            for gap in tail.gaps:
                self.metrics.add("gaps", 1, gap.why)
            tail.saved()
        for hearing in self.hearings:
            hearing.reading.saved()
        self._stepped = time.monotonic()

    def _cut(self, *, is_last: bool) -> None:
        now = self.now()
        if hour_start(now) != self._hour:
            self._turn_hour(now)
        elif not (
            time.monotonic() - self._cut_at >= BATCH_SECONDS
            or is_last
            or self.journal.held_records() >= BATCH_RECORDS
        ):
            return
        for reason, count in self.journal.cut(now, tells=self.is_clock_known()).items():
            self.metrics.add("records_refused", count, reason)
        self._cut_at = time.monotonic()
        self.cut_made()

    def _turn_hour(self, now: datetime) -> None:
        """What is open as the hour ends is told of it, before its batches are cut."""
        for tail in self.tails:
            # Files may lie behind: what is open by them is said to be no longer than they tell.
            self._keep(tail.reading.turn(now) if tail.is_read else tail.reading.pause(now))
        for hearing in self.hearings:
            self._keep(hearing.reading.turn(now))
        self._step(now)
        self._hour = hour_start(now)

    def end(self) -> None:
        """Read no more, and spool what is in memory, past the cap if need be. What is open is told
        of as far as events were read: one pass over files sees no hour turn."""
        if self.receiver:
            self._note_drops()
            self.receiver.stop()
            while taken := self.receiver.queue.take(0, _MOST_TAKEN):
                for read in self._heard(taken):
                    self._keep(read)
            for hearing in self.hearings:
                self._keep(hearing.end())
        for reading in self._readings():
            self._keep(reading.pause(self.now()))
        self.step(is_forced=True, is_last=True)

    def close(self) -> None:
        """Let go of files and sockets; what was not spooled is forgotten."""
        if self.receiver:
            self.receiver.stop()
        for tail in self.tails:
            tail.close()
        for hearing in self.hearings:
            hearing.reading.close()

    @property
    def unspooled(self) -> int:
        """Rows that are in memory alone."""
        return sum(batch.num_rows for batch in self._batches)

    def problems(self) -> list[str]:
        """Inputs that cannot be read as they are; nothing of a record is in it."""
        made = [each.problem for each in self._readings()]
        made += [follow.problem for tail in self.tails for follow in tail.follows]
        names = {each.name for each in self.config.tails}
        names |= {each.name for each in self.config.listens}
        if count := self.journal.unleased_but_of(names):
            made.append(
                f"{count} records wait for leases of a section that is no more: put it back, with"
                " its files or address as they were"
            )
        return [problem for problem in made if problem]

    def status(self) -> dict[str, Any]:
        return {
            "is_blocked": self.blocked_since is not None,
            "files": [place for tail in self.tails for place in tail.places()],
            "listens": [each.listen.name for each in self.hearings],
            "problems": self.problems(),
            "waiting_for_leases": sum(each.held_records for each in self._readings()),
            "counts": self.metrics.totals(),
        }

    def _reads(self, wait_seconds: float) -> Iterator[Read]:
        found = False
        for tail in self.tails:
            for read in tail.read(self.now()):
                found = True
                yield read
        if self.receiver:
            taken = self.receiver.queue.take(0 if found else wait_seconds, _MOST_TAKEN)
            yield from self._heard(taken)
        elif not found:
            time.sleep(wait_seconds)

    def _heard(self, taken: list[tuple[int, Datagram]]) -> Iterator[Read]:
        for number, hearing in enumerate(self.hearings):
            if mine := [each for listener, each in taken if listener == number]:
                yield hearing.read(mine, self.now())

    def _keep(self, read: Read) -> None:
        self._batches += read.batches
        for gap in read.tally.gaps:
            self.note(gap)
        self.metrics.count(read.tally)

    def _is_open(self) -> bool:
        """Whether more may be read: what could not be spooled goes first."""
        if not self.has_room():
            self._block()
            return False
        if self.blocked_since is not None:
            self.step(is_forced=True)
            if self._batches:
                return False
            self.blocked_since = None
        return True

    def _relieve(self) -> None:
        """Only batches are pushed, and so make room: cut what is held."""
        try:
            self._cut(is_last=self.journal.held_records() > 0)
        except SpoolFull:
            self._block()

    def _block(self) -> None:
        self.blocked_since = self.blocked_since or self.now()

    def _note_drops(self) -> None:
        """What the kernel had no room for, since nobody read or too much came."""
        if not self.receiver or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked, now = time.monotonic(), self.now()
        if count := self.receiver.new_drops():
            self.metrics.add("kernel_drops", count)
            why = "spool-full" if self.blocked_since else "input-lost"
            self.note(Gap(min(self._drops_from, now), now, why))
        self._drops_from = now

    def _refresh(self) -> None:
        for reading in self._readings():
            if read := reading.refresh(self.now()):
                self._keep(read)

    def _readings(self) -> list[Reading]:
        return [each.reading for each in self.tails] + [each.reading for each in self.hearings]
