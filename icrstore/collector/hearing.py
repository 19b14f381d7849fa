"""What came to one listening address into records: exports by their templates, syslog by lines."""

import importlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa

from icrstore.collector.reading import Read, Reading
from icrstore.collector.sources import Listen
from icrstore.flow.errors import FlowRefused
from icrstore.flow.gaps import Gap
from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.shell.stop import USAGE, Stop


class Feeds(Protocol):
    """What understands exports; it remembers their templates and numbers."""

    def feed(self, datagrams: Iterable[Datagram]) -> Iterator[pa.RecordBatch]: ...


class Hearing:
    """One section's datagrams or messages; remembers what it must as long as it lives."""

    def __init__(self, listen: Listen) -> None:
        """Raises `Stop` for leases that cannot be read."""
        self.listen = listen
        self.reading = Reading(listen.given)
        self._tally = Tally()
        self._exports = _exports(self._tally) if listen.kind == "netflow" else None

    def read(self, datagrams: list[Datagram]) -> Read:
        """In the order in which they came. What nobody understands is a gap: it cannot wait."""
        tally = self._tally if self._exports else Tally()
        try:
            if self._exports:
                batches = self._exports.feed(datagrams)
                made = list(self.reading.attributed(_counted(batches, tally), tally))
            else:
                made = list(self.reading.records(io.BytesIO(_lines(datagrams)), tally))
        except (FlowRefused, pa.ArrowInvalid):
            made = []
            first, last = datagrams[0].received, datagrams[-1].received
            tally.gaps.append(Gap(_moment(first), _moment(max(first, last)), "undecodable"))
        return Read(made, _taken(tally))


def _lines(datagrams: list[Datagram]) -> bytes:
    return b"".join(each.payload.rstrip(b"\r\n\0") + b"\n" for each in datagrams)


def _counted(batches: Iterable[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tally.records += batch.num_rows
        yield batch


def _taken(tally: Tally) -> Tally:
    """The counts so far; they begin anew."""
    taken = replace(tally)
    fresh = Tally()
    for name in vars(fresh):
        setattr(tally, name, getattr(fresh, name))
    return taken


def _exports(tally: Tally) -> Feeds:
    try:
        module = importlib.import_module("icrstore.flow.readers.exports")
    except ImportError:
        raise Stop(USAGE, "this version does not read exports: leave netflow out") from None
    made: Feeds = module.Exports(tally)
    return made


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC)
