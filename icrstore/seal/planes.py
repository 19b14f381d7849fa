"""Byte planes: columns of many segments arranged at once, so that each segment is one slice.

Within a segment every byte position of every column stands together (all low bytes, then all
next bytes ...), which is what a general compressor packs best.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


def interleave(starts: Numbers, columns: Sequence[Numbers]) -> npt.NDArray[np.uint8]:
    """The planes of all segments.

    ``starts``: row number at which each segment begins, and the number of rows (S + 1 numbers).
    ``columns``: unsigned arrays of N rows, or (N, width) bytes. Segment s then lies at
    ``starts[s] * width`` to ``starts[s + 1] * width``, where width sums the columns' bytes.
    """
    rows = int(starts[-1])
    parts = [_bytes(column, rows) for column in columns]
    width = sum(part.shape[1] for part in parts)
    made = np.empty(rows * width, np.uint8)

    lengths = np.diff(starts)
    stride = np.repeat(lengths, lengths)
    # Row i of a segment that begins at s lies at s * width + plane * length + (i - s).
    position = np.repeat(starts[:-1] * (width - 1), lengths) + np.arange(rows)
    for part in parts:
        for plane in range(part.shape[1]):
            made[position] = part[:, plane]
            position += stride
    return made


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


def _bytes(column: Numbers, rows: int) -> npt.NDArray[np.uint8]:
    little = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(rows, -1)
