"""Byte planes: columns arranged so that one segment's bytes of a kind stand together.

Within a segment every byte position of every column stands together (all low bytes, then all
next bytes ...), which is what a general compressor packs best.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


def planes(columns: Iterable[Numbers]) -> list[bytes]:
    """The planes of N rows: unsigned arrays of N, or (N, width) bytes; N bytes for each plane.

    They are made for all segments at once: a segment then is a slice of each (`cut`).
    """
    return [
        plane.tobytes()
        for column in columns
        for plane in _little(column).view(np.uint8).reshape(len(column), -1).T
    ]


def cut(planes: Iterable[bytes], start: int, end: int) -> bytes:
    """The planes of the segment of rows ``start`` to ``end``, one after the other."""
    return b"".join([plane[start:end] for plane in planes])


def split(planes: bytes, rows: int, types: Sequence[str]) -> list[Numbers]:
    """The columns of one segment: numpy types such as ``<u4``, or ``S16`` for (rows, 16) bytes."""
    made = []
    at = 0
    for name in types:
        width = np.dtype(name).itemsize
        block = np.frombuffer(planes, np.uint8, rows * width, at).reshape(width, rows)
        column = np.ascontiguousarray(block.T)
        made.append(column if name.startswith("S") else column.view(name).reshape(rows))
        at += rows * width
    return made


def _little(column: Numbers) -> Numbers:
    return np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
