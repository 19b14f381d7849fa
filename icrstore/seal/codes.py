"""Values of a segment by the number of their first appearance in it, for all segments at once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[Any]


def coded(segment: Numbers, values: Numbers, segments: int) -> tuple[Numbers, Numbers, Numbers]:
    """Of rows in segment order, with N or (N, k) values under 2^32: the code of each (0: the next
    one that its segment has not named yet; n + 1: the n-th that it named); the distinct values of
    all segments, one after the other; and where each segment's end."""
    wide = segment if values.ndim == 1 else segment[:, None]
    # Hashing numbers by first appearance, so that a segment's come out together, without a sort.
    encoded = pa.array(((wide.astype(np.int64) << 32) | values).ravel()).dictionary_encode()
    distinct = np.asarray(encoded.dictionary.to_numpy())
    number = np.asarray(encoded.indices.to_numpy())
    ends = np.cumsum(np.bincount(distinct >> 32, minlength=segments))
    before = np.concatenate([[0], ends[:-1]])
    codes = number.reshape(values.shape) - (before - 1)[wide]
    is_new = np.diff(np.maximum.accumulate(number), prepend=-1) > 0
    codes[is_new.reshape(values.shape)] = 0
    return codes.astype(np.uint16), distinct & 0xFFFFFFFF, ends
