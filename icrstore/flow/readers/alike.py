"""Lines of JSON that one program wrote, read column by column instead of octet by octet.

Such lines have the same names, written in the same way and order; some may lack some of them. The
reader walks through all lines at once, from name to name. What it takes is JSON by its shape (RFC
8259): a brace, members with a comma between them, each name once, its value a plain text or a
number of digits alone, a brace, the line's end. Any line that is not so leaves the whole block to
who reads octet by octet (`json_blocks`), at twice the cost.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import Column
from .words import (
    WORD,
    Lengths,
    Octets,
    Places,
    Words,
    before_quote,
    cut_before_quote,
    unusual,
    whole_numbers,
)

# Which lines; None for all of them.
Rows = Places | None
T = TypeVar("T")

# The longest account, with its quote.
_MOST_WORDS = 9
# No line that is read is so long: each of a dozen names once, with a text of so many words.
_LONGEST_LINE_BYTES = 1 << 11
# The first lines tell which names there may be, how they are written and how long the values are.
_FIRST_LINES, _FIRST_BYTES = 32, 1 << 14
_MEMBER = re.compile(rb'([{,] ?"([a-z_]{1,64})": ?"?)([^",}]*)')
# The first octets of a word; all of them for none.
_HEADS = np.array([(1 << 8 * (octets or WORD)) - 1 for octets in range(WORD)], np.uint64)
_BACKSLASH, _BRACE, _NEWLINE = b"\\}\n"


class _Unlike(Exception):
    """A line is not as the first ones."""


def table(
    block: bytes, schema: pa.Schema, repeated: Collection[str] = frozenset()
) -> pa.Table | None:
    """One row for each line, in the columns of ``schema``: texts, and numbers of 8 or 16 bits. The
    texts that are ``repeated`` in many lines are given as dictionaries.

    None if a line may be anything but one object of these types.
    """
    if not block.endswith(b"\n"):
        return None
    try:
        lines = _Lines(block)
        columns = dict(_columns(lines, schema, repeated))
        lines.check_ends()
    except _Unlike:
        return None
    nulls = (pa.nulls(lines.count, field.type) for field in schema)
    arrays = [columns.get(name, null) for name, null in zip(schema.names, nulls, strict=True)]
    return pa.Table.from_arrays(arrays, names=schema.names)


def _columns(
    lines: "_Lines", schema: pa.Schema, repeated: Collection[str]
) -> Iterator[tuple[str, Column]]:
    for member in lines.members(frozenset(schema.names)):
        type_ = schema.field(member.name).type
        if member.is_text != (type_ == pa.string()):
            raise _Unlike
        if not member.is_text:
            yield member.name, lines.numbers(member, type_)
        elif member.name in repeated:
            yield member.name, lines.dictionary(member)
        else:
            yield member.name, lines.texts(member)


@dataclass
class _Member:
    """``prefix``: all that stands before the value, from the brace or comma on; ``longest``: how
    many octets a value of the first lines has."""

    name: str
    prefix: bytes
    longest: int = 0

    @property
    def is_text(self) -> bool:
        return self.prefix.endswith(b'"')


class _Lines:
    """The lines of a block, and how far each has been read. Raises `_Unlike` where it cannot."""

    def __init__(self, block: bytes) -> None:
        self._head = block[:_FIRST_BYTES]
        # Items are taken from behind where a line ends: of the last lines from a copy, with spaces.
        self._octets = np.frombuffer(block.ljust(_LONGEST_LINE_BYTES), np.uint8)
        self._tail_at = max(0, len(block) - _LONGEST_LINE_BYTES)
        tail = block[self._tail_at :].ljust(2 * _LONGEST_LINE_BYTES)
        self._tail = np.frombuffer(tail, np.uint8)
        ends = unusual(self._octets)
        if ends is None or (self._octets[ends] != _NEWLINE).any():
            raise _Unlike
        # From here on all octets are printable ASCII, but for each line's last.
        self._ends = ends
        self.count = len(ends)
        self._at: Places = np.concatenate([[0], ends[:-1] + 1])
        self._late = int(np.searchsorted(self._at, self._tail_at))

    def members(self, names: frozenset[str]) -> list[_Member]:
        """Of the first lines, in an order that is each one's."""
        order: list[str] = []
        found: dict[str, _Member] = {}
        for line in self._head.split(b"\n", _FIRST_LINES)[:_FIRST_LINES]:
            at = 0
            for prefix, octets, value in _MEMBER.findall(line):
                name = octets.decode()
                if name not in names:
                    raise _Unlike
                if name not in found:
                    order.insert(at, name)
                    found[name] = _Member(name, prefix)
                at = order.index(name) + 1
                found[name].longest = max(found[name].longest, len(value))
        # A brace begins each object, and nothing else here.
        begins = [found[name].prefix.startswith(b"{") for name in order]
        if begins[:1] != [True] or any(begins[1:]):
            raise _Unlike
        return [found[name] for name in order]

    def texts(self, member: _Member) -> Column:
        """The member's texts, null for each line that goes on otherwise."""
        rows, cut, lengths = self._quoted(member, cut_before_quote)
        if (cut == _BACKSLASH).any():
            raise _Unlike
        self._step(rows, len(member.prefix) + lengths + 1)
        offsets = np.zeros(self.count + 1, np.int32)
        np.cumsum(_spread(lengths, rows, self.count), out=offsets[1:])
        return _array(pa.string(), rows, self.count, offsets, cut)

    def dictionary(self, member: _Member) -> Column:
        """The same of texts of which there are few: only distinct ones are cut and looked at."""
        rows, kept, lengths = self._quoted(member, before_quote)
        self._step(rows, len(member.prefix) + lengths + 1)
        whole: Any = _array(pa.binary(WORD * kept.shape[1]), None, len(kept), kept)
        coded = whole.dictionary_encode()
        texts: Any = pc.ascii_rtrim(coded.dictionary.cast(pa.string()), "\0")
        if pc.any(pc.match_substring(texts, "\\")).as_py():
            raise _Unlike
        codes = _spread(coded.indices.to_numpy(), rows, self.count)
        return pa.DictionaryArray.from_arrays(_array(pa.int32(), rows, self.count, codes), texts)

    def numbers(self, member: _Member, type_: pa.DataType) -> Column:
        """The same of numbers."""
        rows, found = self._behind(member.prefix, 1)
        values, lengths, is_zero_led = whole_numbers(found[:, 0])
        kind = np.uint8 if type_ == pa.uint8() else np.uint16
        if ((lengths < 1) | (lengths > 5) | is_zero_led | (values > np.iinfo(kind).max)).any():
            raise _Unlike
        self._step(rows, len(member.prefix) + lengths.astype(np.int32))
        return _array(type_, rows, self.count, _spread(values.astype(kind), rows, self.count))

    def check_ends(self) -> None:
        """That every line has been read to its end."""
        if (self._at + 1 != self._ends).any() or (self._octets[self._at] != _BRACE).any():
            raise _Unlike

    def _quoted(
        self, member: _Member, take: Callable[[Words], tuple[T, Lengths] | None]
    ) -> tuple[Rows, T, Lengths]:
        """`_behind` with only what is before the next quote, as it is taken, and its lengths."""
        for words in (min(member.longest // WORD + 1, _MOST_WORDS), _MOST_WORDS):
            rows, found = self._behind(member.prefix, words)
            if (taken := take(found)) is not None:
                return rows, *taken
        raise _Unlike

    def _behind(self, prefix: bytes, words: int) -> tuple[Rows, Words]:
        """Which lines go on with the prefix, and in those so many words of what follows it."""
        of_prefix = np.frombuffer(prefix + bytes(-len(prefix) % WORD), np.uint64)
        # Whole words, or numpy would copy each before it looks at it.
        found = self._items((len(of_prefix) + words) * WORD)
        *wholes, last = (_inside(found, WORD * word, np.uint64) for word in range(len(of_prefix)))
        is_there = last & _HEADS[len(prefix) % WORD] == of_prefix[-1]
        for whole, wanted in zip(wholes, of_prefix[:-1], strict=True):
            is_there &= whole == wanted
        rows = None if is_there.all() else np.flatnonzero(is_there)
        # Without the first member there is no brace.
        if rows is not None and prefix.startswith(b"{"):
            raise _Unlike
        values = _inside(found, len(prefix), f"V{words * WORD}")
        taken = values.copy() if rows is None else values[rows]
        return rows, taken.view(np.uint64).reshape(-1, words)

    def _items(self, size: int) -> npt.NDArray[Any]:
        """So many octets from where each line has been read to."""
        octets, tail = _windows(self._octets, size), _windows(self._tail, size)
        found = octets[np.minimum(self._at, len(octets) - 1)]
        found[self._late :] = tail[self._at[self._late :] - self._tail_at]
        return found

    def _step(self, rows: Rows, steps: Lengths) -> None:
        if rows is None:
            self._at = self._at + steps
        else:
            self._at[rows] += steps


def _windows(octets: Octets, size: int) -> npt.NDArray[Any]:
    # numpy copies opaque items of any size from any place, and each at once.
    return np.ndarray(len(octets) - size + 1, f"V{size}", octets, 0, (1,))


def _inside(items: npt.NDArray[Any], place: int, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """What each item has at this place."""
    return np.ndarray(len(items), kind, items.view(np.uint8), place, (items.itemsize,))


def _spread(values: npt.NDArray[Any], rows: Rows, count: int) -> npt.NDArray[Any]:
    """A value for each of ``count`` lines, 0 for those that are not in ``rows``."""
    if rows is None:
        return values
    made = np.zeros(count, values.dtype)
    made[rows] = values
    return made


def _array(type_: pa.DataType, rows: Rows, count: int, *buffers: Any) -> Column:
    """An array of Arrow's by its buffers, null in all lines but ``rows``."""
    valid: Any = None
    if rows is not None:
        mask = np.zeros(count, np.bool_)
        mask[rows] = True
        valid = np.packbits(mask, bitorder="little")
    held = [None if buffer is None else pa.py_buffer(buffer) for buffer in (valid, *buffers)]
    return pa.Array.from_buffers(type_, count, held)
