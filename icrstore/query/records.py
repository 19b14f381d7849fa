"""Records as opened: those of one account in some whole hours, each distinct one once."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.seal import account_map
from icrstore.seal.group import (
    HAS_DESTINATION_PORT,
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
)
from icrstore.seal.rows import Segment

Numbers = npt.NDArray[Any]

# Times in nanoseconds are given to be written out; what comes back tells them once they are needed.
Written = Callable[[], list[str]]
Write = Callable[[Numbers], Written]


class Records:
    """The records of segments, each with its epoch's hour; columns are made when looked at.

    Equal records, whoever sent them, have equal times and so lie in one hour: all that there is of
    an hour must be here.
    """

    def __init__(self, segments: Sequence[tuple[datetime, Segment]]) -> None:
        ordered = sorted(segments, key=lambda one: one[0])
        self._hours = np.array([int(hour.timestamp()) * 10**9 for hour, _ in ordered])
        self.rows = account_map.read(*(segment for _, segment in ordered))

    @cached_property
    def observed_at(self) -> Numbers:
        """In nanoseconds since 1970, of every row."""
        return self.rows.nanoseconds_from(self._hours)

    @cached_property
    def distinct(self) -> Numbers | slice:
        """Which rows to take, so that of those that are equal in every field one is taken."""
        time = self.observed_at
        # Only where two have one time anything else is looked at, which is seldom.
        if (time[1:] > time[:-1]).all():
            return slice(None)
        order = np.argsort(time, kind="stable")
        is_same = np.diff(time[order]) == 0
        which = order[np.append(is_same, False) | np.append(False, is_same)]
        number = numbers_of(self._whole(which))[0]
        made = np.ones(len(time), np.bool_)
        made[which] = np.diff(np.maximum.accumulate(number), prepend=-1) > 0
        return made

    def _whole(self, which: Numbers) -> Numbers:
        """All that some rows say, (n, bytes); what a row does not have is zero."""
        rows = self.rows
        flags = rows.flags[which]

        def present(values: Numbers, bit: int) -> Numbers:
            return np.where(flags & bit, values[which], 0)

        numbers = [
            self.observed_at[which], rows.protocol[which], flags,
            present(rows.source_port, HAS_SOURCE_PORT),
            present(rows.destination_port, HAS_DESTINATION_PORT),
            present(rows.public_port, HAS_PUBLIC_PORT),
        ]  # fmt: skip
        public = rows.addresses[rows.public[which]]
        public[(flags & HAS_PUBLIC_ADDRESS) == 0] = 0
        return np.concatenate([
            *(column.astype(np.int64).view(np.uint8).reshape(-1, 8) for column in numbers),
            rows.addresses[rows.source[which]], rows.addresses[rows.destination[which]], public,
        ], axis=1)  # fmt: skip


def numbers_of(values: Numbers) -> tuple[Numbers, Numbers]:
    """The number of each of n values, of whole numbers or (n, width) bytes, by first appearance;
    and the distinct values in that order. By hashing, which beats sorting."""
    if values.ndim == 1:
        encoded = pa.array(values).dictionary_encode()
        return _numpy(encoded.indices), _numpy(encoded.dictionary)
    width = values.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(values).data)
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, buffer])
    encoded = array.dictionary_encode()
    content: Any = encoded.dictionary.buffers()[1]
    distinct = np.frombuffer(content, np.uint8)
    return _numpy(encoded.indices), distinct[: len(encoded.dictionary) * width].reshape(-1, width)


def _numpy(array: Any) -> Numbers:
    return np.asarray(array.to_numpy(zero_copy_only=False))


def times_of(nanoseconds: Numbers) -> list[str]:
    """RFC 3339 in UTC, with the fraction that there is."""
    texts: list[str] = np.datetime_as_string(nanoseconds.astype("datetime64[ns]")).tolist()
    # Each has nine digits of a fraction, of which the zeros go, and the point after them.
    return [f"{text.rstrip('0').rstrip('.')}Z" for text in texts]


def write_here(nanoseconds: Numbers) -> Written:
    """A `Write` that leaves it until it is asked for."""
    return lambda: times_of(nanoseconds)


def time_of(nanoseconds: int) -> str:
    return times_of(np.array([nanoseconds]))[0]
