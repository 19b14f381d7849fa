"""Lines become rows, and rows batches; what is neither is counted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from ...elements import NAT_EVENTS
from ...schema import PORT_PROTOCOLS, Column
from ..events import EventRows, assemble_events
from ..hints import Hints
from ..lines import Input, line_blocks
from ..protocols import NUMBERS, protocol_column
from ..rows import Rows, assemble, only_ported
from ..tally import Tally
from ..times import instants
from .clock import Clock, Untimed
from .dialect import TOLD, Row, Shape
from .header import is_counted, uncounted
from .lookup import Match, found, is_understood
from .pairs import NotUnderstood

_PORTED = {str(number) for number in PORT_PROTOCOLS} | {
    name for name, number in NUMBERS.items() if number in PORT_PROTOCOLS
}
_GARBLED = "\ufffd"
# Which of a line's names stay here is counted once for lines that have the same ones.
_MOST_LAYOUTS = 100


def is_syslog(head: bytes) -> bool:
    """Whether one of the lines is one that a dialect understands."""
    if is_counted(head):
        return True
    lines = head.decode("utf-8", "replace").split("\n")
    return any(is_understood(line.strip()) for line in lines)


def read_syslog(source: Input, tally: Tally, hints: Hints) -> Iterator[pa.RecordBatch]:
    """The connections and NAT events of the lines, whoever wrote which."""
    while len(source.head) < 16 and source.look_further():
        pass
    reader = Reader(tally, hints)
    if source.is_whole and is_counted(source.head):
        tally.line = 1
        for block in uncounted(source.chunks(), tally):
            yield from reader.batches(block)
            tally.line += block.count(b"\n")
    else:
        for block in line_blocks(source, tally):
            yield from reader.batches(block)
    reader.tell_what_stays()


@dataclass
class _Rows:
    """Rows of text, and the line that each is on."""

    rows: list[tuple[str | int | None, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, row: tuple[str | int | None, ...], at: int) -> None:
        self.rows.append(row)
        self.lines.append(at)

    def columns(self) -> list[Column]:
        return [
            pa.array(
                [row[place] for row in self.rows], pa.uint8() if type(value) is int else pa.string()
            )
            for place, value in enumerate(self.rows[0])
        ]


class Reader:
    """Reads blocks of lines, and counts by name what of them stays here."""

    def __init__(self, tally: Tally, hints: Hints) -> None:
        self._tally, self._clock = tally, Clock(hints)
        self._layouts: Counter[tuple[Shape, tuple[str, ...]]] = Counter()

    def batches(self, block: bytes) -> Iterator[pa.RecordBatch]:
        """The records of one block of whole lines, of which the last may lack its newline."""
        connections, events = _Rows(), _Rows()
        *lines, last = block.decode("utf-8", "replace").split("\n")
        if last.endswith(("}", "]")):
            lines.append(last)
        elif last:
            self._tally.cut(at=len(lines))
        for at, line in enumerate(lines):
            try:
                self._line(line.strip(), at, connections, events)
            except (NotUnderstood, Untimed) as why:
                self._tally.drop(why.args[0], at=at)
        if connections.rows:
            yield _connections(connections, self._tally)
        if events.rows:
            yield _events(events, self._tally)

    def _line(self, line: str, at: int, connections: _Rows, events: _Rows) -> None:
        known = found(line)
        if known is None:
            self._tally.drop("not-a-record" if line else "blank-line", at=at)
            return
        header, shape, row, names = known
        if names:
            self._count(shape, names)
        told = shape.told(row)
        if told not in TOLD:
            self._tally.drop(told, at=at)
            return
        if shape.lacks(row):
            raise NotUnderstood("field-missing")
        self._add(told, header, shape, row, at, connections, events)

    def _add(
        self, told: str, header: Match, shape: Shape, row: Row, at: int,
        connections: _Rows, events: _Rows,
    ) -> None:  # fmt: skip
        (own_time, _, protocol, source, source_port, destination, destination_port,
         outside, outside_port, first, last, account) = row  # fmt: skip
        if outside in shape.absent or (
            shape.unchanged and outside == source and outside_port == source_port
        ):
            outside = outside_port = None
        if account is not None:
            account = _account(account, shape)
        if _lacks_a_port(row, outside, outside_port):
            raise NotUnderstood("field-missing")
        if told != "connection" and outside:
            time = self._time(own_time, header)
            events.add(
                (time, NAT_EVENTS[told], protocol, source, source_port, destination,
                 destination_port, outside, outside_port, first, last, account), at,
            )  # fmt: skip
        elif told == "delete":
            self._tally.drop("session-end", at=at)
        elif destination is None:
            raise NotUnderstood("field-missing")
        else:
            time = self._time(own_time, header)
            connections.add(
                (time, protocol, source, source_port, destination, destination_port, outside,
                 outside_port, account), at,
            )  # fmt: skip

    def _time(self, own: str | None, header: Match) -> str:
        if own is not None:
            return self._clock.read(own)
        main, fraction, offset = header.groups()
        if main is None:
            raise Untimed("time-missing")
        return self._clock.seconds(main, fraction, offset)

    def _count(self, shape: Shape, names: tuple[str, ...]) -> None:
        self._layouts[shape, names] += 1
        if len(self._layouts) > _MOST_LAYOUTS:
            self.tell_what_stays()

    def tell_what_stays(self) -> None:
        for (shape, names), count in self._layouts.items():
            self._tally.leave_out((name for name in names if name not in shape.used), count)
        self._layouts.clear()


def _lacks_a_port(row: Row, outside: str | None, outside_port: str | None) -> bool:
    """Whether a port is not there that the protocol has, of a connection or of its translation."""
    _, _, protocol, _, port, destination, destination_port, _, _, first, _, _ = row
    if protocol is None or protocol.lower() not in _PORTED:
        return False
    if destination is not None and (port is None or destination_port is None):
        return True
    return bool(outside) and port is not None and outside_port is None and first is None


def _account(text: str, shape: Shape) -> str | None:
    if text in shape.absent:
        return None
    if _GARBLED in text:
        raise NotUnderstood("bad-account")
    return text or None


def _connections(given: _Rows, tally: Tally) -> pa.RecordBatch:
    (time, protocol, source, source_port, destination, destination_port, outside, outside_port,
     account) = given.columns()  # fmt: skip
    number = protocol_column(protocol)
    rows = Rows(
        observed_at=time,
        protocol=number,
        source_address=source,
        source_port=only_ported(source_port, number),
        destination_address=destination,
        destination_port=only_ported(destination_port, number),
        post_nat_source_address=outside,
        post_nat_source_port=only_ported(outside_port, number),
        account=account,
    )
    return assemble(rows, tally, given.lines)


def _events(given: _Rows, tally: Tally) -> pa.RecordBatch:
    time, nat_event, protocol, *texts = given.columns()
    number = protocol_column(protocol)
    unknown = pc.and_(pc.is_null(number), pc.is_valid(protocol))
    moments, _ = instants(time, "s", None)
    rows = EventRows(moments, nat_event, number, *texts)
    return assemble_events(rows, tally, given.lines, [("unknown-protocol", unknown)])
