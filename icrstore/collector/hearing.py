"""What came to one listening address into rows: exports by their templates, syslog by lines."""

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pyarrow as pa

from icrstore.collector.journal import Journal
from icrstore.collector.reading import Read, Reading
from icrstore.collector.sources import Listen
from icrstore.flow.errors import FlowRefused
from icrstore.flow.gaps import Gap
from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports
from icrstore.flow.schema import is_of_events


class Hearing:
    """One section's datagrams or messages; remembers what it must as long as it lives."""

    def __init__(self, listen: Listen, journal: Journal) -> None:
        """Raises `Stop` for leases that cannot be read."""
        self.listen = listen
        self.reading = Reading(listen.name, listen.given, journal)
        self._exports = Exports(Tally()) if listen.kind == "netflow" else None

    def read(self, datagrams: list[Datagram], now: datetime) -> Read:
        """In the order in which they came. What nobody understands is a gap: it cannot wait."""
        tally = Tally()
        try:
            return Read(list(self._rows(datagrams, tally, now)), tally)
        except (FlowRefused, pa.ArrowInvalid):
            first, last = datagrams[0].received, datagrams[-1].received
            tally.gaps.append(Gap(_moment(first), _moment(max(first, last)), "undecodable"))
            return Read([], tally)

    def _rows(
        self, datagrams: list[Datagram], tally: Tally, now: datetime
    ) -> Iterator[pa.RecordBatch]:
        if self._exports is None:
            return self.reading.records(io.BytesIO(_lines(datagrams)), tally, now)
        self._exports.tally = tally
        return self.reading.taken(_counted(self._exports.feed(datagrams), tally), tally)

    def end(self) -> Read:
        """Count what will not come any more."""
        tally = Tally()
        if self._exports:
            self._exports.tally = tally
            self._exports.end()
        return Read([], tally)


def _lines(datagrams: list[Datagram]) -> bytes:
    return b"".join(each.payload.rstrip(b"\r\n\0") + b"\n" for each in datagrams)


def _counted(batches: Iterable[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tally.records += batch.num_rows
        tally.events += batch.num_rows if is_of_events(batch) else 0
        yield batch


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC)
