"""What a service remembers in its spool from one step to the next: it may be killed anywhere.

What was read and how far go into the spool together (`Journal.step`), so that each record is read
exactly once. What was read is *held* there until a batch is due, and becomes batches in one
transaction. Gaps stay until the batch that tells of them is sealed.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import zstandard

from icrstore.collector.cut import cut, cut_gaps
from icrstore.collector.frames import Frames, compressed
from icrstore.collector.held import Held
from icrstore.collector.spool import Spool
from icrstore.collector.waiting import Waiting
from icrstore.flow.gaps import MOST, Gap
from icrstore.flow.validate import NEWEST
from icrstore.warrant.strict import Fields, time_text

# Gaps of one reason that are nearer to each other than this are told as one.
_NEAR = timedelta(minutes=1)
_HELD, _UNLEASED = b"held", b"unleased"


class Journal:
    """As durable and as safe to call twice as the spool is."""

    def __init__(self, spool: Spool, secret: bytes) -> None:
        self._spool = spool
        self._frames = Frames(spool, secret)

    def step(self) -> AbstractContextManager[None]:
        """All that is called within is kept, or nothing. Raises `SpoolFull`."""
        return self._spool.transaction()

    def hold(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Keep what was read until it is cut."""
        for batch in batches:
            if batch.num_rows:
                body = self._spool.lock_away(compressed(_stream(batch)), _HELD)
                self._spool.run(
                    "INSERT INTO held (records, body) VALUES (?, ?)", batch.num_rows, body
                )

    def held_records(self) -> int:
        (count,) = self._spool.run("SELECT coalesce(sum(records), 0) FROM held")[0]
        return int(count)

    def cut(self, now: datetime, *, tells: bool = True) -> Counter[str]:
        """Make batches of what is held and of what gaps there are; why records are in none.

        No gap may end after ``now``; while that is not the store's time yet (``tells``), none is
        told, and nothing is of the future: that our clock is behind makes no record wrong.
        """
        refused: Counter[str] = Counter()
        with self.step():
            for made in cut(self._held(), refused):
                if tells and made.first > now + NEWEST:
                    refused["time-in-future"] += made.records
                else:
                    self._frames.put(made, now)
            self._spool.run("DELETE FROM held")
            if tells:
                self._cut_gaps(now)
        return refused

    def _held(self) -> Iterator[pa.RecordBatch]:
        for (number,) in self._spool.run("SELECT id FROM held ORDER BY id"):
            ((body,),) = self._spool.run("SELECT body FROM held WHERE id = ?", number)
            plain = zstandard.ZstdDecompressor().decompress(self._spool.unlock(body, _HELD))
            with pa.ipc.open_stream(plain) as stream:
                yield from stream

    def _cut_gaps(self, now: datetime) -> None:
        rows = self._spool.run(
            "SELECT id, first, last, why FROM gap WHERE batch IS NULL ORDER BY id LIMIT ?", MOST
        )
        for row in rows:
            self._spool.run("DELETE FROM gap WHERE id = ?", row[0])
        for made, told in cut_gaps(_until(_gap(row[1:]), now) for row in rows):
            batch = self._frames.put(made, now)
            for gap in told:
                self._add(gap, batch)

    def held_for(self, name: str) -> Held:
        """What of a section waits for leases."""
        return Waiting(name, self)

    def wait(self, name: str, first: int, records: int, packed: bytes) -> int:
        """Keep what waits for leases from that nanosecond on; its number."""
        body = self._spool.lock_away(compressed(packed), _UNLEASED)
        ((number,),) = self._spool.run(
            "INSERT INTO unleased (name, first, records, body) VALUES (?, ?, ?, ?) RETURNING id",
            name, first, records, body,
        )  # fmt: skip
        return int(number)

    def waiting(self, name: str) -> dict[int, tuple[int, int]]:
        """What of a section waits: by its number the first nanosecond, and how many records."""
        rows = self._spool.run(
            "SELECT id, first, records FROM unleased WHERE name = ? ORDER BY id", name
        )
        return {number: (first, records) for number, first, records in rows}

    def waited(self, number: int) -> bytes:
        """What was kept by `wait`."""
        ((body,),) = self._spool.run("SELECT body FROM unleased WHERE id = ?", number)
        return zstandard.ZstdDecompressor().decompress(self._spool.unlock(body, _UNLEASED))

    def unleased_but_of(self, names: Collection[str]) -> int:
        """How many records wait for the leases of other sections than these."""
        rows = self._spool.run("SELECT name, sum(records) FROM unleased GROUP BY name")
        return sum(count for name, count in rows if name not in names)

    def end_waiting(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._spool.run("DELETE FROM unleased WHERE id = ?", number)

    def note(self, gap: Gap) -> None:
        """Tell of a gap with the next batches; one that goes on is made longer."""
        with self.step():
            for number, *texts in self._spool.run(
                "SELECT id, first, last, why FROM gap WHERE batch IS NULL AND why = ?", gap.why
            ):
                other = _gap(texts)
                if gap.first <= other.last + _NEAR and other.first <= gap.last + _NEAR:
                    gap = Gap(min(gap.first, other.first), max(gap.last, other.last), gap.why)
                    self._spool.run("DELETE FROM gap WHERE id = ?", number)
            self._add(gap, None)

    def _add(self, gap: Gap, batch: bytes | None) -> None:
        self._spool.run(
            "INSERT INTO gap (first, last, why, batch) VALUES (?, ?, ?, ?)",
            time_text(gap.first), time_text(gap.last), gap.why, batch,
        )  # fmt: skip

    def gaps(self) -> list[Gap]:
        """Those of which no sealed batch tells yet."""
        return [_gap(row) for row in self._spool.run("SELECT first, last, why FROM gap")]

    def keep(self, name: str, content: bytes) -> None:
        """Keep some bytes by a name, in the place of those that it had."""
        body = self._spool.lock_away(compressed(content), b"state", name.encode())
        self._spool.run("INSERT OR REPLACE INTO state VALUES (?, ?)", name, body)

    def kept(self, name: str) -> bytes | None:
        rows = self._spool.run("SELECT body FROM state WHERE name = ?", name)
        return self._unpacked(name, rows[0][0]) if rows else None

    def _unpacked(self, name: str, body: bytes) -> bytes:
        frame = self._spool.unlock(body, b"state", name.encode())
        return zstandard.ZstdDecompressor().decompress(frame)

    def remember(self, name: str, value: dict[str, Any] | None) -> None:
        """Keep a small thing by its name, or let go of it."""
        if value is None:
            self._spool.run("DELETE FROM state WHERE name = ?", name)
        else:
            self.keep(name, json.dumps(value).encode())

    def recall(self, prefix: str) -> dict[str, dict[str, Any]]:
        """What is remembered by names that begin so."""
        rows = self._spool.run("SELECT name, body FROM state")
        return {
            name: json.loads(self._unpacked(name, body))
            for name, body in rows
            if name.startswith(prefix)
        }

    def live(self, now: datetime) -> None:
        """A sign of life: all that came until now is in the spool."""
        self.remember("alive", {"at": time_text(now)})

    def last_alive(self) -> datetime | None:
        told = self.recall("alive").get("alive")
        return Fields(told).time("at") if told else None


class Nothing(Journal):
    """Remembers nothing and keeps nothing, for a dry run."""

    def __init__(self) -> None:
        """Without a spool."""

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()

    def hold(self, batches: Sequence[pa.RecordBatch]) -> None: ...

    def held_for(self, name: str) -> Held:
        return Held()

    def held_records(self) -> int:
        return 0

    def cut(self, now: datetime, *, tells: bool = True) -> Counter[str]:
        return Counter()

    def unleased_but_of(self, names: Collection[str]) -> int:
        return 0

    def note(self, gap: Gap) -> None: ...

    def gaps(self) -> list[Gap]:
        return []

    def keep(self, name: str, content: bytes) -> None: ...

    def kept(self, name: str) -> bytes | None:
        return None

    def remember(self, name: str, value: dict[str, Any] | None) -> None: ...

    def recall(self, prefix: str) -> dict[str, dict[str, Any]]:
        return {}


def _until(gap: Gap, now: datetime) -> Gap:
    return Gap(min(gap.first, now), min(gap.last, now), gap.why)


def _gap(row: Sequence[str]) -> Gap:
    first, last = (datetime.fromisoformat(text) for text in row[:2])
    return Gap(first, last, row[2])


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
