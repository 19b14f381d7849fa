"""Values of a segment by the number of their first appearance in it, for all segments at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[Any]


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
    def of(cls, segment: Numbers, values: Numbers, segments: int) -> "Coded":
        """Of rows in segment order, with values under 2^32."""
        keys = (segment.astype(np.int64) << 32) | values
        # Hashing numbers by first appearance: a segment's come out together, without a sort.
        encoded = pa.array(keys).dictionary_encode()
        distinct = np.asarray(encoded.dictionary.to_numpy())
        number = np.asarray(encoded.indices.to_numpy())
        ends = np.cumsum(np.bincount(distinct >> 32, minlength=segments))
        before = np.concatenate([[0], ends[:-1]]).astype(np.int32)
        again = (number - (before - 1)[segment]).astype(np.uint16)
        is_new = np.diff(np.maximum.accumulate(number), prepend=-1) > 0
        return cls(again, np.where(is_new, np.uint16(0), again), distinct & 0xFFFFFFFF, ends)
