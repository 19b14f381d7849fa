"""Planes of many segments at once: what each alone says, whichever planes it leaves out."""

import random

import numpy as np
import pytest
import zstandard

from icrstore.seal.planes import Column, Form
from icrstore.seal.rows import RowError
from icrstore.seal.unpacked import Unpacked, numbered

FORM = Form((Column("name", 2, of=0, part=0), Column("value", 4, of=1, part=1)))
PLANES = 6


def segment(counts: tuple[int, int], plain: int, packed: int, rng: random.Random) -> bytes:
    """Random bytes in the planes that the bitmaps name, in both places where both name one."""
    sizes = [counts[0]] * 2 + [counts[1]] * 4
    parts = [b"".join(rng.randbytes(sizes[n]) for n in range(PLANES) if bits >> n & 1)
             for bits in (plain, packed)]  # fmt: skip
    frame = zstandard.ZstdCompressor().compress(parts[1]) if parts[1] else b""
    return plain.to_bytes(6, "little") + packed.to_bytes(6, "little") + parts[0] + frame


def test_many_segments_say_what_each_says_alone() -> None:
    rng = random.Random(7)
    made = []
    for _ in range(60):
        plain = rng.randrange(1 << PLANES)
        counts = rng.randrange(1, 9), rng.randrange(1, 30)
        made.append((segment(counts, plain, rng.randrange(1 << PLANES) & ~plain, rng), counts))
    together = Unpacked(FORM, made)
    alone = [Unpacked(FORM, [one]) for one in made]
    for name in ("name", "value"):
        columns = [one.column(name) for one in alone]
        assert (together.column(name) == np.concatenate(columns)).all()
        assert any(column.any() for column in columns)


def test_a_plane_is_plain_or_packed_and_never_both() -> None:
    counts = (1, 1)
    for plain, packed in ((1, 2), (2, 1), (3, 0), (0, 3)):
        Unpacked(FORM, [(segment(counts, plain, packed, random.Random(1)), counts)])
    with pytest.raises(RowError):
        Unpacked(FORM, [(segment(counts, 3, 2, random.Random(1)), counts)])


def test_each_segments_codes_go_on_from_the_one_before() -> None:
    codes = np.array([0, 1, 0, 0, 1, 0, 0, 2], np.uint16)
    rows = np.array([3, 2, 3])
    assert numbered(codes, rows, np.array([2, 1, 2])).tolist() == [0, 0, 1, 2, 2, 3, 4, 4]
    for counts in ([2, 2, 1], [1, 2, 2], [2, 1, 3]):
        with pytest.raises(RowError):
            numbered(codes, rows, np.array(counts))


@pytest.mark.parametrize("wrong", [2, 3])
def test_a_code_of_what_only_another_segment_named_is_refused(wrong: int) -> None:
    codes = np.array([0, 0, 0, wrong], np.uint16)
    with pytest.raises(RowError):
        numbered(codes, np.array([2, 2]), np.array([2, 1]))
