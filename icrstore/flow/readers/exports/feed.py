"""Datagrams of exporters in, batches of connections and NAT events out."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from ...first import MARKED_BYTES, Bytes, First, flow_keys, marked
from ...gaps import Gap, note
from ...schema import NANOSECONDS, UNITS, Column, event_schema, record_schema
from ..datagrams import Datagram
from ..tally import Tally
from .columns import Group, Mask, Numbers, Rows
from .elements import SYSTEM_INIT
from .held import LONGEST_NANOSECONDS, Held, Waiting
from .messages import FIRST_DATA_SET, V5_RECORDS, V9, Message, NoExport
from .reading import Read, is_sampled, read
from .sequences import Counts, Lost, Sequence
from .templates import BadTemplate, Sender, Template, Templates, parse_set

# Exporters end a flow of which they saw nothing for 15 seconds, or a minute: after that the same
# endpoints are a new one.
IDLE_SECONDS = 60
MOST_ROWS = 1 << 16
_MOST_BYTES, _START_BYTES = 32 << 20, 8
_MOST_SENDERS = 4096
_SECOND = 10**9


@dataclass
class _Sender:
    """``booted``: since when an IPFIX exporter counts sysUpTime, if it told."""

    sequence: Sequence
    booted: int | None = None


class Exports:
    """Templates, numbers and flows of every exporter; they last as long as this does.

    What could not be read is in the tally, which may be replaced between two calls: by reason among
    what is no record, and with its times among the gaps.
    """

    def __init__(self, tally: Tally, templates: Templates | None = None) -> None:
        self.tally = tally
        self._templates = Templates() if templates is None else templates
        self._senders: OrderedDict[Sender, _Sender] = OrderedDict()
        self._held = Held()
        self._first = First(IDLE_SECONDS, key_bytes=MARKED_BYTES)
        self._groups: dict[int, Group] = {}
        self._rows = self._bytes = self._now = 0

    def feed(self, datagrams: Iterable[Datagram]) -> Iterator[pa.RecordBatch]:
        """The records of these datagrams, by time in each batch; nothing waits for more but data
        that came before its template. ``received`` is 0 where it is not known: what cannot be read
        came then when its exporter says that it was sent."""
        for datagram in datagrams:
            self._take(datagram)
            if self._rows >= MOST_ROWS or self._bytes >= _MOST_BYTES:
                yield from self._read()
        yield from self._read()

    def end(self) -> None:
        """Count what will not come any more: templates, and exports that are missing."""
        self._give_up(self._held.all())
        for sender in self._senders.values():
            sender.sequence.end()

    def _take(self, datagram: Datagram) -> None:
        self._now = datagram.received or self._now
        try:
            message = Message.parse(datagram.payload)
        except NoExport:
            self._undecodable(self._now)
            return
        self._now = datagram.received or message.sent
        self._give_up(self._held.older_than(self._now - LONGEST_NANOSECONDS))
        key = (datagram.exporter, message.version, message.domain)
        sender = self._sender(key)
        counts = [self._set(key, sender, message, *each) for each in message.sets]
        self.tally.drop("sampled", int(message.is_sampled))
        if not message.is_whole:
            self._undecodable(self._now)
            counts.append(None)
        records = None if None in counts else sum(count or 0 for count in counts)
        if what := sender.sequence.take(message, records, self._now):
            self.tally.drop(what)

    def _set(
        self, key: Sender, sender: _Sender, message: Message, number: int, content: bytes
    ) -> int | None:
        """How many data records it has; None: not known."""
        if number < FIRST_DATA_SET and number != V5_RECORDS:
            self._learn(key, sender, message, number, content)
            return 0
        if not content:
            return 0
        template = self._templates.find(key, number)
        waiting = Waiting(self._now, message.sent, message.booted, content)
        if template is None:
            self._give_up(self._held.put(key, number, waiting))
            return None
        return self._data(sender, template, waiting)

    def _learn(
        self, key: Sender, sender: _Sender, message: Message, number: int, content: bytes
    ) -> None:
        try:
            for name, template in parse_set(message.version, number, content):
                if template is None:
                    self._templates.withdraw(key, name)
                    continue
                known = self._templates.put(key, name, template)
                for waiting in self._held.take(key, name):
                    self._data(sender, known, waiting)
        except BadTemplate:
            self._undecodable(self._now)

    def _data(self, sender: _Sender, template: Template, data: Waiting) -> int:
        records = template.records(data.content)
        if not records.is_whole:
            self._undecodable(data.came)
        booted = data.booted if data.booted is not None else sender.booted
        if not records.count:
            return 0
        if template.is_options:
            group = Group(template)
            group.add(records, data.sent, booted)
            self._take_options(sender, group.rows())
            return records.count
        group = self._groups.setdefault(id(template), Group(template))
        group.add(records, data.sent, booted)
        self._rows += records.count
        self._bytes += len(data.content) + _START_BYTES * len(records.starts or ())
        return records.count

    def _take_options(self, sender: _Sender, rows: Rows) -> None:
        """What an exporter tells of itself and not of flows."""
        self.tally.drop("option-data", len(rows))
        self.tally.drop("sampled", int(is_sampled(rows).sum()))
        if SYSTEM_INIT in rows.template.places:
            sender.booted = int(rows.booted[-1]) or None

    def _read(self) -> Iterator[pa.RecordBatch]:
        groups, self._groups, self._rows, self._bytes = self._groups, {}, 0, 0
        found = [read(group.rows(), self.tally) for group in groups.values()]
        if found:
            yield from self._connections(found)
            yield from _in_order(pa.Table.from_batches([each.events for each in found]))

    def _connections(self, found: list[Read]) -> Iterator[pa.RecordBatch]:
        table = pa.Table.from_batches([each.connections for each in found]).combine_chunks()
        if not table.num_rows:
            return
        ends = np.concatenate([each.ends for each in found])
        first = self._first.of(_keys(table), _nanoseconds(table), ends)
        self.tally.drop("later-piece", int((~first).sum()))
        yield from _in_order(table if first.all() else _only(table, first))

    def _sender(self, key: Sender) -> _Sender:
        sender = self._senders.get(key)
        if sender is None:
            sender = self._senders[key] = _Sender(Sequence(Counts.of(key[1]), self._lost(key[1])))
            if len(self._senders) > _MOST_SENDERS:
                self._senders.popitem(last=False)[1].sequence.end()
        self._senders.move_to_end(key)
        return sender

    def _lost(self, version: int) -> Lost:
        def lose(first: int, last: int, count: int) -> None:
            self.tally.drop("missing-exports" if version == V9 else "missing-records", count)
            note(self.tally.gaps, _gap(first, last, "exporter-sequence"))

        return lose

    def _give_up(self, sets: list[Waiting]) -> None:
        for each in sets:
            self.tally.drop("no-template")
            note(self.tally.gaps, _gap(each.came, each.came, "no-template"))

    def _undecodable(self, moment: int) -> None:
        self.tally.drop("undecodable")
        if not moment:  # Nothing before it told a time.
            return
        note(self.tally.gaps, _gap(moment, moment, "undecodable"))


def _gap(first: int, last: int, why: str) -> Gap:
    """The whole seconds around a stretch of nanoseconds."""
    ends = first // _SECOND, -(-last // _SECOND)
    begins, finishes = (datetime.fromtimestamp(each, UTC) for each in ends)
    return Gap(begins, finishes, why)


def _keys(table: pa.Table) -> Bytes:
    ends = ("protocol", "source_address", "source_port", "destination_address", "destination_port")
    others = ("post_nat_source_address", "post_nat_source_port", "account")
    keys = flow_keys(*(table.column(name).combine_chunks() for name in ends))
    return marked(keys, *(table.column(name).combine_chunks() for name in others))


def _only(table: pa.Table, kept: Mask) -> pa.Table:
    wanted: Column = pa.array(kept)
    return table.filter(wanted)


def _nanoseconds(table: pa.Table) -> Numbers:
    return np.asarray(table.column("observed_at").cast(pa.int64()))


def _in_order(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows by time, those of one time as they came, in the coarsest unit that is exact."""
    if not table.num_rows:
        return
    moments = _nanoseconds(table)
    unit = next(each for each in UNITS if not (moments % NANOSECONDS[each]).any())
    schema = event_schema(unit) if "nat_event" in table.schema.names else record_schema(unit)
    order: Column = pa.array(np.argsort(moments, kind="stable"))
    ordered = table.take(order).cast(schema)
    yield from ordered.combine_chunks().to_batches()
