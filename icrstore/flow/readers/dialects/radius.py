"""RADIUS accounting as FreeRADIUS writes it: a packet is a paragraph, an attribute a line."""

import re
from collections.abc import Iterator

import pyarrow as pa

from ..hints import Hints
from ..lines import LONGEST_LINE_BYTES, Input, line_blocks
from ..tally import Tally
from .reader import Reader

_BLANK = re.compile(r"\n[ \t\r]*\n")


def is_radius(head: bytes) -> bool:
    """Whether one of the lines is an attribute that every accounting packet has."""
    return re.search(rb"^\s*Acct-Status-Type [:+]?= ", head, re.MULTILINE) is not None


def read_radius(source: Input, tally: Tally, hints: Hints) -> Iterator[pa.RecordBatch]:
    """The NAT events of accounting packets, each of which is a paragraph of attributes."""
    reader = Reader(tally, hints)
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
