"""Byte planes: columns cut so that one segment's bytes of a kind stand together.

Every byte position of every column of a form is a plane, numbered from 0 in the form's order, the
lowest byte first. In a segment each plane is left out (all its bytes are zero), plain or packed:

    u48 plain || u48 packed || the plain planes || one zstd frame of the packed ones, then the rest

two bitmaps by number and the planes in their order, little-endian. Where nothing is packed and
there is no rest there is no frame.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

Numbers = npt.NDArray[Any]

BITMAP_BYTES = 6
# Bytes of one kind share a code within a block of the frame, so a large segment gets a block for
# each part of its form; the parts of a small one are too short to pay for it.
_ROWS_FOR_BLOCKS = 400
# Of fewer, a code of its own shortens what is packed by a twentieth and costs four times as much.
_ROWS_FOR_CODE = 100
# What is as good as random is plain: packed, it would spoil the code of what it stands beside.
_SAMPLE_BYTES = 2048
_BLOCK = zstandard.COMPRESSOBJ_FLUSH_BLOCK


@dataclass(frozen=True)
class Column:
    """``of`` says which of a segment's counts is its number of rows; ``part`` what it is packed
    with."""

    name: str
    width: int
    of: int
    part: int


@dataclass(frozen=True, eq=False)
class Form:
    """The columns of a kind of segment, in order."""

    columns: tuple[Column, ...]

    def numbered(self) -> Iterator[tuple[Column, range]]:
        """Each column with the numbers of its planes."""
        ends = accumulate(column.width for column in self.columns)
        for column, end in zip(self.columns, ends, strict=True):
            yield column, range(end - column.width, end)


@dataclass(frozen=True)
class _Plane:
    column: Column
    number: int
    content: bytes
    is_plain: bool


class Planes:
    """The planes of all rows of many segments, made at once: a segment is a slice of each."""

    def __init__(self, made: Iterable[_Plane]) -> None:
        self._made = list(made)
        plain = [plane for plane in self._made if plane.is_plain]
        packed = [plane for plane in self._made if not plane.is_plain]
        self._bitmaps = _bitmap(plain) + _bitmap(packed)
        self._plain = _contents(plain)
        self._packed = _contents(packed)
        # A form's columns stand by part.
        of_parts = groupby(plane.column.part for plane in packed)
        ends = list(accumulate(len(list(planes)) for _, planes in of_parts))
        self._parts = list(map(slice, [0, *ends], ends))
        # Level -1 finds what repeats, and leaves the rest uncoded.
        self._coding, self._uncoding = (
            zstandard.ZstdCompressor(level=level, write_content_size=False) for level in (1, -1)
        )

    @classmethod
    def of(cls, form: Form, columns: Mapping[str, Numbers]) -> "Planes":
        """Of each column N unsigned numbers or (N, width) bytes, N by its kind."""
        compress = zstandard.ZstdCompressor(level=1).compress
        return cls(
            _Plane(column, number, plane, _is_random(plane, compress))
            for column, numbers in form.numbered()
            for number, plane in zip(numbers, _cut(columns[column.name]), strict=False)
            if plane
        )

    def without(self, names: set[str]) -> "Planes":
        """For segments in which some columns are zero throughout."""
        return Planes(plane for plane in self._made if plane.column.name not in names)

    def segments(self, spans: Sequence[Sequence[slice]], rests: Iterable[bytes]) -> Iterator[bytes]:
        """The planes of some segments, each with what follows them. ``spans``: of every kind, each
        segment's rows; of the last kind it has most."""
        several = zip(
            spans[-1], _sliced(self._plain, spans), _sliced(self._packed, spans), rests, strict=True
        )
        for rows, plain, packed, rest in several:
            count = rows.stop - rows.start
            if not packed and not rest:
                frame = b""
            elif count >= _ROWS_FOR_BLOCKS:
                frame = self._in_blocks(packed, rest)
            else:
                coding = self._uncoding if count < _ROWS_FOR_CODE else self._coding
                frame = coding.compress(b"".join((*packed, rest)))
            yield b"".join((self._bitmaps, *plain, frame))

    def _in_blocks(self, planes: tuple[bytes, ...], rest: bytes) -> bytes:
        stream, made = self._coding.compressobj(), []
        for part in self._parts:
            made += [stream.compress(b"".join(planes[part])), stream.flush(_BLOCK)]
        return b"".join((*made, stream.compress(rest), stream.flush()))


def _sliced(
    planes: Sequence[tuple[int, bytes]], spans: Sequence[Sequence[slice]]
) -> Iterator[tuple[bytes, ...]]:
    """Of each segment its slice of every plane; no loop of Python's is over segments and planes."""
    if not planes:
        return repeat((), len(spans[-1]))
    return zip(*(map(plane.__getitem__, spans[of]) for of, plane in planes), strict=True)


def _cut(column: Numbers) -> Iterator[bytes]:
    """The planes of a column; empty where all of it is zero."""
    if column.ndim > 1:
        for octets in np.ascontiguousarray(column.T):
            yield from _cut(octets)
        return
    some = int(np.bitwise_or.reduce(column))
    for shift in range(0, 8 * column.itemsize, 8):
        # numpy shifts and narrows many at once, and picks every other octet one by one.
        yield (column >> shift).astype(np.uint8).tobytes() if some >> shift & 0xFF else b""


def _is_random(plane: bytes, compress: Callable[[bytes], bytes]) -> bool:
    """Whether it does not compress, at two places: where segments have their own ways, a sample of
    all of them together would hide it."""
    middle = len(plane) // 2
    samples = plane[:_SAMPLE_BYTES], plane[middle : middle + _SAMPLE_BYTES]
    return all(len(compress(sample)) >= len(sample) for sample in samples)


def _bitmap(planes: Iterable[_Plane]) -> bytes:
    return sum(1 << plane.number for plane in planes).to_bytes(BITMAP_BYTES, "little")


def _contents(planes: Iterable[_Plane]) -> list[tuple[int, bytes]]:
    return [(plane.column.of, plane.content) for plane in planes]
