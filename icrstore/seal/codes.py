"""Values of a segment by the number of their first appearance in it, for all segments at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


def differs(values: Numbers) -> Numbers:
    """Where a value is another than the one before it; the first always is."""
    made = np.empty(len(values), np.bool_)
    made[:1] = True
    np.not_equal(values[1:], values[:-1], out=made[1:])
    return made


def digits(values: Numbers) -> list[Numbers]:
    """Non-negative integers as keys for `numpy.lexsort`, the least significant 16 bits first.

    numpy sorts 16 bits by radix, five times as fast as whole numbers, and as fast on every
    processor: what it has of AVX-512 for whole numbers takes four times as long as AVX2 on some.
    """
    most = int(values.max()) if len(values) else 0
    return [
        (values >> shift if shift else values).astype(np.uint16)
        for shift in range(0, max(most.bit_length(), 1), 16)
    ]


@dataclass(frozen=True)
class Coded:
    """Of each row ``again``, n + 1 for the n-th value that its segment named, and ``code``, which
    is 0 where this is the first time; the ``distinct`` values of all segments, one after the other,
    and where each segment's end."""

    again: Numbers
    code: Numbers
    distinct: Numbers
    ends: Numbers

    @classmethod
    def of(cls, values: Numbers, starts: Numbers) -> "Coded":
        """Of rows in segment order: ``starts`` says where each segment begins, and their number.

        Raises ValueError where a segment's rows, or segment and value, are more than have numbers.
        """
        rows, bits = np.diff(starts), int(values.max()).bit_length()
        if int(rows.max()) >= 1 << 16 or bits + len(rows).bit_length() > 63:
            raise ValueError("too many segments, values or rows")
        keys = np.repeat(np.arange(len(rows)) << bits, rows)
        keys |= values

        # A segment's rows are among themselves, each value's together, the first before the others.
        place = np.lexsort(digits(keys))
        heads = np.flatnonzero(differs(keys.take(place)))
        first = place[heads]
        is_new = np.zeros(len(values), np.bool_)
        is_new[first] = True
        new = np.flatnonzero(is_new)
        ends = np.searchsorted(new, starts[1:])
        before = np.repeat(np.append(0, ends[:-1]), np.diff(ends, prepend=0))
        number = np.empty(len(values), np.uint16)
        number[new] = np.arange(1, len(new) + 1) - before
        again = np.empty(len(values), np.uint16)
        again[place] = np.repeat(number[first], np.diff(heads, append=len(values)))
        code = again.copy()
        code[new] = 0
        return cls(again, code, values[new], ends)
