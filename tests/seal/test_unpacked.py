"""Planes of many segments at once: what each alone says, whichever planes it leaves out."""

import random
import resource

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


def frame_of(content_bytes: int, blocks: bytes) -> bytes:
    """A zstd frame whose header says its content's size (RFC 8878, section 3.1.1)."""
    return bytes.fromhex("28b52ffde0") + content_bytes.to_bytes(8, "little") + blocks


def repeated(count: int, octet: bytes, *, is_last: bool = True) -> bytes:
    """A block of one byte so many times."""
    return ((count << 3) | 2 | is_last).to_bytes(3, "little") + octet


UNSAID = bytes.fromhex("28b52ffd0038")
ONES = repeated(4, b"\1")
FRAMES = {
    "one that says its size": (frame_of(4, ONES), True),
    "one that does not": (UNSAID + ONES, True),
    "a gigabyte, and has it": (
        frame_of(
            1 << 30, repeated(1 << 17, b"\1", is_last=False) * 8191 + repeated(1 << 17, b"\1")
        ),
        False,
    ),
    "more than there is memory": (frame_of(1 << 50, ONES), False),
    "more than there are addresses": (frame_of((1 << 63) - 64, ONES), False),
    "a window of 128 MiB": (bytes.fromhex("28b52ffd0088") + ONES, False),
    "one, and a byte": (frame_of(4, ONES) + b"\0", False),
    "one, and another": (frame_of(4, ONES) * 2, False),
    "one that does not say its size, and a byte": (UNSAID + ONES + b"\0", False),
    "one that is cut": (frame_of(4, ONES)[:-1], False),
    "one less": (frame_of(3, repeated(3, b"\1")), False),
    "one more": (frame_of(5, repeated(5, b"\1")), False),
    "one more, unsaid": (UNSAID + repeated(5, b"\1"), False),
    "none": (b"", False),
    "no frame": (b"frame", False),
    "one to be skipped": (bytes.fromhex("502a4d18") + bytes([4, 0, 0, 0]) + b"\1" * 4, False),
}


@pytest.mark.parametrize(("frame", "is_good"), FRAMES.values(), ids=FRAMES)
def test_a_frame_holds_the_planes_and_nothing_else(frame: bytes, is_good: bool) -> None:
    """Four rows, of which one plane is packed: no frame has more allocated by what it says."""
    planes = bytes(6) + (1 << 2).to_bytes(6, "little") + frame
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if is_good:
        assert Unpacked(FORM, [(planes, (1, 4))]).column("value").tolist() == [1, 1, 1, 1]
    else:
        with pytest.raises(RowError):
            Unpacked(FORM, [(planes, (1, 4))])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("frame", [frame_of(0, repeated(0, b"\0")), b"\0"], ids=["empty", "none"])
def test_there_is_no_frame_of_nothing(frame: bytes) -> None:
    Unpacked(FORM, [(bytes(12), (1, 4))], most_rest_bytes=8)
    with pytest.raises(RowError):
        Unpacked(FORM, [(bytes(12) + frame, (1, 4))], most_rest_bytes=8)


def test_nothing_stands_behind_a_frame_that_ends_with_a_rest() -> None:
    planes = bytes(6) + (1 << 2).to_bytes(6, "little") + UNSAID + repeated(7, b"\1")
    assert Unpacked(FORM, [(planes, (1, 4))], most_rest_bytes=8).rests == [b"\1\1\1"]
    for behind in (b"\0", UNSAID + ONES):
        with pytest.raises(RowError):
            Unpacked(FORM, [(planes + behind, (1, 4))], most_rest_bytes=8)
