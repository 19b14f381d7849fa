"""Lines of JSON that one program wrote, read column by column instead of octet by octet.

Such lines have the same names, written in the same way and order; some may lack some of them. The
reader walks through all lines at once, from name to name. What it takes is JSON by its shape (RFC
8259): a brace, members with a comma between them, each name once, its value a plain text or a
number of digits alone, a brace, the line's end. Any line that is not so leaves the whole block to
who reads octet by octet (`json_blocks`), at twice the cost.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..schema import Column

Words = npt.NDArray[np.uint64]
Octets = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
# Which lines; None for all of them.
Rows = Places | None

_CACHED_BYTES = 1 << 17
_WORD = 8
# The longest account, with its quote.
_MOST_WORDS = 9
# Words are taken from before the first line to behind the last.
_MARGIN = b" " * (_WORD * (_MOST_WORDS + 12))
# The first lines tell which names there may be, how they are written and how long the values are.
_FIRST_LINES, _FIRST_BYTES = 32, 1 << 14
_MEMBER = re.compile(rb'([{,] ?"([a-z_]{1,64})": ?"?)([^",}]*)')
_QUOTE, _LAST_CONTROL = ord('"'), 31
_ENDING = np.frombuffer(b"}\n", np.uint16)[0]
_HEADS = np.array([(1 << 64) - (1 << 8 * octets) for octets in range(_WORD)], np.uint64)
_DIGITS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)
_TOP_BITS = np.uint64(0x8080808080808080)


class _Unlike(Exception):
    """A line is not as the first ones."""


def table(block: bytes, schema: pa.Schema) -> pa.Table | None:
    """One row for each line, in the columns of ``schema``: texts, and numbers of 8 or 16 bits.

    None if a line may be anything but one object of these types.
    """
    if b"\\" in block or not block.endswith(b"\n"):
        return None
    try:
        lines = _Lines(block)
        columns = dict(_columns(lines, schema))
        lines.check_ends()
    except _Unlike:
        return None
    nulls = (pa.nulls(lines.count, field.type) for field in schema)
    arrays = [columns.get(name, null) for name, null in zip(schema.names, nulls, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _columns(lines: "_Lines", schema: pa.Schema) -> Iterator[tuple[str, Column]]:
    for member in lines.members(frozenset(schema.names)):
        type_ = schema.field(member.name).type
        if member.is_text != (type_ == pa.string()):
            raise _Unlike
        yield member.name, lines.texts(member) if member.is_text else lines.numbers(member, type_)


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
        self._octets = np.frombuffer(b"".join((_MARGIN, block, _MARGIN)), np.uint8)
        end = len(_MARGIN) + -(-len(block) // _WORD) * _WORD
        # That each is a newline `check_ends` sees.
        self._ends = _controls(self._octets[len(_MARGIN) : end]) + len(_MARGIN)
        self.count = len(self._ends)
        self._at: Places = np.concatenate([[len(_MARGIN)], self._ends[:-1] + 1])

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
        for words in (min(member.longest // _WORD + 1, _MOST_WORDS), _MOST_WORDS):
            rows, found = self._behind(member.prefix, words)
            if (lengths := _lengths(found.view(np.uint8))) is not None:
                break
        else:
            raise _Unlike
        self._step(rows, len(member.prefix) + lengths + 1)
        offsets = np.zeros(self.count + 1, np.int32)
        np.cumsum(_spread(lengths, rows, self.count), out=offsets[1:])
        texts = _cut(found.view(np.uint8), lengths)
        return _array(pa.string(), rows, self.count, offsets, texts)

    def numbers(self, member: _Member, type_: pa.DataType) -> Column:
        """The same of numbers."""
        rows, found = self._behind(member.prefix, 1)
        digits = found[:, 0] ^ _DIGITS
        others = (digits | (digits + _ABOVE_NINE)) & _TOP_BITS
        lengths = np.bitwise_count((others & -others) - np.uint64(1)).astype(np.int64) // 8
        values = _value(digits << (64 - 8 * lengths).astype(np.uint64))
        is_zero_led = (digits & np.uint64(0xFF) == 0) & (lengths > 1)
        kind = np.uint8 if type_ == pa.uint8() else np.uint16
        if ((lengths < 1) | (lengths > 5) | is_zero_led | (values > np.iinfo(kind).max)).any():
            raise _Unlike
        self._step(rows, len(member.prefix) + lengths)
        return _array(type_, rows, self.count, _spread(values.astype(kind), rows, self.count))

    def check_ends(self) -> None:
        """That every line has been read to its end."""
        endings = self._items(self._at, 2).view(np.uint16)
        if (self._at + 1 != self._ends).any() or (endings != _ENDING).any():
            raise _Unlike

    def _behind(self, prefix: bytes, words: int) -> tuple[Rows, Words]:
        """Which lines go on with the prefix, and in those so many words of what follows it."""
        before = -(-len(prefix) // _WORD)
        more = before * _WORD - len(prefix)
        places = self._at - more if more else self._at
        found = self._items(places, (before + words) * _WORD).view(np.uint64)
        found = found.reshape(-1, before + words)
        wanted = np.frombuffer(prefix.rjust(before * _WORD, b"\0"), np.uint64)
        is_there = found[:, 0] & _HEADS[more] == wanted[0]
        for word in range(1, before):
            is_there &= found[:, word] == wanted[word]
        if is_there.all():
            return None, found[:, before:]
        # Without the first member there is no brace.
        if prefix.startswith(b"{"):
            raise _Unlike
        rows = np.flatnonzero(is_there)
        return rows, found[rows, before:]

    def _items(self, places: Places, size: int) -> npt.NDArray[Any]:
        # numpy copies opaque items of any size from any place, and each at once.
        items: Any = np.ndarray(len(self._octets) - size, f"V{size}", self._octets, 0, (1,))
        return np.asarray(items[places])

    def _step(self, rows: Rows, steps: Places) -> None:
        if rows is None:
            self._at = self._at + steps
        else:
            self._at[rows] += steps


def _controls(octets: Octets) -> Places:
    """Where they are, in whole words of octets."""
    words, ones = [], []
    for start in range(0, len(octets), _CACHED_BYTES):
        # As signed numbers, what is not ASCII is below the controls.
        is_control = octets[start : start + _CACHED_BYTES].view(np.int8) <= _LAST_CONTROL
        of_words = is_control.view(np.uint64)
        found = np.flatnonzero(of_words != 0)
        words.append(found + start // _WORD)
        ones.append(of_words[found])
    one, below = np.concatenate(ones), np.concatenate(ones) - np.uint64(1)
    places: Places = np.concatenate(words) * _WORD + np.bitwise_count(below) // _WORD
    # No line is so short that two end within a word.
    if (one & below).any():
        raise _Unlike
    return places


def _value(digits: Words) -> Words:
    """Of up to eight decimal digits each, the last one in the highest octet, zeros before them."""
    pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF)


def _lengths(octets: Octets) -> Places | None:
    """How many octets stand before the first quote of each row; None where one has none."""
    if not len(octets):
        return np.zeros(0, np.int64)
    quotes = octets == _QUOTE
    first = int(quotes[:1].argmax())
    # Times and accounts are often of one length, which is told in half of the time.
    if quotes[:, first].all() and not quotes[:, :first].any():
        return np.full(len(octets), first)
    lengths: Places = quotes.argmax(axis=1)
    return lengths if ((lengths > 0) | quotes[:, 0]).all() else None


def _cut(octets: Octets, lengths: Places) -> Octets:
    """Of each row its first octets, one after another."""
    if len(lengths) and (lengths == lengths[0]).all():
        return np.ascontiguousarray(octets[:, : lengths[0]])
    places = np.arange(octets.shape[1], dtype=np.uint8)
    return octets[places < lengths.astype(np.uint8)[:, None]]


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
