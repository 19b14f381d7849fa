"""Which dialect a line is of: by its marks, and by how its message begins."""

import re
from collections.abc import Sequence

from .dialect import TOLD, Dialect, Row, Shape, marked
from .header import HEADER, RELAYED
from .pairs import NotUnderstood

Match = re.Match[str]


def found(line: str) -> tuple[Match, Shape, Row, tuple[str, ...]] | None:
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
        taken = _taken(known, line, header.end())
    except NotUnderstood:
        # Behind a relay's header a device's own may stand, and only then its message.
        if RELAYED.match(line) is None:
            raise
        taken = None
    if taken is None and (relayed := RELAYED.match(line)):
        inner = HEADER.match(line, relayed.end())
        if inner and (taken := _taken(known, line, inner.end())):
            header = inner if inner[1] else header
    return (header, *taken) if taken else None


def _taken(
    known: Sequence[Dialect], line: str, start: int
) -> tuple[Shape, Row, tuple[str, ...]] | None:
    if len(known) == 1:
        return known[0].take(line, start)
    found = [one for each in dict.fromkeys(known) if (one := each.take(line, start))]
    if len(found) > 1:
        raise NotUnderstood("ambiguous-line")
    return found[0] if found else None


def is_understood(line: str) -> bool:
    """Whether a dialect knows it and finds in it what it should have."""
    try:
        told = found(line)
        if told is None:
            return False
        shape, row = told[1:3]
        return shape.told(row) not in TOLD or not shape.lacks(row)
    except NotUnderstood:
        return False
