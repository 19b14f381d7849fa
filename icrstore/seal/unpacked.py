"""The planes of some segments again, as columns of all their rows, one segment's after another's.

Columns are made when they are looked at, of all segments at once: a segment of a few dozen rows
costs some slices of bytes, and not twenty calls of numpy.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import getitem
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import zstandard

from icrstore.seal.planes import BITMAP_BYTES, Form
from icrstore.seal.rows import RowError

Numbers = npt.NDArray[Any]

_BITMAPS = 2 * BITMAP_BYTES
_part = cast("Callable[[bytes, slice], bytes]", getitem)
# What every reader should take (RFC 8878, section 3.1.1.1.2), and more than any segment needs.
_LARGEST_WINDOW_BYTES = 8 << 20


class _Layout(NamedTuple):
    """Where the planes lie that two bitmaps name: each place is a sum of a segment's counts, so
    many of each kind. What is packed comes behind what is plain, what is left out behind that."""

    places: Numbers
    plain: Numbers
    packed: Numbers
    is_there: Numbers


class Unpacked:
    """``segments``: the planes and the number of rows of each kind of every segment.

    Raises `RowError` where the planes are not what `planes` writes.
    """

    def __init__(
        self, form: Form, segments: Sequence[tuple[bytes, Sequence[int]]], most_rest_bytes: int = 0
    ) -> None:
        self._columns = {column.name: (column, numbers) for column, numbers in form.numbered()}
        self._inflate = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES).decompress
        self._counts = np.array([counts for _, counts in segments], np.int64)
        frames, sizes = self._lay_out([_layout(form, planes[:_BITMAPS]) for planes, _ in segments])
        # What stands behind each segment's planes.
        self.rests: list[bytes] = []
        self._planes: list[bytes] = []
        places = zip(frames, sizes, self._counts.max(axis=1).tolist(), strict=True)
        for (planes, _), (frame_at, size, most) in zip(segments, places, strict=True):
            if len(planes) < frame_at:
                raise RowError("corrupted or tampered with")
            inflated = self._inflated(planes[frame_at:], size, size + most_rest_bytes)
            self.rests.append(inflated[size:])
            # A plane that is left out is taken from the zeros.
            self._planes.append(planes[:frame_at] + inflated[:size] + bytes(most))

    def column(self, name: str) -> Numbers:
        """A column as unsigned numbers, or (rows, 16) bytes."""
        column, numbers = self._columns[name]
        counts = self._counts[:, column.of]
        made = np.zeros((int(counts.sum()), column.width), np.uint8)
        for at, number in enumerate(numbers):
            if self._is_there[number]:
                starts = self._starts[:, number]
                spans = map(slice, starts.tolist(), (starts + counts).tolist())
                plane = b"".join(map(_part, self._planes, spans))
                made[:, at] = np.frombuffer(plane, np.uint8)
        return made if column.width == 16 else made.view(f"<u{column.width}").reshape(len(made))

    def _lay_out(self, layouts: Sequence[_Layout]) -> tuple[list[int], list[int]]:
        """Where all planes begin; where each segment's frame does, and what it holds of planes."""
        # Segments that were sealed together have one layout, so there are few.
        distinct = {id(layout): layout for layout in layouts}
        of = np.array([id(layout) for layout in layouts])
        self._is_there = np.logical_or.reduce([each.is_there for each in distinct.values()])
        self._starts = np.empty((len(layouts), len(self._is_there)), np.int64)
        frames, sizes = np.empty((2, len(layouts)), np.int64)
        for name, layout in distinct.items():
            here = of == name
            counts = self._counts[here]
            self._starts[here] = _BITMAPS + counts @ layout.places.T
            frames[here] = _BITMAPS + counts @ layout.plain
            sizes[here] = counts @ layout.packed
        return frames.tolist(), sizes.tolist()

    def _inflated(self, frame: bytes, least: int, most: int) -> bytes:
        if not frame and not least:
            return b""
        try:
            # What a frame says of its size would be allocated.
            if zstandard.frame_content_size(frame) > most:
                raise RowError("corrupted or tampered with")
            made = self._inflate(frame, max_output_size=most, allow_extra_data=False)
            if len(made) < most:
                # Only where there is no room left it is looked for what stands behind the frame.
                self._inflate(frame, max_output_size=len(made), allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise RowError("corrupted or tampered with") from error
        # An empty frame is left out.
        if len(made) < max(least, 1):
            raise RowError("corrupted or tampered with")
        return made


def numbered(codes: Numbers, rows: Numbers, counts: Numbers) -> Numbers:
    """The numbers for which codes stand: 0 is the next one that its segment has not named yet,
    n + 1 the n-th; each segment's numbers go on from those of the segment before.

    ``rows``: how many codes each segment has; ``counts``: how many values. Raises `RowError` unless
    each names all of its own, and no other.
    """
    # In 32 bits: what is slow here is memory. Few codes name anything new.
    new = np.flatnonzero(codes == 0)
    number = np.arange(len(new) + 1, dtype=np.int32)
    named = np.repeat(number, np.diff(new, prepend=0, append=len(codes)))
    until = np.cumsum(counts)
    made = np.repeat((until - counts).astype(np.int32), rows)
    made += codes
    made[new] = number[1:]
    if (named[np.cumsum(rows) - 1] != until).any() or (made > named).any():
        raise RowError("corrupted or tampered with")
    made -= 1
    return made


@lru_cache(maxsize=1 << 10)
def _layout(form: Form, bitmaps: bytes) -> _Layout:
    plain, packed = (
        int.from_bytes(each, "little") for each in (bitmaps[:BITMAP_BYTES], bitmaps[BITMAP_BYTES:])
    )
    kinds = 1 + max(column.of for column in form.columns)
    column_of = [column.of for column, numbers in form.numbered() for _ in numbers]
    planes = len(column_of)
    if plain & packed or (plain | packed) >> planes:
        raise RowError("corrupted or tampered with")
    one = np.eye(kinds, dtype=np.int64)[column_of]
    masks = [np.array([bits >> n & 1 for n in range(planes)], bool) for bits in (plain, packed)]
    in_plain, in_packed = (one * mask[:, None] for mask in masks)
    all_plain, all_packed = in_plain.sum(axis=0), in_packed.sum(axis=0)
    places = np.where(masks[0][:, None], np.cumsum(in_plain, axis=0) - in_plain,
                      all_plain + np.cumsum(in_packed, axis=0) - in_packed)  # fmt: skip
    is_there = masks[0] | masks[1]
    places[~is_there] = all_plain + all_packed
    return _Layout(places, all_plain, all_packed, is_there)
