"""The planes of one segment again, as columns: inflated when they are looked at, and no further."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from icrstore.seal.planes import BITMAP_BYTES, Form
from icrstore.seal.rows import RowError

Numbers = npt.NDArray[Any]


class Unpacked:
    """Raises `RowError` where the planes are not what `planes` writes, at the latest when they are
    looked at. ``counts``: the number of rows of each kind."""

    def __init__(
        self, form: Form, planes: bytes, counts: Sequence[int], most_rest_bytes: int = 0
    ) -> None:
        plain, packed = (
            int.from_bytes(planes[at : at + BITMAP_BYTES], "little") for at in (0, BITMAP_BYTES)
        )
        self._columns = {column.name: (column, numbers) for column, numbers in form.numbered()}
        self._counts, self._planes, self._most_rest = counts, planes, most_rest_bytes
        # By number: whether it is packed, and where it begins in what is plain or packed.
        self._places: dict[int, tuple[int, int]] = {}
        ends = [2 * BITMAP_BYTES, 0]
        self._first_part = 0
        for column, numbers in self._columns.values():
            for number in numbers:
                is_packed = packed >> number & 1
                if (plain | packed) >> number & 1:
                    self._places[number] = is_packed, ends[is_packed]
                    ends[is_packed] += counts[column.of]
            if column.part == 0:
                self._first_part = ends[1]
        self._frame_at, self._size = ends
        if plain & packed or (plain | packed) >> numbers.stop or len(planes) < self._frame_at:
            raise RowError("corrupted or tampered with")

    def column(self, name: str) -> Numbers:
        """A column as unsigned numbers, or (rows, 16) bytes."""
        column, numbers = self._columns[name]
        rows = self._counts[column.of]
        made = np.zeros((rows, column.width), np.uint8)
        for at, number in enumerate(numbers):
            if number in self._places:
                is_packed, start = self._places[number]
                content = self._packed(start + rows) if is_packed else self._planes
                made[:, at] = np.frombuffer(content, np.uint8, rows, start)
        return made if column.width == 16 else made.view(f"<u{column.width}").reshape(rows)

    @property
    def rest(self) -> bytes:
        """What stands behind the packed planes."""
        return self._frame[self._size :]

    def _packed(self, end: int) -> bytes:
        """The packed planes, at least up to ``end``."""
        return self._beginning if end <= self._first_part else self._frame

    @cached_property
    def _beginning(self) -> bytes:
        """The frame's first part, which is its first block or in it."""
        with _damage():
            reader = zstandard.ZstdDecompressor().stream_reader(self._planes[self._frame_at :])
            made = reader.read(self._first_part)
        if len(made) != self._first_part:
            raise RowError("corrupted or tampered with")
        return made

    @cached_property
    def _frame(self) -> bytes:
        frame = self._planes[self._frame_at :]
        most = self._size + self._most_rest
        if not frame and not self._size:
            return b""
        with _damage():
            made = zstandard.ZstdDecompressor().decompress(frame, max_output_size=most + 1)
        if not self._size <= len(made) <= most:
            raise RowError("corrupted or tampered with")
        return made


def numbered(codes: Numbers, count: int) -> Numbers:
    """The numbers for which codes stand: 0 is the next one that was not named yet, n + 1 the n-th.

    Raises `RowError` unless all of ``count``, and no other, are named.
    """
    is_new = codes == 0
    named = np.cumsum(is_new, dtype=np.int32)
    made = np.where(is_new, named, codes) - 1
    if named[-1] != count or (made >= named).any():
        raise RowError("corrupted or tampered with")
    return made


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except zstandard.ZstdError as error:
        raise RowError("corrupted or tampered with") from error
