"""Lines become rows, and rows batches; what is neither is counted."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from ...elements import NAT_EVENTS
from ...schema import Column
from ..events import EventRows, assemble_events
from ..hints import Hints
from ..lines import LONGEST_LINE_BYTES, Input, line_blocks
from ..protocols import protocol_column
from ..rows import Rows, assemble, only_ported
from ..tally import Tally
from ..times import instants
from .clock import Clock, Untimed
from .dialect import TOLD, Dialect, Row, Shape, marked
from .header import HEADER, RELAYED, is_counted, uncounted
from .pairs import NotUnderstood

Match = re.Match[str]
_BLANK = re.compile(r"\n[ \t\r]*\n")
_GARBLED = "\ufffd"
# Which of a line's names stay here is counted once for lines that have the same ones.
_MOST_LAYOUTS = 100


def is_syslog(head: bytes) -> bool:
    """Whether one of the lines is one that a dialect understands."""
    if is_counted(head):
        return True
    lines = head.decode("utf-8", "replace").split("\n")
    return any(_is_understood(line.strip()) for line in lines)


def read_syslog(source: Input, tally: Tally, hints: Hints) -> Iterator[pa.RecordBatch]:
    """The connections and NAT events of the lines, whoever wrote which."""
    while len(source.head) < 16 and source.look_further():
        pass
    reader = _Reader(tally, hints)
    if is_counted(source.head):
        tally.line = 1
        for block in uncounted(source.chunks(), tally):
            yield from reader.batches(block)
            tally.line += block.count(b"\n")
    else:
        for block in line_blocks(source, tally):
            yield from reader.batches(block)
    reader.tell_what_stays()


def is_radius(head: bytes) -> bool:
    """Whether one of the lines is an attribute that every accounting packet has."""
    return re.search(rb"^\s*Acct-Status-Type [:+]?= ", head, re.MULTILINE) is not None


def read_radius(source: Input, tally: Tally, hints: Hints) -> Iterator[pa.RecordBatch]:
    """The NAT events of accounting packets, each of which is a paragraph of attributes."""
    reader = _Reader(tally, hints)
    for block in _paragraphs(source, tally):
        # Of a paragraph's line nobody knows where in the input it began.
        tally.line = 0
        yield from reader.batches(block.encode())
    reader.tell_what_stays()


def _paragraphs(source: Input, tally: Tally) -> Iterator[str]:
    """Each paragraph as one line, its attributes with a tab between them, in blocks."""
    rest = ""
    for block in line_blocks(source, tally):
        *whole, rest = _BLANK.split(rest + block.decode("utf-8", "replace"))
        yield "".join(map(_joined, whole))
        if len(rest) > LONGEST_LINE_BYTES:
            tally.drop("line-too-long")
            rest = ""
    if rest.endswith("\n"):
        yield _joined(rest)
    elif rest:
        tally.cut()


def _joined(paragraph: str) -> str:
    lines = (line.strip() for line in paragraph.split("\n"))
    return "\t".join(line for line in lines if " = " in line or "= " in line) + "\n"


def _is_understood(line: str) -> bool:
    try:
        found = _found(line)
        if found is None:
            return False
        shape, row = found[1:3]
        return shape.told(row) not in TOLD or not shape.lacks(row)
    except NotUnderstood:
        return False


def _found(line: str) -> tuple[Match, Shape, Row, tuple[str, ...]] | None:
    """(the header, whose groups are its time, the shape, its row, its names); None if no dialect's.

    Raises NotUnderstood.
    """
    known = [dialect for mark, dialect in marked() if mark in line]
    if not known:
        return None
    header = HEADER.match(line)
    if header is None:  # It may be empty, so it always is there.
        return None
    try:
        found = _taken(known, line, header.end())
    except NotUnderstood:
        # Behind a relay's header a device's own may stand, and only then its message.
        if RELAYED.match(line) is None:
            raise
        found = None
    if found is None and (relayed := RELAYED.match(line)):
        inner = HEADER.match(line, relayed.end())
        if inner and (found := _taken(known, line, inner.end())):
            header = inner if inner[1] else header
    return (header, *found) if found else None


def _taken(
    known: Sequence[Dialect], line: str, start: int
) -> tuple[Shape, Row, tuple[str, ...]] | None:
    if len(known) == 1:
        return known[0].take(line, start)
    found = [taken for each in dict.fromkeys(known) if (taken := each.take(line, start))]
    if len(found) > 1:
        raise NotUnderstood("ambiguous-line")
    return found[0] if found else None


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


class _Reader:
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
        found = _found(line)
        if found is None:
            self._tally.drop("not-a-record" if line else "blank-line", at=at)
            return
        header, shape, row, names = found
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


def _account(text: str, shape: Shape) -> str | None:
    if text in shape.absent:
        return None
    if _GARBLED in text:
        raise NotUnderstood("bad-account")
    return text or None


def _connections(found: _Rows, tally: Tally) -> pa.RecordBatch:
    (time, protocol, source, source_port, destination, destination_port, outside, outside_port,
     account) = found.columns()  # fmt: skip
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
    return assemble(rows, tally, found.lines)


def _events(found: _Rows, tally: Tally) -> pa.RecordBatch:
    time, nat_event, protocol, *texts = found.columns()
    number = protocol_column(protocol)
    unknown = pc.and_(pc.is_null(number), pc.is_valid(protocol))
    moments, _ = instants(time, "s", None)
    rows = EventRows(moments, nat_event, number, *texts)
    return assemble_events(rows, tally, found.lines, [("unknown-protocol", unknown)])
